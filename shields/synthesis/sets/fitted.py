"""Ellipsoids fitted to the true step: for a gain, a matrix that a semidefinite program finds from sample points.

A Lyapunov function of the linearisation knows nothing of S, of the inputs' bounds, and of what is
curved. Here, for a gain and a multiplier ``rate``, the matrix P of ``V = (x - c)' P (x - c)`` is sought with

    V(next) <= rate V(x) + 1 - rate - slack

at sample points under every corner of the disturbance, V <= 1 at the starts' corners, {V <= 1} in S
with allowed inputs, and the greatest slack. All that is linear in P. The points that break it in
the set that was found join the samples, some times.

Source: S. Boyd et al., Linear Matrix Inequalities in System and Control Theory, 1994, section 5.2;
J. Kapinski et al., Simulation-guided Lyapunov analysis, HSCC 2014 (samples, then counterexamples).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import cvxpy as cp
import numpy as np

from nprl.shields.synthesis.budget import Budget
from nprl.shields.synthesis.sets.ellipsoid import INSIDE, Ellipsoid
from nprl.shields.synthesis.sets.grown import ROOM, Shape, ball, gains, mapped, start_corners, worst
from nprl.shields.synthesis.views.equilibrium import Point
from nprl.shields.synthesis.views.linearise import Inclusion
from nprl.shields.synthesis.views.numeric import Array
from nprl.shields.synthesis.views.problem import Problem

METHOD = "ellipsoid, fitted to the step"
MOST_STATES = 7
SHARES = (0.7, 0.3)
"""Of a loop's own decrease: what the multiplier takes; the greater leaves a proof more."""
MOST_GAINS = 12
ROUNDS = 5
ADDED, FIRST = 60, 40
"""Sample points that join in a round, and those about the starts."""
WIDE = 1.5
"""The first samples lie in the starts' box about the centre, so much wider."""
MOST_CORNERS = 64
EDGE = 1e-3


def fitted_ellipsoids(
    problem: Problem, point: Point, seed: int, budget: Budget
) -> Iterator[tuple[Inclusion, Ellipsoid]]:
    """One for each of some gains, as they are found.

    Raises:
        OutOfTime: where the budget's time is over.
    """
    corners = start_corners(problem, point)
    if problem.n > MOST_STATES or corners is None or len(corners) > MOST_CORNERS:
        return
    points = ball(problem.n, seed)
    for k, own in _spread(problem, point):
        for share in SHARES:
            shape = _fitted(problem, point, k, 1 - share * (1 - own**2), corners, points, budget)
            kept = None if shape is None else mapped(problem, point, shape, 1.0, seed)
            if kept is not None:
                yield kept
                break


def _spread(problem: Problem, point: Point) -> list[tuple[Array, float]]:
    """Some gains, of all kinds, in the state's own units, with the spectral radius of their loops."""
    _, a, b = problem.linearised(point.x[None], point.u[None], problem.w[0])
    every = []
    for k in gains(problem, point):
        own = float(np.abs(np.linalg.eigvals(a[0] + b[0] @ k)).max())
        if own < 1:
            every.append((k, own))
    order = np.random.default_rng(0).permutation(len(every))[:MOST_GAINS]
    return [every[i] for i in order]


def _fitted(
    problem: Problem,
    point: Point,
    k: Array,
    rate: float,
    corners: Array,
    points: Array,
    budget: Budget,
) -> Shape | None:
    """The matrix of the greatest slack, with its gain; None where sample points still break it."""
    unit = np.array([float(c.high - c.low) / 2 for c in problem.model.state])
    reach = np.abs(corners).max(axis=0)
    unit = np.sqrt(unit * np.where(reach > 0, reach, EDGE * unit))
    rows = np.vstack([problem.h, k, -k]) * unit
    room = INSIDE * np.concatenate(
        [problem.b - problem.h @ point.x, problem.u_high - point.u, point.u - problem.u_low]
    )
    if (room <= 0).any():
        return None
    p = cp.Variable((problem.n, problem.n), symmetric=True)
    slack = cp.Variable()
    rows = rows / room[:, None]
    fixed = [cp.bmat([[np.eye(1), row[None]], [row[:, None], p]]) >> 0 for row in rows if row.any()]
    fixed += [cp.sum(cp.multiply(np.outer(z, z), p)) <= 1 - EDGE for z in corners / unit]
    fixed += [slack <= 1 - rate]
    _, a, b = problem.linearised(point.x[None], point.u[None], problem.w[0])
    loop = (a[0] + b[0] @ k) * unit / unit[:, None]
    fixed += [rate * p - loop.T @ p @ loop >> 0]
    x = point.x + points[:: len(points) // FIRST] * (WIDE * np.maximum(reach, EDGE * unit))
    x = np.vstack([x, point.x + corners])
    for _ in range(ROUNDS):
        quadratic, offset = _decrease(problem, point, k, rate, x, unit)
        program = cp.Problem(
            cp.Maximize(slack),
            [*fixed, quadratic @ cp.vec(p, order="C") + slack <= offset],
        )
        if not _solved(program, budget) or p.value is None or float(slack.value) < ROOM:
            return None
        shape = Shape((p.value + p.value.T) / 2 / np.outer(unit, unit), k, 1.0, 1.0)
        if np.linalg.eigvalsh(p.value)[0] <= 0:
            return None
        if worst(problem, point, shape, 1.0, points) <= 1 - ROOM:
            return shape
        inside = point.x + points @ np.linalg.cholesky(np.linalg.inv(shape.p)).T
        quadratic, offset = _decrease(problem, point, k, rate, inside, unit)
        broken = quadratic @ p.value.reshape(-1) - offset
        most = broken.reshape(len(problem.w), -1).max(axis=0)
        x = np.vstack([x, inside[np.argsort(-most)[:ADDED]]])
    return None


def _decrease(
    problem: Problem, point: Point, k: Array, rate: float, x: Array, unit: Array
) -> tuple[Array, Array]:
    """Rows q and numbers o of ``q.vec(P) <= o``, for all x (N, n) and corners of the disturbance."""
    z = (x - point.x) / unit
    u = point.u + (x - point.x) @ k.T
    quadratic = []
    for w in problem.w:
        away = (problem.next(x, u, w) - point.x) / unit
        quadratic.append(np.einsum("ki,kj->kij", away, away) - rate * np.einsum("ki,kj->kij", z, z))
    rows = np.concatenate(quadratic).reshape(-1, problem.n**2)
    return rows, np.full(len(rows), 1 - rate)


def _solved(program: cp.Problem, budget: Budget) -> bool:
    options = budget.options(METHOD)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            program.solve(solver=cp.CLARABEL, max_threads=1, **options)
        except cp.SolverError:
            return False
    return program.status in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE)


__all__ = ["METHOD", "fitted_ellipsoids"]
