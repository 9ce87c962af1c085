"""Every id of ours keeps Gymnasium's and Stable-Baselines3's contracts."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_sb3

import nprl.envs
from nprl.env.binding import binding_for
from nprl.env.environment import ModelEnv
from nprl.env.source import read_model
from nprl.model import model_from_json

IDS = nprl.envs.IDS
SPARED = {
    "nprl/Tape-v0",  # safe under every action
    "nprl/SelfDrivingObstacle-v0",  # constant actions pass the obstacle
    "nprl/Obstacle-v0",
    "nprl/Oscillator-v0",  # the filter's output comes later than the end of an episode
    "nprl/MountainCar-v0",  # the hill is too high for constant actions
    "nprl/NoisyRoad-v0",  # the goal comes first
    "nprl/NoisyRoadStated-v0",  # the episode is over before the speed is
}
"""Where constant extreme actions do not leave the safe set."""


def own(env_id: str, **kwargs: Any) -> ModelEnv:
    env = gym.make(env_id, **kwargs).unwrapped
    assert isinstance(env, ModelEnv)
    return env


@pytest.mark.parametrize("env_id", IDS)
def test_an_environment_passes_both_checkers(env_id: str) -> None:
    check_env(own(env_id, render_mode="rgb_array"))
    check_sb3(gym.make(env_id))


@pytest.mark.parametrize("env_id", IDS)
def test_an_environment_is_rebuilt_from_the_json_of_its_spec(env_id: str) -> None:
    env = gym.make(env_id)
    assert env.spec is not None
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    for e in (env, again):
        e.action_space.seed(3)
    assert np.array_equal(env.reset(seed=3)[0], again.reset(seed=3)[0])
    first, second = env.step(env.action_space.sample()), again.step(again.action_space.sample())
    assert np.array_equal(first[0], second[0])
    assert first[1:] == second[1:]


@pytest.mark.parametrize("env_id", IDS)
def test_what_an_environment_returns_is_plain_python_and_fresh_arrays(env_id: str) -> None:
    env = gym.make(env_id)
    obs, info = env.reset(seed=0)
    assert info == {}
    after, reward, terminated, truncated, info = env.step(np.zeros(env.action_space.shape or ()))
    assert type(reward) is float
    assert type(terminated) is bool
    assert type(truncated) is bool
    assert {name: type(value) for name, value in info.items()} == {"cost": float}
    assert obs is not after
    assert after.dtype == np.float64
    state = env.unwrapped.state  # type: ignore[attr-defined]
    state[:] = 77.0
    assert not np.array_equal(env.unwrapped.state, state)  # type: ignore[attr-defined]


@pytest.mark.parametrize("env_id", IDS)
def test_a_model_comes_back_from_its_json_with_its_digest(env_id: str) -> None:
    model = own(env_id).model
    assert model.name == env_id
    again = model_from_json(json.loads(json.dumps(model.to_json())))
    assert again.to_json() == model.to_json()
    assert again.digest() == model.digest()


@pytest.mark.parametrize("env_id", IDS)
def test_the_registered_time_limit_is_the_horizon_of_the_model(env_id: str) -> None:
    spec = gym.spec(env_id)
    assert spec.max_episode_steps == read_model(spec.kwargs["model"]).horizon
    assert nprl.envs.HORIZONS[env_id][1] == spec.max_episode_steps


@pytest.mark.parametrize("env_id", IDS)
def test_extreme_actions_leave_the_safe_set_and_keep_observations_in_their_space(
    env_id: str,
) -> None:
    env = gym.make(env_id)
    inner = own(env_id)
    violated = 0
    for seed in range(8):
        env.reset(seed=seed)
        done, action = False, np.full(env.action_space.shape or (), -1.0 if seed % 2 else 1.0)
        while not done:
            obs, reward, terminated, truncated, info = env.step(action)
            assert env.observation_space.contains(obs)
            assert np.isfinite(reward)
            done = terminated or truncated
        state = tuple(env.unwrapped.state.tolist())  # type: ignore[attr-defined]
        assert info["cost"] == (0.0 if inner.plant.safe(state) else 1.0)
        if info["cost"]:
            violated += 1
            assert terminated
            assert reward == inner.model.unsafe_reward
    assert (violated > 0) == (env_id not in SPARED)


def test_dying_never_pays_in_the_pendulum() -> None:
    model = own("nprl/Pendulum-v0").model
    worst = -(0.6**2 + 0.1 * 2.0**2 + 0.001 * 2.0**2) * model.horizon
    assert model.unsafe_reward is not None
    assert model.unsafe_reward < worst


def test_a_module_prefix_registers_and_makes() -> None:
    code = "import gymnasium; gymnasium.make('nprl.envs:nprl/Pendulum-v0').reset(seed=0)"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=120)


def test_importing_the_ids_imports_no_learner() -> None:
    code = (
        "import sys, nprl.envs; heavy = {'torch', 'stable_baselines3', 'z3', 'pygame'}"
        "; sys.exit(bool(heavy & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_an_environment_is_its_own_binding() -> None:
    env = gym.make("nprl/LaneKeeping-v0")
    binding = binding_for(env)
    assert binding is not None
    assert binding.env_id == "nprl/LaneKeeping-v0"
    env.reset(seed=1)
    binding.write_state(env, [0.1, -0.2, 0.03, 0.0])
    assert binding.read_state(env) == (0.1, -0.2, 0.03, 0.0)
    action = np.array([0.3, -2.0], dtype=np.float32)
    assert np.array_equal(binding.to_units(action), [float(np.float32(0.3)), -1.0])


def test_reset_starts_where_it_is_told() -> None:
    env = gym.make("nprl/Pendulum-v0")
    obs, _ = env.reset(options={"state": [0.5, -1.0]})
    assert obs.tolist() == [0.5, -1.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"state": [0.5]}, "a state is 2 finite numbers"),
        ({"state": [0.5, float("nan")]}, "a state is 2 finite numbers"),
        ({"stat": [0.5, 0.0]}, "the accepted key is 'state'; got 'stat'"),
    ],
)
def test_a_wrong_reset_option_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gym.make("nprl/Pendulum-v0").reset(options=options)


@pytest.mark.parametrize("bad", [[np.nan], [np.inf], [0.0, 0.0], 0.0])
def test_an_action_that_is_no_action_is_refused(bad: Any) -> None:
    env = own("nprl/Pendulum-v0")
    env.reset(seed=0)
    before = env.state
    with pytest.raises(ValueError, match=r"^an action (is finite numbers|has the shape)[^\n]*$"):
        env.step(np.array(bad))
    assert np.array_equal(env.state, before)


def test_an_imposed_disturbance_is_applied_once_and_one_outside_its_box_is_refused() -> None:
    env = own("nprl/LaneKeeping-v0")
    env.reset(options={"state": [0.0, 0.0, 0.0, 0.0]}, seed=0)
    with pytest.raises(
        ValueError, match=r"lies between \[-0.034[0-9]+\] and \[0.034[0-9]+\]; got \[0.036\]"
    ):
        env.next_disturbance = [0.036]
    env.next_disturbance = [0.034]
    env.step(np.zeros(2))
    assert env.next_disturbance is None
    assert env.state[2] == 0.01 * 0.034
    env.reset(options={"state": [0.0, 0.0, 0.0, 0.0]}, seed=0)
    env.step(np.zeros(2))
    assert 0.0 < abs(env.state[2]) < 0.01 * 0.035


def test_stepping_before_reset_says_what_to_do() -> None:
    with pytest.raises(gym.error.ResetNeeded, match="call reset"):
        own("nprl/Pendulum-v0").step(np.zeros(1))


def test_another_render_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="render_mode is None or 'rgb_array'; got 'ansi'"):
        ModelEnv(own("nprl/Pendulum-v0").model, render_mode="ansi")


@pytest.mark.parametrize("env_id", IDS)
def test_each_published_or_chosen_number_is_explained_in_the_notes(env_id: str) -> None:
    notes = own(env_id).model.notes
    assert "safe" in notes
    assert len(notes) > 100
