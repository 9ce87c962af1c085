"""The allowed interval on a line of actions, as terms: heuristics, trusted in nothing.

Where the rows of the test are polynomials of degree two at most in one variable ``t``, the values
of ``t`` at which all of them are ``>= 0`` are an interval, whose ends are terms over everything
else. They are compiled as any term is, for one state and for batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest

from nprl.lang.build import maximum, minimum, sqrt, where
from nprl.lang.interval import float_intervals
from nprl.lang.ranges import Interval
from nprl.lang.terms import (
    Binary,
    BinaryOp,
    Clip,
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

ZERO, ONE = Num(Fraction(0)), Num(Fraction(1))
FLAT = Fraction(1, 10**9)
"""A row whose curvature is this share of its size, or less, is taken as straight."""
MOST = 4
"""Powers beyond this degree are not multiplied out."""
Coefficients = tuple[Term, ...]
"""``c0 + c1 t + c2 t^2``: the terms without t; the last is not the number 0, or is the only one."""
Known = dict[Term, Coefficients | None]


@dataclass(frozen=True, slots=True)
class Span:
    """The interval of one part."""

    low: Term
    high: Term
    slack: Term
    """The interval is there only where this is ``>= 0``."""
    open_rows: tuple[Coefficients, ...]
    """Three coefficients of each row that may bound it from either side: still to be heeded."""


def span(rows: Sequence[Term], t: str, box: Mapping[str, tuple[float, float]]) -> Span | None:
    """Where in ``box[t]`` all ``rows`` are ``>= 0``; None where one has no such form."""
    known: Known = {}
    found = [coefficients(row, t, known) for row in rows]
    polynomials = [c for c in found if c is not None and len(c) <= 3]
    if len(polynomials) < len(rows):
        return None
    ranges = float_intervals([c for row in polynomials for c in row], box)
    first, last = box[t]
    ends: tuple[list[Term], list[Term]] = ([Num(Fraction(first))], [Num(Fraction(last))])
    slacks: list[Term] = []
    open_rows = []
    for c in polynomials:
        if len(c) == 1:
            slacks.append(c[0])
        elif len(c) == 3 and _surely_curved(c, ranges, box[t]):
            half = times(c[1], Num(Fraction(-1, 2)))
            under = half * half - times(c[2], c[0])
            root = sqrt(under)
            ends[0].append((half + root) / c[2])
            ends[1].append((half - root) / c[2])
            slacks.append(under)
        elif len(c) == 2 and not ranges[c[1]].contains(Fraction(0)):
            slope = c[1]
            zero = times(c[0], Num(-1 / slope.value)) if isinstance(slope, Num) else -c[0] / slope
            ends[ranges[slope].hi < 0].append(zero)
        else:
            open_rows.append((*c, ZERO)[:3])
    slack = minimum(*slacks) if slacks else ZERO
    return Span(maximum(*ends[0]), minimum(*ends[1]), slack, tuple(open_rows))


def _surely_curved(
    c: Coefficients, ranges: Mapping[Term, Interval], ends: tuple[float, float]
) -> bool:
    """Whether the row is concave everywhere, and not nearly straight."""
    width = Fraction(ends[1]) - Fraction(ends[0])
    size = ranges[c[0]].magnitude + ranges[c[1]].magnitude * width
    return bool(ranges[c[2]].hi * width**2 < -FLAT * size)


def coefficients(term: Term, t: str, known: Known | None = None) -> Coefficients | None:
    """The coefficients of ``term`` as a polynomial in ``t``; None where it is none that is seen.

    A clip counts as its argument: near the bounds it misleads, which costs a proposal. ``known``
    is the memory of the caller's terms.
    """
    known = {} if known is None else known
    if term not in known:
        known[term] = _coefficients(term, t, known)
    return known[term]


def _coefficients(term: Term, t: str, known: Known) -> Coefficients | None:
    if isinstance(term, Var):
        return (ZERO, ONE) if term.name == t else (term,)
    inner = [c for c in children(term) if isinstance(c, Term)]
    parts = [coefficients(c, t, known) for c in inner]
    free = not isinstance(term, Where) or t not in variables(term.condition)
    if free and parts == [(c,) for c in inner]:
        return (term,)
    match term, parts:
        case Binary(BinaryOp.ADD), [tuple(a), tuple(b)]:
            return _added(a, b)
        case Binary(BinaryOp.SUB), [tuple(a), tuple(b)]:
            return _added(a, _negated(b))
        case Binary(BinaryOp.MUL), [tuple(a), tuple(b)]:
            return _convolved(a, b)
        case Binary(BinaryOp.DIV), [tuple(a), (b,)]:
            return tuple(_over(c, b) for c in a)
        case Unary(UnaryOp.NEG), [tuple(a)]:
            return _negated(a)
        case Power(_, exponent), [tuple(a)] if exponent * (len(a) - 1) <= MOST:
            result: Coefficients = (ONE,)
            for _ in range(exponent):
                result = _convolved(result, a)
            return result
        case Clip(), [tuple(a), (_,), (_,)]:
            return a
        case Where(condition), [tuple(a), tuple(b)] if free:
            pairs = zip_longest(a, b, fillvalue=ZERO)
            return _trimmed([where(condition, p, q) for p, q in pairs])
        case _:
            return None


def _negated(a: Coefficients) -> Coefficients:
    return tuple(times(c, Num(Fraction(-1))) for c in a)


def _added(a: Coefficients, b: Coefficients) -> Coefficients:
    return _trimmed([plus(p, q) for p, q in zip_longest(a, b, fillvalue=ZERO)])


def _convolved(a: Coefficients, b: Coefficients) -> Coefficients:
    result: list[Term] = [ZERO] * (len(a) + len(b) - 1)
    for i, p in enumerate(a):
        for j, q in enumerate(b):
            result[i + j] = plus(result[i + j], times(p, q))
    return _trimmed(result)


def _trimmed(values: list[Term]) -> Coefficients:
    while len(values) > 1 and values[-1] == ZERO:
        values.pop()
    return tuple(values)


def _over(a: Term, b: Term) -> Term:
    return times(a, Num(1 / b.value)) if isinstance(b, Num) and b.value else a / b


def plus(a: Term, b: Term) -> Term:
    """``a + b``, computed where both are numbers."""
    if isinstance(a, Num) and isinstance(b, Num):
        return Num(a.value + b.value)
    return b if a == ZERO else a if b == ZERO else a + b


def times(a: Term, b: Term) -> Term:
    """``a * b``, computed where both are numbers; factors that are numbers are joined."""
    if isinstance(a, Num) and not isinstance(b, Num):
        a, b = b, a
    match a, b:
        case Num(p), Num(q):
            return Num(p * q)
        case _, Num(q) if q == 0 or q == 1:
            return a if q else ZERO
        case Binary(BinaryOp.MUL, left, Num(p)), Num(q):
            return times(left, Num(p * q))
        case Binary(BinaryOp.MUL, Num(p), right), Num(q):
            return times(right, Num(p * q))
        case _:
            return a * b
