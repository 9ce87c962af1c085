"""Points of an invariant set, in floats: inside, on its boundary, at its vertices.

Nothing here is trusted. Seeds are fixed, and counts (never the clock) say how many points are made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog
from scipy.spatial import HalfspaceIntersection, QhullError

from nprl.lang.floats import compile_batch
from nprl.lang.terms import Term
from nprl.model import Coordinate, Model
from nprl.shields.polynomial import polynomial
from nprl.shields.synthesis.views.quadratic import degree

Floats = npt.NDArray[np.float64]
MAX_CORNERS = 256
MAX_ROWS = 400
HULL_DIMENSIONS = 6
BISECTIONS = 40
SHRINK = (1.0, 1 - 1e-9, 1 - 1e-6)
"""Vertices are tried as they are, and a little further inside: floats miss a boundary."""


def bounds_of(coordinates: Sequence[Coordinate]) -> tuple[Floats, Floats]:
    """The lower and the upper ends as floats inside, two arrays of shape (n,)."""
    return float_ends([(c.low, c.high) for c in coordinates])


def float_ends(ends: Sequence[tuple[Fraction, Fraction]]) -> tuple[Floats, Floats]:
    """The least and the greatest float in each interval; where it holds none, one near it."""
    lows, highs = [], []
    for a, b in ends:
        low, high = float(a), float(b)
        low = math.nextafter(low, math.inf) if Fraction(low) < a else low
        high = math.nextafter(high, -math.inf) if Fraction(high) > b else high
        if low > high:
            low = high = float((a + b) / 2)
        lows.append(low)
        highs.append(high)
    return np.array(lows, dtype=np.float64), np.array(highs, dtype=np.float64)


def corners(low: Floats, high: Floats, rng: np.random.Generator) -> Floats:
    """The centre and the corners of a box (a sample of them where there are many), shape (k, n)."""
    varying = low < high
    if 2 ** int(varying.sum()) <= MAX_CORNERS:
        ends = [(a, b) if a < b else (a,) for a, b in zip(low, high, strict=True)]
        listed = list(product(*ends))
        every = np.array(listed, dtype=np.float64).reshape(len(listed), len(low))
    else:
        every = np.where(rng.random((MAX_CORNERS, len(low))) < 0.5, low, high)
    return np.vstack([(low + high)[None, :] / 2, every])


@dataclass(frozen=True)
class Part:
    """One part of an invariant: its rows as a function (N, n) -> (N, r), and an inner point."""

    rows: Callable[[Floats], Floats]
    centre: Floats
    reach: Floats
    """Half the model's ranges, shape (n,)."""
    vertices: Floats

    def least(self, x: Floats) -> Floats:
        """The least row at each point, shape (N,); minus infinity where it is no number."""
        value = self.rows(x).min(axis=1)
        return np.where(np.isnan(value), -np.inf, value)

    def pulled(self, x: Floats) -> Floats:
        """``x``, those outside pulled towards the centre until they are (just) inside."""
        away = x - self.centre
        low, high = np.zeros(len(x)), np.ones(len(x))
        out = self.least(x) < 0
        away, low, high = away[out], low[out], high[out]
        for _ in range(BISECTIONS if len(away) else 0):
            middle = (low + high) / 2
            fine = self.least(self.centre + middle[:, None] * away) >= 0
            low, high = np.where(fine, middle, low), np.where(fine, high, middle)
        result = np.array(x)
        result[out] = self.centre + low[:, None] * away
        return result

    def points(self, count: int, rng: np.random.Generator) -> Floats:
        """Boundary points, inner points, vertices, mixtures of vertices; shape (about count, n)."""
        n = len(self.centre)
        directions = rng.normal(size=(max(count // 3, 8), n)) * self.reach
        directions /= np.linalg.norm(directions / self.reach, axis=1, keepdims=True)
        edge = self.pulled(self.centre + 4 * np.sqrt(n) * directions)
        inner = self.centre + (edge - self.centre) * rng.random((len(edge), 1)) ** (1 / n)
        found = [self.centre[None, :], edge, inner]
        if len(self.vertices):
            pick = rng.integers(0, len(self.vertices), (max(count // 3, 8), 2))
            t = rng.random((len(pick), 1))
            mixed = t * self.vertices[pick[:, 0]] + (1 - t) * self.vertices[pick[:, 1]]
            near = [self.centre + s * (self.vertices - self.centre) for s in SHRINK]
            found += [*near, self.centre + (1 - 1e-9) * (mixed - self.centre)]
        return np.vstack(found)


def part_of(model: Model, rows: Sequence[Term], inside: Floats) -> Part | None:
    """The part ``rows >= 0``; ``inside`` may be an inner point. None where none is found."""
    names = model.state_names
    function = compile_batch(list(rows), [names])
    low, high = bounds_of(model.state)

    def evaluate(x: Floats) -> Floats:
        return np.stack(function(x), axis=1)

    affine = _affine(rows, names)
    deep = _deepest(*affine) if affine is not None else None
    rng = np.random.default_rng(0)
    tries = [p for p in (deep, inside, (low + high) / 2) if p is not None]
    sampled = low + (high - low) * rng.random((4000, len(low)))
    best = sampled[int(np.argmax(evaluate(sampled).min(axis=1)))]
    every = np.vstack([*tries, best])
    worth = evaluate(every).min(axis=1)
    k = next((i for i in range(len(every)) if worth[i] > 0), int(np.argmax(worth)))
    if not worth[k] >= 0:
        return None
    found = _vertices(affine, every[k]) if affine is not None else np.zeros((0, len(low)))
    return Part(evaluate, every[k], np.maximum((high - low) / 2, 1e-300), found)


def _affine(rows: Sequence[Term], names: Sequence[str]) -> tuple[Floats, Floats] | None:
    """``b - a x >= 0`` as arrays (r, n), (r,); None where a row is curved."""
    a, b = [], []
    for g in rows:
        p = polynomial(g)
        if degree(p) > 1:
            return None
        a.append([-float(p.get(((n, 1),), 0)) for n in names])
        b.append(float(p.get((), 0)))
    return np.array(a), np.array(b)


def _deepest(a: Floats, b: Floats) -> Floats | None:
    """The centre of a largest ball in ``a x <= b`` (of radius at most 1e6)."""
    size = np.linalg.norm(a, axis=1)
    cost = np.zeros(a.shape[1] + 1)
    cost[-1] = -1.0
    bounds = [(None, None)] * a.shape[1] + [(0, 1e6)]
    result = linprog(cost, np.hstack([a, size[:, None]]), b, bounds=bounds, method="highs")
    return np.asarray(result.x[:-1]) if result.status == 0 else None


def _vertices(affine: tuple[Floats, Floats], inside: Floats) -> Floats:
    a, b = affine
    n = a.shape[1]
    if n == 1:
        slopes = a[:, 0]
        high = min((b[i] / slopes[i] for i in range(len(b)) if slopes[i] > 0), default=None)
        low = max((b[i] / slopes[i] for i in range(len(b)) if slopes[i] < 0), default=None)
        return np.array([[v] for v in (low, high) if v is not None]).reshape(-1, 1)
    if n > HULL_DIMENSIONS or len(a) > MAX_ROWS or not (b - a @ inside > 0).all():
        return np.zeros((0, n))
    try:
        found = HalfspaceIntersection(np.hstack([a, -b[:, None]]), inside).intersections
    except (QhullError, ValueError):
        return np.zeros((0, n))
    return np.asarray(found[np.isfinite(found).all(axis=1)])
