"""Evolution of structure and constants on the return itself, the best few of each size.

Each size (in nodes) has a small population of its own, so that small programs do not have to beat
large ones. A child is a changed or crossed parent; its constants are tried at many settings near
the inherited ones in one batch, on a few episodes; one that gets into its population is refined
there by more. In the end the best of each size are tuned by CMA-ES on the tuning seeds, shortened,
and judged on other seeds.

Source: Videau et al., "Multi-objective genetic programming for explainable reinforcement learning",
EuroGP 2022; the populations by size are those of Mouret and Clune, "Illuminating search spaces by
mapping elites", 2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nprl.distill.rollout import Floats, Rollouts, blank, with_terms
from nprl.env.task import Task
from nprl.lang.terms import Term, nodes
from nprl.program import Program
from nprl.search.constants import decimal, lift, simplify
from nprl.search.front import Front
from nprl.search.grammar import Grammar
from nprl.search.judge import judged
from nprl.search.learner import Progress, Source, task_of
from nprl.search.mutate import Mutator, near
from nprl.search.tune import Returns, tune
from nprl.search.work import Clock, Work

METHOD = "evolution"
KEPT = 6
"""Programs of each size."""
SCREENS = (2, 8)
"""Episodes that a child is screened on, before it plays all of them."""
PRICE = 10_000
"""Environment steps that one more structure counts as, besides those it plays."""
DIGITS = 5
"""Significant digits of constants while they are searched."""
FRESH, TWICE, CROSSED = 0.05, 0.3, 0.2
"""How often a child is new, changed twice, or made of two parents."""


@dataclass(frozen=True, slots=True)
class _Member:
    outputs: tuple[Term, ...]
    returns: Floats
    """Of the tuning episodes."""

    @property
    def mean(self) -> float:
        """The mean return."""
        return float(self.returns.mean())


def _size(outputs: Sequence[Term]) -> int:
    return sum(map(nodes, outputs))


class _Islands:
    """The best few programs of each size: one of each structure."""

    def __init__(self) -> None:
        self.by_size: dict[int, dict[tuple[Term, ...], _Member]] = {}

    def place(self, outputs: Sequence[Term]) -> dict[tuple[Term, ...], _Member]:
        return self.by_size.setdefault(_size(outputs), {})

    def worth(self, outputs: Sequence[Term], mean: float, episodes: int) -> bool:
        """Whether with this mean, on the first so many, it is among the best of its size."""
        members = self.place(outputs)
        skeleton = lift(outputs)[0]
        old = [members[skeleton]] if skeleton in members else list(members.values())
        if len(old) < KEPT and skeleton not in members:
            return True
        return mean > min(float(m.returns[:episodes].mean()) for m in old)

    def add(self, member: _Member) -> None:
        members = self.place(member.outputs)
        skeleton = lift(member.outputs)[0]
        if skeleton in members and members[skeleton].mean >= member.mean:
            return
        members[skeleton] = member
        if len(members) > KEPT:
            worst = min(members, key=lambda s: (members[s].mean, str(s)))
            del members[worst]

    def all(self) -> list[_Member]:
        return [m for size in sorted(self.by_size) for m in self.by_size[size].values()]


def evolve(
    source: Source,
    grammar: Grammar,
    work: Work,
    seed: int = 0,
    progress: Progress | None = None,
) -> Front:
    """The front that evolution finds in the task of ``source``, whose teacher is not asked.

    ``grammar.max_nodes`` limits whole programs, over all outputs. The same seed gives the same
    front, whatever ``work.jobs`` is, unless the clock cut it short (``progress`` is told).
    Interrupted, it returns the front so far.

    Raises:
        ValueError: for spaces that programs do not know (see `blank`).
    """
    task, say = task_of(source), progress or (lambda text: None)
    clock = Clock(work, say)
    search = _Search(task, grammar, work, seed)
    try:
        while search.spent < work.search_steps and not clock.late("evolution"):
            search.step()
            if search.born % 1000 == 0:
                say(f"{search.born} structures, {search.spent} steps: best {search.best:.5g}")
        found = search.tuned(seed, clock, say)
    except KeyboardInterrupt:
        clock.tell("evolution, interrupted")
        found = search.programs
    finally:
        search.close()
    return judged(task, found, METHOD, work)


class _Search:
    """One evolution: its populations, the episodes they play, and the next child."""

    def __init__(self, task: Task, grammar: Grammar, work: Work, seed: int) -> None:
        self._template, self._work = blank(task, grammar.scores), work
        self._most = grammar.max_nodes - int(grammar.scores)
        self._rng = np.random.default_rng(seed)
        self._mutator = Mutator(grammar, self._rng)
        self._tuning = Rollouts(task, work.tuning_seeds(seed), work.jobs)
        few = [Rollouts(task, self._tuning.seeds[:k], work.jobs) for k in SCREENS]
        self._screens = [*few, self._tuning]
        self._islands = _Islands()
        self._seen: set[tuple[Term, ...]] = set()
        self.born = 0

    @property
    def spent(self) -> int:
        """The work done so far, in environment steps."""
        return sum(r.steps for r in self._screens) + self.born * PRICE

    @property
    def best(self) -> float:
        """The highest mean return so far."""
        return max((m.mean for m in self._islands.all()), default=-np.inf)

    @property
    def programs(self) -> list[Program]:
        """All populations, the smallest first."""
        return [with_terms(self._template, m.outputs) for m in self._islands.all()]

    def close(self) -> None:
        """Let go of the environments."""
        for rollouts in self._screens:
            rollouts.close()

    def step(self) -> None:
        """A child: its constants are tried on more and more episodes, as long as it is worth it."""
        found = tuple(simplify(t) for t in self._child())
        skeleton = lift(found)[0]
        self.born += 1
        if _size(found) > self._most:
            return
        if skeleton in self._seen and self._rng.random() < 0.9:
            return
        self._seen.add(skeleton)
        for screen in self._screens:
            found, mean = self._best_constants(found, screen)
            if not self._islands.worth(found, mean, len(screen.seeds)):
                return
        played = self._tuning.run_many([with_terms(self._template, found)])[0]
        self._islands.add(_Member(found, played.returns))

    def tuned(self, seed: int, clock: Clock, say: Progress) -> list[Program]:
        """All populations, and the best two of each size, if no smaller is better, tuned by CMA-ES."""
        best, chosen = -np.inf, []
        for size in sorted(self._islands.by_size):
            members = self._islands.by_size[size].values()
            some = sorted(members, key=lambda m: -m.mean)[:2]
            chosen += [m for m in some if m.mean > best]
            best = max([best, *(m.mean for m in some)])
        result = self.programs
        limit = self._tuning.steps + self._work.tuning_steps
        for member in sorted(chosen, key=lambda m: -m.mean):
            if self._tuning.steps > limit or clock.late("tuning"):
                break
            program = with_terms(self._template, member.outputs)
            found = tune(program, self._tuning, seed, self._work.evaluations, clock.deadline)
            say(
                f"tuned {found.program.nodes} nodes: {member.mean:.5g} -> {found.episodes.mean:.5g}"
            )
            result.append(found.program)
        return result

    def _child(self) -> list[Term]:
        rng, outputs = self._rng, len(self._template.output)
        members = self._islands.all()
        if len(members) < 2 * KEPT or rng.random() < FRESH:
            each = max(1, self._most // outputs)
            return [self._mutator.term(int(rng.integers(1, each + 1))) for _ in range(outputs)]
        result = list(self._parent(members).outputs)
        for _ in range(1 + int(rng.random() < TWICE)):
            k = int(rng.integers(outputs))
            room = self._most - _size(result[:k]) - _size(result[k + 1 :])
            if rng.random() < CROSSED:
                donor = members[int(rng.integers(len(members)))].outputs
                result[k] = self._mutator.crossed(
                    result[k], donor[int(rng.integers(outputs))], room
                )
            else:
                result[k] = self._mutator.mutated(result[k], room)
        return result

    def _parent(self, members: list[_Member]) -> _Member:
        """A good one of all sizes, or anyone of any size."""
        if self._rng.random() < 0.3:
            return members[int(self._rng.integers(len(members)))]
        ranked = sorted(members, key=lambda m: -m.mean)
        return ranked[int(len(ranked) * self._rng.random() ** 2)]

    def _best_constants(
        self, outputs: tuple[Term, ...], rollouts: Rollouts
    ) -> tuple[tuple[Term, ...], float]:
        skeletons, values = lift(outputs)
        program = with_terms(self._template, outputs)
        if not values:
            return outputs, rollouts.run_many([program])[0].mean
        judge = Returns(program, skeletons, rollouts)
        table = near(values, self._work.settings, self._rng)
        means = judge.means(table)
        top = int(np.argmax(means))
        best = judge.program([decimal(v, DIGITS) for v in table[top].tolist()])
        return best.output, float(means[top])
