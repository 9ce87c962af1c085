"""A second solver's opinion of the leaves: every exported query is put to cvc5, too.

cvc5 runs in a process of its own, which is killed where it does not answer in time; so a limit holds
whatever the solver does. What it says changes no proof: an answer that differs from Z3's is an
alarm, and the file is then not verified. cvc5 is the extra ``nprl[cross]``.
"""

from __future__ import annotations

import importlib.util
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from nprl.shields.process import LineProcess

SOLVER = "cvc5"
LIMIT = 10.0
"""Seconds for one query, unless told."""
GRACE = 2.0
"""Seconds more than cvc5's own limit, after which its process is killed."""
STARTING = 30.0


class NoSolver(ValueError):
    """cvc5 is not there; one line with the remedy."""


@dataclass(slots=True)
class Crossed:
    """What the other solver said of the queries of one file that Z3 has refuted."""

    solver: str
    limit: float
    agree: int = 0
    silent: int = 0
    """Not answered: the time was over, or the answer was "unknown"."""
    seconds: float = 0.0
    differ: list[tuple[str, int]] = field(default_factory=list)
    """The goal and the leaf of each query that it calls satisfiable."""
    beyond: int = 0
    """Queries that Z3 had not refuted either: nothing to compare."""

    @property
    def asked(self) -> int:
        """The queries that are compared."""
        return self.agree + self.silent + len(self.differ)


def require() -> None:
    """Go on only where cvc5 is installed.

    Raises:
        NoSolver: where it is not.
    """
    if importlib.util.find_spec("cvc5") is None:
        raise NoSolver(
            "--cross cvc5: cvc5 is not installed; pip install 'nprl[cross]', or leave --cross out"
        )


class Other:
    """cvc5 in a process of its own, started again where it had to be killed."""

    def __init__(self, limit: float = LIMIT) -> None:
        """Start it.

        Raises:
            NoSolver: where cvc5 is not installed.
        """
        require()
        self.limit = limit
        self._start()

    def _start(self) -> None:
        milliseconds = str(int(1000 * self.limit))
        self.process = LineProcess("nprl.shields.cross_worker", milliseconds)
        self.version = self.process.line(STARTING)

    def ask(self, text: str) -> str:
        """``unsat``, ``sat``, or what stands in the place of an answer."""
        try:
            self.process.write(f"{len(text)}\n{text}")
            answer = self.process.line(self.limit + GRACE)
        except OSError:
            answer = ""
        if not answer:  # it hangs, or is gone
            self.close()
            self._start()
            return "no answer"
        return answer

    def close(self) -> None:
        """End its process, also where it hangs."""
        self.process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()


class Crossing:
    """Takes queries as they are made, asks, and counts in the end."""

    def __init__(self, other: Other) -> None:
        self.other = other
        self.answers: list[tuple[str, int, str]] = []
        self.seconds = 0.0

    def __call__(self, goal: str, leaf: int, text: str) -> None:
        """Ask of one query."""
        start = time.perf_counter()
        self.answers.append((goal, leaf, self.other.ask(text)))
        self.seconds += time.perf_counter() - start

    def result(self, proved: dict[str, bool]) -> Crossed:
        """The comparison, where ``proved`` says which goals the checker has proved.

        Of a goal that is not proved the last query is the one at which Z3 stopped.
        """
        found = Crossed(self.other.version, self.other.limit, seconds=self.seconds)
        last = {goal: k for k, (goal, _, _) in enumerate(self.answers)}
        for k, (goal, leaf, answer) in enumerate(self.answers):
            if not proved.get(goal, False) and last[goal] == k:
                found.beyond += 1
            elif answer == "unsat":
                found.agree += 1
            elif answer == "sat":
                found.differ.append((goal, leaf))
            else:
                found.silent += 1
        return found


def in_words(found: Crossed) -> str:
    """One line, loud where it differs."""
    counts = (
        f"{found.agree} of {found.asked} queries agree, {found.silent} not answered "
        f"within {found.limit:g} s, {len(found.differ)} disagree ({found.seconds:.1f} s)"
    )
    if not found.differ:
        return f"{found.solver}: {counts}"
    where = ", ".join(f"{goal} leaf {leaf}" for goal, leaf in found.differ[:5])
    return f"THE SOLVERS DISAGREE: {found.solver} calls satisfiable {where}: not verified; {counts}"
