"""Cheaper forms of terms: an invariant's rows in fewer operations.

A form equals its term over the reals. In floats it rounds otherwise: who uses a form owes an argument
for that (`nprl.shields.rows`).
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

from nprl.lang.terms import Binary, BinaryOp, Num, Term, Unary, UnaryOp, Var, nodes
from nprl.shields.polynomial import Monomial, NotPolynomial, Polynomial, polynomial

ZERO = Num(Fraction(0))
Slab = tuple[Fraction, int, Term]


def slab(g: Term) -> Slab | None:
    """``g`` as ``constant + sign * product``, or None where it is no such sum.

    The product is a sum of numbers times coordinates, each coordinate once; ``sign`` makes its
    first coefficient positive, so that opposite rows have one product.
    """
    parts = _summands(g, 1)
    numbers = [s * p.value for s, p in parts if isinstance(p, Num)]
    factors = [_factor(s, p) for s, p in parts if not isinstance(p, Num)]
    known = [f for f in factors if f is not None]
    distinct = len({name for _, name in known}) == len(known) == len(factors)
    if len(numbers) != 1 or not known or not distinct or any(not c for c, _ in known):
        return None
    sign = 1 if known[0][0] > 0 else -1
    product: Term | None = None
    for c, name in known:
        summand: Term = Var(name) if c == sign else Num(sign * c) * Var(name)
        product = summand if product is None else product + summand
    assert product is not None
    return numbers[0], sign, product


def _summands(t: Term, sign: int) -> list[tuple[int, Term]]:
    """The summands of a sum from left to right: a chain, as the rounding's analysis sees it."""
    match t:
        case Binary(BinaryOp.ADD, left, right):
            return [*_summands(left, sign), (sign, right)]
        case Binary(BinaryOp.SUB, left, right):
            return [*_summands(left, sign), (-sign, right)]
        case _:
            return [(sign, t)]


def _factor(sign: int, t: Term) -> tuple[Fraction, str] | None:
    match t:
        case Var(name):
            return Fraction(sign), name
        case Unary(UnaryOp.NEG, (Var() | Binary()) as arg):
            return _factor(-sign, arg)
        case Binary(BinaryOp.MUL, Num(value), Var(name)) | Binary(
            BinaryOp.MUL, Var(name), Num(value)
        ):
            return sign * value, name
        case _:
            return None


def nested(g: Term) -> Term:
    """The polynomial ``g`` in Horner's form, or ``g`` itself where that is no smaller."""
    try:
        form = _horner(polynomial(g))
    except NotPolynomial:
        return g
    return form if nodes(form) < nodes(g) else g


def _horner(p: Polynomial) -> Term:
    """``c + x q + rest``, by the variable of the most monomials first."""
    result: Term = Num(p.get((), Fraction(0)))
    rest = {m: c for m, c in p.items() if m}
    while rest:
        counts = Counter(name for m in rest for name, _ in m)
        most = max(counts, key=lambda name: (counts[name], name))
        inner = _horner({_without(m, most): c for m, c in rest.items() if most in dict(m)})
        rest = {m: c for m, c in rest.items() if most not in dict(m)}
        result = _plus(result, _product(inner, Var(most)))
    return result


def _without(m: Monomial, name: str) -> Monomial:
    """The monomial divided once by the variable."""
    powers = ((n, k - (n == name)) for n, k in m)
    return tuple((n, k) for n, k in powers if k)


def _plus(a: Term, b: Term) -> Term:
    return b if a == ZERO else a + b


def _product(a: Term, b: Term) -> Term:
    return b if a == Num(Fraction(1)) else a * b
