"""The tube around a plan: how far the plant can be from its nominal trajectory, and what that asks.

A plan is a list of actions, chosen on a nominal trajectory ``y`` that is computed in float64 from
the state, with the disturbance at its centre. After k steps the plant is within the radius ``r_k``
of ``y_k``, coordinate by coordinate: section 8 of docs/certificate.md says why. From the radii come
the margins with which a test at ``y_k`` speaks of the plant. All is rational arithmetic, rounded to
floats on the safe side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from nprl.lang.bounds import analyse
from nprl.lang.interval import above
from nprl.lang.ranges import DomainError, Interval
from nprl.lang.terms import Num, Term, Var, Where, subterms
from nprl.shields.certificate import Certificate, CertificateError
from nprl.shields.forms import nested
from nprl.shields.goals import TINY_STEP
from nprl.shields.hurried import hurried
from nprl.shields.nominal import nominal
from nprl.shields.polynomial import NotPolynomial, Polynomial, bound_of, polynomial
from nprl.shields.rates import rates
from nprl.shields.sequent import assign, conjunctive

Floats = NDArray[np.float64]
SLACK = 1 + 2.0**-40
"""Covers the rounding of sums of a few thousand products of numbers that are not negative."""
LEAST = 2.0**-1000
"""Covers what underflow can take from such a sum, and makes a margin strict."""


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one part of I."""

    affine: Floats
    """(rows, 1 + d): ``c + h.y``, in float64."""
    margins: Floats
    """(N + 1, rows): where ``c + h.y_k`` reaches this, the row holds at every state of the tube."""
    others: tuple[tuple[Term, int], ...]
    """What is no affine row: a term, and the column of its margins in `Tube.margins`."""


@dataclass(frozen=True, slots=True)
class Tube:
    """Radii and margins for plans of up to N = ``steps`` steps in d coordinates."""

    step: tuple[Term, ...]
    """The nominal next state, over states and actions: what is computed of it."""

    steps: int
    radii: Floats
    """(N + 1, d)."""
    low: Floats
    """(N + 1, d): with ``low <= y_k <= high`` the tube is in the ranges, and within S's bounds."""
    high: Floats
    parts: tuple[Part, ...]
    clauses: tuple[tuple[tuple[Term, int], ...], ...]
    """What else S asks: of each clause one term reaches the margin in its column, at ``y_k``."""
    margins: Floats
    """(N + 1, columns), the columns of terms."""


def tube_of(certificate: Certificate) -> Tube:
    """The tube for the plans of ``certificate``.

    Raises:
        CertificateError: where the model has a `where` in step or safe, or a term without bounds.
    """
    plans, model = certificate.shield.plans, certificate.model
    assert plans is not None
    for t in (*model.steps, model.safe):
        for s in subterms(t):
            if isinstance(s, Where):
                raise CertificateError(
                    f"{model.name}: plans need a model without `where` in step and safe; got "
                    f"{str(s)[:60]}: leave plans out, or write it with min, max, abs or clip"
                )
    try:
        return _Making(certificate, plans.steps).tube()
    except DomainError as error:
        raise CertificateError(f"{model.name}: there are no plans: {error}") from None


