"""From a teacher to programs: gather its answers, fit them, play what was fitted, tune, judge.

1. DAgger gathers the teacher's answers where a fitted student goes; without a teacher there are the
demonstrations. 2. Fitters make programs of many sizes. 3. The nearest few of each size play the
tuning seeds. 4. The best of each number of constants are tuned by CMA-ES and shortened. 5. All that
were tuned play the choosing seeds. `nprl.distill.learn` is the pipeline's choice on top of it, and
`Imitation` a learner for one kind of program.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nprl.distill.budget import Budget
from nprl.distill.dagger import Distilled, Student, dagger
from nprl.distill.dataset import Dataset, imitation_loss
from nprl.distill.fitter import Fitter, obeys
from nprl.distill.rollout import Episodes, Rollouts
from nprl.program import Program
from nprl.search.front import Entry, Front
from nprl.search.grammar import Grammar
from nprl.search.learner import Progress, Taught
from nprl.search.tune import tune
from nprl.search.work import Clock

AT_ONCE = 16
"""Programs that are played in one batch."""
LEAST = 8
"""CMA-ES is not begun with fewer evaluations."""
BY_DAGGER = "dagger"
"""The origin of the students."""


@dataclass(frozen=True, slots=True)
class Played:
    """A program, where it comes from, and what it returned."""

    program: Program
    origin: str
    episodes: Episodes


class Imitating:
    """One run of it; what each stage found is kept, so that an interruption loses little."""

    def __init__(
        self,
        source: Taught,
        template: Program,
        grammar: Grammar,
        budget: Budget,
        tuning: Rollouts,
        seed: int,
        clock: Clock,
        say: Progress,
        refining: Rollouts | None = None,
    ) -> None:
        """Begin; ``template`` is what programs are like, and ``tuning`` the seeds they play.

        Constants are tuned on ``refining``, if that is given.
        """
        self._source, self._template, self._grammar = source, template, grammar
        self._budget, self._tuning, self._seed = budget, tuning, seed
        self._clock, self._say = clock, say
        self._refining = tuning if refining is None else refining
        self.distilled: Distilled | None = None
        self.data: Dataset | None = source.data
        self.pool: dict[Program, str] = {}
        """All programs, with their origins."""
        self.played: list[Played] = []
        """What played, the best first."""
        self.tuned: list[tuple[Program, str]] = []
        """The best that played, and what was tuned."""

    @property
    def sample(self) -> Dataset:
        """The rows that fits see."""
        assert self.data is not None
        return self.data.sample(2 * self._budget.rows, self._seed)

    def gather(self, student: Student, jobs: int = 1) -> None:
        """The data: DAgger's, with its students, or the demonstrations alone."""
        teacher, budget = self._source.teacher, self._budget
        if teacher is None:
            return
        self.distilled = found = dagger(
            self._source.task,
            teacher,
            student,
            rounds=budget.rounds,
            episodes=budget.episodes,
            seed=self._seed,
            selection_seeds=self._tuning.seeds[:64],
            progress=self._say,
            deadline=self._clock.deadline,
            data=self._source.data,
            template=self._template,
            jobs=jobs,
        )
        if len(found.rounds) < budget.rounds:
            self._clock.tell("DAgger")
        self.data = found.data
        self._add([found.program], BY_DAGGER)

    def fit(self, fitters: Mapping[str, Fitter]) -> None:
        """Programs of every kind."""
        some = self.sample
        for kind, fitter in fitters.items():
            deadline = self._clock.deadline
            found = fitter(self._template, some, self._grammar, self._seed, deadline)
            self._add(found, kind)
        self._clock.late("the fits")
        self._say(f"{len(self.pool)} programs fitted")

    def _add(self, programs: list[Program], origin: str) -> None:
        for program in programs:
            if obeys(self._grammar, program):
                self.pool.setdefault(program, origin)

    @property
    def best(self) -> list[Program]:
        """What was tuned, and what played and is better than all that is smaller."""
        some = [Entry(p.program, p.origin, p.episodes.mean, (0.0, 0.0), 0) for p in self.played]
        return [p for p, _ in self.tuned] + [e.program for e in Front(some)]

    def play(self) -> list[Played]:
        """The nearest programs of each number of constants, and DAgger's, played; the best first."""
        budget, data, pool = self._budget, self.sample, self.pool
        losses = {p: imitation_loss(p, data) for p in pool}
        ranked = sorted(pool, key=lambda p: (losses[p], p.nodes, str(p)))
        counts: dict[int, int] = {}
        places: dict[Program, int] = {}
        for program in ranked:
            k = counts.get(program.constants, 0)
            if k < budget.played or pool[program] == BY_DAGGER:
                counts[program.constants] = k + 1
                places[program] = -1 if pool[program] == BY_DAGGER else k
        order = sorted(places, key=lambda p: (places[p], p.constants, losses[p], str(p)))
        order = order[: budget.most_played]
        result: list[Played] = []
        step = AT_ONCE if self._tuning.batched else 1
        for at in range(0, len(order), step):
            if result and self._clock.late("playing what was fitted"):
                break
            some = order[at : at + step]
            episodes = self._tuning.run_many(some)
            result += [Played(p, pool[p], e) for p, e in zip(some, episodes, strict=True)]
        result.sort(key=lambda r: (-r.episodes.mean, r.program.constants, _order(r.program)))
        self.played, self.tuned = result, [(r.program, r.origin) for r in result[:1]]
        return result

    def tune(self, played: list[Played]) -> None:
        """The best program as it is; then tuned ones, two of each number of constants.

        Affine forms come first: what they return before tuning says least of what they can.
        """
        counts: dict[tuple[int, bool], int] = {}
        chosen = []
        for entry in played:
            key = (entry.program.constants, entry.origin == "affine")
            counts[key] = counts.get(key, 0) + 1
            if counts[key] <= 2:
                chosen.append(entry)
        chosen.sort(key=lambda r: r.origin not in ("affine", BY_DAGGER))
        left, budget = self._budget.steps, self._budget
        for number, entry in enumerate(chosen[: budget.tuned]):
            share = 0.3 if number else 0.6
            cost = int(entry.episodes.lengths.mean() * len(self._refining.seeds))
            most = budget.evaluations * max(1, -(-entry.program.constants // 4))
            evaluations = min(most, int(share * left / cost))
            if evaluations < LEAST or self._clock.late("tuning"):
                break
            before = self._refining.steps
            deadline = self._clock.deadline
            found = tune(entry.program, self._refining, self._seed, evaluations, deadline)
            left -= self._refining.steps - before
            if not found.finished:
                self._clock.tell("tuning")
            self._say(
                f"tuned {entry.origin}: {entry.episodes.mean:.5g} -> {found.episodes.mean:.5g}, "
                f"{found.program.constants} constants"
            )
            if obeys(self._grammar, found.program):
                self.tuned.append((found.program, entry.origin))


def nearest(fitter: Fitter, grammar: Grammar, otherwise: Student, rows: int) -> Student:
    """DAgger's student: of what ``fitter`` finds on so many rows, what imitates best."""

    def student(template: Program, data: Dataset) -> Program:
        some = data.sample(rows, 0)
        found = fitter(template, some, grammar)
        if not found:
            return otherwise(template, data)
        return min(found, key=lambda p: (imitation_loss(p, some), _order(p)))

    return student


def _order(program: Program) -> tuple[int, str]:
    return program.nodes, str(program)
