"""Terms in NumPy, for grids: outer bounds of the values of terms on batches of boxes.

Rounded outward at every operation, so sound up to the error of NumPy's own functions, for which
four ulp are allowed. Used to measure, not to prove.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import assert_never

import numpy as np
import numpy.typing as npt

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
from nprl.shields.synthesis.views.numeric import Array

Range = tuple[Array, Array]
Mask = npt.NDArray[np.bool_]


def ranges(terms: Sequence[Term], at: Mapping[str, Range]) -> list[Range]:
    """Outer bounds of each term's values on boxes: each name has arrays of lower and of upper ends."""
    memo: dict[int, Range] = {}
    with np.errstate(all="ignore"):
        return [_range(t, at, memo) for t in terms]


def truths(f: Formula, at: Mapping[str, Range]) -> tuple[Mask, Mask]:
    """On which boxes ``f`` may hold somewhere, and on which it holds everywhere."""
    match f:
        case Truth(truth):
            return np.array(truth), np.array(truth)
        case Compare(relation, left, right):
            if relation in (Relation.LE, Relation.LT):
                left, right = right, left
            (a, b), (c, d) = ranges([left, right], at)
            if relation in (Relation.GE, Relation.LE):
                return np.asarray(b >= c), np.asarray(a >= d)
            return np.asarray(b > c), np.asarray(a > d)
        case Not(part):
            perhaps, surely = truths(part, at)
            return ~surely, ~perhaps
        case And(parts) | Or(parts):
            join = np.logical_and if isinstance(f, And) else np.logical_or
            some = [truths(p, at) for p in parts]
            return reduce(join, [a for a, _ in some]), reduce(join, [b for _, b in some])
        case _:
            assert_never(f)


def _range(t: Term, at: Mapping[str, Range], memo: dict[int, Range]) -> Range:
    if id(t) not in memo:
        memo[id(t)] = _range_of(t, at, memo)
    return memo[id(t)]


def _out(low: Array, high: Array) -> Range:
    """Widened by one ulp; what is not a number becomes infinite."""
    low = np.where(np.isnan(low), -np.inf, low)
    high = np.where(np.isnan(high), np.inf, high)
    return np.nextafter(low, -np.inf), np.nextafter(high, np.inf)


def _range_of(t: Term, at: Mapping[str, Range], memo: dict[int, Range]) -> Range:
    def of(s: Term) -> Range:
        return _range(s, at, memo)

    match t:
        case Num() | Pi():
            number = np.array(math.pi if isinstance(t, Pi) else float(t.value))
            return _out(number, number)
        case Var(name):
            return at[name]
        case Unary(op, arg):
            return _function_range(op, *of(arg))
        case Binary(op, left, right):
            (a, b), (c, d) = of(left), of(right)
            match op:
                case BinaryOp.ADD:
                    return _out(a + c, b + d)
                case BinaryOp.SUB:
                    return _out(a - d, b - c)
                case BinaryOp.MUL:
                    return _product(a, b, c, d)
                case BinaryOp.DIV:
                    crosses = (c <= 0) & (d >= 0)
                    low, high = _product(a, b, *_out(1.0 / d, 1.0 / c))
                    return np.where(crosses, -np.inf, low), np.where(crosses, np.inf, high)
                case BinaryOp.MIN:
                    return np.minimum(a, c), np.minimum(b, d)
                case BinaryOp.MAX:
                    return np.maximum(a, c), np.maximum(b, d)
                case _:
                    assert_never(op)
        case Power(base, n):
            a, b = of(base)
            if n % 2:
                ends = a**n, b**n
            else:
                low = np.where((a <= 0) & (b >= 0), 0.0, np.minimum(np.abs(a), np.abs(b)))
                ends = low**n, np.maximum(np.abs(a), np.abs(b)) ** n
            return _widen(*ends, ulps=2 * n + 2)
        case Clip(arg, low_term, high_term):
            (a, b), (c, d), (e, f) = of(arg), of(low_term), of(high_term)
            return np.minimum(np.maximum(a, c), e), np.minimum(np.maximum(b, d), f)
        case Where(condition, then, other):
            (a, b), (c, d) = of(then), of(other)
            perhaps, surely = truths(condition, at)
            low = np.where(surely, a, np.where(perhaps, np.minimum(a, c), c))
            return low, np.where(surely, b, np.where(perhaps, np.maximum(b, d), d))
        case _:
            assert_never(t)


def _product(a: Array, b: Array, c: Array, d: Array) -> Range:
    corners = [a * c, a * d, b * c, b * d]
    nan = np.logical_or.reduce([np.isnan(x) for x in corners])
    low, high = np.minimum.reduce(corners), np.maximum.reduce(corners)
    return _out(np.where(nan, -np.inf, low), np.where(nan, np.inf, high))


def _widen(low: Array, high: Array, ulps: int = 4) -> Range:
    relative = ulps * np.finfo(np.float64).eps
    return _out(low - relative * np.abs(low), high + relative * np.abs(high))


def _function_range(op: UnaryOp, a: Array, b: Array) -> Range:
    match op:
        case UnaryOp.NEG:
            return -b, -a
        case UnaryOp.ABS:
            far = np.maximum(np.abs(a), np.abs(b))
            near = np.where((a <= 0) & (b >= 0), 0.0, np.minimum(np.abs(a), np.abs(b)))
            return near, far
        case UnaryOp.SIN:
            return _wave(a - math.pi / 2, b - math.pi / 2, np.sin(a), np.sin(b))
        case UnaryOp.COS:
            return _wave(a, b, np.cos(a), np.cos(b))
        case UnaryOp.TAN:
            pole = np.floor(_beyond(b) / math.pi + 0.5) != np.floor(a / math.pi + 0.5)
            low, high = _widen(np.tan(a), np.tan(b))
            return np.where(pole, -np.inf, low), np.where(pole, np.inf, high)
        case UnaryOp.TANH:
            return _widen(np.tanh(a), np.tanh(b))
        case UnaryOp.EXP:
            return _widen(np.exp(a), np.exp(b))
        case UnaryOp.LOG:  # 0 at and below 0, not monotone there
            low, high = _widen(np.log(np.maximum(a, 1e-320)), np.log(np.maximum(b, 1e-320)))
            return (
                np.where(a <= 0, -np.inf, low),
                np.where(a <= 0, np.maximum(high, 0.0), high),
            )
        case UnaryOp.SQRT:
            return _widen(np.sqrt(np.maximum(a, 0.0)), np.sqrt(np.maximum(b, 0.0)))
        case _:
            assert_never(op)


def _beyond(x: Array) -> Array:
    return np.asarray(x + 1e-12 * (1.0 + np.abs(x)))


def _wave(a: Array, b: Array, at_a: Array, at_b: Array) -> Range:
    """The range of a wave with its crests at 2 pi k and troughs between, given its values at the ends."""
    slack = 1e-12 * (1.0 + np.abs(a) + np.abs(b))
    turn = 2 * math.pi
    crest = np.floor((b + slack) / turn) >= np.ceil((a - slack) / turn)
    trough = np.floor((b + slack - math.pi) / turn) >= np.ceil((a - slack - math.pi) / turn)
    low, high = _widen(np.minimum(at_a, at_b), np.maximum(at_a, at_b))
    wild = ~(np.isfinite(a) & np.isfinite(b))
    return (
        np.where(trough | wild, -1.0, np.maximum(low, -1.0)),
        np.where(crest | wild, 1.0, np.minimum(high, 1.0)),
    )
