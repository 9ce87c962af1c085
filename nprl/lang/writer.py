"""The source of the float meaning: straight-line Python for one point, or NumPy for a batch.

A subterm that occurs more than once is computed once (on each path through `where`, whose branches
scalar code enters one at a time). Names never reach the source, which is made of fixed templates,
positions and float literals. Batch code writes a result over an operand that nothing else holds.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import assert_never

from nprl.lang.folding import folded
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
    children,
)

MAX = sys.float_info.max
MAX_INLINE = 40
"""Python reads at most 200 nested parentheses, and 100 levels of indentation."""
MAX_INDENT = 60
UFUNCS = {
    BinaryOp.ADD: "add", BinaryOp.SUB: "subtract", BinaryOp.MUL: "multiply",
    BinaryOp.DIV: "quotient",
}  # fmt: skip

Bounds = Mapping[str, tuple[float, float]]
Part = tuple[Term | Formula, str, int]
"""A subterm, its source, and how deeply that is nested."""


def source(
    terms: Sequence[Term | Formula],
    groups: Sequence[Sequence[str]],
    bounds: Bounds | None = None,
    *,
    batch: bool,
) -> str:
    """The text of the function ``run`` that is compiled; arguments as `compile_scalar`."""
    return Writer(terms, groups, bounds, batch).text()


def decided(count: int, then: str) -> str:
    """The function of `compile_guard` of ``count`` groups, where ``decide`` is the test."""
    arguments = ", ".join(f"a{g}" for g in range(count))
    columns = [f"x{g}" for g in range(count)]
    return (
        f"def run({arguments}):\n found = decide({arguments})\n if found is None: return None\n"
        f" ({', '.join(columns)},) = found{then.format(*columns)}"
    )


def constant(value: Fraction) -> float:
    """The float nearest to ``value``; the largest where that overflows."""
    try:
        return float(value)
    except OverflowError:
        return MAX if value > 0 else -MAX


class Writer:
    """One function in the making: its lines, and the local that holds each known subterm.

    Raises:
        ValueError: a term reads a name that is in no group, a name occurs twice, or bounds miss it.
    """

    def __init__(
        self,
        terms: Sequence[Term | Formula],
        groups: Sequence[Sequence[str]],
        bounds: Bounds | None,
        batch: bool,
    ) -> None:
        terms = [folded(t) for t in terms] if batch else list(terms)
        self.terms, self.groups, self.batch = terms, groups, batch
        self.names: dict[str, str] = {}
        for g, group in enumerate(groups):
            for k, name in enumerate(group):
                if name in self.names:
                    raise ValueError(f"the input {name!r} occurs twice; names are distinct")
                self.names[name] = f"a{g}_{k}"
        self.uses = Counter(terms)
        todo = list(self.uses)
        while todo:
            t = todo.pop()
            if isinstance(t, Var) and t.name not in self.names:
                raise ValueError(f"no input {t.name!r}; there are {', '.join(self.names)}")
            for child in children(t):
                self.uses[child] += 1
                if self.uses[child] == 1:
                    todo.append(child)
        box = dict.fromkeys(self.names, (-MAX, MAX)) if bounds is None else bounds
        self.range = float_intervals(terms, box)
        self.known: dict[Term | Formula, str] = {}
        self.lines: list[str] = []
        self.numbers: dict[str, str] = {}
        self.arrays: dict[Term | Formula, bool] = {}
        self.indent, self.count, self.checks = 1, 0, False

    def text(self) -> str:
        """The whole function."""
        results = [self.expression(t)[0] for t in self.terms]
        arguments, head = self.head()
        if not self.batch:
            return "\n".join(
                [*head, *self.lines, f" return ({''.join(r + ', ' for r in results)})"]
            )
        lengths = [f"len({a})" for a in arguments]
        head.append(f" n = {lengths[0]}")
        if len(arguments) > 1:
            head.append(f" if not {' == '.join(lengths)}: unequal({', '.join(arguments)})")
        taken = set(self.names.values())
        columns = ""
        for t, result in zip(self.terms, results, strict=True):
            if not self.is_array(t):
                columns += f"array({result}).repeat(n), "
            else:  # no result is the caller's array, or another result
                columns += f"array({result}), " if result in taken else f"{result}, "
            taken.add(result)
        body = [*self.lines, f" return [{columns}]"]
        if self.checks:
            body = [" with errstate(all='ignore'):", *(" " + line for line in body)]
        numbers = [f"{name} = array({text})" for text, name in self.numbers.items()]
        return "\n".join([*numbers, *head, *body])

    def head(self) -> tuple[list[str], list[str]]:
        """The arguments, and the lines that read them."""
        arguments = [f"a{g}" for g in range(len(self.groups))]
        head = [f"def run({', '.join(arguments)}):"]
        for argument, columns in zip(arguments, self.columns(), strict=True):
            value = f"asarray({argument}, float64).T" if self.batch else argument
            head.append(f" {columns} = {value}")
        return arguments, head

    def columns(self) -> list[str]:
        """The tuple of locals of each group."""
        return ["(" + "".join(f"{self.names[n]}, " for n in group) + ")" for group in self.groups]

    def guard(self, then: str) -> str:
        """The function of `compile_guard`."""
        test = self.expression(self.terms[0])[0]
        floats = [f" {name} = float({name})" for name in self.names.values()]
        last = [f" if not {test}: return None", then.format(*self.columns())]
        return "\n".join([*self.head()[1], *floats, *self.lines, *last])

    def assign(self, value: str) -> str:
        """A new local that holds ``value``."""
        self.count += 1
        self.write(f"v{self.count} = {value}")
        return f"v{self.count}"

    def write(self, line: str) -> None:
        """One more line."""
        self.lines.append(" " * self.indent + line)

    def expression(self, t: Term | Formula) -> tuple[str, int]:
        """Source for ``t``, after the lines so far, and how deeply it is nested; 0 is atomic."""
        if t in self.known:
            return self.known[t], 0
        text, depth = self.build(t)
        if depth and (self.uses[t] > 1 or depth > MAX_INLINE):
            text, depth = self.assign(text), 0
        if not depth:
            self.known[t] = text
        return text, depth

    def atom(self, t: Term) -> str:
        """A local or a literal for ``t``."""
        text, depth = self.expression(t)
        if depth:
            text = self.known[t] = self.assign(text)
        return text

    def number(self, text: str) -> str:
        """A literal; in batch code an array of no dimensions, which NumPy need not make each time."""
        if not self.batch:
            return text
        return self.numbers.setdefault(text, f"c{len(self.numbers)}")

    def is_array(self, t: Term | Formula) -> bool:
        """Whether batch code computes one value for each row, and not one for all."""
        if t not in self.arrays:
            constant = isinstance(t, Power) and t.exponent == 0
            self.arrays[t] = isinstance(t, Var) or (
                not constant and any(self.is_array(c) for c in children(t))
            )
        return self.arrays[t]

    def over(self, function: str, a: Part, b: Part) -> str:
        """A call of a NumPy function of two arrays, written over one that nothing else holds."""
        (s, a_text, m), (t, b_text, n) = a, b
        self.count += 1
        name = f"t{self.count}"
        if m and self.is_array(s):
            return f"{function}(({name} := {a_text}), {b_text}, out={name})"
        if n and self.is_array(t):
            return f"{function}({a_text}, ({name} := {b_text}), out={name})"
        return f"{function}({a_text}, {b_text})"

    def checked(self, function: str, needed: bool) -> str:
        """The name of the total function where the case cannot be excluded, else the plain one."""
        self.checks |= needed
        return f"total_{function}" if needed else function

    def saturated(self, t: Term, text: str) -> str:
        """``text``, saturated where ``t`` may overflow."""
        if not (isinstance(self.range[t].lo, float) or isinstance(self.range[t].hi, float)):
            return text
        self.checks = True
        return f"saturate({text})"

    def build(self, t: Term | Formula) -> tuple[str, int]:
        """Source for the outermost operator of ``t``, and its depth."""
        match t:
            case Num(value):
                return self.number(f"({constant(value)!r})"), 0
            case Pi():
                return self.number(repr(math.pi)), 0
            case Var(name):
                return self.names[name], 0
            case Truth(truth):
                return repr(truth), 0
            case Unary(op, arg):
                return self.unary(t, op, arg)
            case Binary(BinaryOp.MIN | BinaryOp.MAX as extreme, left, right):
                if self.batch:
                    (a, m), (b, n) = self.expression(left), self.expression(right)
                    name = f"{extreme.value}imum"
                    return self.over(name, (left, a, m), (right, b, n)), 2 + max(m, n)
                return self.extreme(extreme, self.atom(left), self.atom(right)), 1
            case Binary(operator, left, right):
                (a, m), (b, n) = self.expression(left), self.expression(right)
                if operator is BinaryOp.DIV and self.range[right].contains(0):
                    self.checks = True
                    return f"divide({a}, {b})", 1 + max(m, n)
                if self.batch:
                    text = self.over(UFUNCS[operator], (left, a, m), (right, b, n))
                else:
                    text = f"({a} {operator.value} {b})"
                return self.saturated(t, text), 2 + max(m, n)
            case Power(_, 0):
                return self.number("(1.0)"), 0
            case Power(base, exponent):
                product = " * ".join([self.atom(base)] * exponent)
                return self.saturated(t, f"({product})"), 2
            case Clip(arg, low, high):
                if self.batch:
                    raise_to = Binary(BinaryOp.MAX, arg, low)
                    parts = [(s, *self.expression(s)) for s in (arg, low, high)]
                    raised = self.over("maximum", parts[0], parts[1])
                    return self.over("minimum", (raise_to, raised, 1), parts[2]), 4
                raised = self.extreme(BinaryOp.MAX, self.atom(arg), self.atom(low))
                return self.extreme(BinaryOp.MIN, self.assign(raised), self.atom(high)), 1
            case Where(condition, then, other):
                return self.where(condition, then, other)
            case Compare(relation, left, right):
                (a, m), (b, n) = self.expression(left), self.expression(right)
                return f"({a} {relation.value} {b})", 1 + max(m, n)
            case And(parts) | Or(parts):
                word = "and" if isinstance(t, And) else "or"
                texts = [self.expression(p) for p in parts]
                depth = 1 + max(n for _, n in texts)
                if not self.batch:
                    return f"({f' {word} '.join(text for text, _ in texts)})", depth
                return self.joined(f"logical_{word}", parts, texts), 0
            case Not(part):
                text, depth = self.expression(part)
                return f"logical_not({text})" if self.batch else f"(not {text})", 1 + depth
            case _:
                assert_never(t)

    def joined(
        self, function: str, parts: Sequence[Formula], texts: Sequence[tuple[str, int]]
    ) -> str:
        """A local that holds all parts of a conjunction or a disjunction, joined one by one."""
        (text, depth), fresh = texts[0], False
        for part, (other, n) in zip(parts[1:], texts[1:], strict=True):
            if fresh:
                self.write(f"{function}({text}, {other}, out={text})")
                continue
            text = self.assign(self.over(function, (parts[0], text, depth), (part, other, n)))
            fresh, depth = self.is_array(parts[0]) or self.is_array(part), 0
        return text

    def unary(self, t: Term, op: UnaryOp, arg: Term) -> tuple[str, int]:
        """Source for an operator of one argument."""
        text, depth = self.expression(arg)
        match op:
            case UnaryOp.NEG:
                return f"(-{text})", depth + 1
            case UnaryOp.EXP:
                name = self.checked("exp", isinstance(self.range[t].hi, float))
            case UnaryOp.LOG:
                name = self.checked("log", self.range[arg].lo <= 0)
            case UnaryOp.SQRT:
                name = self.checked("sqrt", self.range[arg].lo < 0)
            case UnaryOp.ABS | UnaryOp.SIN | UnaryOp.COS | UnaryOp.TAN | UnaryOp.TANH:
                name = op.value
            case _:
                assert_never(op)
        return f"{name}({text})", depth + 1

    def extreme(self, op: BinaryOp, a: str, b: str) -> str:
        """Source for the lesser or the greater of two atoms, in scalar code."""
        return f"({a} if {a} {'<=' if op is BinaryOp.MIN else '>='} {b} else {b})"

    def where(self, condition: Formula, then: Term, other: Term) -> tuple[str, int]:
        """Source for a choice; scalar code computes one branch only."""
        test, depth = self.expression(condition)
        if self.batch:
            (a, m), (b, n) = self.expression(then), self.expression(other)
            return f"where({test}, {a}, {b})", 1 + max(depth, m, n)
        ready = all(isinstance(t, (Num, Pi, Var)) or t in self.known for t in (then, other))
        if ready or self.indent > MAX_INDENT:
            a, b = self.atom(then), self.atom(other)
            return f"({a} if {test} else {b})", 1 + depth
        self.count += 1
        result, before = f"v{self.count}", self.known
        for head, branch in ((f"if {test}:", then), ("else:", other)):
            self.write(head)
            self.indent, self.known = self.indent + 1, dict(before)
            self.write(f"{result} = {self.expression(branch)[0]}")
            self.indent -= 1
        self.known = before
        return result, 0
