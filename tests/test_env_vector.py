"""The batched environment does what the single one does, and keeps SB3's contract of a `VecEnv`."""

from __future__ import annotations

import inspect
from dataclasses import replace
from fractions import Fraction
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

import nprl.envs
from nprl.env.environment import ModelEnv
from nprl.env.vector import ModelVecEnv
from nprl.lang.build import cos
from nprl.lang.terms import Var
from nprl.model import Arithmetic, Coordinate, Model, Observation

IDS = nprl.envs.IDS
THETA, OMEGA = Var("theta"), Var("omega")


def toy(**changes: Any) -> Model:
    """A small model with everything: choices, a disturbance, terminal states, a seen function."""
    x, u, w = Var("x"), Var("u"), Var("w")
    model = Model(
        name="toy",
        state=(Coordinate("x", "m", Fraction(-2), Fraction(2)),),
        action=(Coordinate("u", "m", Fraction(-1), Fraction(1)),),
        disturbance=(Coordinate("w", "m", Fraction(-1, 10), Fraction(1, 10)),),
        step={"x": x + u / 4 + w},
        init={"x": (Fraction(-1), Fraction(1))},
        safe=(x > -2),
        terminal=(x >= Fraction(3, 2)),
        choices=((Fraction(-1),), (Fraction(0),), (Fraction(1),)),
        observation=(Observation("c", cos(x)), Observation("x", x)),
        reward=-(Var("next_x") ** 2) + u,
        unsafe_reward=Fraction(-7),
        horizon=20,
    )
    return replace(model, **changes)


def model_of(env_id: str) -> Model:
    env = gym.make(env_id).unwrapped
    assert isinstance(env, ModelEnv)
    return env.model


MODELS = [*map(model_of, IDS), toy(), toy(arithmetic=Arithmetic(state="float32"))]


def actions_for(space: gym.Space[Any], n: int, rng: np.random.Generator) -> Any:
    if isinstance(space, gym.spaces.Discrete):
        return rng.integers(0, space.n, n)
    assert isinstance(space, gym.spaces.Box)
    return rng.uniform(-1.2, 1.2, (n, *space.shape)).astype(np.float32)


@pytest.mark.parametrize("model", MODELS, ids=lambda m: f"{m.name}-{m.arithmetic.state}")
def test_the_batch_steps_as_the_single_environment(model: Model) -> None:
    n, rng = 64, np.random.default_rng(4)
    single, venv = ModelEnv(model), ModelVecEnv(model, n, seed=0)
    venv.reset()
    box = model.box()
    ends = np.array([[float(v) for v in box[c]] for c in model.state_names])
    states = rng.uniform(1.05 * ends[:, 0], 1.05 * ends[:, 1], (n, len(ends)))
    assert np.array_equal(venv.set_states(states).shape, (n, len(model.observation)))
    states = venv.states
    actions = actions_for(venv.action_space, n, rng)
    noise = None
    if model.disturbance:
        top = float(model.disturbance[0].high) * 0.999
        noise = venv.next_disturbances = rng.uniform(-top, top, (n, len(model.disturbance)))
    obs, rewards, dones, infos = venv.step(actions)
    for lane in range(n):
        single.reset(options={"state": states[lane]})
        if noise is not None:
            single.next_disturbance = noise[lane]
        seen, reward, terminated, _, info = single.step(actions[lane])
        assert bool(dones[lane]) == terminated
        last = infos[lane]["terminal_observation"] if terminated else obs[lane]
        np.testing.assert_allclose(last, seen, rtol=4e-16, atol=1e-15)
        np.testing.assert_allclose(rewards[lane], np.float32(reward), rtol=1e-6)
        assert infos[lane].get("cost", 0.0) == info["cost"]


