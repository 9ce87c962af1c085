"""Curves between lines: on a box, a function of one variable lies between two affine forms; the rest is linear.

A curve is a power ``x ** k`` in a conclusion, or a name with a bound ``c v + q(x) >= 0`` (Taylor's,
of a sine). Each gets two cuts, proved once for a box by Bernstein coefficients; then all
conclusions on the box are linear in the state and the curves, and closed by Farkas multipliers.
Where they are not, the box is halved. For many rows this is far cheaper than a curved combination for each of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.optimize import linprog

from nprl.lang.serial import to_json
from nprl.lang.terms import Term
from nprl.shields.polynomial import Monomial, Polynomial, Range, add, names
from nprl.shields.sequent import Sequent
from nprl.shields.synthesis import bernstein
from nprl.shields.synthesis.combine import Proposal, closes, proposal
from nprl.shields.synthesis.numeric import Array
from nprl.shields.synthesis.quadratic import degree
from nprl.shields.synthesis.search import Search, Tree, box_of, hint, outward, polynomials

SLOPE_BITS, ROOM = 2**10, Fraction(1, 2**6)
"""A slope is rounded to this part of the curve's own; a line is this part of the gap away from it."""
LEAST_ROOM = Fraction(1, 2**36)


@dataclass(frozen=True, slots=True)
class Curve:
    """``sign * atom + rest(of) >= 0``, ``rest`` curved, of one variable; by premise ``number``, or by definition."""

    atom: Monomial
    of: str
    sign: int
    rest: Polynomial
    number: int | None


def curves(
    goals: Sequence[Polynomial], premises: Mapping[int, Polynomial], box: Mapping[str, Range]
) -> list[Curve] | None:
    """What is curved in the goals; None where something is that has no lines of one variable."""
    found: list[Curve] = []
    curved = {m for p in goals for m in p if sum(k for _, k in m) > 1}
    for m in sorted(curved):
        if len(m) > 1 or m[0][0] not in box or m[0][0].startswith("a:"):
            return None
        for sign in (1, -1):
            found.append(Curve(m, m[0][0], sign, {m: Fraction(-sign)}, None))
    used = {v for p in goals for v in names(p) if v.startswith("a:")}
    bounded = set()
    for k, p in premises.items():
        for v in names(p) & used if degree(p) > 1 else ():
            c, rest = p.get(((v, 1),)), {m: c for m, c in p.items() if m != ((v, 1),)}
            over = names(rest)
            if c is None or v in over or len(over) != 1 or not over <= box.keys():
                continue
            scaled = {m: value / abs(c) for m, value in rest.items()}
            bounded.add(v)
            found.append(Curve(((v, 1),), min(over), 1 if c > 0 else -1, scaled, k))
    if not curved and not bounded:
        return None
    return found


def lines(
    found: Sequence[Curve], s: Sequent, search: Search
) -> tuple[list[tuple[Term, Tree]], dict[int, Polynomial], dict[str, float]]:
    """The cuts with their proofs, in order; what they say, by premise number; each variable's widest gap."""
    cuts: list[tuple[Term, Tree]] = []
    stated: dict[int, Polynomial] = {}
    gaps: dict[str, float] = {}
    premises, box = polynomials(s, search), box_of(s, search)
    for curve in found:
        low, high = box[curve.of]
        slope = _secant(curve.rest, curve.of, low, high)
        straight = {((curve.of, 1),): slope}
        below = bernstein.bound(add(straight, curve.rest, Fraction(-1)), {curve.of: (low, high)})
        if below is None:
            continue
        size = max(_size(curve.rest, curve.of, low, high, slope), LEAST_ROOM)
        level = outward(-below, True, size * ROOM)
        line = add({curve.atom: Fraction(curve.sign), **straight}, {(): level})
        used = (
            {}
            if curve.number is None
            else {curve.number: 1 / abs(premises[curve.number][curve.atom])}
        )
        remainder = line
        for k, c in used.items():
            remainder = add(remainder, premises[k], -c)
        proof = hint(remainder, used, s, premises, box)
        term = bernstein.from_polynomial(line)
        cuts.append((term, ["leaf", [proof]]))
        search.leaves += 1
        stated[len(s.premises)] = premises[len(s.premises)] = line
        gaps[curve.of] = max(gaps.get(curve.of, 0.0), float(size))
        s = s.given(term)
    return cuts, stated, gaps


