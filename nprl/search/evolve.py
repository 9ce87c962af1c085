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

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nprl.distill.rollout import Rollouts, blank, with_terms
from nprl.env.task import Task
from nprl.evaluate import ci95
from nprl.lang.terms import Term, nodes
from nprl.program import Program
from nprl.search.constants import decimal, lift, simplify
from nprl.search.front import Entry, Front
from nprl.search.grammar import Grammar
from nprl.search.mutate import Mutator, near
from nprl.search.tune import Returns, tune
from nprl.search.work import Clock, Work

METHOD = "evolution"
KEPT = 6
"""Programs of each size."""
FEW = 8
"""Episodes that a child is screened on."""
DIGITS = 5
"""Significant digits of constants while they are searched."""


@dataclass(frozen=True, slots=True)
class _Member:
    outputs: tuple[Term, ...]
    mean: float
    tries: int = 0


class _Islands:
    """The best few programs of each size: one of each structure."""

    def __init__(self) -> None:
        self.by_size: dict[int, dict[tuple[Term, ...], _Member]] = {}

    def place(self, outputs: Sequence[Term]) -> dict[tuple[Term, ...], _Member]:
        return self.by_size.setdefault(sum(map(nodes, outputs)), {})

    def worth(self, outputs: Sequence[Term], mean: float) -> bool:
        """Whether it is among the best of its size, and better than the best smaller one is bad."""
        members = self.place(outputs)
        skeleton = lift(outputs)[0]
        if skeleton in members:
            return mean > members[skeleton].mean
        return len(members) < KEPT or mean > min(m.mean for m in members.values())

    def add(self, member: _Member) -> None:
        members = self.place(member.outputs)
        members[lift(member.outputs)[0]] = member
        if len(members) > KEPT:
            worst = min(members, key=lambda s: (members[s].mean, str(s)))
            del members[worst]

    def all(self) -> list[_Member]:
        return [m for size in sorted(self.by_size) for m in self.by_size[size].values()]


def evolve(
    task: Task,
    grammar: Grammar,
    work: Work,
    seed: int = 0,
    first: Sequence[Program] = (),
    progress: Callable[[str], None] | None = None,
) -> Front:
    """The front that evolution finds in ``task``; ``first`` are programs to begin with.

    ``grammar.max_nodes`` limits whole programs, over all outputs. The same seed gives the same
    front, whatever ``work.jobs`` is, unless the clock cut it short (``work`` says so).

    Raises:
        ValueError: for spaces that programs do not know (see `blank`).
    """
    say = progress or (lambda text: None)
    rng = np.random.default_rng(seed)
    template, clock = blank(task), Clock(work, say)
    tuning = Rollouts(task, work.tuning_seeds(seed), work.jobs)
    few = Rollouts(task, tuning.seeds[:FEW], work.jobs)
    islands, mutator = _Islands(), Mutator(grammar, rng)
    spent = lambda: tuning.steps + few.steps  # noqa: E731
    seen: set[tuple[Term, ...]] = set()
    born = 0
    try:
        for program in first:
            _try(program.output, template, few, tuning, islands, rng, work)
        while spent() < work.search_steps and not clock.late("evolution"):
            outputs = _child(islands, mutator, grammar, len(template.outputs), rng)
            outputs = tuple(simplify(t) for t in outputs)
            skeleton = lift(outputs)[0]
            if sum(map(nodes, outputs)) > grammar.max_nodes or (
                skeleton in seen and rng.random() < 0.9
            ):
                continue
            seen.add(skeleton)
            born += 1
            _try(outputs, template, few, tuning, islands, rng, work)
            if born % 200 == 0:
                best = max(islands.all(), key=lambda m: m.mean)
                say(f"{born} structures, {spent()} steps: best {best.mean:.5g}")
        found = _finish(islands, template, tuning, seed, work, clock, say)
    except KeyboardInterrupt:
        clock.tell("evolution, interrupted")
        found = [with_terms(template, m.outputs) for m in islands.all()]
    finally:
        tuning.close()
        few.close()
    return judged(task, found, METHOD, work, seed)


