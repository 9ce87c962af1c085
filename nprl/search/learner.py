"""One interface of all that learns programs: ``learner(source, grammar, work, seed) -> Front``.

The source is a task, which is learned from the return alone, or a task with somebody to learn it
from: a teacher that answers anywhere, or demonstrations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from nprl.distill.dataset import Dataset
from nprl.env.policy import Policy
from nprl.env.task import Task
from nprl.search.front import Front
from nprl.search.grammar import Grammar
from nprl.search.work import Work

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Taught:
    """A task, and what is known of how to do it.

    Raises:
        ValueError: without a teacher and without data.
    """

    task: Task
    teacher: Policy | None = None
    """Answers observations of any state."""
    data: Dataset | None = None
    """What somebody did, in the units of the task's outputs; asked first, if there is a teacher."""

    def __post_init__(self) -> None:
        """Refuse what teaches nothing."""
        if self.teacher is None and self.data is None:
            raise ValueError("a teacher or demonstrations are needed; got neither")


Source = Task | Taught


def task_of(source: Source) -> Task:
    """The task of a source."""
    return source.task if isinstance(source, Taught) else source


def taught(source: Source, method: str) -> Taught:
    """The source of a method that imitates.

    Raises:
        ValueError: for a task alone.
    """
    if not isinstance(source, Taught):
        raise ValueError(f"{method} learns from a teacher or from demonstrations; give one")
    return source


class Learner(Protocol):
    """What finds programs; the same seed finds the same ones, unless the clock cut it short."""

    def __call__(
        self,
        source: Source,
        grammar: Grammar,
        work: Work,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Front:
        """The front of the programs found; interrupted, of those found so far.

        Raises:
            ValueError: for a source without what it learns from, or spaces that programs do not
                know (see `nprl.distill.rollout.blank`).
        """
