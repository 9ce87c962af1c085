"""Programs: policies as terms, with names and units, that a person reads and the checker proves.

A `Program` maps an observation to an action in physical units; what it computes is clipped to the
bounds of its outputs, and the clip is part of what is executed, exported and proved. Where the
actions are finitely many, it may hold a score for each of them instead; the highest is chosen.
`Program.predict` is the policy that Stable-Baselines3 and Gymnasium expect: it returns the
environment's action, in float64, so that the number that was computed is the number that is
applied. Registers (memory) are reserved: the format has them, and this version accepts none.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nprl.files import write_atomic
from nprl.lang.build import highest
from nprl.lang.floats import compile_batch, compile_scalar
from nprl.lang.schema import FLAG, OBJECT, TERM, TEXT, many, record
from nprl.lang.serial import loads
from nprl.lang.terms import Clip, Num, Term, constants, nodes, variables
from nprl.lang.text import parse, to_text
from nprl.model import CHOICES, COORDINATE, Coordinate, Model

FORMAT = "nprl-program/1"
LARGEST = 1 << 22
"""Bytes of a program's file."""
FloatArray = npt.NDArray[np.float64]


class ProgramError(ValueError):
    """A program, or a program file, that is not well formed; one line."""


@dataclass(frozen=True, slots=True)
class Input:
    """An observed number: its name and unit."""

    name: str
    unit: str = ""


