"""A polynomial that is positive on states that stay safe, kept by the step: linear programs over samples.

``g >= 0`` is to be kept: ``g(next) >= multiplier g(x) + margin`` at each sample x, under each corner
of the disturbance, where any multiplier >= 0 will do. At first it is one number for all samples;
then it is chosen by where the last polynomial put them: deep inside, 0; outside, the sample is left
out. What a finer search finds that leaves the set becomes a sample of the next program.
Nothing here is trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_matrix, eye, hstack, vstack

from nprl.shields.synthesis.budget import Budget, OutOfTime
from nprl.shields.synthesis.sets.survivors import Survivors
from nprl.shields.synthesis.views.numeric import Array, Mask

METHOD = "polynomial inequality"
CONTRACTION = 0.5
"""How much less than 1 the first multiplier is, in steps: as far as a state usually goes in one."""
MARGIN = 0.05
"""Of such a step; g is at most 1."""
CAP = 0.1
"""Beyond this value of g a sample is held as well as can be."""
DEEP, OUTSIDE = 0.3, -0.05
"""Values of g from which on a sample's multiplier is 0, and below which it is left out."""
BEYOND = 2.0
"""The multiplier of a sample that is just outside: it need not be kept, nor is the set to grow over it."""
PRICE, DEARER = 3.0, 2.0
"""Of a sample that is not kept, against one that is not held: at first, and how it grows with each program."""
MOST = 1e3
"""Of a coefficient in the first program."""
TRUST, SHRINK = 0.5, 0.8
"""How near to the last coefficients those of the next program are, relative to the greatest; and how that falls."""
HELD, KEPT, LOST = 500, 1_200, 1_500
"""Samples: to be held, to be kept, and of lost states."""
POOL, EDGE, WORST, NEAR = 20_000, 3_000, 50, 20
"""Points that are looked at for a fault: of the box, of the edge; and about the worst of these."""
ADDED = {2: 200}
MANY_ADDED = 600
"""Faults of each kind that become samples, by the number of coordinates."""


@dataclass(frozen=True)
class Basis:
    """Monomials up to a total degree in ``(x - centre) / unit``."""

    centre: Array
    unit: Array
    powers: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, centre: Array, unit: Array, degree: int) -> Basis:
        """All of them."""
        every = product(range(degree + 1), repeat=len(centre))
        return cls(centre, unit, tuple(k for k in every if sum(k) <= degree))

    def __call__(self, x: Array) -> Array:
        """Their values at points (N, n); shape (N, number of powers)."""
        z = (x - self.centre) / self.unit
        degree = max(map(sum, self.powers))
        of = np.stack([z**k for k in range(degree + 1)])
        return np.stack(
            [np.prod([of[k, :, i] for i, k in enumerate(p)], axis=0) for p in self.powers], axis=1
        )


