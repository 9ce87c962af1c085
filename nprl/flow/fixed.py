"""Bounds of a term over many boxes, quickly: intervals of whole numbers in units of ``2**-64``.

Sums and products are those of whole numbers, rounded outward; every other operator is that of
`nprl.lang.ranges`, whose results are kept. A term is laid out once, each part once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nprl.lang.functions import fixed, scale
from nprl.lang.ranges import Interval, apply, decide
from nprl.lang.terms import (
    Binary,
    BinaryOp,
    Formula,
    Num,
    Term,
    Unary,
    UnaryOp,
    Var,
    Where,
    children,
)

PLACES = 64
BITS = 40
"""Functions are bounded to about this many binary digits."""
Ends = tuple[int, int]
Values = list[Ends]


class Unbounded(ArithmeticError):
    """A part of the term has no bound on a box."""


class Layout:
    """One term, as a list of its parts, each after those that it is made of."""

    def __init__(self, t: Term) -> None:
        self.index: dict[Term, int] = {}
        self.parts: list[Callable[[Values, Mapping[str, Ends]], Ends]] = []
        self.kept: dict[tuple[int, tuple[Ends, ...]], Ends] = {}
        self.last = self._place(t)

    def bound(self, box: Mapping[str, Ends]) -> Ends:
        """Both ends of the term's bound on a box.

        Raises:
            Unbounded: where there is none.
        """
        values: Values = []
        for part in self.parts:
            values.append(part(values, box))
        return values[self.last]

    def _place(self, t: Term) -> int:
        if t not in self.index:
            part = self._part(t)
            self.index[t] = len(self.parts)
            self.parts.append(part)
        return self.index[t]

    def _part(self, t: Term) -> Callable[[Values, Mapping[str, Ends]], Ends]:
        match t:
            case Num(value):
                constant = whole(Interval(value, value))
                return lambda values, box: constant
            case Var(name):
                return lambda values, box: box[name]
            case Unary(UnaryOp.NEG, arg):
                a = self._place(arg)
                return lambda values, box: (-values[a][1], -values[a][0])
            case Binary(BinaryOp.ADD, left, right):
                a, b = self._place(left), self._place(right)
                return lambda values, box: (
                    values[a][0] + values[b][0],
                    values[a][1] + values[b][1],
                )
            case Binary(BinaryOp.SUB, left, right):
                a, b = self._place(left), self._place(right)
                return lambda values, box: (
                    values[a][0] - values[b][1],
                    values[a][1] - values[b][0],
                )
            case Binary(BinaryOp.MUL, left, right):
                a, b = self._place(left), self._place(right)
                return lambda values, box: _product(values[a], values[b])
            case Where(condition, then, other):
                a, b = self._place(then), self._place(other)
                self._place_all(condition)
                return lambda values, box: self._chosen(condition, values, a, b)
        inside = [self._place(c) for c in children(t) if isinstance(c, Term)]
        number = len(self.parts)
        return lambda values, box: self._applied(t, number, tuple(values[k] for k in inside))

    def _place_all(self, f: Formula) -> None:
        for part in children(f):
            if isinstance(part, Term):
                self._place(part)
            else:
                self._place_all(part)

    def _chosen(self, condition: Formula, values: Values, a: int, b: int) -> Ends:
        verdict = decide(condition, lambda s: fractions(values[self.index[s]]))
        if verdict is not None:
            return values[a if verdict else b]
        return min(values[a][0], values[b][0]), max(values[a][1], values[b][1])

    def _applied(self, t: Term, number: int, parts: tuple[Ends, ...]) -> Ends:
        key = (number, parts)
        if key not in self.kept:
            self.kept[key] = whole(apply(t, tuple(map(fractions, parts)), BITS))
        return self.kept[key]


def _product(a: Ends, b: Ends) -> Ends:
    ends = [a[0] * b[0], a[0] * b[1], a[1] * b[0], a[1] * b[1]]
    return min(ends) >> PLACES, -(-max(ends) >> PLACES)


def whole(x: Interval) -> Ends:
    """An interval in whole numbers, rounded outward.

    Raises:
        Unbounded: for an end that is infinite.
    """
    if isinstance(x.lo, float) or isinstance(x.hi, float):
        raise Unbounded
    return fixed(x.lo, PLACES), -fixed(-x.hi, PLACES)


def fractions(x: Ends) -> Interval:
    """The same interval in fractions."""
    return Interval(scale(x[0], -PLACES), scale(x[1], -PLACES))