@dataclass(frozen=True)
class Program:
    """A policy as terms: ``output[j]`` over the inputs' names, in the unit of ``outputs[j]``.

    ``scaled`` says that the environment's action lies in [-1, 1] and stands for the outputs'
    bounds; ``choices`` that it is an index of these actions, of which the nearest (the first of
    equals) is meant. With ``scores``, ``output[k]`` is the score of ``choices[k]``, and the choice
    of the highest score, the first of equals, is meant.

    Raises:
        ProgramError: for unknown names, other numbers of terms than of outputs (of choices, for
            scores), or scores of actions that are not finitely many, each once, within the bounds.
    """

    name: str
    inputs: tuple[Input, ...]
    outputs: tuple[Coordinate, ...]
    output: tuple[Term, ...]
    scaled: bool = True
    choices: tuple[tuple[Fraction, ...], ...] | None = None
    registers: tuple[()] = ()
    scores: bool = False

    def __post_init__(self) -> None:
        """Refuse what is not well formed."""
        names = [i.name for i in self.inputs]
        if len(set(names)) != len(names):
            raise ProgramError(f"input names differ from each other; got {names}")
        if self.scores:
            self._check_choices()
        wanted, of = self.labels, "choice" if self.scores else "output"
        if len(self.output) != len(wanted):
            raise ProgramError(
                f"one term for each {of} is needed; got {len(self.output)} for {len(wanted)}"
            )
        if self.registers:
            raise ProgramError("registers are reserved; this version runs programs without memory")
        for c in self.outputs:
            if not c.low < c.high:
                raise ProgramError(f"output {c.name}: low < high is needed")
        for label, t in zip(wanted, self.output, strict=True):
            for name in sorted(variables(t) - set(names)):
                raise ProgramError(
                    f"{label} = {t}: unknown name {name!r}; the inputs are {', '.join(names)}"
                )

    def _check_choices(self) -> None:
        """Refuse scores of anything but different actions within the bounds."""
        choices = self.choices or ()
        if not choices or len(set(choices)) != len(choices):
            raise ProgramError(
                "scores are of finitely many actions: give each as a choice, and once"
            )
        for choice in choices:
            inside = len(choice) == len(self.outputs) and all(
                c.low <= v <= c.high for v, c in zip(choice, self.outputs, strict=True)
            )
            if not inside:
                raise ProgramError(
                    f"choice {_shown(choice)}: a number within the bounds of each output is needed"
                )

    @property
    def labels(self) -> tuple[str, ...]:
        """What each term of ``output`` is: an output's name, or whose score."""
        if self.scores:
            return tuple(f"score of {_shown(c)}" for c in self.choices or ())
        return tuple(c.name for c in self.outputs)

    @property
    def formula(self) -> str:
        """The terms on one line."""
        terms = [str(t) for t in self.output]
        return f"argmax({', '.join(terms)})" if self.scores else "; ".join(terms)

    @property
    def nodes(self) -> int:
        """The size: each occurrence of an operator (argmax is one), a variable or a constant."""
        return sum(nodes(t) for t in self.output) + self.scores

    @property
    def constants(self) -> int:
        """How many numeric literals occur."""
        return sum(constants(t) for t in self.output)

    @property
    def clipped(self) -> tuple[Term, ...]:
        """What is executed, a term for each output: clipped, or the choice of the highest score."""
        return self.applied(self.output)

    def applied(self, terms: Sequence[Term]) -> tuple[Term, ...]:
        """What is executed where ``terms``, which may hold other names, stand for `output`."""
        if self.scores:
            return highest(terms, self.choices or ())
        return tuple(
            Clip(t, Num(c.low), Num(c.high)) for c, t in zip(self.outputs, terms, strict=True)
        )

    @functools.cached_property
    def _scalar(self) -> Callable[..., tuple[float, ...]]:
        """The scores, each computed once, or what is executed."""
        terms = self.output if self.scores else self.clipped
        return compile_scalar(terms, [[i.name for i in self.inputs]])

    @functools.cached_property
    def _batch(self) -> Callable[..., list[FloatArray]]:
        terms = self.output if self.scores else self.clipped
        return compile_batch(terms, [[i.name for i in self.inputs]])

    def __call__(self, observation: Sequence[float]) -> tuple[float, ...]:
        """The action in units, for one observation given as Python floats.

        Raises:
            ValueError: for an observation that is not finite or has another length.
        """
        values = self._one(observation)
        return tuple(self._floats[_first_highest(values)]) if self.scores else values

    def _one(self, observation: Sequence[float]) -> tuple[float, ...]:
        """The scores, or the action in units."""
        if len(observation) != len(self.inputs) or not all(map(math.isfinite, observation)):
            raise ValueError(
                f"an observation is {len(self.inputs)} finite numbers; got {list(observation)}"
            )
        return self._scalar(observation)

    def batch(self, observations: npt.ArrayLike) -> FloatArray:
        """Actions in units, shape (n, outputs), for observations of shape (n, inputs).

        Raises:
            ValueError: for another shape, or numbers that are not finite.
        """
        values = self._many(observations)
        return self._table[values.argmax(axis=1)] if self.scores else values

    def _many(self, observations: npt.ArrayLike) -> FloatArray:
        """The scores (n, choices), or the actions in units (n, outputs)."""
        x = np.asarray(observations, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != len(self.inputs) or not np.isfinite(x).all():
            raise ValueError(
                f"observations are finite, of shape (n, {len(self.inputs)}); got shape {x.shape}"
            )
        return np.stack([np.broadcast_to(v, x.shape[:1]) for v in self._batch(x)], axis=1)

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[npt.NDArray[Any], Any]:
        """The environment's action for one observation or a batch, as Stable-Baselines3's ``predict``."""
        x = np.asarray(observation, dtype=np.float64)
        if x.ndim == 1:
            return self.act(x.tolist()), state
        values = self._many(x)
        return (values.argmax(axis=1) if self.scores else self.to_action(values)), state

    def act(self, observation: Sequence[float]) -> Any:
        """The environment's action for one observation: an index, or a float64 array."""
        units = self._one(observation)
        if self.scores:
            return _first_highest(units)
        if self.choices is None:
            return self.to_action(np.asarray([units]))[0] if self.scaled else np.asarray(units)
        apart = [sum((a - b) ** 2 for a, b in zip(units, c, strict=True)) for c in self._floats]
        return apart.index(min(apart))

    @functools.cached_property
    def _floats(self) -> list[list[float]]:
        return [[float(v) for v in c] for c in self.choices or ()]

    @functools.cached_property
    def _table(self) -> FloatArray:
        return np.asarray(self._floats)

    def to_action(self, units: FloatArray) -> npt.NDArray[Any]:
        """The environment's actions for actions in units, shape (n, outputs)."""
        if self.choices is not None:
            distance = ((units[:, None, :] - self._table[None]) ** 2).sum(axis=2)
            return np.asarray(distance.argmin(axis=1), dtype=np.int64)
        if not self.scaled:
            return units
        low = np.asarray([float(c.low) for c in self.outputs])
        high = np.asarray([float(c.high) for c in self.outputs])
        centre, half = (low + high) / 2, (high - low) / 2
        action: FloatArray = np.clip((units - centre) / half, -1.0, 1.0)
        return action

    def __str__(self) -> str:
        """The program as a person reads it; `program_from_text` reads it back."""
        lines = ["nprl-program 1", f"name {self.name}"]
        lines += [f"input {i.name} [{i.unit}]" for i in self.inputs]
        for c in self.outputs:
            lines.append(
                f"output {c.name} [{c.unit}] in {to_text(Num(c.low))} .. {to_text(Num(c.high))}"
            )
        if not self.scaled:
            lines.append("action in units")
        if self.scores:
            scored = zip(self.choices or (), self.output, strict=True)
            lines += [f"choice {_shown(c)} scores {t}" for c, t in scored]
        else:
            lines += [f"choice {_shown(c)}" for c in self.choices or ()]
            lines += [f"{n} = {t}" for n, t in zip(self.labels, self.output, strict=True)]
        return "\n".join(lines) + "\n"

    def to_json(self) -> dict[str, Any]:
        """The program as JSON data; every number a string."""
        data: dict[str, Any] = PROGRAM.write(self)
        return data

    def save(self, path: str | Path) -> Path:
        """Write ``path`` (JSON) and, beside it, the same program as text (``.txt``)."""
        target = write_atomic(path, json.dumps(self.to_json(), indent=1) + "\n")
        write_atomic(target.with_suffix(".txt"), str(self))
        return target


def _shown(choice: Sequence[Fraction]) -> str:
    return ", ".join(to_text(Num(v)) for v in choice)


def _first_highest(values: Sequence[float]) -> int:
    return values.index(max(values))


def program_for(model: Model, output: Sequence[Term], name: str = "") -> Program:
    """The program with these terms, its inputs and outputs those of ``model``."""
    units = {c.name: c.unit for c in model.state}
    return Program(
        name=name or model.name,
        inputs=tuple(Input(o.name, units.get(o.name, "")) for o in model.observation),
        outputs=model.action,
        output=tuple(output),
        scaled=model.arithmetic.scaled,
        choices=model.choices,
    )


PROGRAM = record(
    Program,
    {
        "name": TEXT,
        "inputs": many(record(Input, {"name": TEXT, "unit": TEXT})),
        "outputs": many(COORDINATE),
        "scaled": FLAG,
        "choices": CHOICES,
        "registers": many(OBJECT),
        "output": many(TERM),
        "scores": FLAG,
    },
    {"format": FORMAT},
    spare=("scores",),
)
"""How a program stands in a JSON file."""


def program_from_json(data: object) -> Program:
    """The program that `Program.to_json` wrote.

    Raises:
        ProgramError: for anything else; nothing of the file is executed.
    """
    try:
        return PROGRAM.read(data, "program")
    except ProgramError:
        raise
    except (ValueError, TypeError, RecursionError) as error:
        raise ProgramError(str(error)) from None


_LINES = {
    "name": re.compile(r"name (.*)"),
    "input": re.compile(r"input (\w+) \[(.*)\]"),
    "output": re.compile(r"output (\w+) \[(.*)\] in (\S+) \.\. (\S+)"),
    "choice": re.compile(r"choice (.*?)(?: scores (.*))?"),
    "assignment": re.compile(r"(\w+) = (.*)"),
}


def program_from_text(source: str) -> Program:
    """The program whose text this is (see `Program.__str__`); lines with ``#`` in front are comments.

    Raises:
        ProgramError: with the line, for anything else; nothing of the text is executed.
    """
    lines = [s.strip() for s in source.splitlines() if s.strip() and not s.strip().startswith("#")]
    if not lines or lines[0] != "nprl-program 1":
        raise ProgramError("a program's text begins with the line 'nprl-program 1'")
    name, scaled = "", True
    inputs: list[Input] = []
    outputs: list[Coordinate] = []
    terms: dict[str, Term] = {}
    choices: list[tuple[Fraction, ...]] = []
    scores: list[Term] = []
    try:
        for line in lines[1:]:
            kind, match = next(
                ((k, m) for k, p in _LINES.items() if (m := p.fullmatch(line))), ("", None)
            )
            if line == "action in units":
                scaled = False
            elif match is None:
                raise ValueError(
                    "accepted are: name, input, output, choice, action in units, X = term"
                )
            elif kind == "name":
                name = match[1]
            elif kind == "input":
                inputs.append(Input(match[1], match[2]))
            elif kind == "output":
                bounds = [_literal(match[3]), _literal(match[4])]
                outputs.append(Coordinate(match[1], match[2], bounds[0], bounds[1]))
            elif kind == "choice":
                choices.append(tuple(_literal(v) for v in match[1].split(",")))
                scores += [] if match[2] is None else [parse(match[2])]
            elif match[1] in terms:
                raise ValueError(f"{match[1]} is assigned twice")
            else:
                terms[match[1]] = parse(match[2])
        line = "the outputs"
        known = tuple(choices) or None
        if scores and (terms or len(scores) != len(choices)):
            raise ValueError("scores stand at every choice, and no line 'X = term' beside them")
        if not scores and set(terms) != {c.name for c in outputs}:
            raise ValueError(f"one line 'X = term' for each output; got {sorted(terms)}")
        output = tuple(scores) or tuple(terms[c.name] for c in outputs)
        scored = bool(scores)
        return Program(name, tuple(inputs), tuple(outputs), output, scaled, known, scores=scored)
    except ValueError as error:
        shown = line if len(line) <= 80 else f"{line[:77]}..."
        raise ProgramError(f"program, line {shown!r}: {error}") from None


def _literal(source: str) -> Fraction:
    value = parse(source.strip())
    if not isinstance(value, Num):
        raise ValueError(f"a number is accepted; got {source!r}")
    return value.value


def load_program(path: str | Path) -> Program:
    """The program in a ``.json`` or text file.

    Raises:
        ProgramError: for a file that is not there, or is no program.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise ProgramError(f"{path}: {error.strerror or error}") from None
    if len(data) > LARGEST:
        raise ProgramError(f"{path}: a program's file has at most {LARGEST} bytes; got more")
    try:
        if Path(path).suffix == ".json":
            return program_from_json(loads(data))
        return program_from_text(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ProgramError(f"{path}: not UTF-8 at byte {error.start}") from None
    except ValueError as error:
        raise ProgramError(f"{path}: {error}") from None