@pytest.mark.parametrize("model", MODELS, ids=lambda m: f"{m.name}-{m.arithmetic.state}")
def test_a_seeded_lane_lives_through_the_episodes_of_a_seeded_single_environment(
    model: Model,
) -> None:
    n, steps = 4, 160
    model = replace(model, horizon=40)
    venv = ModelVecEnv(model, n)
    venv.seed(11)
    singles = [gym.wrappers.TimeLimit(ModelEnv(model), 40) for _ in range(n)]
    obs = venv.reset()
    first = [env.reset(seed=11 + i)[0] for i, env in enumerate(singles)]
    assert np.array_equal(obs, first)
    rng, ends, totals = np.random.default_rng(0), 0, np.zeros(n)
    for _ in range(steps):
        actions = actions_for(venv.action_space, n, rng)
        if not isinstance(venv.action_space, gym.spaces.Discrete):
            actions *= 0.3
        obs, _, dones, infos = venv.step(actions)
        for i, env in enumerate(singles):
            seen, reward, terminated, truncated, info = env.step(actions[i])
            totals[i] += reward
            assert bool(dones[i]) == (terminated or truncated)
            if not dones[i]:
                np.testing.assert_allclose(obs[i], seen, rtol=1e-9, atol=1e-9)
                assert infos[i] == {}
                continue
            ends += 1
            ended = infos[i]
            np.testing.assert_allclose(ended["terminal_observation"], seen, rtol=1e-9, atol=1e-9)
            assert ended["TimeLimit.truncated"] == (truncated and not terminated)
            assert ended["cost"] == info["cost"]
            assert ended["episode"]["r"] == pytest.approx(totals[i], rel=1e-6)
            totals[i] = 0.0
            assert np.array_equal(obs[i], env.reset()[0])  # the very same next start
    assert ends > n
    assert venv.steps_total == n * steps


def test_infos_are_plain_python_like_those_of_a_monitor() -> None:
    venv = ModelVecEnv(toy(), 8, seed=0)
    venv.reset()
    ended = []
    for _ in range(60):
        _, rewards, dones, infos = venv.step(np.full(8, 2))
        ended += [info for info in infos if info]
    assert rewards.dtype == np.float32
    assert dones.dtype == np.bool_
    info = ended[0]
    assert {k: type(v) for k, v in info.items()} == {
        "cost": float,
        "terminal_observation": np.ndarray,
        "TimeLimit.truncated": bool,
        "episode": dict,
    }
    assert {k: type(v) for k, v in info["episode"].items()} == {"r": float, "l": int, "t": float}


def test_what_a_step_returned_is_not_changed_by_the_next_one() -> None:
    venv = ModelVecEnv(model_of("nprl/Pendulum-v0"), 16, seed=0)
    kept = [venv.reset()]
    copies = [kept[0].copy()]
    for _ in range(50):
        obs, rewards, dones, _ = venv.step(np.ones((16, 1)))
        kept += [obs, rewards, dones]
        copies += [obs.copy(), rewards.copy(), dones.copy()]
    assert all(np.array_equal(a, b) for a, b in zip(kept, copies, strict=True))


def test_two_batches_of_one_seed_are_equal_whatever_their_sizes() -> None:
    small, large = (ModelVecEnv(model_of("nprl/LaneKeeping-v0"), n, seed=3) for n in (4, 9))
    assert np.array_equal(small.reset(), large.reset()[:4])
    for _ in range(700):  # past the end of a buffer of the streams
        a = small.step(np.zeros((4, 2)))[0]
        b = large.step(np.zeros((9, 2)))[0]
        np.testing.assert_allclose(a, b[:4], rtol=1e-12, atol=1e-12)


def test_an_unseeded_batch_starts_each_lane_elsewhere() -> None:
    obs = ModelVecEnv(model_of("nprl/Pendulum-v0"), 32).reset()
    assert len(np.unique(obs[:, 0])) == 32


def test_reset_options_put_lanes_into_states() -> None:
    venv = ModelVecEnv(model_of("nprl/Pendulum-v0"), 2, seed=0)
    venv.set_options({"state": [0.1, -0.3]})
    assert venv.reset().tolist() == [[0.1, -0.3]] * 2
    assert not np.array_equal(venv.reset()[0], [0.1, -0.3])
    venv.set_options({"satte": [0.1, -0.3]})
    with pytest.raises(ValueError, match="accepted key is 'state'"):
        venv.reset()


def test_attributes_and_methods_of_lanes() -> None:
    venv = ModelVecEnv(model_of("nprl/Pendulum-v0"), 3, seed=0, render_mode="rgb_array")
    venv.reset()
    assert [s.shape for s in venv.get_attr("state", [0, 2])] == [(2,), (2,)]
    assert venv.get_attr("model")[0] is venv.model
    assert venv.has_attr("horizon")
    assert not venv.has_attr("wings")
    venv.set_attr("state", [0.2, 0.1], [1])
    assert venv.states[1].tolist() == [0.2, 0.1]
    with pytest.raises(ValueError, match="shared by all lanes"):
        venv.set_attr("horizon", 5, [1])
    with pytest.raises(AttributeError, match="render and close"):
        venv.env_method("fly")
    with pytest.raises(ValueError, match="states are finite"):
        venv.set_states(np.zeros((2, 2)))
    assert venv.env_is_wrapped(Monitor) == [True] * 3
    assert venv.env_is_wrapped(gym.wrappers.TimeLimit, 0) == [False]
    images = venv.get_images()
    assert [np.shape(i) for i in images] == [(400, 600, 3)] * 3
    assert venv.render() is not None
    venv.close()


