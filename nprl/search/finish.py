"""What learners that propose many programs do in the end: play them, tune the best, judge.

Imitation and relaxation propose; returns decide. All proposals play the tuning seeds, the best two
of each size (if no smaller one is better) are tuned by CMA-ES, and all of these are judged on seeds
that no search has seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from nprl.distill.dagger import dagger
from nprl.distill.dataset import Dataset
from nprl.distill.learn import fit_student
from nprl.distill.rollout import Rollouts
from nprl.env.task import Task
from nprl.program import Program
from nprl.search.front import Front
from nprl.search.grammar import Grammar
from nprl.search.judge import judged
from nprl.search.learner import Progress, Taught
from nprl.search.tune import tune
from nprl.search.work import RATE, Clock, Work

OF_EACH_SIZE = 2
"""Programs of each size that are tuned, and kept."""
AT_ONCE = 16
ROUNDS, EPISODES = 4, {True: 16, False: 6}
"""DAgger's rounds, and the episodes of each: in batches, and one by one."""


def steps_of(task: Task, seconds: float) -> int:
    """The environment steps that are counted for so much computing between episodes."""
    return int(seconds * RATE[task.rolled is not None] / 60)


def demonstrated(source: Taught, work: Work, seed: int, clock: Clock, say: Progress) -> Dataset:
    """The demonstrations of ``source``, and what DAgger asks its teacher, if there is one."""
    if source.teacher is None:
        assert source.data is not None
        return source.data
    found = dagger(
        source.task,
        source.teacher,
        fit_student,
        rounds=ROUNDS,
        episodes=EPISODES[source.task.rolled is not None],
        seed=seed,
        selection_seeds=work.tuning_seeds(seed),
        progress=say,
        deadline=clock.deadline,
    ).data
    return found if source.data is None else source.data.plus(found)


def finished(
    task: Task,
    proposed: Iterable[Program],
    grammar: Grammar,
    method: str,
    work: Work,
    seed: int,
    clock: Clock,
    say: Progress,
) -> Front:
    """The front of these programs, the most promising first; those too large are left out."""
    pool = [p for p in dict.fromkeys(proposed) if p.nodes <= grammar.max_nodes]
    rollouts = Rollouts(task, work.tuning_seeds(seed), work.jobs)
    kept: list[Program] = []
    try:
        means: dict[Program, float] = {}
        for at in range(0, len(pool), AT_ONCE):
            if means and clock.late("playing what was proposed"):
                break
            some = pool[at : at + AT_ONCE]
            played = rollouts.run_many(some)
            means |= {p: e.mean for p, e in zip(some, played, strict=True)}
        kept = _best(means)
        limit = rollouts.steps + work.tuning_steps
        for program in sorted(kept, key=lambda p: -means[p]):
            if rollouts.steps > limit or clock.late("tuning"):
                break
            found = tune(program, rollouts, seed, work.evaluations, clock.deadline)
            say(f"tuned {program.nodes} nodes: {means[program]:.5g} -> {found.episodes.mean:.5g}")
            kept.append(found.program)
    except KeyboardInterrupt:
        clock.tell("tuning, interrupted")
    finally:
        rollouts.close()
    small = [p for p in kept if p.nodes <= grammar.max_nodes]
    return judged(task, small, method, work)


def _best(means: dict[Program, float]) -> list[Program]:
    """The best of each size, if no smaller program is better."""
    top, result = -np.inf, []
    for size in sorted({p.nodes for p in means}):
        some = sorted((p for p in means if p.nodes == size), key=lambda p: -means[p])
        some = [p for p in some[:OF_EACH_SIZE] if means[p] > top]
        result += some
        top = max([top, *(means[p] for p in some)])
    return result


def joined(found: Sequence[Sequence[tuple[float, int]]]) -> list[tuple[int, ...]]:
    """Which candidates of several outputs stand together: a row of positions for each program.

    ``found[j]`` are losses and sizes of the candidates of output j. A single output's stand alone,
    in the order of their losses; else those that are best together at one of several prices of a
    node.
    """
    if not all(found):
        return []
    if len(found) == 1:
        return [(k,) for k in sorted(range(len(found[0])), key=lambda k: found[0][k])]
    rows = []
    for price in (0.0, *np.geomspace(1e-6, 0.1, 40).tolist()):
        best = [
            min(range(len(some)), key=lambda k: some[k][0] + price * some[k][1]) for some in found
        ]
        rows.append(tuple(best))
    return list(dict.fromkeys(rows))
