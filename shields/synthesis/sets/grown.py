"""Ellipsoids that are grown from the initial set: a Riccati gain's own Lyapunov function, at a level.

About an equilibrium the remainder of a nonlinear step falls with the square of the set's size: a
small ellipsoid is nearly always kept, as long as it holds the initial set. For each of many weights
the gain of the linearisation and a quadratic Lyapunov function of the closed loop are computed; its
least level holds the initial box, its greatest lies in S with allowed inputs; from the greatest
down to the least the first is taken at which the step keeps it from sample points; for a linear
step, at which its norm and the disturbance's do. No semidefinite program is solved, so it is also
the first try in many dimensions.

Source: H. K. Khalil, Nonlinear Systems, 3rd ed., 2002, sections 8.2 and 9.1 (estimates of a region
of attraction by a quadratic Lyapunov function); the sum of an ellipsoid and segments as there in
`nprl.shields.synthesis.proofs.direct_squares`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, solve_discrete_lyapunov

from nprl.shields.synthesis.budget import Budget
from nprl.shields.synthesis.sets.ellipsoid import INSIDE, Ellipsoid, exact_ellipsoid
from nprl.shields.synthesis.sets.lqr import lqr_gain
from nprl.shields.synthesis.views.equilibrium import LEAST_REACH, Point, half_inputs
from nprl.shields.synthesis.views.linearise import Inclusion, inclusion
from nprl.shields.synthesis.views.numeric import Array
from nprl.shields.synthesis.views.problem import Problem, Unsuitable

METHOD = "ellipsoid, grown from the starts"
EFFORTS = tuple(10.0**k for k in range(-4, 4))
"""Weights of the inputs, beside states in units of the starts or of the ranges."""
RATES = (None, 0.999, 0.99, 0.97, 0.9, 0.8)
"""Of the Lyapunov function's decrease by a step, less than the loop's own; None: Riccati's."""
LEVELS = 12
"""How many levels are tried, evenly in their logarithm, from the greatest down."""
WIDER = 1.02
"""The box of the remainder, beside the ellipsoid's own."""
ROOM = 1e-4
"""The part of the level that each step leaves free, at least."""
SAMPLES = 2_000
MOST_CORNERS = 2**12
MAX_FOUND = 3
SMALLER = 0.35
"""The level of the next try, after one whose proof failed."""


@dataclass(frozen=True, slots=True)
class Shape:
    """``x' P x`` of the state less the centre, in units, its gain, and the levels it may have."""

    p: Array
    k: Array
    low: float
    high: float

    def half(self, level: float) -> tuple[Array, Array]:
        """How far the states and the inputs reach."""
        spread = np.linalg.inv(self.p) * level
        inputs = np.einsum("mi,ij,mj->m", self.k, spread, self.k)
        return np.sqrt(np.diag(spread)), np.sqrt(np.maximum(inputs, 0.0))

    def volume(self, level: float) -> float:
        """Its logarithm, up to a constant."""
        return float(len(self.p) * np.log(level) - np.linalg.slogdet(self.p)[1]) / 2


def grown_ellipsoids(
    problem: Problem, point: Point, seed: int, budget: Budget
) -> Iterator[tuple[Inclusion, Ellipsoid]]:
    """The largest found, then smaller ones, last the one that shrinks most; each with an affine map; a few.

    Raises:
        OutOfTime: where the budget's time is over.
    """
    straight = inclusion(problem, point, seed=seed).linear
    found: list[tuple[float, float, Shape]] = []
    smallest: list[tuple[float, Shape]] = []
    points = ball(problem.n, seed)
    for shape in _shapes(problem, point):
        budget.check("grown ellipsoid")
        best = max((size for size, _, _ in found), default=-np.inf)
        level = _level(problem, point, shape, best, straight, points)
        if level is not None:
            found.append((shape.volume(level), level, shape))
        if not straight:
            smallest.append((worst(problem, point, shape, shape.low, points), shape))
    if not found:
        return
    _, level, shape = max(found, key=lambda one: one[0])
    tries = [(level, shape)]
    while len(tries) < MAX_FOUND and tries[-1][0] > shape.low:
        tries.append((max(tries[-1][0] * SMALLER, shape.low), shape))
    if smallest:
        surest = min(smallest, key=lambda one: one[0])[1]
        if not any(one is surest and level == surest.low for level, one in tries):
            tries.append((surest.low, surest))
    for level, shape in tries:
        kept = mapped(problem, point, shape, level, seed)
        if kept is not None:
            yield kept


