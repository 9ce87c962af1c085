"""Polynomials with rational coefficients: the arithmetic of proofs.

A polynomial maps monomials to coefficients that are not zero; a monomial is a sorted tuple of
(name, power). Exact, and no more clever than that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache, reduce

from nprl.lang.terms import Binary, BinaryOp, Num, Power, Term, Unary, UnaryOp, Var

Monomial = tuple[tuple[str, int], ...]
Polynomial = dict[Monomial, Fraction]
Range = tuple[Fraction, Fraction]
MAX_MONOMIALS = 20_000
MAX_BITS = 100_000
"""Of a coefficient's numerator and denominator together."""


class NotPolynomial(ValueError):
    """A term that is no polynomial, or is too large a one."""


def constant(value: Fraction) -> Polynomial:
    """The polynomial that is a number."""
    return {(): value} if value else {}


def add(p: Polynomial, q: Polynomial, factor: Fraction = Fraction(1)) -> Polynomial:
    """``p + factor * q``."""
    return total([(Fraction(1), p), (factor, q)])


def total(parts: Sequence[tuple[Fraction, Polynomial]]) -> Polynomial:
    """The sum of factors times polynomials."""
    scaled = [(c, *whole(p)) for c, p in parts]
    common = math.lcm(*(c.denominator * scale for c, _, scale in scaled))
    result: dict[Monomial, int] = {}
    for c, terms, scale in scaled:
        factor = c.numerator * (common // (c.denominator * scale))
        for m, v in terms:
            result[m] = result.get(m, 0) + factor * v
    return {m: Fraction(v, common) for m, v in result.items() if v}


def times(p: Polynomial, q: Polynomial) -> Polynomial:
    """``p * q``.

    Raises:
        NotPolynomial: where the product would have too many monomials.
    """
    if len(p) * len(q) > 10 * MAX_MONOMIALS:
        raise NotPolynomial("a product of polynomials is too large")
    (left, a), (right, b) = whole(p), whole(q)
    result: dict[Monomial, int] = {}  # products of integers are quicker than those of fractions
    for m1, v1 in left:
        for m2, v2 in right:
            m = _join(m1, m2)
            result[m] = result.get(m, 0) + v1 * v2
    if len(result) > MAX_MONOMIALS:
        raise NotPolynomial(f"a polynomial has more than {MAX_MONOMIALS} monomials")
    return {m: Fraction(v, a * b) for m, v in result.items() if v}


def whole(p: Polynomial) -> tuple[list[tuple[Monomial, int]], int]:
    """Whole coefficients, and their common denominator."""
    scale = math.lcm(*(c.denominator for c in p.values()))
    longest = max((c.numerator.bit_length() for c in p.values()), default=0)
    if longest + scale.bit_length() > MAX_BITS:
        raise NotPolynomial("a polynomial's numbers are too long")
    return [(m, c.numerator * (scale // c.denominator)) for m, c in p.items()], scale


@lru_cache(2**16)
def _join(m1: Monomial, m2: Monomial) -> Monomial:
    if not m1 or not m2:
        return m1 or m2
    powers = dict(m1)
    for name, power in m2:
        powers[name] = powers.get(name, 0) + power
    return tuple(sorted(powers.items()))


def polynomial(t: Term) -> Polynomial:
    """The polynomial that ``t`` is: numbers, variables, neg + - * **, division by a number not zero.

    Raises:
        NotPolynomial: for anything else.
    """
    match t:
        case Num(value):
            return constant(value)
        case Var(name):
            return {((name, 1),): Fraction(1)}
        case Unary(UnaryOp.NEG, arg):
            return add({}, polynomial(arg), Fraction(-1))
        case Binary(BinaryOp.ADD | BinaryOp.SUB as op, left, right):
            sign = Fraction(1 if op is BinaryOp.ADD else -1)
            return add(polynomial(left), polynomial(right), sign)
        case Binary(BinaryOp.MUL, left, right):
            return times(polynomial(left), polynomial(right))
        case Binary(BinaryOp.DIV, left, Num(value)) if value:
            return add({}, polynomial(left), 1 / value)
        case Power(base, exponent):
            return reduce(times, [polynomial(base)] * exponent, constant(Fraction(1)))
        case _:
            raise NotPolynomial(f"a polynomial is needed; got {str(t)[:80]}")


def names(p: Polynomial) -> frozenset[str]:
    """The variables that occur."""
    return frozenset(name for m in p for name, _ in m)


def bound_of(p: Polynomial) -> tuple[str, int, Fraction] | None:
    """For ``p = c v + d``, what ``p >= 0`` says of v: (v, +1, lower bound) or (v, -1, upper bound)."""
    linear = [m for m in p if m] if len(p) <= 2 else []
    if len(linear) != 1 or len(linear[0]) != 1 or linear[0][0][1] != 1:
        return None
    c, d = p[linear[0]], p.get((), Fraction(0))
    return linear[0][0][0], 1 if c > 0 else -1, -d / c
