"""Candidates for a shield: sets that should be invariant, each with a backup, from cheap to dear.

A candidate is a guess. It was found by floating-point methods and held against sample points; what
it claims is proved, or not, by `nprl.shields.synthesis.proofs.prove` and the checkers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import chain, zip_longest

import numpy as np

from nprl.model import Model
from nprl.shields.synthesis.budget import Budget, OutOfTime
from nprl.shields.synthesis.proofs.prove import has_pieces
from nprl.shields.synthesis.proposal import (
    Candidate,
    ellipsoid_with_gain,
    kept_polytope,
    polytope_with_gain,
)
from nprl.shields.synthesis.sets.absorbing import until_goal
from nprl.shields.synthesis.sets.cell_map import METHOD as CELLS
from nprl.shields.synthesis.sets.cell_map import cells, suits
from nprl.shields.synthesis.sets.control_invariant import control_invariant
from nprl.shields.synthesis.sets.decoupled import METHOD as PRODUCT
from nprl.shields.synthesis.sets.decoupled import decoupled
from nprl.shields.synthesis.sets.driven import METHOD as DRIVEN
from nprl.shields.synthesis.sets.driven import union_of_driven
from nprl.shields.synthesis.sets.ellipsoid import Ellipsoid, Impossible, invariant_ellipsoid
from nprl.shields.synthesis.sets.finite import finite_candidates
from nprl.shields.synthesis.sets.fitted import METHOD as FITTED
from nprl.shields.synthesis.sets.fitted import fitted_ellipsoids
from nprl.shields.synthesis.sets.grown import METHOD as GROWN
from nprl.shields.synthesis.sets.grown import grown_ellipsoids
from nprl.shields.synthesis.sets.invariance_of_safe import farkas_gain
from nprl.shields.synthesis.sets.lqr import gain_sets
from nprl.shields.synthesis.sets.modes import union_of_few_rows
from nprl.shields.synthesis.sets.polynomial_fit import METHOD as POLYNOMIAL
from nprl.shields.synthesis.sets.polynomial_set import polynomial_sets
from nprl.shields.synthesis.sets.section_guess import loops
from nprl.shields.synthesis.sets.sections import METHOD as SECTIONS
from nprl.shields.synthesis.sets.sections import chain_candidates
from nprl.shields.synthesis.sets.tangent_cuts import HASTES, Hurried, tangent_cuts
from nprl.shields.synthesis.sets.union import METHOD as UNION
from nprl.shields.synthesis.views.equilibrium import Point, equilibria, nearest
from nprl.shields.synthesis.views.linearise import Inclusion, inclusion
from nprl.shields.synthesis.views.pieces import pieces
from nprl.shields.synthesis.views.polytope import HULL_DIMENSIONS, irredundant
from nprl.shields.synthesis.views.polytope import volume as polytope_volume
from nprl.shields.synthesis.views.problem import Problem, Unsuitable, problem_of
from nprl.shields.synthesis.views.volume import volume

__all__ = ["Candidate", "candidates"]

CONTROL_INVARIANT_DIMENSIONS = 3
SCALES = (1.0, 0.7, 0.5, 0.35, 0.25, 0.15, 0.1)
"""Of the box of analysis for ellipsoids, relative to the ranges."""
LINEAR_SCALES = (1.0, 0.3)
"""A smaller box constrains a linear system only more; one is tried for the solver's sake."""
RATES = (0.999, 0.99, 0.98, 0.95, 0.9, 0.8)
REFINEMENTS = 3
MOST_CURVED_ROWS = 40
"""Of a polytope whose every row is to be proved slice by slice."""
FEW_ROWS = 40
"""Of one group in a product."""
SAFE, LQR = "safe set itself", "invariant polytope of an LQR gain"
ONE, SEVERAL = "ellipsoid, one map and a remainder", "ellipsoid, several maps"
GOAL, TANGENTS = "polytope kept until the goal", "polytope cut by tangents"
FINITE = "polytope, nearest choice"
POLYTOPE_SHARE, TANGENT_SHARE, PRODUCT_SHARE, GOAL_SHARE = 0.3, 0.3, 0.4, 0.8
ELLIPSOID_SHARE, GROWN_SHARE, FITTED_SHARE, LQR_SHARE, SECTIONS_SHARE = 0.4, 0.6, 0.7, 0.6, 0.8
POLYNOMIAL_SHARE = 0.6
"""Of the time that is left: for one method, the proofs of its candidates included."""
PIECES_SHARE = 0.5
"""Of the time, for sets within one piece of S, where there are several."""
MANY_DIMENSIONS = 18
NEARLY = 0.05
"""Of the starts' width: points so near to each other are one."""
WORTH = 0.8
"""The part of the largest volume so far that a finer polytope by tangents has, or it is the last."""


