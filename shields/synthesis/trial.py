"""A candidate on trial in floats: from sample points of the set, does its backup come back, with a margin?

It replaces no proof; it spares the prover a candidate that fails at a point that is easily found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nprl.lang.floats import compile_batch
from nprl.lang.terms import Term
from nprl.shields.synthesis.views.numeric import Array, Mask, values
from nprl.shields.synthesis.views.problem import Problem

MARGIN = 1e-6


@dataclass(frozen=True, slots=True)
class Trial:
    """The least margins that were seen, each relative to the range of its row over the set."""

    kept: float
    """Of the next state's rows, under the backup and the worst corner of the disturbance."""
    init: float
    """Of the initial box."""
    safe: float
    """Of S and the ranges at points of the set; may be 0."""
    action: float
    """Of the backup to the inputs' bounds, relative to half their width; may be 0."""

    @property
    def good(self) -> bool:
        """Whether a proof is worth trying."""
        return self.kept >= MARGIN and min(self.init, self.safe, self.action) >= -1e-12


def rays(
    rows: Sequence[Term],
    names: Sequence[str],
    centre: Array,
    unit: Array,
    count: int,
    seed: int = 0,
) -> Array:
    """Points on and in the set ``rows >= 0``, along random rays from an inner point; (2 count + 1, n)."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(count, len(centre)))
    directions *= unit / np.linalg.norm(directions, axis=1, keepdims=True)
    low, high = np.zeros(count), np.full(count, 2.0 * np.sqrt(len(centre)))
    for _ in range(50):
        middle = (low + high) / 2
        inside = (values(rows, names, centre + middle[:, None] * directions) >= 0).all(axis=1)
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    edge = centre + low[:, None] * directions
    inner = centre + (low * rng.random(count) ** (1 / len(centre)))[:, None] * directions
    return np.vstack([edge, inner, centre[None, :]])


def alive(problem: Problem, x: Array) -> Mask:
    """Which of the points (N, n) are not terminal, shape (N,)."""
    names = problem.model.state_names
    over: Mask = compile_batch([problem.model.terminal], [names])(np.ascontiguousarray(x))[0]
    return np.logical_not(over)


def trial(problem: Problem, rows: Sequence[Term], backup: Sequence[Term], x: Array) -> Trial:
    """The margins of the set ``rows >= 0`` with its backup at points x (N, n).

    Points outside of the set are left out; terminal ones, where they would have to be kept.
    """
    names = problem.model.state_names
    now = values(rows, names, x)
    scale = np.maximum(now.max(axis=0), 1e-300)
    x = x[(now >= -1e-7 * scale).all(axis=1)]
    if not len(x):  # none of the points is in it
        return Trial(-np.inf, -np.inf, -np.inf, -np.inf)
    living = alive(problem, x)
    u = values(backup, names, x)
    reach = (problem.u_high - problem.u_low) / 2
    action = (np.minimum(u - problem.u_low, problem.u_high - u) / reach).min(initial=np.inf)
    u = np.clip(u, problem.u_low, problem.u_high)
    x_on, u_on = x[living], u[living]
    kept = min(
        float((values(rows, names, problem.next(x_on, u_on, w)) / scale).min(initial=np.inf))
        for w in problem.w
    )
    if not np.isfinite(kept):
        kept = -np.inf
    init = float((values(rows, names, _init_points(problem)) / scale).min())
    size = np.abs(problem.h) @ np.maximum(np.abs(x).max(axis=0), 1e-300)
    safe = float(((problem.b - x @ problem.h.T) / size).min())
    return Trial(kept, init, safe if safe < -1e-7 else max(safe, 0.0), float(action))


def _init_points(problem: Problem) -> Array:
    varying = int((problem.init_high > problem.init_low).sum())
    if varying <= 16:
        return problem.init_vertices()
    signs = np.random.default_rng(0).random((2**16, problem.n)) < 0.5
    return np.where(signs, problem.init_low, problem.init_high)
