"""The shield as a Gymnasium wrapper, around a policy, around batches; what ends the guarantee."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from runtime_examples import F, X, Y, box_certificate, by_hand, pendulum_certificate
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

import nprl.envs  # noqa: F401 - registers our ids
from nprl.env.vector import ModelVecEnv
from nprl.lang.terms import Power
from nprl.model import Observation
from nprl.shields import Filter, Shield, ShieldedPolicy, ShieldedVecEnv, ShieldError, ShieldWarning
from nprl.shields.certificate import Certificate
from nprl.shields.load import load_certificate
from nprl.shields.records import record_of

START = {"x_init": 0.2, "y_init": 0.2}


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Saves a certificate made by hand with a record that says it was proved."""
    monkeypatch.setenv("NPRL_CACHE", str(tmp_path / "cache"))

    def save(certificate: Certificate, name: str = "certificate.json") -> str:
        path = certificate.save(tmp_path / name)
        record, content = record_of(path.read_bytes())
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps(content))
        (tmp_path / f"model-{name}").write_text(json.dumps(certificate.model.to_json()))
        return str(path)

    return save


def make(certificate: Certificate, tmp_path: Path, steps: int = 50) -> gym.Env[Any, Any]:
    path = tmp_path / "model.json"
    path.write_text(json.dumps(certificate.model.to_json()))
    return gym.make("nprl/Model-v0", model=str(path), max_episode_steps=steps)


@pytest.mark.parametrize("options", [{}, {"inputs": 2}, {"choices": True}, {"scaled": False}])
def test_a_hostile_policy_never_leaves_the_safe_set(options, recorded, tmp_path) -> None:
    certificate = box_certificate(**options)
    env = Shield(make(certificate, tmp_path), recorded(certificate))
    bare = make(certificate, tmp_path)
    rng = np.random.default_rng(0)
    violations = overrides = 0
    for seed in range(4):
        env.reset(seed=seed)
        bare.reset(seed=seed)
        ended = False
        for _ in range(50):
            action = env.action_space.sample() if rng.random() < 0.5 else extreme(env, rng)
            obs, _, terminated, truncated, info = env.step(action)
            assert not terminated
            assert info["cost"] == 0.0
            assert info["shield/guaranteed"] is True
            assert info["shield/margin"] >= 0.0
            assert {type(v) for v in info.values()} <= {bool, int, float}
            assert (abs(obs) <= 1.0).all()
            if not ended:
                ended = bare.step(action)[2]
        assert truncated
        violations += ended
        overrides += info["shield/overrides"]
    assert violations
    assert overrides


def extreme(env: gym.Env[Any, Any], rng: np.random.Generator) -> Any:
    space = env.action_space
    if isinstance(space, gym.spaces.Discrete):
        return int(rng.choice([0, space.n - 1]))
    return np.where(rng.random(space.shape) < 0.5, space.low, space.high).astype(np.float32)


def test_what_is_applied_is_what_was_tested(recorded, tmp_path) -> None:
    certificate = box_certificate()
    env = Shield(make(certificate, tmp_path), recorded(certificate))
    env.reset(seed=0, options={"state": [0.9, 0.0]})
    seen = []
    plant = env.unwrapped.plant
    original = plant.advance
    plant.advance = lambda x, u, w: seen.append(tuple(u)) or original(x, u, w)
    for action in (np.float32([1.0]), np.array([0.123456789]), np.float16([0.3]), [0.1]):
        before = env.unwrapped.state.tolist()
        env.step(action)
        assert env.filter.passes(before, seen[-1])
    assert seen[1] == (4 * 0.123456789,)


@pytest.mark.parametrize(
    "action", [np.array([np.nan]), np.array([np.inf]), np.zeros(3), None, "go", [[1.0]]]
)
def test_what_is_no_action_means_the_backup(action, recorded, tmp_path) -> None:
    certificate = box_certificate()
    env = Shield(make(certificate, tmp_path), recorded(certificate))
    env.reset(seed=0)
    *_, info = env.step(action)
    assert info["shield/overridden"] is True
    assert info["shield/fallback"] is True
    assert info["shield/overrides"] == 1


