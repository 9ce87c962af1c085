"""The enclosure of a differential equation's flow holds its solutions; integrators are their formulas."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction as F
from typing import Any

import numpy as np
import pytest
from flow_examples import (
    EQUATIONS,
    TWO,
    Array,
    U,
    W,
    X,
    Y,
    arguments,
    cube,
    drawn,
    example,
    moments,
)

from nprl.flow import FlowError, recheck, sampled, statement
from nprl.flow.words import continuous
from nprl.lang.build import absolute, log, sqrt, tan, where
from nprl.lang.exact import evaluate
from nprl.lang.floats import compile_batch
from nprl.lang.terms import Truth, Var
from nprl.model import Coordinate, Model, ModelError, model_from_json

COUNT = 2000
PARTS = 4
"""How often the disturbance changes within a step."""


def rest(model: Model, name: str, held: bool) -> tuple[Array, Array, Array]:
    """What the polynomial leaves out, at many points, and its bounds: (N, n), (n,), (n,)."""
    rng = np.random.default_rng(0)
    given: tuple[Coordinate, ...] = EQUATIONS[name]["disturbance"]
    x, u = drawn(rng, model.state, COUNT), drawn(rng, model.action, COUNT)
    w = drawn(rng, given, 1 if held else PARTS, COUNT)
    assert model.dt is not None
    after = moments(name, x, u, w, np.array([float(model.dt)]))[:, :, 0]
    remainders = {c.name: c for c in model.disturbance[len(given) :]}
    mean = np.hstack([w.mean(axis=0), np.zeros((COUNT, len(remainders)))])
    run = compile_batch(
        model.steps, (model.state_names, model.action_names, model.disturbance_names)
    )
    polynomial = np.stack(run(x, u, mean), axis=1)
    bounds = [remainders.get(f"remainder_{n}") for n in model.state_names]
    low, high = (
        np.array([0.0 if c is None else float(getattr(c, side)) for c in bounds])
        for side in ("low", "high")
    )
    return after - polynomial, low, high


@pytest.mark.parametrize("name", EQUATIONS)
def test_solutions_lie_within_the_polynomial_and_its_remainder(name: str, capsys: Any) -> None:
    model = example(name)
    off, low, high = rest(model, name, held=False)
    assert (off >= low - 1e-10).all()
    assert (off <= high + 1e-10).all()
    with capsys.disabled():
        shares = (np.abs(off).max(axis=0) + 1e-12) / (np.maximum(-low, high) + 1e-12)
        print(f"\n{name}: greatest remainder seen, of its bound: {np.round(shares, 2)}")
    assert shares.max() > 0.25


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_each_order_encloses_and_a_higher_one_is_sharper(order: int) -> None:
    off, low, high = rest(example("pendulum", order=order), "pendulum", held=False)
    assert (off >= low).all()
    assert (off <= high).all()
    size = np.maximum(-low, high)
    assert (np.abs(off).max(axis=0) > size / 4).all()
    assert (size < np.array([0.05, 0.1]) * 0.3 ** (order - 1)).all()


@pytest.mark.parametrize("name", ["van der Pol", "a disturbance that is squared"])
def test_a_disturbance_that_is_held_has_a_smaller_remainder(name: str) -> None:
    model = example(name, held=True)
    off, low, high = rest(model, name, held=True)
    assert (off >= low - 1e-10).all()
    assert (off <= high + 1e-10).all()
    free = example(name).box()
    assert all(free[c.name][1] > c.high for c in model.disturbance[1:])


def test_an_equation_that_a_polynomial_solves_has_no_remainder() -> None:
    model = sampled(**arguments({X: Y, Y: U}, TWO, "0.1", "0.1", between=False))
    assert model.disturbance == ()
    x, y, u = F(1), F(1, 3), F(1, 7)
    after = evaluate(model.steps[0], {"x": x, "y": y, "u": u})
    assert after == x + y / 10 + u / 200


@pytest.mark.parametrize("name", EQUATIONS)
def test_who_is_in_the_tightened_set_at_both_ends_is_safe_in_between(name: str) -> None:
    model = example(name)
    stated = statement(model)
    assert stated is not None
    assert model.dt is not None
    rng = np.random.default_rng(1)
    given = EQUATIONS[name]["disturbance"]
    x, u = drawn(rng, model.state, COUNT), drawn(rng, model.action, COUNT)
    near = compile_batch([model.safe], [model.state_names])
    shares = rng.random((COUNT, 1)) * 0.02
    x = np.where(near(x)[0][:, None], x, x * (1 - shares))
    w = drawn(rng, given, PARTS, COUNT)
    times = np.linspace(0, float(model.dt), 13)[1:]
    path = moments(name, x, u, w, times, rtol=1e-9)
    kept = near(x)[0] & near(path[:, :, -1])[0]
    meant = compile_batch([stated.draft.safe], [model.state_names])
    assert kept.sum() > COUNT // 50
    for k in range(len(times)):
        assert meant(path[kept, :, k])[0].all()


def test_a_safe_set_is_tightened_by_what_a_trajectory_can_take_and_hardly_more() -> None:
    """From (1, 1/20) under u = -1 it is back at x = 1 after 1/10 s, and 1/800 beyond in between."""
    model = sampled(**arguments({X: Y, Y: U}, TWO, "0.1", "0.1", safe=X <= 1))
    lost = 1 - F(str(model.safe).removeprefix("x <= "))
    assert F(1, 800) <= lost <= F(1, 799)


def test_disjunctions_are_tightened_by_what_a_step_can_do() -> None:
    hole = (X >= F(1, 2)) | (Y <= 0)  # noqa: SIM300
    model = sampled(**arguments({X: Y, Y: U}, TWO, "0.1", "0.1", safe=hole))
    text = str(model.safe)
    assert text.startswith("x >= ")
    assert 0.7 <= float(F(text.split(" or ")[0].removeprefix("x >= "))) <= 0.72  # 0.1 (2 + 0.1)
    same = sampled(**arguments({X: Y, Y: U}, TWO, "0.1", "0.1", safe=~~hole))
    assert str(same.safe) == text
    absolutely = sampled(**arguments({X: Y, Y: U}, TWO, "0.1", "0.1", safe=absolute(X) <= 1))
    assert 0.998 <= float(F(str(absolutely.safe).removeprefix("abs(x) <= "))) < 1  # 0.1^2/8


def test_integrators_are_their_formulas() -> None:
    given = EQUATIONS["pendulum"]
    x = drawn(np.random.default_rng(2), given["state"], COUNT)
    u = drawn(np.random.default_rng(3), given["action"], COUNT)

    def f(z: Array) -> Array:
        return np.stack([z[:, 1], 15 * np.sin(z[:, 0]) + 3 * u[:, 0]], axis=1)

    def after(method: str, **changes: Any) -> Array:
        model = example("pendulum", method=method, **changes)
        run = compile_batch(model.steps, (model.state_names, model.action_names))
        return np.stack(run(x, u), axis=1)

    k1 = f(x)
    k2 = f(x + k1 / 40)
    k3 = f(x + k2 / 40)
    k4 = f(x + k3 / 20)
    np.testing.assert_allclose(after("rk4"), x + (k1 + 2 * k2 + 2 * k3 + k4) / 120, atol=1e-14)
    np.testing.assert_allclose(after("euler"), x + k1 / 20, atol=1e-15)
    speed = x[:, 1] + k1[:, 1] / 20
    turned = {"ode": dict(reversed(given["ode"].items()))}
    np.testing.assert_allclose(
        after("semi-implicit euler", **turned),
        np.stack([x[:, 0] + speed / 20, speed], axis=1),
        atol=1e-15,
    )
    place = x[:, 0] + x[:, 1] / 20
    np.testing.assert_allclose(
        after("semi-implicit euler"),
        np.stack([place, x[:, 1] + (15 * np.sin(place) + 3 * u[:, 0]) / 20], axis=1),
        atol=1e-15,
    )


def test_a_linear_equation_stays_linear_under_every_integrator() -> None:
    model = sampled(**EQUATIONS["linear"] | {"method": "rk4", "safe": Truth(True)})
    assert max(len(str(t)) for t in model.steps) < 400


METHODS = ["flow", "euler", "semi-implicit euler", "rk4"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["pendulum", "a disturbance that multiplies", "kinks"])
def test_a_model_is_computed_anew_from_what_its_file_states(method: str, name: str) -> None:
    turned = dict(reversed(EQUATIONS[name]["ode"].items()))
    model = model_from_json(example(name, method=method, ode=turned).to_json())
    assert recheck(model) == ()
    stated = statement(model)
    assert stated is not None
    assert stated.method == method
    assert stated.draft.safe == EQUATIONS[name]["safe"]
    lines, open_time = continuous(model)
    assert len(lines) == (2 if method == "flow" else 1)
    assert "the same" in lines[0]
    assert ("sampling instants" in open_time) == (method != "flow")


def test_a_model_that_is_not_what_it_states_is_found() -> None:
    model = example("pendulum")
    first, second = model.disturbance
    small = replace(first, low=first.low / 2)
    forged = {
        "the disturbance": {"disturbance": (small, second)},
        "the safe set": {"safe": cube(x="0.6", y="2")},
        "the step of x": {"step": {**model.step, "x": model.steps[0] + Var("u") / 100}},
        "the words of the integrator": {"integrator": model.integrator + "; proved"},
    }
    for what, change in forged.items():
        other = replace(model, **change)
        assert recheck(other) == (what,)
        (line,), open_time = continuous(other)
        assert "NOTHING IS CLAIMED" in line
        assert "sampling instants" in open_time
    broken = replace(model, integrator=model.integrator.replace("sin", "sine"))
    assert "NOTHING IS CLAIMED" in continuous(broken)[0][0]
    assert continuous(replace(model, integrator="Euler"))[0] == ()
    with pytest.raises(FlowError, match="states no differential equation"):
        recheck(replace(model, integrator="Euler"))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"method": "heun"}, "method is one of flow, euler, semi-implicit euler, rk4; got 'heun'"),
    ({"order": 0}, "order is a whole number from 1 to 8; got 0"),
    ({"dt": F(0)}, "dt is a positive number"),
    ({"method": "rk4", "between": True}, "take method='flow', or between=False"),
    ({"ode": {X: Y, Y: where(X >= 0, Y, U)}}, "order=1"),
    ({"ode": {X: Y, Y: absolute(X) + U}}, "need order=1"),
    ({"ode": {X: Y, Y: U / X}}, "its domain ends within the box"),
    ({"ode": {X: Y, Y: sqrt(X + F(3, 2)) + U}}, "its domain ends within the box"),
    ({"ode": {X: Y, Y: log(X) + U}}, "its domain ends within the box"),
    ({"ode": {X: Y, Y: tan(2 * X) + U}}, "its domain ends within the box"),
    ({"ode": {X: Y, Y: Y**3 + U}, "dt": F(1)}, "take a shorter dt"),
    ({"disturbance": (Coordinate("remainder_q", "1", F(-1), F(1)),)}, "is kept; take another"),
    ({"ode": {X: Y, Y: where(W >= 0, Y, U)}, "disturbance": (Coordinate("w", "1", -1, 1),)}, "jump"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_what_cannot_be_enclosed_is_refused_with_the_remedy(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(FlowError, match=message) as refused:
        sampled(**(arguments({X: Y, Y: U}, TWO, "0.1", "0.1") | change))
    assert "\n" not in str(refused.value)


def test_an_equation_that_misses_a_coordinate_is_refused() -> None:
    with pytest.raises(ModelError, match="misses the state coordinate 'y'"):
        sampled(**arguments({X: Y}, TWO, "0.1", "0.1"))
    with pytest.raises(TypeError, match="Fraction"):
        sampled(**arguments({X: Y, Y: 0.5 * U}, TWO, "0.1", "0.1"))
