"""The C meaning: statements in C11 over doubles, without loops, branches or memory.

The same operations in the same order as generated scalar Python, by the same C library: the same
numbers, bit for bit, where the compiler keeps to IEEE 754 (`FLAGS`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import assert_never

from nprl.lang.interval import float_intervals
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
from nprl.lang.writer import Bounds, constant

ASKED = ("sin", "cos", "tan", "tanh", "exp", "log")
"""Functions that the C library rounds its own way: a compiler that knows them rounds constants better."""
FLAGS = (
    *("-std=c11", "-O2", "-ffp-contract=off", "-fno-fast-math"),
    *(f"-fno-builtin-{name}" for name in ASKED),
)
"""No fused or reordered arithmetic; x87's wider registers are refused by the prelude."""
PRELUDE = """
#include <float.h>
#include <math.h>
#if FLT_EVAL_METHOD != 0
#error "double is not computed as double here"
#endif
static inline double saturate(double a) { return a > DBL_MAX ? DBL_MAX : a < -DBL_MAX ? -DBL_MAX : a; }
static inline double divide(double a, double b) { return b != 0.0 ? saturate(a / b) : 0.0; }
static inline double total_exp(double a) { return saturate(exp(a)); }
static inline double total_log(double a) { return a > 0.0 ? log(a) : 0.0; }
static inline double total_sqrt(double a) { return a > 0.0 ? sqrt(a) : 0.0; }
static inline double least(double a, double b) { return a <= b ? a : b; }
static inline double most(double a, double b) { return a >= b ? a : b; }
"""
FUNCTIONS = {
    UnaryOp.ABS: "fabs", UnaryOp.SIN: "sin", UnaryOp.COS: "cos", UnaryOp.TAN: "tan",
    UnaryOp.TANH: "tanh", UnaryOp.EXP: "total_exp", UnaryOp.LOG: "total_log",
    UnaryOp.SQRT: "total_sqrt",
}  # fmt: skip


def statements(
    terms: Sequence[Term | Formula], names: Mapping[str, str], bounds: Bounds
) -> tuple[list[str], list[str]]:
    """The statements that compute ``terms``, and an expression for the value of each.

    ``names`` gives the C expression of each variable, ``bounds`` the interval it lies in. A formula
    is an int. Needs `PRELUDE` and `FLAGS`.

    Raises:
        ValueError: for a variable without a name or bounds.
    """
    writer = _Writer(names, bounds, terms)
    results = [writer.value(t) for t in terms]
    return writer.lines, results


def literal(value: float) -> str:
    """A finite double, exactly."""
    return f"({value.hex()})"


class _Writer:
    def __init__(
        self, names: Mapping[str, str], bounds: Bounds, terms: Sequence[Term | Formula]
    ) -> None:
        self.names, self.lines = names, list[str]()
        self.known: dict[Term | Formula, str] = {}
        self.range = float_intervals(terms, bounds)

    def value(self, t: Term | Formula) -> str:
        """The local or the constant that holds ``t``."""
        if t not in self.known:
            text = self.build(t)
            if not isinstance(t, (Num, Pi, Var, Truth)):
                name = f"v{len(self.lines)}"
                kind = "double" if isinstance(t, Term) else "int"
                self.lines.append(f"const {kind} {name} = {text};")
                text = name
            self.known[t] = text
        return self.known[t]

    def build(self, t: Term | Formula) -> str:
        match t:
            case Num(value):
                return literal(constant(value))
            case Pi():
                return literal(math.pi)
            case Var(name):
                return self.names[name]
            case Truth(truth):
                return "1" if truth else "0"
            case Unary(UnaryOp.NEG, arg):
                return f"-{self.value(arg)}"
            case Unary(op, arg):
                return f"{FUNCTIONS[op]}({self.value(arg)})"
            case Binary(BinaryOp.MIN, left, right):
                return f"least({self.value(left)}, {self.value(right)})"
            case Binary(BinaryOp.MAX, left, right):
                return f"most({self.value(left)}, {self.value(right)})"
            case Binary(BinaryOp.DIV, left, right) if self.range[right].contains(0):
                return f"divide({self.value(left)}, {self.value(right)})"
            case Binary(op, left, right):
                return self.saturated(t, f"{self.value(left)} {op.value} {self.value(right)}")
            case Power(_, 0):
                return "1.0"
            case Power(base, exponent):
                return self.saturated(t, " * ".join([self.value(base)] * exponent))
            case Clip(arg, low, high):
                raised = f"most({self.value(arg)}, {self.value(low)})"
                return f"least({raised}, {self.value(high)})"
            case Where(condition, then, other):
                return f"{self.value(condition)} ? {self.value(then)} : {self.value(other)}"
            case Compare(relation, left, right):
                return f"{self.value(left)} {relation.value} {self.value(right)}"
            case And(parts):
                return " && ".join(map(self.value, parts))
            case Or(parts):
                return " || ".join(map(self.value, parts))
            case Not(part):
                return f"!{self.value(part)}"
            case _:
                assert_never(t)

    def saturated(self, t: Term, text: str) -> str:
        """``text``, saturated where ``t`` may overflow."""
        ends = self.range[t].lo, self.range[t].hi
        return f"saturate({text})" if any(isinstance(e, float) for e in ends) else text
