"""How far the float meaning may be from the real one: section 4 of docs/certificate.md.

Every subterm over a box gets a range R of its real values and a bound E of |float - real|, both
rational. Each rule below is a row of that page's table. Library functions are off by at most
``ulps * 2**-52 |value|``; sums may be taken in any order, fused or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, assert_never

from nprl.lang import functions
from nprl.lang import terms as tm
from nprl.lang.ranges import DomainError, Interval, apply, hull, point, power, shorten
from nprl.lang.terms import Formula, Num, Term, Var, children, subterms

U = Fraction(1, 2**53)
TINY = Fraction(1, 2**1074)
LIMIT = Fraction(2**1000)
BITS = 128
Pair = tuple[Interval, Fraction]


def _summands(t: Term) -> list[tuple[tm.BinaryOp, Term]]:
    """The terms that + and - join from left to right, each with its sign."""
    parts: list[tuple[tm.BinaryOp, Term]] = []
    while isinstance(t, tm.Binary) and t.op in (tm.BinaryOp.ADD, tm.BinaryOp.SUB):
        parts.append((t.op, t.right))
        t = t.left
    return [(tm.BinaryOp.ADD, t), *reversed(parts)]


class Analysis:
    """One box, what is known of the subterms over it, and the greatest error of a guard met."""

    def __init__(
        self, box: Mapping[str, Interval], ulps: int, errors: Mapping[str, Fraction] | None = None
    ) -> None:
        self.box, self.ulps, self.errors = box, ulps, errors
        self.known: dict[Term, Pair] = {}
        self.guards = Fraction(0)

    def of(self, t: Any) -> Pair:
        """The range and the error of ``t``, evaluated in float64 at any float point of the box.

        With ``errors``: at any real point, of which the evaluation sees each coordinate that far
        off.

        Raises:
            DomainError: the bound does not exist; the line names the subterm.
            KeyError: the box misses a variable of ``t``.
        """
        if t not in self.known:
            value, error = self.compute(t)
            value = shorten(value, BITS)
            error = _finite(shorten(Interval(Fraction(0), error), BITS).hi, t)
            if _size(value, t) + error > LIMIT:
                raise DomainError(f"may overflow: {t}")
            self.known[t] = value, error
        return self.known[t]

    def compute(self, t: Term) -> Pair:
        """One row of the table."""
        match t:
            case Num(value):
                if abs(value) > LIMIT:
                    raise DomainError(f"may overflow: {t}")
                return point(value), abs(value - Fraction(float(value)))
            case tm.Pi():
                return apply(t, (), BITS), 4 * U
            case Var(name):
                return self.box[name], self.errors[name] if self.errors else Fraction(0)
            case tm.Unary(tm.UnaryOp.TAN, arg):
                return self.of(tm.Unary(tm.UnaryOp.SIN, arg) / tm.Unary(tm.UnaryOp.COS, arg))
            case tm.Clip() | tm.Binary(tm.BinaryOp.MIN | tm.BinaryOp.MAX):  # nothing is rounded
                ranges, errors = zip(*map(self.of, children(t)), strict=True)
                return apply(t, ranges, BITS), max(errors)
            case tm.Unary(op, arg):
                return self.unary(t, op, arg)
            case tm.Power(base, exponent):
                return self.power(t, *self.of(base), exponent)
            case tm.Binary(op, left, right):
                return self.binary(t, op, left, right)
            case tm.Where(condition, then, other):
                self.guard(condition)
                (a, a_error), (b, b_error) = self.of(then), self.of(other)
                return hull(a, b), max(a_error, b_error)
            case _:
                assert_never(t)

    def guard(self, condition: Formula) -> None:
        """Note the error of each comparison."""
        for s in subterms(condition):
            if isinstance(s, tm.Compare):
                self.guards = max(self.guards, self.of(s.left)[1] + self.of(s.right)[1])

    def unary(self, t: Term, op: tm.UnaryOp, arg: Term) -> Pair:
        """The rows of the operators of one argument."""
        a, error = self.of(arg)
        value = apply(t, (a,), BITS)
        if op is tm.UnaryOp.NEG or op is tm.UnaryOp.ABS:
            return value, error
        seen = Interval(_finite(a.lo, t) - error, _finite(a.hi, t) + error)
        steepest, ulps = Fraction(1), self.ulps  # over what the function sees
        if op is tm.UnaryOp.LOG or op is tm.UnaryOp.SQRT:
            if seen.lo <= 0:
                raise DomainError(f"the argument is not proved positive: {t}")
            steepest = 1 / Fraction(seen.lo)
            if op is tm.UnaryOp.SQRT:
                steepest, ulps = 1 / functions.sqrt(Fraction(seen.lo), BITS)[0], 1
        elif op is tm.UnaryOp.EXP:
            steepest = _size(apply(t, (seen,), BITS), t)
        error *= steepest
        return value, error + ulps * (2 * U * (_size(value, t) + error) + TINY)

    def power(self, t: Term, a: Interval, error: Fraction, exponent: int) -> Pair:
        """A power: products from left to right."""
        total = error if exponent else Fraction(0)
        for k in range(1, exponent):
            total = self.product(t, (power(a, k), total), (a, error))
        return power(a, exponent), total

    def product(self, t: Term, a: Pair, b: Pair) -> Fraction:
        """The error of a product."""
        (a_range, a_error), (b_range, b_error) = a, b
        m, n = _size(a_range, t), _size(b_range, t)
        rounding = 2 * U * (m + a_error) * (n + b_error) + TINY
        return m * b_error + n * a_error + a_error * b_error + rounding

    def binary(self, t: Term, op: tm.BinaryOp, left: Term, right: Term) -> Pair:
        """The rows of + - * /."""
        if op is tm.BinaryOp.ADD or op is tm.BinaryOp.SUB:
            parts = [(sign, *self.of(part)) for sign, part in _summands(t)]
            total = point(0)
            for sign, r, _ in parts:
                total = apply(tm.Binary(sign, left, right), (total, r), BITS)
            inherited = sum((e for _, _, e in parts), Fraction(0))
            sizes = sum((_size(r, t) for _, r, _ in parts), inherited)
            return total, inherited + len(parts) * U * sizes
        a, b = self.of(left), self.of(right)
        if op is tm.BinaryOp.MUL:
            return apply(t, (a[0], b[0]), BITS), self.product(t, a, b)
        least = _finite(max(Fraction(0), b[0].lo, -b[0].hi), t) - b[1]
        if least <= 0:
            raise DomainError(f"the denominator is not proved nonzero: {t}")
        value = apply(t, (a[0], b[0]), BITS)
        quotient = _size(value, t)
        inherited = (a[1] + quotient * b[1]) / least
        return value, inherited + 2 * U * (quotient + inherited) + TINY


def _finite(end: functions.End, t: Term) -> Fraction:
    if isinstance(end, float):
        raise DomainError(f"unbounded: {t}")
    return end


def _size(x: Interval, t: Term) -> Fraction:
    """The greatest absolute value in ``x``."""
    return _finite(x.magnitude, t)
