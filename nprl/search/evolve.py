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

from nprl.distill.rollout import Floats, Rollouts, blank, with_terms
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
SCREENS = (2, 8)
"""Episodes that a child is screened on, before it plays all of them."""
PRICE = 10_000
"""Environment steps that one more structure counts as, besides those it plays."""
DIGITS = 5
"""Significant digits of constants while they are searched."""


@dataclass(frozen=True, slots=True)
class _Member:
    outputs: tuple[Term, ...]
    returns: Floats
    """Of the tuning episodes."""

    @property
    def mean(self) -> float:
        """The mean return."""
        return float(self.returns.mean())


class _Islands:
    """The best few programs of each size: one of each structure."""

    def __init__(self) -> None:
        self.by_size: dict[int, dict[tuple[Term, ...], _Member]] = {}

    def place(self, outputs: Sequence[Term]) -> dict[tuple[Term, ...], _Member]:
        return self.by_size.setdefault(sum(map(nodes, outputs)), {})

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
    screens = [Rollouts(task, tuning.seeds[:k], work.jobs) for k in SCREENS] + [tuning]
    islands, mutator = _Islands(), Mutator(grammar, rng)
    seen: set[tuple[Term, ...]] = set()
    born = 0
    try:
        for program in first:
            _try(program.output, template, screens, islands, rng, work)
        while sum(r.steps for r in screens) + born * PRICE < work.search_steps and not clock.late(
            "evolution"
        ):
            outputs = _child(islands, mutator, grammar, len(template.outputs), rng)
            outputs = tuple(simplify(t) for t in outputs)
            skeleton = lift(outputs)[0]
            if sum(map(nodes, outputs)) > grammar.max_nodes or (
                skeleton in seen and rng.random() < 0.9
            ):
                continue
            seen.add(skeleton)
            born += 1
            _try(outputs, template, screens, islands, rng, work)
            if born % 1000 == 0:
                best = max(islands.all(), key=lambda m: m.mean)
                say(
                    f"{born} structures, {sum(r.steps for r in screens)} steps: best {best.mean:.5g}"
                )
        found = _finish(islands, template, tuning, seed, work, clock, say)
    except KeyboardInterrupt:
        clock.tell("evolution, interrupted")
        found = [with_terms(template, m.outputs) for m in islands.all()]
    finally:
        for rollouts in screens:
            rollouts.close()
    return judged(task, found, METHOD, work, seed)


def _try(
    outputs: Sequence[Term],
    template: Program,
    screens: Sequence[Rollouts],
    islands: _Islands,
    rng: np.random.Generator,
    work: Work,
) -> None:
    """Constants tried on more and more episodes, as long as the child is worth it."""
    found = tuple(outputs)
    for screen in screens:
        found, mean = _best_constants(found, template, screen, rng, work.settings)
        if not islands.worth(found, mean, len(screen.seeds)):
            return
    played = screens[-1].run_many([with_terms(template, found)])[0]
    islands.add(_Member(found, played.returns))


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
