"""The float meaning's intervals: bounds of what generated code may return, and of the real value.

Every interval holds both, for all points of the box: the ends of the operands' intervals hold real
and float values, each result is rounded outward to floats (rounding is monotone, so this holds the
rounded values), and library functions are granted `ULPS`. An infinite end says that the float may
have saturated at the largest float. `nprl.lang.floats` reads from here which checks it can omit.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import assert_never

from nprl.lang.functions import End
from nprl.lang.ranges import Interval, apply, decide, hull
from nprl.lang.terms import (
    Binary,
    Clip,
    Formula,
    Num,
    Pi,
    Power,
    Term,
    Unary,
    UnaryOp,
    Var,
    Where,
    distinct,
)

ULPS = 4
"""The error granted to sin, exp, ... of any library, in units of ``2**-52 |value|``."""
BITS = 64
LARGEST = Fraction(sys.float_info.max)
_TINY = Fraction(1, 2**1074)


def below(value: End) -> float:
    """The greatest float at or below ``value``, which is no inf."""
    if value > LARGEST:
        return sys.float_info.max
    nearest = -math.inf if value < -LARGEST else float(value)
    return nearest if nearest <= value else math.nextafter(nearest, -math.inf)


def above(value: End) -> float:
    """The least float at or above ``value``."""
    return -below(-value)


def float_interval(t: Term, box: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
    """Floats around the real value of ``t`` and what its float code returns, all over ``box``.

    An end is infinite where the real value may lie beyond the largest float (the float value is the
    largest float there).

    Raises:
        ValueError: ``box`` misses a variable, or an end is NaN or the ends are crossed.
    """
    found = float_intervals([t], box)[t]
    return float(found.lo), float(found.hi)


def float_intervals(
    terms: Iterable[Term | Formula], box: Mapping[str, tuple[float, float]]
) -> dict[Term, Interval]:
    """`float_interval` of every subterm at once; finite ends are floats, exactly.

    Raises:
        ValueError: as `float_interval`.
    """
    known: dict[Term, Interval] = {}
    for s in distinct(*terms):
        if isinstance(s, Term):
            known[s] = _outward(_compute(s, known, box))
    return known


def _end(value: float) -> End:
    return value if math.isinf(value) else Fraction(value)


def _outward(x: Interval) -> Interval:
    return Interval(_end(below(x.lo)), _end(above(x.hi)))


def _widen(x: Interval, relative: Fraction, absolute: Fraction) -> Interval:
    low = x.lo if isinstance(x.lo, float) else x.lo - abs(x.lo) * relative - absolute
    high = x.hi if isinstance(x.hi, float) else x.hi + abs(x.hi) * relative + absolute
    return Interval(low, high)


def _compute(
    t: Term, known: dict[Term, Interval], box: Mapping[str, tuple[float, float]]
) -> Interval:
    """The interval of ``t`` before the last rounding; its distinct are known."""
    match t:
        case Var(name):
            if name not in box or not box[name][0] <= box[name][1]:
                got = f"{box[name]}" if name in box else "nothing"
                raise ValueError(f"{name} needs bounds (low, high) with low <= high; got {got}")
            return Interval(*(_end(float(end)) for end in box[name]))
        case Num() | Pi():
            return apply(t, (), BITS)
        case Where(condition, then, other):
            verdict = decide(condition, known.__getitem__)
            if verdict is None:
                return hull(known[then], known[other])
            return known[then] if verdict else known[other]
        case Power(base, exponent):
            value = apply(t, (known[base],), BITS)
            wide = _widen(value, Fraction(exponent, 2**52), exponent * _TINY)
            return wide if value.lo < 0 else Interval(max(Fraction(0), wide.lo), wide.hi)
        case Unary(op, arg):
            value = apply(t, (known[arg],), BITS)
            if op in (UnaryOp.NEG, UnaryOp.ABS, UnaryOp.SQRT):
                return value
            wide = _widen(value, Fraction(ULPS, 2**52), ULPS * _TINY)
            return wide if op is not UnaryOp.EXP else Interval(max(Fraction(0), wide.lo), wide.hi)
        case Binary(_, left, right):
            return apply(t, (known[left], known[right]), BITS)
        case Clip(arg, low, high):
            return apply(t, (known[arg], known[low], known[high]), BITS)
        case _:
            assert_never(t)
