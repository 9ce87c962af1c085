"""The last judgement of every search: returns on seeds that no search has seen."""

from __future__ import annotations

from collections.abc import Sequence

from nprl.distill.rollout import Rollouts
from nprl.env.task import Task
from nprl.evaluate import ci95
from nprl.program import Program
from nprl.search.front import Entry, Front
from nprl.search.grammar import Grammar
from nprl.search.work import Clock, Work


def judged(
    task: Task,
    programs: Sequence[Program],
    method: str,
    grammar: Grammar,
    work: Work,
    clock: Clock | None = None,
) -> Front:
    """The front of these programs on the choosing seeds; ``clock`` says what it cut.

    Of the constraints of ``grammar`` each program on it is proved to keep all.
    """
    different = list(dict.fromkeys(programs))
    cut = tuple(clock.cut) if clock is not None else ()
    if not different:
        return Front([], cut)
    rollouts = Rollouts(task, work.choosing_seeds, work.jobs)
    try:
        played = rollouts.run_many(different)
    finally:
        rollouts.close()
    entries = [
        Entry(p, method, e.mean, ci95(e.returns), len(e.returns))
        for p, e in zip(different, played, strict=True)
    ]
    kept: dict[Program, bool] = {}
    while True:
        front = Front(entries, cut)
        kept |= {e.program: grammar.proves(e.program) for e in front if e.program not in kept}
        if all(kept[e.program] for e in front):
            return front
        entries = [e for e in entries if kept.get(e.program, True)]