def candidates(
    model: Model, seed: int = 0, budget: Budget | None = None, unions: bool = False
) -> Iterator[Candidate]:
    """Candidates whose set holds the initial box, cheapest method first.

    The order: S itself; the control-invariant polytope (up to three dimensions); ellipsoids, the
    largest and those grown from the starts; invariant polytopes of LQR gains; chains of sections
    (two dimensions); polynomial inequalities (two to four). A union of modes, for a safe set of
    several pieces, is last; with ``unions`` it is first: it holds more, and takes longer. The same
    model and seed give the same candidates, until the budget's time is over; methods that find none
    are noted there.

    Raises:
        Unsuitable: for a model that no method fits; says what it has.
    """
    budget = budget or Budget()
    ways: list[list[Iterator[Candidate]]] = []
    reasons = []
    split = pieces(model)
    alone = budget.part(PIECES_SHARE) if len(split) > 1 and not unions else budget
    for piece in split:
        try:
            if model.choices is None:
                ways.append(_ways(problem_of(piece), seed, alone))
            else:
                ways.append([_noted(alone, FINITE, partial(finite_candidates, piece, seed))])
        except Unsuitable as error:
            reasons.append(str(error))
    if not ways and not suits(model):
        raise Unsuitable(reasons[0] if reasons else "a safe set that is empty")
    by_method = zip_longest(*ways, fillvalue=iter(()))
    joint = []
    if len(split) > 1 and model.choices is None:
        joint = [
            _noted(budget, DRIVEN, partial(union_of_driven, model, split, seed)),
            _noted(budget, UNION, partial(union_of_few_rows, model, split, seed)),
        ]
    single = _until_over(chain.from_iterable(by_method))
    last = [_noted(budget, CELLS, partial(cells, model))] if suits(model) else []
    return _until_over([*joint, single, *last] if unions else [single, *joint, *last])


def _ways(problem: Problem, seed: int, budget: Budget) -> list[Iterator[Candidate]]:
    """The methods for a convex safe set, in their order."""
    points = equilibria(problem)
    maps = [inclusion(problem, point, seed=seed) for point in points]
    small = problem.n <= CONTROL_INVARIANT_DIMENSIONS
    curved = [True] if small and problem.m <= 1 and not maps[0].linear else []
    boxes = (SCALES if not maps[0].linear else (1.0,)) if small else ()
    pairs = list(zip(points, maps, strict=True))

    return [
        _noted(budget, SAFE, partial(_safe_itself, problem, maps[0], seed)),
        *(
            _noted(
                budget,
                _about("control-invariant polytope", scale),
                partial(_control_invariant, problem, p, one, scale, seed),
                POLYTOPE_SHARE if scale == 1 else POLYTOPE_SHARE / 3,
            )
            for scale in boxes
            for p, one in (pairs[:1] if scale == 1 else reversed(pairs))
        ),
        *(
            _noted(budget, TANGENTS, partial(_of_true_step, problem, maps[0], seed), TANGENT_SHARE)
            for _ in curved
        ),
        _noted(budget, GOAL, partial(_until_goal, problem, points[0], maps[0], seed), GOAL_SHARE),
        _noted(
            budget,
            PRODUCT,
            lambda part: decoupled(problem, partial(_small, budget=part), seed),
            PRODUCT_SHARE,
        ),
        *_of_ellipsoids(problem, pairs, seed, budget),
        *(_noted(budget, LQR, partial(_gain_sets, problem, one, seed), LQR_SHARE) for one in maps),
        _noted(budget, SECTIONS, partial(_sections, problem, seed), SECTIONS_SHARE),
        *(
            _noted(
                budget,
                POLYNOMIAL,
                partial(polynomial_sets, problem, points, seed),
                POLYNOMIAL_SHARE,
            )
            for _ in ([] if maps[0].linear else [True])
        ),
    ]


