"""Our vector environments do what Gymnasium's do with single ones, in every autoreset mode."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import nprl.envs
from nprl.env.environment import ModelEnv
from nprl.env.gymnasium_vector import ModelVectorEnv

SAMPLE = ("nprl/Pendulum-v0", "nprl/LaneKeeping-v0", "nprl/Road-v0", "nprl/Cruise-v0")


def pair(env_id: str, mode: AutoresetMode, n: int = 4) -> tuple[SyncVectorEnv, ModelVectorEnv]:
    sync = gym.make_vec(env_id, n, "sync", vector_kwargs={"autoreset_mode": mode})
    ours = gym.make_vec(env_id, n, autoreset_mode=mode)
    assert isinstance(sync, SyncVectorEnv)
    assert isinstance(ours, ModelVectorEnv)
    return sync, ours


def same(a: Any, b: Any) -> None:
    assert not any(b[f"_{key}"].any() for key in b.keys() - a.keys() if key[0] != "_")
    for key, values in a.items():
        if isinstance(values, dict):
            same(values, b[key])
        elif values.dtype == object:
            for one, other in zip(values, b[key], strict=True):
                assert (one is None) is (other is None)
                assert one is None or np.allclose(one, other, rtol=1e-12, atol=1e-12)
        else:
            assert values.dtype == b[key].dtype
            assert np.array_equal(values, b[key])


@pytest.mark.parametrize("env_id", nprl.envs.IDS)
def test_make_vec_makes_the_batched_environment_with_the_registered_horizon(env_id: str) -> None:
    env = gym.make_vec(env_id, 3)
    assert isinstance(env, ModelVectorEnv)
    spec = gym.spec(env_id)
    assert env.horizon == spec.max_episode_steps == env.model.horizon
    obs, infos = env.reset(seed=0)
    assert env.observation_space.contains(obs.astype(env.observation_space.dtype))
    assert infos == {}


@pytest.mark.parametrize("env_id", SAMPLE)
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_a_lane_does_what_a_single_environment_does(env_id: str, mode: AutoresetMode) -> None:
    sync, ours = pair(env_id, mode)
    rng = np.random.default_rng(0)
    assert np.array_equal(sync.reset(seed=5)[0], ours.reset(seed=5)[0])
    ends = 0
    for _ in range(250):
        actions = rng.uniform(-1, 1, (4, *(sync.single_action_space.shape or ())))
        theirs, mine = sync.step(actions), ours.step(actions)
        for a, b in zip(theirs[:4], mine[:4], strict=True):
            assert a.dtype == b.dtype
            assert np.allclose(a, b, rtol=1e-12, atol=1e-12)
        same(theirs[4], mine[4])
        ends += int(np.count_nonzero(mine[2] | mine[3]))
    assert ends


def test_without_autoreset_the_mask_says_which_lanes_begin_anew() -> None:
    sync, ours = pair("nprl/Pendulum-v0", AutoresetMode.DISABLED)
    rng = np.random.default_rng(1)
    assert np.array_equal(sync.reset(seed=2)[0], ours.reset(seed=2)[0])
    resets = 0
    for _ in range(120):
        actions = rng.uniform(-1, 1, (4, 1))
        theirs, mine = sync.step(actions), ours.step(actions)
        for a, b in zip(theirs[:4], mine[:4], strict=True):
            assert np.allclose(a, b, rtol=1e-12, atol=1e-12)
        done = mine[2] | mine[3]
        if done.any():
            resets += 1
            with pytest.raises(ResetNeeded, match="reset_mask"):
                ours.step(actions)
            theirs, mine = (e.reset(options={"reset_mask": done.copy()}) for e in (sync, ours))
            assert np.allclose(theirs[0], mine[0], rtol=1e-12, atol=1e-12)
    assert resets


def test_an_ignored_action_is_not_looked_at() -> None:
    _, ours = pair("nprl/Pendulum-v0", AutoresetMode.NEXT_STEP, 2)
    ours.reset(seed=0, options={"state": [[0.59, 2.0], [0.0, 0.0]]})
    _, _, ended, _, infos = ours.step(np.zeros((2, 1)))
    assert ended.tolist() == [True, False]
    assert infos["cost"].tolist() == [1.0, 0.0]
    steps = ours.steps_total
    _, rewards, ended, _, infos = ours.step(np.array([[np.nan], [0.0]]))
    assert ours.steps_total == steps + 1
    assert rewards[0] == 0.0
    assert not ended.any()
    assert infos["_cost"].tolist() == [False, True]


def test_states_may_be_given_for_all_lanes_or_one_for_each() -> None:
    env = gym.make_vec("nprl/Pendulum-v0", 2)
    assert env.reset(options={"state": [0.1, 0.0]})[0].tolist() == [[0.1, 0.0]] * 2
    assert env.reset(options={"state": [[0.1, 0.0], [0.2, 0.5]]})[0].tolist() == [
        [0.1, 0.0],
        [0.2, 0.5],
    ]


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda e: e.reset(options={"x": 1}), "accepted keys are 'state' and 'reset_mask'"),
        (lambda e: e.reset(seed=[1, 2]), "one seed per lane, 3; got 2"),
        (lambda e: e.reset(options={"reset_mask": np.zeros(3, bool)}), "one True at least"),
        (lambda e: e.reset(options={"reset_mask": [1, 0, 0]}), "booleans"),
        (lambda e: e.step(np.zeros((2, 1))), "one action per lane, 3; got 2"),
        (lambda e: e.step(np.full((3, 1), np.inf)), "finite"),
    ],
)
def test_a_wrong_call_is_refused_in_one_line(call: Any, line: str) -> None:
    env = gym.make_vec("nprl/Pendulum-v0", 3)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=line):
        call(env)


def test_the_first_reset_is_one_of_all_lanes() -> None:
    env = gym.make_vec("nprl/Pendulum-v0", 2, autoreset_mode="Disabled")
    with pytest.raises(ResetNeeded):
        env.step(np.zeros((2, 1)))
    with pytest.raises(ResetNeeded, match="without 'reset_mask'"):
        env.reset(options={"reset_mask": np.array([True, False])})


def test_a_first_reset_that_is_refused_draws_nothing() -> None:
    tried, fresh = (
        gym.make_vec("nprl/Pendulum-v0", 2, autoreset_mode="Disabled") for _ in range(2)
    )
    with pytest.raises(ResetNeeded):
        tried.reset(seed=1, options={"reset_mask": np.array([True, True])})
    for env in (tried, fresh):
        env.unwrapped._sampler.seed(0, 5)  # type: ignore[attr-defined]
        env.unwrapped._sampler.seed(1, 6)  # type: ignore[attr-defined]
    with pytest.raises(ResetNeeded):
        tried.reset(options={"reset_mask": np.array([True, True])})
    assert np.array_equal(tried.reset()[0], fresh.reset()[0])


def test_each_lane_has_a_picture() -> None:
    env = gym.make_vec("nprl/Pendulum-v0", 2, render_mode="rgb_array")
    env.reset(seed=0)
    frames = env.render()
    assert isinstance(frames, tuple)
    assert [f.dtype for f in frames] == [np.uint8] * 2
    assert gym.make_vec("nprl/Pendulum-v0", 2).render() is None


def test_a_users_model_is_batched_too() -> None:
    env = gym.make_vec("nprl/Model-v0", 2, model="nprl.envs.pendulum:MODEL", max_episode_steps=3)
    assert isinstance(env, ModelVectorEnv)
    assert env.horizon == 3
    single = gym.make("nprl/Pendulum-v0").unwrapped
    assert isinstance(single, ModelEnv)
    assert env.reset(seed=4)[0][0].tolist() == single.reset(seed=4)[0].tolist()