def _shapes(problem: Problem, point: Point) -> Iterator[Shape]:
    """For all weights and rates: what holds the starts and lies in S."""
    corners, inputs = start_corners(problem, point), half_inputs(problem)
    for unit, effort, k, closed in _loops(problem, point):
        for p in _lyapunov(closed, k, effort):
            yield from _levels(
                problem, point, p / np.outer(unit, unit), inputs[:, None] * k / unit, corners
            )


def gains(problem: Problem, point: Point) -> Iterator[Array]:
    """Gains for all weights, shape (m, n), in the state's and the inputs' own units."""
    inputs = half_inputs(problem)
    for unit, _, k, _ in _loops(problem, point):
        yield inputs[:, None] * k / unit


def _loops(problem: Problem, point: Point) -> Iterator[tuple[Array, float, Array, Array]]:
    """Units of the state, a weight of the inputs, the gain and the closed loop for both, in units."""
    _, a, b = problem.linearised(point.x[None], point.u[None], problem.w[0])
    a, b = a[0], b[0]
    box = np.array([float(c.high - c.low) / 2 for c in problem.model.state])
    away = np.maximum(np.abs(problem.init_high - point.x), np.abs(problem.init_low - point.x))
    inputs = half_inputs(problem)
    starts = np.minimum(np.maximum(away, LEAST_REACH * box), box)
    units = [starts, np.sqrt(starts * box), box]
    small = np.where(away > 0, away, starts)
    if (small < starts).any():  # ranges say little of what starts a thousandth of them apart
        units += [small, np.sqrt(small * box)]
    for unit in units if problem.m else units[:1]:
        scaled = a * unit / unit[:, None]
        steer = b * inputs / unit[:, None]
        for effort in EFFORTS if problem.m else (1.0,):
            k = np.zeros((0, problem.n))
            if problem.m:
                gain = lqr_gain(scaled, steer, np.ones(problem.n), np.full(problem.m, effort))
                if gain is None:
                    continue
                k = gain
            yield unit, effort, k, scaled + steer @ k


def _lyapunov(closed: Array, k: Array, effort: float) -> Iterator[Array]:
    """Matrices P with ``closed' P closed < P``."""
    n = len(closed)
    own = float(np.abs(np.linalg.eigvals(closed)).max())
    if own >= 1:
        return
    for rate in RATES:
        factor = 1.0 if rate is None else float(np.sqrt(rate))
        if own >= factor * (1 - 1e-6):
            return
        weight = np.eye(n) + effort * k.T @ k if rate is None else np.eye(n)
        try:
            p = solve_discrete_lyapunov((closed / factor).T, weight)
        except (LinAlgError, ValueError):
            return
        p = (p + p.T) / 2
        if np.isfinite(p).all() and np.linalg.eigvalsh(p)[0] > 1e-12 * np.abs(p).max():
            yield p


def start_corners(problem: Problem, point: Point) -> Array | None:
    """The corners of the initial box less the point; None where they are too many."""
    varying = int((problem.init_high > problem.init_low).sum())
    return problem.init_vertices() - point.x if 2**varying <= MOST_CORNERS else None


