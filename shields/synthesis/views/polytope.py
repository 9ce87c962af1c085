"""Polytopes as rows: vertices, redundancy, images of rows, samples, volume, and their exact, short form.

A normalised polytope is an array ``h`` of shape (r, n): the points z with ``h z <= 1``; it holds 0
inside. In up to six dimensions its facets and vertices come from the convex hull of the rows, in
more from linear programs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.optimize import linprog
from scipy.spatial import ConvexHull, QhullError

from nprl.lang.terms import Num, Term, Var
from nprl.shields.synthesis.views.numeric import Array
from nprl.shields.synthesis.views.problem import Problem, Row, power_of_two

HULL_DIMENSIONS = 6
BITS = Fraction(1, 2**20)
"""Coefficients are rounded to this part of what they contribute to their row."""
HAIR = 1e-5
"""Of a row's range: what rounding may take from it."""


@dataclass(frozen=True, slots=True)
class Polytope:
    """The points with ``b - a.x >= 0`` for all rows, exact."""

    rows: tuple[Row, ...]

    def arrays(self) -> tuple[Array, Array]:
        """The rows as floats, shapes (r, n) and (r,)."""
        h = np.array([[float(v) for v in a] for a, _ in self.rows])
        return h, np.array([float(v) for _, v in self.rows])

    def terms(self, names: Sequence[str]) -> tuple[Term, ...]:
        """Each row as a term ``b - (a1*x1 + ...)``, in few nodes."""
        return tuple(row_term(row, names) for row in self.rows)


def row_term(row: Row, names: Sequence[str]) -> Term:
    """The term ``b - a.x``."""
    a, b = row
    return affine_term([(-v, name) for v, name in zip(a, names, strict=True)], b, front=True)


def affine_term(
    summands: Sequence[tuple[Fraction, str]], constant: Fraction, *, front: bool = False
) -> Term:
    """The term ``c1*x1 + c2*x2 - ... + constant`` in few nodes; the constant in front if so wished."""
    total: Term | None = Num(constant) if front and constant else None
    used = [(c, name) for c, name in summands if c]
    for c, name in used if total is not None else sorted(used, key=lambda s: s[0] < 0):
        size: Term = Var(name) if abs(c) == 1 else abs(c) * Var(name)
        if total is None:
            total = size if c > 0 else (-size if abs(c) == 1 else c * Var(name))
        else:
            total = total + size if c > 0 else total - size
    if total is None:
        return Num(constant)
    if front or not constant:
        return total
    return total + constant if constant > 0 else total - (-constant)


def vertices(h: Array) -> Array | None:
    """The vertices of ``h z <= 1``, shape (v, n); None where it is not bounded or too large to tell."""
    if h.shape[1] == 1:
        high, low = h[h > 0], h[h < 0]
        if not len(high) or not len(low):
            return None
        return np.array([[1 / low.min()], [1 / high.max()]])
    hull = _hull(h)
    if hull is None or (hull.equations[:, -1] > -1e-11).any():
        return None
    return np.unique(np.round(-hull.equations[:, :-1] / hull.equations[:, -1:], 13), axis=0)


def _hull(h: Array) -> ConvexHull | None:
    if h.shape[1] > HULL_DIMENSIONS or len(h) <= h.shape[1]:
        return None
    try:
        return ConvexHull(h)
    except QhullError:
        return None


def irredundant(h: Array) -> Array:
    """The rows that bound ``h z <= 1``, in their order.

    Raises:
        ValueError: where the polytope is not bounded (told only where hulls are used).
    """
    h = h[_distinct(h)]
    if h.shape[1] == 1:
        keep = [int(np.argmax(h[:, 0])), int(np.argmin(h[:, 0]))]
        return h[sorted(keep)]
    if h.shape[1] > HULL_DIMENSIONS:
        return _irredundant_by_programs(h)
    hull = _hull(h)
    if hull is None or (hull.equations[:, -1] > -1e-11).any():
        raise ValueError("the polytope is not bounded")
    return np.asarray(h[np.sort(hull.vertices)])


def _distinct(h: Array) -> list[int]:
    seen: dict[bytes, int] = {}
    for i, row in enumerate(np.round(h, 10) + 0.0):
        seen.setdefault(row.tobytes(), i)
    return sorted(seen.values())


def _irredundant_by_programs(h: Array) -> Array:
    keep = np.ones(len(h), dtype=bool)
    for i in range(len(h)):
        keep[i] = False
        if maximum(h[i], h[keep], np.ones(int(keep.sum()))) > 1 + 1e-9:
            keep[i] = True
    return h[keep]


def maximum(c: Array, h: Array, b: Array) -> float:
    """The greatest ``c.x`` on ``h x <= b``; infinite where there is none."""
    result = linprog(-c, A_ub=h, b_ub=b, bounds=(None, None), method="highs")
    return float(-result.fun) if result.status == 0 else np.inf


