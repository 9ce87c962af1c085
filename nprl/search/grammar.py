"""The typed grammar that terms are enumerated from, and the values of its terms.

Two types: reals (terms) and booleans (comparisons, only inside ``where``). Constants are holes, to
be fitted. The outputs' clip is not part of the grammar: every program has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from nprl.lang.ranges import Interval
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
from nprl.memory import Register
from nprl.program import Program
from nprl.search.constraints import Claim, Constraint, proved, refuted
from nprl.search.sketch import AnySketch

Floats = NDArray[np.float64]
UNARY = (UnaryOp.NEG, UnaryOp.ABS, UnaryOp.SIN, UnaryOp.COS, UnaryOp.TANH)
BINARY = (BinaryOp.ADD, BinaryOp.SUB, BinaryOp.MUL, BinaryOp.DIV, BinaryOp.MIN, BinaryOp.MAX)


@dataclass(frozen=True, slots=True)
class Grammar:
    """Which terms there are: ``variables``, the operators, how many nodes, and how many holes.

    Raises:
        ValueError: without variables, for operators that the search does not know, or for limits
            below 1 node, 0 holes.
    """

    variables: tuple[str, ...]
    unary: tuple[UnaryOp, ...] = UNARY
    binary: tuple[BinaryOp, ...] = BINARY
    conditions: bool = True
    """Whether ``where(a <= b, c, d)`` occurs."""
    max_nodes: int = 11
    max_holes: int = 3
    max_constants: int | None = None
    """Of whole programs, for searches that have a constant for each input; None: as many as come."""
    sketch: AnySketch | None = None
    """What is given of the program; None leaves each output free."""
    constraints: tuple[Constraint, ...] = ()
    """What every program must keep, for all inputs in the ``ranges``."""
    ranges: tuple[tuple[str, Interval], ...] = ()
    """Of inputs; one that is not listed may be any number."""
    scores: bool = False
    """Whether programs have a term for each of finitely many actions, of which the highest counts."""
    registers: tuple[Register, ...] = ()
    """What programs may remember; ``variables`` name those that terms may read."""

    def __post_init__(self) -> None:
        """Refuse what cannot be searched."""
        if not self.variables or self.max_nodes < 1 or self.max_holes < 0:
            raise ValueError(
                "a grammar has variables, one node or more and no negative number of holes; "
                f"got {self.variables}, {self.max_nodes}, {self.max_holes}"
            )
        if self.max_constants is not None and self.max_constants < 1:
            raise ValueError(f"max_constants is at least 1, or None; got {self.max_constants}")
        for name in (o.value for o in self.unary if o not in UNARY):
            raise ValueError(f"operators searched are neg abs sin cos tanh; got {name!r}")

    def refuse(self, method: str, scores: bool = False) -> None:
        """Raise for what a method that finds whole terms cannot obey, scores too if it knows none.

        Raises:
            ValueError: for a sketch, for memory, and for scores unless ``scores``.
        """
        asked = {"a sketch": self.sketch, "memory": self.registers, "scores": self.scores}
        for what in (k for k, v in asked.items() if v and not (k == "scores" and scores)):
            raise ValueError(f"{method} knows no {what.removeprefix('a ')}; evolution does")

    def is_small(self, program: Program) -> bool:
        """Whether it has at most `max_nodes`, and at most `max_constants`, if there is such a limit."""
        most = self.max_constants
        return program.nodes <= self.max_nodes and (most is None or program.constants <= most)

    def claims(self, program: Program) -> list[Claim]:
        """What the constraints say of ``program``."""
        return [claim for c in self.constraints for claim in c.claims(program, dict(self.ranges))]

    def admits(self, program: Program) -> bool:
        """Whether no sample refutes a constraint; quick."""
        return not any(map(refuted, self.claims(program)))

    def proves(self, program: Program) -> bool:
        """Whether every constraint is proved of ``program``."""
        return all(map(proved, self.claims(program)))


def apply_unary(op: UnaryOp, a: Floats) -> Floats:
    """The operator's values."""
    match op:
        case UnaryOp.NEG:
            return -a
        case UnaryOp.ABS:
            return np.abs(a)
        case UnaryOp.SIN:
            return np.asarray(np.sin(a))
        case UnaryOp.COS:
            return np.asarray(np.cos(a))
        case UnaryOp.TANH:
            return np.asarray(np.tanh(a))
        case UnaryOp.TAN:
            return apply_binary(BinaryOp.DIV, np.sin(a), np.cos(a))
        case UnaryOp.EXP:
            return np.asarray(np.exp(np.minimum(a, 700.0)))
        case UnaryOp.LOG:
            return np.asarray(np.log(np.where(a > 0, a, 1.0)))
        case UnaryOp.SQRT:
            return np.asarray(np.sqrt(np.maximum(a, 0.0)))
        case _:
            assert_never(op)


def apply_binary(op: BinaryOp, a: Floats, b: Floats) -> Floats:
    """The operator's values; a quotient with 0 below is 0."""
    match op:
        case BinaryOp.ADD:
            return a + b
        case BinaryOp.SUB:
            return a - b
        case BinaryOp.MUL:
            return a * b
        case BinaryOp.DIV:
            return np.asarray(np.where(b == 0, 0.0, a / np.where(b == 0, 1.0, b)))
        case BinaryOp.MIN:
            return np.asarray(np.minimum(a, b))
        case BinaryOp.MAX:
            return np.asarray(np.maximum(a, b))
        case _:
            assert_never(op)


def values(t: Term, columns: Mapping[str, Floats]) -> Floats:
    """The values of ``t``; variables and holes are arrays that broadcast against each other.

    For the search only: it neither saturates nor compiles. What a program does is `Program.batch`.
    """
    match t:
        case Num(value):
            return np.asarray(float(value))
        case Pi():
            return np.asarray(np.pi)
        case Var(name):
            return columns[name]
        case Unary(op, arg):
            return apply_unary(op, values(arg, columns))
        case Binary(op, left, right):
            return apply_binary(op, values(left, columns), values(right, columns))
        case Power(base, exponent):
            return np.asarray(values(base, columns) ** exponent)
        case Clip(arg, low, high):
            raised = np.maximum(values(arg, columns), values(low, columns))
            return np.asarray(np.minimum(raised, values(high, columns)))
        case Where(condition, then, other):
            test = truths(condition, columns)
            return np.asarray(np.where(test, values(then, columns), values(other, columns)))
        case _:
            assert_never(t)


def truths(f: Formula, columns: Mapping[str, Floats]) -> Any:
    """Where ``f`` holds, as `values`."""
    match f:
        case Truth(value):
            return np.asarray(value)
        case Compare(relation, left, right):
            a, b = values(left, columns), values(right, columns)
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
            return np.logical_and.reduce([truths(p, columns) for p in parts])
        case Or(parts):
            return np.logical_or.reduce([truths(p, columns) for p in parts])
        case Not(part):
            return np.logical_not(truths(part, columns))
        case _:
            assert_never(f)
