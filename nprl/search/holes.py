"""Constants for a skeleton: the values of its holes with which it comes nearest to a teacher.

Where the term is affine in its holes this is clip-aware least squares. Otherwise damped
Gauss-Newton steps from several starts at once, and for the few best skeletons a polish by Nelder
and Mead's simplex, which also moves the thresholds that have no derivative.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from nprl.distill.censored import Target, fit_families
from nprl.lang.terms import Term
from nprl.search.constants import HOLE, fill, shortest_decimals, simplify
from nprl.search.grammar import values

Floats = NDArray[np.float64]
STARTS = 8
HUGE = 1e12
ROOM = 0.02
"""Short decimals may cost this part of the loss."""


def predictions(t: Term, names: Sequence[str], observations: Floats, holes: Floats) -> Floats:
    """The values (s, n) of the skeleton ``t`` for ``holes`` (s, h) and observations (n, d)."""
    columns = {name: observations[:, k][None] for k, name in enumerate(names)}
    columns |= {f"{HOLE}{k}": holes[:, k][:, None] for k in range(holes.shape[1])}
    with np.errstate(all="ignore"):
        result = np.broadcast_to(values(t, columns), (len(holes), len(observations)))
    if np.isfinite(result).all():
        return np.asarray(result)
    return np.asarray(np.nan_to_num(result, nan=HUGE, posinf=HUGE, neginf=-HUGE))


def fit_linear(
    t: Term, count: int, names: Sequence[str], observations: Floats, goal: Target
) -> tuple[Floats, float]:
    """The holes (count,) of a skeleton that is affine in them, and the imitation loss."""
    corners = np.concatenate([np.zeros((1, count)), np.eye(count)])
    at = predictions(t, names, observations, corners)
    basis = at[1:] - at[:1]
    c, _ = fit_families(basis[None], at[:1], goal, 40)
    return c[0], float(goal.loss(at[0] + c[0] @ basis))


def starts(count: int, observations: Floats, seed: int) -> Floats:
    """Starting values (`STARTS`, count) for holes: half of them from the data, half of any size."""
    rng = np.random.default_rng(seed)
    shape = (STARTS, count)
    seen = rng.choice(observations.ravel(), shape)
    size = np.exp(rng.uniform(np.log(0.05), np.log(30.0), shape)) * rng.choice([-1.0, 1.0], shape)
    result = np.where(rng.random(shape) < 0.5, seen, size)
    result[0] = 1.0
    return np.asarray(result)


def fit_general(
    t: Term,
    names: Sequence[str],
    observations: Floats,
    goal: Target,
    first: Floats,
    iterations: int = 4,
) -> tuple[Floats, float]:
    """The best holes (h,) that Gauss-Newton reaches from rows of ``first`` (s, h), and the loss."""
    c = first.copy()
    s, h = c.shape
    damping = np.full(s, 1e-3)
    at = predictions(t, names, observations, c)
    r = goal.residuals(at)
    loss = np.mean(r * r, axis=1)
    for _ in range(iterations):
        step = 1e-6 * np.maximum(np.abs(c), 1e-3)
        moved = c[:, None, :] + step[:, None, :] * np.eye(h)
        shifted = predictions(t, names, observations, moved.reshape(s * h, h)).reshape(s, h, -1)
        slope = (shifted - at[:, None, :]) / step[:, :, None] / goal.half * (r != 0)[:, None, :]
        slope = np.where(np.isfinite(slope) & (np.abs(slope) < HUGE), slope, 0.0)
        gram = slope @ slope.transpose(0, 2, 1)
        diagonal = np.einsum("shh->sh", gram)
        right = (slope @ r[:, :, None])[:, :, 0]
        ridge = damping[:, None] * diagonal + 1e-12 * (1 + diagonal.max(axis=1, keepdims=True))
        new = c - np.linalg.solve(gram + ridge[:, :, None] * np.eye(h), right[:, :, None])[:, :, 0]
        new_at = predictions(t, names, observations, new)
        new_r = goal.residuals(new_at)
        new_loss = np.mean(new_r * new_r, axis=1)
        better = new_loss < loss
        c = np.where(better[:, None], new, c)
        at, r = np.where(better[:, None], new_at, at), np.where(better[:, None], new_r, r)
        loss = np.where(better, new_loss, loss)
        damping = np.where(better, damping / 5, damping * 10)
    executed = goal.loss(at)
    best = int(np.argmin(executed))
    return c[best], float(executed[best])


def polish(
    t: Term, names: Sequence[str], observations: Floats, goal: Target, holes: Floats
) -> tuple[Floats, float]:
    """``holes`` improved by Gauss-Newton and a simplex search, and the loss as executed."""
    c, loss = fit_general(t, names, observations, goal, holes[None], 20)

    def executed(x: Floats) -> float:
        return float(goal.loss(predictions(t, names, observations, x[None]))[0])

    spread = np.where(c == 0, 0.05, 0.2 * c)
    simplex = np.concatenate([c[None], c + np.diag(spread)])
    found = minimize(
        executed,
        c,
        method="Nelder-Mead",
        options={"initial_simplex": simplex, "maxfev": 40 * len(c), "fatol": 1e-12},
    )
    return (np.asarray(found.x), float(found.fun)) if found.fun < loss else (c, loss)


def with_decimals(
    t: Term, names: Sequence[str], observations: Floats, goal: Target, holes: Floats
) -> tuple[Term, float]:
    """The skeleton ``t`` with short decimals near ``holes`` that cost next to nothing, and its loss."""

    def losses(trials: Sequence[tuple[Fraction, ...]]) -> list[float]:
        c = np.asarray([[float(v) for v in trial] for trial in trials])
        return [float(v) for v in goal.loss(predictions(t, names, observations, c))]

    exact = losses([tuple(Fraction(v) for v in holes.tolist())])[0]
    constants = shortest_decimals(holes.tolist(), losses, exact * (1 + ROOM) + 1e-12)
    return simplify(fill(t, constants)), losses([constants])[0]
