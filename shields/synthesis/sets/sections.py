"""Sets of two coordinates by their sections: a chain of quadrilaterals side by side, with the backup that keeps it.

Along one coordinate the set is a union of parts; across it each section is an interval whose ends are affine on a
part. Such a set need not be convex: it follows the edge of all states from which the backup stays safe. The edge is
first guessed by simulation, then moved by linear programs until the next state of each sample point is in the chain
again, with a margin, while the area is the greatest.

Not for finitely many actions, nor for steps with branches. Nothing here is trusted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_matrix

from nprl.lang.terms import Num, Term, Var
from nprl.shields.synthesis.budget import Budget
from nprl.shields.synthesis.proposal import Candidate
from nprl.shields.synthesis.sets.section_guess import Loop
from nprl.shields.synthesis.views.numeric import Array
from nprl.shields.synthesis.views.problem import power_of_two

FAMILY, METHOD = "sections", "chain of sections"
PARTS = (25, 49)
ALONG = np.linspace(0.0, 1.0, 11)
ACROSS = np.array([0.0, 0.1, 0.4, 0.6, 0.9, 1.0])
"""Sample points of a part, as shares of its sides."""
MARGIN = 2e-3
"""By how much a next state is to be inside, relative to the ranges."""
ROUNDS = 10
TRUST, SHRINK = 0.1, 0.7
"""How far an end may be moved in the first round, relative to its range; and from round to round."""
LEAST_WIDTH = 2e-3
"""Of a section, relative to its range."""
BITS = 2.0**-11
"""The ends are multiples of a power of two near this part of their range."""
HOPELESS = 1e3
"""The cost of missing the margin, against that of area."""


@dataclass(frozen=True)
class Chain:
    """``at`` (k + 1,) cuts coordinate ``along`` into k parts; ``low``, ``high`` are the sections' ends there."""

    along: int
    at: Array
    low: Array
    high: Array

    @property
    def area(self) -> float:
        """In the coordinates' units."""
        return float(np.trapezoid(self.high - self.low, self.at))

    def terms(self, names: tuple[str, ...]) -> tuple[tuple[Term, ...], ...]:
        """The rows of each part, exact."""
        s, w = Var(names[self.along]), Var(names[1 - self.along])
        ends = zip(self.at, self.low, self.high, strict=True)
        exact = [tuple(Fraction(float(v)) for v in e) for e in ends]
        return tuple(
            (
                s - Num(a),
                Num(b) - s,
                _line(a, h0, b, h1, s) - Num(b - a) * w,
                Num(b - a) * w - _line(a, l0, b, l1, s),
            )
            for (a, l0, h0), (b, l1, h1) in pairwise(exact)
        )


def _line(a: Fraction, first: Fraction, b: Fraction, last: Fraction, s: Term) -> Term:
    """``b - a`` times the line through two points."""
    return Num(first * b - last * a) + Num(last - first) * s


class _Points(NamedTuple):
    """Sample points of a chain: their place along, and the matrix that gives their place across."""

    s: Array
    weights: Array
    """(N, 2 (k + 1)): times the sections' ends, low ones first."""


def chain_candidates(
    loops: Iterable[Loop], budget: Budget, parts: Sequence[int] = PARTS
) -> Iterator[Candidate]:
    """For each loop and coordinate the chain of fewest parts that seems to be kept.

    Those of fewest parts come first; of these, in the order of the loops, those along each loop's
    better coordinate. None is looked for before it is asked for.
    """
    source, known = iter(loops), list[Loop]()
    found: set[tuple[int, int]] = set()
    for count, rank in product(parts, (0, 1)):
        for k, loop in enumerate(_each(source, known)):
            along = dict(enumerate(loop.order)).get(rank)
            if along is None or (k, along) in found:
                continue
            chain = _chain(loop, along, count, budget)
            if chain is None:
                continue
            found.add((k, along))
            notes = {"method": METHOD, "area": chain.area, "parts": count}
            terms = chain.terms(loop.problem.model.state_names)
            yield Candidate(FAMILY, terms, loop.backup, notes)


def _each(source: Iterator[Loop], known: list[Loop]) -> Iterator[Loop]:
    """The loops known, then the others as they are found."""
    yield from known
    for loop in source:
        known.append(loop)
        yield loop


def _chain(loop: Loop, along: int, parts: int, budget: Budget) -> Chain | None:
    budget.check(METHOD)
    guess = loop.guess(along, parts)
    return None if guess is None else _kept(loop, Chain(along, *guess), budget)


