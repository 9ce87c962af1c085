"""A safe set made smaller, so that who is in it at both ends of a step is safe in between, too.

Of a comparison ``q >= 0`` that must hold by itself, q at both ends bounds q in between but for what
the curvature of the trajectory takes (of order dt^2). In a disjunction the comparison that holds
may be another at the other end: there q must not be used up within the step (of order dt).
"""

from __future__ import annotations

from fractions import Fraction

from nprl.flow.enclosure import DIGITS, FlowError
from nprl.flow.taylor import Flow, excursion, sag
from nprl.lang.build import all_of, any_of
from nprl.lang.ranges import Interval, shorten
from nprl.lang.terms import (
    And,
    Binary,
    BinaryOp,
    Compare,
    Formula,
    Not,
    Num,
    Relation,
    Term,
    Truth,
    Unary,
    UnaryOp,
)

OPPOSITE = {
    Relation.LE: Relation.GT,
    Relation.LT: Relation.GE,
    Relation.GE: Relation.LT,
    Relation.GT: Relation.LE,
}


def tightened(f: Formula, flow: Flow, alone: bool = True, positive: bool = True) -> Formula:
    """A formula that implies ``f`` (its negation, if not ``positive``) at all times of a step.

    It implies that where it holds at both ends of the step; where not ``alone``, at its beginning.

    Raises:
        FlowError: where a comparison has no bound on how it changes.
    """
    match f:
        case Truth(value):
            return Truth(value == positive)
        case Not(part):
            return tightened(part, flow, alone, not positive)
        case Compare(relation, left, right):
            relation = relation if positive else OPPOSITE[relation]
            if relation in (Relation.LE, Relation.LT):
                return Compare(relation, *_apart(left, right, flow, alone))
            return Compare(relation, *reversed(_apart(right, left, flow, alone)))
    joint = isinstance(f, And) == positive
    parts = [tightened(p, flow, alone and joint, positive) for p in f.parts]
    return (all_of if joint else any_of)(*parts)


def _apart(less: Term, greater: Term, flow: Flow, alone: bool) -> tuple[Term, Term]:
    """Both sides, moved towards each other by what may be lost within a step."""
    lost = _lost(greater - less, flow, alone)
    if isinstance(less, Num):
        return Num(less.value + lost), greater
    return less, Num(greater.value - lost) if isinstance(greater, Num) else greater - Num(lost)


def _lost(q: Term, flow: Flow, alone: bool) -> Fraction:
    ways = []
    try:
        ways.append(-Fraction(excursion(flow, q).lo))
    except FlowError as error:
        problem = error
    if alone:
        try:
            ways.append(max(sag(flow, piece) for piece in least(q)))
        except FlowError as error:
            problem = error
    if not ways:
        raise FlowError(f"between samples: {problem}")
    found = min(ways)
    return Fraction(shorten(Interval(found, found + found / 2**DIGITS), DIGITS).hi)


def least(q: Term, positive: bool = True) -> list[Term]:
    """Terms whose minimum is ``q``; with ``positive`` False, whose maximum is."""
    match q:
        case Binary(BinaryOp.ADD, left, right):
            return [a + b for a in least(left, positive) for b in least(right, positive)]
        case Binary(BinaryOp.SUB, left, right):
            return [a - b for a in least(left, positive) for b in least(right, not positive)]
        case Unary(UnaryOp.NEG, arg):
            return [-a for a in least(arg, not positive)]
        case Unary(UnaryOp.ABS, arg) if not positive:
            return [arg, -arg]
        case Binary(BinaryOp.MIN, left, right) if positive:
            return [*least(left), *least(right)]
        case Binary(BinaryOp.MAX, left, right) if not positive:
            return [*least(left, False), *least(right, False)]
        case _:
            return [q]
