"""Leaves: a polynomial sequent closed by a named combination of its premises.

What a leaf names (which products of premises, which squares) is a hint; here it becomes polynomials,
each nonnegative wherever the premises hold, and a remainder that is bounded on the premises' box.
`nprl.shields.checker` has Z3 draw the conclusion.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from nprl.lang.serial import number_from_json, term_from_json
from nprl.lang.terms import Term
from nprl.model import listed
from nprl.shields.polynomial import (
    Bernstein,
    NotPolynomial,
    Polynomial,
    Range,
    add,
    bound_of,
    constant,
    polynomial,
    times,
)
from nprl.shields.sequent import ProofError


@dataclass(slots=True)
class Premises:
    """The premises of a sequent as polynomials, on demand, and the box that they state."""

    terms: Sequence[Term]
    cache: dict[Term, Polynomial | None] = field(default_factory=dict)
    _box: dict[str, Range] | None = None

    def polynomial(self, k: int) -> Polynomial | None:
        """Premise k as a polynomial; None if it is none.

        Raises:
            ProofError: for a number that no premise has.
        """
        if type(k) is not int or not 0 <= k < len(self.terms):
            raise ProofError(f"there is no premise {k!r}; they are 0 to {len(self.terms) - 1}")
        t = self.terms[k]
        if t not in self.cache:
            try:
                self.cache[t] = polynomial(t)
            except NotPolynomial:
                self.cache[t] = None
        return self.cache[t]

    def box(self) -> dict[str, Range]:
        """The variables that single affine premises bound on both sides; empty ranges left out."""
        if self._box is None:
            self._box = self._stated()
        return self._box

    def _stated(self) -> dict[str, Range]:
        low: dict[str, Fraction] = {}
        high: dict[str, Fraction] = {}
        for k in range(len(self.terms)):
            p = self.polynomial(k)
            bound = bound_of(p) if p is not None else None
            if bound is not None and bound[1] > 0:
                low[bound[0]] = max(bound[2], low.get(bound[0], bound[2]))
            elif bound is not None:
                high[bound[0]] = min(bound[2], high.get(bound[0], bound[2]))
        return {v: (low[v], high[v]) for v in low if v in high and low[v] <= high[v]}


@dataclass(frozen=True, slots=True)
class Combination:
    """What a hint names: polynomials that the premises make nonnegative, and the remainder it leaves."""

    factors: tuple[Fraction, ...]
    lemmas: tuple[Polynomial, ...]
    remainder: Polynomial
    squares: bool


def combination(hint: object, conclusion: Polynomial, premises: Premises) -> Combination:
    """The combination that a hint stands for.

    Raises:
        ProofError: for a malformed hint, a negative coefficient, a premise that is no polynomial.
    """
    data = listed(hint, dict, "leaf")
    if set(data) - {"products", "squares"}:
        raise ProofError("a combination has the keys products and squares")
    factors: list[Fraction] = []
    lemmas: list[Polynomial] = []
    remainder = conclusion
    squares = listed(data.get("squares", []), list, "squares")
    for entry in listed(data.get("products", []), list, "products"):
        c, indices = _entry(entry, 2)
        factors.append(c)
        lemmas.append(_product(constant(Fraction(1)), indices, premises))
        remainder = add(remainder, lemmas[-1], -c)
    for entry in squares:
        c, indices = _entry(entry, 3)
        base = polynomial(term_from_json(entry[1]))
        factors.append(c)
        lemmas.append(_product(times(base, base), indices, premises))
        remainder = add(remainder, lemmas[-1], -c)
    return Combination(tuple(factors), tuple(lemmas), remainder, bool(squares))


def _entry(entry: object, length: int) -> tuple[Fraction, list[Any]]:
    data = listed(entry, list, "leaf")
    if len(data) != length:
        raise ProofError(f"a leaf's entry has {length} parts; got {len(data)}")
    c = number_from_json(data[0])
    if c < 0:
        raise ProofError(f"a coefficient is at least 0; got {c}")
    return c, listed(data[-1], list, "leaf")


def _product(start: Polynomial, indices: Sequence[Any], premises: Premises) -> Polynomial:
    result = start
    for k in indices:
        p = premises.polynomial(k)
        if p is None:
            raise ProofError(f"premise {k} is no polynomial and cannot be used in a leaf")
        result = times(result, p)
    return result


def basis(
    form: Bernstein, box: Mapping[str, Range]
) -> tuple[Polynomial, list[tuple[Fraction, Polynomial]]]:
    """The form's polynomial in ``s = (v - low) / width``, and each coefficient with its basis polynomial in s.

    The names stay: what is proved for all s in [0, 1] holds for all v in the box.
    """
    parts: list[tuple[tuple[int, ...], Polynomial]] = [((), constant(Fraction(1)))]
    scaled = form.polynomial
    for v, n in zip(form.variables, form.degrees, strict=True):
        low, high = box[v]
        s: Polynomial = {((v, 1),): Fraction(1)}
        scaled = _substituted(scaled, v, add(constant(low), s, high - low))
        below = add(constant(Fraction(1)), s, Fraction(-1))
        axis = []
        for i in range(n + 1):
            factor = constant(Fraction(math.comb(n, i)))
            for q in [s] * i + [below] * (n - i):
                factor = times(factor, q)
            axis.append(factor)
        parts = [((*j, i), times(q, r)) for j, q in parts for i, r in enumerate(axis)]
    return scaled, [(form.coefficients[i], q) for i, q in parts]


def _substituted(p: Polynomial, v: str, by: Polynomial) -> Polynomial:
    """``p`` with the polynomial ``by`` for v."""
    powers = [constant(Fraction(1))]
    result: Polynomial = {}
    for m, c in p.items():
        k = dict(m).get(v, 0)
        while len(powers) <= k:
            powers.append(times(powers[-1], by))
        rest = {tuple((n, j) for n, j in m if n != v): c}
        result = add(result, times(rest, powers[k]))
    return result
