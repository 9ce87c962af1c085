"""The statistics that turn raw observations and rewards into what the network sees.

They belong to the policy: without them its weights mean nothing. They are numbers in a JSON file,
never a pickle.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nprl.files import write_atomic

FORMAT = "nprl-normaliser/1"
EPSILON = 1e-8
Floats = NDArray[np.float64]


class NormaliserError(ValueError):
    """A normaliser's file that is none: one line."""


@dataclass(frozen=True, slots=True)
class Normaliser:
    """``clip((observation - mean) / sqrt(var + epsilon), -limit, limit)``, as float32."""

    mean: Floats
    """Shape of the observation."""
    var: Floats
    """Shape of the observation; not negative."""
    limit: float = 10.0
    epsilon: float = EPSILON

    def __post_init__(self) -> None:
        """Refuse what would give a NaN."""
        mean, var = (np.asarray(a, dtype=np.float64) for a in (self.mean, self.var))
        if mean.shape != var.shape or not (np.isfinite(mean).all() and np.isfinite(var).all()):
            raise NormaliserError(
                "mean and var are finite numbers, as many of the one as of the other"
            )
        if not ((var >= 0).all() and 0 < self.limit < math.inf and 0 < self.epsilon < math.inf):
            raise NormaliserError("var is not negative; limit and epsilon are positive")
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "var", var)

    def __call__(self, observation: Any) -> NDArray[np.float32]:
        """What the network sees of one observation or a batch."""
        scaled = (np.asarray(observation, dtype=np.float64) - self.mean) / np.sqrt(
            self.var + self.epsilon
        )
        return np.clip(scaled, -self.limit, self.limit).astype(np.float32)

    def save(self, path: str | Path) -> Path:
        """Write the numbers as JSON."""
        data = {
            "format": FORMAT,
            "mean": self.mean.tolist(),
            "var": self.var.tolist(),
            "limit": self.limit,
            "epsilon": self.epsilon,
        }
        return write_atomic(path, json.dumps(data, indent=1, allow_nan=False) + "\n")


def load_normaliser(path: str | Path) -> Normaliser:
    """The normaliser that `Normaliser.save` wrote.

    Raises:
        NormaliserError: for a file that cannot be read, or holds anything else.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        if set(data) != {"format", "mean", "var", "limit", "epsilon"} or data["format"] != FORMAT:
            raise NormaliserError(
                f"the accepted keys are format ({FORMAT!r}), mean, var, limit, epsilon"
            )
        mean, var = (np.array(data[key], dtype=np.float64) for key in ("mean", "var"))
        return Normaliser(mean, var, float(data["limit"]), float(data["epsilon"]))
    except OSError as error:
        raise NormaliserError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise NormaliserError(f"{path}: no normaliser: {error}") from None


@dataclass(slots=True)
class Moments:
    """Mean and variance of a stream of rows, updated batch by batch (Chan, Golub, LeVeque 1983)."""

    mean: Floats
    var: Floats
    count: float = 1e-4

    def update(self, rows: Floats) -> None:
        """Add the rows, shape (n, ...)."""
        n = float(len(rows))
        if not n:
            return
        total = self.count + n
        delta = rows.mean(axis=0) - self.mean
        spread = self.var * self.count + rows.var(axis=0) * n + delta**2 * self.count * n / total
        self.mean = self.mean + delta * n / total
        self.var = spread / total
        self.count = total


def moments(shape: tuple[int, ...]) -> Moments:
    """Moments of nothing yet: mean 0, variance 1, next to no weight."""
    return Moments(np.zeros(shape), np.ones(shape))


@dataclass(slots=True)
class RewardScale:
    """Rewards over the deviation of the discounted return, clipped at ``limit`` deviations.

    The deviation is of the whole past, penalties included: while they are frequent they dominate
    it, and it shrinks as they become rare.
    """

    lanes: int
    gamma: float
    limit: float = 10.0
    stats: Moments = field(default_factory=lambda: moments(()))
    returns: Floats = field(default_factory=lambda: np.zeros(0))

    def reset(self) -> None:
        """Every lane begins an episode."""
        self.returns = np.zeros(self.lanes)

    def __call__(self, rewards: Floats, dones: NDArray[np.bool_]) -> Floats:
        """The scaled rewards of one step, all of shape (lanes,)."""
        self.returns = self.returns * self.gamma + rewards
        self.stats.update(self.returns)
        self.returns[dones] = 0.0
        scale = math.sqrt(float(self.stats.var) + EPSILON)
        return np.clip(rewards / scale, -self.limit, self.limit)
