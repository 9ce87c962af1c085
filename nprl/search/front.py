"""Pareto fronts: what every learner of programs returns, and what is shown of it.

A program is worth having if no other of at most its size (nodes and constants) returns as much.
Returns are means over episodes whose seeds were not used to find the program, with their 95 %
confidence interval.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from nprl.files import write_atomic
from nprl.lang.serial import loads
from nprl.loops import from_data, to_data
from nprl.program import Program, ProgramError

FORMAT = "nprl-front/1"
_One = TypeVar("_One")


class FrontError(ValueError):
    """A file that holds no front; one line."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A program and what is known of it."""

    program: Program
    origin: str
    """The method that found it."""
    mean: float
    """The mean return of ``episodes`` episodes."""
    ci95: tuple[float, float]
    episodes: int
    proved: bool | None = None
    """Whether it is proved safe without a shield; None where nobody asked."""

    @property
    def nodes(self) -> int:
        """The program's size."""
        return self.program.nodes

    @property
    def constants(self) -> int:
        """The program's number of constants."""
        return self.program.constants

    def beats(self, other: Entry) -> bool:
        """Whether it is as good and as small everywhere, and better somewhere."""
        mine = (-self.mean, self.nodes, self.constants)
        its = (-other.mean, other.nodes, other.constants)
        return mine != its and all(a <= b for a, b in zip(mine, its, strict=True))


def promising(
    some: Iterable[_One], size: Callable[[_One], int], mean: Callable[[_One], float]
) -> list[_One]:
    """The best two of each size, if no smaller one is better; the best first."""
    by_size: dict[int, list[_One]] = {}
    for one in some:
        by_size.setdefault(size(one), []).append(one)
    best, chosen = -math.inf, []
    for _, here in sorted(by_size.items()):
        chosen += [one for one in sorted(here, key=mean, reverse=True)[:2] if mean(one) > best]
        best = max(best, *map(mean, here))
    return sorted(chosen, key=mean, reverse=True)


class Front:
    """Entries of which none beats another, the smallest first."""

    def __init__(self, entries: Iterable[Entry], cut: Sequence[str] = ()) -> None:
        """Keep what nothing beats, the first of equals; ``cut`` says what the clock cut short."""
        some = list(entries)
        kept: dict[tuple[float, int, int], Entry] = {}
        for e in some:
            if not any(other.beats(e) for other in some):
                kept.setdefault((e.mean, e.nodes, e.constants), e)
        self.cut = tuple(cut)
        self.entries = tuple(sorted(kept.values(), key=lambda e: (e.nodes, e.constants, -e.mean)))

    def __iter__(self) -> Iterator[Entry]:
        """The entries, the smallest first."""
        return iter(self.entries)

    def __len__(self) -> int:
        """How many there are."""
        return len(self.entries)

    def plus(self, other: Front) -> Front:
        """The front of both."""
        return Front([*self, *other], [*self.cut, *other.cut])

    def best(self, max_size: int | None = None, max_constants: int | None = None) -> Entry:
        """The entry of the highest mean with at most so many nodes and constants.

        Raises:
            ValueError: where none is that small.
        """
        fits = [
            e
            for e in self
            if (max_size is None or e.nodes <= max_size)
            and (max_constants is None or e.constants <= max_constants)
        ]
        if not fits:
            smallest = (
                f"the smallest has {self.entries[0].nodes} nodes" if self.entries else "empty"
            )
            raise ValueError(
                f"no program has at most {max_size} nodes and {max_constants} constants; {smallest}"
            )
        return max(fits, key=lambda e: (e.mean, -e.nodes, -e.constants))

    def rows(self) -> list[list[str | int | float | None]]:
        """A row for each entry: see `COLUMNS`."""
        proved = {True: "yes", False: "no", None: None}
        return [
            [
                *(e.nodes, e.constants, e.mean, f"[{e.ci95[0]:.5g}, {e.ci95[1]:.5g}]"),
                *(proved[e.proved], e.origin, e.program.formula),
            ]
            for e in self
        ]

    def to_json(self) -> dict[str, Any]:
        """The front as JSON data."""
        return {
            "format": FORMAT,
            "cut": list(self.cut),
            "entries": [
                {
                    **to_data(e.program),
                    "origin": e.origin,
                    "mean": e.mean,
                    "ci95": list(e.ci95),
                    "episodes": e.episodes,
                    "proved": e.proved,
                }
                for e in self
            ],
        }

    def save(self, path: str | Path) -> Path:
        """Write the front to ``path`` (JSON), whole or not at all."""
        return write_atomic(path, json.dumps(self.to_json(), indent=1) + "\n")


COLUMNS = ("nodes", "constants", "return", "95 %", "proved", "method", "program")


def load_front(path: str | Path) -> Front:
    """The front that `Front.save` wrote.

    Raises:
        FrontError: for anything else; nothing of the file is executed.
    """
    try:
        data = loads(Path(path).read_bytes())
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise FrontError(f"{path}: no front; accepted is the format {FORMAT!r}")
        return Front((_entry(e) for e in data["entries"]), [str(c) for c in data["cut"]])
    except OSError as error:
        raise FrontError(f"{path}: {error.strerror or error}") from None
    except (KeyError, TypeError, ProgramError) as error:
        raise FrontError(f"{path}: no front that can be read ({error!r})") from None
    except FrontError:
        raise
    except ValueError as error:
        raise FrontError(f"{path}: {error}") from None


def _entry(data: dict[str, Any]) -> Entry:
    low, high = (float(v) for v in data["ci95"])
    proved = data["proved"]
    if proved not in (True, False, None):
        raise TypeError(f"proved is true, false or null; got {proved!r}")
    return Entry(
        from_data(data),
        str(data["origin"]),
        float(data["mean"]),
        (low, high),
        int(data["episodes"]),
        proved,
    )