def test_an_action_that_is_no_action_is_refused_without_a_shield() -> None:
    venv = ModelVecEnv(model_of("nprl/Pendulum-v0"), 2, seed=0)
    venv.reset()
    for bad in (np.array([[0.0], [np.nan]]), np.array([[np.inf], [0.0]])):
        with pytest.raises(ValueError, match="finite numbers"):
            venv.step(bad)
    with pytest.raises(ValueError, match=r"shape \(n, 1\)"):
        venv.step(np.zeros(2))
    with pytest.raises(ValueError, match="one action per lane, 2; got 3"):
        venv.step(np.zeros((3, 1)))


class Zero:
    """A shield that replaces each torque above 1 N m, and what is NaN, by none."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def filter_batch(self, states: Any, units: Any) -> Any:
        self.seen.append((states.copy(), units.copy()))
        overridden = ~(np.abs(units[:, 0]) <= 1.0)
        return np.where(overridden[:, None], 0.0, units), overridden


def test_a_shield_sees_states_and_units_and_what_it_returns_is_applied() -> None:
    shield = Zero()
    venv = ModelVecEnv(model_of("nprl/Pendulum-v0"), 3, seed=0, shield=shield, horizon=2)
    venv.reset()
    states = venv.states
    actions = np.array([[1.0], [0.25], [np.nan]])
    venv.step(actions)
    seen, units = shield.seen[0]
    assert np.array_equal(seen, states)
    np.testing.assert_array_equal(units, [[2.0], [0.5], [np.nan]])
    expected = [
        venv.plant.step(x, [u], ()) for x, u in zip(states.tolist(), [0.0, 0.5, 0.0], strict=True)
    ]
    np.testing.assert_allclose(venv.states, expected, rtol=1e-15)
    assert venv.overrides_total == 2
    _, _, dones, infos = venv.step(actions)
    assert dones.all()
    assert [info["shield/overrides"] for info in infos] == [2, 0, 2]
    assert venv.overrides_total == 4
    _, _, _, infos = venv.step(np.zeros((3, 1)))
    assert venv.overrides_total == 4


def test_violations_are_counted_once_per_episode() -> None:
    venv = ModelVecEnv(model_of("nprl/Pendulum-v0"), 16, seed=0)
    venv.reset()
    told = 0.0
    for _ in range(200):
        _, _, _, infos = venv.step(np.ones((16, 1)))
        told += sum(info.get("cost", 0.0) for info in infos)
    assert told > 16
    assert venv.violations_total == told


def test_stable_baselines_evaluates_and_learns_on_the_batch() -> None:
    venv = ModelVecEnv(model_of("nprl/Pendulum-v0"), 8, seed=0)
    model = PPO("MlpPolicy", venv, n_steps=32, batch_size=64, n_epochs=1, seed=0, device="cpu")
    model.learn(512)
    returns, lengths = evaluate_policy(model, venv, 12, return_episode_rewards=True)
    assert len(returns) == len(lengths) == 12


def test_states_far_out_are_computed_with_every_check() -> None:
    model = model_of("nprl/SelfDriving-v0")
    venv, single = ModelVecEnv(model, 2, seed=0), ModelEnv(model)
    venv.reset()
    far = [0.0, 1e200]
    venv.set_states([far, [0.0, 0.0]])
    obs, rewards, dones, infos = venv.step(np.zeros((2, 1)))
    single.reset(options={"state": far})
    seen, reward, terminated, _, _ = single.step(np.zeros(1))
    assert terminated
    assert reward == -900.0 == rewards[0]
    assert dones.tolist() == [True, False]
    assert np.array_equal(infos[0]["terminal_observation"], seen)
    assert np.isfinite(obs).all()
    assert venv.observation_space.contains(seen)


def test_the_constructor_matches_the_documented_signature() -> None:
    names = list(inspect.signature(ModelVecEnv).parameters)
    assert names == ["model", "num_envs", "seed", "shield", "horizon", "render_mode"]
    with pytest.raises(ValueError, match="num_envs is at least 1; got 0"):
        ModelVecEnv(toy(), 0)


def test_a_dummy_vec_env_of_single_environments_gives_the_same_first_observations() -> None:
    dummy = DummyVecEnv([lambda: Monitor(gym.make("nprl/CartPole-v0"))] * 3)
    dummy.seed(7)
    assert np.array_equal(dummy.reset(), ModelVecEnv(model_of("nprl/CartPole-v0"), 3, 7).reset())
