"""Rational intervals that hold a term's real value: for what can be proved.

Over numbers, variables, ``+ - * / **``, min, max, abs, clip and where a point has one exact value;
pi and the functions have rational bounds (`nprl.lang.functions`). A test that the bounds cannot
decide takes the hull of both branches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from typing import Any, assert_never

from nprl.lang import functions
from nprl.lang import terms as tm
from nprl.lang.functions import End
from nprl.lang.terms import Formula, Num, Term, Var, children

BITS = 96
LONGEST = 2**16
"""Binary digits up to which a value at a point stays exact."""


class DomainError(ValueError):
    """There is no bound on a rounding: an edge of a function's domain, or an overflow."""


@dataclass(frozen=True, slots=True)
class Interval:
    """The closed interval from ``lo`` to ``hi``; an open end is -inf or inf, as a float."""

    lo: End
    hi: End

    def __post_init__(self) -> None:
        """Refuse an empty interval and a finite float."""
        for name, end, infinity in (("lo", self.lo, -math.inf), ("hi", self.hi, math.inf)):
            if isinstance(end, float):
                if end != infinity:
                    raise TypeError(f"an end is a Fraction or {infinity}; {name} is {end!r}")
            elif not isinstance(end, Fraction):
                object.__setattr__(self, name, Fraction(end))
        if self.lo > self.hi:
            raise ValueError(f"an interval has lo <= hi; got {self.lo} and {self.hi}")

    def contains(self, value: Fraction | int) -> bool:
        """Whether ``value`` lies in it."""
        return self.lo <= value <= self.hi

    @property
    def magnitude(self) -> End:
        """The greatest absolute value in it."""
        return max(-self.lo, self.hi)


WHOLE = Interval(-math.inf, math.inf)
_ZERO = Interval(Fraction(0), Fraction(0))


def point(value: Fraction | int) -> Interval:
    """The interval that holds one number."""
    return Interval(Fraction(value), Fraction(value))


def hull(a: Interval, b: Interval) -> Interval:
    """The least interval around both."""
    return Interval(min(a.lo, b.lo), max(a.hi, b.hi))


def shorten(x: Interval, bits: int) -> Interval:
    """``x`` widened to ends of ``bits`` binary digits; a short end stays."""
    return Interval(_dyadic(x.lo, bits, down=True), _dyadic(x.hi, bits, down=False))


def _dyadic(value: End, bits: int, *, down: bool) -> End:
    if isinstance(value, float):
        return value
    n, d = value.numerator, value.denominator
    size = n.bit_length() - d.bit_length()
    if abs(size) > LONGEST:  # far out, or all but zero
        edge = Fraction(2) ** (LONGEST - 1 if size > 0 else -LONGEST)
        inner, outer = (edge, math.inf) if size > 0 else (Fraction(0), edge)
        return (inner if down else outer) if n > 0 else (-outer if down else -inner)
    if n.bit_length() <= bits and d.bit_length() <= bits:
        return value
    shift = bits - n.bit_length() + d.bit_length()
    n, d = (n << shift, d) if shift >= 0 else (n, d << -shift)
    units = n // d if down else -(-n // d)
    return Fraction(units, 1 << shift) if shift >= 0 else Fraction(units << -shift)


def _plus(a: End, b: End) -> End:
    return a if isinstance(a, float) else b if isinstance(b, float) else a + b


def _times(a: End, b: End) -> End:
    if a == 0 or b == 0:
        return Fraction(0)
    if isinstance(a, float) or isinstance(b, float):
        return math.inf if (a > 0) == (b > 0) else -math.inf
    return a * b


def _product(a: Interval, b: Interval) -> Interval:
    ends = [_times(x, y) for x in (a.lo, a.hi) for y in (b.lo, b.hi)]
    return Interval(min(ends), max(ends))


