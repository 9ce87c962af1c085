"""Augmented random search: affine programs by differences of returns along random directions.

The search sees observations with their running mean and deviation taken off; in the program these
stand inside its constants, one for each observation and one more for each output. The best programs
met are tuned no further, but shortened.

Source: Mania, Guy, Recht, "Simple random search of static linear policies is competitive for
reinforcement learning", NeurIPS 2018, algorithm 2 (V2-t).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from nprl.distill.rollout import Floats, Rollouts, act_of, blank, with_terms
from nprl.lang.terms import Num, Term, Var
from nprl.program import Program
from nprl.search.constants import decimal, linear
from nprl.search.front import Front
from nprl.search.grammar import Grammar
from nprl.search.judge import judged
from nprl.search.learner import Progress, Source, task_of
from nprl.search.work import INTERRUPTED, Clock, Work

METHOD = "augmented random search"
DIRECTIONS, TOP = 16, 8
"""Directions of each step, and how many of them count."""
STEP, NOISE = 0.02, 0.03
"""Size of a step, and of the differences, for normalised observations."""
EVERY = 5
"""Steps between looks at how good the centre is."""
DIGITS = 4
"""Significant digits of the constants."""
FIRST = 40_000_000
"""Where the seeds of the search's own episodes begin."""


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
        ValueError: for spaces that programs do not know (see `blank`).
    """
    task, say = task_of(source), progress or (lambda text: None)
    rng, template = np.random.default_rng(seed), blank(task, grammar.scores)
    clock = Clock(work, say)
    names = [i.name for i in template.inputs]
    used = [names.index(v) for v in grammar.variables]
    bounds = [(-1.0, 1.0)] * len(template.output)  # the highest score is so in any unit
    if not template.scores:
        bounds = [(float(c.low), float(c.high)) for c in template.outputs]
    half = np.asarray([(high - low) / 2 for low, high in bounds])
    middle = np.asarray([(high + low) / 2 for low, high in bounds])
    weights = np.zeros((len(half), len(used)))
    normal = _Normaliser(0, np.zeros(len(names)), np.zeros(len(names)))

    def program(w: Floats) -> Program:
        scaled = half[:, None] * w / normal.deviation[used]
        bias = middle - scaled @ normal.mean[used]
        terms = [
            _affine(row, b, [names[k] for k in used]) for row, b in zip(scaled, bias, strict=True)
        ]
        return with_terms(template, terms)

    tuning = Rollouts(task, work.tuning_seeds(seed), work.jobs)
    best: list[tuple[float, Program]] = []
    spent, number = 0, 0
    try:
        while spent < work.search_steps and not clock.late("the search"):
            first = FIRST + 1_000_000 * seed + number
            if number % EVERY == 0:
                played = tuning.run_many([program(weights)])[0]
                best = sorted([*best, (played.mean, program(weights))], key=lambda b: -b[0])[:5]
                watched = Rollouts(task, [first])
                seen = watched.run(act_of(program(weights)), record=True).observations
                assert seen is not None
                normal.add(seen)
                spent += int(played.lengths.sum()) + watched.steps
                watched.close()
                if number % (10 * EVERY) == 0:
                    say(f"step {number}, {spent} steps: {played.mean:.5g}, best {best[0][0]:.5g}")
            deltas = rng.standard_normal((DIRECTIONS, *weights.shape))
            pairs = [program(weights + s * NOISE * d) for d in deltas for s in (1, -1)]
            rollouts = Rollouts(task, [first], work.jobs)
            returns = np.asarray([e.mean for e in rollouts.run_many(pairs)]).reshape(-1, 2)
            spent += rollouts.steps
            rollouts.close()
            top = np.argsort(-returns.max(axis=1), kind="stable")[:TOP]
            spread = returns[top].std()
            if spread > 0:
                gains = (returns[top, 0] - returns[top, 1])[:, None, None]
                weights = weights + STEP / (TOP * spread) * (gains * deltas[top]).sum(axis=0)
            number += 1
    except KeyboardInterrupt:
        clock.tell(INTERRUPTED)
    finally:
        tuning.close()
    return judged(task, [p for _, p in best], METHOD, grammar, work, clock)


def _affine(weights: Floats, bias: float, names: Sequence[str]) -> Term:
    constants: list[Fraction] = [decimal(v, DIGITS) for v in (*weights.tolist(), bias)]
    return linear(constants, [*map(Var, names), Num(Fraction(1))])
