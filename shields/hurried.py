"""Terms for a processor that works ahead: fewer products and quotients, and what is late comes last.

A form equals its term over the reals. In floats it rounds otherwise: who uses a form owes an argument
for that (`nprl.shields.tube`).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from nprl.lang.terms import Binary, BinaryOp, Num, Term, Unary, UnaryOp, children, rebuilt

ZERO, ONE = Num(Fraction(0)), Num(Fraction(1))
LATE = {BinaryOp.DIV: 4}
"""How long a processor takes, in sums; a sum or a product takes 1."""
FUNCTION = 10
Scaled = tuple[Fraction, Term]
"""A number times a term; the number is 0 only with `ONE`."""


def hurried(t: Term) -> Term:
    """``t`` with its numbers gathered, its quotients as products, its sums as shallow trees."""
    return _whole(_Form().scaled(t))


class _Form:
    """Forms of the parts that were met, and how late they are."""

    def __init__(self) -> None:
        self.known: dict[Any, Scaled] = {}
        self.depths: dict[Any, int] = {}
        self.sums: dict[Term, list[Scaled]] = {}

    def of(self, t: Any) -> Any:
        """The form of a term, or of what is no term."""
        return _whole(self.scaled(t)) if isinstance(t, Term) else rebuilt(t, self.of)

    def scaled(self, t: Term) -> Scaled:
        """The form as a number times a term."""
        if t not in self.known:
            self.known[t] = self._scaled(t)
        return self.known[t]

    def _scaled(self, t: Term) -> Scaled:
        match t:
            case Num(value):
                return value, ONE
            case Unary(UnaryOp.NEG, arg):
                return _times(Fraction(-1), self.scaled(arg))
            case Binary(BinaryOp.ADD | BinaryOp.SUB):
                return self._sum(self._summands(t))
            case Binary(BinaryOp.MUL, left, right):
                (a, p), (b, q) = self.scaled(left), self.scaled(right)
                return (a * b, _product(p, q)) if a * b else (a * b, ONE)
            case Binary(BinaryOp.DIV, left, right):
                (a, p), (b, q) = self.scaled(left), self.scaled(right)
                if not a or not b:  # division by zero is zero
                    return Fraction(0), ONE
                return a / b, p if q == ONE else _product(p, ONE / q)
            case _:
                return Fraction(1), rebuilt(t, self.of)

    def _summands(self, t: Term, factor: Fraction = Fraction(1)) -> list[Scaled]:
        """The parts of a sum, and of the sums that are its parts."""
        match t:
            case Binary(BinaryOp.ADD | BinaryOp.SUB as op, left, right):
                sign = 1 if op is BinaryOp.ADD else -1
                return self._summands(left, factor) + self._summands(right, sign * factor)
        c, p = self.scaled(t)
        parts = self.sums.get(p, [])
        if abs(c) != 1 and parts and all(abs(a) != 1 for a, _ in parts):
            return [_times(factor * c, part) for part in parts]
        return [_times(factor, (c, p))]

    def _sum(self, parts: Sequence[Scaled]) -> Scaled:
        """Parts that differ in nothing but their numbers are one."""
        numbers: dict[Term, Fraction] = {}
        for c, p in parts:
            numbers[p] = numbers.get(p, Fraction(0)) + c
        found = [(c, p) for p, c in numbers.items() if c]
        if len(found) < 2:
            return found[0] if found else (Fraction(0), ONE)
        signed = [(c > 0, _whole((abs(c), p))) for c, p in found]
        queue = [(self._depth(p), k, plus, p) for k, (plus, p) in enumerate(signed)]
        heapq.heapify(queue)
        for k in range(len(queue), 2 * len(queue) - 1):
            (_, _, s, a), (_, _, t, b) = heapq.heappop(queue), heapq.heappop(queue)
            total = a + b if s == t else a - b if s else b - a
            heapq.heappush(queue, (self._depth(total), k, s or t, total))
        sign = Fraction(1 if queue[0][2] else -1)
        self.sums[queue[0][3]] = [_times(sign, part) for part in found]
        return sign, queue[0][3]

    def _depth(self, t: Any) -> int:
        """How late the value is known."""
        if t not in self.depths:
            below = max(map(self._depth, children(t)), default=-1)
            own = FUNCTION if isinstance(t, Unary) and t.op is not UnaryOp.NEG else 1
            self.depths[t] = below + (LATE.get(t.op, 1) if isinstance(t, Binary) else own)
        return self.depths[t]


def _times(factor: Fraction, s: Scaled) -> Scaled:
    return (factor * s[0], s[1]) if factor else (Fraction(0), ONE)


def _product(p: Term, q: Term) -> Term:
    return q if p == ONE else p if q == ONE else p * q


def _whole(s: Scaled) -> Term:
    """The term itself."""
    c, p = s
    return Num(c) if p == ONE else p if c == 1 else -p if c == -1 else Num(c) * p