def test_a_reset_outside_the_invariant_is_refused(recorded, tmp_path) -> None:
    certificate = box_certificate()
    env = Shield(make(certificate, tmp_path), recorded(certificate))
    with pytest.raises(ValueError, match="reset refused"):
        env.reset(options={"state": [1.5, 0.0]})
    with pytest.raises(gym.error.ResetNeeded, match="refused"):
        env.step(np.zeros(1))
    env.reset(options={"state": [1.0, 1.0]})
    assert env.step(np.zeros(1))[4]["shield/guaranteed"]


def test_another_model_is_refused(recorded, tmp_path) -> None:
    path = recorded(box_certificate())
    with pytest.raises(
        ValueError, match=r"^the certificate is for the model test/Box-v0 .*: prove this one"
    ):
        Shield(gym.make("nprl/Pendulum-v0"), path)
    with pytest.raises(ValueError, match="has no binding to a model"):
        Shield(gym.make("Acrobot-v1"), path)


def test_a_wrapper_that_changes_actions_inside_is_refused(recorded, tmp_path) -> None:
    certificate = box_certificate()
    inner = gym.wrappers.RescaleAction(
        make(certificate, tmp_path), np.float32(-2.0), np.float32(2.0)
    )
    with pytest.raises(ValueError, match="RescaleAction changes actions inside the shield"):
        Shield(inner, recorded(certificate))


class FrameSkip(gym.Wrapper):
    def step(self, action):
        self.env.step(action)
        return self.env.step(action)


class Sticky(gym.Wrapper):
    last = None

    def step(self, action):
        self.last, action = action, action if self.last is None else self.last
        return self.env.step(action)


class Teleport(gym.Wrapper):
    def step(self, action):
        result = self.env.step(action)
        self.env.unwrapped.state = [1.25, 0.0]
        return result


def run_until_broken(env: gym.Env[Any, Any], **reset: Any) -> None:
    """The guarantee must end within a few steps, with one warning, and come back at the reset."""
    env.reset(seed=0, **reset)
    rng = np.random.default_rng(0)
    actions = [rng.uniform(-1, 1, env.action_space.shape) for _ in range(5)]
    with pytest.warns(ShieldWarning, match="guarantee has ended") as caught:
        flags = [env.step(action)[4]["shield/guaranteed"] for action in actions]
    assert len(caught) == 1
    assert flags[-1] is False
    assert flags == sorted(flags, reverse=True)
    assert env.reset(seed=0, **reset)[1]["shield/guaranteed"] is True


@pytest.mark.parametrize("wrapper", [FrameSkip, Sticky, Teleport])
def test_another_plant_ends_the_guarantee(wrapper, recorded, tmp_path) -> None:
    certificate = box_certificate()
    run_until_broken(Shield(wrapper(make(certificate, tmp_path)), recorded(certificate)))


def test_a_state_put_outside_ends_the_guarantee(recorded, tmp_path) -> None:
    certificate = box_certificate()
    env = Shield(make(certificate, tmp_path), recorded(certificate))
    env.reset(seed=0)
    env.unwrapped.state = [1.9, 0.0]
    with pytest.warns(ShieldWarning, match="put outside"):
        assert env.step(np.zeros(1))[4]["shield/guaranteed"] is False


def test_a_disturbance_that_is_not_affine_is_watched_too(recorded, tmp_path) -> None:
    model = box_certificate().model
    from nprl.lang.terms import Var

    w = Var("w")
    bent = replace(
        model, step={**model.step, "x": F(1, 2) * X + F(3, 10) * Var("u") + 10 * Power(w, 2)}
    )
    rows = [[F(1) - X, F(1) + X, F(1) - Y, F(1) + Y]]
    certificate = by_hand(bent, rows, [-(X / 3)], [[F(1, 10)] * 2 + [F(0)] * 2])
    env = Shield(make(certificate, tmp_path), recorded(certificate))
    env.reset(seed=0)
    for _ in range(20):
        assert env.step(env.action_space.sample())[4]["shield/guaranteed"]
    run_until_broken(Shield(FrameSkip(make(certificate, tmp_path)), recorded(certificate)))


