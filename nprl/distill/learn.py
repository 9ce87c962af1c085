"""The pipeline's program: several kinds of fits compete, and the smallest within noise is chosen.

The stages are those of `nprl.distill.imitate`. The report's seeds are nobody's business here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from nprl.distill.affine import Polynomials, fit_affine, monomials
from nprl.distill.budget import Budget
from nprl.distill.dagger import Distilled
from nprl.distill.dataset import Dataset, imitation_loss
from nprl.distill.enumerated import Enumerated
from nprl.distill.fitter import PRICE, Fitter
from nprl.distill.imitate import AT_ONCE, Imitating
from nprl.distill.rollout import Episodes, Policy, Rollouts, blank, with_terms
from nprl.distill.scores import fit_scores
from nprl.distill.tree import AffineTrees, fit_tree
from nprl.env.task import Task
from nprl.evaluate import ci95
from nprl.program import Program
from nprl.search.front import Entry, Front
from nprl.search.grammar import Grammar
from nprl.search.learner import Progress, Taught
from nprl.search.tune import NOISE
from nprl.search.work import Clock

FIRST_SEED = 500_000
STUDENT_ROWS = 6000
"""Observations that DAgger's student is fitted to."""
UNLIMITED = 10**9
"""Nodes of a whole program: the fitters have limits of their own."""
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
    ``max_constants`` limits all programs.

    Raises:
        ValueError: for fewer than four selection seeds, spaces that programs do not know (see
            `blank`), or where no program has so few constants.
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
    grammar = Grammar(tuple(i.name for i in template.inputs), max_nodes=UNLIMITED)
    if max_constants is not None:
        grammar = replace(grammar, max_constants=max_constants)
    clock = Clock(budget, say)
    half = len(seeds) // 2
    tuning, choosing = Rollouts(task, seeds[:half]), Rollouts(task, seeds[half:])
    run = Imitating(Taught(task, teacher), template, grammar, budget, tuning, seed, clock, say)
    try:
        run.gather(fit_student)
        run.fit(_fitters(template, budget, budget.nodes if max_nodes is None else max_nodes))
        if not run.pool:
            raise ValueError(f"no program has at most {max_constants} constants; allow more")
        run.tune(run.play())
        candidates, results = _judge(run, choosing, clock)
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
    assert run.distilled is not None
    return Learned(best, tuple(order), front, run.distilled, len(run.pool), tuple(clock.cut), wall)


def _fitters(template: Program, budget: Budget, nodes: int) -> dict[str, Fitter]:
    """What competes in the pipeline."""
    some: dict[str, Fitter] = {"affine": Polynomials()}
    if len(template.inputs) <= MOST_CUBIC:
        some["cubic"] = Polynomials((3,), 10)
    if budget.leaves > 1:
        some["tree"] = AffineTrees(budget.leaves)
    if nodes > 0:
        some["search"] = Enumerated(budget.enumeration, nodes, rows=budget.rows)
    return some


def fit_student(template: Program, data: Dataset) -> Program:
    """DAgger's student: each output's affine form, or a tree of three leaves if much nearer.

    Scores are affine forms.
    """
    names = [i.name for i in template.inputs]
    some = data.sample(STUDENT_ROWS, 0)
    if template.scores:
        return fit_scores(template, some, names, monomials(names))[0]
    terms = []
    for goal in some.targets(template):
        best = fit_affine(names, some.observations, goal, sizes=[len(names) + 1])[0]
        if best.loss > 0.01:
            tree = fit_tree(names, some.observations, goal, 3)[0]
            best = tree if tree.loss < 0.8 * best.loss else best
        terms.append(best.term)
    return with_terms(template, terms)


def _judge(
    run: Imitating, rollouts: Rollouts, clock: Clock
) -> tuple[list[Candidate], list[Episodes]]:
    programs = dict(reversed(run.tuned))
    step = AT_ONCE if rollouts.batched else 1
    results: list[Episodes] = []
    for at in range(0, len(programs), step):
        if results and clock.late("the choice"):
            break
        results += rollouts.run_many(list(programs)[at : at + step])
    candidates = [
        Candidate(program, origin, imitation_loss(program, run.sample), e.mean, e.error)
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
    return c.nodes + PRICE * c.constants
