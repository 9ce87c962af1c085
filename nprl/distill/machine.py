"""Whole episodes in machine code: a model's step is compiled, a program is code for a small stack.

That makes a search of thousands of programs on the return affordable: some ten million steps a
second. Where nothing can be compiled there is no machine, and NumPy plays the batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from nprl.distill.machine_c import TEXT
from nprl.env.plant import sharp
from nprl.env.spaces import observation_space
from nprl.envs.mujoco_twins import Simulated
from nprl.lang.c import PRELUDE, literal, statements
from nprl.lang.native import build, compiler
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
from nprl.memory import Register
from nprl.model import NEXT, Model
from nprl.search.constants import is_hole

Floats = NDArray[np.float64]
DEEP, KEPT = 64, 256
"""Numbers that a program's stack holds, and its registers."""
BINARY = {
    BinaryOp.ADD: "ADD", BinaryOp.SUB: "SUB", BinaryOp.MUL: "MUL", BinaryOp.DIV: "DIV",
    BinaryOp.MIN: "MIN", BinaryOp.MAX: "MAX",
}  # fmt: skip
COMPARE = {Relation.LE: "LE", Relation.LT: "LT", Relation.GE: "GE", Relation.GT: "GT"}
CODES = {
    name: number
    for number, name in enumerate(
        (
            *("END", "OUT", "VAR", "HOLE", "POW", "CLIP", "AND", "OR", "NOT", "WHERE"),
            *("HELD", "HOLD", "TURN"),
            *(op.name for op in UnaryOp),
            *BINARY.values(),
            *COMPARE.values(),
        )
    )
}


class Code:
    """Programs as code, and the numbers that stand in it.

    First stands where the code of a step begins; before it is the code of an episode's start.
    """

    def __init__(
        self,
        terms: Sequence[Term],
        names: Sequence[str],
        holes: int,
        registers: Sequence[Register] = (),
    ) -> None:
        """The code of ``terms`` over inputs ``names``; hole k is number k, literals come after.

        The last terms are the updates of ``registers``, clipped to their bounds.

        Raises:
            ValueError: for a name that is no input, a term that needs more than `DEEP` numbers, or
                more than `KEPT` registers.
        """
        self.numbers: list[float] = []
        held = [r.name for r in registers]
        self._places = {name: (CODES["VAR"], k) for k, name in enumerate(names)}
        self._places |= {name: (CODES["HELD"], k) for k, name in enumerate(held)}
        self._holes, self._deep = holes, 0
        split = len(terms) - len(held)
        first = self._block([Num(r.initial) for r in registers], 0)
        step = self._block(terms, split)
        if self._deep > DEEP or len(held) > KEPT:
            raise ValueError(
                f"the program needs {self._deep} numbers at once, at most {DEEP}; and {len(held)} "
                f"registers, at most {KEPT}"
            )
        self.whole = np.asarray([1 + len(first), *first, *step], dtype=np.int32)

    def _block(self, terms: Sequence[Term], outputs: int) -> list[int]:
        """The code that puts out the first terms, and then holds the others."""
        code: list[int] = []
        for j, t in enumerate(terms):
            self._emit(t, code, 0)
            code += [CODES["OUT"], j] if j < outputs else [CODES["HOLD"], j - outputs]
        turn = [CODES["TURN"], len(terms) - outputs] if len(terms) > outputs else []
        return [*code, *turn, CODES["END"]]

    def _emit(self, t: Term | Formula, to: list[int], held: int) -> None:
        """Append the code that leaves the value of ``t`` above ``held`` others."""
        self._deep = max(self._deep, held + 1)
        match t:
            case Var(name) if is_hole(t):
                to += [CODES["HOLE"], int(name.partition(":")[2])]
            case Var(name):
                if name not in self._places:
                    raise ValueError(f"unknown name {name!r}; the inputs are {list(self._places)}")
                to += self._places[name]
            case Num(value):
                self._number(constant(value), to)
            case Pi():
                self._number(float(np.pi), to)
            case Truth(truth):
                self._number(float(truth), to)
            case Unary(op, arg):
                self._all([arg], CODES[op.name], to, held)
            case Binary(op, left, right):
                self._all([left, right], CODES[BINARY[op]], to, held)
            case Power(base, exponent):
                self._all([base], CODES["POW"], to, held)
                to.append(exponent)
            case Clip(arg, low, high):
                self._all([arg, low, high], CODES["CLIP"], to, held)
            case Compare(relation, left, right):
                self._all([left, right], CODES[COMPARE[relation]], to, held)
            case Not(part):
                self._all([part], CODES["NOT"], to, held)
            case Where(condition, then, other):
                self._all([condition, then, other], CODES["WHERE"], to, held)
            case And(parts) | Or(parts):
                self._emit(parts[0], to, held)
                for part in parts[1:]:
                    self._emit(part, to, held + 1)
                    to.append(CODES["AND" if isinstance(t, And) else "OR"])
            case _:
                assert_never(t)

    def _all(self, parts: Iterable[Term | Formula], code: int, to: list[int], held: int) -> None:
        for k, part in enumerate(parts):
            self._emit(part, to, held + k)
        to.append(code)

    def _number(self, value: float, to: list[int]) -> None:
        to += [CODES["HOLE"], self._holes + len(self.numbers)]
        self.numbers.append(value)