def quotient(a: Interval, b: Interval) -> Interval:
    """The interval of ``a / b``."""
    if a == _ZERO or b == _ZERO:
        return _ZERO
    if b.lo <= 0 <= b.hi:
        return WHOLE
    low, high = (Fraction(0) if isinstance(end, float) else 1 / end for end in (b.hi, b.lo))
    return _product(a, Interval(low, high))


def power(x: Interval, exponent: int) -> Interval:
    """The interval of ``x ** exponent``."""
    one: End = Fraction(1)
    ends = [reduce(_times, [end] * exponent, one) for end in (x.lo, x.hi)]
    if exponent % 2 == 0 and exponent and x.lo < 0 < x.hi:
        ends.append(Fraction(0))
    return Interval(min(ends), max(ends))


def absolute(x: Interval) -> Interval:
    """The interval of ``abs(x)``."""
    return Interval(max(Fraction(0), x.lo, -x.hi), x.magnitude)


def _least(a: Interval, b: Interval) -> Interval:
    return Interval(min(a.lo, b.lo), min(a.hi, b.hi))


def _greatest(a: Interval, b: Interval) -> Interval:
    return Interval(max(a.lo, b.lo), max(a.hi, b.hi))


def wave(x: Interval, op: tm.UnaryOp, bits: int) -> Interval:
    """Sine or cosine: the hull of the values at the ends, and of the crests in between."""
    unit = Interval(*functions.UNIT)
    if isinstance(x.lo, float) or isinstance(x.hi, float) or x.hi - x.lo > 7:
        return unit
    which = 0 if op is tm.UnaryOp.SIN else 1
    left, right = (functions.sin_cos(end, bits)[which] for end in (x.lo, x.hi))
    low, high = min(left[0], right[0]), max(left[1], right[1])
    extra = max(functions.size(x.lo), functions.size(x.hi))
    if extra > functions.MAX_SIZE:
        return unit
    if x.lo == x.hi:
        return Interval(low, high)
    pi = functions.pi_bounds(bits + extra)
    first, last = min(x.lo / p for p in pi), max(x.hi / p for p in pi)
    crest = Fraction(1 - which, 2)  # in units of pi, up to whole turns
    if math.ceil((first - crest) / 2) <= math.floor((last - crest) / 2):
        high = unit.hi  # type: ignore[assignment]
    if math.ceil((first - crest - 1) / 2) <= math.floor((last - crest - 1) / 2):
        low = unit.lo  # type: ignore[assignment]
    return Interval(low, high)


_X = Var("x")
_TANH = 1 - Num(Fraction(2)) / (tm.Unary(tm.UnaryOp.EXP, 2 * _X) + 1)
_TAN = tm.Unary(tm.UnaryOp.SIN, _X) / tm.Unary(tm.UnaryOp.COS, _X)


def _increasing(op: tm.UnaryOp, x: Interval, bits: int) -> Interval:
    """Exp, log or the root: bounds at the ends, or the limits there."""
    total = op is not tm.UnaryOp.EXP  # 0 at and below 0
    ends: list[End] = []
    for k, end in enumerate((x.lo, x.hi)):
        if end <= 0 and (total or isinstance(end, float)):
            end = -math.inf if op is tm.UnaryOp.LOG and not k and x.hi > 0 else Fraction(0)
        elif not isinstance(end, float):
            end = getattr(functions, op.value)(end, bits)[k]
        ends.append(end)
    return Interval(ends[0], max(Fraction(0), ends[1]) if x.lo <= 0 else ends[1])


def _tangent(x: Interval, bits: int) -> Interval:
    if wave(x, tm.UnaryOp.COS, bits).contains(0):
        return WHOLE
    return hull(*(enclose(_TAN, {"x": Interval(end, end)}, bits) for end in (x.lo, x.hi)))


_BINARY: dict[tm.BinaryOp, Callable[[Interval, Interval], Interval]] = {
    tm.BinaryOp.ADD: lambda a, b: Interval(_plus(a.lo, b.lo), _plus(a.hi, b.hi)),
    tm.BinaryOp.SUB: lambda a, b: Interval(_plus(a.lo, -b.hi), _plus(a.hi, -b.lo)),
    tm.BinaryOp.MUL: _product,
    tm.BinaryOp.DIV: quotient,
    tm.BinaryOp.MIN: _least,
    tm.BinaryOp.MAX: _greatest,
}


