"""The exact meaning: rational intervals that hold a term's real value, as narrow as is asked for.

`nprl.lang.ranges` for all operators: tan, tanh, exp and log, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

from nprl.lang import functions, ranges, transcendental
from nprl.lang.functions import End
from nprl.lang.ranges import BITS, WHOLE, Enclosure, Interval, decide, hull, quotient, wave
from nprl.lang.terms import Formula, Pi, Term, Unary, UnaryOp, subterms

_NO_RATIONALS = frozenset(UnaryOp) - {UnaryOp.NEG, UnaryOp.ABS}


def _tangent(x: Interval, bits: int) -> Interval:
    cosine = wave(x, UnaryOp.COS, bits)
    if isinstance(x.lo, float) or isinstance(x.hi, float) or cosine.contains(0):
        return WHOLE
    ends = []  # no pole inside: it grows from one end to the other
    for end in (x.lo, x.hi):
        sine, cosine_there = functions.sin_cos(end, bits)
        ends.append(quotient(Interval(*sine), Interval(*cosine_there)))
    return hull(*ends)


def _monotone(x: Interval, op: UnaryOp, bits: int) -> Interval:
    """Exp, tanh or log: bounds at the ends."""

    def at(end: End) -> tuple[End, End]:
        if op is UnaryOp.EXP:
            if isinstance(end, float):
                return (Fraction(0),) * 2 if end < 0 else (end, end)
            return transcendental.exp(end, bits)
        if op is UnaryOp.TANH:
            if isinstance(end, float):
                return (Fraction(-1),) * 2 if end < 0 else (Fraction(1),) * 2
            return transcendental.tanh(end, bits)
        if end <= 0:
            return Fraction(0), Fraction(0)
        if isinstance(end, float):
            return end, end
        return transcendental.log(end, bits)

    low, high = at(x.lo)[0], at(x.hi)[1]
    if op is UnaryOp.LOG and x.lo <= 0 < x.hi:
        return Interval(-math.inf, max(Fraction(0), high))
    return Interval(low, high)


def apply(t: Term, parts: tuple[Interval, ...], bits: int = BITS) -> Interval:
    """`ranges.apply`, for every operator."""
    match t, parts:
        case Unary(UnaryOp.TAN, _), (x,):
            return _tangent(x, bits)
        case Unary(UnaryOp.TANH | UnaryOp.EXP | UnaryOp.LOG as op, _), (x,):
            return _monotone(x, op, bits)
        case _:
            return ranges.apply(t, parts, bits)


def enclose(t: Term, at: Mapping[str, Interval | Fraction], bits: int = BITS) -> Interval:
    """`ranges.enclose`, for every operator.

    Raises:
        KeyError: ``at`` misses a variable of ``t``.
    """
    return ranges.enclose(t, at, bits, apply)


def holds(f: Formula, at: Mapping[str, Interval | Fraction], bits: int = BITS) -> bool | None:
    """Whether ``f`` holds at every point of ``at``; None where ``bits`` bits cannot decide.

    Raises:
        KeyError: ``at`` misses a variable of ``f``.
    """
    return decide(f, Enclosure(at, bits, apply).of)


def evaluate(t: Term, at: Mapping[str, Fraction]) -> Fraction:
    """The exact value of a term without pi, sin, cos, tan, tanh, exp, log, sqrt.

    Raises:
        ValueError: the term holds one of them; use `enclose`.
        KeyError: ``at`` misses a variable of ``t``.
    """
    for s in subterms(t):
        if isinstance(s, Pi) or (isinstance(s, Unary) and s.op in _NO_RATIONALS):
            name = "pi" if isinstance(s, Pi) else s.op.value
            raise ValueError(f"{name} has no exact rational value; use enclose")
    value = enclose(t, at)
    if isinstance(value.lo, float) or value.lo != value.hi:
        raise TypeError("evaluate reads points; use enclose for intervals")
    return value.lo