def test_the_wrapped_environment_is_rebuilt_from_its_spec(recorded, tmp_path) -> None:
    certificate = box_certificate()
    env = Shield(make(certificate, tmp_path), recorded(certificate))
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert isinstance(again, Shield)
    assert again.reset(seed=3)[0].tolist() == env.reset(seed=3)[0].tolist()


def test_the_shield_passes_gymnasiums_checker(recorded, tmp_path) -> None:
    certificate = box_certificate()
    env = Shield(make(certificate, tmp_path), recorded(certificate))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*different from the unwrapped version")
        check_env(env, skip_render_check=True)


def test_vector_environments_batch_the_shields_info(recorded, tmp_path) -> None:
    certificate = box_certificate()
    path = recorded(certificate)
    venv = gym.vector.SyncVectorEnv([lambda: Shield(make(certificate, tmp_path), path)] * 3)
    venv.reset(seed=0)
    *_, infos = venv.step(np.ones((3, 1), dtype=np.float32))
    assert infos["shield/guaranteed"].dtype == np.bool_
    assert infos["shield/overrides"].dtype.kind == "i"
    assert infos["shield/margin"].dtype == np.float64


# Gymnasium's own Pendulum-v1, unchanged.


def test_the_stock_pendulum_is_kept_upright(recorded) -> None:
    path = recorded(pendulum_certificate())
    env = Shield(gym.make("Pendulum-v1"), path)
    _, info = env.reset(seed=0, options=START)
    rng = np.random.default_rng(0)
    for k in range(200):
        wish = [2.0, -2.0, rng.uniform(-2, 2)][k % 3] if k < 100 else 2.0
        *_, truncated, info = env.step(np.array([wish], dtype=np.float32))
        assert info["shield/guaranteed"], k
        theta, omega = env.unwrapped.state
        assert abs(theta) <= 0.6
        assert abs(omega) <= 2.0
    assert truncated
    assert info["shield/overrides"] > 10


def test_a_reset_of_the_stock_pendulum_elsewhere_is_refused_with_the_options(recorded) -> None:
    env = Shield(gym.make("Pendulum-v1"), recorded(pendulum_certificate()))
    with pytest.raises(ValueError, match=r"reset refused: .*try reset\(options=\{'x_init': 0.2"):
        env.reset(seed=0)


def test_the_stock_pendulum_is_kept_from_every_reset_by_the_certificate_of_all(recorded) -> None:
    file = resources.files("nprl.shields") / "proved" / "pendulum_v1_all.json"
    env = Shield(gym.make("Pendulum-v1"), recorded(load_certificate(str(file))))
    rng = np.random.default_rng(0)
    overrides = 0
    for seed in range(40):
        env.reset(seed=seed)
        for k in range(40):
            omega = env.unwrapped.state[1]
            wish = [np.copysign(2.0, omega), rng.uniform(-2, 2)][seed % 2 or k % 5 == 0]
            *_, info = env.step(np.array([wish]))
            assert info["shield/guaranteed"], (seed, k)
            assert info["shield/margin"] >= 0
            assert abs(env.unwrapped.state[1]) <= 6.0
            assert abs(env.unwrapped.state[0]) <= 5.0
        overrides += info["shield/overrides"]
    assert overrides > 10


@pytest.mark.parametrize(
    ("name", "value"), [("g", 12.0), ("m", 1.1), ("dt", 0.1), ("max_torque", 1.0)]
)
def test_a_changed_parameter_of_the_stock_pendulum_ends_the_guarantee(
    name, value, recorded
) -> None:
    env = Shield(gym.make("Pendulum-v1"), recorded(pendulum_certificate()))
    env.reset(seed=0, options=START)
    setattr(env.unwrapped, name, value)
    with pytest.warns(ShieldWarning, match="its step is not the model's"):
        infos = [env.step(np.array([1.7]))[4] for _ in range(10)]
    assert infos[-1]["shield/guaranteed"] is False


# Around a policy.


class Constant:
    def __init__(self, action: Any) -> None:
        self.action = action

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return self.action, state


class Broken:
    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        raise RuntimeError("weights are missing")


