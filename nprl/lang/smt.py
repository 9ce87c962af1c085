"""The Z3 meaning: real arithmetic, and variables between proved bounds for sin, cos, pi, sqrt.

All that Z3 is told of these functions are the lemmas below, each true for all reals and tested
against a high-precision library. The same argument always gets the same variable.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, assert_never

import z3

from nprl.lang.terms import (
    And,
    Binary,
    BinaryOp,
    Clip,
    Compare,
    Formula,
    Not,
    Num,
    Or,
    Pi,
    Power,
    Relation,
    Term,
    Truth,
    Unary,
    UnaryOp,
    Var,
    Where,
)

TAYLOR_TERMS = 4
PI_BELOW = Fraction(314159265358979323846, 10**20)
PI_ABOVE = Fraction(314159265358979323847, 10**20)


def number(value: Fraction) -> Any:
    """The Z3 real that is exactly ``value``."""
    return z3.Q(value.numerator, value.denominator)


def taylor(op: UnaryOp, terms: int) -> tuple[tuple[Fraction, ...], Fraction]:
    """Coefficients c of S, and r: ``|sin a - sum c[n] a**n| <= r a**(2 terms)``; likewise cos.

    Source: Taylor's theorem with Lagrange's remainder, true for all real a.
    """
    coefficients = [Fraction(0)] * (2 * terms)
    for n in range(0 if op is UnaryOp.COS else 1, 2 * terms, 2):
        coefficients[n] = Fraction((-1) ** (n // 2), math.factorial(n))
    return tuple(coefficients), Fraction(1, math.factorial(2 * terms))


def to_z3(t: Term, at: Mapping[str, Any], lemmas: list[Any]) -> Any:
    """The Z3 real expression of ``t``, coordinates read from ``at``; facts go into ``lemmas``.

    Raises:
        ValueError: tan, tanh, exp or log, which have no Z3 meaning.
        KeyError: ``at`` misses a variable of ``t``.
    """
    match t:
        case Num(value):
            return number(value)
        case Pi():
            fresh = z3.Real("pi!")
            lemmas += [fresh >= number(PI_BELOW), fresh <= number(PI_ABOVE)]
            return fresh
        case Var(name):
            return at[name]
        case Unary(op, arg):
            return _unary(op, to_z3(arg, at, lemmas), lemmas)
        case Binary(op, left, right):
            return _binary(op, to_z3(left, at, lemmas), to_z3(right, at, lemmas))
        case Power(base, exponent):
            return _power(to_z3(base, at, lemmas), exponent)
        case Clip(arg, low, high):
            raised = _binary(BinaryOp.MAX, to_z3(arg, at, lemmas), to_z3(low, at, lemmas))
            return _binary(BinaryOp.MIN, raised, to_z3(high, at, lemmas))
        case Where(condition, then, other):
            test = formula_to_z3(condition, at, lemmas)
            return z3.If(test, to_z3(then, at, lemmas), to_z3(other, at, lemmas))
        case _:
            assert_never(t)


def formula_to_z3(f: Formula, at: Mapping[str, Any], lemmas: list[Any]) -> Any:
    """The Z3 formula of ``f``.

    Raises:
        ValueError: as `to_z3`.
        KeyError: as `to_z3`.
    """
    match f:
        case Truth(value):
            return z3.BoolVal(value)
        case Compare(relation, left, right):
            a, b = to_z3(left, at, lemmas), to_z3(right, at, lemmas)
            match relation:
                case Relation.LE:
                    return a <= b
                case Relation.LT:
                    return a < b
                case Relation.GE:
                    return a >= b
                case Relation.GT:
                    return a > b
                case _:
                    assert_never(relation)
        case And(parts):
            return z3.And([formula_to_z3(p, at, lemmas) for p in parts])
        case Or(parts):
            return z3.Or([formula_to_z3(p, at, lemmas) for p in parts])
        case Not(part):
            return z3.Not(formula_to_z3(part, at, lemmas))
        case _:
            assert_never(f)


def _power(base: Any, exponent: int) -> Any:
    """A product: Z3's own power has another meaning at 0 and for roots."""
    result = number(Fraction(1)) if exponent == 0 else base
    for _ in range(1, exponent):
        result = result * base
    return result


def _binary(op: BinaryOp, a: Any, b: Any) -> Any:
    match op:
        case BinaryOp.ADD:
            return a + b
        case BinaryOp.SUB:
            return a - b
        case BinaryOp.MUL:
            return a * b
        case BinaryOp.DIV:
            return z3.If(b == 0, number(Fraction(0)), a / b)
        case BinaryOp.MIN:
            return z3.If(a <= b, a, b)
        case BinaryOp.MAX:
            return z3.If(a >= b, a, b)
        case _:
            assert_never(op)


def _unary(op: UnaryOp, a: Any, lemmas: list[Any]) -> Any:
    match op:
        case UnaryOp.NEG:
            return -a
        case UnaryOp.ABS:
            return z3.If(a >= 0, a, -a)
        case UnaryOp.SIN | UnaryOp.COS:
            fresh = _fresh(op, a)
            coefficients, rest = taylor(op, TAYLOR_TERMS)
            terms = [number(c) * _power(a, n) for n, c in enumerate(coefficients) if c]
            series, off = z3.Sum(terms), number(rest) * _power(a, 2 * TAYLOR_TERMS)
            lemmas += [fresh >= series - off, fresh <= series + off, fresh >= -1, fresh <= 1]
            return fresh
        case UnaryOp.SQRT:
            fresh = _fresh(op, a)
            lemmas += [fresh >= 0, z3.If(a >= 0, fresh * fresh == a, fresh == 0)]
            return fresh
        case UnaryOp.TAN | UnaryOp.TANH | UnaryOp.EXP | UnaryOp.LOG:
            raise ValueError(
                f"{op.value} has no Z3 meaning; there are + - * / ** neg abs min max clip where "
                "sin cos sqrt pi"
            )
        case _:
            assert_never(op)


def _fresh(op: UnaryOp, a: Any) -> Any:
    """The variable for ``op`` of ``a``, named by a digest of ``a``; ``!`` is in no user's name."""
    return z3.Real(f"{op.value}!{hashlib.sha256(a.sexpr().encode()).hexdigest()[:32]}")
