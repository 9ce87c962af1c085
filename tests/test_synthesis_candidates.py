"""Candidates of the shipped systems and of small ones, held against the compiled step, hard.

The check here shares no code with `nprl.shields.synthesis.trial`: rows, backup and step are compiled one by one, the
boundary is found by bisection in the rows, and the worst corners of the disturbance are taken.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from fractions import Fraction
from itertools import islice, pairwise, product

import numpy as np
import pytest

from nprl.lang.build import absolute, all_of, cos, sin
from nprl.lang.exact import evaluate
from nprl.lang.floats import compile_batch
from nprl.lang.terms import Num, Term, Var, subterms
from nprl.model import Coordinate, Model
from nprl.shields.polynomial import polynomial
from nprl.shields.synthesis.candidate import Candidate, candidates
from nprl.shields.synthesis.sets.gain import responses
from nprl.shields.synthesis.sets.row_backup import row_backup
from nprl.shields.synthesis.synthesize import synthesize
from nprl.shields.synthesis.views.polytope import Polytope
from nprl.shields.synthesis.views.problem import problem_of

F = Fraction
X, Y, Z, U, V, W = Var("x"), Var("y"), Var("z"), Var("u"), Var("v"), Var("w")
METHODS = {
    "pendulum": "control-invariant polytope",
    "cartpole": "ellipsoid, one map and a remainder",
    "selfdriving": "control-invariant polytope",
    "lanekeeping": "ellipsoid",
    "magnetic_pointer": "control-invariant polytope",
    "linear_cartpole": "invariant polytope of an LQR gain",
}


def shipped(name: str) -> Model:
    model = importlib.import_module(f"nprl.envs.{name}").MODEL
    assert isinstance(model, Model)
    return model


def coordinate(v: Var, low: Fraction | int, high: Fraction | int) -> Coordinate:
    return Coordinate(v.name, "1", F(low), F(high))


def boundary(model: Model, candidate: Candidate, count: int, seed: int) -> np.ndarray:
    """Points on the boundary and inside, by bisection along rays from the middle of the starts."""
    rows = compile_batch(candidate.invariant[0], [model.state_names])
    rng = np.random.default_rng(seed)
    low = np.array([float(c.low) for c in model.state])
    high = np.array([float(c.high) for c in model.state])
    middle = np.array([float(sum(model.init[c.name])) / 2 for c in model.state])
    assert (np.stack(rows(middle[None])) >= 0).all()
    rays = rng.normal(size=(count, len(low))) * (high - low)
    rays[: 2 * len(low)] = np.vstack([np.diag(high - low), -np.diag(high - low)])[:count]
    near, far = np.zeros(count), np.ones(count) * 3
    for _ in range(60):
        half = (near + far) / 2
        inside = (np.stack(rows(middle + half[:, None] * rays)) >= 0).all(axis=0)
        near, far = np.where(inside, half, near), np.where(inside, far, half)
    edge = middle + near[:, None] * rays
    return np.vstack([edge, middle + (near * rng.random(count))[:, None] * rays])


def least_margins(model: Model, candidate: Candidate, count: int = 6000) -> tuple[float, float]:
    """The least row of a next state, and of the inputs' bounds, relative to their ranges."""
    x = boundary(model, candidate, count, seed=11)
    rows = compile_batch(candidate.invariant[0], [model.state_names])
    scale = np.stack(rows(x)).max(axis=1)
    u = np.stack(compile_batch(candidate.backup, [model.state_names])(x), axis=1)
    low = np.array([float(c.low) for c in model.action])
    high = np.array([float(c.high) for c in model.action])
    inputs = float((np.minimum(u - low, high - u) / (high - low)).min())
    names = [model.state_names, model.action_names, model.disturbance_names]
    step = compile_batch(model.steps, names)
    kept = np.inf
    for w in product(*((float(c.low), float(c.high)) for c in model.disturbance)):
        noise = np.broadcast_to(np.array(w), (len(x), len(w)))
        after = np.stack(step(x, u, np.ascontiguousarray(noise)), axis=1)
        kept = min(kept, float((np.stack(rows(after)) / scale[:, None]).min()))
    return kept, inputs


