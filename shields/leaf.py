"""Leaves: a polynomial sequent closed by a named combination of its premises.

What a leaf names (which products of premises, which squares) is a hint; here it becomes polynomials,
each nonnegative wherever the premises hold, and an affine remainder for the premises' box to bound.
`nprl.shields.checker` has Z3 draw the conclusion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from nprl.lang.schema import NUMBER, OBJECT, TERM, WHOLE, Shape, many, row
from nprl.lang.terms import Term
from nprl.model import Box
from nprl.shields.polynomial import NotPolynomial, Polynomial, bound_of, polynomial, times, total
from nprl.shields.sequent import ProofError

_FORMS: dict[str, dict[str, Shape[Any]]] = {
    "products": {"factor": NUMBER, "premises": many(WHOLE)},
    "squares": {"factor": NUMBER, "term": TERM, "premises": many(WHOLE)},
}
Reading = tuple[Polynomial | None, tuple[str, int, Fraction] | None]
ENTRIES = {kind: many(row(lambda *parts: parts, form)) for kind, form in _FORMS.items()}
"""What a combination's keys hold."""


@dataclass(slots=True)
class Premises:
    """The premises of a sequent as polynomials, on demand, and the box that they state."""

    terms: Sequence[Term]
    cache: dict[Term, Reading] = field(default_factory=dict)
    products: dict[tuple[Term, ...], Polynomial] = field(default_factory=dict)
    _box: Box | None = None

    def needed(self, k: int) -> Polynomial:
        """Premise k, which a hint names.

        Raises:
            ProofError: for a number that no premise has, or a premise that is no polynomial.
        """
        if not 0 <= k < len(self.terms):
            raise ProofError(f"there is no premise {k}; they are 0 to {len(self.terms) - 1}")
        found = self.reading(k)[0]
        if found is None:
            raise ProofError(f"premise {k} is no polynomial and cannot be used in a leaf")
        return found

    def product(self, numbers: tuple[int, ...]) -> Polynomial:
        """The product of these premises; its beginnings are kept, for others to go on from."""
        if not numbers:
            return {(): Fraction(1)}
        factors = [self.needed(k) for k in numbers]
        key = tuple([self.terms[k] for k in numbers])
        if key not in self.products:
            self.products[key] = times(factors[-1], self.product(numbers[:-1]))
        return self.products[key]

    def reading(self, k: int) -> Reading:
        """Premise k as a polynomial, None if it is none; and what it says of a single variable."""
        t = self.terms[k]
        found = self.cache.get(t)
        if found is None:
            try:
                p = polynomial(t)
                found = p, bound_of(p)
            except NotPolynomial:
                found = None, None
            self.cache[t] = found
        return found

    def box(self) -> Box:
        """The variables that single affine premises bound on both sides; empty ranges left out."""
        if self._box is None:
            low: dict[str, Fraction] = {}
            high: dict[str, Fraction] = {}
            for k in range(len(self.terms)):
                if stated := self.reading(k)[1]:
                    name, sign, end = stated
                    ends, best = (low, max) if sign > 0 else (high, min)
                    ends[name] = best(end, ends.get(name, end))
            self._box = {v: (low[v], high[v]) for v in low if v in high and low[v] <= high[v]}
        return self._box


@dataclass(frozen=True, slots=True)
class Combination:
    """What a hint names: polynomials that the premises make nonnegative, and the remainder it leaves."""

    parts: tuple[tuple[Fraction, Polynomial], ...]
    remainder: Polynomial
    engine: str


def combination(hint: object, conclusion: Polynomial, premises: Premises) -> Combination:
    """The combination that a hint stands for.

    Raises:
        ProofError: for a malformed hint, a negative coefficient, a premise that is no polynomial.
    """
    data = OBJECT.read(hint, "leaf")
    if data.keys() - ENTRIES.keys():
        raise ProofError("a combination has the keys products and squares")
    parts: list[tuple[Fraction, Polynomial]] = []
    engine = "linear"
    for kind, shape in ENTRIES.items():
        for c, *square, indices in shape.read(data.get(kind, []), kind):
            if c < 0:
                raise ProofError(f"a coefficient is at least 0; got {c}")
            lemma = premises.product(indices)
            for base in map(polynomial, square):
                lemma = times(times(base, base), lemma)
            if engine != "squares" and (kind == "squares" or len(indices) > 1):
                engine = kind
            parts.append((c, lemma))
    remainder = total([(Fraction(1), conclusion), *((-c, p) for c, p in parts)])
    return Combination(tuple(parts), remainder, engine)
