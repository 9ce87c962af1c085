"""What learners that propose many programs do in the end: play them, tune the best, judge.

Imitation and relaxation propose; returns decide. All proposals play the tuning seeds, the best two
of each size (if no smaller one is better) are tuned by CMA-ES, and all of these are judged on seeds
that no search has seen.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from nprl.distill.dagger import dagger
from nprl.distill.dataset import Dataset
from nprl.distill.learn import fit_student
from nprl.distill.rollout import Rollouts, blank, with_terms
from nprl.env.task import Task
from nprl.lang.terms import Term, constants, nodes
from nprl.program import Program
from nprl.search.front import Front, promising
from nprl.search.grammar import Grammar
from nprl.search.judge import judged
from nprl.search.learner import Progress, Source, taught
from nprl.search.tune import tune
from nprl.search.work import INTERRUPTED, Clock, Work, rate

KEPT = 3
"""Terms of each size and number of constants that are played."""
AT_ONCE = 16
ROUNDS, EPISODES = 4, {True: 16, False: 6}
"""DAgger's rounds, and the episodes of each: in batches, and one by one."""


def steps_of(task: Task, seconds: float) -> int:
    """The environment steps that are counted for so much computing between episodes."""
    return int(seconds * rate(task) / 60)


def demonstrated(
    source: Source,
    grammar: Grammar,
    method: str,
    work: Work,
    seed: int,
    clock: Clock,
    say: Progress,
) -> tuple[Program, Dataset]:
    """What programs are like, and the demonstrations, with those that DAgger asks a teacher for.

    The observations are of the grammar's variables, in their order.

    Raises:
        ValueError: for a source that teaches nothing, spaces that programs do not know (see
            `blank`), or what `Grammar.refuse` refuses.
    """
    given = taught(source, method)
    grammar.refuse(method)
    task, template, data = given.task, blank(given.task), given.data
    if given.teacher is not None:
        data = dagger(
            task,
            given.teacher,
            fit_student,
            rounds=ROUNDS,
            episodes=EPISODES[task.rolled is not None],
            seed=seed,
            selection_seeds=work.tuning_seeds(seed),
            progress=say,
            deadline=clock.deadline,
            data=data,
            jobs=work.jobs,
        ).data
    assert data is not None
    names = [i.name for i in template.inputs]
    used = [names.index(v) for v in grammar.variables]
    return template, Dataset(data.observations[:, used], data.actions)


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
    pool = [p for p in dict.fromkeys(proposed) if grammar.is_small(p)]
    rollouts = Rollouts(task, work.tuning_seeds(seed), work.jobs)
    refining = Rollouts(task, work.refining_seeds(seed), work.jobs)
    kept: list[Program] = []
    try:
        means: dict[Program, float] = {}
        for at in range(0, len(pool), AT_ONCE):
            if means and clock.late("playing what was proposed"):
                break
            some = pool[at : at + AT_ONCE]
            played = rollouts.run_many(some)
            means |= {p: e.mean for p, e in zip(some, played, strict=True)}
        best = promising(means, lambda p: p.nodes, means.__getitem__)
        kept += best
        for program in best:
            if refining.steps > work.tuning_steps or clock.late("tuning"):
                break
            found = tune(program, refining, seed, work.evaluations, clock.deadline)
            say(f"tuned {program.nodes} nodes: {means[program]:.5g} -> {found.episodes.mean:.5g}")
            kept.append(found.program)
    except KeyboardInterrupt:
        clock.tell(INTERRUPTED)
    finally:
        rollouts.close()
        refining.close()
    fits = [p for p in kept if grammar.is_small(p) and grammar.admits(p)]
    return judged(task, fits, method, grammar, work, clock)


class Pool:
    """What was proposed for each output of ``template``: the nearest few of each size.

    Terms are told apart by their nodes and constants, and those too large for ``grammar`` left out.
    """

    def __init__(self, template: Program, grammar: Grammar) -> None:
        """Nothing yet."""
        self._template, self._grammar = template, grammar
        self._found: list[dict[tuple[int, int], dict[Term, float]]] = [{} for _ in template.outputs]

    def add(self, output: int, t: Term, loss: float) -> None:
        """One more term of this output, of this imitation loss."""
        size, holes = nodes(t), constants(t)
        room = self._grammar.max_nodes - len(self._found) + 1
        if not np.isfinite(loss) or size > room or holes > self._grammar.max_holes:
            return
        some = self._found[output].setdefault((size, holes), {})
        some[t] = loss
        if len(some) > KEPT:
            del some[max(some, key=lambda u: (some[u], str(u)))]

    @property
    def least(self) -> float:
        """The least loss, of the worst output."""
        return max(
            min((x for s in f.values() for x in s.values()), default=np.inf) for f in self._found
        )

    def programs(self) -> list[Program]:
        """Whole programs, the nearest first; several outputs join at one price of a node."""
        ranked: list[list[tuple[float, int, Term]]] = []
        for found in self._found:
            some = [(loss, size, t) for (size, _), s in found.items() for t, loss in s.items()]
            ranked.append(sorted(some, key=lambda entry: (entry[0], str(entry[2]))))
        rows: list[tuple[tuple[float, int, Term], ...]]
        if len(ranked) == 1:
            rows = [(entry,) for entry in ranked[0]]
        else:
            prices = (0.0, *np.geomspace(1e-6, 0.1, 40).tolist())
            rows = [
                tuple(min(some, key=lambda entry: entry[0] + p * entry[1]) for some in ranked)
                for p in prices
                if all(ranked)
            ]
        joined = [with_terms(self._template, [t for _, _, t in row]) for row in rows]
        return list(dict.fromkeys(joined))
