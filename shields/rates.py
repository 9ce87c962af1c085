"""How fast a term can change: bounds of its partial derivatives over a box, exact.

By the mean value theorem two points of a box whose coordinates differ by at most ``r`` have values
that differ by at most ``sum of rate * r``. Terms with kinks (min, max, abs, clip) have the theorem
too, with the derivatives of their pieces; a `where` jumps, and has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

from nprl.lang.build import cos, sin, where
from nprl.lang.ranges import DomainError, Interval, enclose
from nprl.lang.terms import (
    Binary,
    BinaryOp,
    Clip,
    Num,
    Pi,
    Power,
    Term,
    Unary,
    UnaryOp,
    Var,
    variables,
)
from nprl.shields.span import ONE, ZERO, plus, times

MINUS = Num(Fraction(-1))


def rates(t: Term, names: Iterable[str], box: Mapping[str, Interval]) -> dict[str, Fraction]:
    """For each name at least the absolute value of the derivative of ``t`` by it, all over ``box``.

    Raises:
        DomainError: where there is no bound: a `where`, or a denominator or root at its edge.
    """
    found = {}
    for name in names:
        slope = enclose(derivative(t, name), box).magnitude
        if isinstance(slope, float):
            raise DomainError(f"no bound on how fast it changes with {name}: {t}")
        found[name] = slope
    return found


def derivative(t: Term, name: str) -> Term:
    """The partial derivative of ``t``, of the piece that is taken where it has pieces.

    Raises:
        DomainError: for a `where`, and functions that no proof knows.
    """
    return _derivative(t, name, {})


def _derivative(t: Term, name: str, known: dict[Term, Term]) -> Term:
    if name not in variables(t):
        return ZERO
    if t not in known:
        known[t] = _built(t, name, known)
    return known[t]


def _built(t: Term, name: str, known: dict[Term, Term]) -> Term:
    def of(part: Term) -> Term:
        return _derivative(part, name, known)

    match t:
        case Num() | Pi():
            return ZERO
        case Var():
            return ONE
        case Power(base, exponent):
            if exponent == 0:
                return ZERO
            return times(times(Num(Fraction(exponent)), base ** (exponent - 1)), of(base))
        case Clip(arg, low, high):
            return of(Binary(BinaryOp.MIN, Binary(BinaryOp.MAX, arg, low), high))
        case Binary(BinaryOp.ADD, left, right):
            return plus(of(left), of(right))
        case Binary(BinaryOp.SUB, left, right):
            return plus(of(left), times(MINUS, of(right)))
        case Binary(BinaryOp.MUL, left, right):
            return plus(times(of(left), right), times(left, of(right)))
        case Binary(BinaryOp.DIV, left, right):
            above = plus(of(left), times(MINUS, times(t, of(right))))
            return above / right
        case Binary(BinaryOp.MIN | BinaryOp.MAX as op, left, right):
            a, b = (left, right) if op is BinaryOp.MIN else (right, left)
            return where(a <= b, of(left), of(right))
        case Unary(UnaryOp.NEG, arg):
            return times(MINUS, of(arg))
        case Unary(UnaryOp.ABS, arg):
            return where(arg >= 0, of(arg), times(MINUS, of(arg)))
        case Unary(UnaryOp.SIN, arg):
            return times(cos(arg), of(arg))
        case Unary(UnaryOp.COS, arg):
            return times(MINUS, times(sin(arg), of(arg)))
        case Unary(UnaryOp.SQRT, arg):
            return of(arg) / times(Num(Fraction(2)), t)
        case Unary(UnaryOp.TAN, arg):
            return times(ONE + t * t, of(arg))
        case Unary(UnaryOp.TANH, arg):
            return times(ONE - t * t, of(arg))
        case Unary(UnaryOp.EXP, arg):
            return times(t, of(arg))
        case Unary(UnaryOp.LOG, arg):
            return of(arg) / arg
        case _:
            raise DomainError(f"nothing is known of how fast it changes: {t}")
