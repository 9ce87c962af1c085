"""Functions that build terms and formulas, for whoever writes models and programs in Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nprl.lang.terms import (
    And,
    Binary,
    BinaryOp,
    Clip,
    Formula,
    Operand,
    Or,
    Term,
    Truth,
    Unary,
    UnaryOp,
    Where,
    term,
)


def _unary(op: UnaryOp) -> Callable[[Operand], Term]:
    def build(arg: Operand) -> Term:
        return Unary(op, term(arg))

    build.__name__ = op.value
    build.__doc__ = f"The term ``{op.value}(arg)``."
    return build


sin, cos, tan, tanh = (_unary(op) for op in (UnaryOp.SIN, UnaryOp.COS, UnaryOp.TAN, UnaryOp.TANH))
exp, log, sqrt, absolute = (
    _unary(op) for op in (UnaryOp.EXP, UnaryOp.LOG, UnaryOp.SQRT, UnaryOp.ABS)
)


def minimum(first: Operand, *rest: Operand) -> Term:
    """The least of the arguments."""
    result = term(first)
    for other in rest:
        result = Binary(BinaryOp.MIN, result, term(other))
    return result


def maximum(first: Operand, *rest: Operand) -> Term:
    """The greatest of the arguments."""
    result = term(first)
    for other in rest:
        result = Binary(BinaryOp.MAX, result, term(other))
    return result


def clip(arg: Operand, low: Operand, high: Operand) -> Term:
    """``min(max(arg, low), high)``."""
    return Clip(term(arg), term(low), term(high))


def where(condition: Formula, then: Operand, other: Operand) -> Term:
    """``then`` where the condition holds, else ``other``."""
    return Where(condition, term(then), term(other))


def all_of(*parts: Formula) -> Formula:
    """The conjunction; of nothing, the formula that always holds."""
    return parts[0] if len(parts) == 1 else And(parts) if parts else Truth(True)


def highest(scores: Sequence[Term], rows: Sequence[Sequence[Operand]]) -> tuple[Term, ...]:
    """The columns of the row whose score is highest, the first of equals: one term per column."""
    result = tuple(map(term, rows[-1]))
    for k in range(len(rows) - 2, -1, -1):
        best = all_of(*(scores[k] >= later for later in scores[k + 1 :]))
        result = tuple(where(best, v, other) for v, other in zip(rows[k], result, strict=True))
    return result


def any_of(*parts: Formula) -> Formula:
    """The disjunction; of nothing, the formula that never holds."""
    return parts[0] if len(parts) == 1 else Or(parts) if parts else Truth(False)
