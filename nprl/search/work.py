"""How much work a search may do, counted in environment steps; the clock only guards.

So the same seed gives the same programs on a slow machine and on a fast one, with one process and
with many. What the clock cuts is said.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from nprl.env.task import Task

FIRST_TUNING, FIRST_CHOOSING = 3_000_000, 500_000
"""Where the seeds of tuning and of choosing begin; those of reports are others."""
APART = 1_000
"""Between the tuning seeds of one run and of the next."""
INTERRUPTED = "the search, interrupted"
"""What is cut by Ctrl-C."""
RATE = {"model": 300_000_000, "simulated": 1_000_000, "environment": 600_000}
"""Environment steps that count as a minute, on two cores: of a model or a twin; of MuJoCo between
our terms (`Task.simulated`); of environments stepped one by one."""

STRUCTURES = 30_000
"""What is not played of new structures, made and refused: so many take a minute."""


def rate(task: Task) -> int:
    """The environment steps of ``task`` that count as a minute."""
    if task.rolled is not None:
        return RATE["model"]
    return RATE["environment" if task.simulated() is None else "simulated"]


@dataclass(frozen=True, slots=True)
class Work:
    """The work of one search; `of` has the defaults."""

    search_steps: int
    """Environment steps of the search for structures."""
    tuning_steps: int
    """Environment steps of the last tuning of constants."""
    evaluations: int = 300
    """Settings of constants that CMA-ES plays for each program it tunes."""
    settings: int = 16
    """Settings of constants that each new structure is tried with."""
    tuning: int = 32
    """Episodes that a search plays."""
    refining: int = 256
    """Episodes that what was found is tuned on, the search's among them."""
    choosing: int = 100
    """Episodes that decide between programs."""
    structure: int = 10_000
    """Environment steps that a new structure counts as, besides those it plays."""
    guard_s: float = 600.0
    """Seconds after which the rest is cut, loudly."""
    jobs: int = 1
    """Processes or threads, where environments or simulators are stepped one by one."""
    saved: Path | None = None
    """Where a long search leaves its state, and goes on from."""

    @property
    def identity(self) -> dict[str, int]:
        """What decides which programs are found."""
        return {k: v for k, v in asdict(self).items() if k not in ("guard_s", "jobs", "saved")}

    @classmethod
    def of(cls, task: Task, minutes: float, jobs: int | None = None) -> Work:
        """What fills so many minutes on two cores; four times as long is never taken.

        Raises:
            ValueError: for no time.
        """
        if not minutes > 0:
            raise ValueError(f"a budget is a positive number of minutes; got {minutes}")
        batched, steps = task.rolled is not None, int(minutes * rate(task))
        jobs = jobs or os.cpu_count() or 1
        some = (300, 16, 32, 256, 100)
        if not batched:
            some = (120, 8, 8, 32, 50 if task.simulated() is None else 100)
        structure = rate(task) // STRUCTURES
        return cls(int(0.6 * steps), int(0.4 * steps), *some, structure, 240 * minutes, jobs)

    def tuning_seeds(self, seed: int) -> range:
        """The seeds that the run with this seed searches on."""
        first = FIRST_TUNING + APART * seed
        return range(first, first + self.tuning)

    def refining_seeds(self, seed: int) -> range:
        """The seeds that the run with this seed tunes on."""
        first = FIRST_TUNING + APART * seed
        return range(first, first + max(self.tuning, self.refining))

    @property
    def choosing_seeds(self) -> range:
        """The choosing seeds, the same for every run."""
        return range(FIRST_CHOOSING, FIRST_CHOOSING + self.choosing)


class Guarded(Protocol):
    """What says after how many seconds a search is cut: `Work`, `nprl.distill.budget.Budget`."""

    @property
    def guard_s(self) -> float:
        """Seconds."""
        ...


class Clock:
    """The guard of one search: `late` says once what it cut."""

    def __init__(self, work: Guarded, say: Callable[[str], None]) -> None:
        """Begin to count."""
        self.deadline = time.monotonic() + work.guard_s
        self.cut: list[str] = []
        self._say = say

    def late(self, what: str) -> bool:
        """Whether the time is over; then ``what`` is cut."""
        late = time.monotonic() > self.deadline
        if late:
            self.tell(what)
        return late

    def tell(self, what: str) -> None:
        """Note that ``what`` was cut."""
        if what not in self.cut:
            self.cut.append(what)
            self._say(f"CUT SHORT: {what}; the same seed may give another program elsewhere")
