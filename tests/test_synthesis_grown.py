"""Ellipsoids grown from the initial set, and the squares that prove them for a curved step."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from experiments.unseen import decide
from experiments.unseen import main as unseen
from experiments.unseen_models import SYSTEMS, model_of
from nprl.lang.terms import Num, Var
from nprl.model import Model
from nprl.shields.certificate import Certificate
from nprl.shields.checker import Verdict, check
from nprl.shields.exact import check as check_exactly
from nprl.shields.leaf import Premises, combination
from nprl.shields.polynomial import polynomial
from nprl.shields.sequent import Sequent
from nprl.shields.synthesis.budget import Budget
from nprl.shields.synthesis.certify import certify
from nprl.shields.synthesis.proofs.search import NotProved
from nprl.shields.synthesis.proofs.step_squares import Frame, Noise, step_squares
from nprl.shields.synthesis.proofs.step_view import View
from nprl.shields.synthesis.proposal import ellipsoid_with_gain
from nprl.shields.synthesis.sets.grown import METHOD, grown_ellipsoids
from nprl.shields.synthesis.views.equilibrium import Point, equilibria, nearest
from nprl.shields.synthesis.views.problem import problem_of
from nprl.shields.synthesis.views.quadratic import degree


def grown(model: Model, points: Sequence[Point] | None = None) -> Certificate | None:
    """The first grown ellipsoid that is proved."""
    problem = problem_of(model)
    for point in points or equilibria(problem):
        for found in grown_ellipsoids(problem, point, 0, Budget(60.0)):
            for candidate in ellipsoid_with_gain(problem, *found, METHOD, 0):
                try:
                    return certify(model, candidate, 60.0)
                except NotProved:
                    continue
    return None


@pytest.mark.parametrize("name", ["vdp_rev", "vdp", "lotka2", "dcdc2", "stable"])
def test_a_small_system_has_a_grown_ellipsoid_that_both_checkers_verify(name: str) -> None:
    certificate = grown(model_of(name))
    assert certificate is not None
    assert certificate.shield.family == "ellipsoid"
    assert check(certificate).verdict is Verdict.VERIFIED
    assert not any(check_exactly(json.dumps(certificate.to_json()).encode()).values())


@pytest.mark.parametrize("name", ["huge", "free4"])
def test_ranges_of_a_million_starts_widths_do_not_matter(name: str) -> None:
    model = model_of(name)
    point = nearest(problem_of(model))
    assert point is not None
    certificate = grown(model, [point])
    assert certificate is not None
    assert check(certificate).verdict is Verdict.VERIFIED
    assert not any(check_exactly(json.dumps(certificate.to_json()).encode()).values())


def test_no_point_is_nearest_where_no_input_keeps_one() -> None:
    assert nearest(problem_of(model_of("drift6"))) is None


def test_a_bound_with_a_squared_rounding_is_a_leaf_of_the_variables_themselves() -> None:
    x, u, one = Var("x"), Var("u"), Num(Fraction(1))
    away = u - Fraction(2) * x
    premises = (x + one, one - x, Num(Fraction(1, 8)) - away, away + Num(Fraction(1, 8)))
    law = {"u": polynomial(Fraction(2) * x + u)}
    view = View(Sequent(premises, ()), law, ("x",), 1, math.inf)
    goal = polynomial(away * away)
    found = view.bound(view.seen(goal))
    assert found.least == 0
    assert found.squares
    left = combination(found.leaf()[1][0], goal, Premises(premises)).remainder
    assert degree(left) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["react5", "bicycle4", "cart_asym", "tanks", "sat6", "chain12"])
def test_a_larger_system_has_one_too(name: str) -> None:
    certificate = grown(model_of(name))
    assert certificate is not None
    assert check(certificate).verdict is Verdict.VERIFIED
    assert not any(check_exactly(json.dumps(certificate.to_json()).encode()).values())


def test_a_proof_by_squares_is_refused_for_a_smaller_ellipsoid() -> None:
    certificate = grown(model_of("vdp_rev"))
    assert certificate is not None
    row = certificate.shield.invariant[0][0]
    shield = replace(certificate.shield, invariant=((row - Fraction(1, 10),),))
    assert check(replace(certificate, shield=shield)).verdict is not Verdict.VERIFIED


def test_no_shape_is_found_where_the_starts_are_all_of_the_safe_set() -> None:
    model = model_of("vdp")
    wide = {n: (Fraction(-29, 10), Fraction(29, 10)) for n in model.state_names}
    assert grown(replace(model, init=wide)) is None


def contraction(factor: Fraction) -> dict[str, object] | None:
    """Squares for ``next = factor x + x^2 / 10 + at most 1/1000`` to keep ``x^2 <= 1``."""
    one = Fraction(1)
    step = {(("x", 1),): factor, (("x", 2),): Fraction(1, 10)}
    form = {(("y", 1),): one} | {m: -c for m, c in step.items()}
    goal = {(): one, (("y", 2),): -one}
    inside = {(): one, (("x", 2),): -one}
    noise = Noise("y", form, Fraction(1, 1000), (1, 2), 2.0**-5)
    frame = Frame(("x",), (Fraction(0),), (one,))
    return step_squares(goal, (0, inside), {"y": step}, [noise], frame, 2, 10.0)


def test_squares_are_found_for_a_step_that_shrinks_the_set() -> None:
    found = contraction(Fraction(4, 5))
    assert found is not None
    assert found["squares"]
    assert found["products"]


def test_none_are_found_for_a_step_that_leaves_the_set() -> None:
    assert contraction(Fraction(95, 100)) is None


def test_every_unseen_system_is_a_model_whose_starts_are_safe_numbers() -> None:
    for name in SYSTEMS:
        model = model_of(name)
        ends = np.array([[float(v) for v in model.init[n]] for n in model.state_names])
        assert np.isfinite(ends).all()
        assert (ends[:, 0] <= ends[:, 1]).all()


def test_an_unknown_system_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert unseen(["--systems", "nothing"]) == 2
    assert "no system is called 'nothing'" in capsys.readouterr().err


def test_a_system_is_decided_from_its_model_alone() -> None:
    row = decide("stable", 30.0)
    assert row.verdict == "verified"
