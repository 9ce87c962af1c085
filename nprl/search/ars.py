"""Augmented random search: affine programs by differences of returns along random directions.

The search sees observations with their running mean and deviation taken off; in the program these
stand inside its constants, one for each observation and one more for each output. Where fewer are
allowed the means stay in, the program is linear, and small weights are left out. With a teacher the
searches begin where an affine imitation of it stands (a part of the work), else at 0. No setting of the
search suits all tasks, and luck is part of it: several searches begin, each with a setting of
`SETTINGS`, and after equal work the better half of them goes on.

Source: Mania, Guy, Recht, "Simple random search of static linear policies is competitive for
reinforcement learning", NeurIPS 2018, algorithm 2 (V2-t); Jamieson, Talwalkar, "Non-stochastic best
arm identification and hyperparameter optimization", AISTATS 2016 (successive halving).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nprl.distill.rollout import Floats, Rollouts, act_of, blank, with_terms
from nprl.lang.serial import term_from_json, to_json
from nprl.lang.terms import Term, Var
from nprl.program import Program
from nprl.search.begin import coefficients, imitated
from nprl.search.constants import ONE, decimal, hole, linear
from nprl.search.front import Front
from nprl.search.grammar import Grammar
from nprl.search.judge import judged
from nprl.search.learner import Progress, Source, task_of
from nprl.search.saved import Saved
from nprl.search.work import INTERRUPTED, Clock, Work

METHOD = "augmented random search"
EPISODES = 160
"""How many are played, about, between looks at how good the centre is."""
EACH = 300
"""Whole episodes that each search may play at least: for less work, fewer of them begin."""
DIGITS = 4
"""Significant digits of the constants."""
KEPT = 5
"""Programs that are judged in the end, and that each search remembers."""
FIRST = 40_000_000
"""Where the seeds of the search's own episodes begin."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How a search steps."""

    directions: int
    """Tried in each step, both ways."""
    top: int
    """Directions that count: those with the best returns."""
    step: float
    noise: float
    """Size of a step, and of the differences, for normalised observations and actions."""
    bare: bool = False
    """Whether what doing nothing earns in a step is taken off each reward: else a program that only
    lives long may look best. Returns that are reported are whole."""


SETTINGS = (
    Setting(8, 8, 0.05, 0.03),
    Setting(8, 8, 0.05, 0.03, bare=True),
    Setting(8, 4, 0.02, 0.03),
    Setting(8, 4, 0.02, 0.03, bare=True),
)


@dataclass(slots=True)
class _Normaliser:
    """Running mean and deviation of observations (d,)."""

    count: int
    mean: Floats
    square: Floats

    def add(self, observations: Floats) -> None:
        """Count these observations (n, d) in."""
        n = len(observations)
        total = self.count + n
        apart = observations.mean(axis=0) - self.mean
        self.square += ((observations - observations.mean(axis=0)) ** 2).sum(axis=0)
        self.square += apart**2 * self.count * n / total
        self.mean += apart * n / total
        self.count = total

    @property
    def deviation(self) -> Floats:
        """The standard deviation, 1 where there is none."""
        found = np.sqrt(self.square / max(1, self.count - 1))
        return np.where(found < 1e-6, 1.0, found)