def apply(t: Term, parts: tuple[Interval, ...], bits: int = BITS) -> Interval:
    """The interval of a term's outermost operator, from those of its children.

    The children are in the order of `terms.children`; `Var` and `Where` are left to the caller.
    """
    match t, parts:
        case Num(value), ():
            return Interval(value, value)
        case tm.Pi(), ():
            return Interval(*functions.pi_bounds(bits))
        case tm.Power(_, exponent), (x,):
            return power(x, exponent)
        case tm.Clip(), (x, low, high):
            return _least(_greatest(x, low), high)
        case tm.Binary(op, _, _), (a, b):
            return _BINARY[op](a, b)
        case tm.Unary(tm.UnaryOp.NEG, _), (x,):
            return Interval(-x.hi, -x.lo)
        case tm.Unary(tm.UnaryOp.ABS, _), (x,):
            return absolute(x)
        case tm.Unary(tm.UnaryOp.SIN | tm.UnaryOp.COS as wave_op, _), (x,):
            return wave(x, wave_op, bits)
        case tm.Unary(tm.UnaryOp.TAN, _), (x,):
            return _tangent(x, bits)
        case tm.Unary(tm.UnaryOp.TANH, _), (x,):
            return enclose(_TANH, {"x": x}, bits)
        case tm.Unary(op, _), (x,):
            return _increasing(op, x, bits)
        case _:
            raise TypeError(f"left to the caller: {t}")


def decide(f: Formula, of: Callable[[Term], Interval]) -> bool | None:
    """Whether ``f`` holds for all values in the intervals; None where they do not decide it."""
    match f:
        case tm.Truth(value):
            return value
        case tm.Compare(relation, left, right):
            a, b = of(left), of(right)
            if relation in (tm.Relation.GE, tm.Relation.GT):
                a, b = b, a
            if relation in (tm.Relation.LE, tm.Relation.GE):
                return True if a.hi <= b.lo else False if a.lo > b.hi else None
            return True if a.hi < b.lo else False if a.lo >= b.hi else None
        case tm.And(parts) | tm.Or(parts):
            verdicts = [decide(p, of) for p in parts]
            settled = isinstance(f, tm.Or)
            if settled in verdicts:
                return settled
            return None if None in verdicts else not settled
        case tm.Not(part):
            verdict = decide(part, of)
            return None if verdict is None else not verdict
        case _:
            assert_never(f)


def enclose(t: Term, at: Mapping[str, Interval | Fraction], bits: int = BITS) -> Interval:
    """An interval that holds the real value of ``t`` at every point of ``at``.

    Exact at a point for terms without functions; those are off by about ``2**-bits``. Over
    intervals each operator takes its operands as independent.

    Raises:
        KeyError: ``at`` misses a variable of ``t``.
    """
    return Enclosure(at, bits).of(t)


class Enclosure:
    """One point or box, and the intervals found so far on it."""

    def __init__(self, at: Mapping[str, Interval | Fraction], bits: int) -> None:
        self.at, self.bits = at, bits
        self.known: dict[Term, Interval] = {}

    def of(self, t: Any) -> Interval:
        """The interval of ``t``."""
        if t not in self.known:
            self.known[t] = self._compute(t)
        return self.known[t]

    def _compute(self, t: Term) -> Interval:
        match t:
            case Var(name):
                value = self.at[name]
                return value if isinstance(value, Interval) else point(value)
            case tm.Where(condition, then, other):
                verdict = decide(condition, self.of)
                if verdict is None:
                    return hull(self.of(then), self.of(other))
                return self.of(then if verdict else other)
        found = apply(t, tuple(map(self.of, children(t))), self.bits)
        return shorten(found, LONGEST if found.lo == found.hi else 4 * self.bits)
