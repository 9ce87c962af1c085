"""Constants tuned on the return itself, and then shortened to the decimals that the program is.

CMA-ES proposes constants; every candidate of a generation plays the same episodes (common random
numbers), as few as tell them apart, and with a model a whole population is one batch. Each constant
is searched in units of its own size.
Shortening accepts what loses no more than noise: a tenth of the standard error of the mean return
on the selection seeds.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from nprl.distill.rollout import Episodes, Floats, Rollouts, with_terms
from nprl.lang.terms import Term
from nprl.program import Program
from nprl.search.constants import (
    decimal,
    fill,
    lift,
    shortest_decimals,
    simplify,
)

NOISE = 0.1
"""A loss of return is noise up to this part of the standard error of the mean."""
FLAT = 0.01
"""The search ends when its last generations differ by less than this part of that error."""
LEVEL = 1e-5
"""It ends too when a generation differs by less than this part of its best."""
SMALLEST = 0.05
"""The size of a constant that is 0, for the search."""
LOOK = 10
"""In one generation of so many all episodes are played: it tells how many the next ones need."""
RELIABLE = 0.8
"""The part of the variance between the mean returns of a generation that is no luck, at least."""


Lifted = tuple[tuple[Term, ...], tuple[Fraction, ...]]
"""Skeletons, and the numbers of their holes."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """The program with its new constants, its episodes, and how many candidates were played."""

    program: Program
    episodes: Episodes
    evaluations: int
    constants: tuple[Fraction, ...] = ()
    """The numbers that were found for the holes."""
    finished: bool = True
    """Whether the search ended before the deadline."""


class Returns:
    """The episodes of one skeleton's programs, for many settings of its constants at once."""

    def __init__(self, program: Program, skeletons: Sequence[Term], rollouts: Rollouts) -> None:
        """The skeletons of the terms of ``program``, constants as holes ``c:0``, ``c:1``, ...."""
        self._program, self._skeletons, self._rollouts = program, tuple(skeletons), rollouts
        self._few = rollouts
        self._told: Floats | None = None
        self.evaluations = 0

    def means(self, constants: Floats) -> Floats:
        """The mean return (s,) for each row of ``constants`` (s, count)."""
        self.evaluations += len(constants)
        self._told, _ = self._rollouts.settings(self._program, self._skeletons, constants)
        return np.asarray(self._told.mean(axis=1))

    def need_all(self) -> bool:
        """Whether it takes all episodes to tell the rows of the last `means` apart."""
        if self._told is not None:
            count = enough(self._told)
            self._told, seeds = None, self._rollouts.seeds
            if count == len(seeds):
                self._few = self._rollouts
            elif count != len(self._few.seeds):
                self._few = self._rollouts.seeded(seeds[:count])
        return self._few is self._rollouts

    def few_means(self, constants: Floats) -> Floats:
        """`means` over the first episodes only, as many as it takes where not `need_all`."""
        self.evaluations += len(constants)
        before = self._few.steps
        played, _ = self._few.settings(self._program, self._skeletons, constants)
        self._rollouts.steps += self._few.steps - before
        return np.asarray(played.mean(axis=1))

    @property
    def steps(self) -> int:
        """The environment steps of these rollouts so far."""
        return self._rollouts.steps

    def program(self, constants: Sequence[Fraction]) -> Program:
        """The program with these constants."""
        return with_terms(self._program, [simplify(fill(t, constants)) for t in self._skeletons])


def enough(returns: Floats) -> int:
    """How many of the episodes of these returns (s, n) rank the s programs as reliably as is needed.

    What an episode is worth to all of them alike is no luck of one of them, and does not count.
    """
    programs, episodes = len(returns), len(returns[0])
    if programs < 2 or episodes < 2:
        return episodes
    apart = returns - returns.mean(axis=0)
    means = apart.mean(axis=1)
    luck = float(((apart - means[:, None]) ** 2).sum()) / ((programs - 1) * (episodes - 1))
    merit = float(means.var(ddof=1)) - luck / episodes
    if not merit > 0:
        return episodes
    return max(1, math.ceil(min(episodes, RELIABLE / (1 - RELIABLE) * luck / merit)))