class Slow(Constant):
    def predict(self, *args, **kwargs):
        time.sleep(0.02)
        return super().predict(*args, **kwargs)


@pytest.fixture
def box_filter() -> Filter:
    return Filter(box_certificate(), trusted=True)


def test_a_policys_safe_answer_is_kept(box_filter) -> None:
    policy = ShieldedPolicy(Constant(np.float32([0.25])), box_filter)
    action, state = policy.predict(np.array([0.1, 0.1]), state="memory")
    assert action.tolist() == [0.25]
    assert state == "memory"
    assert policy.overrides == policy.failures == policy.outside == 0


def test_a_policys_unsafe_answer_is_replaced(box_filter) -> None:
    policy = ShieldedPolicy(Constant(np.float32([1.0])), box_filter)
    action, _ = policy.predict(np.array([0.9, 0.0]))
    assert box_filter.passes([0.9, 0.0], (4 * action[0],))
    assert policy.overrides == 1


@pytest.mark.parametrize("policy", [Broken(), Constant("left"), Constant(None), Constant([np.nan])])
def test_a_policy_that_fails_means_the_backup(policy, box_filter) -> None:
    shielded = ShieldedPolicy(policy, box_filter)
    action, _ = shielded.predict(np.array([0.6, 0.0]))
    assert action == pytest.approx([-0.2 / 4])
    batch, _ = shielded.predict(np.array([[0.6, 0.0], [-0.6, 0.0]]))
    assert batch[:, 0] == pytest.approx([-0.2 / 4, 0.2 / 4])
    assert shielded.overrides == 3


def test_a_late_answer_means_the_backup(box_filter) -> None:
    shielded = ShieldedPolicy(Slow(np.array([0.0])), box_filter, deadline_s=0.001)
    assert shielded.predict(np.array([0.6, 0.0]))[0] == pytest.approx([-0.05])
    assert shielded.failures == 1
    patient = ShieldedPolicy(Slow(np.array([0.0])), box_filter, deadline_s=60.0)
    assert patient.predict(np.array([0.6, 0.0]))[0].tolist() == [0.0]


def test_a_policy_on_a_batch_is_shielded_row_by_row(box_filter) -> None:
    policy = ShieldedPolicy(Constant(np.float32([[1.0], [0.1], [-1.0]])), box_filter)
    action, _ = policy.predict(np.array([[0.9, 0.0], [0.9, 0.0], [0.9, 0.0]]))
    assert policy.overrides == 1
    assert action[1:, 0].tolist() == [float(np.float32(0.1)), -1.0]


def test_a_policy_with_choices_answers_with_an_index() -> None:
    policy = ShieldedPolicy(Constant(4), Filter(box_certificate(choices=True), trusted=True))
    action, _ = policy.predict(np.array([0.9, 0.0]))
    assert action.dtype.kind == "i"
    assert action.shape == ()
    assert int(action) == 3


