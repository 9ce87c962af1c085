"""Where searches for coefficients begin: at the affine program that imitates a teacher best."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nprl.distill.imitation import IMITATIONS
from nprl.distill.rollout import Floats
from nprl.lang.floats import compile_batch
from nprl.program import Program
from nprl.search.grammar import Grammar
from nprl.search.learner import Progress, Source, Taught
from nprl.search.work import INTERRUPTED, Work

PART = 0.2
"""Of the work, what imitates a teacher."""


def imitated(
    source: Source, grammar: Grammar, work: Work, seed: int, say: Progress
) -> tuple[Program | None, Work]:
    """The affine program that imitates the teacher best, by DAgger, and the work that is left.

    None without a teacher, or where none was found.

    Raises:
        KeyboardInterrupt: where the imitation was interrupted.
    """
    if not isinstance(source, Taught) or source.teacher is None:
        return None, work
    fits = replace(grammar, max_constants=None, max_nodes=sys.maxsize)
    front = IMITATIONS["dagger-affine"](source, fits, _part(work, PART), seed, say)
    if INTERRUPTED in front.cut:
        raise KeyboardInterrupt
    return front.best().program if len(front) else None, _part(work, 1 - PART)


def _part(work: Work, part: float) -> Work:
    return replace(
        work,
        search_steps=max(1, round(part * work.search_steps)),
        tuning_steps=max(1, round(part * work.tuning_steps)),
        saved=None,
    )


def coefficients(program: Program, variables: Sequence[str]) -> Floats:
    """Those of an affine program: its constant, then one for each of ``variables``; (outputs, 1 + d)."""
    names = [i.name for i in program.inputs]
    used = [names.index(v) for v in variables]
    points = np.vstack([np.zeros(len(names)), np.eye(len(names))[used]])
    values = compile_batch(program.output, [names])(points)
    table = np.stack([np.broadcast_to(v, len(points)) for v in values])
    table[:, 1:] -= table[:, :1]
    return table
