"""Terms in NumPy, for synthesis: values and gradients on batches of points.

Values are those of `nprl.lang.floats`. The gradient is by forward differentiation, of the branch
that is taken. Nothing here is trusted: what synthesis finds is proved elsewhere, exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, assert_never

import numpy as np
import numpy.typing as npt

from nprl.lang.floats import compile_batch
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

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Dual = tuple[Array, Array]


def values(terms: Sequence[Term], names: Sequence[str], points: Array) -> Array:
    """The float values of terms at points of shape (N, k), k the number of names; shape (N, number of terms)."""
    if not terms:
        return np.zeros((len(points), 0))
    run = _compiled(tuple(terms), tuple(names))
    return np.stack(run(np.ascontiguousarray(points, dtype=np.float64)), axis=1)


@lru_cache(maxsize=64)
def _compiled(terms: tuple[Term, ...], names: tuple[str, ...]) -> Callable[..., list[Array]]:
    return compile_batch(terms, [names])


def jacobian(
    terms: Sequence[Term], names: Sequence[str], points: Array, by: Sequence[str] | None = None
) -> tuple[Array, Array]:
    """Values, shape (N, t), and derivatives by the names in ``by`` (all, if None), shape (N, t, len(by))."""
    wanted = list(names if by is None else by)
    count = len(points)
    at: dict[str, Dual] = {}
    for column, name in enumerate(names):
        gradient = np.zeros((count, len(wanted)))
        if name in wanted:
            gradient[:, wanted.index(name)] = 1.0
        at[name] = (np.asarray(points[:, column], dtype=np.float64), gradient)
    memo: dict[int, Dual] = {}
    with np.errstate(all="ignore"):
        duals = [_dual(t, at, count, memo) for t in terms]
    return np.stack([v for v, _ in duals], axis=1), np.stack([g for _, g in duals], axis=1)


def _dual(t: Term, at: Mapping[str, Dual], count: int, memo: dict[int, Dual]) -> Dual:
    if id(t) not in memo:
        memo[id(t)] = _dual_of(t, at, count, memo)
    return memo[id(t)]


def _dual_of(t: Term, at: Mapping[str, Dual], count: int, memo: dict[int, Dual]) -> Dual:
    def of(s: Term) -> Dual:
        return _dual(s, at, count, memo)

    match t:
        case Num() | Pi():
            number = math.pi if isinstance(t, Pi) else float(t.value)
            some = next(iter(at.values()))[1]
            return np.full(count, number), np.zeros_like(some)
        case Var(name):
            return at[name]
        case Unary(op, arg):
            v, g = of(arg)
            value, slope = _function(op, v)
            return value, slope[:, None] * g
        case Binary(op, left, right):
            (a, ga), (b, gb) = of(left), of(right)
            match op:
                case BinaryOp.ADD:
                    return a + b, ga + gb
                case BinaryOp.SUB:
                    return a - b, ga - gb
                case BinaryOp.MUL:
                    return a * b, a[:, None] * gb + b[:, None] * ga
                case BinaryOp.DIV:
                    some = b != 0
                    inverse = np.where(some, 1.0 / np.where(some, b, 1.0), 0.0)
                    q = a * inverse
                    return q, (ga - q[:, None] * gb) * inverse[:, None]
                case BinaryOp.MIN:
                    return _choose(a <= b, (a, ga), (b, gb))
                case BinaryOp.MAX:
                    return _choose(a >= b, (a, ga), (b, gb))
                case _:
                    assert_never(op)
        case Power(base, n):
            v, g = of(base)
            if n == 0:
                return np.ones_like(v), np.zeros_like(g)
            return v**n, (n * v ** (n - 1))[:, None] * g
        case Clip(arg, low, high):
            inner, least, most = of(arg), of(low), of(high)
            raised = _choose(inner[0] >= least[0], inner, least)
            return _choose(raised[0] <= most[0], raised, most)
        case Where(condition, then, other):
            return _choose(_holds(condition, at, count, memo), of(then), of(other))
        case _:
            assert_never(t)


def _choose(mask: Mask, first: Dual, second: Dual) -> Dual:
    return np.where(mask, first[0], second[0]), np.where(mask[:, None], first[1], second[1])


def _holds(f: Formula, at: Mapping[str, Dual], count: int, memo: dict[int, Dual]) -> Mask:
    match f:
        case Truth(value):
            return np.full(count, value)
        case Compare(relation, left, right):
            a, b = _dual(left, at, count, memo)[0], _dual(right, at, count, memo)[0]
            return np.asarray(_COMPARE[relation](a, b))
        case And(parts):
            return np.asarray(np.all([_holds(p, at, count, memo) for p in parts], axis=0))
        case Or(parts):
            return np.asarray(np.any([_holds(p, at, count, memo) for p in parts], axis=0))
        case Not(part):
            return ~_holds(part, at, count, memo)
        case _:
            assert_never(f)


_COMPARE: dict[Relation, Any] = {
    Relation.LE: np.less_equal,
    Relation.LT: np.less,
    Relation.GE: np.greater_equal,
    Relation.GT: np.greater,
}


def _function(op: UnaryOp, v: Array) -> Dual:
    """The value and the derivative."""
    match op:
        case UnaryOp.NEG:
            return -v, np.full_like(v, -1.0)
        case UnaryOp.ABS:
            return np.abs(v), np.sign(v)
        case UnaryOp.SIN:
            return np.sin(v), np.cos(v)
        case UnaryOp.COS:
            return np.cos(v), -np.sin(v)
        case UnaryOp.TAN:
            value = np.tan(v)
            return value, 1.0 + value * value
        case UnaryOp.TANH:
            value = np.tanh(v)
            return value, 1.0 - value * value
        case UnaryOp.EXP:
            value = np.exp(v)
            return value, value
        case UnaryOp.LOG:
            some = v > 0
            safe = np.where(some, v, 1.0)
            return np.where(some, np.log(safe), 0.0), np.where(some, 1.0 / safe, 0.0)
        case UnaryOp.SQRT:
            some = v > 0
            root = np.sqrt(np.where(some, v, 1.0))
            return np.where(some, root, 0.0), np.where(some, 0.5 / root, 0.0)
        case _:
            assert_never(op)
