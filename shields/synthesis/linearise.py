"""Equilibria inside S, and linear inclusions: the next state lies in the hull of a few affine maps.

About a point (x*, u*) the mean value theorem gives ``f(x, u) = f(x*, u*) + A (x - x*) + B (u -
u*)`` with A, B the derivatives averaged along the segment. They are sampled over a box; the hull of
what was seen, a little widened, is spanned by few vertices. This is numeric: it proposes, the exact
proof comes later.

Source: S. Boyd et al., Linear Matrix Inequalities in System and Control Theory, 1994, section 4.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.optimize import linprog

from nprl.shields.synthesis.numeric import Array
from nprl.shields.synthesis.problem import Problem, Unsuitable

SAMPLES = 1024
MAX_DIRECTIONS = 6
NEAR = 0.2
"""The part of the largest margin that the equilibrium nearest to the starts keeps."""
WIDEN = 1.01
"""The sampled hull is stretched about its middle by this factor."""

SPARE = 3.0
"""The prover's bounds on a remainder are wider than the samples': it treats products as independent."""


@dataclass(frozen=True)
class Point:
    """A state well inside S and an input well inside U that (nearly) keeps it, at the nominal disturbance."""

    x: Array
    u: Array
    residual: Array
    """``f(x, u) - x``, shape (n,)."""
    margin: float
    """The distance to the nearest row of S or of U, relative to half the row's range."""


@dataclass(frozen=True)
class Inclusion:
    """``z' in hull {A_i z + B_i v} + offset + G [-1, 1]^p``, z = (x - x*) / unit, v = (u - u*) / reach.

    Shapes: a (k, n, n), b (k, n, m), offset (n,), g (n, p); ``lows`` and ``highs`` (m,) bound v,
    ``h`` (r, n) is S and the ranges as ``h z <= 1``.
    """

    centre: Array
    input_centre: Array
    unit: Array
    reach: Array
    a: Array
    b: Array
    offset: Array
    g: Array
    lows: Array
    highs: Array
    h: Array

    @property
    def linear(self) -> bool:
        """Whether one affine map is enough."""
        return len(self.a) == 1

    @property
    def same_inputs(self) -> bool:
        """Whether B is the same in all maps."""
        return bool(np.abs(self.b - self.b[0]).max() <= 1e-9 * max(np.abs(self.b).max(), 1e-300))

    def support(self, h: Array) -> Array:
        """The greatest ``h.(offset + G e)`` for each row of h (r, n), shape (r,)."""
        return np.asarray(h @ self.offset + np.abs(h @ self.g).sum(axis=1))

    def disturbances(self) -> Array:
        """The corners of ``offset + G [-1, 1]^p``, shape (q, n)."""
        signs = np.array(list(product((-1.0, 1.0), repeat=self.g.shape[1])))
        return self.offset + signs.reshape(len(signs), self.g.shape[1]) @ self.g.T


def equilibria(problem: Problem) -> list[Point]:
    """Points that some input keeps: the one farthest inside S and U, then the one nearest to the starts.

    Each by a sequence of linear programs: largest relative margin, or least distance to the starts
    with a part of that margin, subject to the linearised fixpoint equation. If there is none, the
    middle of S.

    Raises:
        Unsuitable: where S has no inside.
    """
    span = _half_range(problem)
    start = _program(problem, span, None, None, 1.0)[0]
    found = _fixpoints(problem, span, start, 1.0)
    if found:
        best = max(found, key=lambda p: p.margin)
        near = _fixpoints(problem, span, start, NEAR * best.margin)
        others = [p for p in near if np.abs((p.x - best.x) / _box(problem)).max() > 1e-3]
        return [best, *others[:1]]
    u, start = (problem.u_low + problem.u_high) / 2, _snap(start, _box(problem))
    f = problem.next(start[None], u[None], problem.w[0])[0]
    margin = float(((problem.b - problem.h @ start) / span).min())
    if margin <= 1e-6:
        raise Unsuitable("a safe set with no inside")
    return [Point(start, u, f - start, margin)]


def _fixpoints(problem: Problem, span: Array, start: Array, cap: float) -> list[Point]:
    """What the programs come to, from the middle of S and from the middle of the starts."""
    found: list[Point] = []
    for begin in (start, (problem.init_low + problem.init_high) / 2):
        x, u = begin.copy(), (problem.u_low + problem.u_high) / 2
        for _ in range(12):
            f, a, b = problem.linearised(x[None], u[None], problem.w[0])
            matrix = np.hstack([a[0] - np.eye(problem.n), b[0]])
            goal = matrix @ np.concatenate([x, u]) - (f[0] - x)
            x, u = _program(problem, span, matrix, goal, cap)
        x, u = _snap(x, _box(problem)), _snap(u, _reach(problem))
        residual = problem.next(x[None], u[None], problem.w[0])[0] - x
        margin = min(
            float(((problem.b - problem.h @ x) / span).min()),
            float((np.minimum(u - problem.u_low, problem.u_high - u) / _reach(problem)).min()),
        )
        if float(np.abs(residual / _box(problem)).max()) < 1e-5 and margin > 1e-3:
            found.append(Point(x, u, residual, margin))
    return found