def tune(
    program: Program,
    rollouts: Rollouts,
    seed: int = 0,
    evaluations: int = 400,
    deadline: float | None = None,
    spread: float = 0.3,
    shorten: bool = True,
    lifted: Lifted | None = None,
) -> Tuned:
    """``program`` with the constants that CMA-ES finds best on these rollouts, as short decimals.

    ``deadline`` is a value of ``time.monotonic()``; when it has passed, the best so far is taken. A
    program without constants comes back as it is. ``lifted`` are the skeletons of its terms and
    its constants, where not all of its numbers are to be tuned.
    """
    skeletons, values = lifted or lift(program.terms)
    first = np.asarray([float(v) for v in values])
    judge = Returns(program, skeletons, rollouts)
    if len(values) == 0:
        return Tuned(program, rollouts.run_many([program])[0], 1)
    best, best_mean = first, float(judge.means(first[None])[0])
    scale = np.where(first == 0, SMALLEST, np.abs(first))
    error = rollouts.run_many([program])[0].error
    z, mean = search_constants(
        judge, first, scale, seed, evaluations, deadline, spread, FLAT * error
    )
    if mean > best_mean:
        best = first + scale * z
    found: Sequence[Fraction] = [decimal(v, 6) for v in best]
    if shorten:
        found = _shortened(judge, best, rollouts)
    chosen, late = judge.program(found), _late(deadline)
    played = rollouts.run_many([chosen])[0]
    return Tuned(chosen, played, judge.evaluations, tuple(found), not late)


def shorten(program: Program, rollouts: Rollouts) -> Program:
    """``program`` with the shortest decimals, also 0, 1 and -1, that lose no return beyond noise.

    What is multiplied by 0 or by 1 disappears from the text.
    """
    skeletons, values = lift(program.terms)
    if not values:
        return program
    judge = Returns(program, skeletons, rollouts)
    return judge.program(_shortened(judge, np.asarray([float(v) for v in values]), rollouts))


def _shortened(judge: Returns, best: Floats, rollouts: Rollouts) -> Sequence[Fraction]:
    exact = judge.program([decimal(v, 9) for v in best])
    played = rollouts.run_many([exact])[0]
    limit = -played.mean + NOISE * played.error

    def losses(trials: Sequence[tuple[Fraction, ...]]) -> list[float]:
        some = np.asarray([[float(v) for v in t] for t in trials])
        return [-float(v) for v in judge.means(some)]

    return shortest_decimals(best.tolist(), losses, limit, at_once=rollouts.batched)


def search_constants(
    judge: Returns,
    first: Floats,
    scale: Floats,
    seed: int,
    evaluations: int,
    deadline: float | None,
    spread: float,
    flat: float,
    steps: float = np.inf,
) -> tuple[Floats, float]:
    """The best of CMA-ES, relative to ``first`` in units of ``scale``, and its mean return.

    It ends when its generations differ by less than ``flat``, at ``deadline``, or when ``judge``
    has played so many environment ``steps``. What is best is what did best on all episodes.
    """
    best, best_mean = np.zeros(len(first)), -np.inf

    def keep(asked: Sequence[Floats], means: Floats) -> None:
        nonlocal best, best_mean
        top = int(np.argmax(means))
        if means[top] > best_mean:
            best, best_mean = asked[top], float(means[top])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cma warns of one dimension, of missing plots and the like
        import cma

        # cma takes seed 0 for the clock
        options: dict[str, float] = {"seed": seed % (2**31 - 2) + 1, "verbose": -9}
        options |= {"maxfevals": evaluations, "tolfun": max(flat, 1e-9), "tolx": 1e-3}
        strategy = cma.CMAEvolutionStrategy(np.zeros(len(first)), spread, options)
        until = judge.steps + steps
        asked, whole, turn = [np.zeros(len(first))], True, 0
        while not strategy.stop() and not _late(deadline) and judge.steps < until:
            asked = [np.asarray(z) for z in strategy.ask()]
            table, whole = first + scale * np.stack(asked), turn % LOOK == 0 or judge.need_all()
            means = judge.means(table) if whole else judge.few_means(table)
            strategy.tell(asked, (-means).tolist())
            if whole:
                keep(asked, means)
            if np.ptp(means) <= LEVEL * float(np.abs(means).max()):
                break
            turn += 1
        if not whole:
            asked = [np.asarray(strategy.result.xfavorite), asked[int(np.argmax(means))]]
            keep(asked, judge.means(first + scale * np.stack(asked)))
    return best, best_mean


def _late(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() > deadline
