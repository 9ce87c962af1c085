"""Polytopes kept by some input, cut out of S by tangents of the true step, in up to three dimensions.

At a state z the least, over the inputs, of the greatest next row, ``V(z) = min_u max_i h_i.f(z, u)``, says whether some
input keeps the polytope. Where V is above 1 at a sample point, the tangent of V's level set on the ray to that point
becomes a row; until no point is left. Nothing is linearised about one point, so that strong curvature costs nothing.

A *hurried* step ``z + haste (f(z, u) - z)`` gives far fewer rows: a convex set that keeps it keeps the step itself,
which lies between z and it.

Source: J. E. Kelley, The cutting-plane method for solving convex programs, 1960 (the tangents); F. Blanchini,
S. Miani, Set-Theoretic Methods in Control, 2nd ed., 2015, section 2.5 (the hurried step: Euler's auxiliary system).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nprl.shields.synthesis.budget import Budget
from nprl.shields.synthesis.views.linearise import Inclusion
from nprl.shields.synthesis.views.numeric import Array, Mask
from nprl.shields.synthesis.views.polytope import irredundant, samples, vertices
from nprl.shields.synthesis.views.problem import Problem

HASTES = (64.0, 32.0, 16.0, 4.0)
"""From few rows to many."""
MARGIN, LEAST_ROOM = 3e-4, 1e-2
MAX_ROUNDS, MAX_ROWS = 250, 120
SAMPLES, LAST_SAMPLES = 800, 6_000
EACH = 40
"""Points of one round whose tangents are looked at."""
DEPTHS = (0.98, 0.9, 0.7, 0.4)
"""Of copies of the boundary's points inside: a curved step may fail there first."""
BISECTIONS = 28
SPARE = 0.25
"""The part of the contraction that a point may miss."""


@dataclass(frozen=True, slots=True)
class Hurried:
    """The step of a problem over an inclusion's coordinates, ``haste`` times as far; one input at most."""

    problem: Problem
    maps: Inclusion
    haste: float

    @property
    def contraction(self) -> float:
        """V is to be at most this; the step itself keeps about ``MARGIN`` of a row's range."""
        return 1 - min(LEAST_ROOM, MARGIN * self.haste)

    def allows(self, h: Array, z: Array, level: float) -> Mask:
        """Whether some input leads each of the points z (N, n) to where ``h z <= level``; shape (N,)."""
        _, _, (low, high) = self._at_ends(h, z)
        rise, room = high - low, level - low
        with np.errstate(divide="ignore", invalid="ignore"):
            at = room / rise
        most = np.where(rise > 0, at, np.inf).min(axis=1, initial=1.0)
        least = np.where(rise < 0, at, -np.inf).max(axis=1, initial=0.0)
        flat = np.where(rise == 0, room, np.inf).min(axis=1)
        return np.asarray((least <= most) & (flat >= 0))

    def values(self, h: Array, z: Array) -> tuple[Array, Array]:
        """V at points z (N, n) for the rows h (r, n), shape (N,), and the inputs (N, m) that give it."""
        _, ends, at = self._at_ends(h, z)
        share = _least_greatest(at[0], at[1])[0]
        between = at[0] + share[:, None] * (at[1] - at[0])
        return between.max(axis=1), ends[0] + share[:, None] * (ends[1] - ends[0])

    def _at_ends(self, h: Array, z: Array) -> tuple[Array, list[Array], list[Array]]:
        """The states in units, both ends of the input, and the rows at the next states under each."""
        x = self.maps.centre + self.maps.unit * z
        both = (self.problem.u_low, self.problem.u_high)
        ends = [np.broadcast_to(u, (len(x), self.problem.m)) for u in both]
        return x, ends, [self._rows(h, z, x, u) for u in ends]

    def tangents(self, h: Array, z: Array) -> tuple[Array, Array]:
        """V at points z (N, n) for the rows h (r, n), shape (N,), and its gradients (N, n)."""
        problem, maps, haste = self.problem, self.maps, self.haste
        x, ends, at = self._at_ends(h, z)
        share, first, second, weight = _least_greatest(at[0], at[-1])
        u = ends[0] + share[:, None] * (ends[1] - ends[0])
        _, by_x, _ = problem.linearised(x, u, problem.w[0])
        eye = np.eye(problem.n)
        slopes = eye + haste * (by_x * maps.unit / maps.unit[:, None] - eye)
        row = weight[:, None] * h[first] + (1 - weight)[:, None] * h[second]
        every = np.arange(len(z))
        lower = at[0] + share[:, None] * (at[1] - at[0])
        value = np.maximum(lower[every, first], lower[every, second])
        return value, np.einsum("kn,knj->kj", row, slopes)

    def _rows(self, h: Array, z: Array, x: Array, u: Array) -> Array:
        """The rows at the hurried next states under inputs u, the disturbance at its worst; (N, r)."""
        problem, maps = self.problem, self.maps
        next_z = (problem.next(x, u, problem.w[0]) - maps.centre) / maps.unit
        result = (z + self.haste * (next_z - z)) @ h.T
        return np.asarray(result + self.haste * problem.sway(x, u, h / maps.unit))