def _snap(value: Array, scale: Array) -> Array:
    """Rounded to few bits, relative to a scale."""
    quantum = np.exp2(np.floor(np.log2(scale)) - 24)
    return np.asarray(np.round(value / quantum) * quantum + 0.0)


def _reach(problem: Problem) -> Array:
    return np.asarray((problem.u_high - problem.u_low) / 2)


def _box(problem: Problem) -> Array:
    """Half the width of the ranges."""
    return np.array([float(c.high - c.low) / 2 for c in problem.model.state])


def _half_range(problem: Problem) -> Array:
    """Half of how far each row reaches on the ranges."""
    return np.asarray(np.abs(problem.h) @ _box(problem))


def _program(
    problem: Problem, span: Array, matrix: Array | None, goal: Array | None, cap: float
) -> tuple[Array, Array]:
    """Max t - small |x - starts| - large |matrix (x, u) - goal|, rows and inputs with margin t <= cap."""
    n, m = problem.n, problem.m
    box, reach = _box(problem), _reach(problem)
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
    bounds = [(None, None)] * (n + m) + [(None, cap)] + [(0, None)] * (2 * n)
    result = linprog(cost, np.vstack(rows), np.concatenate(rhs), bounds=bounds, method="highs")
    if result.status != 0:
        raise Unsuitable("a safe set with no inside")
    return np.asarray(result.x[:n]), np.asarray(result.x[n : n + m])


def inclusion(
    problem: Problem,
    point: Point,
    half: Array | None = None,
    input_half: Array | None = None,
    *,
    remainder: bool = False,
    seed: int = 0,
) -> Inclusion:
    """The linear inclusion about ``point``, for states within S and within ``point.x +- half`` (all of S, if None).

    Inputs lie within ``point.u +- input_half`` (all of U, if None). With ``remainder`` it is one
    affine map, and a box that holds what the map leaves; otherwise the hull of several maps.
    """
    low = np.array([float(c.low) for c in problem.model.state])
    high = np.array([float(c.high) for c in problem.model.state])
    low, high = _tight(problem, low, high)
    u_low, u_high = problem.u_low, problem.u_high
    if half is not None:
        low, high = np.maximum(low, point.x - half), np.minimum(high, point.x + half)
    if input_half is not None:
        u_low, u_high = (
            np.maximum(u_low, point.u - input_half),
            np.minimum(u_high, point.u + input_half),
        )
    unit = np.maximum(np.maximum(high - point.x, point.x - low), 1e-12)
    reach = np.maximum(_reach(problem), 1e-12)
    x, u = _spread(problem, (low, high), (u_low, u_high), seed)
    if remainder:
        pairs, rest, offset = _fitted(problem, point, x, u, unit, reach)
        rest = rest * SPARE
    else:
        a, b = _averaged(problem, point, x, u)
        a = a * unit[None, None, :] / unit[None, :, None]
        b = b * reach[None, None, :] / unit[None, :, None]
        pairs, rest = _hull(np.concatenate([a, b], axis=2))
        offset = point.residual / unit
    g = np.hstack([_generators(problem, x, u, unit), rest])
    margin = problem.b - problem.h @ point.x
    rows = problem.h * unit / margin[:, None]
    if half is not None:
        eye = np.eye(problem.n)
        sides = [eye * (unit / (high - point.x))[:, None], -eye * (unit / (point.x - low))[:, None]]
        rows = np.vstack([rows, *sides])
    return Inclusion(
        centre=point.x,
        input_centre=point.u,
        unit=unit,
        reach=reach,
        a=pairs[:, :, : problem.n],
        b=pairs[:, :, problem.n :],
        offset=offset,
        g=g,
        lows=(u_low - point.u) / reach,
        highs=(u_high - point.u) / reach,
        h=rows,
    )


def _fitted(
    problem: Problem, point: Point, x: Array, u: Array, unit: Array, reach: Array
) -> tuple[Array, Array, Array]:
    """One map (1, n, n + m) near the step, generators of the box that holds what it leaves, and the offset."""
    f = problem.next(x, u, problem.w[0])
    z = np.hstack([(x - point.x) / unit, (u - point.u) / reach])
    goal = (f - point.x) / unit
    matrix, *_ = np.linalg.lstsq(z, goal - point.residual / unit, rcond=None)
    matrix = np.where(np.abs(matrix) < 1e-12, 0.0, np.asarray(matrix, dtype=np.float64))
    left = goal - z @ matrix
    offset: Array = (left.max(axis=0) + left.min(axis=0)) / 2
    radius = np.ptp(left, axis=0) / 2 * WIDEN
    offset = np.where(radius + np.abs(offset) < 1e-10, 0.0, offset)
    box = np.diag(np.asarray(radius, dtype=np.float64))
    return np.asarray(matrix.T[None], dtype=np.float64), box[:, radius > 1e-10], offset


