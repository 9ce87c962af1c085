"""Polytopes round the orbits of the starts, for a system without inputs in few dimensions.

The hull of what the orbits reach in some directions, widened by its own images until it holds them.
An orbit ends where a state is terminal, and terminal states have no image.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nprl.shields.synthesis.proposal import Candidate
from nprl.shields.synthesis.trial import alive
from nprl.shields.synthesis.views.equilibrium import equilibria
from nprl.shields.synthesis.views.linearise import Inclusion, inclusion
from nprl.shields.synthesis.views.numeric import Array, Mask
from nprl.shields.synthesis.views.polytope import exact_polytope, irredundant, samples
from nprl.shields.synthesis.views.problem import Problem

STARTS = (1.02, 1.3)
GROWTHS, GROWTH = 60, 0.01
GROWTH_SAMPLES = 600
SPARE = 1e-4
INNER = 1e-3
"""The least that orbits count as reaching, in units: in each coordinate; in each direction, as a
part of all. So the centre is inside where orbits begin in it and leave to one side."""
STEPS = 400
DIRECTIONS = {1: (2,), 2: (8, 16, 32, 64), 3: (60,)}
MOST = max(DIRECTIONS)
"""Dimensions."""


def round_orbits(problem: Problem, seed: int) -> Iterator[Candidate]:
    """Polytopes round the orbits of the starts, grown until the closed loop keeps them."""
    maps = inclusion(problem, equilibria(problem)[0], seed=seed)
    starts = (problem.init_vertices() - maps.centre) / maps.unit
    for count in DIRECTIONS[problem.n]:
        rows = _directions(problem.n, count, seed)
        for factor in STARTS:
            seen = _visited(problem, maps, starts * factor, seed)
            spanned = rows / np.maximum(np.abs(seen).max(axis=0), INNER)
            reach = np.maximum((seen @ spanned.T).max(axis=0), INNER)
            h = _grown(problem, maps, spanned, reach, seed)
            if h is not None:
                polytope = exact_polytope(h, maps.centre, maps.unit, problem)
                method = f"orbits of {factor:g} times the starts, {len(h)} directions"
                terms = polytope.terms(problem.model.state_names)
                yield Candidate("polytope", (terms,), (), {"method": method})


def _grown(problem: Problem, maps: Inclusion, rows: Array, reach: Array, seed: int) -> Array | None:
    """The polytope ``rows z <= reach``, widened by its own images until it holds them."""
    rng = np.random.default_rng(seed)
    for _ in range(GROWTHS):
        if not np.isfinite(reach).all() or (reach < 1e-9).any():
            return None
        try:
            h = irredundant(rows / reach[:, None])
        except ValueError:
            return None
        z = samples(h, GROWTH_SAMPLES, rng)
        if (z @ maps.h.T).max() > 1 - 1e-6:
            return None
        z = _last(problem, maps, z, rng)
        images = [_next(problem, maps, z, w) @ rows.T for w in problem.w]
        image = np.max([i.max(axis=0, initial=-np.inf) for i in images], axis=0)
        short = image > reach * (1 - SPARE)
        if not short.any():
            return h
        reach = np.where(short, np.maximum(reach, image) * (1 + GROWTH), reach)
    return None


def _directions(n: int, count: int, seed: int) -> Array:
    if n == 1:
        return np.array([[1.0], [-1.0]])
    if n == 2:
        angle = 2 * np.pi * np.arange(count) / count
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)
    some = np.random.default_rng(seed).normal(size=(count // 2, n))
    every = np.vstack([some / np.linalg.norm(some, axis=1, keepdims=True), np.eye(n)])
    return np.vstack([every, -every])


def _living(problem: Problem, maps: Inclusion, z: Array) -> Mask:
    return alive(problem, maps.centre + maps.unit * z)


def _last(problem: Problem, maps: Inclusion, z: Array, rng: np.random.Generator) -> Array:
    """The points that are not terminal, and such at the edge of the terminal ones."""
    living = _living(problem, maps, z)
    if living.all() or not living.any():
        return z[living]
    near = z[living][rng.integers(living.sum(), size=len(z))]
    far = z[~living][rng.integers((~living).sum(), size=len(z))]
    for _ in range(40):
        middle = (near + far) / 2
        alive_there = _living(problem, maps, middle)[:, None]
        near, far = np.where(alive_there, middle, near), np.where(alive_there, far, middle)
    return np.vstack([z[living], near])


def _next(problem: Problem, maps: Inclusion, z: Array, w: Array) -> Array:
    x = maps.centre + maps.unit * z
    after = problem.next(x, np.zeros((len(x), 0)), w)
    return np.asarray((after - maps.centre) / maps.unit)


def _visited(problem: Problem, maps: Inclusion, z: Array, seed: int) -> Array:
    """All states on the orbits of some points, several for each."""
    rng = np.random.default_rng(seed)
    now = np.repeat(z, 8, axis=0)
    seen = [now]
    for _ in range(STEPS):
        w = problem.w[rng.integers(0, len(problem.w))]
        now = now[_living(problem, maps, now)]
        now = _next(problem, maps, now, w)
        seen.append(now)
    return np.vstack(seen)
