"""Candidates for models with finitely many actions: sets that the choices nearest to a request keep.

The choices are relaxed to a box of requests with an adversary's error (`choices`). In up to three
dimensions a control-invariant polytope of the relaxed system is taken, in any the invariant
polytopes of LQR gains. With cheap control such a gain brings what the input moves at once to where
the error alone decides (a sliding surface), and its invariant polytope bounds the rest: the sliding
slab, found and not prescribed.

Source: V. Utkin, Sliding Modes in Control and Optimization, 1992; B. Picasso, A. Bicchi, On the
stabilization of linear systems under assigned I/O quantization, 2007.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from nprl.lang.terms import Term
from nprl.model import Model
from nprl.shields.synthesis.budget import Budget
from nprl.shields.synthesis.proposal import Candidate, holds_init, kept_polytope, sample_points
from nprl.shields.synthesis.sets.control_invariant import control_invariant
from nprl.shields.synthesis.sets.gain import gain_terms
from nprl.shields.synthesis.sets.lqr import admissible_set, lqr_gain
from nprl.shields.synthesis.trial import trial
from nprl.shields.synthesis.views.choices import Requests, answer, boxed, relaxed, requests
from nprl.shields.synthesis.views.equilibrium import Point, equilibria
from nprl.shields.synthesis.views.linearise import Inclusion, inclusion
from nprl.shields.synthesis.views.numeric import Array
from nprl.shields.synthesis.views.polytope import (
    HULL_DIMENSIONS,
    exact_polytope,
    vertices,
    volume,
)
from nprl.shields.synthesis.views.problem import Problem, Unsuitable, problem_of

SMALL = 3
"""Dimensions in which control-invariant polytopes are looked for."""
SCALES = (1.0, 0.7, 0.5, 0.35, 0.25)
"""Of the box of analysis, for a step that is not linear."""
REFINEMENTS = 2
TRIALS = 60
MAX_ROWS, MAX_STEPS = 180, 100
ENOUGH, MOST = 6, 3
"""Polytopes of gains that are looked for, and proposed, the largest first."""
REMAINDER = 1.5
"""How much more than its sampled remainder one map is said to leave."""
GAIN_DIGITS, DIGITS = 3, 9
"""Significant digits of a gain in units, before its polytope is looked for; and of its constant."""
CONTROL_INVARIANT = "control-invariant polytope, nearest choice"
GAIN = "invariant polytope of an LQR gain, nearest choice"


def finite_candidates(model: Model, seed: int, budget: Budget) -> Iterator[Candidate]:
    """Candidates for a model with choices and a convex safe set.

    Raises:
        Unsuitable: for a safe set that is no conjunction of affine comparisons.
        OutOfTime: where the budget's time is over.
    """
    box = problem_of(boxed(model))
    points = equilibria(box)
    for asked in requests(model):
        free = problem_of(relaxed(model, asked))
        for point in points:
            found = False
            for candidate in _about(model, box, free, asked, point, seed, budget):
                found = True
                yield candidate
            if found:
                break


def _about(
    model: Model,
    box: Problem,
    free: Problem,
    asked: Requests,
    point: Point,
    seed: int,
    budget: Budget,
) -> Iterator[Candidate]:
    whole = inclusion(box, point, seed=seed)
    if box.n <= SMALL:
        h = control_invariant(_asking(whole, asked), budget)
        if h is not None:
            x = sample_points(exact_polytope(h, whole.centre, whole.unit, box), whole, seed)
            for c in kept_polytope(free, whole, h, CONTROL_INVARIANT, seed, budget):
                backup = answer(model, c.backup)
                yield from _kept(box, c.invariant[0], backup, CONTROL_INVARIANT, x)
    if whole.linear:
        maps = _asking(whole, asked)
        yield from _proposed(model, box, free, maps, _gain_sets(free, maps, seed, budget), seed)
        return
    half = np.array([float(c.high - c.low) / 2 for c in model.state])
    for scale in SCALES:
        found = _refined(box, free, asked, point, scale * half, seed, budget)
        if found is not None:
            yield from _proposed(model, box, free, *found, seed)
            return


def _asking(maps: Inclusion, asked: Requests) -> Inclusion:
    """The inclusion with requests for inputs, and their errors as a disturbance."""
    error = np.array([float(e) for e in asked.error]) / maps.reach
    mean = maps.b.mean(axis=0)
    spread = (np.abs(maps.b - mean).max(axis=0) * error).sum(axis=1)
    lows = (np.array([float(v) for v in asked.low]) - maps.input_centre) / maps.reach
    highs = (np.array([float(v) for v in asked.high]) - maps.input_centre) / maps.reach
    g = np.hstack([maps.g, mean * error, np.diag(spread)[:, spread > 1e-12]])
    return replace(maps, lows=lows, highs=highs, g=g)


Found = list[tuple[Array, Array]]
"""Polytopes ``h z <= 1`` with their gains."""


def _refined(
    box: Problem,
    free: Problem,
    asked: Requests,
    point: Point,
    half: Array,
    seed: int,
    budget: Budget,
) -> tuple[Inclusion, Found] | None:
    """Polytopes for one map with a remainder on a box, then on smaller boxes that hold the largest."""
    best: tuple[Inclusion, Found] | None = None
    for turn in range(REFINEMENTS, -1, -1):  # one polytope is enough for the next box
        try:
            maps = inclusion(box, point, half, remainder=True, spare=REMAINDER, seed=seed)
        except Unsuitable:
            return best
        maps = _asking(maps, asked)
        found = _gain_sets(free, maps, seed, budget, 1 if turn else ENOUGH)
        if not found:
            return best
        best = maps, found
        corners = vertices(found[0][0])
        if corners is None:
            return best
        half = np.minimum(half, 1.05 * np.abs(corners).max(axis=0) * maps.unit)
    return best


def _gain_sets(
    free: Problem, maps: Inclusion, seed: int, budget: Budget, enough: int = ENOUGH
) -> Found:
    """Invariant polytopes of gains that hold the initial box: the first found, or the largest first.

    In more dimensions than have a volume, the first.
    """
    rng = np.random.default_rng(seed)
    init = (np.vstack([free.init_low, free.init_high]) - maps.centre) / maps.unit
    a, b = maps.a.mean(axis=0), maps.b.mean(axis=0)
    n, m = b.shape
    scale = maps.reach[:, None] / maps.unit
    enough = min(enough, MOST) if n > HULL_DIMENSIONS else enough
    found: list[tuple[float, Array, Array]] = []
    for _ in range(TRIALS):
        state = np.exp(rng.uniform(-4.0, 4.0, n))
        effort = np.exp(rng.uniform(-8.0, 1.0)) * np.exp(rng.uniform(-1.0, 1.0, m))
        k = lqr_gain(a, b, state, effort)
        if k is None:
            continue
        k = _short(k * scale) / scale
        h = admissible_set(maps, k, init, budget, MAX_ROWS, MAX_STEPS)
        if h is None:
            continue
        size = volume(h) if n <= HULL_DIMENSIONS else 0.0
        found.append((size, h, k))
        if len(found) == enough:
            break
    found.sort(key=lambda one: -one[0])
    return [(h, k) for _, h, k in found[:MOST]]


def _short(gain: Array) -> Array:
    """The gain with few significant digits."""
    short = [[float(f"{v:.{GAIN_DIGITS - 1}e}") for v in row] for row in gain]
    return np.array(short).reshape(gain.shape)


def _proposed(
    model: Model, box: Problem, free: Problem, maps: Inclusion, found: Found, seed: int
) -> Iterator[Candidate]:
    """The polytopes whose gain, in few digits and answered by choices, keeps them at sample points."""
    for h, k in found:
        polytope = exact_polytope(h, maps.centre, maps.unit, box)
        if not holds_init(box, polytope):
            continue
        rows = polytope.terms(model.state_names)
        x = sample_points(polytope, maps, seed)
        request = gain_terms(free, maps, k, np.zeros(free.m), DIGITS)
        yield from _kept(box, rows, answer(model, request), GAIN, x)


def _kept(
    box: Problem, rows: tuple[Term, ...], backup: tuple[Term, ...], method: str, x: Array
) -> Iterator[Candidate]:
    result = trial(box, rows, backup, x)
    if result.good:
        notes = {"method": method, "kept": result.kept, "init": result.init}
        yield Candidate("polytope", (rows,), backup, notes)
