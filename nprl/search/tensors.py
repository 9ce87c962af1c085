"""Terms as torch tensors, which learners differentiate: one more meaning of the same language.

Values are total like all others (``x / 0 = 0``, what overflows saturates) and agree with
`nprl.lang.floats` but for the last digits of library functions. Derivatives are those of the branch
that was taken: 0 where an operator is flat or saturates. Beside a pole a derivative may be infinite;
who follows gradients takes that for 0 (`finite_gradients`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from typing import assert_never

import torch
from torch import Tensor

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
    Relation,
    Term,
    Truth,
    Unary,
    UnaryOp,
    Var,
    Where,
)
from nprl.lang.writer import MAX, constant

LARGEST_EXPONENT = math.log(MAX)


class Tensors:
    """The values of terms where variables are float64 tensors that broadcast against each other.

    A subterm that occurs again is not computed again.

    Raises:
        KeyError: for a variable that is not there.
    """

    def __init__(self, at: Mapping[str, Tensor]) -> None:
        """Variables by name."""
        self._at = at
        self._known: dict[Term | Formula, Tensor] = {}

    def of(self, t: Term) -> Tensor:
        """The values of ``t``."""
        if t not in self._known:
            self._known[t] = self._term(t)
        return self._known[t]

    def holds(self, f: Formula) -> Tensor:
        """Where ``f`` holds, a bool tensor; it has no derivative."""
        if f not in self._known:
            self._known[f] = self._formula(f)
        return self._known[f]

    def _term(self, t: Term) -> Tensor:
        match t:
            case Num(value):
                return torch.tensor(constant(value), dtype=torch.float64)
            case Pi():
                return torch.tensor(math.pi, dtype=torch.float64)
            case Var(name):
                return self._at[name]
            case Unary(op, arg):
                return unary(op, self.of(arg))
            case Binary(op, left, right):
                return binary(op, self.of(left), self.of(right))
            case Power(base, exponent):
                a = self.of(base)
                result = a if exponent else torch.ones_like(a)
                for _ in range(exponent - 1):
                    result = result * a
                return saturated(result) if exponent > 1 else result
            case Clip(arg, low, high):
                raised = torch.maximum(self.of(arg), self.of(low))
                return torch.minimum(raised, self.of(high))
            case Where(condition, then, other):
                return torch.where(self.holds(condition), self.of(then), self.of(other))
            case _:
                assert_never(t)

    def _formula(self, f: Formula) -> Tensor:
        match f:
            case Truth(value):
                return torch.tensor(value)
            case Compare(relation, left, right):
                a, b = self.of(left), self.of(right)
                match relation:
                    case Relation.LE:
                        return a <= b
                    case Relation.LT:
                        return a < b
                    case Relation.GE:
                        return a >= b
                    case Relation.GT:
                        return a > b
                    case _:
                        assert_never(relation)
            case And(parts):
                return reduce(torch.logical_and, map(self.holds, parts))
            case Or(parts):
                return reduce(torch.logical_or, map(self.holds, parts))
            case Not(part):
                return torch.logical_not(self.holds(part))
            case _:
                assert_never(f)


def _guarded(
    function: Callable[[Tensor], Tensor], a: Tensor, inside: Tensor, outside: float
) -> Tensor:
    """``function`` where ``inside``, else a number, without a derivative."""
    return torch.where(inside, function(torch.where(inside, a, 1.0)), outside)


def unary(op: UnaryOp, a: Tensor) -> Tensor:
    """The operator's values."""
    match op:
        case UnaryOp.NEG:
            return -a
        case UnaryOp.ABS:
            return torch.abs(a)
        case UnaryOp.SIN:
            return torch.sin(a)
        case UnaryOp.COS:
            return torch.cos(a)
        case UnaryOp.TAN:
            return torch.tan(a)
        case UnaryOp.TANH:
            return torch.tanh(a)
        case UnaryOp.EXP:
            return _guarded(torch.exp, a, a < LARGEST_EXPONENT, MAX)
        case UnaryOp.LOG:
            return _guarded(torch.log, a, a > 0, 0.0)
        case UnaryOp.SQRT:
            return _guarded(torch.sqrt, a, a > 0, 0.0)
        case _:
            assert_never(op)


def binary(op: BinaryOp, a: Tensor, b: Tensor) -> Tensor:
    """The operator's values; a quotient with 0 below is 0."""
    match op:
        case BinaryOp.ADD:
            return saturated(a + b)
        case BinaryOp.SUB:
            return saturated(a - b)
        case BinaryOp.MUL:
            return saturated(a * b)
        case BinaryOp.DIV:
            zero = b == 0
            quotient = saturated(a / torch.where(zero, 1.0, b))
            return torch.where(zero, 0.0, quotient)
        case BinaryOp.MIN:
            return torch.minimum(a, b)
        case BinaryOp.MAX:
            return torch.maximum(a, b)
        case _:
            assert_never(op)


def saturated(a: Tensor) -> Tensor:
    """``a``, no larger than the largest float."""
    return torch.clamp(a, -MAX, MAX)


def finite_gradients(parameters: Iterable[Tensor]) -> None:
    """Take what is not finite in the gradients of ``parameters`` for 0."""
    for p in parameters:
        if p.grad is not None:
            torch.nan_to_num_(p.grad, nan=0.0, posinf=0.0, neginf=0.0)
