"""The last judgement of every search: returns on seeds that no search has seen."""

from __future__ import annotations

from collections.abc import Sequence

from nprl.distill.rollout import Rollouts
from nprl.env.task import Task
from nprl.evaluate import ci95
from nprl.program import Program
from nprl.search.front import Entry, Front
from nprl.search.work import Work


def judged(task: Task, programs: Sequence[Program], method: str, work: Work) -> Front:
    """The front of these programs on the choosing seeds."""
    different = list(dict.fromkeys(programs))
    if not different:
        return Front([])
    rollouts = Rollouts(task, work.choosing_seeds, work.jobs)
    try:
        played = rollouts.run_many(different)
    finally:
        rollouts.close()
    return Front(
        Entry(p, method, e.mean, ci95(e.returns), len(e.returns))
        for p, e in zip(different, played, strict=True)
    )
