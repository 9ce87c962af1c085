"""Equilibria well inside S: the points about which a system is linearised.

A sequence of linear programs; numeric, a proposal like all of synthesis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from nprl.shields.synthesis.views.numeric import Array
from nprl.shields.synthesis.views.problem import Problem, Unsuitable

NEAR = 0.2
"""The part of the largest margin that the equilibrium nearest to the starts keeps."""
SCATTERED, MOST_DRAWN = 8, 2_000
"""Points of S from which an equilibrium is sought, and the random ones of which they are some."""
ENDS = ("low", "high")
LEAST_REACH = 0.01
"""Of the range: what a coordinate that starts at one value counts as."""


@dataclass(frozen=True)
class Point:
    """A state well inside S and an input well inside U that (nearly) keeps it, at the nominal disturbance."""

    x: Array
    u: Array
    residual: Array
    """``f(x, u) - x``, shape (n,)."""
    margin: float
    """The distance to the nearest row of S or of U, relative to half the row's range."""


def equilibria(problem: Problem) -> list[Point]:
    """Points that some input keeps: the one farthest inside S and U, then the one nearest to the starts.

    Each by a sequence of linear programs: largest relative margin, or least distance to the starts
    with a part of that margin, subject to the linearised fixpoint equation; from the middle of S and
    of the starts, and if these come to none from points all over S. If there is none, the middle of S.

    Raises:
        Unsuitable: where S has no inside.
    """
    span = _half_range(problem)
    start = _program(problem, span, None, None, 1.0)[0]
    begins = [start, (problem.init_low + problem.init_high) / 2]
    found = _fixpoints(problem, span, begins, 1.0)
    if not found:
        begins = _scattered(problem)
        found = _fixpoints(problem, span, begins, 1.0)
    if found:
        best = max(found, key=lambda p: p.margin)
        near = _fixpoints(problem, span, begins, NEAR * best.margin)
        others = [p for p in near if np.abs((p.x - best.x) / _box(problem)).max() > 1e-3]
        return [best, *others[:1]]
    u, start = (problem.u_low + problem.u_high) / 2, _snap(start, _box(problem))
    f = problem.next(start[None], u[None], problem.w[0])[0]
    margin = float(((problem.b - problem.h @ start) / span).min())
    if margin <= 1e-6:
        raise Unsuitable("a safe set with no inside")
    return [Point(start, u, f - start, margin)]


def nearest(problem: Problem) -> Point | None:
    """The point inside S and U nearest to the starts, in units of their reach, that some input keeps.

    However near to a face of S it may be; None where the programs come to none.
    """
    away = (problem.init_high - problem.init_low) / 2
    unit = np.where(away > 0, away, LEAST_REACH * _box(problem))
    middle = (problem.init_low + problem.init_high) / 2
    try:
        found = _fixpoints(problem, _half_range(problem), [middle], 1e-9, unit)
    except Unsuitable:
        return None
    return min(found, key=lambda p: float(np.abs((p.x - middle) / unit).sum()), default=None)


def _scattered(problem: Problem) -> list[Array]:
    """Some points of S, those nearest to the starts first."""
    low, high = (np.array([float(getattr(c, e)) for c in problem.model.state]) for e in ENDS)
    x = low + (high - low) * np.random.default_rng(0).random((MOST_DRAWN, problem.n))
    x = x[(x @ problem.h.T <= problem.b).all(axis=1)]
    away = np.abs((x - (problem.init_low + problem.init_high) / 2) / _box(problem)).max(axis=1)
    return list(x[np.argsort(away)][:: max(1, len(x) // SCATTERED)][:SCATTERED])


def _fixpoints(
    problem: Problem, span: Array, begins: list[Array], cap: float, unit: Array | None = None
) -> list[Point]:
    """What the programs come to from some points.

    With a ``unit`` for each coordinate (shape (n,)) instead of the ranges, by no margin but the least.
    """
    box, least = (_box(problem), 1e-3) if unit is None else (unit, 0.0)
    found: list[Point] = []
    for begin in begins:
        x, u = begin.copy(), (problem.u_low + problem.u_high) / 2
        for _ in range(12):
            f, a, b = problem.linearised(x[None], u[None], problem.w[0])
            matrix = np.hstack([a[0] - np.eye(problem.n), b[0]])
            goal = matrix @ np.concatenate([x, u]) - (f[0] - x)
            x, u = _program(problem, span, matrix, goal, cap, unit)
        x, u = _snap(x, box), _snap(u, half_inputs(problem))
        residual = problem.next(x[None], u[None], problem.w[0])[0] - x
        margin = min(
            *((problem.b - problem.h @ x) / span).tolist(),
            *(np.minimum(u - problem.u_low, problem.u_high - u) / half_inputs(problem)).tolist(),
        )
        if float(np.abs(residual / box).max()) < 1e-5 and margin > least:
            found.append(Point(x, u, residual, margin))
    return found


def _snap(value: Array, scale: Array) -> Array:
    """Rounded to few bits, relative to a scale."""
    quantum = np.exp2(np.floor(np.log2(scale)) - 24)
    return np.asarray(np.round(value / quantum) * quantum + 0.0)


def half_inputs(problem: Problem) -> Array:
    """Half the width of U."""
    return np.asarray((problem.u_high - problem.u_low) / 2)


def _box(problem: Problem) -> Array:
    """Half the width of the ranges."""
    return np.array([float(c.high - c.low) / 2 for c in problem.model.state])


def _half_range(problem: Problem) -> Array:
    """Half of how far each row reaches on the ranges."""
    return np.asarray(np.abs(problem.h) @ _box(problem))


def _program(
    problem: Problem,
    span: Array,
    matrix: Array | None,
    goal: Array | None,
    cap: float,
    unit: Array | None = None,
) -> tuple[Array, Array]:
    """Max t - small |x - starts| - large |matrix (x, u) - goal|, rows and inputs with margin t <= cap."""
    n, m = problem.n, problem.m
    box, reach = _box(problem) if unit is None else unit, half_inputs(problem)
    middle = (problem.init_low + problem.init_high) / 2
    size = n + m + 1 + n + n  # x, u, t, |x - middle|, |residual|
    rows, rhs = [], []

    def add(entries: dict[int, Array], bound: Array) -> None:
        block = np.zeros((len(bound), size))
        for column, values in entries.items():
            block[:, column : column + values.shape[1]] = values
        rows.append(block)
        rhs.append(bound)

    add({0: problem.h, n + m: span[:, None]}, problem.b)
    add({n: np.eye(m), n + m: reach[:, None]}, problem.u_high)
    add({n: -np.eye(m), n + m: reach[:, None]}, -problem.u_low)
    for sign in (1.0, -1.0):
        add({0: sign * np.eye(n), n + m + 1: -np.diag(box)}, sign * middle)
        if matrix is not None and goal is not None:
            scale = 1 / box[:, None]
            add({0: sign * scale * matrix, n + m + 1 + n: -np.eye(n)}, sign * scale[:, 0] * goal)
    cost = np.concatenate([np.zeros(n + m), [-1.0], np.full(n, 1e-3), np.full(n, 1e4)])
    bounds = (
        [(None, None)] * (n + m)
        + [(None if unit is None else cap / 2, cap)]
        + [(0, None)] * (2 * n)
    )
    result = linprog(cost, np.vstack(rows), np.concatenate(rhs), bounds=bounds, method="highs")
    if result.status != 0:
        raise Unsuitable("a safe set with no inside")
    return np.asarray(result.x[:n]), np.asarray(result.x[n : n + m])