def _try(
    outputs: Sequence[Term],
    template: Program,
    few: Rollouts,
    tuning: Rollouts,
    islands: _Islands,
    rng: np.random.Generator,
    work: Work,
) -> None:
    """Constants tried on a few episodes; what is worth it, on all of them."""
    found, mean = _best_constants(outputs, template, few, rng, work.settings)
    if not islands.worth(found, mean):
        return
    found, mean = _best_constants(found, template, tuning, rng, 2 * work.settings)
    if islands.worth(found, mean):
        islands.add(_Member(tuple(found), mean))


def _best_constants(
    outputs: Sequence[Term],
    template: Program,
    rollouts: Rollouts,
    rng: np.random.Generator,
    settings: int,
) -> tuple[tuple[Term, ...], float]:
    skeletons, values = lift(outputs)
    program = with_terms(template, outputs)
    if not values:
        return tuple(outputs), rollouts.run_many([program])[0].mean
    judge = Returns(program, skeletons, rollouts)
    table = near(values, settings, rng)
    means = judge.means(table)
    top = int(np.argmax(means))
    best = judge.program([decimal(v, DIGITS) for v in table[top].tolist()])
    return best.output, float(means[top])


def _child(
    islands: _Islands, mutator: Mutator, grammar: Grammar, outputs: int, rng: np.random.Generator
) -> tuple[Term, ...]:
    members = islands.all()
    if len(members) < 2 * KEPT or rng.random() < 0.05:
        each = max(1, grammar.max_nodes // outputs)
        return tuple(mutator.term(int(rng.integers(1, each + 1))) for _ in range(outputs))
    ranked = sorted(members, key=lambda m: -m.mean)
    parent = ranked[int(len(ranked) * rng.random() ** 2)]
    result = list(parent.outputs)
    for _ in range(1 + int(rng.random() < 0.3)):
        k = int(rng.integers(outputs))
        room = grammar.max_nodes - sum(nodes(t) for i, t in enumerate(result) if i != k)
        if rng.random() < 0.2:
            other = members[int(rng.integers(len(members)))]
            donor = other.outputs[int(rng.integers(outputs))]
            result[k] = mutator.crossed(result[k], donor, room)
        else:
            result[k] = mutator.mutated(result[k], room)
    return tuple(result)


def _finish(
    islands: _Islands,
    template: Program,
    tuning: Rollouts,
    seed: int,
    work: Work,
    clock: Clock,
    say: Callable[[str], None],
) -> list[Program]:
    """The best two of each size that no smaller one beats, tuned and shortened."""
    members = sorted(islands.all(), key=lambda m: (sum(map(nodes, m.outputs)), -m.mean))
    best, chosen = -np.inf, []
    for size in sorted(islands.by_size):
        some = [m for m in members if sum(map(nodes, m.outputs)) == size][:2]
        chosen += [m for m in some if m.mean > best]
        best = max([best, *(m.mean for m in some)])
    chosen.sort(key=lambda m: -m.mean)
    result = [with_terms(template, m.outputs) for m in members]
    limit = tuning.steps + work.tuning_steps
    for member in chosen:
        if tuning.steps > limit or clock.late("tuning"):
            break
        program = with_terms(template, member.outputs)
        tuned = tune(program, tuning, seed, work.evaluations, clock.deadline)
        say(f"tuned {tuned.program.nodes} nodes: {member.mean:.5g} -> {tuned.episodes.mean:.5g}")
        result.append(tuned.program)
    return result


def judged(
    task: Task, programs: Sequence[Program], method: str, work: Work, seed: int = 0
) -> Front:
    """The front of these programs on choosing seeds, which no search has seen."""
    rollouts = Rollouts(task, work.choosing_seeds(seed), work.jobs)
    different = list(dict.fromkeys(programs))
    try:
        played = rollouts.run_many(different) if different else []
    finally:
        rollouts.close()
    return Front(
        Entry(p, method, e.mean, ci95(e.returns), len(e.returns))
        for p, e in zip(different, played, strict=True)
    )
