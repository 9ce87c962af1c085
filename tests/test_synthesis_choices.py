"""Finite action sets: requests, the nearest choice, and shields proved for a few small systems."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction as F
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from nprl.env.state import write_state
from nprl.lang.terms import Var, Where
from nprl.model import Coordinate, Model
from nprl.shields import exact
from nprl.shields import proved as shipped
from nprl.shields.certificate import Certificate
from nprl.shields.checker import Verdict, check
from nprl.shields.load import load_certificate
from nprl.shields.plans import Coverage
from nprl.shields.shield import Filter
from nprl.shields.synthesis.plans import enlarged
from nprl.shields.synthesis.synthesize import synthesize
from nprl.shields.synthesis.views.choices import answer, relaxed, requests
from nprl.shields.synthesis.views.numeric import values
from nprl.shields.wrapper import Shield

X, V, Y, U, U2 = map(Var, ("x", "v", "y", "u", "u2"))
NEAR = (F(-1, 10), F(1, 10))
GRID = tuple((F(a), F(b)) for a in (-1, 0, 1) for b in (-1, 0, 1))
CROSS = tuple((F(a), F(b)) for a, b in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)))


def thermostat() -> Model:
    """A room that loses heat, a heater that is on or off."""
    warmth, heat = Var("warmth"), Var("heat")
    return Model(
        name="thermostat",
        state=(Coordinate("warmth", "C", F(15), F(25)),),
        action=(Coordinate("heat", "", F(0), F(1)),),
        choices=((F(0),), (F(1),)),
        step={warmth: warmth + F(1, 10) * ((10 - warmth) / 5 + 4 * heat)},
        init={warmth: (F(39, 2), F(41, 2))},
        safe=(warmth >= 18) & (warmth <= 22),
    )


def integrator() -> Model:
    """A cart that is pushed left, right or not at all."""
    return Model(
        name="three pushes",
        state=(Coordinate("x", "m", F(-2), F(2)), Coordinate("v", "m/s", F(-2), F(2))),
        action=(Coordinate("u", "m/s^2", F(-1), F(1)),),
        choices=((F(-1),), (F(0),), (F(1),)),
        step={X: X + V / 10, V: V + U / 10},
        init={X: NEAR, V: NEAR},
        safe=(X >= -1) & (X <= 1),
    )


def two_inputs(choices: tuple[tuple[F, ...], ...]) -> Model:
    """Two unstable coordinates, each with its own input."""
    return Model(
        name="two inputs",
        state=(Coordinate("x", "", F(-3), F(3)), Coordinate("y", "", F(-3), F(3))),
        action=(Coordinate("u", "", F(-1), F(1)), Coordinate("u2", "", F(-1), F(1))),
        choices=choices,
        step={X: F(21, 20) * X + Y / 10 + U / 5, Y: F(21, 20) * Y + U2 / 5},
        init={X: NEAR, Y: NEAR},
        safe=(X >= -2) & (X <= 2) & (Y >= -2) & (Y <= 2),
    )


def proved(model: Model) -> Certificate:
    found = synthesize(model, seconds=300)
    assert found.certificate is not None, found.reason
    return found.certificate


def exactly_accepted(certificate: Certificate) -> bool:
    return not any(exact.check(json.dumps(certificate.to_json()).encode()).values())


@pytest.mark.parametrize("model", [thermostat(), integrator(), two_inputs(GRID)])
def test_few_actions_get_a_shield_that_both_checkers_accept(model: Model) -> None:
    certificate = proved(model)
    assert check(certificate).verdict is Verdict.VERIFIED
    assert exactly_accepted(certificate)
    low = [float(c.low) for c in model.state]
    high = [float(c.high) for c in model.state]
    x = np.random.default_rng(0).uniform(low, high, (500, len(low)))
    backup = values(certificate.shield.backup, model.state_names, x)
    table = [[float(v) for v in c] for c in model.choices or ()]
    assert all(u in table for u in backup.tolist())


def test_a_backup_with_its_branches_exchanged_is_refused() -> None:
    certificate = proved(thermostat())
    (backup,) = certificate.shield.backup
    assert isinstance(backup, Where)
    wrong = (Where(backup.condition, backup.other, backup.then),)
    broken = replace(certificate, shield=replace(certificate.shield, backup=wrong))
    assert check(broken).verdict is not Verdict.VERIFIED
    assert not exactly_accepted(broken)


@pytest.mark.parametrize("choices", [GRID, CROSS])
def test_the_answer_to_a_request_is_the_nearest_choice(choices: Sequence[tuple[F, ...]]) -> None:
    model = two_inputs(tuple(choices))
    x = np.random.default_rng(1).uniform(-1.5, 1.5, (400, 2))
    u = values(answer(model, (X, Y)), ("x", "y"), x)
    table = np.array([[float(v) for v in c] for c in choices])
    away = ((x[:, None] - table) ** 2).sum(axis=2).min(axis=1)
    assert ((x - u) ** 2).sum(axis=1) == pytest.approx(away, abs=1e-12)


def test_requests_reach_beyond_the_choices_by_the_error_of_an_answer() -> None:
    (asked,) = requests(thermostat())
    assert (asked.low, asked.high, asked.error) == ((F(-1, 2),), (F(3, 2),), (F(1, 2),))
    model = relaxed(thermostat(), asked)
    assert model.choices is None
    assert [(c.low, c.high) for c in model.disturbance] == [(F(-1, 2), F(1, 2))]


def test_errors_of_choices_that_are_no_grid_are_bounded_by_what_is_seen() -> None:
    for asked in requests(two_inputs(CROSS)):
        rng = np.random.default_rng(2)
        low, high = ([float(v) for v in side] for side in (asked.low, asked.high))
        v = rng.uniform(low, high, (2000, 2))
        u = values(answer(two_inputs(CROSS), (X, Y)), ("x", "y"), v)
        assert (np.abs(u - v).max(axis=0) <= [float(e) for e in asked.error]).all()


def test_plans_lead_states_outside_of_the_set_into_it() -> None:
    certificate = proved(integrator())
    shield, rounding = certificate.shield, certificate.rounding
    ball = replace(shield, invariant=((F(1, 20) - X**2 - V**2,),), margins=((F(1),),))
    small = replace(certificate, shield=ball, rounding=replace(rounding, test=((F(0),),)))
    found = enlarged(small, n=2)
    plans = found.shield.plans
    assert plans is not None
    assert 1 <= len(plans.policies) <= 2
    assert replace(found, shield=small.shield) == small
    coverage = Coverage(Filter(found, trusted=True))
    x = np.random.default_rng(3).uniform([-1, -2], [1, 2], (1000, 2))
    assert coverage.inside_batch(x).sum() > 2 * coverage.shield.inside_batch(x).sum()


def test_plans_that_add_too_little_are_left_out() -> None:
    certificate = proved(integrator())
    assert enlarged(certificate, n=1, least=1.0) is certificate


def test_stock_cartpole_is_kept_up_by_its_shield_against_every_constant_and_random_push(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = Path(str(shipped.__file__)).parent / "cartpole_v1.json"
    known = Filter(load_certificate(file), trusted=True)
    monkeypatch.setattr(Filter, "from_file", lambda _: known)
    env = Shield(gym.make("CartPole-v1", max_episode_steps=2000), file)
    rng = np.random.default_rng(0)
    for push in (lambda: 0, lambda: 1, lambda: int(rng.integers(2))):
        env.reset(seed=1)
        for _ in range(700):
            _, _, terminated, _, info = env.step(push())
            assert not terminated
            assert info["shield/guaranteed"]
        assert info["shield/overrides"] > 0
    coverage = Coverage(known)
    x = rng.uniform([-2.4, -2, -0.2, -2], [2.4, 2, 0.2, 2], (200, 4))
    outside = x[coverage.inside_batch(x) & ~known.inside_batch(x)]
    assert len(outside) > 60
    for start in outside[:20]:
        env.reset()
        write_state(env, start)
        for _ in range(60):
            _, _, terminated, _, info = env.step(int(rng.integers(2)))
            assert not terminated
            assert info["shield/guaranteed"]
