"""Candidates for a shield: sets that should be invariant, each with a backup, from cheap to dear.

A candidate is a guess. It was found by floating-point methods and held against sample points; what it
claims is proved, or not, by `nprl.shields.synthesis.prove` and the checkers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nprl.lang.terms import Term
from nprl.model import Model
from nprl.shields.synthesis.control_invariant import control_invariant
from nprl.shields.synthesis.gain import gain_backup, gain_terms, responses
from nprl.shields.synthesis.invariance_of_safe import farkas_gain
from nprl.shields.synthesis.linearise import Inclusion, equilibrium, inclusion
from nprl.shields.synthesis.numeric import Array
from nprl.shields.synthesis.polytope import (
    HULL_DIMENSIONS,
    Polytope,
    exact_polytope,
    irredundant,
    samples,
)
from nprl.shields.synthesis.problem import Problem, Unsuitable, problem_of
from nprl.shields.synthesis.row_backup import row_backup
from nprl.shields.synthesis.trial import Trial, rays, trial

SAMPLES = 8_000
CONTROL_INVARIANT_DIMENSIONS = 3


@dataclass(frozen=True)
class Candidate:
    """A set and its backup, not proved.

    ``invariant`` has one tuple of terms for each part, each term meant ``>= 0``; ``backup`` has one term for each
    action, over the state, in units. ``notes`` says how it was found: ``method``, ``kept`` (the least margin of a next
    row, relative to the row's range, over sample points), and what the method knows.
    """

    family: str
    invariant: tuple[tuple[Term, ...], ...]
    backup: tuple[Term, ...]
    notes: dict[str, Any] = field(default_factory=dict)


def candidates(model: Model, seed: int = 0) -> Iterator[Candidate]:
    """Candidates whose set holds the initial box, cheapest method first; none for a model that no method fits.

    The order: S itself; the control-invariant polytope (up to three dimensions); ellipsoids; invariant
    polytopes of LQR gains. The same model and seed give the same candidates.
    """
    try:
        problem = problem_of(model)
        point = equilibrium(problem)
        maps = inclusion(problem, point, seed=seed)
    except Unsuitable:
        return
    yield from _safe_itself(problem, maps, seed)
    yield from _control_invariant(problem, maps, seed)


def _safe_itself(problem: Problem, maps: Inclusion, seed: int) -> Iterator[Candidate]:
    if problem.n <= HULL_DIMENSIONS:
        yield from _kept(problem, maps, irredundant(maps.h), "safe set itself", seed)
    elif maps.linear:
        found = farkas_gain(maps, maps.h)
        if found is not None:
            k, c, _ = found
            yield from _with_gain(problem, maps, maps.h, k, c, "safe set itself", seed)


def _control_invariant(problem: Problem, maps: Inclusion, seed: int) -> Iterator[Candidate]:
    if problem.n <= CONTROL_INVARIANT_DIMENSIONS:
        h = control_invariant(maps)
        if h is not None:
            yield from _kept(problem, maps, h, "control-invariant polytope", seed)


def _kept(
    problem: Problem, maps: Inclusion, h: Array, method: str, seed: int
) -> Iterator[Candidate]:
    """The polytope ``h z <= 1`` with the shortest backup that keeps it at sample points, if any does."""
    polytope = exact_polytope(h, maps.centre, maps.unit, problem)
    if not holds_init(problem, polytope):
        return
    x = maps.centre + maps.unit * samples(h, SAMPLES, np.random.default_rng(seed))
    seen = responses(problem, polytope, x)
    if seen is None:
        return
    for saturated in (False, True):
        found = gain_backup(problem, seen, saturated=saturated)
        if found is not None:
            yield from _tried(problem, maps, polytope, found, method, x, seed)
            return
    rows = row_backup(problem, polytope, seen)
    if rows is not None:
        yield from _tried(problem, maps, polytope, rows, method, x, seed)


def holds_init(problem: Problem, polytope: Polytope) -> bool:
    """Whether the polytope holds the initial box, exactly."""
    model = problem.model
    for a, b in polytope.rows:
        ends = [model.init[c.name] for c in model.state]
        if sum(max(v * low, v * high) for v, (low, high) in zip(a, ends, strict=True)) > b:
            return False
    return True


def _with_gain(
    problem: Problem, maps: Inclusion, h: Array, k: Array, c: Array, method: str, seed: int
) -> Iterator[Candidate]:
    """The polytope with the backup ``v = K z + c``."""
    polytope = exact_polytope(h, maps.centre, maps.unit, problem)
    if not holds_init(problem, polytope):
        return
    x = maps.centre + maps.unit * samples(h, SAMPLES, np.random.default_rng(seed))
    for digits in (3, 4, 6, 9):
        backup = gain_terms(problem, maps, k, c, digits)
        found = list(_tried(problem, maps, polytope, backup, method, x, seed))
        if found:
            yield from found
            return


def _tried(
    problem: Problem,
    maps: Inclusion,
    polytope: Polytope,
    backup: tuple[Term, ...],
    method: str,
    x: Array,
    seed: int,
) -> Iterator[Candidate]:
    rows = polytope.terms(problem.model.state_names)
    more = rays(rows, problem.model.state_names, maps.centre, maps.unit, SAMPLES // 2, seed + 1)
    result: Trial = trial(problem, rows, backup, np.vstack([x, more]))
    if result.good:
        notes = {"method": method, "kept": result.kept, "init": result.init}
        yield Candidate("polytope", (rows,), backup, notes)
