"""Polytopes by tangents: kept by the true step, and found where an inclusion is too coarse."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from nprl.envs.duffing import MODEL as DUFFING
from nprl.lang.text import parse
from nprl.shields.polynomial import polynomial
from nprl.shields.synthesis.proofs.combine import combine
from nprl.shields.synthesis.sets.tangent_cuts import Hurried, tangent_cuts
from nprl.shields.synthesis.views.equilibrium import equilibria
from nprl.shields.synthesis.views.linearise import inclusion
from nprl.shields.synthesis.views.polytope import volume
from nprl.shields.synthesis.views.problem import problem_of


def test_tangents_hold_more_of_a_strong_spring_than_its_inclusion() -> None:
    problem = problem_of(DUFFING)
    maps = inclusion(problem, equilibria(problem)[0])
    starts = (problem.init_vertices() - maps.centre) / maps.unit
    h = tangent_cuts(Hurried(problem, maps, 16.0), maps.h, starts)
    assert h is not None
    assert (h @ starts.T).max() <= 1
    assert volume(h) > 0.7 * volume(maps.h)
    rng = np.random.default_rng(1)
    z = rng.uniform(-1, 1, (2000, 2))
    z = z[(z @ h.T).max(axis=1) <= 1]
    best = np.full(len(z), np.inf)
    for a in np.linspace(-50, 50, 101):
        after = problem.next(5 * z, np.full((len(z), 1), a), problem.w[0]) / 5
        best = np.minimum(best, (after @ h.T).max(axis=1))
    assert best.max() <= 1


def test_multipliers_of_unbounded_variables_cancel_without_losing_the_others() -> None:
    premises = {k: polynomial(parse(t)) for k, t in enumerate(("1 + x - c", "1 + x + c"))}
    box = {"c": (Fraction(-2), Fraction(2))}
    found = combine(polynomial(parse("x + 1")), premises, box)
    assert found is not None
    assert found.slack == 0
    assert found.multipliers == {0: Fraction(1, 2), 1: Fraction(1, 2)}
