"""Rollouts side by side: the same plans as one by one, and tubes that hold what the plant does."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction as F
from functools import cache

import gymnasium as gym
import numpy as np
import pytest
from plan_examples import core, drives
from runtime_examples import box_certificate, ellipse_certificate, union_certificate

import nprl.envs  # noqa: F401 - registers our ids
from experiments.adversary import shipped
from nprl.lang.build import cos, exp, sin
from nprl.lang.native import compiler
from nprl.lang.ranges import enclose
from nprl.lang.terms import Var
from nprl.shields import load_certificate, rollout, rollout_c
from nprl.shields import nominal as nominal_module
from nprl.shields import series as series_module
from nprl.shields.certificate import Certificate
from nprl.shields.plans import with_plans
from nprl.shields.rollout import Plan, Rollouts
from nprl.shields.series import series

needs_compiler = pytest.mark.skipif(compiler() is None, reason="there is no compiler here")
X, Y = Var("x"), Var("y")


def curved(certificate: Certificate, programs: int) -> Certificate:
    """The set with a step that has sine, cosine, exp and a quotient, and so many programs."""
    model = certificate.model
    step = {n: t + sin(X * Y) / (90 + cos(Y)) + exp(X - Y) / 900 for n, t in model.step.items()}
    wide = replace(model, step=step, safe=(X >= -2) & (X + Y < 3))
    gains = [(-F(k, 2) * X - F(1, k) * Y, -F(k, 3) * Y) for k in range(1, programs + 1)]
    chosen = [g[: len(model.action)] for g in gains]
    return with_plans(replace(certificate, model=wide), chosen, 9)


SETS = {
    "rows": box_certificate(),
    "no rows": ellipse_certificate(),
    "two parts": union_certificate(),
    "choices": box_certificate(choices=True),
    "two inputs": box_certificate(inputs=2),
}


@needs_compiler
@pytest.mark.parametrize("programs", [1, 4, 6])
@pytest.mark.parametrize("kind", SETS)
def test_lanes_find_what_is_found_one_by_one(kind: str, programs: int) -> None:
    certificate = curved(SETS[kind], programs)
    fast, slow = Rollouts(certificate), Rollouts(certificate, native=False)
    assert fast.native
    rng = np.random.default_rng(0)
    states = rng.uniform(-2, 2, (64, 2))
    states[rng.random(64) < 0.3] /= 8
    states[5], states[9], states[10] = np.nan, (np.inf, 0.0), (0.0, 50.0)
    lengths = slow.reach_batch(states)
    assert {-1, 0} < set(lengths.tolist())
    for size in (0, 1, 3, 4, 5, 64):
        assert (fast.reach_batch(states[:size]) == lengths[:size]).all()
        part = fast.reach_batch(states[:size], programs - 1)
        assert (part == slow.reach_batch(states[:size], programs - 1)).all()
    actions = rng.uniform(-1, 1, (64, len(certificate.model.action)))
    for x, u in zip(states.tolist(), actions.tolist(), strict=True):
        for first in (0, programs - 1):
            assert fast.plan(x, u, first) == slow.plan(x, u, first)
            assert fast.plan(x, None, first) == slow.plan(x, None, first)


@needs_compiler
def test_the_first_program_in_order_wins_though_a_later_one_is_quicker() -> None:
    certificate = with_plans(core(), drives(), 60)
    rollouts = Rollouts(certificate)
    states = np.random.default_rng(0).uniform(-1, 1, (2000, 2))
    alone = np.array([rollouts.reach_batch(states, k) for k in range(3)])
    (several,) = np.nonzero((alone > 1).all(axis=0) & (np.ptp(alone, axis=0) > 3))
    assert several.size > 3
    for n in several[:20]:
        for first in range(3):
            found = rollouts.plan(states[n].tolist(), None, first)
            assert (found.policy, found.last) == (first, alone[first, n])


@needs_compiler
def test_without_the_wide_vectors_of_this_processor_the_plans_are_the_same(monkeypatch) -> None:
    certificate = curved(SETS["rows"], 4)
    wide = Rollouts(certificate)
    monkeypatch.setattr(rollout_c, "HERE", ("-no-such-flag-of-any-compiler",))
    narrow = Rollouts(certificate)
    assert wide.native
    assert narrow.native
    states = np.random.default_rng(1).uniform(-2, 2, (200, 2))
    assert (wide.reach_batch(states) == narrow.reach_batch(states)).all()
    for x in states[:50].tolist():
        assert wide.plan(x, None) == narrow.plan(x, None)


@needs_compiler
def test_machine_code_that_rolls_out_otherwise_is_not_used(monkeypatch) -> None:
    real = rollout_c.source
    wrong = "total >= row[D + 1] + 1e-3"
    monkeypatch.setattr(
        rollout_c, "source", lambda *a: real(*a).replace("total >= row[D + 1]", wrong)
    )
    certificate = with_plans(core(), drives(), 60)
    monkeypatch.setattr(rollout, "TRIALS", 2000)
    assert not Rollouts(certificate).native


@cache
def cartpole() -> Certificate:
    return load_certificate(shipped()["gymnasium/CartPole-v1"])


@cache
def carts() -> Rollouts:
    """The rollouts of CartPole-v1."""
    return Rollouts(cartpole())


def starts(count: int) -> list[list[float]]:
    """States of CartPole-v1 with plans, many of them long, some at the edge of what has one."""
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, (60 * count, 4)) * [2.4, 2.0, 0.2, 2.0]
    x = x[: 30 * count] if compiler() is None else x
    lengths = carts().reach_batch(x)
    longest = x[np.argsort(lengths)[-count:]]
    return longest.tolist()


def beside(certificate: Certificate, plan: Plan, radii: np.ndarray, x: Sequence[float]) -> float:
    """The greatest distance from the plan of an exact plant with the worst rounding, in radii."""
    model, rng, most = certificate.model, random.Random(0), 0.0
    at = dict(zip(model.state_names, map(F, x), strict=True))
    for k in range(plan.last):
        u = dict(zip(model.action_names, map(F, plan.action(k)), strict=True))
        after = {}
        for n, t in model.step.items():
            value = F(enclose(t, at | u, 120).lo)
            side = 1 if value >= F(plan.state(k + 1)[model.state_names.index(n)]) else -1
            after[n] = (
                value + (side if rng.random() < 0.9 else -side) * certificate.rounding.plant[n]
            )
        at = {n: F(round(v * 2**120), 2**120) for n, v in after.items()}
        for i, v in enumerate(at.values()):
            most = max(most, float(abs(v - F(plan.state(k + 1)[i])) / F(radii[k + 1, i])))
    return most


def test_cartpole_by_exact_steps_and_the_worst_rounding_stays_in_the_tube() -> None:
    rollouts = carts()
    for x in starts(2):
        plan = rollouts.plan(x, None)
        assert plan is not None
        assert plan.last > 10
        assert 0 < beside(cartpole(), plan, rollouts.tube.radii, x) <= 1


def test_a_tube_without_the_remainders_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    good, (x, *_) = carts(), starts(1)
    monkeypatch.setattr(series_module, "NEAR", F(1, 10**9))
    monkeypatch.setattr(
        nominal_module, "series", lambda op, x: (series.__wrapped__(op, x)[0], F(0))
    )
    careless = Rollouts(cartpole())
    assert careless.tube.radii[-1].max() < 2 * good.tube.radii[-1].max()
    plan = careless.plan(x, None)
    assert plan is not None
    assert beside(cartpole(), plan, careless.tube.radii, x) > 1


def test_gymnasiums_cartpole_follows_its_plans_in_the_tube_into_the_set() -> None:
    rollouts = carts()
    env = gym.make("CartPole-v1")
    for x in starts(40):
        env.reset(seed=0)
        plan = rollouts.plan(x, None)
        assert plan is not None
        env.unwrapped.state = tuple(x)
        for k in range(plan.last):
            assert rollouts.holds(env.unwrapped.state, plan.state(k), k)
            env.step(int(plan.action(k)[0] > 0))
        end = list(map(float, env.unwrapped.state))
        assert rollouts.holds(end, plan.state(plan.last), plan.last)
        assert rollouts.reach_batch(np.array([end]))[0] == 0
