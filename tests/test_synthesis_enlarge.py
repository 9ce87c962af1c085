"""Larger sets after the first proof: grown by runs, proved, and never smaller than what was there."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction as F
from itertools import pairwise

import numpy as np
import pytest

from nprl.envs.duffing import MODEL as DUFFING
from nprl.lang.terms import Var
from nprl.model import Coordinate, Model
from nprl.shields.certificate import Certificate
from nprl.shields.checker import Verdict, check
from nprl.shields.synthesis.budget import Budget
from nprl.shields.synthesis.certify import certify
from nprl.shields.synthesis.enlarge import larger, size
from nprl.shields.synthesis.proposal import kept_polytope
from nprl.shields.synthesis.sets.control_invariant import control_invariant
from nprl.shields.synthesis.sets.hulls import MARGINS, grown
from nprl.shields.synthesis.sets.tangent_cuts import Hurried
from nprl.shields.synthesis.views.equilibrium import equilibria
from nprl.shields.synthesis.views.linearise import Inclusion, inclusion
from nprl.shields.synthesis.views.numeric import Array
from nprl.shields.synthesis.views.polytope import volume
from nprl.shields.synthesis.views.problem import Problem, problem_of

Y, V, U = Var("y"), Var("v"), Var("u")
BRAKING = Model(
    name="test/Braking",
    state=(Coordinate("y", "m", F(-1), F(1)), Coordinate("v", "m/s", F(-1), F(1))),
    action=(Coordinate("u", "m/s^2", F(-1), F(1)),),
    step={"y": Y + V / 10, "v": V + U / 10},
    init={"y": (F(0), F(0)), "v": (F(0), F(0))},
    safe=(Y <= 1) & (Y >= -1) & (V <= 1) & (V >= -1),
)
"""A double integrator between two walls: what can be kept ends at two braking curves, 83 % of S."""


def seen(model: Model, part: float) -> tuple[Problem, Inclusion, Array]:
    """The problem, its maps, and a small set that is kept: that of a part of the box."""
    problem = problem_of(model)
    point = equilibria(problem)[0]
    box = part * np.array([float(c.high - c.low) / 2 for c in model.state])
    small = inclusion(problem, point, box)
    h = control_invariant(small)
    assert h is not None
    whole = inclusion(problem, point)
    return problem, whole, h * whole.unit / small.unit


def first(model: Model, part: float) -> Certificate:
    problem, maps, h = seen(model, part)
    return certify(model, next(kept_polytope(problem, maps, h, "first", 0)))


@pytest.mark.slow
def test_a_small_set_of_a_strong_spring_grows_over_most_of_what_can_be_kept() -> None:
    problem, maps, h = seen(DUFFING, 0.6)
    wider = grown(problem, maps, h, Budget(20))
    assert wider is not None
    assert volume(wider) > 2 * volume(h)
    assert (wider @ ((problem.init_vertices() - maps.centre) / maps.unit).T).max() <= 1
    rng = np.random.default_rng(5)
    z = rng.uniform(-1, 1, (2000, 2))
    z = z[(z @ wider.T).max(axis=1) <= 1]
    assert Hurried(problem, maps, 1.0).allows(wider, z, 1.0).all()


def test_a_set_that_is_not_kept_does_not_grow() -> None:
    problem, maps, _ = seen(DUFFING, 0.6)
    assert grown(problem, maps, maps.h, Budget(5)) is None  # all of S


def test_some_input_is_allowed_where_the_least_greatest_row_is_low_enough() -> None:
    problem, maps, h = seen(DUFFING, 0.6)
    step = Hurried(problem, maps, 1.0)
    z = np.random.default_rng(0).uniform(-1, 1, (500, 2))
    least = step.values(h, z)[0]
    for level in (0.7, 1 - MARGINS[0], 1.3):
        sure = np.abs(least - level) > 1e-6
        assert (step.allows(h, z, level) == (least <= level))[sure].all()


@pytest.mark.slow
def test_each_larger_set_is_proved_and_larger_than_the_one_before() -> None:
    small = first(BRAKING, 0.3)
    found = [small, *larger(small, 20.0)]
    assert len(found) > 1
    assert all(size(b) > 1.02 * size(a) for a, b in pairwise(found))
    assert size(found[-1]) > 0.75
    assert all(check(c).verdict is Verdict.VERIFIED for c in found[1:])
    assert all(c.model == BRAKING for c in found)


def test_where_all_of_the_safe_set_is_held_nothing_larger_is_found() -> None:
    model = replace(BRAKING, step={"y": Y * F(9, 10), "v": V * F(9, 10)})
    whole = first(model, 1.0)
    assert size(whole) == pytest.approx(1.0)
    assert list(larger(whole, 5.0)) == []


def test_time_is_positive() -> None:
    with pytest.raises(ValueError, match="seconds is positive; got 0"):
        next(larger(first(BRAKING, 0.3), 0))
