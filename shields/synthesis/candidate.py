"""Candidates for a shield: sets that should be invariant, each with a backup, from cheap to dear.

A candidate is a guess. It was found by floating-point methods and held against sample points; what
it claims is proved, or not, by `nprl.shields.synthesis.prove` and the checkers.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, zip_longest

import numpy as np

from nprl.model import Model
from nprl.shields.synthesis.control_invariant import control_invariant
from nprl.shields.synthesis.decoupled import decoupled
from nprl.shields.synthesis.ellipsoid import Ellipsoid, invariant_ellipsoid
from nprl.shields.synthesis.equilibrium import Point, equilibria
from nprl.shields.synthesis.invariance_of_safe import farkas_gain
from nprl.shields.synthesis.linearise import Inclusion, inclusion
from nprl.shields.synthesis.lqr import gain_sets
from nprl.shields.synthesis.numeric import values
from nprl.shields.synthesis.pieces import pieces
from nprl.shields.synthesis.polytope import HULL_DIMENSIONS, irredundant
from nprl.shields.synthesis.problem import Problem, Unsuitable, problem_of
from nprl.shields.synthesis.proposal import (
    Candidate,
    ellipsoid_with_gain,
    kept_polytope,
    polytope_with_gain,
)

__all__ = ["Candidate", "candidates"]

CONTROL_INVARIANT_DIMENSIONS = 3
SCALES = (1.0, 0.7, 0.5, 0.35, 0.25, 0.15, 0.1)
"""Of the box of analysis for ellipsoids, relative to the ranges."""
LINEAR_SCALES = (1.0, 0.3)
"""A smaller box constrains a linear system only more; one is tried for the solver's sake."""
RATES = (0.999, 0.99, 0.98, 0.95, 0.9, 0.8)
REFINEMENTS = 3
FEW_ROWS = 40
"""Of one group in a product."""


def candidates(model: Model, seed: int = 0) -> Iterator[Candidate]:
    """Candidates whose set holds the initial box, cheapest method first.

    The order: S itself; the control-invariant polytope (up to three dimensions); ellipsoids;
    invariant polytopes of LQR gains. The same model and seed give the same candidates.

    Raises:
        Unsuitable: for a model that no method fits; says what it has.
    """
    ways: list[list[Iterator[Candidate]]] = []
    reasons = []
    for piece in pieces(model):
        try:
            ways.append(_ways(problem_of(piece), seed))
        except Unsuitable as error:
            reasons.append(str(error))
    if not ways:
        raise Unsuitable(reasons[0] if reasons else "a safe set that is empty")
    return chain.from_iterable(chain.from_iterable(zip_longest(*ways, fillvalue=iter(()))))


def _ways(problem: Problem, seed: int) -> list[Iterator[Candidate]]:
    """The methods for a convex safe set, in their order."""
    points = equilibria(problem)
    maps = [inclusion(problem, point, seed=seed) for point in points]
    return [
        _safe_itself(problem, maps[0], seed),
        _control_invariant(problem, maps[0], seed),
        decoupled(problem, _small, seed),
        *(_ellipsoids(problem, p, one, seed) for p, one in zip(points, maps, strict=True)),
        *(_gain_sets(problem, one, seed) for one in maps),
    ]


def _small(problem: Problem, seed: int) -> Iterator[Candidate]:
    """Polytopes of a group of coordinates: S itself; the largest of few rows; the control-invariant one.

    Few rows, because a product has those of all its groups.
    """
    maps = inclusion(problem, equilibria(problem)[0], seed=seed)
    yield from _safe_itself(problem, maps, seed)
    gains = [c for c in _gain_sets(problem, maps, seed) if len(c.invariant[0]) <= FEW_ROWS]
    yield from sorted(gains, key=lambda c: -_share(problem, c, seed))
    yield from _control_invariant(problem, maps, seed)


def _share(problem: Problem, candidate: Candidate, seed: int) -> float:
    """About how much of the ranges the candidate holds."""
    model, rng = problem.model, np.random.default_rng(seed)
    low = np.array([float(c.low) for c in model.state])
    high = np.array([float(c.high) for c in model.state])
    x = low + (high - low) * rng.random((20_000, problem.n))
    return float((values(candidate.invariant[0], model.state_names, x) >= 0).all(axis=1).mean())


def _safe_itself(problem: Problem, maps: Inclusion, seed: int) -> Iterator[Candidate]:
    method = "safe set itself"
    if problem.n <= HULL_DIMENSIONS:
        yield from kept_polytope(problem, maps, irredundant(maps.h), method, seed)
    elif maps.linear:
        found = farkas_gain(maps, maps.h)
        if found is not None:
            yield from polytope_with_gain(problem, maps, maps.h, found[0], found[1], method, seed)


def _control_invariant(problem: Problem, maps: Inclusion, seed: int) -> Iterator[Candidate]:
    if problem.n <= CONTROL_INVARIANT_DIMENSIONS:
        h = control_invariant(maps)
        if h is not None:
            yield from kept_polytope(problem, maps, h, "control-invariant polytope", seed)


def _ellipsoids(problem: Problem, point: Point, maps: Inclusion, seed: int) -> Iterator[Candidate]:
    """For a linear step one kind; else first one map with a remainder, then the hull of several maps."""
    for remainder in (True,) if maps.linear else (True, False):
        method = "ellipsoid" if maps.linear else f"ellipsoid, {_KINDS[remainder]}"
        for scale in LINEAR_SCALES if maps.linear else SCALES:
            found = _ellipsoid(problem, point, scale, remainder, seed, not maps.linear)
            tried = (
                [] if found is None else list(ellipsoid_with_gain(problem, *found, method, seed))
            )
            yield from tried
            if tried and maps.linear:
                break


_KINDS = {True: "one map and a remainder", False: "several maps"}


def _ellipsoid(
    problem: Problem, point: Point, scale: float, remainder: bool, seed: int, refine: bool
) -> tuple[Inclusion, Ellipsoid] | None:
    """The ellipsoid for a box of analysis, then for smaller boxes that still hold it."""
    box = np.array([float(c.high - c.low) / 2 for c in problem.model.state])
    half, input_half = scale * box, scale * (problem.u_high - problem.u_low) / 2
    best: tuple[Inclusion, Ellipsoid] | None = None
    for _ in range(REFINEMENTS if refine else 1):
        try:
            maps = inclusion(problem, point, half, input_half, remainder=remainder, seed=seed)
        except Unsuitable:
            return best
        if (np.abs(problem.init_low - point.x) > half).any():
            return best
        init = np.vstack([problem.init_low, problem.init_high])
        found = invariant_ellipsoid(maps, init, RATES)
        if found is None:
            return best
        best = maps, found
        reached = found.input_half * maps.reach
        if (found.half > 0.9 * half).all() and (reached > 0.9 * input_half).all():
            return best
        half, input_half = (
            np.minimum(half, 1.05 * found.half),
            np.minimum(input_half, 1.1 * reached),
        )
    return best


def _gain_sets(problem: Problem, maps: Inclusion, seed: int) -> Iterator[Candidate]:
    for h, k in gain_sets(problem, maps, seed):
        yield from polytope_with_gain(
            problem, maps, h, k, np.zeros(problem.m), "invariant polytope of an LQR gain", seed
        )