class Machine:
    """Episodes of one model, from given starts under given disturbances."""

    def __init__(self, module: Any, starts: Floats, noise: Floats, horizon: int) -> None:
        """Starts (n, d), noise (horizon, n, k)."""
        self._module, self._horizon = module, horizon
        self._starts, self._noise = np.ascontiguousarray(starts), np.ascontiguousarray(noise)

    def play(
        self,
        terms: Sequence[Term],
        names: Sequence[str],
        holes: Floats,
        registers: Sequence[Register] = (),
    ) -> tuple[Floats, NDArray[np.int64]]:
        """Returns and lengths (s, n) of the program ``terms`` with each setting (s, h) of its holes.

        Raises:
            ValueError: as `Code`.
        """
        code, table = coded(terms, names, holes, registers)
        returns = np.empty((len(table), len(self._starts)))
        lengths = np.empty(returns.shape, dtype=np.int64)
        self._module.play(
            code, table, self._starts, self._noise, b"", self._horizon, returns, lengths
        )
        return returns, lengths


def coded(
    terms: Sequence[Term],
    names: Sequence[str],
    holes: Floats,
    registers: Sequence[Register] = (),
) -> tuple[NDArray[np.int32], Floats]:
    """The code of a program, and a table of its numbers: a row for each row (s, h) of ``holes``."""
    s, h = holes.shape
    code = Code(terms, names, h, registers)
    table = np.empty((s, max(1, h + len(code.numbers))))
    table[:, :h] = holes
    table[:, h : h + len(code.numbers)] = code.numbers
    return code.whole, table


def machine_module(model: Model, own: bool, rounded: bool) -> Any:
    """The compiled episodes of ``model``; None where nothing can be compiled.

    With ``own`` an unsafe state ends the episode; ``rounded`` observations are float32.
    """
    at = _places(x=model.state_names, u=model.action_names, w=model.disturbance_names)
    physics = {
        "world": "",
        "begin": "    for (int i = 0; i < STATES; i++) x[i] = start[i];",
        "step": body(model.steps, [f"next[{k}] = %s;" for k in range(len(model.state))], at),
    }
    return built(model, physics, own, rounded)


def body(terms: Sequence[Term | Formula], places: Sequence[str], at: Mapping[str, str]) -> str:
    """C that computes ``terms`` and puts each in its place, a statement with ``%s`` for the value."""
    lines, results = statements(terms, at, dict.fromkeys(at, (-MAX, MAX)))
    lines += [p % r for p, r in zip(places, results, strict=True)]
    return "\n".join("    " + line for line in lines)


def built(
    model: Model | Simulated, physics: Mapping[str, str], own: bool = False, rounded: bool = False
) -> Any:
    """The compiled episodes of what is stated around a step; None where nothing can be compiled.

    ``physics`` is the C text of ``step``, of ``begin``, which makes the first state of a start, and
    of what both need (``world``).
    """
    command = compiler()
    return None if command is None else _built(command, _text(model, physics, own, rounded))


_built = lru_cache(32)(build)


def _places(**arrays: Sequence[str]) -> dict[str, str]:
    """Where each name stands in the C arrays."""
    return {name: f"{a}[{k}]" for a, names in arrays.items() for k, name in enumerate(names)}


def _text(model: Model | Simulated, physics: Mapping[str, str], own: bool, rounded: bool) -> str:
    x, u = model.state_names, model.action_names
    at = _places(x=x, u=u, next=[NEXT + name for name in x])

    def numbers(values: Iterable[float]) -> str:
        return ", ".join([*map(literal, values), "0.0"])

    seen = len(model.observation)
    low, high = [-MAX] * seen, [MAX] * seen
    noises, choices, single = 0, tuple[tuple[Fraction, ...], ...](), False
    penalty: Fraction | None = None
    safe: Formula = Truth(True)
    if isinstance(model, Model):
        space = observation_space(model)
        low, high = space.low.tolist(), space.high.tolist()
        noises, choices = len(model.disturbance), model.choices or ()
        penalty, safe = model.unsafe_reward, sharp(model.safe)
        single = model.arithmetic.state == "float32"
    return TEXT % {
        "prelude": PRELUDE, **physics, "deep": DEEP, "kept": KEPT,
        "states": len(x), "actions": len(u), "noises": noises, "seen": seen,
        "choices": len(choices), "single": single, "rounded": rounded, "own": own,
        "low": numbers(float(c.low) for c in model.action),
        "high": numbers(float(c.high) for c in model.action),
        "seen_low": numbers(low), "seen_high": numbers(high),
        "table": numbers(float(v) for c in choices for v in c),
        "penalty": "NAN" if penalty is None else literal(float(penalty)),
        "codes": ", ".join(f"{name} = {number}" for name, number in CODES.items()),
        "observe": body(
            [o.value for o in model.observation], [f"seen[{k}] = %s;" for k in range(seen)], at
        ),
        "reward": body([model.reward_term], ["return %s;"], at),
        "verdict": body([safe, model.terminal], ["*safe = %s;", "*terminal = %s;"], at),
    }  # fmt: skip
