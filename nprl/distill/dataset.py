"""What a teacher did where: the data of imitation, and how far a program is from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nprl.distill.censored import Target, target
from nprl.distill.rollout import units_of
from nprl.program import Program

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Observations (n, d) and the teacher's actions there (n, m), in the outputs' units."""

    observations: Floats
    actions: Floats
    weights: Floats | None = None
    """How much each answer matters, (n,), not negative; None for all alike."""

    def __post_init__(self) -> None:
        """Refuse what is not finite or does not fit together."""
        x, y = self.observations, self.actions
        if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or not len(x):
            raise ValueError(
                f"observations (n, d), actions (n, m), n >= 1; got {x.shape}, {y.shape}"
            )
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            raise ValueError("observations and actions are finite; got NaN or infinity")
        w = self.weights
        if w is not None and (w.shape != (len(x),) or not (np.isfinite(w) & (w >= 0)).all()):
            raise ValueError(f"a weight for each row, finite and not negative; got shape {w.shape}")

    def __len__(self) -> int:
        """How many there are."""
        return len(self.observations)

    def plus(self, other: Dataset) -> Dataset:
        """Both, one after the other; what has no weights counts as 1."""
        weights = None
        if self.weights is not None or other.weights is not None:
            some = [np.ones(len(d)) if d.weights is None else d.weights for d in (self, other)]
            weights = np.concatenate(some)
        return Dataset(
            np.concatenate([self.observations, other.observations]),
            np.concatenate([self.actions, other.actions]),
            weights,
        )

    def sample(self, most: int, seed: int) -> Dataset:
        """At most so many rows, drawn without replacement, in the old order."""
        if len(self) <= most:
            return self
        rows = np.sort(np.random.default_rng(seed).choice(len(self), most, replace=False))
        weights = None if self.weights is None else self.weights[rows]
        return Dataset(self.observations[rows], self.actions[rows], weights)

    def targets(self, program: Program) -> tuple[Target, ...]:
        """One clip-aware target for each output of ``program``."""
        return tuple(
            target(self.actions[:, j], float(c.low), float(c.high))
            for j, c in enumerate(program.outputs)
        )


def imitation_loss(program: Program, data: Dataset) -> float:
    """The mean square of executed action minus teacher's, in half ranges, over outputs and rows.

    With choices the executed action is the chosen one.
    """
    done = units_of(program, program.to_action(program.batch(data.observations)))
    half = np.asarray([float(c.high - c.low) / 2 for c in program.outputs])
    return float(np.mean(((done - data.actions) / half) ** 2))