def test_a_state_outside_warns_once(box_filter) -> None:
    policy = ShieldedPolicy(Constant(np.array([0.0])), box_filter)
    with pytest.warns(ShieldWarning, match="outside the proved invariant"):
        policy.predict(np.array([1.5, 0.0]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        policy.predict(np.array([1.5, 0.0]))
    assert policy.outside == 2


def test_an_observation_that_is_not_the_state_needs_a_function() -> None:
    certificate = box_certificate()
    model = replace(
        certificate.model, observation=(Observation("x", X, F(1, 100)), Observation("y", Y))
    )
    filter_ = Filter(replace(certificate, model=model), trusted=True)
    with pytest.raises(ValueError, match="the observation is not the state"):
        ShieldedPolicy(Constant(np.zeros(1)), filter_)
    policy = ShieldedPolicy(Constant(np.array([1.0])), filter_, state=lambda obs: [0.9, 0.0])
    assert policy.predict(np.zeros(2))[0][0] < 1.0


def test_a_float32_observation_is_not_taken_for_the_state(box_filter) -> None:
    policy = ShieldedPolicy(Constant(np.zeros(1)), box_filter)
    with pytest.raises(ValueError, match="float32"):
        policy.predict(np.zeros(2, dtype=np.float32))
    with pytest.raises(ShieldError, match="finite"):
        policy.predict(np.array([np.nan, 0.0]))


# Around batches.


@pytest.mark.parametrize("options", [{}, {"inputs": 2}, {"choices": True}])
def test_a_shielded_batch_has_no_violation(options) -> None:
    certificate = box_certificate(**options)
    filter_ = Filter(certificate, trusted=True)
    inner = ModelVecEnv(certificate.model, 16, seed=0)
    venv = ShieldedVecEnv(inner, filter_)
    direct = ModelVecEnv(certificate.model, 16, seed=0, shield=filter_)
    bare = ModelVecEnv(certificate.model, 16, seed=0)
    for v in (venv, direct, bare):
        v.reset()
    rng = np.random.default_rng(0)
    for _ in range(60):
        if options.get("choices"):
            actions = rng.choice([0, 4], 16)
        else:
            actions = rng.choice([-1.0, 1.0], (16, len(certificate.model.action)))
        for v in (venv, direct, bare):
            *_, infos = v.step(actions.astype(np.float32) if actions.dtype.kind == "f" else actions)
            if v is venv:
                assert {"shield/overridden", "shield/overrides"} <= set(infos[0])
    assert venv.guaranteed.all()
    assert inner.violations_total == direct.violations_total == 0
    assert bare.violations_total > 0
    assert venv.overrides_total > 0
    assert venv.steps_total == 16 * 60


def test_a_nan_row_means_the_backup_in_its_lane_only() -> None:
    certificate = box_certificate()
    venv = ShieldedVecEnv(
        ModelVecEnv(certificate.model, 3, seed=0), Filter(certificate, trusted=True)
    )
    venv.reset()
    *_, infos = venv.step(np.array([[0.0], [np.nan], [0.0]], dtype=np.float32))
    assert [i["shield/overridden"] for i in infos] == [False, True, False]


def test_a_dummy_vec_env_of_bound_environments_is_shielded(recorded, tmp_path) -> None:
    path = recorded(pendulum_certificate())
    venv = DummyVecEnv([lambda: Monitor(gym.make("Pendulum-v1"))] * 2)
    shielded = ShieldedVecEnv(venv, path)
    shielded.seed(0)
    shielded.set_options([START, START])
    shielded.reset()
    for _ in range(50):
        *_, dones, _ = shielded.step(np.full((2, 1), 2.0, dtype=np.float32))
    assert not dones.any()
    assert shielded.guaranteed.all()
    assert (abs(shielded.states()[:, 0]) <= 0.6).all()
    assert shielded.overrides_total > 0
    shielded.set_options()
    with pytest.raises(ValueError, match="reset refused: lane"):
        shielded.reset()


def test_a_lane_outside_ends_its_guarantee_and_a_new_episode_restores_it() -> None:
    certificate = box_certificate()
    wide = replace(
        certificate.model, safe=X <= 2, horizon=2
    )  # outside the invariant an episode goes on
    inner = ModelVecEnv(wide, 2, seed=0)
    venv = ShieldedVecEnv(inner, Filter(replace(certificate, model=wide), trusted=True))
    venv.reset()
    original = inner.plant.advance_batch

    def elsewhere(x, u, w):
        after, rewards, safe, terminal = original(x, u, w)
        after[0, 0] = 1.5
        return after, rewards, safe, terminal

    inner.plant.advance_batch = elsewhere
    with pytest.warns(ShieldWarning, match="lane 0"):
        venv.step(np.zeros((2, 1)))
    assert venv.guaranteed.tolist() == [False, True]
    *_, dones, _ = venv.step(np.zeros((2, 1)))
    assert dones.all()
    assert venv.guaranteed.all()


def test_a_batch_of_another_model_or_kind_is_refused(tmp_path) -> None:
    filter_ = Filter(box_certificate(), trusted=True)
    with pytest.raises(ValueError, match="the lanes run another one"):
        ShieldedVecEnv(ModelVecEnv(box_certificate(inputs=2).model, 2), filter_)
    with pytest.raises(ValueError, match="no binding"):
        ShieldedVecEnv(DummyVecEnv([partial(gym.make, "Acrobot-v1")]), filter_)
