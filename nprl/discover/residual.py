"""How far a fitted step is from the simulator: measured on held-out data, and sought.

The statement is one of order statistics: of N independent held-out samples, the greatest error is
exceeded by a further sample with a probability of at most eps, unless something happened whose
probability is at most beta. It speaks of samples as drawn, not of each point of the box. So the
worst is sought from the worst samples on, too, and the bound is inflated beyond all that was seen.

Source: M. Campi, S. Garatti, The exact feasibility of randomized solutions of uncertain convex
programs, 2008 (one decision variable: the bound).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from nprl.discover.fit import evaluated
from nprl.discover.sampling import Simulator, Transitions
from nprl.env.sampling import Floats
from nprl.model import Model

STARTS, ROUNDS = 24, 40
"""Of the search for the worst error, for each coordinate."""
FIRST_STEP, SHRINK = 0.3, 0.9
"""Its first step, relative to the half range, and what it shrinks by in each round."""


@dataclass(frozen=True)
class Residual:
    """The bound of each coordinate's error, and what it rests on."""

    held_out: int
    """N: independent samples that the fit has not seen."""
    eps: float
    beta: float
    """A further sample exceeds some coordinate's greatest held-out error with probability at most
    ``eps``, with confidence ``1 - beta``."""
    inflation: float
    seen: tuple[float, ...]
    """The greatest held-out error of each coordinate."""
    sought: tuple[float, ...]
    """The greatest that the search found."""
    bound: tuple[Fraction, ...]
    """``inflation`` times the greater of the two, rounded up to two digits."""


def exceeded_with(n: int, beta: float, coordinates: int) -> float:
    """The eps with which a sample may exceed the maximum of n in some coordinate, at confidence 1 - beta.

    For each of k coordinates ``(1 - eps/k)^n <= beta/k``.

    Raises:
        ValueError: for a count below 1, or beta not between 0 and 1.
    """
    if n < 1 or coordinates < 1 or not 0 < beta < 1:
        raise ValueError(f"n and coordinates are at least 1, 0 < beta < 1; got {n}, {beta}")
    return -coordinates * math.expm1(math.log(beta / coordinates) / n)


def errors(model: Model, data: Transitions) -> Floats:
    """What the simulator's next states differ from the model's at its nominal disturbance, (N, n)."""
    centre = np.array([float(v) for v in model.nominal().values()])
    names = [*model.state_names, *model.action_names, *model.disturbance_names]
    points = np.hstack([data.points, np.broadcast_to(centre, (len(data), len(centre)))])
    return data.after - evaluated(model.steps, names, points)


def bound_residual(
    model: Model,
    simulator: Simulator,
    held_out: Transitions,
    rng: np.random.Generator,
    beta: float,
    inflation: float,
) -> Residual:
    """The residual of ``model`` (with its nominal disturbance) against the simulator.

    Raises:
        ValueError: for an inflation below 1, or a simulator that returned no number.
    """
    if not inflation >= 1:
        raise ValueError(f"an inflation is at least 1; got {inflation}")
    error = np.abs(errors(model, held_out))
    if not np.isfinite(error).all():
        raise ValueError("the simulator left the finite numbers; make the box of analysis smaller")
    seen = error.max(axis=0)
    sought = np.array(
        [_sought(model, simulator, held_out, error, i, rng) for i in range(len(seen))]
    )
    n = len(model.state)
    return Residual(
        held_out=len(held_out),
        eps=exceeded_with(len(held_out), beta, n),
        beta=beta,
        inflation=inflation,
        seen=tuple(seen.tolist()),
        sought=tuple(sought.tolist()),
        bound=tuple(_up(inflation * v) for v in np.maximum(seen, sought).tolist()),
    )


def _sought(
    model: Model,
    simulator: Simulator,
    data: Transitions,
    error: Floats,
    i: int,
    rng: np.random.Generator,
) -> float:
    """The worst error of coordinate i that random steps from the worst samples find in the box."""
    coordinates = (*model.state, *model.action)
    low = np.array([float(c.low) for c in coordinates])
    high = np.array([float(c.high) for c in coordinates])
    rows = np.argsort(-error[:, i])[:STARTS]
    at, value = data.points[rows], error[rows, i]
    step = FIRST_STEP * (high - low) / 2
    n = len(model.state)
    for _ in range(ROUNDS):
        tried = np.clip(at + rng.normal(size=at.shape) * step, low, high)
        x, u = tried[:, :n], tried[:, n:]
        found = np.abs(errors(model, Transitions(x, u, simulator.step(x, u))))[:, i]
        better = found > value
        at = np.where(better[:, None], tried, at)
        value = np.where(better, found, value)
        step = step * SHRINK
    return float(value.max())


def _up(value: float) -> Fraction:
    """A decimal of two digits at or above ``value``."""
    if value == 0:
        return Fraction(0)
    unit = Fraction(10) ** (math.floor(math.log10(value)) - 1)
    return math.ceil(Fraction(value) / unit) * unit