def _levels(
    problem: Problem, point: Point, p: Array, k: Array, corners: Array | None
) -> Iterator[Shape]:
    """The shape with its range of levels, if that is not empty."""
    if corners is not None:
        low = float(np.einsum("ki,ij,kj->k", corners, p, corners).max())
    else:
        away = np.maximum(np.abs(problem.init_high - point.x), np.abs(problem.init_low - point.x))
        low = float(away @ np.abs(p) @ away)
    spread = np.linalg.inv(p)
    rows = np.vstack([problem.h, k, -k])
    room = np.concatenate(
        [problem.b - problem.h @ point.x, problem.u_high - point.u, point.u - problem.u_low]
    )
    reach = np.einsum("ri,ij,rj->r", rows, spread, rows)
    some = reach > 0
    high = float(((INSIDE * room[some]) ** 2 / reach[some]).min())
    low *= 1 + 1e-3
    if 0 < low <= high:
        yield Shape(p, k, low, high)


def _level(
    problem: Problem, point: Point, shape: Shape, best: float, straight: bool, points: Array
) -> float | None:
    """The greatest level at which it is kept and has more volume than the best; None if there is none."""
    for level in np.geomspace(shape.high, shape.low, LEVELS):
        if shape.volume(float(level)) <= best:
            return None
        if straight:
            found = mapped(problem, point, shape, float(level), 0)
            if found is not None and _kept_surely(found[0], shape, float(level)):
                return float(level)
        elif worst(problem, point, shape, float(level), points) <= 1 - ROOM:
            return float(level)
    return None


def _kept_surely(maps: Inclusion, shape: Shape, level: float) -> bool:
    """Whether one map, the disturbance and a box for the rest keep it, in floats."""
    p = shape.p * np.outer(maps.unit, maps.unit) / level
    root = np.linalg.cholesky(p).T
    k = shape.k * maps.unit / maps.reach[:, None]
    closed = root @ (maps.a[0] + maps.b[0] @ k) @ np.linalg.inv(root)
    added = np.linalg.norm(root @ np.column_stack([maps.g, maps.offset]), axis=0).sum()
    return bool((np.linalg.norm(closed, 2) + added) ** 2 <= 1 - ROOM)


def worst(problem: Problem, point: Point, shape: Shape, level: float, points: Array) -> float:
    """The greatest value after a step from sample points, under the disturbance's corners; the level is 1."""
    x = point.x + points @ np.linalg.cholesky(np.linalg.inv(shape.p) * level).T
    u = point.u + (x - point.x) @ shape.k.T
    most = 0.0
    for w in problem.w:
        away = problem.next(x, u, w) - point.x
        most = max(most, float(np.einsum("ki,ij,kj->k", away, shape.p, away).max()) / level)
    return most if np.isfinite(most) else np.inf


def ball(n: int, seed: int) -> Array:
    """Points of the unit ball, most of them on its surface."""
    x = np.random.default_rng(seed).normal(size=(SAMPLES, n))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return np.vstack([x, x[::4] * 0.7, x[::4] * 0.4, np.eye(n), -np.eye(n), np.zeros((1, n))])


def mapped(
    problem: Problem, point: Point, shape: Shape, level: float, seed: int
) -> tuple[Inclusion, Ellipsoid] | None:
    """The ellipsoid with one map of its box."""
    half, input_half = shape.half(level)
    inputs = np.maximum(input_half * WIDER, 1e-9 * half_inputs(problem))
    try:
        maps = inclusion(problem, point, half * WIDER, inputs, remainder=True, seed=seed)
    except Unsuitable:
        return None
    q: Array = np.asarray(
        np.linalg.inv(shape.p * np.outer(maps.unit, maps.unit) / level), dtype=np.float64
    )
    k = shape.k * maps.unit / maps.reach[:, None]
    return maps, exact_ellipsoid(maps, q, np.asarray(k @ q, dtype=np.float64), 1.0, 0.0)


__all__ = [
    "METHOD",
    "ROOM",
    "Shape",
    "ball",
    "gains",
    "grown_ellipsoids",
    "mapped",
    "start_corners",
    "worst",
]
