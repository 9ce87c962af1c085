"""The run-time test as formulas: what the shield evaluates, made from a certificate's rows.

Three formulas over float64 values, compiled by `nprl.lang.floats` for one state or a batch:

- *passes*: state and action in their boxes, and for some part every ``T_i >= margin_i``: the proved
  test, or what implies it;
- *surely inside* and *perhaps inside* the invariant: float tests beyond, and within, the rounding
  of g.

A row ``c + h.x`` is tested as ``h.x >= t``, where t is the least float64 with ``c + t >= margin``
in float64: the same decision, and ``c - h.x`` shares the product. The rounding bound of the
certificate holds for every order of a sum, so for this one. Any other row is tested in a form of
fewer operations where there is one, against ``margin + E + E'``: E bounds how far the float T is
from the real one (the certificate's claim), E' how far the form is (the same analysis). So what
passes has ``T >= margin`` in floats, too. Comparisons are written so that NaN fails them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from nprl.lang.bounds import analyse
from nprl.lang.build import all_of, any_of
from nprl.lang.interval import above, below
from nprl.lang.ranges import DomainError, Interval
from nprl.lang.terms import (
    And,
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
from nprl.shields.forms import Slab, nested, slab
from nprl.shields.polynomial import Polynomial, polynomial
from nprl.shields.sequent import assign

UNDERFLOW = Fraction(1, 2**500)
"""Covers what underflow can add to a value whose parts are all below 2^500."""
Box = dict[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Tests:
    """The formulas of one certificate, over the names of its state and action."""

    passes: Formula
    surely: Formula
    perhaps: Formula
    ranges: Formula
    values: tuple[tuple[Term, ...], ...]
    """``T_i - margin_i`` for each part, nearly: for proposals, never for decisions."""
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
    whole = {n: Interval(low, high) for n, (low, high) in model.box().items()}

    def rounding(t: Term) -> Fraction:
        return analyse(t, whole, model.arithmetic.ulps).error

    for rows, margins, errors in zip(
        shield.invariant, shield.margins, certificate.rounding.test, strict=True
    ):
        tests = zip(rows, map(float, margins), errors, strict=True)
        allowed.append([_at_least(g, m, e, step, rounding) for g, m, e in tests])
        surely.append(_both(*(_beyond(g, sizes, 1) for g in rows)))
        perhaps.append(_both(*(_beyond(g, sizes, -1) for g in rows)))
    actions = _within(model.action, box)
    return Tests(
        passes=_both(ranges, actions, any_of(*(_both(*tests) for tests in allowed))),
        surely=_both(ranges, any_of(*surely)),
        perhaps=_both(ranges, any_of(*perhaps)),
        ranges=ranges,
        values=tuple(tuple(map(_value, tests)) for tests in allowed),
        box=box,
    )


class Exactly:
    """The invariant in rational arithmetic, for where floats leave it open."""

    def __init__(self, certificate: Certificate) -> None:
        self.names = certificate.model.state_names
        self.parts = [[polynomial(g) for g in part] for part in certificate.shield.invariant]

    def inside(self, state: Sequence[float]) -> bool:
        """Whether a finite state lies in the invariant."""
        at = dict(zip(self.names, map(Fraction, state), strict=True))
        return any(all(_value_at(p, at) >= 0 for p in part) for part in self.parts)


def _value_at(p: Polynomial, at: Mapping[str, Fraction]) -> Fraction:
    return sum((c * math.prod(at[n] ** k for n, k in m) for m, c in p.items()), Fraction(0))


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


def _both(*parts: Formula) -> Formula:
    """The conjunction, flat; of comparisons of one term with numbers the tightest alone."""
    flat: list[Formula] = []
    for part in parts:
        flat += part.parts if isinstance(part, And) else [part]
    kept: dict[object, Formula] = {}
    for f in flat:
        key, value = _bound(f)
        old = kept.get(key)
        if old is None or value > _bound(old)[1]:
            kept[key] = f
    return all_of(*kept.values())


def _bound(f: Formula) -> tuple[object, Fraction]:
    """What ``f`` bounds, from which side, and how tightly; itself, where it is no such bound."""
    match f:
        case Compare(Relation.GE, left, Num(value)):
            return (left, Relation.GE), value
        case Compare(Relation.LE, left, Num(value)):
            return (left, Relation.LE), -value
        case _:
            return f, Fraction(0)


def _at_least(
    g: Term,
    margin: float,
    error: Fraction,
    step: Mapping[str, Term],
    rounding: Callable[[Term], Fraction],
) -> Compare:
    """What implies ``T >= margin`` in float64, where T is ``g`` after ``step``, off by ``error``."""
    parts = slab(g)
    if parts is not None:
        product, sign, t = threshold(parts, margin)
        return _side(assign(product, step), sign, t)
    form = nested(g)
    value = assign(form, step)
    if form is not g:
        try:
            least = above(Fraction(margin) + error + rounding(value))
            return _side(value, 1, least)
        except DomainError:
            value = assign(g, step)
    return _side(value, 1, margin)


def threshold(parts: Slab, margin: float) -> tuple[Term, int, float]:
    """The t for which ``sign * product >= t`` decides as ``constant + ... >= margin`` does."""
    constant, sign, product = parts
    c = float(constant)
    before = Fraction(math.nextafter(margin, -math.inf))
    t = above((before + Fraction(margin)) / 2 - Fraction(c))
    if not c + t >= margin:  # a tie that rounds down
        t = math.nextafter(t, math.inf)
    return product, sign, t


def _beyond(g: Term, sizes: dict[str, Fraction], sign: int) -> Formula:
    """What shows that ``g >= 0`` (sign 1), or what fails only if ``g < 0`` (sign -1)."""
    parts = slab(g)
    if parts is None:
        g = nested(g)
        error = _rounding(g, sizes)
        return g >= (Fraction(above(error)) if sign > 0 else -Fraction(above(error)))
    constant, side, product = parts
    error = _rounding(product, sizes)
    t = above(error - constant) if sign > 0 else below(-error - constant)
    return _side(product, side, t)


def _value(f: Compare) -> Term:
    """What is ``>= 0`` where the comparison of a term with a number holds."""
    assert isinstance(f.right, Num)
    if f.relation is Relation.GE:
        return f.left - f.right
    return f.right - f.left


def _side(product: Term, sign: int, least: float) -> Compare:
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
