"""Numbers in programs: constants as holes, short decimals, simpler terms of the same meaning.

A *skeleton* is a term in which each constant is a hole, the variable ``c:0``, ``c:1``, ... from
left to right (the colon keeps holes apart from coordinates). A program's constants are decimals,
and these decimals are what runs: nothing here is rounded for display only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import assert_never

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
    Term,
    Truth,
    Unary,
    UnaryOp,
    Var,
    Where,
)

HOLE = "c:"
"""What the name of a hole begins with."""
ZERO, ONE = Num(Fraction(0)), Num(Fraction(1))


def hole(index: int = 0) -> Var:
    """The hole with this number."""
    return Var(f"{HOLE}{index}")


def is_hole(t: Term | Formula) -> bool:
    """Whether ``t`` is a hole."""
    return isinstance(t, Var) and t.name.startswith(HOLE)


def map_leaves(t: Term, change: Callable[[Term], Term]) -> Term:
    """``t`` with each number, variable and pi replaced by ``change`` of it, from left to right."""
    match t:
        case Num() | Pi() | Var():
            return change(t)
        case Unary(op, arg):
            return Unary(op, map_leaves(arg, change))
        case Binary(op, left, right):
            return Binary(op, map_leaves(left, change), map_leaves(right, change))
        case Power(base, exponent):
            return Power(map_leaves(base, change), exponent)
        case Clip(arg, low, high):
            return Clip(*(map_leaves(part, change) for part in (arg, low, high)))
        case Where(condition, then, other):
            mapped = _map_formula(condition, change)
            return Where(mapped, map_leaves(then, change), map_leaves(other, change))
        case _:
            assert_never(t)


def _map_formula(f: Formula, change: Callable[[Term], Term]) -> Formula:
    match f:
        case Truth():
            return f
        case Compare(relation, left, right):
            return Compare(relation, map_leaves(left, change), map_leaves(right, change))
        case And(parts):
            return And(tuple(_map_formula(p, change) for p in parts))
        case Or(parts):
            return Or(tuple(_map_formula(p, change) for p in parts))
        case Not(part):
            return Not(_map_formula(part, change))
        case _:
            assert_never(f)


def number_holes(t: Term, first: int = 0) -> tuple[Term, int]:
    """``t`` with holes numbered from ``first``, left to right, and the number after the last."""
    count = first

    def change(leaf: Term) -> Term:
        nonlocal count
        if not is_hole(leaf):
            return leaf
        count += 1
        return hole(count - 1)

    return map_leaves(t, change), count


def fill(t: Term, values: Sequence[Fraction]) -> Term:
    """``t`` with hole k replaced by the number ``values[k]``."""

    def change(leaf: Term) -> Term:
        if isinstance(leaf, Var) and is_hole(leaf):
            return Num(values[int(leaf.name[len(HOLE) :])])
        return leaf

    return map_leaves(t, change)


def lift(terms: Sequence[Term]) -> tuple[tuple[Term, ...], tuple[Fraction, ...]]:
    """The skeletons of ``terms``, holes numbered through all of them, and the numbers."""
    values: list[Fraction] = []

    def change(leaf: Term) -> Term:
        if not isinstance(leaf, Num):
            return leaf
        values.append(leaf.value)
        return hole(len(values) - 1)

    return tuple(map_leaves(t, change) for t in terms), tuple(values)


def decimal(value: float, digits: int) -> Fraction:
    """The decimal with this many significant digits nearest to ``value``, exactly.

    Raises:
        ValueError: for a value that is not finite, or fewer than one digit.
    """
    if not math.isfinite(value) or digits < 1:
        raise ValueError(f"a finite value and one digit or more are needed; got {value}, {digits}")
    return Fraction(f"{value:.{digits - 1}e}")


def shortest_between(low: float, high: float) -> Fraction:
    """A shortest decimal in the open interval (low, high), nearest to its middle; low < high."""
    middle = (low + high) / 2
    for places in range(-12, 20):
        unit = Fraction(10) ** -places
        near = round(Fraction(middle) / unit) * unit
        if low < near < high:
            return near
    return Fraction(middle)


def linear(coefficients: Sequence[Fraction], features: Sequence[Term]) -> Term:
    """The term ``sum c_k f_k``, without zero summands, ones and signs that need not be written.

    A feature that is the number 1 stands for a constant summand.
    """
    result: Term | None = None
    for c, f in zip(coefficients, features, strict=True):
        if c == 0:
            continue
        size = abs(c)
        summand = Num(size) if f == ONE else f if size == 1 else Num(size) * f
        if result is not None:
            result = result + summand if c > 0 else result - summand
        elif c > 0:
            result = summand
        else:
            result = Num(c) if f == ONE else -f if size == 1 else Num(c) * f
    return ZERO if result is None else result


def simplify(t: Term) -> Term:
    """``t`` without work that does nothing: sums with 0, products with 0 and 1, known numbers.

    The value over the reals is the same; in floats it may differ by rounding.
    """
    match t:
        case Num() | Pi() | Var():
            return t
        case Unary(op, arg):
            inner = simplify(arg)
            if op is UnaryOp.NEG and isinstance(inner, Num):
                return Num(-inner.value)
            return _negated(inner) if op is UnaryOp.NEG else Unary(op, inner)
        case Power(base, exponent):
            inner = simplify(base)
            return inner if exponent == 1 else Power(inner, exponent)
        case Clip(arg, low, high):
            return Clip(simplify(arg), simplify(low), simplify(high))
        case Where(condition, then, other):
            first, second = simplify(then), simplify(other)
            return first if first == second else Where(_simplify_formula(condition), first, second)
        case Binary(op, left, right):
            return _simplify_binary(op, simplify(left), simplify(right))
        case _:
            assert_never(t)


def _negated(t: Term) -> Term:
    match t:
        case Unary(UnaryOp.NEG, arg):
            return arg
        case Binary(BinaryOp.MUL | BinaryOp.DIV as op, Num(v), f):
            return Binary(op, Num(-v), f)
        case Binary(BinaryOp.SUB, a, b):
            return Binary(BinaryOp.SUB, b, a)
        case _:
            return Unary(UnaryOp.NEG, t)


def _simplify_formula(f: Formula) -> Formula:
    if not isinstance(f, Compare):
        return f
    left, right = simplify(f.left), simplify(f.right)
    if right == ZERO and isinstance(left, Binary) and left.op is BinaryOp.SUB:
        return Compare(f.relation, left.left, left.right)
    return Compare(f.relation, left, right)


def _simplify_binary(op: BinaryOp, a: Term, b: Term) -> Term:
    if isinstance(a, Num) and isinstance(b, Num):
        x, y = a.value, b.value
        match op:
            case BinaryOp.ADD:
                return Num(x + y)
            case BinaryOp.SUB:
                return Num(x - y)
            case BinaryOp.MUL:
                return Num(x * y)
            case BinaryOp.DIV:
                return Num(x / y if y else Fraction(0))
            case BinaryOp.MIN:
                return Num(min(x, y))
            case BinaryOp.MAX:
                return Num(max(x, y))
            case _:
                assert_never(op)
    match op, a, b:
        case (BinaryOp.ADD, Num(v), other) | (BinaryOp.ADD | BinaryOp.SUB, other, Num(v)) if v == 0:
            return other
        case BinaryOp.SUB, Num(v), other if v == 0:
            return Unary(UnaryOp.NEG, other)
        case (BinaryOp.MUL, Num(v), _) | (BinaryOp.MUL | BinaryOp.DIV, _, Num(v)) if v == 0:
            return ZERO
        case BinaryOp.DIV, Num(v), _ if v == 0:
            return ZERO
        case (BinaryOp.MUL, Num(v), other) | (BinaryOp.MUL | BinaryOp.DIV, other, Num(v)) if v == 1:
            return other
        case BinaryOp.MUL, Num(v), other if v == -1:
            return Unary(UnaryOp.NEG, other)
        case BinaryOp.MUL, other, Num():
            return Binary(BinaryOp.MUL, b, other)
        case BinaryOp.MUL, Num(v), Binary(BinaryOp.MUL | BinaryOp.DIV as inner, Num(w), f):
            return _simplify_binary(inner, Num(v * w), f)
        case BinaryOp.DIV, Num(v), Binary(BinaryOp.MUL, Num(w), f) if w:
            return _simplify_binary(BinaryOp.DIV, Num(v / w), f)
        case BinaryOp.DIV, Binary(BinaryOp.MUL, Num(v), f), Num(w):
            return _simplify_binary(BinaryOp.MUL, Num(v / w), f)
        case BinaryOp.MIN | BinaryOp.MAX, _, _ if a == b:
            return a
        case BinaryOp.ADD, _, Num(v) if v < 0:
            return a - Num(-v)
        case BinaryOp.SUB, _, Num(v) if v < 0:
            return a + Num(-v)
        case BinaryOp.ADD, _, Binary(BinaryOp.MUL | BinaryOp.DIV as inner, Num(v), f) if v < 0:
            return _simplify_binary(BinaryOp.SUB, a, _simplify_binary(inner, Num(-v), f))
        case BinaryOp.SUB, _, Binary(BinaryOp.MUL | BinaryOp.DIV as inner, Num(v), f) if v < 0:
            return _simplify_binary(BinaryOp.ADD, a, _simplify_binary(inner, Num(-v), f))
        case BinaryOp.ADD, _, Unary(UnaryOp.NEG, f):
            return _simplify_binary(BinaryOp.SUB, a, f)
        case BinaryOp.SUB, _, Unary(UnaryOp.NEG, f):
            return _simplify_binary(BinaryOp.ADD, a, f)
        case BinaryOp.ADD, Unary(UnaryOp.NEG, f), _:
            return _simplify_binary(BinaryOp.SUB, b, f)
        case _:
            return Binary(op, a, b)


def digits_of(value: Fraction) -> int:
    """The significant digits of a decimal; 0 for 0, 1 and -1, which need not be written."""
    return 0 if value in (-1, 0, 1) else len(str(_mantissa(value)))


def _mantissa(value: Fraction) -> int:
    top = abs(value)
    while top.denominator != 1:
        top *= 10
    whole = top.numerator
    while whole and whole % 10 == 0:
        whole //= 10
    return whole


def shortest_decimals(
    values: Sequence[float],
    losses: Callable[[Sequence[tuple[Fraction, ...]]], Sequence[float]],
    limit: float,
    most: int = 9,
    at_once: bool = True,
) -> tuple[Fraction, ...]:
    """Short decimals near ``values`` whose loss is at most ``limit``.

    First the fewest digits that serve for all constants together, then fewer for each in turn, 0, 1
    and -1 included, with the two neighbours tried where rounding to nearest does not serve.
    ``losses`` judges many at once, or one by one, stopping at the first that serves, where that is
    dear. Where ``most`` digits do not serve, those are returned all the same.
    """
    if not values:
        return ()

    def first(trials: list[tuple[Fraction, ...]], size: list[int]) -> tuple[Fraction, ...] | None:
        served: list[tuple[int, float, tuple[Fraction, ...]]] = []
        step = max(1, len(trials)) if at_once else 1
        for at in range(0, len(trials), step):
            part = trials[at : at + step]
            judged = zip(size[at : at + step], losses(part), part, strict=True)
            served += [entry for entry in judged if entry[1] <= limit]
            if served:
                return min(served)[2]
        return None

    digits = list(range(1, most + 1))
    together = [tuple(decimal(v, d) for v in values) for d in digits]
    best = first(together, digits) or together[-1]
    for k in sorted(range(len(values)), key=lambda k: (-digits_of(best[k]), k)):
        choices = [Fraction(v) for v in (0, 1, -1)]
        for d in range(1, digits_of(best[k])):
            near = decimal(values[k], d)
            step = _last_place(near, d)
            choices += [near, near + step, near - step]
        choices = [c for c in dict.fromkeys(choices) if digits_of(c) < digits_of(best[k])]
        choices.sort(key=digits_of)
        trials = [(*best[:k], c, *best[k + 1 :]) for c in choices]
        best = first(trials, [digits_of(c) for c in choices]) or best
    return best


def _last_place(value: Fraction, digits: int) -> Fraction:
    if value == 0:
        return Fraction(0)
    exponent = math.floor(math.log10(abs(float(value))) + 1e-12)
    return Fraction(10) ** (exponent - digits + 1)
