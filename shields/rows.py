"""The run-time test as formulas: what the shield evaluates, made from a certificate's rows.

Three formulas over float64 values, compiled by `nprl.lang.floats` for one state or a batch:

- *passes*: state and action in their boxes, and for some part every ``T_i >= margin_i``: the proved
  test;
- *surely inside* and *perhaps inside* the invariant: float tests beyond, and within, the rounding
  of g.

A row ``c + h.x`` is tested as ``h.x >= t``, where t is the least float64 with ``c + t >= margin``
in float64: the same decision, and ``c - h.x`` shares the product. The rounding bound of the
certificate holds for every order of a sum, so for this one. Comparisons are written so that NaN
fails them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from nprl.lang import exact
from nprl.lang.build import all_of, any_of
from nprl.lang.interval import above, below
from nprl.lang.terms import (
    Binary,
    BinaryOp,
    Compare,
    Formula,
    Num,
    Power,
    Relation,
    Term,
    Unary,
    UnaryOp,
    Var,
    nodes,
)
from nprl.model import Coordinate
from nprl.shields.certificate import Certificate
from nprl.shields.goals import test_terms
from nprl.shields.sequent import assign

UNDERFLOW = Fraction(1, 2**500)
"""Covers what underflow can add to a value whose parts are all below 2^500."""
Box = dict[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Tests:
    """The formulas of one certificate, over the names of its state and action."""

    passes: Formula
    surely: Formula
    both: Formula
    """Passes, and surely inside: what one call decides nearly always."""
    perhaps: Formula
    ranges: Formula
    values: tuple[tuple[Term, ...], ...]
    """``T_i - margin_i`` for each part: for proposals, never for decisions."""
    box: Box
    """The float64 numbers inside the bounds of state and action."""


def tests_of(certificate: Certificate) -> Tests:
    """The formulas of ``certificate``."""
    model, shield = certificate.model, certificate.shield
    box = {c.name: inside_floats(c) for c in (*model.state, *model.action)}
    ranges = _within(model.state, box)
    sizes = {c.name: max(abs(c.low), abs(c.high)) for c in model.state}
    centre = {n: Num(v) for n, v in model.nominal().items()}
    step = {n: assign(t, centre) for n, t in zip(model.state_names, model.steps, strict=True)}
    allowed, surely, perhaps = [], [], []
    for rows, margins in zip(shield.invariant, shield.margins, strict=True):
        tests = [_at_least(g, float(m)) for g, m in zip(rows, margins, strict=True)]
        allowed.append(all_of(*(_assign(f, step) for f in tests)))
        surely.append(all_of(*(_beyond(g, sizes, 1) for g in rows)))
        perhaps.append(all_of(*(_beyond(g, sizes, -1) for g in rows)))
    actions = _within(model.action, box)
    return Tests(
        passes=all_of(ranges, actions, any_of(*allowed)),
        surely=all_of(ranges, any_of(*surely)),
        both=all_of(ranges, actions, any_of(*surely), any_of(*allowed)),
        perhaps=all_of(ranges, any_of(*perhaps)),
        ranges=ranges,
        values=tuple(
            tuple(t - m for t, m in zip(test_terms(model, rows), margins, strict=True))
            for rows, margins in zip(shield.invariant, shield.margins, strict=True)
        ),
        box=box,
    )


def exactly_inside(certificate: Certificate, state: Sequence[float]) -> bool:
    """Whether a finite state lies in the invariant, decided in rational arithmetic."""
    at = {n: Fraction(v) for n, v in zip(certificate.model.state_names, state, strict=True)}
    return any(
        all(exact.evaluate(g, at) >= 0 for g in part) for part in certificate.shield.invariant
    )


def inside_floats(c: Coordinate) -> tuple[float, float]:
    """The least and the greatest float64 inside a coordinate's bounds.

    Raises:
        ValueError: where there is none.
    """
    low, high = above(c.low) + 0.0, below(c.high) + 0.0
    if not low <= high:
        raise ValueError(f"{c.name}: no float64 lies in [{c.low}, {c.high}]")
    return low, high


def _within(coordinates: Sequence[Coordinate], box: Box) -> Formula:
    return all_of(
        *(
            f
            for c in coordinates
            for f in (
                Var(c.name) >= Fraction(box[c.name][0]),
                Var(c.name) <= Fraction(box[c.name][1]),
            )
        )
    )


def _assign(f: Formula, at: dict[str, Term]) -> Formula:
    """`assign`, in the comparison that a row has become."""
    assert isinstance(f, Compare)
    return Compare(f.relation, assign(f.left, at), f.right)


def _at_least(g: Term, margin: float) -> Formula:
    """``g >= margin`` in float64."""
    slab = _slab(g)
    if slab is None:
        return g >= Fraction(margin)
    constant, sign, product = slab
    c = float(constant)
    before = Fraction(math.nextafter(margin, -math.inf))
    t = above((before + Fraction(margin)) / 2 - Fraction(c))
    if not c + t >= margin:  # a tie that rounds down
        t = math.nextafter(t, math.inf)
    return _side(product, sign, t)


def _beyond(g: Term, sizes: dict[str, Fraction], sign: int) -> Formula:
    """What shows that ``g >= 0`` (sign 1), or what fails only if ``g < 0`` (sign -1)."""
    slab = _slab(g)
    if slab is None:
        error = _rounding(g, sizes)
        return g >= (Fraction(above(error)) if sign > 0 else -Fraction(above(error)))
    constant, side, product = slab
    error = _rounding(product, sizes)
    t = above(error - constant) if sign > 0 else below(-error - constant)
    return _side(product, side, t)


def _side(product: Term, sign: int, least: float) -> Formula:
    """``sign * product >= least``."""
    relation = Relation.GE if sign > 0 else Relation.LE
    return Compare(relation, product, Num(Fraction(sign * least)))


def _rounding(t: Term, sizes: dict[str, Fraction]) -> Fraction:
    """A bound of |float - real| of a polynomial: ``(1 + 2^-53)^n - 1 <= n 2^-52`` of its size."""
    return nodes(t) * Fraction(1, 2**52) * _size(t, sizes) + UNDERFLOW


def _size(t: Term, sizes: dict[str, Fraction]) -> Fraction:
    """The polynomial with every sign +, at the greatest values of the variables."""
    match t:
        case Num(value):
            return abs(value)
        case Var(name):
            return sizes[name]
        case Unary(UnaryOp.NEG, arg):
            return _size(arg, sizes)
        case Binary(BinaryOp.ADD | BinaryOp.SUB, left, right):
            return _size(left, sizes) + _size(right, sizes)
        case Binary(BinaryOp.MUL, left, right):
            return _size(left, sizes) * _size(right, sizes)
        case Binary(BinaryOp.DIV, left, Num(value)) if value:
            return _size(left, sizes) / abs(value)
        case Power(base, exponent):
            return _size(base, sizes) ** exponent
        case _:
            raise AssertionError("a certificate's rows are polynomials")


Slab = tuple[Fraction, int, Term]


def _slab(g: Term) -> Slab | None:
    """``g`` as ``constant + sign * product``, or None where it is no such sum.

    The product is a sum of numbers times coordinates, each coordinate once; ``sign`` makes its
    first coefficient positive, so that opposite rows have one product.
    """
    parts = _summands(g, 1)
    numbers = [s * p.value for s, p in parts if isinstance(p, Num)]
    factors = [_factor(s, p) for s, p in parts if not isinstance(p, Num)]
    known = [f for f in factors if f is not None]
    distinct = len({name for _, name in known}) == len(known) == len(factors)
    if len(numbers) != 1 or not known or not distinct or any(not c for c, _ in known):
        return None
    sign = 1 if known[0][0] > 0 else -1
    product: Term | None = None
    for c, name in known:
        summand: Term = Var(name) if c == sign else Num(sign * c) * Var(name)
        product = summand if product is None else product + summand
    assert product is not None
    return numbers[0], sign, product


def _summands(t: Term, sign: int) -> list[tuple[int, Term]]:
    """The summands of a sum from left to right: a chain, as the rounding's analysis sees it."""
    match t:
        case Binary(BinaryOp.ADD, left, right):
            return [*_summands(left, sign), (sign, right)]
        case Binary(BinaryOp.SUB, left, right):
            return [*_summands(left, sign), (-sign, right)]
        case _:
            return [(sign, t)]


def _factor(sign: int, t: Term) -> tuple[Fraction, str] | None:
    match t:
        case Var(name):
            return Fraction(sign), name
        case Unary(UnaryOp.NEG, (Var() | Binary()) as arg):
            return _factor(-sign, arg)
        case Binary(BinaryOp.MUL, Num(value), Var(name)) | Binary(
            BinaryOp.MUL, Var(name), Num(value)
        ):
            return sign * value, name
        case _:
            return None