def _kept(loop: Loop, chain: Chain, budget: Budget) -> Chain | None:
    """The chain moved until it is kept at sample points, as large as it can be; None: it cannot be."""
    ranges = loop.ranges
    width = ranges[1 - chain.along]
    points = _points(chain)
    best: Chain | None = None
    trust = TRUST * width
    for _ in range(ROUNDS):
        rows, bounds, missed = _kept_rows(loop, chain, points)
        rounded = _rounded(chain, width)
        if missed <= MARGIN * width / 4 and loop.holds_start(
            rounded.at, rounded.low, rounded.high, chain.along
        ):
            if best is not None and rounded.area <= best.area * (1 + 1e-3):
                return best
            best = rounded
        more, most = _fixed_rows(loop, chain)
        ends = np.r_[chain.low, chain.high]
        gain = np.gradient(chain.at)
        answer = linprog(
            np.r_[gain, -gain, HOPELESS * ranges[chain.along]],
            A_ub=csr_matrix(np.vstack([rows, more])),
            b_ub=np.r_[bounds, most],
            bounds=[(v - trust, v + trust) for v in ends] + [(0, None)],
            method="highs",
            options=budget.options(METHOD),
        )
        if answer.status != 0:
            return best
        low, high = np.split(answer.x[:-1], 2)
        chain = Chain(chain.along, chain.at, low, high)
        trust *= SHRINK
    return best


def _points(chain: Chain) -> _Points:
    k = len(chain.at) - 1
    part, t, c = (g.ravel() for g in np.meshgrid(np.arange(k), ALONG, ACROSS, indexing="ij"))
    weights = np.zeros((len(part), 2 * (k + 1)))
    every = np.arange(len(part))
    for base, share in ((0, 1 - c), (k + 1, c)):
        weights[every, base + part] = (1 - t) * share
        weights[every, base + part + 1] = t * share
    return _Points(chain.at[part] * (1 - t) + chain.at[part + 1] * t, weights)


def _kept_rows(loop: Loop, chain: Chain, points: _Points) -> tuple[Array, Array, float]:
    """Rows ``a (ends, slack) <= b`` that keep each point, to first order; and by how much one is missed now."""
    along, at, k = chain.along, chain.at, len(chain.at) - 1
    width, length = loop.ranges[1 - along], loop.ranges[along]
    ends = np.r_[chain.low, chain.high]
    across = points.weights @ ends
    every, missed = np.arange(len(across)), -np.inf
    rows, bounds = [], []
    step = 1e-5 * width
    for w in loop.problem.w:
        s, r = loop.next(along, points.s, across, w)
        above, below = (loop.next(along, points.s, across + d, w) for d in (step, -step))
        s_slope, r_slope = ((a - b) / (2 * step) for a, b in zip(above, below, strict=True))
        part = np.clip(np.searchsorted(at, s) - 1, 0, k - 1)
        share = (s - at[part]) / (at[part + 1] - at[part])
        for sign, base in ((1, k + 1), (-1, 0)):
            slope = (ends[base + part + 1] - ends[base + part]) / (at[part + 1] - at[part])
            target = np.zeros_like(points.weights)
            target[every, base + part] = 1 - share
            target[every, base + part + 1] = share
            gain = r_slope - slope * s_slope
            rows.append(sign * (gain[:, None] * points.weights - target))
            bounds.append(-MARGIN * width - sign * (r - gain * across))
            missed = max(missed, float((sign * (r - target @ ends)).max()) + MARGIN * width)
        for sign, end in ((1, at[-1]), (-1, at[0])):
            past = sign * (s - end) + MARGIN / 2 * length
            rows.append(sign * width / length * s_slope[:, None] * points.weights)
            bounds.append(width / length * (sign * s_slope * across - past))
            missed = max(missed, float(past.max()) * width / length)
    table = np.vstack(rows)
    return np.hstack([table, -np.ones((len(table), 1))]), np.concatenate(bounds), missed


def _fixed_rows(loop: Loop, chain: Chain) -> tuple[Array, Array]:
    """Rows that keep the sections safe and not empty, and the starts inside."""
    problem, along, at = loop.problem, chain.along, chain.at
    count, across = len(at), 1 - along
    width = loop.ranges[across]
    rows, bounds = [], []
    for h, b in zip(problem.h, problem.b, strict=True):
        for k in range(2):
            rows.append(np.roll(np.eye(count, 2 * count + 1), k * count, axis=1) * h[across])
            bounds.append(b - h[along] * at)
    rows.append(np.hstack([np.eye(count), -np.eye(count), np.zeros((count, 1))]))
    bounds.append(np.full(count, -LEAST_WIDTH * width))
    first, last = problem.init_low[along], problem.init_high[along]
    inner = at[(at > first) & (at < last)]
    for place in np.r_[first, last, inner]:
        hat = np.array([np.interp(place, at, unit) for unit in np.eye(count)])
        rows += [np.r_[hat, 0 * hat, 0.0][None], np.r_[0 * hat, -hat, 0.0][None]]
        spare = BITS * width
        bounds += [
            np.array([problem.init_low[across] - spare]),
            np.array([-problem.init_high[across] - spare]),
        ]
    return np.vstack(rows), np.concatenate(bounds)


def _rounded(chain: Chain, width: float) -> Chain:
    """The same with short numbers as ends, a little inside."""
    unit = float(power_of_two(BITS * width))
    low, high = np.ceil(chain.low / unit) * unit, np.floor(chain.high / unit) * unit
    return Chain(chain.along, chain.at, low, high)


__all__ = ["FAMILY", "METHOD", "Chain", "chain_candidates"]