class _Search:
    """One search with one setting, from the origin unless it is told to `start` elsewhere."""

    def __init__(
        self, tuning: Rollouts, grammar: Grammar, setting: Setting, seed: int, index: int
    ) -> None:
        self.setting, self._tuning, task = setting, tuning, tuning.task
        self._template = template = blank(task, grammar.scores)
        names = [i.name for i in template.inputs]
        self._variables = grammar.variables
        self._used = [names.index(v) for v in grammar.variables]
        self._features: list[Term] = [*map(Var, grammar.variables), ONE]
        bounds = [(-1.0, 1.0)] * len(template.output)  # the highest score is so in any unit
        if not template.scores:
            bounds = [(float(c.low), float(c.high)) for c in template.outputs]
        self._half = np.asarray([(high - low) / 2 for low, high in bounds])
        self._middle = np.asarray([(high + low) / 2 for low, high in bounds])
        shape = (len(self._half), len(self._used) + 1)
        rows = np.arange(shape[0] * shape[1]).reshape(shape)
        self._skeletons = [_sum(map(hole, row), self._features) for row in rows.tolist()]
        most = rows.size if grammar.max_constants is None else grammar.max_constants
        self._centred, self._most = rows.size <= most, most
        # where there is room for means, the last weights are of the number 1
        self._weights = np.zeros((shape[0], shape[1] - 1 + self._centred))
        self._kept = np.ones(self._weights.shape, dtype=np.bool_)
        self._normal = _Normaliser(0, np.zeros(len(names)), np.zeros(len(names)))
        self._rng = np.random.default_rng([seed, index])
        self._first = FIRST + 1_000_000 * seed
        self._number, self._played, self.spent = 0, EPISODES, 0
        self._idle: float | None = None
        self.best = -np.inf
        """The highest mean return on the tuning seeds so far."""
        self.until = 0.0
        """How many environment steps it may have played for now."""
        self.looks: list[tuple[float, Program]] = []
        """Mean return and program: the best few, those within the allowed constants first."""

    def to_json(self) -> dict[str, Any]:
        """Where it stands, as JSON data."""
        normal = self._normal
        return {
            "weights": self._weights.tolist(),
            "kept": self._kept.tolist(),
            "normal": [normal.count, normal.mean.tolist(), normal.square.tolist()],
            "rng": self._rng.bit_generator.state,
            "counts": [self._number, self._played, self.spent],
            "idle": self._idle,
            "best": self.best,
            "until": self.until,
            "looks": [[mean, [to_json(t) for t in p.output]] for mean, p in self.looks],
        }

    def go_on(self, state: dict[str, Any]) -> None:
        """Stand where `to_json` told."""
        count, mean, square = state["normal"]
        self._weights, self._kept = np.asarray(state["weights"]), np.asarray(state["kept"])
        self._normal = _Normaliser(count, np.asarray(mean), np.asarray(square))
        self._rng.bit_generator.state = state["rng"]
        self._number, self._played, self.spent = state["counts"]
        self._idle, self.best, self.until = state["idle"], state["best"], state["until"]
        self.looks = [
            (mean, with_terms(self._template, [term_from_json(t) for t in terms]))
            for mean, terms in state["looks"]
        ]

    def constants(self, weights: Floats) -> Floats:
        """Those of the programs with these weights (..., outputs, inputs): one more for each output."""
        d = len(self._used)
        scaled = self._half[:, None] * weights[..., :d] / self._normal.deviation[self._used]
        bias = self._middle - scaled @ self._mean + self._half * weights[..., d:].sum(axis=-1)
        return np.concatenate([scaled, bias[..., None]], axis=-1)

    @property
    def _mean(self) -> Floats:
        """What is taken off the observations."""
        return self._normal.mean[self._used] * self._centred

    def start(self, program: Program) -> None:
        """Stand where this affine program does, as far as its constants are allowed."""
        self.look()  # what doing nothing earns
        seen = self._tuning.run(act_of(program), record=True).observations
        assert seen is not None
        self._normal = _Normaliser(0, np.zeros(seen.shape[1]), np.zeros(seen.shape[1]))
        self._normal.add(seen)
        table = coefficients(program, self._variables)
        bias, slopes = table[:, 0], table[:, 1:]
        weights = slopes * self._normal.deviation[self._used] / self._half[:, None]
        height = (bias - self._middle + slopes @ self._mean) / self._half
        both = np.column_stack([weights, height])
        self._weights = both[:, : self._weights.shape[1]]
        if self._template.scores:  # only their order counts
            self._weights /= np.sqrt(np.mean(self._weights**2)) or 1.0

    def look(self) -> None:
        """Play the centre on the tuning seeds, and count in what it observes."""
        rows = [[decimal(v, DIGITS) for v in row] for row in self.constants(self._weights).tolist()]
        program = with_terms(self._template, [linear(row, self._features) for row in rows])
        played = self._tuning.run_many([program])[0]
        if self._idle is None:
            bare = self.setting.bare
            self._idle = float(played.returns.sum() / played.lengths.sum()) if bare else 0.0
        self.best = max(self.best, played.mean)
        looks = [*self.looks, (played.mean, program)]
        self.looks = sorted(looks, key=lambda e: (e[1].constants > self._most, -e[0]))[:KEPT]
        watched = self._tuning.seeded([self._first + self._number])
        seen = watched.run(act_of(program), record=True).observations
        assert seen is not None
        self._normal.add(seen)
        watched.close()
        self.spent += int(played.lengths.sum()) + watched.steps
        self._played = 0

    def step(self) -> None:
        """A step along the directions with the best returns, by the differences of their returns."""
        s = self.setting
        deltas = self._kept * self._rng.standard_normal((s.directions, *self._weights.shape))
        tried = self._weights + s.noise * np.stack([deltas, -deltas], axis=1)
        table = self.constants(tried).reshape(2 * s.directions, -1)
        assert self._idle is not None  # it has looked
        rollouts = self._tuning.seeded([self._first + self._number])
        whole, lengths = rollouts.settings(self._template, self._skeletons, table)
        returns = (whole - self._idle * lengths).mean(axis=1).reshape(-1, 2)
        top = np.argsort(-returns.max(axis=1), kind="stable")[: s.top]
        spread = returns[top].std()
        if spread > 0:
            gains = (returns[top, 0] - returns[top, 1])[:, None, None]
            self._weights = self._weights + s.step / (s.top * spread) * (gains * deltas[top]).sum(0)
        self._number += 1
        self._played += len(table)
        self.spent += rollouts.steps

    def prune(self, part: float) -> None:
        """Leave out the smallest weights, ``part`` of the way to the number that is allowed."""
        size = self._weights.size
        most = round(size * min(1.0, self._most / size) ** part)
        apart = np.sort(np.abs(self._weights[self._kept]))[-max(1, most)]
        self._kept &= np.abs(self._weights) >= apart
        self._weights = self._weights * self._kept

    def go(self, clock: Clock, save: Callable[[], None]) -> None:
        """Search for as long as it may."""
        if self.spent >= self.until:
            return
        while self.spent < self.until and not clock.late("the search"):
            if self._played >= EPISODES:
                self.look()
                save()
            self.step()
        self.look()


