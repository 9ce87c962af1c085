"""Ellipsoids fitted to the true step, steps with abs, min and max, and reasons that say what would help."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from experiments.unseen_models import model_of
from nprl.envs.published import benchmark
from nprl.lang.terms import Num, Var
from nprl.model import Model
from nprl.shields.certificate import Certificate
from nprl.shields.checker import Verdict, check
from nprl.shields.exact import check as check_exactly
from nprl.shields.synthesis.advice import advice
from nprl.shields.synthesis.budget import Budget, OutOfTime
from nprl.shields.synthesis.certify import certify
from nprl.shields.synthesis.outcome import Attempt, Outcome
from nprl.shields.synthesis.portfolio import search
from nprl.shields.synthesis.proofs.search import NotProved
from nprl.shields.synthesis.proposal import ellipsoid_with_gain
from nprl.shields.synthesis.sets.fitted import METHOD, fitted_ellipsoids
from nprl.shields.synthesis.sets.grown import grown_ellipsoids
from nprl.shields.synthesis.trial import trial
from nprl.shields.synthesis.views.equilibrium import equilibria
from nprl.shields.synthesis.views.problem import problem_of


def fitted(model: Model, seconds: float = 60.0) -> Certificate | None:
    """The first fitted ellipsoid that is proved."""
    problem = problem_of(model)
    for point in equilibria(problem):
        for found in fitted_ellipsoids(problem, point, 0, Budget(seconds)):
            for candidate in ellipsoid_with_gain(problem, *found, METHOD, 0):
                try:
                    return certify(model, candidate, seconds)
                except NotProved:
                    continue
    return None


def twice(certificate: Certificate | None) -> None:
    """Both checkers accept it."""
    assert certificate is not None
    assert check(certificate).verdict is Verdict.VERIFIED
    assert not any(check_exactly(json.dumps(certificate.to_json()).encode()).values())


def drag(**parts: Any) -> Model:
    """A vehicle with quadratic drag that pushes as hard as its motor can."""
    given: dict[str, Any] = dict(
        state={"x": "1", "v": "1"},
        action={"u": "2"},
        step={"x": "v", "v": "u - 0.8 * v * abs(v)"},
        init={"x": "0.2", "v": "0.1"},
        euler="0.05",
    )
    return benchmark("fitted/drag", reward="0", horizon=100, **(given | parts))


def test_a_step_whose_linearisation_misleads_has_a_fitted_ellipsoid() -> None:
    model = model_of("harvest2")
    problem = problem_of(model)
    (point,) = equilibria(problem)
    assert not list(grown_ellipsoids(problem, point, 0, Budget(60.0)))
    twice(fitted(model))


def test_fitting_keeps_within_its_time() -> None:
    problem = problem_of(model_of("harvest2"))
    with pytest.raises(OutOfTime):
        list(fitted_ellipsoids(problem, equilibria(problem)[0], 0, Budget(0.0)))


@pytest.mark.parametrize(
    "force",
    [
        "u - 0.8 * v * abs(v)",
        "u - max(v, 2 * v) * 0.3 - 0.1 * v ** 3",
        "min(u + 0.1 * x ** 2, 3) - abs(v + 2) * v",
    ],
    ids=["abs", "max", "one side"],
)
def test_abs_min_and_max_in_a_curved_step_are_near_polynomials(force: str) -> None:
    twice(fitted(drag(step={"x": "v", "v": force})))


def test_an_equilibrium_is_found_where_the_middle_leads_to_none() -> None:
    model = model_of("lorenz")
    points = equilibria(problem_of(model))
    half = np.array([float(c.high - c.low) / 2 for c in model.state])
    assert points
    assert all((np.abs(p.residual) < 1e-5 * half).all() for p in points)


def test_a_coordinate_that_leaves_its_range_whatever_is_done_is_named() -> None:
    text = advice(model_of("drift6"))
    assert text.startswith("x grows at every step whatever is done, and leaves its range")
    assert "leave it out if nothing needs it" in text
    assert "y grows" not in text
    assert "no state of the safe set was found that some allowed input keeps" in text


def test_nothing_is_said_of_a_model_in_which_nothing_stands_in_the_way() -> None:
    assert advice(drag()) == ""


def test_a_quick_round_ends_with_the_first_that_is_proved() -> None:
    heard: list[Attempt] = []
    outcome = search(model_of("stable"), 60.0, tell=heard.append)
    assert outcome.certificate is not None
    assert tuple(heard) == outcome.tried


def attempt(method: str, reason: str) -> Attempt:
    """One that took a second."""
    return Attempt("ellipsoid", method, 1.0, reason)


@pytest.mark.parametrize(
    ("tried", "text"),
    [
        (
            [attempt("grown", "backup/0/0: the time is over"), attempt("cells", "no such set")],
            "2 methods were tried, none proved; grown: backup/0/0: the time is over; more seconds may help",
        ),
        (
            [attempt("grown", "backup/0/0: no squares")],
            "the set of grown was not proved: backup/0/0: no squares; a smaller step or",
        ),
        ([attempt("cells", "cells: 3 s are over")], "cells: 3 s are over; more seconds may help"),
        (
            [attempt("cells", "no such set")],
            "no set that holds the initial set was found; a smaller",
        ),
    ],
)
def test_an_unknown_says_what_would_help(tried: list[Attempt], text: str) -> None:
    assert text in Outcome(None, tuple(tried), 1.0).reason


def test_a_set_that_holds_none_of_the_sample_points_is_no_good_candidate() -> None:
    problem = problem_of(drag())
    rows, backup = (Var("x") - 5,), (Num(Fraction(0)),)
    assert not trial(problem, rows, backup, np.zeros((3, 2))).good
