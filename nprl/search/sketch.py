"""Sketches: programs with places that the search fills, ``torque = clip(??, -1, 1) - ? * omega``.

``??`` stands for any term of the grammar, ``?`` for a number; places of the same name, ``??push``,
hold the same term. What an expert wrote around them stays as it is, its numbers too. Without a
sketch each output is one place.

Source: Solar-Lezama, "Program synthesis by sketching", 2008.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nprl.lang.terms import Term, Var, variables
from nprl.lang.terms import replace as replaced
from nprl.lang.text import parse
from nprl.loops import Loop, loop_from_text
from nprl.memory import needed
from nprl.program import Program
from nprl.search.constants import ZERO

NO_PLACE = "a sketch has a place to fill, ?? for a term or ? for a number; got none"
_PLACE = re.compile(r"(\?\??)(\w*)")
_NAME = "place:"
"""What the name of a place begins with; the colon keeps places apart from inputs."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """``outputs`` with places ``place:0``, ``place:1``, ..., of which ``numbers`` hold numbers only.

    Raises:
        ValueError: for outputs without a place.
    """

    outputs: tuple[Term, ...]
    places: int
    numbers: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        """Refuse what leaves nothing to find."""
        if not self.places:
            raise ValueError(NO_PLACE)

    def plug(self, template: Program, parts: Sequence[Term]) -> tuple[Term, ...]:
        """The terms of a program like ``template`` with part k in place k."""
        return tuple(_filled(self.outputs, parts))

    def program(self, template: Program, parts: Sequence[Term]) -> Program:
        """The program with part k in place k, and the registers that it reads."""
        output = self.plug(template, parts)
        return replace(template, output=output, registers=needed(output, template.registers))

    def readable(self, template: Program) -> list[tuple[str, ...] | None]:
        """The names that the term in each place may read; None for all of the grammar's.

        Raises:
            ValueError: for another number of terms than ``template`` has, or unknown names.
        """
        if len(self.outputs) != len(template.output):
            raise ValueError(
                f"the sketch has {len(self.outputs)} terms; the program has {len(template.output)}"
            )
        self.program(template, [ZERO] * self.places)
        return [None] * self.places


@dataclass(frozen=True, slots=True)
class LoopSketch:
    """A loop (`nprl.loops.Loop`) with places."""

    loop: Loop
    places: int
    numbers: frozenset[int] = frozenset()

    def plug(self, template: Program, parts: Sequence[Term]) -> tuple[Term, ...]:
        """The terms of the unrolled program with part k in place k."""
        return self._with(parts).unrolled(template)

    def program(self, template: Program, parts: Sequence[Term]) -> Program:
        """The unrolled program with part k in place k."""
        return self._with(parts).unroll(template)

    def _with(self, parts: Sequence[Term]) -> Loop:
        return self.loop.with_terms(_filled(self.loop.terms, parts))

    def readable(self, template: Program) -> list[tuple[str, ...] | None]:
        """The names that the term in each place may read: those that all its loop's terms may.

        Raises:
            ValueError: where ``template`` is no program for this loop.
        """
        self.program(template, [ZERO] * self.places)
        known = list(zip(self.loop.terms, self.loop.readable(template), strict=True))
        order = dict.fromkeys(n for _, names in known for n in names)
        found: list[tuple[str, ...] | None] = []
        for k in range(self.places):
            some = [names for t, names in known if place(k).name in variables(t)]
            found.append(tuple(n for n in order if all(n in names for names in some)))
        return found


AnySketch = Sketch | LoopSketch


def _filled(terms: Sequence[Term], parts: Sequence[Term]) -> list[Term]:
    at: dict[Term, Term] = {place(k): part for k, part in enumerate(parts)}
    return [replaced(t, at) for t in terms]


def place(index: int) -> Var:
    """The place with this number."""
    return Var(f"{_NAME}{index}")


def free(outputs: int) -> Sketch:
    """The sketch that leaves so many outputs free."""
    return Sketch(tuple(map(place, range(outputs))), outputs)


def sketch(*texts: str) -> Sketch:
    """The sketch of a program with these outputs.

    Raises:
        ValueError: for text that is no term or has no place, or for a name of places of both kinds.
    """
    marked, places, numbers = _marked("\n".join(texts))
    return Sketch(tuple(map(parse, marked.split("\n"))), places, numbers)


def loop_sketch(text: str) -> LoopSketch:
    """The sketch of a loop: its text, with places.

    Raises:
        ValueError: for text that is no loop or has no place, or for a name of places of both kinds.
    """
    marked, places, numbers = _marked(text)
    if not places:
        raise ValueError(NO_PLACE)
    return LoopSketch(loop_from_text(marked), places, numbers)


def _marked(text: str) -> tuple[str, int, frozenset[int]]:
    """The text with the names of places, how many these are, and which hold numbers."""
    known: dict[str, tuple[int, str]] = {}

    def put(match: re.Match[str]) -> str:
        marks, name = match.groups()
        k, before = known.setdefault(name or f"{len(known)} ", (len(known), marks))
        if before != marks:
            raise ValueError(f"sketch: {name!r} is a place for a term and for a number")
        return f"{_NAME}{k}"

    marked = _PLACE.sub(put, text)
    return marked, len(known), frozenset(k for k, marks in known.values() if marks == "?")
