"""Polynomial inequalities found from the model alone: fitted, proved, refused where broken, run."""

from __future__ import annotations

import functools
import json
from fractions import Fraction as F

import numpy as np
import pytest

from experiments.mutants_faults import fault
from experiments.mutants_made import mutants
from nprl.lang import exact as exactly
from nprl.lang.terms import Var
from nprl.model import Coordinate, Model
from nprl.shields import exact
from nprl.shields.certificate import Certificate
from nprl.shields.checker import Verdict, check
from nprl.shields.polynomial import polynomial
from nprl.shields.shield import Filter
from nprl.shields.synthesis.budget import Budget, OutOfTime
from nprl.shields.synthesis.candidate import Candidate
from nprl.shields.synthesis.certify import certify
from nprl.shields.synthesis.enlarge import size
from nprl.shields.synthesis.sets.polynomial_fit import Basis
from nprl.shields.synthesis.sets.polynomial_set import polynomial_sets, term_of
from nprl.shields.synthesis.sets.section_guess import closed
from nprl.shields.synthesis.sets.survivors import survivors
from nprl.shields.synthesis.views.equilibrium import equilibria
from nprl.shields.synthesis.views.numeric import values
from nprl.shields.synthesis.views.problem import problem_of

X, V, U = Var("x"), Var("v"), Var("u")
DT = F(1, 10)
MODEL = Model(
    name="test/Duffing-v0",
    state=(Coordinate("x", "m", F(-2), F(2)), Coordinate("v", "m/s", F(-2), F(2))),
    action=(Coordinate("u", "N", F(-1, 4), F(1, 4)),),
    step={X: X + DT * V, V: V + DT * (X - X**3 - V / 2 + U)},
    init={X: (F(4, 5), F(6, 5)), V: (F(-1, 10), F(1, 10))},
    safe=(X < 2) & (X > -2) & (V < 2) & (V > -2),
    dt=DT,
    integrator="Euler",
    horizon=100,
)
"""Two wells, each with states between them: what is kept is not convex."""


@functools.cache
def found() -> Candidate:
    problem = problem_of(MODEL)
    return next(polynomial_sets(problem, equilibria(problem), 0, Budget(120)))


@functools.cache
def proved() -> Certificate:
    return certify(MODEL, found(), 120)


def data() -> bytes:
    return json.dumps(proved().to_json()).encode()


def test_its_coefficients_are_those_of_the_scaled_basis() -> None:
    basis = Basis.of(np.array([1.0, 0.0]), np.array([2.0, 0.5]), 2)
    coefficients = np.arange(1.0, 1 + len(basis.powers))
    g = term_of(basis, coefficients, ("x", "v"))
    x = np.random.default_rng(0).normal(size=(20, 2))
    assert values((g,), ("x", "v"), x)[:, 0] == pytest.approx(basis(x) @ coefficients)


def test_a_sample_that_seems_to_stay_is_still_safe_long_after() -> None:
    problem = problem_of(MODEL)
    backup = found().backup
    seen = survivors(problem, backup, 1, Budget(60))
    assert seen is not None
    x = seen.x[seen.stays]
    for _ in range(500):
        x = closed(problem, backup, x, problem.w[0])
    assert (x @ problem.h.T <= problem.b + 1e-9).all(axis=1).mean() > 0.99
    assert (~seen.stays).any()


def test_without_time_the_search_ends_at_once() -> None:
    problem = problem_of(MODEL)
    with pytest.raises(OutOfTime):
        next(polynomial_sets(problem, equilibria(problem), 0, Budget(1e-9)))


def test_the_set_is_a_quartic_within_a_box_and_runs_stay_in_it() -> None:
    rows = found().invariant[0]
    assert found().family == "polynomial"
    assert max(sum(k for _, k in m) for m in polynomial(rows[0])) == 4
    problem = problem_of(MODEL)
    x = np.random.default_rng(0).uniform(-2, 2, (4000, 2))
    x = x[(values(rows, ("x", "v"), x) >= 0).all(axis=1)]
    for _ in range(200):
        x = closed(problem, found().backup, x, problem.w[0])
        assert (values(rows, ("x", "v"), x) >= 0).all()


@pytest.mark.slow
def test_it_is_proved_and_both_checkers_accept_it() -> None:
    assert size(proved()) > 0.6
    assert check(proved()).verdict is Verdict.VERIFIED
    assert not any(exact.check(data()).values())


@pytest.mark.slow
def test_mutants_with_a_fault_are_refused() -> None:
    kinds = {}
    for mutant in mutants(json.loads(data())):
        if mutant.kind not in kinds and fault(mutant.data):
            kinds[mutant.kind] = mutant
    assert {"dropped facet", "flipped sign", "scaled set", "widened start"} <= kinds.keys()
    for mutant in kinds.values():
        assert any(exact.check(json.dumps(mutant.data).encode()).values()), mutant.name


@pytest.mark.slow
def test_what_passes_the_compiled_test_leads_into_the_set_exactly() -> None:
    runs = Filter(proved(), trusted=True)
    rng = np.random.default_rng(0)
    states = rng.uniform(-2, 2, (300, 2))
    states = states[runs.inside_batch(states)]
    actions = rng.uniform(-0.25, 0.25, (len(states), 1))
    passes = runs.passes_batch(states, actions)
    assert passes.any()
    for x, u, good in zip(states.tolist(), actions.tolist(), passes, strict=True):
        assert runs.passes(x, u) == good
        at = dict(zip(("x", "v", "u"), map(F, (*x, *u)), strict=True))
        there = {n: exactly.evaluate(t, at) for n, t in zip("xv", MODEL.steps, strict=True)}
        if good:
            assert all(exactly.evaluate(g, there) > 0 for g in proved().shield.invariant[0])
    assert not runs.passes([float("nan"), 0.0], [0.0])
