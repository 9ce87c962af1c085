"""Linear inclusions: the next state lies in the hull of a few affine maps.

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

from nprl.shields.synthesis.views.equilibrium import Point, equilibria, half_inputs
from nprl.shields.synthesis.views.numeric import Array
from nprl.shields.synthesis.views.problem import Problem

__all__ = ["Inclusion", "Point", "equilibria", "inclusion"]

SAMPLES = 1024
MAX_DIRECTIONS = 6
WIDEN = 1.01
"""The sampled hull is stretched about its middle by this factor."""

SPARE = 3.0
"""The prover's bounds on a remainder are wider than the samples': it treats products as independent."""


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
        away = float(np.abs(self.b - self.b[0]).max(initial=0.0))
        return away <= 1e-9 * max(float(np.abs(self.b).max(initial=0.0)), 1e-300)

    def support(self, h: Array) -> Array:
        """The greatest ``h.(offset + G e)`` for each row of h (r, n), shape (r,)."""
        return np.asarray(h @ self.offset + np.abs(h @ self.g).sum(axis=1))

    def disturbances(self) -> Array:
        """The corners of ``offset + G [-1, 1]^p``, shape (q, n)."""
        signs = np.array(list(product((-1.0, 1.0), repeat=self.g.shape[1])))
        return self.offset + signs.reshape(len(signs), self.g.shape[1]) @ self.g.T


def inclusion(
    problem: Problem,
    point: Point,
    half: Array | None = None,
    input_half: Array | None = None,
    *,
    remainder: bool = False,
    spare: float = SPARE,
    seed: int = 0,
) -> Inclusion:
    """The linear inclusion about ``point``, for states within S and within ``point.x +- half`` (all of S, if None).

    Inputs lie within ``point.u +- input_half`` (all of U, if None). With ``remainder`` it is one
    affine map, and a box that holds ``spare`` times what the map leaves; otherwise the hull of several maps.
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
    reach = np.maximum(half_inputs(problem), 1e-12)
    x, u = _spread(problem, (low, high), (u_low, u_high), seed)
    if remainder:
        pairs, rest, offset = _fitted(problem, point, x, u, unit, reach)
        rest = rest * spare
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
    _, a, b = problem.linearised(x, u, problem.w[0])
    both = np.concatenate([a, b], axis=2)
    if np.ptp(both, axis=0).max(initial=0.0) <= 1e-13 * np.abs(both).max(initial=0.0):
        return a[:1], b[:1]  # constant, as far as seen
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
