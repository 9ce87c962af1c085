"""CMA-ES on the coefficients of affine or cubic forms, and then the elimination of coefficients.

All monomials of the inputs up to a degree get a coefficient for each output, in units of what the
inputs were seen to vary by. With a teacher the search begins where an affine imitation of it stands (a
part of the work), else from nowhere. What it finds loses its least useful coefficient, is searched
again near where it stands, and so on: a front of forms with ever fewer constants.

Source: Hansen, Ostermeier, "Completely derandomized self-adaptation in evolution strategies",
Evolutionary Computation 9, 2001.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nprl.distill.rollout import Floats, Rollouts, act_of, blank, with_terms
from nprl.env.task import Task
from nprl.lang.floats import compile_batch
from nprl.lang.terms import Term, Var
from nprl.program import Program
from nprl.search.begin import coefficients, imitated
from nprl.search.constants import ONE, ZERO, decimal, hole, linear
from nprl.search.front import Front
from nprl.search.grammar import Grammar
from nprl.search.judge import judged
from nprl.search.learner import Learner, Progress, Source, task_of
from nprl.search.tune import Returns, search_constants, tune
from nprl.search.work import INTERRUPTED, Clock, Work

AFFINE, CUBIC = "affine", "cubic"
DEGREES = {AFFINE: 1, CUBIC: 3}
DIGITS = 6
WATCHED = 10
"""Random programs whose observations say how much inputs vary."""
SPREAD, NEARBY = 0.5, 0.1
"""Standard deviations at first, and when a coefficient was dropped, in units of coefficients."""
SCANNED, SCAN, SCALES = 2000, 0.05, (-3.0, 1.0)
"""Random coefficients that a search from nowhere begins with, at most, and the part of its work that
they take; their sizes, as powers of ten, in units of coefficients."""
ROUND = 100
"""Generations of one search from nowhere."""
CEILING = 1e-9
"""Two searches from nowhere that end as near as this, relative, have met what can be returned."""
SHARE = 4
"""Each program that is tuned may take one part in so many of the work that is left."""
RIDGE = 1e-8
"""Keeps apart what hardly differs, as a part of the mean squares of all features."""
LEAST = 20
"""CMA-ES is not begun with fewer evaluations."""


def forms(kind: str) -> Learner:
    """The learner of forms of this kind, `AFFINE` or `CUBIC`."""
    return functools.partial(_learn, kind=kind)


def _learn(
    source: Source,
    grammar: Grammar,
    work: Work,
    seed: int = 0,
    progress: Progress | None = None,
    kind: str = AFFINE,
) -> Front:
    """The front of forms found in the task of ``source``.

    Of ``grammar`` the inputs, the scores and the constraints count, and its size is that of the
    largest program which is shown. The same seed gives the same front, whatever ``work.jobs`` is,
    unless the clock cut it short. Interrupted, it returns the front so far.

    Raises:
        ValueError: for spaces that programs do not know (see `blank`), or what `Grammar.refuse` refuses.
    """
    grammar.refuse(f"the search for {kind} forms", scores=True)
    task, say = task_of(source), progress or (lambda text: None)
    clock, found = Clock(work, say), list[Program]()
    search: _Search | None = None
    try:
        begun_at, work = imitated(source, grammar, work, seed, say)
        search = _Search(task, grammar, work, seed, DEGREES[kind])
        search.eliminate(search.first(begun_at, clock, say), found, clock, say)
        found += search.tuned(list(filter(grammar.is_small, found)), clock, say)
    except KeyboardInterrupt:
        clock.tell(INTERRUPTED)
    finally:
        if search is not None:
            search.rollouts.close()
            search.refining.close()
    fits = [p for p in found if grammar.is_small(p) and grammar.admits(p)]
    return judged(task, fits, kind, grammar, work, clock)


@dataclass(frozen=True, slots=True)
class _Form:
    """Coefficients (k,) in natural units, for the pairs (output, feature) that are used."""

    used: tuple[tuple[int, int], ...]
    values: Floats
    mean: float


class _Search:
    def __init__(self, task: Task, grammar: Grammar, work: Work, seed: int, degree: int) -> None:
        self._template = blank(task, grammar.scores)
        self.rollouts = Rollouts(task, work.tuning_seeds(seed), work.jobs)
        self.refining = Rollouts(task, work.refining_seeds(seed), work.jobs)
        self._work, self._seed = work, seed
        self._variables = grammar.variables
        inputs = [Var(v) for v in grammar.variables]
        self._features: list[Term] = [ONE]
        for d in range(1, degree + 1):
            for some in itertools.combinations_with_replacement(inputs, d):
                self._features.append(_product(some))
        self._scales = self._natural(task, seed)

    def _natural(self, task: Task, seed: int) -> Floats:
        """The size (outputs, features) of a coefficient that makes a difference."""
        template, rng = self._template, np.random.default_rng(seed)
        randoms = []
        for _ in range(WATCHED):
            inputs = [Var(i.name) for i in template.inputs]
            weights = rng.standard_normal((len(template.output), len(inputs) + 1))
            rows = [[decimal(w, 3) for w in row] for row in weights.tolist()]
            randoms.append(with_terms(template, [linear(row, [*inputs, ONE]) for row in rows]))
        columns = self._watched(task, randoms)
        sizes = np.asarray([np.sqrt(np.mean(np.square(c))) for c in columns.T])
        halves = [1.0] * len(template.output)
        if not template.scores:
            halves = [float(c.high - c.low) / 2 for c in template.outputs]
        return np.asarray(halves)[:, None] / np.where(sizes < 1e-6, 1.0, sizes)[None, :]

    def _watched(self, task: Task, programs: Sequence[Program]) -> Floats:
        """The features (n, features) where these programs go in an episode."""
        few, seen = Rollouts(task, self.rollouts.seeds[:1]), []
        for program in programs:
            observations = few.run(act_of(program), record=True).observations
            assert observations is not None
            seen.append(observations)
        few.close()
        names = [i.name for i in self._template.inputs]
        columns = compile_batch(self._features, [names])(np.concatenate(seen))
        return np.stack([np.broadcast_to(c, sum(map(len, seen))) for c in columns], axis=1)

    def program(self, form: _Form) -> Program:
        """The form with the decimals that stand for its coefficients."""
        skeletons, scales = self._skeletons(form.used)
        return Returns(self._template, skeletons, self.rollouts).program(
            [decimal(v, DIGITS) for v in (scales * form.values).tolist()]
        )

    def _skeletons(self, used: Sequence[tuple[int, int]]) -> tuple[tuple[Term, ...], Floats]:
        """The outputs with a hole for each coefficient, and the natural sizes of these (k,)."""
        summands: list[list[Term]] = [[] for _ in self._template.output]
        for k, (j, f) in enumerate(used):
            feature = self._features[f]
            summands[j].append(hole(k) if feature == ONE else hole(k) * feature)
        joined = [functools.reduce(operator.add, some) if some else ZERO for some in summands]
        return tuple(joined), np.asarray([self._scales[j, f] for j, f in used])

    def _searched(
        self,
        form: _Form,
        rollouts: Rollouts,
        evaluations: int,
        spread: float,
        turn: int,
        clock: Clock,
        steps: float,
    ) -> _Form:
        """The best that CMA-ES finds about a form on these episodes, or that form."""
        skeletons, scales = self._skeletons(form.used)
        judge, first = Returns(self._template, skeletons, rollouts), scales * form.values
        z, mean = search_constants(
            *(judge, first, scales, self._seed + turn, evaluations, clock.deadline, spread),
            flat=1e-9,
            steps=steps,
        )
        return _Form(form.used, form.values + z, mean) if mean > form.mean else form

    def first(self, begun_at: Program | None, clock: Clock, say: Progress) -> _Form:
        """The best whole form: searched from there or from nowhere again and again, then nearby."""
        pairs = itertools.product(range(len(self._template.output)), range(len(self._features)))
        used = tuple(pairs)
        best = start = _Form(used, self._values(begun_at).ravel(), -np.inf)
        spreads: tuple[float, ...] = (NEARBY,)
        each, turn = ROUND * _population(len(used)), 0
        most = self._work.search_steps
        while self.rollouts.steps < most and not clock.late("CMA-ES"):
            found = start
            if begun_at is None:
                found, size = self._scanned(start, turn)
                spreads = (SPREAD * size, NEARBY * size)
            for spread in spreads:
                left = most - self.rollouts.steps
                found = self._searched(found, self.rollouts, each, spread, 1000 * turn, clock, left)
                turn += 1
            say(f"{len(used)} coefficients: {found.mean:.5g}")
            if math.isclose(found.mean, best.mean, rel_tol=CEILING):
                break
            best = max(best, found, key=lambda f: f.mean)
        return best

    def _scanned(self, form: _Form, turn: int) -> tuple[_Form, float]:
        """The best of many random coefficients of all sizes, and their size; 1 if none is better."""
        skeletons, scales = self._skeletons(form.used)
        judge = Returns(self._template, skeletons, self.rollouts)
        rng = np.random.default_rng((self._seed, turn))
        before = self.rollouts.steps
        mean = float(judge.means(scales[None] * form.values)[0])
        each = max(1, self.rollouts.steps - before)
        count = min(SCANNED, int(SCAN * self._work.search_steps) // each)
        if not count:
            return form, 1.0
        sizes = 10.0 ** rng.uniform(*SCALES, count)
        values = sizes[:, None] * rng.standard_normal((count, len(form.used)))
        means = judge.means(scales * values)
        top = int(np.argmax(means))
        if not means[top] > mean:
            return form, 1.0
        return _Form(form.used, values[top], float(means[top])), float(sizes[top])

    def _values(self, program: Program | None) -> Floats:
        """The coefficients (outputs, features) of an affine program, or 0."""
        values = np.zeros(self._scales.shape)
        if program is not None:
            table = coefficients(program, self._variables)
            values[:, : table.shape[1]] = table
        return np.asarray(values / self._scales)

    def eliminate(self, form: _Form, found: list[Program], clock: Clock, say: Progress) -> None:
        """Drop coefficients, a tenth of them at a time; ``found`` gets the programs as they come."""
        most = self._work.tuning_steps * 3 // 4
        while form.used and self.refining.steps < most and not clock.late("the elimination"):
            whole = self.refining.run_many([self.program(form)])[0]
            form = _Form(form.used, form.values, whole.mean)
            left = (most - self.refining.steps) // _stages(len(form.used))
            if left >= LEAST * int(whole.lengths.sum()):
                turn, most_of = len(form.used), ROUND * _population(len(form.used))
                form = self._searched(form, self.refining, most_of, NEARBY, turn, clock, left)
            found.append(self.program(form))
            say(f"{len(form.used)} coefficients: {form.mean:.5g}")
            skeletons, scales = self._skeletons(form.used)
            watched = self._watched(self.rollouts.task, [self.program(form)])
            products = watched.T @ watched / len(watched)
            every = [self._without(form, k, products) for k in range(len(form.used))]
            table = scales * np.stack([f.values for f in every])
            means = Returns(self._template, skeletons, self.rollouts).means(table)
            order = np.argsort(means, kind="stable")  # the most useful first
            kept, dropped = np.split(order, [-_dropped(len(order))])
            for k in dropped.tolist():
                form = self._without(form, k, products)
            rest = sorted(kept.tolist())
            form = _Form(tuple(form.used[k] for k in rest), form.values[rest], -np.inf)

    def _without(self, form: _Form, k: int, products: Floats) -> _Form:
        """Coefficient ``k`` at 0, those of the same output moved so that its values change least.

        ``products`` (features, features) are mean products of features. Source: Hassibi, Stork,
        "Second order derivatives for network pruning: optimal brain surgeon", NIPS 1992.
        """
        output = form.used[k][0]
        here = [i for i, (j, _) in enumerate(form.used) if j == output and form.values[i] != 0]
        if k not in here:
            return form
        features = [form.used[i][1] for i in here]
        scales = self._scales[output, features]
        square = products[np.ix_(features, features)] * np.outer(scales, scales)
        inverse = np.linalg.pinv(square + RIDGE * np.trace(square) * np.eye(len(here)))
        column = inverse[:, here.index(k)]
        values = form.values.copy()
        if column[here.index(k)] > 0:  # else nothing was seen to vary
            values[here] -= values[k] / column[here.index(k)] * column
        values[k] = 0.0
        return _Form(form.used, values, -np.inf)

    def tuned(self, found: Sequence[Program], clock: Clock, say: Progress) -> list[Program]:
        """The best programs of the elimination with short decimals."""
        played = self.refining.run_many(found)
        order = sorted(range(len(found)), key=lambda k: (-played[k].mean, found[k].constants))
        result = []
        for k in order:
            left = self._work.tuning_steps - self.refining.steps
            if left <= 0 or clock.late("tuning"):
                break
            affordable = left // SHARE // int(played[k].lengths.sum())
            evaluations = max(LEAST, min(self._work.evaluations, affordable))
            tuned = tune(found[k], self.refining, self._seed, evaluations, clock.deadline)
            say(f"tuned {found[k].constants} constants: {tuned.episodes.mean:.5g}")
            result.append(tuned.program)
        return result


def _population(coefficients: int) -> int:
    """How many settings CMA-ES plays in a generation."""
    return 4 + int(3 * math.log(coefficients))


def _dropped(coefficients: int) -> int:
    """How many go at a time."""
    return max(1, coefficients // 10)


def _stages(coefficients: int) -> int:
    """In how many steps so many go."""
    count = 0
    while coefficients:
        coefficients -= _dropped(coefficients)
        count += 1
    return count


def _product(factors: Sequence[Term]) -> Term:
    """A monomial: powers of each variable."""
    result: Term | None = None
    for factor, same in itertools.groupby(factors):
        count = len(list(same))
        power: Term = factor if count == 1 else factor**count
        result = power if result is None else result * power
    assert result is not None
    return result