@dataclass
class Fit:
    """A sequence of programs for one backup and one degree."""

    s: Survivors
    basis: Basis
    rng: np.random.Generator
    margin: float = field(init=False)
    _price: float = PRICE
    _added: int = field(init=False)
    _trust: float = TRUST
    _multiplier: float = field(init=False)
    _step: Array = field(init=False)
    _now: Array = field(init=False)
    _then: Array = field(init=False)
    _held: Array = field(init=False)
    _lost: Array = field(init=False)
    _starts: Array = field(init=False)

    def __post_init__(self) -> None:
        """The first samples."""
        p, rng = self.s.problem, self.rng
        self._added = ADDED.get(p.n, MANY_ADDED)
        left = self.s.x[self.s.stays]
        after = self.images(left)
        steps = np.abs(after - left).max(axis=0)
        size = float(np.median((steps / self.basis.unit).max(axis=1)))
        self._step = np.median(steps, axis=0)
        self.margin, self._multiplier = MARGIN * size, 1 - min(CONTRACTION * size, 0.9)
        leaving = self.leaves(after)
        lost = np.vstack([self.s.x[~self.s.stays], left[leaving]])
        left = left[~leaving]
        self._held = self.basis(_some(left, HELD, rng))
        faces = self._faces(self.s.x)
        faces = faces[self.leaves(self.images(faces))]
        self._lost = self.basis(np.vstack([_some(lost, LOST, rng), _some(faces, LOST, rng)]))
        self._now = np.zeros((0, len(self.basis.powers)))
        self._then = self._now
        self._keep(_some(left, KEPT, rng))
        width = p.init_high - p.init_low
        inner = p.init_low + width * rng.random((HELD // 4, p.n))
        corners = p.init_vertices() if p.n <= 6 else inner[:0]
        self._starts = self.basis(np.vstack([corners, inner]))

    def images(self, x: Array) -> Array:
        """The next states under each corner of the disturbance; shape (corners, N, n)."""
        w = self.s.problem.w
        return np.stack([self.s.next(x, c) for c in w[min(1, len(w) - 1) :]])

    def leaves(self, after: Array) -> Mask:
        """Which samples some corner takes out of S, or nearly so."""
        return np.asarray(self._depth(after) < 0)

    def _depth(self, after: Array) -> Array:
        """How far inside of S all next states are, in units, less a margin; shape (N,)."""
        p = self.s.problem
        room = p.b - after @ p.h.T - MARGIN * np.abs(p.h) @ self._step
        return np.asarray((room / (np.abs(p.h) @ self.basis.unit)).min(axis=(0, 2)))

    def _keep(self, x: Array) -> None:
        now = self.basis(x)
        for y in self.images(x):
            self._now = np.vstack([self._now, now])
            self._then = np.vstack([self._then, self.basis(y)])

    def solve(self, last: Array | None, budget: Budget) -> Array | None:
        """The coefficients; None where the lost states cannot be told from the starts.

        Raises:
            OutOfTime: where the budget's time is over.
        """
        factor = np.full(len(self._now), self._multiplier)
        used = np.ones(len(self._now), dtype=np.bool_)
        if last is not None:
            g = self._now @ last
            factor[g > DEEP] = 0.0
            factor[g < 0] = BEYOND
            used = g > OUTSIDE
        kept = (self._then - factor[:, None] * self._now)[used]
        self._price *= DEARER
        k, held = len(self.basis.powers), len(self._held)
        soft = np.vstack([-kept, self._lost])
        count = len(soft)

        def block(f: Array, to_hold: bool = False, to_keep: bool = False) -> csr_matrix:
            rows = len(f)
            return hstack(
                [
                    csr_matrix(f),
                    eye(held) if to_hold else csr_matrix((rows, held)),
                    -eye(count) if to_keep else csr_matrix((rows, count)),
                ]
            )

        rows = [
            (block(soft, to_keep=True), -self.margin),
            (block(-self._starts), -2 * self.margin),
            (block(self._held), 1.0),
            (block(-self._held, to_hold=True), 0.0),
        ]
        answer = linprog(
            np.concatenate(
                [
                    np.zeros(k),
                    np.full(held, -1 / held / CAP),
                    np.full(count, self._price / KEPT / self.margin),
                ]
            ),
            vstack([a for a, _ in rows]).tocsr(),
            np.concatenate([np.full(a.shape[0], b) for a, b in rows]),
            bounds=[*self._trusted(last), *[(None, CAP)] * held, *[(0, None)] * count],
            method="highs",
            options=budget.options(METHOD),
        )
        if answer.status == 1:
            raise OutOfTime(f"{METHOD}: {budget.seconds:g} s are over")
        return None if answer.status != 0 else np.asarray(answer.x[:k])

    def _trusted(self, last: Array | None) -> list[tuple[float, float]]:
        """The bounds of the coefficients: near the last ones, nearer from program to program."""
        if last is None:
            return [(-MOST, MOST)] * len(self.basis.powers)
        self._trust *= SHRINK
        away = self._trust * float(np.abs(last).max())
        return [(c - away, c + away) for c in last]

    def faults(self, coefficients: Array) -> tuple[Array, float]:
        """Points of the set that a corner takes out of it, or nearly so, (k, n); and the least room, in margins."""
        s, p = self.s, self.s.problem
        x = s.low + (s.high - s.low) * self.rng.random((POOL, p.n))
        x = x[(x @ p.h.T <= p.b).all(axis=1)]
        seen = np.vstack(
            [self._inside(x, coefficients), self._inside(self._faces(x), coefficients)]
        )
        room = self._room(seen, coefficients)
        bad = seen[room < self.margin / 2]
        found = [_some(bad, self._added, self.rng)]
        order = np.argsort(room)[:WORST]
        spread = self.rng.permutation(np.flatnonzero(room < self.margin / 2))[:WORST]
        seen, room = seen[np.r_[order, spread]], room[np.r_[order, spread]]
        for scale in (0.05, 0.02, 0.01, 0.003):
            noise = scale * self.basis.unit * self.rng.normal(size=(NEAR, *seen.shape))
            near = self._pulled((seen + noise).reshape(-1, p.n))
            near = near[self.basis(near) @ coefficients >= 0]
            seen, room = np.vstack([seen, near]), np.r_[room, self._room(near, coefficients)]
            order = np.argsort(room)[: 2 * WORST]
            seen, room = seen[order], room[order]
        found.append(_some(seen[room < self.margin / 2], self._added, self.rng))
        return np.vstack(found), float(room.min(initial=np.inf)) / self.margin

    def _faces(self, x: Array) -> Array:
        """The points moved to a face of S each, those that stay in S."""
        p = self.s.problem
        row = self.rng.integers(len(p.h), size=len(x))
        h, b = p.h[row], p.b[row]
        away = (b - (h * x).sum(axis=1)) / (h**2).sum(axis=1)
        return self._pulled(x + away[:, None] * h, False)

    def _pulled(self, x: Array, back: bool = True) -> Array:
        """Those in S; with ``back``, what is beyond one face is moved back to it first."""
        p = self.s.problem
        if back:
            for h, b in zip(p.h, p.b, strict=True):
                beyond = np.maximum(x @ h - b, 0) / (h @ h)
                x = x - beyond[:, None] * h
        return np.asarray(x[(x @ p.h.T <= p.b + 1e-12 * np.abs(p.b)).all(axis=1)])

    def _inside(self, x: Array, coefficients: Array) -> Array:
        """Those of the points that are in the set, and points just inside on lines to those that are not."""
        held = self.basis(x) @ coefficients >= 0
        inside, outside = x[held], x[~held]
        if not len(inside) or not len(outside):
            return inside
        low = inside[self.rng.integers(len(inside), size=EDGE)]
        high = outside[self.rng.integers(len(outside), size=EDGE)]
        for _ in range(20):
            middle = (low + high) / 2
            good = (self.basis(middle) @ coefficients >= 0)[:, None]
            low, high = np.where(good, middle, low), np.where(good, high, middle)
        return np.vstack([inside, low])

    def _room(self, x: Array, coefficients: Array) -> Array:
        """The least value of g after a step; negative where it leaves S."""
        after = self.images(x)
        least = np.min([self.basis(y) @ coefficients for y in after], axis=0)
        depth = self._depth(after)
        return np.asarray(np.where(depth < 0, np.minimum(depth, least), least))

    def add(self, faults: Array) -> None:
        """Samples of the next program: what leaves S is lost, what leaves the set is to be kept."""
        leaving = self.leaves(self.images(faults))
        self._lost = np.vstack([self._lost, self.basis(faults[leaving])])
        self._keep(faults[~leaving])


def _some(x: Array, count: int, rng: np.random.Generator) -> Array:
    return np.asarray(x[rng.permutation(len(x))[:count]])


def hull_basis(points: Array, degree: int, bits: Sequence[int] = (4, 3)) -> Basis:
    """The basis for points (N, n): centred in their box, in units of its half width; both short."""
    low, high = points.min(axis=0), points.max(axis=0)
    half = np.maximum((high - low) / 2, 1e-9)
    quantum = np.exp2(np.ceil(np.log2(half)) - bits[0])
    centre = np.round((low + high) / 2 / quantum) * quantum + 0.0
    quantum = np.exp2(np.ceil(np.log2(half)) - bits[1])
    return Basis.of(centre, np.ceil(half / quantum) * quantum, degree)


__all__ = ["METHOD", "Basis", "Fit", "hull_basis"]
