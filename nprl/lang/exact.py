"""The exact meaning: rational intervals that hold a term's real value, as narrow as is asked for.

At a rational point, terms of numbers, variables, ``+ - * / **``, min, max, abs, clip and where have
one exact rational value. The other functions have rational bounds (`nprl.lang.functions`). A
test that the bounds cannot decide takes the hull of both branches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import assert_never

from nprl.lang import functions
from nprl.lang.functions import End
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
    subterms,
)

BITS = 96
_NO_RATIONALS = frozenset(UnaryOp) - {UnaryOp.NEG, UnaryOp.ABS}


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

    @property
    def width(self) -> End:
        """``hi - lo``."""
        return _plus(self.hi, -self.lo)


WHOLE = Interval(-math.inf, math.inf)
_ZERO = Interval(Fraction(0), Fraction(0))
_ONE = Interval(Fraction(1), Fraction(1))


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
    if n.bit_length() <= bits and d.bit_length() <= bits:
        return value
    shift = bits - n.bit_length() + d.bit_length()
    n, d = (n << shift, d) if shift >= 0 else (n, d << -shift)
    units = n // d if down else -(-n // d)
    return Fraction(units, 1 << shift) if shift >= 0 else Fraction(units << -shift)


def _plus(a: End, b: End) -> End:
    if isinstance(a, float):
        return a
    return b if isinstance(b, float) else a + b


def _times(a: End, b: End) -> End:
    if a == 0 or b == 0:
        return Fraction(0)
    if isinstance(a, float) or isinstance(b, float):
        return math.inf if (a > 0) == (b > 0) else -math.inf
    return a * b


def _negated(x: Interval) -> Interval:
    return Interval(-x.hi, -x.lo)


def _product(a: Interval, b: Interval) -> Interval:
    if a.lo == a.hi and b.lo == b.hi:
        value = _times(a.lo, b.lo)
        return Interval(value, value)
    ends = [_times(x, y) for x in (a.lo, a.hi) for y in (b.lo, b.hi)]
    return Interval(min(ends), max(ends))


def _quotient(a: Interval, b: Interval) -> Interval:
    if a == _ZERO or b == _ZERO:
        return _ZERO
    if b.lo <= 0 <= b.hi:
        return WHOLE
    low, high = (Fraction(0) if isinstance(end, float) else 1 / end for end in (b.hi, b.lo))
    return _product(a, Interval(low, high))


def power(x: Interval, exponent: int) -> Interval:
    """The interval of ``x ** exponent``."""
    ends: list[End] = []
    for end in (x.lo, x.hi):
        ends.append(Fraction(1) if exponent == 0 else end)
        for _ in range(1, exponent):
            ends[-1] = _times(ends[-1], end)
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


def _wave(x: Interval, op: UnaryOp, bits: int) -> Interval:
    """Sine or cosine: the hull of the values at the ends, and of the crests in between."""
    unit = Interval(*functions.UNIT)
    if isinstance(x.lo, float) or isinstance(x.hi, float) or x.hi - x.lo > 7:
        return unit
    which = 0 if op is UnaryOp.SIN else 1
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


def _tangent(x: Interval, bits: int) -> Interval:
    cosine = _wave(x, UnaryOp.COS, bits)
    if isinstance(x.lo, float) or isinstance(x.hi, float) or cosine.contains(0):
        return WHOLE
    ends = []  # no pole inside: it grows from one end to the other
    for end in (x.lo, x.hi):
        sine, cosine_there = functions.sin_cos(end, bits)
        ends.append(_quotient(Interval(*sine), Interval(*cosine_there)))
    return hull(*ends)


def _monotone(x: Interval, op: UnaryOp, bits: int) -> Interval:
    """Exp, tanh, sqrt or log: bounds at the ends."""

    def at(end: End) -> tuple[End, End]:
        if op is UnaryOp.EXP:
            if isinstance(end, float):
                return (Fraction(0),) * 2 if end < 0 else (end, end)
            return functions.exp(end, bits)
        if op is UnaryOp.TANH:
            if isinstance(end, float):
                return (Fraction(-1),) * 2 if end < 0 else (Fraction(1),) * 2
            return functions.tanh(end, bits)
        if end <= 0:
            return Fraction(0), Fraction(0)
        if isinstance(end, float):
            return end, end
        return functions.sqrt(end, bits) if op is UnaryOp.SQRT else functions.log(end, bits)

    low, high = at(x.lo)[0], at(x.hi)[1]
    if op is UnaryOp.LOG and x.lo <= 0 < x.hi:
        return Interval(-math.inf, max(Fraction(0), high))
    return Interval(low, high)


def apply(t: Term, parts: tuple[Interval, ...], bits: int = BITS) -> Interval:
    """The interval of a term's outermost operator, from those of its children.

    The children are in the order of `terms.children`; `Var` and `Where` are left to the caller.
    """
    match t, parts:
        case Num(value), ():
            return Interval(value, value)
        case Pi(), ():
            return Interval(*functions.pi_bounds(bits))
        case Power(_, exponent), (x,):
            return power(x, exponent)
        case Clip(), (x, low, high):
            return _least(_greatest(x, low), high)
        case Unary(op, _), (x,):
            match op:
                case UnaryOp.NEG:
                    return _negated(x)
                case UnaryOp.ABS:
                    return absolute(x)
                case UnaryOp.SIN | UnaryOp.COS:
                    return _wave(x, op, bits)
                case UnaryOp.TAN:
                    return _tangent(x, bits)
                case UnaryOp.TANH | UnaryOp.EXP | UnaryOp.LOG | UnaryOp.SQRT:
                    return _monotone(x, op, bits)
                case _:
                    assert_never(op)
        case Binary(binary, _, _), (a, b):
            match binary:
                case BinaryOp.ADD:
                    return Interval(_plus(a.lo, b.lo), _plus(a.hi, b.hi))
                case BinaryOp.SUB:
                    return Interval(_plus(a.lo, -b.hi), _plus(a.hi, -b.lo))
                case BinaryOp.MUL:
                    return _product(a, b)
                case BinaryOp.DIV:
                    return _quotient(a, b)
                case BinaryOp.MIN:
                    return _least(a, b)
                case BinaryOp.MAX:
                    return _greatest(a, b)
                case _:
                    assert_never(binary)
        case _:
            raise AssertionError(f"{type(t).__name__} with {len(parts)} parts")


def decide(f: Formula, of: Callable[[Term], Interval]) -> bool | None:
    """Whether ``f`` holds for all values in the intervals; None where they do not decide it."""
    match f:
        case Truth(value):
            return value
        case Compare(relation, left, right):
            a, b = of(left), of(right)
            if relation in (Relation.GE, Relation.GT):
                a, b = b, a
            if relation in (Relation.LE, Relation.GE):
                return True if a.hi <= b.lo else False if a.lo > b.hi else None
            return True if a.hi < b.lo else False if a.lo >= b.hi else None
        case And(parts) | Or(parts):
            verdicts = [decide(p, of) for p in parts]
            settled = isinstance(f, Or)
            if settled in verdicts:
                return settled
            return None if None in verdicts else not settled
        case Not(part):
            verdict = decide(part, of)
            return None if verdict is None else not verdict
        case _:
            assert_never(f)


def enclose(t: Term, at: Mapping[str, Interval | Fraction], bits: int = BITS) -> Interval:
    """An interval that holds the real value of ``t`` at every point of ``at``.

    Exact at a point for terms without transcendental functions; those are off by about
    ``2**-bits``. Over intervals each operator takes its operands as independent.

    Raises:
        KeyError: ``at`` misses a variable of ``t``.
    """
    return _Enclosure(at, bits).of(t)


def holds(f: Formula, at: Mapping[str, Interval | Fraction], bits: int = BITS) -> bool | None:
    """Whether ``f`` holds at every point of ``at``; None where ``bits`` bits cannot decide.

    Raises:
        KeyError: ``at`` misses a variable of ``f``.
    """
    return decide(f, _Enclosure(at, bits).of)


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


class _Enclosure:
    """One point or box, and the intervals found so far on it."""

    def __init__(self, at: Mapping[str, Interval | Fraction], bits: int) -> None:
        self.at, self.bits = at, bits
        self.known: dict[Term, Interval] = {}

    def of(self, t: Term) -> Interval:
        """The interval of ``t``."""
        found = self.known.get(t)
        if found is None:
            found = self.known[t] = self.compute(t)
        return found

    def compute(self, t: Term) -> Interval:
        """The interval of ``t``, from those of its parts."""
        of = self.of
        match t:
            case Var(name):
                value = self.at[name]
                return value if isinstance(value, Interval) else point(value)
            case Where(condition, then, other):
                verdict = decide(condition, of)
                if verdict is None:
                    return hull(of(then), of(other))
                return of(then) if verdict else of(other)
            case Num() | Pi():
                parts: tuple[Interval, ...] = ()
            case Unary(_, arg) | Power(arg, _):
                parts = (of(arg),)
            case Binary(_, left, right):
                parts = (of(left), of(right))
            case Clip(arg, low, high):
                parts = (of(arg), of(low), of(high))
            case _:
                assert_never(t)
        value = apply(t, parts, self.bits)
        return value if value.lo == value.hi else shorten(value, 4 * self.bits)