class Farkas:
    """Multipliers of affine premises and lines, for one goal after another; powers are taken as variables."""

    def __init__(
        self,
        premises: Mapping[int, Polynomial],
        stated: Mapping[int, Polynomial],
        box: Mapping[str, Range],
    ) -> None:
        flat = {k: h for k, h in premises.items() if degree(h) <= 1} | dict(stated)
        self._flat, self._box = flat, box
        self._lifted = {k: _lifted(h) for k, h in flat.items()}
        self._order = sorted({m for h in self._lifted.values() for m in h if m})
        self._columns, self._constants = self._arrays(list(self._lifted.values()))
        self._sizes = np.maximum(np.abs(self._columns).max(axis=0, initial=0.0), 1e-12)
        self._known = {frozenset(h.items()): k for k, h in flat.items()}

    def closes(self, goal: Polynomial, strict: bool) -> Proposal | None:
        """What proves ``goal >= 0`` (or ``> 0``); None where this does not."""
        same = self._known.get(frozenset(goal.items()))
        if same is not None and not strict:
            return Proposal({same: Fraction(1)}, Fraction(0), {})
        lifted = _lifted(goal)
        if not lifted.keys() - {()} <= set(self._order):
            return None
        slopes, constants = self._arrays([lifted])
        rows = np.maximum(np.abs(self._columns).max(axis=1), 1e-12)[:, None]
        answer = linprog(
            self._constants / self._sizes,
            A_eq=self._columns / self._sizes / rows,
            b_eq=slopes[:, 0] / rows[:, 0],
            method="highs",
        )
        if answer.status != 0 or constants[0] < answer.fun:
            return None
        used = np.asarray(answer.x) / self._sizes
        found = proposal(lifted, self._lifted, self._box, used)
        if found is None or not closes(found, strict):
            return None
        rest = goal
        for k, c in found.multipliers.items():
            rest = add(rest, self._flat[k], -c)
        return Proposal(found.multipliers, found.slack, rest)

    def _arrays(self, affine: Sequence[Polynomial]) -> tuple[Array, Array]:
        """The slopes (variables, forms), and the constants (forms,)."""
        columns = [[float(p.get(m, 0)) for p in affine] for m in self._order]
        return (
            np.array(columns).reshape(len(self._order), len(affine)),
            np.array([float(p.get((), 0)) for p in affine]),
        )


def wrapped(cuts: Sequence[tuple[Term, Tree]], tree: Tree) -> Tree:
    """The tree below its cuts."""
    for term, proof in reversed(cuts):
        tree = ["cut", to_json(term), proof, tree]
    return tree


def _lifted(p: Polynomial) -> Polynomial:
    """Each power as a variable of its own, without bounds."""
    return {
        (((f"^{m[0][0]}^{m[0][1]}", 1),) if m and (len(m) > 1 or m[0][1] > 1) else m): c
        for m, c in p.items()
    }


def _at(p: Polynomial, x: Fraction) -> Fraction:
    return sum((c * x ** (m[0][1] if m else 0) for m, c in p.items()), Fraction(0))


def _secant(p: Polynomial, of: str, low: Fraction, high: Fraction) -> Fraction:
    """The slope of the curve between the ends of the range, in few digits."""
    if low == high:
        return Fraction(0)
    slope = (_at(p, high) - _at(p, low)) / (high - low)
    size = max(abs(slope), Fraction(1, 2**20))
    return outward(slope, True, size / SLOPE_BITS)


def _size(p: Polynomial, of: str, low: Fraction, high: Fraction, slope: Fraction) -> Fraction:
    """How far the curve is from a line, about."""
    x = np.linspace(float(low), float(high), 17)
    y = sum((float(c) * x ** (m[0][1] if m else 0) for m, c in p.items()), np.zeros(len(x)))
    return Fraction(float(np.ptp(y - float(slope) * x)))
