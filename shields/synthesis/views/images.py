"""Intervals of terms on many boxes at once, in NumPy floats: where cells of a grid go.

The interval meaning of `nprl.lang.ranges`, without outward rounding: a proposal, which is proved
elsewhere, exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import assert_never

import numpy as np

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
from nprl.shields.synthesis.views.numeric import Array, Mask

Ends = tuple[Array, Array]
"""Low and high ends, each of shape (N,)."""


def image(t: Term, at: Mapping[str, Ends]) -> Ends:
    """Bounds of a term on N boxes; ``at`` has the ends of every coordinate."""
    match t:
        case Num(value):
            return np.asarray(float(value)), np.asarray(float(value))
        case Pi():
            return np.asarray(math.pi), np.asarray(math.pi)
        case Var(name):
            return at[name]
        case Unary(op, arg):
            return _unary(op, *image(arg, at))
        case Binary(op, left, right):
            return _binary(op, image(left, at), image(right, at))
        case Power(base, n):
            low, high = image(base, at)
            a, b = low**n, high**n
            least = np.where((low <= 0) & (high >= 0), 0.0, np.minimum(a, b)) if n % 2 == 0 else a
            return (least, np.maximum(a, b)) if n else (np.ones_like(a), np.ones_like(a))
        case Clip(arg, low, high):
            raised = _binary(BinaryOp.MAX, image(arg, at), image(low, at))
            return _binary(BinaryOp.MIN, raised, image(high, at))
        case Where(condition, then, other):
            yes, no = truth(condition, at)
            (a, b), (c, d) = image(then, at), image(other, at)
            low = np.where(no, c, np.where(yes, a, np.minimum(a, c)))
            return low, np.where(no, d, np.where(yes, b, np.maximum(b, d)))
        case _:
            assert_never(t)


def truth(f: Formula, at: Mapping[str, Ends]) -> tuple[Mask, Mask]:
    """Where a formula holds all over a box, and where it holds nowhere in it."""
    match f:
        case Truth(value):
            return np.asarray(value), np.asarray(not value)
        case Not(part):
            yes, no = truth(part, at)
            return no, yes
        case And(parts) | Or(parts):
            found = [truth(p, at) for p in parts]
            every, some = np.logical_and.reduce, np.logical_or.reduce
            holds, fails = ([p[k] for p in found] for k in (0, 1))
            return (
                (every(holds), some(fails)) if isinstance(f, And) else (some(holds), every(fails))
            )
        case Compare(relation, left, right):
            if relation in (Relation.LE, Relation.LT):
                left, right = right, left
            (a, b), (c, d) = image(left, at), image(right, at)
            if relation in (Relation.GT, Relation.LT):
                return np.asarray(a > d), np.asarray(b <= c)
            return np.asarray(a >= d), np.asarray(b < c)
        case _:
            assert_never(f)


def _binary(op: BinaryOp, left: Ends, right: Ends) -> Ends:
    (a, b), (c, d) = left, right
    match op:
        case BinaryOp.ADD:
            return a + c, b + d
        case BinaryOp.SUB:
            return a - d, b - c
        case BinaryOp.MIN:
            return np.minimum(a, c), np.minimum(b, d)
        case BinaryOp.MAX:
            return np.maximum(a, c), np.maximum(b, d)
        case BinaryOp.DIV:
            across = (c <= 0) & (d >= 0)
            safe_c, safe_d = np.where(across, 1.0, c), np.where(across, 1.0, d)
            low, high = _products((a, b), (1 / safe_d, 1 / safe_c))
            return np.where(across, -np.inf, low), np.where(across, np.inf, high)
        case BinaryOp.MUL:
            return _products(left, right)
        case _:
            assert_never(op)


def _products(left: Ends, right: Ends) -> Ends:
    each = [x * y for x in left for y in right]
    return np.minimum.reduce(each), np.maximum.reduce(each)


_RISING: dict[UnaryOp, Callable[[Array], Array]] = {
    UnaryOp.TANH: np.tanh,
    UnaryOp.EXP: np.exp,
    UnaryOp.LOG: lambda v: np.log(np.maximum(v, 1e-300)),
    UnaryOp.SQRT: lambda v: np.sqrt(np.maximum(v, 0.0)),
}


def _unary(op: UnaryOp, low: Array, high: Array) -> Ends:
    match op:
        case UnaryOp.NEG:
            return -high, -low
        case UnaryOp.ABS:
            least = np.maximum(np.maximum(low, -high), 0.0)
            return least, np.maximum(np.abs(low), np.abs(high))
        case UnaryOp.COS:
            return _cosine(low, high)
        case UnaryOp.SIN:
            return _cosine(low - math.pi / 2, high - math.pi / 2)
        case UnaryOp.TAN:
            return np.full_like(low, -np.inf), np.full_like(high, np.inf)
        case UnaryOp.TANH | UnaryOp.EXP | UnaryOp.LOG | UnaryOp.SQRT:
            rising = _RISING[op]
            return rising(low), rising(high)
        case _:
            assert_never(op)


def _cosine(low: Array, high: Array) -> Ends:
    a, b = np.cos(low), np.cos(high)
    turn = 2 * math.pi
    top = np.floor(high / turn) >= np.ceil(low / turn)
    bottom = np.floor((high - math.pi) / turn) >= np.ceil((low - math.pi) / turn)
    return np.where(bottom, -1.0, np.minimum(a, b)), np.where(top, 1.0, np.maximum(a, b))


__all__ = ["image", "truth"]
