"""The float meaning: generated Python for one point, generated NumPy for a batch.

Straight-line code in the term's order of operations; a subterm that occurs more than once is
computed once (on each path through `where`, whose branches scalar code enters one at a time).
Names never reach the source, which is made of fixed templates, positions and float literals.

Total: ``x / 0``, log and sqrt outside their domain are 0, and what overflows saturates at the
largest float, so finite inputs never give NaN or infinity. These checks are generated only where
`nprl.lang.interval` cannot exclude the case for inputs within ``bounds``; outside of its bounds,
bounded code may raise or return what is not finite.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, assert_never

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

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX = sys.float_info.max
MAX_INLINE = 40
"""Python reads at most 200 nested parentheses, and 100 levels of indentation."""
MAX_INDENT = 60

Bounds = Mapping[str, tuple[float, float]]


def compile_scalar(
    terms: Sequence[Term | Formula], groups: Sequence[Sequence[str]], bounds: Bounds | None = None
) -> Callable[..., tuple[Any, ...]]:
    """A function of one sequence of floats per group; it returns a float or bool per term.

    Give it Python floats (``array.tolist()``): NumPy's scalars are slow and warn. A sequence of
    another length than its group is a ValueError at the call. ``bounds`` holds for every variable
    the closed interval that the caller promises.

    Raises:
        ValueError: a term reads a name that is in no group, a name occurs twice, or bounds miss it.
    """
    return _load(source(terms, groups, bounds, batch=False), _scalar_namespace())


def compile_guard(
    test: Formula,
    groups: Sequence[Sequence[str]],
    bounds: Bounds | None,
    then: str,
    names: Mapping[str, object],
) -> Callable[..., Any]:
    """A function of one sequence per group: where ``test`` holds it goes on with ``then``.

    Else it returns None. The numbers may be of any kind: each is made a float first. ``then`` is
    the caller's fixed source, lines indented by one that end with a return, over ``names``, in
    which ``{0}``, ``{1}``, ... stand for the tuples of floats: one call instead of the several that
    conversion, test and result would be.

    Raises:
        ValueError: as `compile_scalar`.
    """
    text = _Writer([test], groups, bounds, False).guard(then)
    return _load(text, {**_scalar_namespace(), "float": float, **names})


def compile_batch(
    terms: Sequence[Term | Formula], groups: Sequence[Sequence[str]], bounds: Bounds | None = None
) -> Callable[..., list[NDArray[Any]]]:
    """A function of one float64 array of shape (n, len(group)) per group; see `compile_scalar`.

    It returns a new array of shape (n,) per term, float64, or bool for a formula. It never warns.

    Raises:
        ValueError: as `compile_scalar`, or there is no group.
    """
    if not groups:
        raise ValueError("a batch function needs at least one group, whose length is the batch")
    return _load(source(terms, groups, bounds, batch=True), _numpy_namespace())


def _load(text: str, namespace: dict[str, Any]) -> Callable[..., Any]:
    """Run the one place of generated code; it reaches nothing but ``namespace``."""
    namespace["__builtins__"] = {}
    exec(compile(text, "<nprl.lang.floats>", "exec"), namespace)
    run: Callable[..., Any] = namespace["run"]
    return run


def source(
    terms: Sequence[Term | Formula],
    groups: Sequence[Sequence[str]],
    bounds: Bounds | None = None,
    *,
    batch: bool,
) -> str:
    """The text of the function ``run`` that is compiled; arguments as `compile_scalar`."""
    return _Writer(terms, groups, bounds, batch).text()


def constant(value: Fraction) -> float:
    """The float nearest to ``value``; the largest where that overflows."""
    try:
        return float(value)
    except OverflowError:
        return MAX if value > 0 else -MAX


class _Writer:
    """One function in the making: its lines, and the local that holds each known subterm."""

    def __init__(
        self,
        terms: Sequence[Term | Formula],
        groups: Sequence[Sequence[str]],
        bounds: Bounds | None,
        batch: bool,
    ) -> None:
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
        self.indent, self.count, self.checks = 1, 0, False

    def text(self) -> str:
        """The whole function."""
        results = [self.expression(t)[0] for t in self.terms]
        arguments, head = self.head()
        if not self.batch:
            return "\n".join(
                [*head, *self.lines, f" return ({''.join(r + ', ' for r in results)})"]
            )
        head.append(f" n = length({', '.join(arguments)})")
        taken = set(self.names.values())
        columns = ""
        for result in results:  # no result is the caller's array, or another result
            columns += f"column({result}, n, {result in taken}), "
            taken.add(result)
        body = [*self.lines, f" return [{columns}]"]
        if self.checks:
            body = [" with errstate(all='ignore'):", *(" " + line for line in body)]
        return "\n".join([*head, *body])

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
                return f"({constant(value)!r})", 0
            case Pi():
                return repr(math.pi), 0
            case Var(name):
                return self.names[name], 0
            case Truth(truth):
                return repr(truth), 0
            case Unary(op, arg):
                return self.unary(t, op, arg)
            case Binary(BinaryOp.MIN | BinaryOp.MAX as extreme, left, right):
                return self.extreme(extreme, self.atom(left), self.atom(right)), 1
            case Binary(operator, left, right):
                (a, m), (b, n) = self.expression(left), self.expression(right)
                if operator is BinaryOp.DIV and self.range[right].contains(0):
                    self.checks = True
                    return f"divide({a}, {b})", 1 + max(m, n)
                return self.saturated(t, f"({a} {operator.value} {b})"), 2 + max(m, n)
            case Power(_, 0):
                return "(1.0)", 0
            case Power(base, exponent):
                product = " * ".join([self.atom(base)] * exponent)
                return self.saturated(t, f"({product})"), 2
            case Clip(arg, low, high):
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
                joined = texts[0][0]
                for text, _ in texts[1:]:
                    joined = self.assign(f"logical_{word}({joined}, {text})")
                return joined, 0
            case Not(part):
                text, depth = self.expression(part)
                return f"logical_not({text})" if self.batch else f"(not {text})", 1 + depth
            case _:
                assert_never(t)

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
        """Source for the lesser or the greater of two atoms."""
        if self.batch:
            return f"{op.value}imum({a}, {b})"
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


def _scalar_namespace() -> dict[str, Any]:
    """What generated scalar code may call."""
    return {
        "sin": math.sin, "cos": math.cos, "tan": math.tan, "tanh": math.tanh, "exp": math.exp,
        "log": math.log, "sqrt": math.sqrt, "abs": abs, "saturate": _saturate, "divide": _divide,
        "total_exp": _exp, "total_log": _log, "total_sqrt": _sqrt,
    }  # fmt: skip


def _saturate(value: float) -> float:
    return MAX if value > MAX else -MAX if value < -MAX else value


def _divide(a: float, b: float) -> float:
    return _saturate(a / b) if b else 0.0


def _exp(a: float) -> float:
    try:
        return math.exp(a)
    except OverflowError:
        return MAX


def _log(a: float) -> float:
    return math.log(a) if a > 0 else 0.0


def _sqrt(a: float) -> float:
    return math.sqrt(a) if a > 0 else 0.0


def _numpy_namespace() -> dict[str, Any]:
    """What generated NumPy code may call."""
    import numpy as np

    def saturate(value: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.minimum(np.maximum(value, -MAX), MAX)

    def divide(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        zero = np.equal(b, 0)
        return np.where(zero, 0.0, saturate(np.divide(a, np.where(zero, 1.0, b))))

    def length(*arrays: NDArray[np.float64]) -> int:
        if len({len(a) for a in arrays}) > 1:
            raise ValueError(f"batches have one length; got {[len(a) for a in arrays]}")
        return len(arrays[0])

    def column(value: Any, n: int, taken: bool) -> NDArray[Any]:
        if np.ndim(value) == 0:
            return np.full(n, value)
        return np.array(value) if taken else value

    return {
        "sin": np.sin, "cos": np.cos, "tan": np.tan, "tanh": np.tanh, "exp": np.exp,
        "log": np.log, "sqrt": np.sqrt, "abs": np.abs, "saturate": saturate, "divide": divide,
        "total_exp": lambda a: np.minimum(np.exp(a), MAX),
        "total_log": lambda a: np.log(np.where(np.greater(a, 0), a, 1.0)),
        "total_sqrt": lambda a: np.sqrt(np.maximum(a, 0.0)),
        "minimum": np.minimum, "maximum": np.maximum, "where": np.where,
        "logical_and": np.logical_and, "logical_or": np.logical_or,
        "logical_not": np.logical_not, "errstate": np.errstate, "asarray": np.asarray,
        "float64": np.float64, "length": length, "column": column,
    }  # fmt: skip