def contains_init(model: Model, candidate: Candidate) -> bool:
    """Exactly, at the corners: enough for rows that are concave."""
    corners = product(*(set(model.init[n]) for n in model.state_names))
    return all(
        evaluate(g, dict(zip(model.state_names, corner, strict=True))) >= 0
        for corner in corners
        for g in candidate.invariant[0]
    )


def hold(model: Model, candidate: Candidate) -> None:
    """Assert what a candidate promises."""
    kept, inputs = least_margins(model, candidate)
    assert kept >= 1e-6
    assert inputs >= 0
    assert contains_init(model, candidate)
    own = own_numbers(model)
    for t in (t for g in candidate.invariant[0] for t in subterms(g) if isinstance(t, Num)):
        assert Fraction(float(t.value)) == t.value or t.value in own


def own_numbers(model: Model) -> set[Fraction]:
    """Numbers of S and the ranges: they stay as they are, also where they are no doubles."""
    bounds = [b for c in model.state for b in (c.low, c.high)]
    found = {t.value for t in subterms(model.safe) if isinstance(t, Num)}
    return {s * v for v in (*bounds, *found) for s in (1, -1)}


def first(model: Model) -> Candidate:
    found = next(candidates(model), None)
    assert found is not None
    hold(model, found)
    return found


SLOW = [
    pytest.param(n, marks=pytest.mark.slow) for n in METHODS if n not in ("pendulum", "cartpole")
]


@pytest.mark.parametrize("name", ["pendulum", "cartpole", *SLOW])
def test_each_shipped_system_has_a_candidate_that_its_backup_keeps(name: str) -> None:
    found = first(shipped(name))
    assert found.notes["method"] == METHODS[name]
    assert len(found.invariant[0]) <= (200 if name == "linear_cartpole" else 12)
    if name == "pendulum":
        assert len(found.invariant[0]) == 8
        assert len(str(found.backup[0])) <= len("clip(-5.4 * theta - 1.3 * omega, -2, 2)")


def test_the_same_seed_gives_the_same_candidates() -> None:
    model = integrator()
    assert next(candidates(model, seed=3)) == next(candidates(model, seed=3))


def integrator(**changes: object) -> Model:
    """x' = x + y / 10, y' = y + u / 10."""
    model = Model(
        name="integrator",
        state=(coordinate(X, -1, 1), coordinate(Y, -1, 1)),
        action=(coordinate(U, -1, 1),),
        step={X: X + F(1, 10) * Y, Y: Y + F(1, 10) * U},
        init={X: (F(-1, 10), F(1, 10)), Y: (F(-1, 10), F(1, 10))},
        safe=all_of(X >= -1, X <= 1, Y >= -1, Y <= 1),
    )
    return replace(model, **changes)  # type: ignore[arg-type]


def test_a_safe_set_that_a_gain_keeps_is_its_own_invariant() -> None:
    model = integrator(step={X: F(4, 5) * X + F(1, 10) * Y, Y: F(11, 10) * Y + F(1, 5) * U})
    found = first(model)
    assert found.notes["method"] == "safe set itself"
    assert {str(g) for g in found.invariant[0]} == {"1 - x", "1 + x", "1 - y", "1 + y"}


def test_the_rows_of_safe_stay_exact_and_open_faces_are_moved_inside() -> None:
    third = F(1, 3)
    closed = first(integrator(safe=all_of(-third <= X, third >= X)))
    assert "1/3 - x" in {str(g) for g in closed.invariant[0]}
    opened = first(integrator(safe=all_of(-third < X, third > X)))
    for g in opened.invariant[0]:
        p = polynomial(g)
        if set(p) == {(), (("x", 1),)}:
            reach = p[()] / abs(p[(("x", 1),)])
            assert third - F(1, 1000) < reach < third


