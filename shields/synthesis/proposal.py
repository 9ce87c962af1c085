"""A candidate: a set and its backup, not proved; and the step from a found set to one.

The polytope is rounded to short exact rows, a backup is looked for, and the whole is held against
sample points.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nprl.lang.terms import Term
from nprl.shields.synthesis.budget import Budget
from nprl.shields.synthesis.sets.ellipsoid import Ellipsoid
from nprl.shields.synthesis.sets.gain import gain_backup, gain_terms, hopeless, responses
from nprl.shields.synthesis.sets.row_backup import row_backup
from nprl.shields.synthesis.trial import alive, rays, trial
from nprl.shields.synthesis.views.linearise import Inclusion
from nprl.shields.synthesis.views.numeric import Array, jacobian
from nprl.shields.synthesis.views.polytope import Polytope, exact_polytope, samples
from nprl.shields.synthesis.views.problem import Problem

SAMPLES = 8_000
FEW_CORNERS = 8
"""Of the disturbance; with more, fewer points are looked at for each."""
SHORT, LONG = (2, 3), (4, 6, 9)
"""Significant digits of a gain: tried before and after another kind of backup."""


@dataclass(frozen=True)
class Candidate:
    """A set and its backup, not proved.

    ``invariant`` has one tuple of terms for each part, each term meant ``>= 0``; ``backup`` has one
    term for each action, over the state, in units. ``notes`` says how it was found: ``method``,
    ``kept`` (the least margin of a next row, relative to the row's range, over sample points), and
    what the method knows; JSON data.
    """

    family: str
    invariant: tuple[tuple[Term, ...], ...]
    backup: tuple[Term, ...]
    notes: dict[str, Any] = field(default_factory=dict)


def kept_polytope(
    problem: Problem,
    maps: Inclusion,
    h: Array,
    method: str,
    seed: int,
    budget: Budget | None = None,
) -> Iterator[Candidate]:
    """The polytope ``h z <= 1`` with the shortest backup that keeps it at sample points, if any does."""
    polytope = exact_polytope(h, maps.centre, maps.unit, problem)
    if not holds_init(problem, polytope):
        return
    x = sample_points(polytope, maps, seed)
    every = max(1, len(problem.w) // FEW_CORNERS)  # each corner is a sample of its own
    seen = responses(problem, polytope, x[alive(problem, x)][::every])
    if seen is None or hopeless(problem, seen):
        return
    for digits in (SHORT, LONG):
        for saturated in (False, True):
            gain = gain_backup(problem, seen, saturated=saturated, digits=digits, budget=budget)
            if gain is not None:
                found = list(_tried(problem, polytope, gain, method, x))
                if found:
                    yield from found
                    return
    rows = row_backup(problem, polytope, seen)
    if rows is not None:
        yield from _tried(problem, polytope, rows, method, x)


def polytope_with_gain(
    problem: Problem, maps: Inclusion, h: Array, k: Array, c: Array, method: str, seed: int
) -> Iterator[Candidate]:
    """The polytope ``h z <= 1`` with the backup ``v = K z + c``, if it is kept at sample points."""
    polytope = exact_polytope(h, maps.centre, maps.unit, problem)
    if not holds_init(problem, polytope):
        return
    x = sample_points(polytope, maps, seed)
    for digits in (3, 4, 6, 9):
        backup = gain_terms(problem, maps, k, c, digits)
        found = list(_tried(problem, polytope, backup, method, x))
        if found:
            yield from found
            return


def ellipsoid_with_gain(
    problem: Problem, maps: Inclusion, found: Ellipsoid, method: str, seed: int
) -> Iterator[Candidate]:
    """The ellipsoid with its gain, if it is kept at sample points. ``notes`` has the affine map it was found for.

    That is, in units: next = centre + a (x - centre) + b (u - input_centre) + offset + something
    within ``rest``, for x within ``half`` of the centre, and u within ``input_half``; ``rate`` and
    ``slack`` are its multiplier.
    """
    names = problem.model.state_names
    rows = (found.term(names),)
    x = rays(rows, names, maps.centre, found.half, SAMPLES, seed)
    for digits in (3, 4, 6, 9):
        backup = gain_terms(problem, maps, found.gain, np.zeros(problem.m), digits)
        if maps.linear and _growth(maps, found, names, backup) > found.rate + found.slack / 2:
            continue  # in many dimensions no sample point tells
        result = trial(problem, rows, backup, x)
        if result.good:
            notes = {"method": method, "kept": result.kept, "init": result.init}
            notes |= {"rate": found.rate, "slack": found.slack} | _map_notes(maps)
            yield Candidate("ellipsoid", (rows,), backup, notes)
            return


def _growth(
    maps: Inclusion, found: Ellipsoid, names: Sequence[str], backup: Sequence[Term]
) -> float:
    """The least factor with ``V(next) <= factor V(now)`` under a rounded backup, no disturbance."""
    gain = np.zeros((0, len(names)))
    if backup:
        gain = jacobian(backup, names, maps.centre[None, :], names)[1][0]
    k = gain * maps.unit / maps.reach[:, None]
    root = np.linalg.cholesky(found.shape * np.outer(maps.unit, maps.unit)).T
    closed = root @ (maps.a[0] + maps.b[0] @ k) @ np.linalg.inv(root)
    return float(np.linalg.norm(closed, 2)) ** 2


def _map_notes(maps: Inclusion) -> dict[str, Any]:
    if len(maps.a) > 1:
        return {}
    return {
        "centre": maps.centre.tolist(),
        "input_centre": maps.input_centre.tolist(),
        "a": (maps.a[0] * maps.unit[:, None] / maps.unit).tolist(),
        "b": (maps.b[0] * maps.unit[:, None] / maps.reach).tolist(),
        "offset": (maps.offset * maps.unit).tolist(),
        "rest": (np.abs(maps.g).sum(axis=1) * maps.unit).tolist(),
        "half": maps.unit.tolist(),
        "input_half": (np.minimum(maps.highs, -maps.lows) * maps.reach).tolist(),
    }


def holds_init(problem: Problem, polytope: Polytope) -> bool:
    """Whether the polytope holds the initial box, exactly."""
    model = problem.model
    for a, b in polytope.rows:
        ends = [model.init[c.name] for c in model.state]
        if sum(max(v * low, v * high) for v, (low, high) in zip(a, ends, strict=True)) > b:
            return False
    return True


def sample_points(polytope: Polytope, maps: Inclusion, seed: int) -> Array:
    """Points of the polytope, in units: vertices, facets, inside."""
    h, b = polytope.arrays()
    normal = h * maps.unit / (b - h @ maps.centre)[:, None]
    return maps.centre + maps.unit * samples(normal, SAMPLES, np.random.default_rng(seed))


def _tried(
    problem: Problem, polytope: Polytope, backup: tuple[Term, ...], method: str, x: Array
) -> Iterator[Candidate]:
    rows = polytope.terms(problem.model.state_names)
    result = trial(problem, rows, backup, x)
    if result.good:
        notes = {"method": method, "kept": result.kept, "init": result.init}
        yield Candidate("polytope", (rows,), backup, notes)
