"""Invariant polytopes of linear gains: the largest set in S, with allowed inputs, that a gain never leaves.

Gains come from the discrete Riccati equation for many random weights. For each, rows ``h A^k z <=
1`` are added until none cuts any more (the maximal output-admissible set), for all maps of the
inclusion, with the disturbance's support taken off and a little contraction kept as slack.

Source: E. G. Gilbert, K. T. Tan, Linear systems with state and control constraints: the theory and
application of maximal output admissible sets, 1991.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.linalg import LinAlgError, solve_discrete_are

from nprl.shields.synthesis.budget import Budget
from nprl.shields.synthesis.views.linearise import Inclusion
from nprl.shields.synthesis.views.numeric import Array
from nprl.shields.synthesis.views.polytope import HULL_DIMENSIONS, irredundant, maximum, vertices
from nprl.shields.synthesis.views.problem import Problem

TRIALS, TRIALS_OF_MANY_MAPS = 80, 12
MAX_FOUND = 4
CONTRACTION = 0.9995
MAX_STEPS = 200
MAX_ROWS, MAX_ROWS_OF_LARGE_HULLS = 400, 120
MAX_IMAGES = 4000
INPUT_SLACK = 1e-3


def gain_sets(
    problem: Problem, maps: Inclusion, seed: int, budget: Budget | None = None
) -> Iterator[tuple[Array, Array]]:
    """Pairs (rows ``h z <= 1``, gain K) that hold the initial box, in the order of the search; a few.

    Raises:
        OutOfTime: where the budget's time is over.
    """
    rng = np.random.default_rng(seed)
    init = (np.vstack([problem.init_low, problem.init_high]) - maps.centre) / maps.unit
    found = 0
    for k in _gains(maps, rng):
        h = admissible_set(maps, k, init, budget)
        if h is not None:
            yield h, k
            found += 1
            if found == MAX_FOUND:
                return


def _gains(maps: Inclusion, rng: np.random.Generator) -> Iterator[Array]:
    a, b = maps.a.mean(axis=0), maps.b.mean(axis=0)
    n, m = b.shape
    if not m:
        yield np.zeros((0, n))
        return
    for i in range(TRIALS if maps.linear else TRIALS_OF_MANY_MAPS):
        state = np.exp(rng.uniform(-4.0, 4.0, n)) if i else np.ones(n)
        effort = (
            np.exp(rng.uniform(-7.0, 4.0)) * np.exp(rng.uniform(-1.0, 1.0, m)) if i else np.ones(m)
        )
        k = lqr_gain(a, b, state, effort)
        if k is not None:
            yield k


def lqr_gain(a: Array, b: Array, state: Array, effort: Array) -> Array | None:
    """The gain (m, n) of ``u = k x`` for these diagonal weights, (n,) and (m,); None where there is none."""
    try:
        p = solve_discrete_are(a, b, np.diag(state), np.diag(effort))
    except (LinAlgError, ValueError):
        return None
    k: Array = -np.linalg.solve(np.diag(effort) + b.T @ p @ b, b.T @ p @ a)
    return k if np.isfinite(k).all() else None


def admissible_set(
    maps: Inclusion,
    k: Array,
    init: Array,
    budget: Budget | None = None,
    max_rows: int | None = None,
    max_steps: int = MAX_STEPS,
) -> Array | None:
    """The largest invariant polytope under ``v = K z``; None if it misses the initial box or has too many rows.

    Also None where it is not found within ``max_steps`` images.

    Raises:
        OutOfTime: where the budget's time is over.
    """
    budget = budget or Budget()
    closed = [a + b @ k for a, b in zip(maps.a, maps.b, strict=True)]
    if max(float(np.abs(np.linalg.eigvals(c)).max()) for c in closed) >= CONTRACTION:
        return None
    limits_high, limits_low = maps.highs * (1 - INPUT_SLACK), maps.lows * (1 - INPUT_SLACK)
    rows = np.vstack([maps.h, k / limits_high[:, None], k / limits_low[:, None]])
    rows = rows[np.abs(rows).max(axis=1) > 1e-12]
    if (_reach(rows, init) > 1).any():
        return None
    most = MAX_ROWS if rows.shape[1] != HULL_DIMENSIONS else MAX_ROWS_OF_LARGE_HULLS
    most = most if max_rows is None else min(max_rows, most)
    small = rows.shape[1] <= HULL_DIMENSIONS
    try:
        everything = irredundant(rows)
        front = everything
        for _ in range(max_steps):
            budget.check("invariant polytope of an LQR gain")
            room = CONTRACTION - maps.support(front)
            if (room <= 0).any():
                return None
            new = np.vstack([front @ c for c in closed]) / np.tile(room, len(closed))[:, None]
            new = _cutting(everything, new, small, budget)
            if not len(new):
                return irredundant(everything)
            if (_reach(new, init) > 1 - 1e-9).any():
                return None
            everything = np.vstack([everything, new])
            front = new
            if small:
                everything = irredundant(everything)
                front = _among(new, everything)
            if len(everything) > most or len(front) * len(closed) > MAX_IMAGES:
                return None
    except ValueError:
        return None
    return None


def _among(rows: Array, kept: Array) -> Array:
    known = {row.tobytes() for row in kept}
    return np.array([row for row in rows if row.tobytes() in known]).reshape(-1, rows.shape[1])


def _reach(rows: Array, init: Array) -> Array:
    """The greatest value of each row on the initial box."""
    return np.asarray(np.maximum(rows * init[0], rows * init[1]).sum(axis=1))


def _cutting(h: Array, new: Array, small: bool, budget: Budget) -> Array:
    """Those of the new rows that cut something off ``h z <= 1``."""
    if small:
        corners = vertices(h)
        if corners is None:
            raise ValueError("the polytope is not bounded")
        return np.asarray(new[(new @ corners.T).max(axis=1) > 1 + 1e-9])
    ones = np.ones(len(h))
    keep = np.zeros(len(new), dtype=bool)
    for i, row in enumerate(new):
        budget.check("invariant polytope of an LQR gain")
        keep[i] = maximum(row, h, ones) > 1 + 1e-9
    return np.asarray(new[keep])
