"""Formulas made shorter for batch code: ``-c <= t`` and ``t <= c`` are ``abs(t) <= c``.

The same decision in floats, also for NaN, in fewer passes over the arrays.
"""

from __future__ import annotations

from nprl.lang.build import all_of
from nprl.lang.terms import And, Compare, Formula, Not, Num, Or, Relation, Term, Unary, UnaryOp

LOWER = {Relation.GE: Relation.LE, Relation.GT: Relation.LT}
"""A bound from below, and the bound from above that it is joined with."""


def folded(f: Term | Formula) -> Term | Formula:
    """``f`` with opposite bounds of one term joined, in its conjunctions; a term is left alone."""
    match f:
        case And(parts):
            flat: list[Formula] = []
            for part in map(folded, parts):
                assert isinstance(part, Formula)
                flat += part.parts if isinstance(part, And) else [part]
            return all_of(*_joined(flat))
        case Or(parts):
            return Or(tuple(p for p in map(folded, parts) if isinstance(p, Formula)))
        case Not(part):
            inner = folded(part)
            return Not(inner) if isinstance(inner, Formula) else f
        case _:
            return f


def _joined(parts: list[Formula]) -> list[Formula]:
    """The conjunction's parts, a pair of opposite bounds as one, where the first of them stood."""
    present, done, result = set(parts), set[Formula](), list[Formula]()
    for part in parts:
        pair = _opposite(part)
        if part in done:
            continue
        if pair is not None and pair[0] in present:
            done.add(pair[0])
            result.append(pair[1])
        else:
            result.append(part)
    return result


def _opposite(f: Formula) -> tuple[Formula, Formula] | None:
    """The bound from the other side as far out, and what both say; None for what is no bound."""
    match f:
        case Compare(relation, left, Num(value)):
            for low, high in LOWER.items():
                if relation in (low, high):
                    other = high if relation is low else low
                    limit = Num(abs(value))
                    if (value > 0) == (relation is low) or not value:
                        return None
                    pair = Compare(other, left, Num(-value))
                    return pair, Compare(high, Unary(UnaryOp.ABS, left), limit)
    return None