def _of_ellipsoids(
    problem: Problem, pairs: list[tuple[Point, Inclusion]], seed: int, budget: Budget
) -> list[Iterator[Candidate]]:
    """Largest ones by semidefinite programs, then those grown from the starts.

    First these, where programs are large, and where polytopes were tried for larger sets.
    """
    linear = pairs[0][1].linear
    kinds = (True,) if linear else (True, False)
    largest = [
        [
            _noted(
                budget,
                "ellipsoid" if linear else ONE if kind else SEVERAL,
                partial(_ellipsoids, problem, p, one, kind, seed),
                ELLIPSOID_SHARE,
            )
            for p, one in pairs
        ]
        for kind in kinds
    ]
    about = _about_starts(problem, [p for p, _ in pairs])
    grown = [_noted(budget, GROWN, partial(_grown, problem, p, seed), GROWN_SHARE) for p in about]
    fitted = [
        _noted(budget, FITTED, partial(_fitted, problem, p, seed), FITTED_SHARE)
        for p in about
        if not linear
    ]
    if problem.n > MANY_DIMENSIONS or problem.n <= CONTROL_INVARIANT_DIMENSIONS:
        return [*grown, *fitted, *chain.from_iterable(largest)]
    return [*largest[0], *fitted, *grown, *chain.from_iterable(largest[1:])]


def _about_starts(problem: Problem, points: list[Point]) -> list[Point]:
    """The points, and that nearest to the starts if it is none of them; the nearest first."""
    near, box = nearest(problem), problem.init_high - problem.init_low
    some = list(reversed(points))
    if near is None or any((np.abs(near.x - p.x) <= NEARLY * box).all() for p in some):
        return some
    return [*some, near]


def _grown(problem: Problem, point: Point, seed: int, budget: Budget) -> Iterator[Candidate]:
    for maps, found in grown_ellipsoids(problem, point, seed, budget):
        yield from ellipsoid_with_gain(problem, maps, found, GROWN, seed)


def _fitted(problem: Problem, point: Point, seed: int, budget: Budget) -> Iterator[Candidate]:
    for maps, found in fitted_ellipsoids(problem, point, seed, budget):
        yield from ellipsoid_with_gain(problem, maps, found, FITTED, seed)


def _of_true_step(
    problem: Problem, maps: Inclusion, seed: int, budget: Budget
) -> Iterator[Candidate]:
    """Polytopes by tangents, coarse ones first; finer ones unless they are much smaller."""
    starts = (problem.init_vertices() - maps.centre) / maps.unit
    best = 0.0
    for haste in HASTES:
        h = tangent_cuts(Hurried(problem, maps, haste), maps.h, starts, budget=budget, seed=seed)
        if h is None or len(h) > MOST_CURVED_ROWS:
            continue
        size = polytope_volume(h)
        if size < WORTH * best:
            return
        best = max(best, size)
        yield from kept_polytope(problem, maps, h, TANGENTS, seed, budget)


def _sections(problem: Problem, seed: int, budget: Budget) -> Iterator[Candidate]:
    """Sets that need not be convex, of two coordinates."""
    if problem.n == 2 and not any(map(has_pieces, problem.model.steps)):
        yield from chain_candidates(loops(problem, seed, budget), budget)


def _until_goal(
    problem: Problem, point: Point, whole: Inclusion, seed: int, budget: Budget
) -> Iterator[Candidate]:
    if problem.n > CONTROL_INVARIANT_DIMENSIONS or problem.m > 1:
        return
    for haste in HASTES:
        for maps, first, owed in until_goal(problem, point, whole):
            starts = (problem.init_vertices() - maps.centre) / maps.unit
            hurried = Hurried(problem, maps, haste)
            h = tangent_cuts(hurried, first, starts, owed, budget, seed)
            if h is not None:
                yield from kept_polytope(problem, maps, h, GOAL, seed, budget)


