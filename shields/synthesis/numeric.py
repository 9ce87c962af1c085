"""Terms in NumPy, for synthesis: values and gradients on batches of points, and ranges on batches of boxes.

Values are those of `nprl.lang.floats`. The gradient is by forward differentiation, of the branch
that is taken. The ranges are rounded outward at every operation, so they are sound up to the error
of NumPy's own functions, for which four ulp are allowed. Nothing here is trusted: what synthesis
finds is proved elsewhere, exactly.
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
Range = tuple[Array, Array]


def values(terms: Sequence[Term], names: Sequence[str], points: Array) -> Array:
    """The float values of terms at points of shape (N, k), k the number of names; shape (N, number of terms)."""
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


def ranges(terms: Sequence[Term], at: Mapping[str, Range]) -> list[Range]:
    """Outer bounds of each term's values on boxes: each name has arrays of lower and of upper ends."""
    memo: dict[int, Range] = {}
    with np.errstate(all="ignore"):
        return [_range(t, at, memo) for t in terms]


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
        case Where(_, then, other):
            (a, b), (c, d) = of(then), of(other)
            return np.minimum(a, c), np.maximum(b, d)
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
