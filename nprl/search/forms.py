"""What the form of a term says of it: whether it rises with a variable, whether it is odd or even.

Rules for each operator; where none applies the answer is None, and something else must decide.
"""

from __future__ import annotations

from collections.abc import Mapping

from nprl.lang.ranges import WHOLE, Interval, enclose
from nprl.lang.terms import (
    Binary,
    BinaryOp,
    Clip,
    Formula,
    Num,
    Power,
    Term,
    Unary,
    UnaryOp,
    Var,
    Where,
    children,
    variables,
)

INCREASING = (UnaryOp.TANH, UnaryOp.EXP, UnaryOp.SQRT)
"""On all reals, as the language defines them; log is 0 below 0 and is not."""
ODD = (UnaryOp.NEG, UnaryOp.SIN, UnaryOp.TAN, UnaryOp.TANH)


def rises(t: Term | Formula, variable: str, box: Mapping[str, Interval]) -> int | None:
    """1 where ``t`` never falls as ``variable`` rises alone, -1 where it never rises, 0: constant."""
    if variable not in variables(t):
        return 0
    ways = [rises(part, variable, box) for part in children(t)]
    match t:
        case Var():
            return 1
        case Unary(UnaryOp.NEG):
            return _times(ways[0], -1)
        case Unary(op) if op in INCREASING:
            return ways[0]
        case Binary(BinaryOp.SUB):
            return _joined([ways[0], _times(ways[1], -1)])
        case Binary(BinaryOp.ADD | BinaryOp.MIN | BinaryOp.MAX) | Clip():
            return _joined(ways)
        case Binary(BinaryOp.MUL, a, b):
            return _joined([_times(ways[0], _sign(b, box)), _times(ways[1], _sign(a, box))])
        case Binary(BinaryOp.DIV, _, b) if ways[1] == 0:
            return _times(ways[0], _sign(b, box))
        case Power(_, exponent) if exponent % 2:
            return ways[0]
        case Where(condition) if variable not in variables(condition):
            return _joined(ways[1:])
        case _:
            return None


def _joined(ways: list[int | None]) -> int | None:
    """The way of a term that rises with each of its parts."""
    different = set(ways) - {0}
    if not different:
        return 0
    return different.pop() if len(different) == 1 else None


def _times(way: int | None, sign: int | None) -> int | None:
    if way == 0 or sign == 0:
        return 0
    return None if way is None or sign is None else way * sign


def _sign(t: Term, box: Mapping[str, Interval]) -> int | None:
    """1 where ``t`` is never negative, -1 where it is never positive."""
    found = enclose(t, {name: box.get(name, WHOLE) for name in variables(t)})
    return 1 if found.lo >= 0 else -1 if found.hi <= 0 else None


def parity(t: Term | Formula, flipped: frozenset[str]) -> int | None:
    """-1 where ``t`` changes its sign with those of ``flipped``, 1 where it stays, 0: it is zero."""
    if isinstance(t, Num) and t.value == 0:
        return 0
    if isinstance(t, Var):
        return -1 if t.name in flipped else 1
    parts = children(t)
    found = [parity(part, flipped) for part in parts]
    if None in found:
        return None
    if all(p in (0, 1) for p in found):
        return 1  # nothing that it is made of changes
    match t:
        case Unary(op) if op in ODD:
            return found[0]
        case Unary(UnaryOp.ABS | UnaryOp.COS):
            return 1
        case Binary(BinaryOp.ADD | BinaryOp.SUB):
            return _joined(found)
        case Binary(BinaryOp.MUL | BinaryOp.DIV):
            return _times(found[0], found[1])
        case Power(_, exponent):
            return found[0] if exponent % 2 else 1
        case Clip(_, Num(low), Num(high)) if low == -high:
            return found[0]
        case Where() if found[0] in (0, 1):
            return _joined(found[1:])
        case _:
            return None