def _small(problem: Problem, seed: int, budget: Budget) -> Iterator[Candidate]:
    """Polytopes of a group of coordinates: S itself; the largest of few rows; the control-invariant one.

    Few rows, because a product has those of all its groups.
    """
    point = equilibria(problem)[0]
    maps = inclusion(problem, point, seed=seed)
    yield from _safe_itself(problem, maps, seed, budget)
    gains = [c for c in _gain_sets(problem, maps, seed, budget) if len(c.invariant[0]) <= FEW_ROWS]
    yield from sorted(gains, key=lambda c: -volume(problem.model, c).value)
    yield from _control_invariant(problem, point, maps, 1.0, seed, budget)


def _until_over(ways: Iterable[Iterator[Candidate]]) -> Iterator[Candidate]:
    with suppress(OutOfTime):
        yield from chain.from_iterable(ways)


def _noted(
    budget: Budget,
    method: str,
    find: Callable[[Budget], Iterator[Candidate]],
    share: float = 1.0,
) -> Iterator[Candidate]:
    """The candidates of a method, within a share of the time that is left when it begins, proofs included.

    If there are none, the budget notes that, and why.
    """
    if method in budget.hopeless:
        return
    since, some = time.monotonic(), False
    begin = method.partition(",")[0]
    families = {"ellipsoid": "ellipsoid", CELLS: "cells", POLYNOMIAL: "polynomial"}
    family = families.get(begin, "polytope")
    reason = "no such set that holds the initial set was found"
    try:
        budget.check(method)
        for candidate in find(budget.part(share) if share < 1 else budget):
            some = True
            yield candidate
    except OutOfTime as error:
        if budget.left() <= 0:
            budget.miss(family, method, since, str(error))
            raise
        reason = str(error)
    if not some:
        budget.miss(family, method, since, reason)


def _about(method: str, scale: float) -> str:
    return method if scale == 1 else f"{method} in {scale:g} of the box"


def _safe_itself(
    problem: Problem, maps: Inclusion, seed: int, budget: Budget
) -> Iterator[Candidate]:
    if problem.n <= HULL_DIMENSIONS:
        yield from kept_polytope(problem, maps, irredundant(maps.h), SAFE, seed, budget)
    elif maps.linear:
        found = farkas_gain(maps, maps.h, budget)
        if found is not None:
            yield from polytope_with_gain(problem, maps, maps.h, found[0], found[1], SAFE, seed)


def _control_invariant(
    problem: Problem, point: Point, maps: Inclusion, scale: float, seed: int, budget: Budget
) -> Iterator[Candidate]:
    """In the whole box, or in a smaller one, where a nonlinear step is nearer to one map."""
    if scale != 1:
        box = scale * np.array([float(c.high - c.low) / 2 for c in problem.model.state])
        away = np.maximum(problem.init_high - point.x, point.x - problem.init_low)
        if (away > box).any():
            return
        try:
            maps = inclusion(problem, point, box, seed=seed)
        except Unsuitable:
            return
    h = control_invariant(maps, budget)
    if h is not None and (maps.linear or len(h) <= MOST_CURVED_ROWS):
        method = _about("control-invariant polytope", scale)
        yield from kept_polytope(problem, maps, h, method, seed, budget)


def _ellipsoids(
    problem: Problem, point: Point, maps: Inclusion, remainder: bool, seed: int, budget: Budget
) -> Iterator[Candidate]:
    """For a nonlinear step: by one map with a remainder, or by the hull of several maps."""
    method = "ellipsoid" if maps.linear else ONE if remainder else SEVERAL
    for scale in LINEAR_SCALES if maps.linear else SCALES:
        try:
            found = _ellipsoid(problem, point, scale, remainder, seed, not maps.linear, budget)
        except Impossible:
            if maps.linear:
                return
            continue
        tried = [] if found is None else list(ellipsoid_with_gain(problem, *found, method, seed))
        yield from tried
        if tried and maps.linear:
            return


def _ellipsoid(
    problem: Problem,
    point: Point,
    scale: float,
    remainder: bool,
    seed: int,
    refine: bool,
    budget: Budget,
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
        try:
            found = invariant_ellipsoid(maps, init, RATES, budget)
        except Impossible:
            if best is None:
                raise
            return best
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


def _gain_sets(problem: Problem, maps: Inclusion, seed: int, budget: Budget) -> Iterator[Candidate]:
    for h, k in gain_sets(problem, maps, seed, budget):
        yield from polytope_with_gain(problem, maps, h, k, np.zeros(problem.m), LQR, seed)
