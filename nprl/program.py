"""Programs: policies as terms, with names and units, that a person reads and the checker proves.

A `Program` maps an observation to an action in physical units; what it computes is clipped to the
bounds of its outputs, and the clip is part of what is executed, exported and proved. Where the
actions are finitely many, it may hold a score for each of them instead; the highest is chosen.
`Program.predict` is the policy that Stable-Baselines3 and Gymnasium expect: it returns the
environment's action, in float64, so that the number that was computed is the number that is
applied. Its memory is its registers (`nprl.memory`): `predict` hands them on as its ``state``, one row
for each environment, and where an episode starts they start anew.
"""

from __future__ import annotations

import functools
import json
import math
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
from nprl.lang.schema import FLAG, NUMBER, TERM, TEXT, many, record
from nprl.lang.serial import loads
from nprl.lang.terms import Clip, Num, Term, constants, nodes, variables
from nprl.lang.text import to_text
from nprl.memory import Register
from nprl.model import CHOICES, COORDINATE, Coordinate, Model

FORMAT = "nprl-program/1"
LARGEST = 1 << 22
"""Bytes of a program's file."""
FloatArray = npt.NDArray[np.float64]
Memory = tuple[float, ...]
"""What the registers of a program hold, in their order."""


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
    of the highest score, the first of equals, is meant. All terms may read the ``registers`` as
    inputs.

    Raises:
        ProgramError: for unknown names, a name that is given twice, other numbers of terms than of
            outputs (of choices, for scores), or scores of actions that are not finitely many, each
            once, within the bounds.
    """

    name: str
    inputs: tuple[Input, ...]
    outputs: tuple[Coordinate, ...]
    output: tuple[Term, ...]
    scaled: bool = True
    choices: tuple[tuple[Fraction, ...], ...] | None = None
    registers: tuple[Register, ...] = ()
    scores: bool = False

    def __post_init__(self) -> None:
        """Refuse what is not well formed."""
        names = [i.name for i in self.inputs] + [r.name for r in self.registers]
        if len(set(names)) != len(names):
            raise ProgramError(f"input names differ from each other; got {names}")
        if self.scores:
            self._check_choices()
        wanted, of = self.labels, "choice" if self.scores else "output"
        if len(self.output) != len(wanted):
            raise ProgramError(
                f"one term for each {of} is needed; got {len(self.output)} for {len(wanted)}"
            )
        taken = {c.name for c in self.outputs} & {r.name for r in self.registers}
        if taken:
            raise ProgramError(f"a register is named as an output is: {', '.join(sorted(taken))}")
        for c in self.outputs:
            if not c.low < c.high:
                raise ProgramError(f"output {c.name}: low < high is needed")
        held = (f"next {r.name}" for r in self.registers)
        for label, t in zip((*wanted, *held), self.terms, strict=True):
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
                    f"choice {shown(choice)}: a number within the bounds of each output is needed"
                )

    @property
    def labels(self) -> tuple[str, ...]:
        """What each term of ``output`` is: an output's name, or whose score."""
        if self.scores:
            return tuple(f"score of {shown(c)}" for c in self.choices or ())
        return tuple(c.name for c in self.outputs)

    @property
    def terms(self) -> tuple[Term, ...]:
        """All terms: of the outputs, or the scores, and the registers' updates."""
        return (*self.output, *(r.update for r in self.registers))

    @property
    def formula(self) -> str:
        """The terms on one line."""
        terms = [str(t) for t in self.output]
        shown = [f"argmax({', '.join(terms)})"] if self.scores else terms
        return "; ".join([*shown, *(f"next {r.name} = {r.update}" for r in self.registers)])

    @property
    def nodes(self) -> int:
        """The size: each occurrence of an operator (argmax is one), a variable or a constant."""
        return sum(nodes(t) for t in self.terms) + self.scores

    @property
    def constants(self) -> int:
        """How many numeric literals occur."""
        return sum(constants(t) for t in self.terms)

    @property
    def clipped(self) -> tuple[Term, ...]:
        """What is executed, a term for each output: clipped, or the choice of the highest score."""
        return self.applied(self.terms)[: len(self.outputs)]

    @property
    def updates(self) -> tuple[Term, ...]:
        """What the registers hold next, clipped to their bounds."""
        return self.applied(self.terms)[len(self.outputs) :]

    def applied(self, terms: Sequence[Term]) -> tuple[Term, ...]:
        """What is executed where these, which may hold other names, stand for `terms`.

        A term for each output, and one for each register.
        """
        split = len(self.output)
        held = zip(self.registers, terms[split:], strict=True)
        updates = [r.clipped(t) for r, t in held]
        if self.scores:
            return (*highest(terms[:split], self.choices or ()), *updates)
        given = zip(self.outputs, terms[:split], strict=True)
        return (*(Clip(t, Num(c.low), Num(c.high)) for c, t in given), *updates)

    @property
    def _computed(self) -> tuple[Term, ...]:
        """The scores, each computed once, or what is executed; then the registers' next values."""
        return (*(self.output if self.scores else self.clipped), *self.updates)

    @property
    def _groups(self) -> list[list[str]]:
        return [[i.name for i in self.inputs], [r.name for r in self.registers]]

    @functools.cached_property
    def _scalar(self) -> Callable[..., tuple[float, ...]]:
        return compile_scalar(self._computed, self._groups)

    @functools.cached_property
    def _batch(self) -> Callable[..., list[FloatArray]]:
        return compile_batch(self._computed, self._groups)

    @functools.cached_property
    def initial(self) -> Memory:
        """What the registers hold when an episode starts."""
        return tuple(float(r.initial) for r in self.registers)

    @functools.cached_property
    def _limits(self) -> list[tuple[float, float]]:
        return [(float(r.low), float(r.high)) for r in self.registers]

    def __call__(self, observation: Sequence[float]) -> tuple[float, ...]:
        """The action in units, for one observation given as Python floats; without memory only.

        Raises:
            ValueError: for an observation that is not finite or has another length.
        """
        return self.step(observation)[0]

    def step(
        self, observation: Sequence[float], memory: Memory = ()
    ) -> tuple[tuple[float, ...], Memory]:
        """The action in units and the next memory, for one observation given as Python floats.

        An episode starts with the memory `initial`; without registers it is ().

        Raises:
            ValueError: for an observation that is not finite or has another length, or a memory
                that is not within the registers' bounds.
        """
        values, memory = self._one(observation, memory)
        return (tuple(self._floats[_first_highest(values)]) if self.scores else values), memory

    def _one(
        self, observation: Sequence[float], memory: Memory
    ) -> tuple[tuple[float, ...], Memory]:
        """The scores, or the action in units; and the next memory."""
        if len(observation) != len(self.inputs) or not all(map(math.isfinite, observation)):
            raise ValueError(
                f"an observation is {len(self.inputs)} finite numbers; got {list(observation)}"
            )
        if not self.registers and not memory:
            return self._scalar(observation, ()), ()
        held = zip(self._limits, memory, strict=False)
        if len(memory) != len(self.registers) or not all(a <= v <= b for (a, b), v in held):
            raise ValueError(self._bad_memory(f"{len(self.registers)} numbers", [*memory]))
        values, split = self._scalar(observation, memory), len(self.output)
        return values[:split], values[split:]

    def _bad_memory(self, what: str, got: object) -> str:
        return (
            f"the memory of {self.name} is {what} within the registers' bounds, "
            f"and starts as {[*self.initial]}; got {got}"
        )

    def batch(self, observations: npt.ArrayLike) -> FloatArray:
        """Actions in units, shape (n, outputs), for observations (n, inputs); without memory only.

        Raises:
            ValueError: for another shape, or numbers that are not finite.
        """
        x = np.asarray(observations, dtype=np.float64)
        values, _ = self._many(x, np.empty((len(x) if x.ndim else 0, 0)))
        return self._table[values.argmax(axis=1)] if self.scores else values

    def _many(self, x: FloatArray, memory: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The scores (n, choices), or the actions in units (n, outputs); the next memory (n, r)."""
        if x.ndim != 2 or x.shape[1] != len(self.inputs) or not np.isfinite(x).all():
            raise ValueError(
                f"observations are finite, of shape (n, {len(self.inputs)}); got shape {x.shape}"
            )
        low, high = np.asarray(self._limits).reshape(-1, 2).T
        fits = memory.shape == (len(x), len(low))
        if not fits or not ((memory >= low) & (memory <= high)).all():
            wanted = f"an array of shape {(len(x), len(low))}"
            raise ValueError(self._bad_memory(wanted, memory.tolist()))
        found = self._batch(x, memory)
        values = np.stack([np.broadcast_to(v, x.shape[:1]) for v in found], axis=1)
        return values[:, : len(self.output)], values[:, len(self.output) :]

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[npt.NDArray[Any], Any]:
        """The environment's action for one observation or a batch, as Stable-Baselines3's ``predict``.

        With registers the state that is returned is an array of them, (r,) or (n, r), for the next
        call; rows where ``episode_start`` is true, and all without a state, start anew.

        Raises:
            ValueError: for another shape, or numbers that are not finite; for a state that is no
                memory of this program.
        """
        x = np.asarray(observation, dtype=np.float64)
        memory = self._recalled(state, episode_start, x.shape[:-1])
        if x.ndim == 1:
            action, after = self.decide(x.tolist(), tuple(memory.tolist()))
            return action, np.asarray(after) if self.registers else state
        values, memory = self._many(x, memory)
        action = values.argmax(axis=1) if self.scores else self.to_action(values)
        return action, memory if self.registers else state

    def _recalled(self, state: Any, episode_start: Any, shape: tuple[int, ...]) -> FloatArray:
        """The memory that a call goes on from, (*shape, r); ``state`` is not changed."""
        start = np.broadcast_to(np.asarray(self.initial), (*shape, len(self.registers)))
        if state is None or not self.registers:
            return start
        memory = np.asarray(state, dtype=np.float64)
        if memory.shape != start.shape:
            raise ValueError(self._bad_memory(f"an array of shape {start.shape}", memory.shape))
        if episode_start is None:
            return memory
        anew = np.asarray(episode_start, dtype=np.bool_)
        anew = np.broadcast_to(anew, shape) if shape else np.asarray(anew.any())
        return np.where(anew[..., None], start, memory)

    def act(self, observation: Sequence[float]) -> Any:
        """The environment's action for one observation; without memory only: see `decide`."""
        return self.decide(observation)[0]

    def decide(self, observation: Sequence[float], memory: Memory = ()) -> tuple[Any, Memory]:
        """The environment's action, an index or a float64 array, and the next memory: see `step`."""
        units, memory = self._one(observation, memory)
        if self.scores:
            return _first_highest(units), memory
        if self.choices is None:
            array = np.asarray(units)
            return (self.to_action(array[None])[0] if self.scaled else array), memory
        apart = [sum((a - b) ** 2 for a, b in zip(units, c, strict=True)) for c in self._floats]
        return apart.index(min(apart)), memory

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
        """The program as a person reads it; `nprl.program_text.program_from_text` reads it back."""
        from nprl.program_text import to_text  # it imports this file

        return to_text(self)

    def to_json(self) -> dict[str, Any]:
        """The program as JSON data; every number a string."""
        data: dict[str, Any] = PROGRAM.write(self)
        return data

    def save(self, path: str | Path) -> Path:
        """Write ``path`` (JSON) and, beside it, the same program as text (``.txt``)."""
        target = write_atomic(path, json.dumps(self.to_json(), indent=1) + "\n")
        write_atomic(target.with_suffix(".txt"), str(self))
        return target


def shown(choice: Sequence[Fraction]) -> str:
    """A choice as text."""
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


REGISTER = record(
    Register,
    {
        **{"name": TEXT, "unit": TEXT, "low": NUMBER, "high": NUMBER, "initial": NUMBER},
        "update": TERM,
    },
)
PROGRAM = record(
    Program,
    {
        "name": TEXT,
        "inputs": many(record(Input, {"name": TEXT, "unit": TEXT})),
        "outputs": many(COORDINATE),
        "scaled": FLAG,
        "choices": CHOICES,
        "registers": many(REGISTER),
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
    from nprl.program_text import program_from_text  # it imports this file

    try:
        if Path(path).suffix == ".json":
            return program_from_json(loads(data))
        return program_from_text(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ProgramError(f"{path}: not UTF-8 at byte {error.start}") from None
    except ValueError as error:
        raise ProgramError(f"{path}: {error}") from None