def tangent_cuts(
    hurried: Hurried,
    first: Array,
    starts: Array,
    owed: Array | None = None,
    budget: Budget | None = None,
    seed: int = 0,
) -> Array | None:
    """A polytope ``h z <= 1`` within ``first`` that holds the starts and some input keeps; None: none was found.

    With ``owed``, a row g, only states with ``g z <= 1`` need an input that keeps it.

    Raises:
        OutOfTime: where the budget's time is over.
    """
    budget, rng = budget or Budget(), np.random.default_rng(seed)
    allowed = 1 - (1 - SPARE) * (1 - hurried.contraction)
    count = SAMPLES
    try:
        h = irredundant(first)
        for _ in range(MAX_ROUNDS):
            budget.check("polytope by tangents")
            z = _points(h, owed, count, rng)
            value, _ = hurried.tangents(h, z)
            bad = np.flatnonzero(value > allowed)
            if not len(bad):
                if count == LAST_SAMPLES:
                    return h
                count = LAST_SAMPLES
                continue
            count = SAMPLES
            cuts = _cuts(hurried, h, z[bad], value[bad])
            if not len(cuts) or (cuts @ starts.T).max() > 1:
                return None
            h = _with(h, cuts, first, owed)
            if len(h) > MAX_ROWS:
                return None
    except ValueError:
        return None
    return None


def _points(h: Array, owed: Array | None, count: int, rng: np.random.Generator) -> Array:
    """Points of the polytope that are owed an input: corners, facets, and inside."""
    z = samples(h, count, rng)
    if owed is not None:
        corners = vertices(np.vstack([h, owed]))
        z = z[z @ owed <= 1]
        z = z if corners is None else np.vstack([corners, z])
    return np.vstack([z, *(depth * z[: count // 4] for depth in DEPTHS)])


def _cuts(hurried: Hurried, h: Array, bad: Array, value: Array) -> Array:
    """Few tangents that cut off the bad points (N, n), deepest first."""
    order = np.argsort(-value)
    picked = order[np.unique(np.geomspace(1, len(order), EACH).astype(int) - 1)]
    points = bad[picked]
    low, high = np.zeros(len(points)), np.ones(len(points))
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        kept = hurried.tangents(h, middle[:, None] * points)[0] <= hurried.contraction
        low, high = np.where(kept, middle, low), np.where(kept, high, middle)
    edge = low[:, None] * points
    _, slope = hurried.tangents(h, edge)
    level = (slope * edge).sum(axis=1)
    good = level > 1e-9
    rows = slope[good] / level[good, None]
    left, chosen = points[good], []
    while len(left):
        depth = (left * rows).sum(axis=1)
        k = int(np.argmax(depth))
        if depth[k] <= 1 + 1e-12:
            break
        chosen.append(rows[k])
        still = left @ rows[k] <= 1
        left, rows = left[still], rows[still]
    return np.array(chosen).reshape(-1, h.shape[1])


def _with(h: Array, cuts: Array, first: Array, owed: Array | None) -> Array:
    """The polytope cut further; rows that matter only where nothing is owed are dropped."""
    both = np.vstack([h, cuts])
    if owed is None:
        return irredundant(both)
    kept = {row.tobytes() for row in irredundant(np.vstack([both, owed]))}
    return irredundant(np.vstack([first, *(row for row in both if row.tobytes() in kept)]))


def _least_greatest(low: Array, high: Array) -> tuple[Array, Array, Array, Array]:
    """Where the greatest of r lines is least: ``low`` and ``high`` (N, r) are their values at the ends.

    The place, 0 to 1; the two lines that meet there; and the weight of the first with which their slopes cancel.
    """
    slope, every = high - low, np.arange(len(low))
    begin, end = np.zeros(len(low)), np.ones(len(low))
    for _ in range(BISECTIONS):
        middle = (begin + end) / 2
        falls = slope[every, np.argmax(low + middle[:, None] * slope, axis=1)] < 0
        begin, end = np.where(falls, middle, begin), np.where(falls, end, middle)
    first = np.argmax(low + begin[:, None] * slope, axis=1)
    second = np.argmax(low + end[:, None] * slope, axis=1)
    down, up = slope[every, first], slope[every, second]
    crossing = (down < 0) & (up > 0)
    weight = np.where(crossing, up / np.where(crossing, up - down, 1.0), (down >= 0) * 1.0)
    return (begin + end) / 2, first, second, np.asarray(weight)
