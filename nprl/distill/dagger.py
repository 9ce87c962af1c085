"""DAgger: the student drives, the teacher says what it would have done, the student learns it.

In round 0 the teacher drives; after that the student alone does (beta = 0: mixing was measured to
hurt). Return is not monotone in the rounds, so the student that is kept is the one that does best
in rollouts on separate seeds.

Source: Ross, Gordon, Bagnell, "A reduction of imitation learning and structured prediction to
no-regret online learning", AISTATS 2011, algorithm 3.1.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nprl.distill.dataset import Dataset, imitation_loss
from nprl.distill.rollout import Act, Policy, Rollouts, act_of, blank, units_of
from nprl.env.task import Task
from nprl.program import Program

Student = Callable[[Program, Dataset], Program]
"""From the blank program and the data to a fitted program."""
ROWS = 20_000
"""Observations labelled in a round; more are thinned out."""


@dataclass(frozen=True, slots=True)
class Round:
    """One round: its student, with its mean return on selection seeds and its imitation loss."""

    program: Program
    selection_return: float
    loss: float


@dataclass(frozen=True, slots=True)
class Distilled:
    """All rounds, and all data; ``best`` is the number of the kept round."""

    rounds: tuple[Round, ...]
    best: int
    data: Dataset

    @property
    def program(self) -> Program:
        """The kept student."""
        return self.rounds[self.best].program


@runtime_checkable
class Weighing(Protocol):
    """A teacher that says how much it matters that it is obeyed."""

    def weights(self, observations: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """A number for each observation, not negative; None for all alike."""
        ...


def label(program: Program, teacher: Policy, observations: NDArray[np.float64]) -> Dataset:
    """The teacher's actions at these observations, in the units of ``program``, weighed if it can.

    Weights are scaled to a mean of 1.
    """
    actions = act_of(teacher)(observations)
    weights = teacher.weights(observations) if isinstance(teacher, Weighing) else None
    if weights is not None:
        mean = float(weights.mean())
        weights = weights / mean if mean > 0 else None
    return Dataset(observations, units_of(program, actions), weights)


def dagger(
    task: Task,
    teacher: Policy,
    student: Student,
    rounds: int = 5,
    episodes: int = 32,
    seed: int = 0,
    selection_seeds: Sequence[int] = tuple(range(500_000, 500_064)),
    progress: Callable[[str], None] | None = None,
    deadline: float | None = None,
    data: Dataset | None = None,
    template: Program | None = None,
    jobs: int = 1,
) -> Distilled:
    """Fit ``student`` in ``rounds`` rounds of ``episodes`` episodes each, and keep the best one.

    No round begins after ``deadline``, a value of ``time.monotonic()``, but the first. ``data`` is
    what is known before; ``template`` is what students are like (see `blank`); ``jobs`` processes
    judge them.

    Raises:
        ValueError: for no round.
    """
    if rounds < 1:
        raise ValueError(f"one round or more are needed; got {rounds}")
    program = blank(task) if template is None else template
    judge = Rollouts(task, selection_seeds, jobs)
    rng = np.random.default_rng(seed)
    driver: Act = act_of(teacher)
    done: list[Round] = []
    try:
        for number in range(rounds):
            if done and deadline is not None and time.monotonic() > deadline:
                break
            starts = rng.integers(2_000_000, 2**31 - 1, episodes).tolist()
            played = Rollouts(task, starts)
            try:
                seen = played.run(driver, record=True).observations
            finally:
                played.close()
            assert seen is not None
            if len(seen) > ROWS:
                seen = seen[np.sort(rng.choice(len(seen), ROWS, replace=False))]
            new = label(program, teacher, seen)
            data = new if data is None else data.plus(new)
            fitted = student(program, data)
            result = judge.run_many([fitted])[0].mean
            done.append(Round(fitted, result, imitation_loss(fitted, data)))
            driver = act_of(fitted)
            if progress is not None:
                progress(f"DAgger round {number}: return {result:.5g}, loss {done[-1].loss:.3g}")
    finally:
        judge.close()
    assert data is not None
    best = max(range(len(done)), key=lambda k: (done[k].selection_return, -k))
    return Distilled(tuple(done), best, data)