class _Making:
    """One tube in the making."""

    def __init__(self, certificate: Certificate, steps: int) -> None:
        self.certificate, self.model = certificate, certificate.model
        self.names = self.model.state_names
        self.box = {n: Interval(*ends) for n, ends in self.model.box().items()}
        self.bounds = {n: list(self.model.box()[n]) for n in self.names}
        self.strict = {n: [False, False] for n in self.names}
        self.columns: list[Floats] = []
        clauses = [self._clause(c) for c in conjunctive(self.model.safe)]
        self.clauses = [c for c in clauses if c]
        centre = {n: Num(v) for n, v in self.model.nominal().items()}
        self.computed = [
            nominal(assign(t, centre), self.box, self.model.arithmetic.ulps)
            for t in self.model.steps
        ]
        self.low, self.high, self.radii = self._radii(steps)

    def _clause(self, clause: Sequence[tuple[Term, bool]]) -> list[Term]:
        """The terms of a clause; none where it bounds one coordinate, which is noted."""
        if len(clause) == 1:
            q, strict = clause[0]
            try:
                bound = bound_of(polynomial(q))
            except NotPolynomial:
                bound = None
            if bound is not None:
                name, sign, value = bound
                side = 0 if sign > 0 else 1
                old = self.bounds[name][side]
                if sign * (value - old) >= 0:
                    self.strict[name][side] = strict or (value == old and self.strict[name][side])
                    self.bounds[name][side] = value
                return []
        return [q for q, _ in clause]

    def _radii(self, steps: int) -> tuple[Floats, Floats, Floats]:
        """The radii, as long as they leave something of the box; and the box that is left."""
        model, plant = self.model, self.certificate.rounding.plant
        spread = {c.name: (c.high - c.low) / 2 for c in model.disturbance}
        spread |= {c.name: TINY_STEP * (abs(c.low) + abs(c.high)) for c in model.action}
        matrix, constant = [], []
        for n, t, own in zip(self.names, model.steps, self.computed, strict=True):
            rate = rates(t, self.box, self.box)
            matrix.append([Fraction(above(rate[x])) for x in self.names])
            constant.append(own.error + plant[n] + sum(rate[v] * e for v, e in spread.items()))
        r = [0.0] * len(self.names)
        rows: list[tuple[list[float], list[float], list[float]]] = []
        while len(rows) <= steps:
            low = [self._end(n, 0, e) for n, e in zip(self.names, r, strict=True)]
            high = [self._end(n, 1, e) for n, e in zip(self.names, r, strict=True)]
            if not all(a <= b for a, b in zip(low, high, strict=True)):
                break
            rows.append((low, high, r))
            exact = [Fraction(e) for e in r]
            r = [
                above(c + sum((a * e for a, e in zip(line, exact, strict=True)), Fraction(0)))
                for line, c in zip(matrix, constant, strict=True)
            ]
        lows, highs, radii = (np.array(column) for column in zip(*rows, strict=True))
        return lows, highs, radii

    def _end(self, name: str, side: int, radius: float) -> float:
        """The outermost float from which every state within ``radius`` is within a bound."""
        sign = -1 if side else 1
        wanted = sign * self.bounds[name][side] + Fraction(radius)
        least = above(wanted)
        if self.strict[name][side] and least == wanted:
            least = math.nextafter(least, math.inf)
        return sign * least + 0.0

    def tube(self) -> Tube:
        parts = [self._part(rows) for rows in self.certificate.shield.invariant]
        clauses = tuple(tuple(map(self._tested, c)) for c in self.clauses)
        shape = (len(self.radii), len(self.columns))
        return Tube(
            step=tuple(own.form for own in self.computed),
            steps=len(self.radii) - 1,
            radii=self.radii,
            low=self.low,
            high=self.high,
            parts=tuple(parts),
            clauses=clauses,
            margins=np.array(self.columns).reshape(shape[::-1]).T.copy(),
        )

    def _part(self, rows: Sequence[Term]) -> Part:
        affine, margins, others = [], [], []
        for g in rows:
            line = affine_row(polynomial(g), self.names)
            if line is None:
                others.append(self._tested(nested(g)))
            else:
                affine.append(line)
                terms = (
                    Num(Fraction(h)) * Var(n) for h, n in zip(line[1:], self.names, strict=True)
                )
                computed = sum(terms, Num(Fraction(line[0])))
                off = self._difference(polynomial(computed), polynomial(g))
                margins.append(self._margins(computed, g, off))
        shape = (len(affine), len(self.radii))
        return Part(
            np.array(affine).reshape(len(affine), 1 + len(self.names)),
            np.array(margins).reshape(shape).T.copy(),
            tuple(others),
        )

    def _tested(self, q: Term) -> tuple[Term, int]:
        """What is computed of ``q``, and its column of margins."""
        form = hurried(q)
        self.columns.append(self._margins(form, q))
        return form, len(self.columns) - 1

    def _margins(self, computed: Term, meant: Term, off: Fraction = Fraction(0)) -> Floats:
        """(N + 1,): with ``computed`` so great at y_k, ``meant`` is above 0 in all of the tube.

        ``off`` bounds how far the two are from each other, over the reals.
        """
        change = rates(meant, self.names, self.box)
        own = off + analyse(computed, self.box, self.model.arithmetic.ulps).error
        slopes = np.array([above(change[n]) for n in self.names])
        result: Floats = (self.radii @ slopes + above(own)) * SLACK + LEAST
        return result

    def _difference(self, p: Polynomial, q: Polynomial) -> Fraction:
        """How far two affine polynomials are from each other in the ranges."""
        total = Fraction(0)
        for m in {*p, *q}:
            size = max(map(abs, self.model.box()[m[0][0]])) if m else Fraction(1)
            total += abs(p.get(m, Fraction(0)) - q.get(m, Fraction(0))) * size
        return total


def affine_row(p: Polynomial, names: Sequence[str]) -> list[float] | None:
    """The nearest floats to the constant and the coefficients; None for another polynomial."""
    if any(len(m) > 1 or any(k > 1 for _, k in m) for m in p):
        return None
    zero = Fraction(0)
    return [float(p.get((), zero)), *(float(p.get(((n, 1),), zero)) for n in names)]
