"""Sketches: programs with places that the search fills, ``torque = clip(??, -1, 1) - ? * omega``.

``??`` stands for any term of the grammar, ``?`` for a number; places of the same name, ``??push``,
hold the same term. What an expert wrote around them stays as it is, its numbers too. Without a
sketch each output is one place.

Source: Solar-Lezama, "Program synthesis by sketching", 2008.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nprl.lang.terms import Term, Var, nodes, replace, variables
from nprl.lang.text import parse

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
            raise ValueError(
                "a sketch has a place to fill, ?? for a term or ? for a number; got none"
            )

    def plug(self, parts: Sequence[Term]) -> tuple[Term, ...]:
        """The outputs with part k in place k."""
        at: Mapping[Term, Term] = {place(k): part for k, part in enumerate(parts)}
        return tuple(replace(t, at) for t in self.outputs)

    def size(self, parts: Sequence[Term]) -> int:
        """The nodes of the outputs with these parts."""
        return sum(map(nodes, self.plug(parts)))

    def check(self, inputs: Sequence[str], outputs: int) -> None:
        """Raise for another number of outputs, or for names that are no inputs."""
        if len(self.outputs) != outputs:
            raise ValueError(
                f"the sketch has {len(self.outputs)} terms; the program has {outputs} outputs"
            )
        for t in self.outputs:
            for name in sorted(variables(t) - set(inputs)):
                if not name.startswith(_NAME):
                    raise ValueError(
                        f"sketch {t}: unknown name {name!r}; the inputs are {', '.join(inputs)}"
                    )


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
    known: dict[str, tuple[int, str]] = {}

    def put(match: re.Match[str]) -> str:
        marks, name = match.groups()
        k, before = known.setdefault(name or f"{len(known)} ", (len(known), marks))
        if before != marks:
            raise ValueError(f"sketch: {name!r} is a place for a term and for a number")
        return f"{_NAME}{k}"

    outputs = tuple(parse(_PLACE.sub(put, text)) for text in texts)
    numbers = frozenset(k for k, marks in known.values() if marks == "?")
    return Sketch(outputs, len(known), numbers)