def eliminate(h: Array, b: Array) -> tuple[Array, Array]:
    """The projection of ``h (z, v) <= b`` along its last coordinate, by Fourier and Motzkin."""
    last = h[:, -1]
    scale = np.abs(h).max(axis=1)
    up, down = last > 1e-12 * scale, last < -1e-12 * scale
    flat = ~(up | down)
    hu, bu = h[up, :-1] / last[up, None], b[up] / last[up]
    hd, bd = h[down, :-1] / -last[down, None], b[down] / -last[down]
    pairs = (hu[:, None, :] + hd[None, :, :]).reshape(-1, h.shape[1] - 1)
    return np.vstack([h[flat, :-1], pairs]), np.concatenate(
        [b[flat], (bu[:, None] + bd[None, :]).ravel()]
    )


def normalised(h: Array, b: Array) -> Array | None:
    """``h z <= b`` as rows over 1, without rows that say nothing; None where 0 is not well inside."""
    size = np.abs(h).max(axis=1)
    idle = size <= 1e-12 * np.maximum(np.abs(b), 1e-9)
    if (b[idle] < 0).any() or (b[~idle] <= 1e-9 * size[~idle]).any():
        return None
    return np.asarray(h[~idle] / b[~idle, None])


def samples(h: Array, count: int, rng: np.random.Generator) -> Array:
    """Points of ``h z <= 1``: its vertices, its facets densely, its inside; shape (about count, n)."""
    n = h.shape[1]
    corners = vertices(h)
    points: list[Array] = [np.zeros((1, n))]
    if corners is not None:
        points.append(corners)
        each = max(count // (2 * len(h)), 4)
        for row in h:
            face = corners[corners @ row > 1 - 1e-7]
            if len(face) > 1:  # mixtures of a few of the face's vertices
                few = rng.integers(0, len(face), (each, min(2 * n, 8)))
                weights = rng.dirichlet(np.full(few.shape[1], 0.5), each)
                points.append(np.einsum("kf,kfn->kn", weights, face[few]))
    rays = rng.normal(size=(max(count // 2, 1), n))
    reach = 1 / np.maximum((rays @ h.T).max(axis=1), 1e-12)
    points.append(rays * reach[:, None])
    inner = rng.random((len(rays), 1)) ** (1 / n)
    points.append(points[-1] * inner)
    return np.vstack(points)


def volume(h: Array) -> float:
    """The volume of ``h z <= 1``, in up to six dimensions.

    Raises:
        ValueError: in more dimensions, or where it is not bounded.
    """
    corners = vertices(h)
    if corners is None:
        raise ValueError("a bounded polytope in up to six dimensions is needed")
    if h.shape[1] == 1:
        return float(np.ptp(corners))
    try:
        return float(ConvexHull(corners).volume)
    except QhullError:  # nearly degenerate facets: move the corners by a hair
        return float(ConvexHull(corners, qhull_options="QJ").volume)


def exact_polytope(h: Array, centre: Array, unit: Array, problem: Problem) -> Polytope:
    """The polytope ``h (x - centre) / unit <= 1`` in short exact rows; those of S and the ranges stay exact.

    A row of S or the ranges that the others imply by less than they are rounded is added.
    """
    rows: list[Row] = []
    own = problem.b - problem.h @ centre
    own_h = problem.h * unit / np.where(own > 0, own, 1.0)[:, None]
    corners = vertices(h)
    extent = _extents(h, corners)
    for row in h:
        near = np.flatnonzero(
            (np.abs(own_h - row).max(axis=1) < 1e-7 * np.abs(row).max()) & (own > 0)
        )
        if len(near):
            rows.append(problem.rows[int(near[0])])
        else:
            rows.append(_short(row / unit, 1 + float(row / unit @ centre), centre, extent * unit))
    if corners is not None:
        for k in np.flatnonzero((own > 0) & ((own_h @ corners.T).max(axis=1) > 1 - HAIR)):
            if problem.rows[k] not in rows:
                rows.append(problem.rows[k])
    return Polytope(tuple(rows))


def _extents(h: Array, corners: Array | None) -> Array:
    """How far the polytope, with these corners if they are known, reaches along each coordinate."""
    if corners is not None:
        return np.asarray(np.abs(corners).max(axis=0))
    ones = np.ones(len(h))
    eye = np.eye(h.shape[1])
    return np.array([max(maximum(e, h, ones), maximum(-e, h, ones)) for e in eye])


def _short(a: Array, b: float, centre: Array, extent: Array) -> Row:
    """The row scaled so that its weightiest coefficient is 1 or -1, the others dyadic with few bits."""
    weight = np.abs(a) * extent
    lead = int(np.argmax(weight))
    scale = 1 / abs(float(a[lead]))
    reach = float(weight[lead]) * scale
    exact: list[Fraction] = []
    for value, far in zip(a * scale, extent, strict=True):
        exact.append(nearest(float(value), reach / float(far) * float(BITS)))
    shift = sum((c * Fraction(float(x)) for c, x in zip(exact, centre, strict=True)), Fraction(0))
    inner = Fraction(scale) * Fraction(b - float(a @ centre)) + shift
    return tuple(exact), nearest(float(inner), reach * float(BITS))


def nearest(value: float, quantum: float) -> Fraction:
    """The multiple of a power of two, at most ``quantum``, that is nearest to ``value``."""
    step = power_of_two(quantum)
    return round(Fraction(value) / step) * step