def test_an_equilibrium_away_from_the_origin_and_an_asymmetric_set() -> None:
    model = integrator(
        state=(coordinate(X, 2, 5), coordinate(Y, -1, 1)),
        step={X: X + F(1, 10) * Y, Y: Y + F(1, 10) * (U + F(1, 2) - F(1, 8) * X)},
        action=(coordinate(U, -1, 2),),
        init={X: (F(3), F(31, 10)), Y: (F(0), F(1, 10))},
        safe=all_of(X >= 2, X <= 5, Y >= -1, F(1, 2) >= Y),
    )
    assert first(model).notes["method"] == "control-invariant polytope"


def test_a_disturbance_that_is_not_centred() -> None:
    model = integrator(
        step={X: X + F(1, 10) * Y, Y: Y + F(1, 10) * (U + W)},
        disturbance=(coordinate(W, F(-1, 10), F(3, 10)),),
    )
    first(model)


def test_a_disturbance_that_scales_the_input() -> None:
    model = integrator(
        step={X: X + F(1, 10) * Y, Y: Y + F(1, 10) * W * U},
        disturbance=(coordinate(W, F(1, 2), F(3, 2)),),
    )
    first(model)


def test_several_inputs() -> None:
    model = integrator(
        action=(coordinate(U, -1, 1), coordinate(V, F(-1, 4), F(1, 2))),
        step={X: F(21, 20) * X + F(1, 10) * Y + F(1, 5) * V, Y: F(11, 10) * Y + F(1, 5) * U},
    )
    assert len(first(model).backup) == 2


def test_a_curved_step_with_sine_cosine_and_division() -> None:
    push = (U + sin(X)) / (2 + cos(X))
    model = integrator(step={X: X + F(1, 10) * Y, Y: Y + F(1, 10) * push})
    for found in islice(candidates(model), 3):
        hold(model, found)


def test_one_dimension() -> None:
    model = Model(
        name="one",
        state=(coordinate(X, -2, 1),),
        action=(coordinate(U, -1, 1),),
        step={X: F(11, 10) * X + F(1, 2) * U},
        init={X: (F(-1, 10), F(1, 10))},
        safe=absolute(X) <= 3,
    )
    first(model)


@pytest.mark.slow
def test_a_chain_of_seven_is_held_by_an_ellipsoid() -> None:
    names = [Var(f"x{i}") for i in range(7)]
    step: dict[Var, Term] = {names[0]: F(21, 20) * names[0] + F(1, 10) * U}
    step |= {b: F(9, 10) * b + F(1, 10) * a for a, b in pairwise(names)}
    model = Model(
        name="chain",
        state=tuple(coordinate(v, -1, 1) for v in names),
        action=(coordinate(U, F(-1, 4), 1),),
        step=step,
        init={v: (F(-1, 10), F(1, 10)) for v in names},
        safe=names[-1] <= F(1, 2),
    )
    assert first(model).family == "ellipsoid"


def test_the_least_input_that_all_rows_allow_is_a_backup_too() -> None:
    model = shipped("pendulum")
    problem = problem_of(model)
    rows = []
    found = next(candidates(model))
    for g in found.invariant[0]:
        p = polynomial(g)
        rows.append((tuple(-p.get(((n, 1),), F(0)) for n in model.state_names), p[()]))
    polytope = Polytope(tuple(rows))
    x = boundary(model, found, 4000, seed=5)
    seen = responses(problem, polytope, x)
    assert seen is not None
    backup = row_backup(problem, polytope, seen)
    assert backup is not None
    assert "max" in str(backup[0])
    kept = Candidate("polytope", (polytope.terms(model.state_names),), backup)
    assert least_margins(model, kept)[0] >= 1e-6


def test_a_model_that_no_method_fits_is_told_why() -> None:
    found = synthesize(integrator(safe=X * Y <= 1))
    assert found.certificate is None
    assert "curved face" in found.reason


def test_a_set_that_nothing_keeps_has_no_candidates() -> None:
    runaway = integrator(step={X: 2 * X + 1, Y: Y})
    assert list(candidates(runaway)) == []
