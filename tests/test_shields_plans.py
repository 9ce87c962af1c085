"""Committed plans: what leaves the invariant comes back, whatever the disturbance."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction as F
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_examples import U, V, X, core, drives, planned
from runtime_examples import box_certificate, ellipse_certificate, union_certificate

import nprl.envs  # noqa: F401 - registers our ids
from experiments.adversary_attack import Attack
from nprl.env.gymnasium_vector import ModelVectorEnv
from nprl.env.vector import ModelVecEnv
from nprl.lang.build import cos, maximum, minimum, sin, sqrt, where
from nprl.lang.native import compiler
from nprl.lang.ranges import DomainError, Interval
from nprl.lang.terms import Num, Term, Var
from nprl.shields import Filter, Shield, ShieldedPolicy, ShieldedVecEnv, ShieldError, ShieldWarning
from nprl.shields import exact as stand_alone
from nprl.shields.certificate import Certificate, CertificateError, Plans, certificate_from_json
from nprl.shields.checker import Verdict, check
from nprl.shields.gymnasium_vector import ShieldVector
from nprl.shields.plans import Coverage, Lanes, Planner, with_plans
from nprl.shields.rates import derivative, rates
from nprl.shields.records import record_of
from nprl.shields.rollout import Rollouts
from nprl.shields.tube import tube_of
from nprl.shields.words import theorem

COVERAGE = Coverage(Filter(planned(), trusted=True))
RADII = COVERAGE.rollouts.tube.radii
GUST = 0.00005
OUT = (0.5, 0.5)
"""Not in I; a plan leads from here into it."""


def plant(x: Any, u: Any, w: float) -> tuple[float, float]:
    return (x[0] + 0.1 * x[1], x[1] + 0.1 * u[0] + w)


def sets() -> dict[str, Certificate]:
    """Sets of every kind: rows, a disc, two parts, choices, several inputs."""
    x, y = Var("x"), Var("y")
    pull = {"one": (-x, F(0) * y), "two": (-2 * x - y, y)}
    found = {"integrator": planned()}
    for name, certificate in (
        ("box", box_certificate()),
        ("disc", ellipse_certificate()),
        ("union", union_certificate()),
        ("choices", box_certificate(choices=True)),
        ("inputs", box_certificate(inputs=2)),
    ):
        wide = replace(certificate.model, safe=(x >= -2) & ((x * y <= 3) | (abs(x) + y < 3)))
        programs = [pull[k][: len(wide.action)] for k in ("one", "two")]
        found[name] = with_plans(replace(certificate, model=wide), programs, 6)
    return found


@pytest.mark.skipif(compiler() is None, reason="there is no compiler here")
@pytest.mark.parametrize("kind", sorted(sets()))
def test_machine_code_and_python_find_the_same_plans(kind) -> None:
    certificate = sets()[kind]
    fast, slow = Rollouts(certificate), Rollouts(certificate, native=False)
    assert fast.native
    assert not slow.native
    rng = np.random.default_rng(0)
    states = rng.uniform(-2, 2, (300, 2))
    lengths = fast.reach_batch(states)
    assert (lengths == slow.reach_batch(states)).all()
    assert (lengths == -1).any()
    assert (lengths > 0).any()
    units = np.array(Filter(certificate, trusted=True).bounds)
    for x in states.tolist():
        u = rng.uniform(units[:, 0], units[:, 1]).tolist()
        first = int(rng.integers(len(certificate.shield.plans.policies)))
        assert fast.plan(x, u, first) == slow.plan(x, u, first)


@settings(max_examples=60, deadline=None)
@given(x=st.tuples(st.floats(-1, 1), st.floats(-1, 1)), u=st.floats(-1, 1), seed=st.integers())
def test_whatever_the_disturbance_and_the_rounding_the_plant_stays_in_the_tube(x, u, seed) -> None:
    model, rounding, rng = planned().model, planned().rounding, random.Random(seed)

    def share() -> F:
        return F(rng.choice((-1, 1)) if rng.random() < 0.8 else rng.uniform(-1, 1))

    plan = COVERAGE.rollouts.plan(x, (u,))
    if plan is None:
        return
    at = dict(zip(("x", "v"), map(F, x), strict=True))
    action = F(u)
    for k in range(1, plan.last + 1):
        gust = share() * model.disturbance[0].high
        after = {"x": at["x"] + at["v"] / 10, "v": at["v"] + action / 10 + gust}
        at = {n: v + share() * rounding.plant[n] for n, v in after.items()}
        for value, nominal, radius in zip(at.values(), plan.state(k), RADII[k], strict=True):
            assert abs(value - F(nominal)) <= F(radius)
            assert abs(value) <= 1
        if k < plan.last:
            (action,) = map(F, plan.action(k))
    assert abs(at["v"] + 2 * at["x"]) <= F(1, 20)
    assert abs(at["x"]) <= F(1, 10)


def test_an_adversary_never_leaves_the_safe_set_though_it_leaves_the_invariant() -> None:
    lanes = Lanes(COVERAGE, 20)
    shield = COVERAGE.shield
    rng = np.random.default_rng(0)
    x = np.zeros((20, 2))
    outside = overridden = 0
    kind = np.arange(20) % 4
    for k in range(1000):
        side = np.where(rng.random(20) < 0.5, -1.0, 1.0)
        flee = np.where(x[:, 1] >= 0, 1.0, -1.0)
        push = np.where(kind == 0, 1.0, np.where(kind == 1, -1.0, np.where(kind == 2, side, flee)))
        push[rng.random(20) < 0.02] = np.nan
        units, replaced = lanes.filter_batch(x, push[:, None])
        worst = np.where(k % 3 == 0, side, np.where(x[:, 1] >= 0, 1.0, -1.0))
        x = np.stack([x[:, 0] + 0.1 * x[:, 1], x[:, 1] + 0.1 * units[:, 0] + GUST * worst], axis=1)
        assert (abs(x) <= 1).all()
        assert lanes.holds(x, np.zeros(20, dtype=bool)).all()
        outside += int(np.count_nonzero(~shield.inside_batch(x)))
        overridden += int(np.count_nonzero(replaced))
    assert outside > 5_000
    assert overridden > 1_000
    assert COVERAGE.rollouts.native or compiler() is None


def test_plans_enlarge_what_is_covered() -> None:
    states = np.random.default_rng(0).uniform(-1, 1, (2000, 2))
    alone, both = COVERAGE.shield.inside_batch(states), COVERAGE.inside_batch(states)
    assert (both | ~alone).all()
    assert both.sum() > 10 * alone.sum()
    assert [COVERAGE.inside(x) for x in states[:200].tolist()] == both[:200].tolist()


@pytest.mark.parametrize("bad", [(np.nan,), (np.inf,), None, (0.0, 0.0), "go"])
def test_a_plan_is_followed_to_its_end_when_the_policy_goes_mad(bad) -> None:
    planner, x = Planner(COVERAGE), (0.2, 0.1)
    assert not COVERAGE.shield.inside(x)
    first = planner.filter(x, (1.0,))
    assert (first.overridden, first.inside) == (False, True)
    left = planner.steps_left
    assert left > 3
    action = first.action
    for k in range(left):
        x = plant(x, action, GUST if k % 2 else -GUST)
        assert planner.holds(x)
        assert planner.steps_left == left - k
        decision = planner.filter(x, bad)
        assert (decision.fallback, decision.inside) == (True, True)
        action = decision.action
    x = plant(x, action, GUST)
    assert planner.steps_left == 0
    assert COVERAGE.shield.inside(x)
    assert planner.filter(x, bad).action == COVERAGE.shield.backup(x)


def test_a_start_outside_the_invariant_commits_to_a_plan_before_anything_else() -> None:
    planner = Planner(COVERAGE)
    assert planner.reset(OUT)
    decision = planner.filter(OUT, (float("nan"),))
    assert (decision.fallback, decision.inside) == (True, True)
    assert planner.steps_left > 0
    assert planner.holds(plant(OUT, decision.action, GUST))


def test_reset_clears_the_plan() -> None:
    planner = Planner(COVERAGE)
    planner.filter(OUT, (0.0,))
    assert planner.steps_left > 0
    assert planner.reset((0.0, 0.0))
    assert planner.steps_left == 0
    assert not planner.reset((0.99, 0.99))


def test_a_state_off_the_tube_ends_the_guarantee_and_a_plan_is_sought_anew() -> None:
    planner = Planner(COVERAGE)
    x = plant(OUT, planner.filter(OUT, (0.0,)).action, 0.0)
    moved = (x[0], x[1] - 0.05)
    assert planner.holds(x)
    assert not planner.holds(moved)
    decision = planner.filter(moved, (float("nan"),))
    assert not decision.inside
    assert planner.steps_left > 0
    assert planner.holds(plant(moved, decision.action, 0.0))


def test_where_there_is_no_plan_the_backup_is_applied_and_nothing_is_promised() -> None:
    planner = Planner(COVERAGE)
    decision = planner.filter((0.99, 0.99), (1.0,))
    assert (decision.overridden, decision.fallback, decision.inside) == (True, True, False)
    assert planner.steps_left == 0
    with pytest.raises(ShieldError):
        planner.filter((np.nan, 0.0), (0.0,))
    with pytest.raises(ShieldError):
        planner.filter((0.0,), (0.0,))


def test_inside_the_invariant_an_action_that_passes_needs_no_plan() -> None:
    planner = Planner(COVERAGE)
    x = (0.01, 0.0)
    action = COVERAGE.shield.backup(x)
    assert planner.filter(x, action) == COVERAGE.shield.filter(x, action)
    assert planner.steps_left == 0
    allowed = planner.filter(x, (1.0,))
    assert (allowed.overridden, planner.steps_left > 0) == (False, True)
    assert COVERAGE.shield.filter(x, (1.0,)).overridden


def test_the_nearest_action_with_a_plan_is_near() -> None:
    planner = Planner(COVERAGE)
    x = (0.5, 0.9)
    decision = planner.filter(x, (1.0,))
    assert decision.overridden
    assert not decision.fallback
    assert COVERAGE.rollouts.plan(x, decision.action) is not None
    (u,) = decision.action
    assert COVERAGE.rollouts.plan(x, (min(1.0, u + 0.05),)) is None


def test_a_choice_that_is_none_has_no_plan() -> None:
    planner = Planner(Coverage(Filter(sets()["choices"], trusted=True)))
    x = (1.2, 0.0)
    choices = planner.shield.choices
    assert planner.filter(x, (0.5,)).action in choices
    for choice in choices:
        decision = planner.filter(x, choice)
        assert decision.action in choices


def test_a_certificate_with_plans_round_trips_and_is_proved_by_both_checkers() -> None:
    certificate = planned()
    data = json.loads(json.dumps(certificate.to_json()))
    assert certificate_from_json(data) == certificate
    assert "plans" not in core().to_json()["shield"]
    assert check(certificate).verdict is Verdict.VERIFIED
    found = stand_alone.check(json.dumps(data).encode())
    assert set(found.values()) == {""}
    assert "committed plan" in theorem(certificate)
    assert "committed plan" not in theorem(core())


@pytest.mark.parametrize(
    "plans",
    [
        None,
        [],
        {},
        {"policies": [["x"]]},
        {"policies": [["x"]], "steps": 0},
        {"policies": [["x"]], "steps": 201},
        {"policies": [["x"]], "steps": 1.0},
        {"policies": [["x"]], "steps": True},
        {"policies": [["x"]], "steps": "60"},
        {"policies": [], "steps": 60},
        {"policies": [[]], "steps": 60},
        {"policies": [["x", "v"]], "steps": 60},
        {"policies": [["speed"]], "steps": 60},
        {"policies": [["u"]], "steps": 60},
        {"policies": [["w"]], "steps": 60},
        {"policies": [[["?", "x"]]], "steps": 60},
        {"policies": [["x"]], "steps": 60, "tube": []},
    ],
)
def test_malformed_plans_are_refused_by_both_checkers(plans) -> None:
    data = copy.deepcopy(core().to_json())
    data["shield"]["plans"] = {"policies": [["x"]], "steps": 60}
    assert certificate_from_json(data).shield.plans == Plans(((X,),), 60)
    stand_alone.check(json.dumps(data).encode())
    data["shield"]["plans"] = plans
    with pytest.raises(CertificateError):
        certificate_from_json(data)
    with pytest.raises(ValueError, match=r".+"):
        stand_alone.check(json.dumps(data).encode())


def test_with_plans_refuses_what_is_no_program_of_the_model() -> None:
    with pytest.raises(CertificateError, match="'speed' is unknown"):
        with_plans(core(), [(Var("speed"),)], 10)
    with pytest.raises(CertificateError, match="one entry for each action"):
        with_plans(core(), [(X, V)], 10)
    with pytest.raises(CertificateError, match="1 to 200 steps"):
        with_plans(core(), drives(), 201)


def test_a_program_far_out_of_the_actions_is_clipped() -> None:
    wild = Rollouts(with_plans(core(), [(1000 * p[0],) for p in drives()], 60))
    found = wild.plan((0.3, 0.3), None)
    assert found is not None
    assert all(abs(found.action(k)[0]) <= 1 for k in range(found.last))


def test_a_model_with_a_where_in_its_step_is_refused() -> None:
    model = core().model
    step = {"x": model.step["x"], "v": where(X >= 0, model.step["v"], V + U / 10)}
    jumping = with_plans(replace(core(), model=replace(model, step=step)), drives(), 10)
    with pytest.raises(CertificateError, match="plans need a model without `where`"):
        tube_of(jumping)
    with pytest.raises(CertificateError, match="plans need a model without `where`"):
        Coverage(Filter(jumping, trusted=True))


def test_a_tube_that_fills_the_ranges_cuts_the_plans() -> None:
    gusty = replace(core().model.disturbance[0], low=F(-1, 10), high=F(1, 10))
    model = replace(core().model, disturbance=(gusty,))
    tube = tube_of(with_plans(replace(core(), model=model), drives(), 200))
    assert 3 <= tube.steps < 30
    assert (np.diff(tube.radii, axis=0) >= 0).all()
    assert (tube.low <= tube.high).all()


A, B = Var("a"), Var("b")


@pytest.mark.parametrize(
    "term",
    [
        A * B - 3 * A,
        A**3 / (B + 4),
        minimum(A, 2 * B) + maximum(B, -A),
        abs(A - B) * A,
        sin(A) * cos(B) - cos(A * B),
        sqrt(A + 5),
        Num(F(2)) - A**0,
        (A - B) / (A + B + 8),
    ],
    ids=str,
)
def test_rates_bound_how_fast_a_term_changes(term: Term) -> None:
    from nprl.lang.floats import compile_scalar

    bound = rates(term, ("a", "b"), {"a": Interval(F(-2), F(2)), "b": Interval(F(-1), F(3))})
    value = compile_scalar([term], [("a", "b")])
    rng = np.random.default_rng(0)
    for _ in range(300):
        p, q = (rng.uniform((-2, -1), (2, 3)).tolist() for _ in range(2))
        most = sum(float(bound[n]) * abs(s - t) for n, s, t in zip("ab", p, q, strict=True))
        assert abs(value(p)[0] - value(q)[0]) <= most + 1e-12


def test_what_jumps_has_no_rate() -> None:
    box = {"a": Interval(F(-2), F(2)), "b": Interval(F(-1), F(3))}
    for term in (where(A >= 0, A, B), A / B, sqrt(A)):
        with pytest.raises(DomainError):
            rates(term, ("a", "b"), box)
    assert derivative(A * B, "a") == B


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, Any]]:
    """The example as a file with a record that says it was proved, and an environment of it."""
    monkeypatch.setenv("NPRL_CACHE", str(tmp_path / "cache"))
    path = planned().save(tmp_path / "certificate.json")
    record, content = record_of(path.read_bytes())
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps(content))
    model = tmp_path / "model.json"
    model.write_text(json.dumps(planned().model.to_json()))

    def make() -> tuple[str, Any]:
        return str(path), gym.make("nprl/Model-v0", model=str(model), max_episode_steps=200)

    return make


def test_the_wrapper_follows_plans_and_says_so(recorded) -> None:
    path, bare = recorded()
    env = Shield(bare, path)
    _, info = env.reset(seed=0)
    assert info["shield/plan"] == 0
    _, info = env.reset(seed=0, options={"state": list(OUT)})
    assert info["shield/margin"] < 0
    plans = []
    for k in range(150):
        _, _, terminated, _, info = env.step(np.array([1.0 if k < 75 else np.nan]))
        assert not terminated
        assert info["shield/guaranteed"] is True
        plans.append(info["shield/plan"])
    assert max(plans) > 3
    assert plans[-1] == 0
    assert info["shield/margin"] >= 0
    with pytest.raises(ValueError, match="reset refused"):
        env.reset(options={"state": [0.99, 0.99]})


def test_the_wrapper_ends_the_guarantee_when_the_plant_leaves_the_tube(recorded) -> None:
    path, bare = recorded()
    env = Shield(bare, path)
    env.reset(seed=0, options={"state": list(OUT)})
    env.step(np.array([0.0]))
    env.unwrapped.state = [0.5, 0.4]
    with pytest.warns(ShieldWarning):
        _, _, _, _, info = env.step(np.array([0.0]))
    assert info["shield/guaranteed"] is False


def test_a_batch_has_a_plan_for_each_lane(recorded) -> None:
    venv = ShieldedVecEnv(ModelVecEnv(planned().model, 6, seed=0), COVERAGE.shield)
    venv.reset()
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(120):
        _, _, dones, infos = venv.step(np.sign(rng.normal(size=(6, 1)) + 0.5))
        assert not dones.any()
        assert venv.guaranteed.all()
        seen |= {info["shield/plan"] > 0 for info in infos}
    assert seen == {True, False}
    assert venv.overrides_total > 0
    plain = ModelVecEnv(planned().model, 6, seed=0, shield=Lanes(COVERAGE, 6))
    plain.reset()
    for _ in range(250):  # past the end of the episodes
        plain.step(np.ones((6, 1)))
    assert plain.violations_total == 0


@pytest.mark.parametrize("kind", [ModelVectorEnv, None])
def test_a_gymnasium_vector_environment_has_a_plan_for_each_lane(kind, recorded) -> None:
    if kind is None:
        venv: Any = gym.vector.SyncVectorEnv([lambda: recorded()[1]] * 4)
    else:
        venv = ModelVectorEnv(planned().model, 4)
    env = ShieldVector(venv, COVERAGE.shield)
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    seen = set()
    for k in range(230):  # past the end of the episodes
        push = np.sign(rng.normal(size=(4, 1)) + 0.5)
        push[0] = np.nan if k % 50 > 40 else push[0]
        _, _, terminated, _, infos = env.step(push)
        assert not terminated.any()
        assert env.guaranteed.all()
        seen |= set((infos["shield/plan"] > 0).tolist())
    assert seen == {True, False}
    assert env.overrides_total > 0


class Pushing:
    """A policy that pushes, and fails after a while."""

    def __init__(self) -> None:
        self.calls = 0

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        self.calls += 1
        if self.calls > 4:
            raise RuntimeError("out of order")
        return np.ones((*np.shape(observation)[:-1], 1)), state


@pytest.mark.parametrize("lanes", [None, 3])
def test_a_shielded_policy_follows_its_plan_when_the_policy_fails(lanes) -> None:
    policy = ShieldedPolicy(Pushing(), COVERAGE.shield)
    x = np.array([0.3, 0.2]) if lanes is None else np.array([[0.3, 0.2]] * lanes)
    for k in range(80):
        action, _ = policy.predict(x, episode_start=np.array([k == 0] * (lanes or 1)))
        x = np.stack([x[..., 0] + 0.1 * x[..., 1], x[..., 1] + 0.1 * action[..., 0] + GUST], -1)
        assert (abs(x) <= 1).all()
    assert policy.failures == 76
    assert policy.outside == 0
    assert COVERAGE.shield.inside_batch(x.reshape(-1, 2)).all()


def test_the_adversary_attacks_plans_too(tmp_path) -> None:
    attack = Attack(planned().save(tmp_path / "certificate.json"), seed=0, proved=False)
    found = attack.run(3_000)
    assert (found.violations, found.exits) == (0, 0)
    assert found.on_plans > 500
    assert found.faults == []