class _Halving:
    """Which searches go on, in which round."""

    def __init__(self, searches: Sequence[_Search], steps: int) -> None:
        """All of them, in the first of the rounds that share so many environment steps."""
        self._all, self.going = searches, list(searches)
        self.round, self.rounds = 0, max(2, len(searches).bit_length())
        self._each = steps / self.rounds
        self._grant()

    def _grant(self) -> None:
        for search in self.going:
            search.until = search.spent + self._each / len(self.going)

    def halve(self) -> None:
        """The better half goes on, with fewer weights if fewer are allowed."""
        self.round += 1
        self.going = sorted(self.going, key=lambda s: -s.best)[: max(1, len(self.going) // 2)]
        for search in self.going:
            search.prune(min(1.0, self.round / (self.rounds - 1)))
        self._grant()

    def to_json(self) -> dict[str, Any]:
        """Where all stand, as JSON data."""
        return {
            "round": self.round,
            "going": [self._all.index(s) for s in self.going],
            "searches": [s.to_json() for s in self._all],
        }

    def go_on(self, state: dict[str, Any]) -> None:
        """Stand where `to_json` told."""
        self.round, self.going = state["round"], [self._all[k] for k in state["going"]]
        for search, stood in zip(self._all, state["searches"], strict=True):
            search.go_on(stood)


def ars(
    source: Source,
    grammar: Grammar,
    work: Work,
    seed: int = 0,
    progress: Progress | None = None,
) -> Front:
    """The front of affine programs that the search meets, over the grammar's variables.

    Where the grammar has scores they have an affine term for each action.

    The same seed gives the same front, whatever ``work.jobs`` is, unless the clock cut it short.

    Raises:
        ValueError: for spaces that programs do not know (see `blank`), or what `Grammar.refuse` refuses.
    """
    grammar.refuse(METHOD, scores=True)
    task, say = task_of(source), progress or (lambda text: None)
    clock = Clock(work, say)
    tuning = Rollouts(task, work.tuning_seeds(seed), work.jobs)
    begun = max(1, min(len(SETTINGS), work.search_steps // (EACH * task.horizon)))
    all_of = [_Search(tuning, grammar, s, seed, k) for k, s in enumerate(SETTINGS[:begun])]
    saved = Saved.of(work, METHOD, task, grammar, seed)
    state = saved.load()
    halving, stands = _Halving(all_of, work.search_steps), state or {}

    def save() -> None:
        nonlocal stands
        stands = halving.to_json()
        saved.save(lambda: stands)

    try:
        if state is not None:
            halving.go_on(state)
        else:
            begun_at, left = imitated(source, grammar, work, seed, say)
            halving = _Halving(all_of, left.search_steps)
            if begun_at is not None:
                for search in all_of:
                    search.start(begun_at)
        stands = halving.to_json()
        while halving.round < halving.rounds:
            for search in halving.going:
                search.go(clock, save)
                say(f"{search.setting}, {search.spent} steps: {search.best:.5g}")
            halving.halve()
    except KeyboardInterrupt:
        if stands:
            saved.save(lambda: stands, now=True)  # as it was before the step that was cut
        clock.tell(INTERRUPTED)
    finally:
        tuning.close()
    looks = sorted((look for s in all_of for look in s.looks), key=lambda look: -look[0])
    programs, most = [p for _, p in looks], grammar.max_constants
    programs = [p for p in programs if most is None or p.constants <= most] or programs
    return judged(task, programs[:KEPT], METHOD, grammar, work, clock)


def _sum(constants: Iterable[Term], features: Sequence[Term]) -> Term:
    first, *others = (c * f for c, f in zip(constants, features, strict=True))
    return sum(others, first)
