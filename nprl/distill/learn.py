"""From a teacher to a program: fits and enumeration compete, constants are tuned, returns decide.

1. DAgger gathers the teacher's answers where a fitted student goes. 2. Affine and cubic forms,
trees with affine leaves and enumerated terms are fitted to them. 3. The nearest few of each size
play the tuning seeds. 4. The best of each number of constants are tuned by CMA-ES and shortened. 5.
All that were tuned play the other selection seeds, and the smallest within noise of the best is
chosen. The report's seeds are nobody's business here.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from nprl.distill.affine import Fit, fit_affine
from nprl.distill.budget import Budget, Guard, Progress
from nprl.distill.dagger import Distilled, dagger
from nprl.distill.dataset import Dataset, imitation_loss
from nprl.distill.rollout import Episodes, Policy, Rollouts, blank, with_terms
from nprl.distill.tree import fit_tree
from nprl.env.task import Task
from nprl.evaluate import ci95
from nprl.lang.terms import constants
from nprl.program import Program
from nprl.search.enumerate import Enumeration, enumerate_terms
from nprl.search.front import Entry, Front
from nprl.search.grammar import Grammar
from nprl.search.tune import NOISE, tune

FIRST_SEED = 500_000
STUDENT_ROWS = 6000
"""Observations that DAgger's student is fitted to."""
AT_ONCE = 16
"""Programs that are played in one batch."""
LEAST = 8
"""CMA-ES is not begun with fewer evaluations."""
MOST_CUBIC = 4
"""Up to this many inputs, cubic forms are fitted too."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A program, where it comes from, its imitation loss, and its return on selection seeds."""

    program: Program
    origin: str
    loss: float
    selection_return: float
    error: float
    """The standard error of ``selection_return``."""

    @property
    def nodes(self) -> int:
        """The program's size."""
        return self.program.nodes

    @property
    def constants(self) -> int:
        """The program's number of constants."""
        return self.program.constants


@dataclass(frozen=True, slots=True)
class Learned:
    """The chosen program and what it was chosen from.

    ``candidates`` were all tuned, and are sorted by size; the ``front`` is theirs.
    """

    best: Candidate
    candidates: tuple[Candidate, ...]
    front: Front
    distilled: Distilled
    enumeration: Enumeration | None
    tried: int
    """How many different programs were fitted."""
    cut: tuple[str, ...]
    """What the clock cut short; where it is empty the same seed gives the same program."""
    wall_s: float

    @property
    def program(self) -> Program:
        """The chosen program."""
        return self.best.program