def _tight(problem: Problem, low: Array, high: Array) -> tuple[Array, Array]:
    """The ranges cut down by the rows of S in one variable."""
    low, high = low.copy(), high.copy()
    for a, b in zip(problem.h, problem.b, strict=True):
        (i,) = used if len(used := np.flatnonzero(a)) == 1 else (-1,)
        if i >= 0 and a[i] > 0:
            high[i] = min(high[i], b / a[i])
        elif i >= 0:
            low[i] = max(low[i], b / a[i])
    return low, high


def _spread(
    problem: Problem, states: tuple[Array, Array], inputs: tuple[Array, Array], seed: int
) -> tuple[Array, Array]:
    """States and inputs all over a box: quasi-random, and corners of it."""
    lows = np.concatenate([states[0], inputs[0]])
    highs = np.concatenate([states[1], inputs[1]])
    rng = np.random.default_rng(seed)
    root = 2.0  # Roberts' sequence: steps by powers of the root of r^(d + 1) = r + 1, mod 1
    for _ in range(60):
        root = (1 + root) ** (1 / (len(lows) + 1))
    steps = root ** -np.arange(1, len(lows) + 1)
    inner = (rng.random(len(lows)) + np.outer(np.arange(SAMPLES), steps)) % 1.0
    if len(lows) <= 10:
        outer = np.array(list(product((0.0, 1.0), repeat=len(lows))))
    else:
        outer = rng.integers(0, 2, (SAMPLES, len(lows))).astype(np.float64)
    edges = inner.copy()  # the inner points pushed to random faces
    push = rng.random(edges.shape) < 0.5
    edges[push] = np.round(edges[push])
    points = lows + np.vstack([outer, inner, edges]) * (highs - lows)
    return points[:, : problem.n], points[:, problem.n :]


def _averaged(problem: Problem, point: Point, x: Array, u: Array) -> tuple[Array, Array]:
    """The derivatives averaged along the segments from the point to (x, u)."""
    nodes, weights = np.polynomial.legendre.leggauss(12)
    a = np.zeros((len(x), problem.n, problem.n))
    b = np.zeros((len(x), problem.n, problem.m))
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        at_x, at_u = point.x + node * (x - point.x), point.u + node * (u - point.u)
        _, da, db = problem.linearised(at_x, at_u, problem.w[0])
        a, b = a + weight * da, b + weight * db
    return a, b


def _hull(matrices: Array) -> tuple[Array, Array]:
    """Vertices of a box, in the principal directions, round the matrices (N, n, n + m); what is left as generators."""
    count, n, k = matrices.shape
    flat = matrices.reshape(count, n * k)
    middle = (flat.max(axis=0) + flat.min(axis=0)) / 2
    away = flat - middle
    size = max(float(np.abs(flat).max()), 1e-300)
    _, sigma, directions = np.linalg.svd(away - away.mean(axis=0), full_matrices=False)
    if float(np.abs(away).max()) <= 1e-10 * size:
        return middle.reshape(1, n, k), np.zeros((n, 0))
    used = int((sigma / np.sqrt(count) > 2e-6 * size).sum())
    basis = directions[: max(min(used, MAX_DIRECTIONS), 1)]
    along = away @ basis.T
    centre, radius = (along.max(axis=0) + along.min(axis=0)) / 2, np.ptp(along, axis=0) / 2 * WIDEN
    signs = np.array(list(product((-1.0, 1.0), repeat=len(basis))))
    corners = middle + (centre + signs * radius) @ basis
    left = (
        np.abs(away - along @ basis).max(axis=0).reshape(n, k).sum(axis=1) * WIDEN
    )  # |z|, |v| <= 1
    some = left > 1e-5  # less is left to the slack of the set
    return corners.reshape(-1, n, k), np.diag(left)[:, some]


def _generators(problem: Problem, x: Array, u: Array, unit: Array) -> Array:
    """What the disturbance adds, as generators in units: its mean effect, and a box for the variation."""
    widths = np.array([float(c.high - c.low) / 2 for c in problem.model.disturbance])
    if not len(widths) or not widths.any():
        return np.zeros((problem.n, 0))
    seen = np.concatenate([problem.disturbed(x, u, w) for w in problem.w])
    seen = seen * widths / unit[None, :, None]
    middle = (seen.max(axis=0) + seen.min(axis=0)) / 2
    spread = (np.ptp(seen, axis=0) / 2 * WIDEN).sum(axis=1)
    box = np.diag(spread)[:, spread > 1e-10 * max(float(np.abs(middle).max()), 1e-300)]
    return np.hstack([middle[:, widths > 0], box])