def learn_program(
    task: Task,
    teacher: Policy,
    budget: Budget | None = None,
    seed: int = 0,
    selection_seeds: Sequence[int] | None = None,
    max_nodes: int | None = None,
    max_constants: int | None = None,
    progress: Progress | None = None,
) -> Learned:
    """The program that does best in ``task``, learned from ``teacher`` with this much work.

    ``selection_seeds`` (four or more; else as many as the budget says, from `FIRST_SEED`) are split:
    the first half tunes, the second chooses. ``max_nodes`` takes the place of the budget's ``nodes``;
    ``max_constants`` limits all programs (with 0, constants may still come from nowhere).

    Raises:
        ValueError: for fewer than four selection seeds, or spaces that programs do not know (see
            `blank`).
    """
    began = time.monotonic()
    budget = budget or Budget.of(task.model is not None)
    if selection_seeds is None:
        selection_seeds = range(FIRST_SEED, FIRST_SEED + budget.seeds)
    seeds = [int(s) for s in selection_seeds]
    if len(seeds) < 4:
        raise ValueError(f"four selection seeds or more are needed; got {len(seeds)}")
    say = progress or (lambda text: None)
    template = blank(task)
    most = budget.nodes if max_nodes is None else max_nodes
    guard = Guard(budget.guard_s, say)
    tuning, choosing = (
        Rollouts(task, seeds[: len(seeds) // 2]),
        Rollouts(task, seeds[len(seeds) // 2 :]),
    )
    try:
        distilled = dagger(
            task,
            teacher,
            fit_student,
            rounds=budget.rounds,
            episodes=budget.episodes,
            seed=seed,
            selection_seeds=tuning.seeds[:64],
            progress=say,
            deadline=guard.deadline,
        )
        if len(distilled.rounds) < budget.rounds:
            guard.tell("DAgger")
        data = distilled.data
        some = data.sample(budget.rows, seed)
        fits = fitted(template, data, seed, 2 * budget.rows, budget.leaves)
        enumeration = None
        if most > 0 and not guard.late("the enumeration"):
            enumeration = enumerate_terms(
                Grammar(tuple(i.name for i in template.inputs), max_nodes=most),
                some.observations,
                some.targets(template),
                seed,
                budget.enumeration,
                guard.deadline,
                say,
            )
            if not enumeration.finished:
                guard.tell("the enumeration")
            fits["search"] = [
                [Fit(f.term, f.loss, ()) for f in found] for found in enumeration.found
            ]
        pool = {distilled.program: "dagger"} | _programs(template, fits)
        if max_constants is not None:
            pool = {p: o for p, o in pool.items() if p.constants <= max_constants} or pool
        say(f"{len(pool)} programs fitted")
        played = _play(pool, some, tuning, guard, budget)
        tuned = _tune(played, tuning, seed, guard, budget, max_constants, say)
        candidates, results = _judge(tuned, some, choosing, guard)
    finally:
        tuning.close()
        choosing.close()
    best = _choose(candidates, results)
    say(
        f"chosen from {best.origin}: return {best.selection_return:.5g}, {best.constants} constants"
    )
    order = sorted(
        candidates, key=lambda c: (c.constants, c.nodes, -c.selection_return, str(c.program))
    )
    wall = time.monotonic() - began
    front = Front(
        Entry(c.program, c.origin, c.selection_return, ci95(e.returns), len(e.returns))
        for c, e in zip(candidates, results, strict=True)
    )
    cut = tuple(guard.cut)
    return Learned(best, tuple(order), front, distilled, enumeration, len(pool), cut, wall)


def fit_student(template: Program, data: Dataset) -> Program:
    """DAgger's student: each output's affine form, or a tree of three leaves if much nearer."""
    names = [i.name for i in template.inputs]
    some = data.sample(STUDENT_ROWS, 0)
    terms = []
    for goal in some.targets(template):
        best = fit_affine(names, some.observations, goal, sizes=[len(names) + 1])[0]
        if best.loss > 0.01:
            tree = fit_tree(names, some.observations, goal, 3)[0]
            best = tree if tree.loss < 0.8 * best.loss else best
        terms.append(best.term)
    return with_terms(template, terms)


def fitted(
    template: Program, data: Dataset, seed: int = 0, rows: int = 6000, leaves: int = 4
) -> dict[str, list[list[Fit]]]:
    """All fits to so many rows of the data, trees of two leaves and more, by kind and output."""
    names = [i.name for i in template.inputs]
    some = data.sample(rows, seed)
    goals, x = some.targets(template), some.observations
    result: dict[str, list[list[Fit]]] = {"affine": [fit_affine(names, x, g) for g in goals]}
    if len(names) <= MOST_CUBIC:
        result["cubic"] = [fit_affine(names, x, g, 3, range(1, 11)) for g in goals]
    for k in range(2, leaves + 1):
        result[f"tree of {k}"] = [fit_tree(names, x, g, k, seed) for g in goals]
    return result


def _programs(template: Program, fits: dict[str, list[list[Fit]]]) -> dict[Program, str]:
    """Programs from fits, the first origin of equals; outputs join at one price of a constant."""
    result: dict[Program, str] = {}
    for kind, per_output in fits.items():
        if len(per_output) == 1:
            joined: Iterable[Sequence[Fit]] = ([f] for f in per_output[0])
        else:
            sized = [[(f, constants(f.term)) for f in some] for some in per_output]
            joined = [
                [min(some, key=lambda f: f[0].loss + price * f[1])[0] for some in sized]
                for price in (0.0, *np.geomspace(1e-5, 0.3, 12).tolist())
                if all(per_output)
            ]
        for row in joined:
            result.setdefault(with_terms(template, [f.term for f in row]), kind)
    return result


@dataclass(frozen=True, slots=True)
class _Played:
    program: Program
    origin: str
    episodes: Episodes


def _play(
    pool: dict[Program, str], data: Dataset, rollouts: Rollouts, guard: Guard, budget: Budget
) -> list[_Played]:
    """The nearest programs of each number of constants, and DAgger's, played; the best first."""
    losses = {p: imitation_loss(p, data) for p in pool}
    ranked = sorted(pool, key=lambda p: (losses[p], p.nodes, str(p)))
    counts: dict[int, int] = {}
    places: dict[Program, int] = {}
    for program in ranked:
        k = counts.get(program.constants, 0)
        if k < budget.played or pool[program] == "dagger":
            counts[program.constants] = k + 1
            places[program] = -1 if pool[program] == "dagger" else k
    order = sorted(places, key=lambda p: (places[p], p.constants, losses[p], str(p)))
    order = order[: budget.most_played]
    result: list[_Played] = []
    step = AT_ONCE if rollouts.batched else 1
    for at in range(0, len(order), step):
        if result and guard.late("playing what was fitted"):
            break
        some = order[at : at + step]
        episodes = rollouts.run_many(some)
        result += [_Played(p, pool[p], e) for p, e in zip(some, episodes, strict=True)]
    return sorted(
        result,
        key=lambda r: (-r.episodes.mean, r.program.constants, r.program.nodes, str(r.program)),
    )


def _tune(
    played: list[_Played],
    rollouts: Rollouts,
    seed: int,
    guard: Guard,
    budget: Budget,
    max_constants: int | None,
    say: Progress,
) -> list[tuple[Program, str]]:
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
    chosen.sort(key=lambda r: r.origin not in ("affine", "dagger"))
    result = [(played[0].program, played[0].origin)]
    left = budget.steps
    for number, entry in enumerate(chosen[: budget.tuned]):
        share = 0.3 if number else 0.6
        cost = int(entry.episodes.lengths.sum())
        most = budget.evaluations * (1 if entry.program.constants <= 4 else 2)
        evaluations = min(most, int(share * left / cost))
        if evaluations < LEAST or guard.late("tuning"):
            break
        before = rollouts.steps
        found = tune(entry.program, rollouts, seed, evaluations, guard.deadline)
        left -= rollouts.steps - before
        if not found.finished:
            guard.tell("tuning")
        say(
            f"tuned {entry.origin}: {entry.episodes.mean:.5g} -> {found.episodes.mean:.5g}, "
            f"{found.program.constants} constants"
        )
        result.append((found.program, entry.origin))
    kept = [r for r in result if max_constants is None or r[0].constants <= max_constants]
    return kept or result


def _judge(
    tuned: list[tuple[Program, str]], data: Dataset, rollouts: Rollouts, guard: Guard
) -> tuple[list[Candidate], list[Episodes]]:
    programs = dict(reversed(tuned))
    step = AT_ONCE if rollouts.batched else 1
    results: list[Episodes] = []
    for at in range(0, len(programs), step):
        if results and guard.late("the choice"):
            break
        results += rollouts.run_many(list(programs)[at : at + step])
    candidates = [
        Candidate(program, origin, imitation_loss(program, data), e.mean, e.error)
        for (program, origin), e in zip(programs.items(), results, strict=False)
    ]
    return candidates, results


def _choose(candidates: list[Candidate], results: list[Episodes]) -> Candidate:
    """The smallest whose return is within noise of the best.

    Noise is one standard error of the difference on the same episodes, or `NOISE`.
    """
    top = max(range(len(candidates)), key=lambda k: (results[k].mean, -candidates[k].constants))
    within = []
    for c, e in zip(candidates, results, strict=True):
        lost = results[top].returns - e.returns
        error = float(lost.std(ddof=1) / np.sqrt(len(lost))) if len(lost) > 1 else 0.0
        if float(lost.mean()) <= max(error, NOISE * results[top].error):
            within.append(c)
    return min(within, key=lambda c: (_size(c), c.constants, -c.selection_return, str(c.program)))


def _size(c: Candidate) -> int:
    """A constant counts as three nodes, so ``x + x + x`` is no way to save one."""
    return c.nodes + 2 * c.constants
