"""Our pendulum and cart-pole against Gymnasium's own code, step by step; its Pendulum-v1 as bound.

The states differ by the rounding of sine and cosine alone, and of the sums they enter: asserted
within `ULPS` of the largest number in the sum. With float32 actions we still compute in float64;
Gymnasium's pendulum rounds part of its step to float32, so the binding hands it float64.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.classic_control import CartPoleEnv, PendulumEnv

import nprl.envs  # noqa: F401
from nprl.env.binding import binding_for
from nprl.env.environment import ModelEnv
from nprl.env.plant import Plant
from nprl.env.task import load_task
from nprl.env.vector import ModelVecEnv
from nprl.shields import Filter, load_certificate

ULPS = 4
N = 3000


def close(ours: Any, theirs: Any, scale: float) -> None:
    """Within `ULPS` units in the last place of the largest number that was added."""
    error = np.abs(np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64))
    assert error.max() <= ULPS * 2.0**-52 * scale


def pendulum_states(n: int = N) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.uniform([-0.6, -2.0], [0.6, 2.0], (n, 2)), rng.uniform(-1.3, 1.3, (n, 1))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_pendulum_steps_as_gymnasium_does(dtype: Any) -> None:
    theirs: Any = PendulumEnv()
    ours: Any = gym.make("nprl/Pendulum-v0").unwrapped
    for x, a in zip(*pendulum_states(), strict=True):
        action = a.astype(dtype)
        torque = np.clip(2.0 * action.astype(np.float64), -2.0, 2.0)
        ours.reset(options={"state": x})
        theirs.state = x.copy()
        _, reward, terminated, _, _ = ours.step(action)
        _, expected, _, _, _ = theirs.step(torque)
        close(ours.state, theirs.state, scale=4.0)
        if not terminated:
            close(reward, expected, scale=8.0)  # Gymnasium wraps the angle through pi


def test_gymnasium_with_a_float32_torque_is_another_plant_by_less_than_a_millionth() -> None:
    theirs: Any = PendulumEnv()
    plant = Plant(load_task("nprl/Pendulum-v0").model)  # type: ignore[arg-type]
    worst = 0.0
    for x, a in zip(*pendulum_states(), strict=True):
        torque = np.clip(2.0 * a, -2.0, 2.0).astype(np.float32)
        theirs.state = x.copy()
        theirs.step(torque)
        after = plant.step(x.tolist(), torque.astype(np.float64).tolist(), ())
        worst = max(worst, float(np.abs(np.array(after) - theirs.state).max()))
    assert 1e-10 < worst < 1e-6


def cartpole_states(n: int = N) -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    high = [2.4, 4.0, 0.2, 4.0]
    return rng.uniform(np.negative(high), high, (n, 4)), rng.uniform(-1.0, 1.0, (n, 1))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_cartpole_steps_as_gymnasium_does(dtype: Any) -> None:
    theirs: Any = CartPoleEnv()
    ours: Any = gym.make("nprl/CartPole-v0").unwrapped
    theirs.reset(seed=0)
    for x, a in zip(*cartpole_states(), strict=True):
        action = a.astype(dtype)
        theirs.force_mag = float(10.0 * action.astype(np.float64)[0])
        theirs.state, theirs.steps_beyond_terminated = tuple(x), None
        ours.reset(options={"state": x})
        _, reward, terminated, _, info = ours.step(action)
        _, expected, fell, _, _ = theirs.step(1)
        close(ours.state, theirs.state, scale=8.0)
        assert (terminated, reward) == (fell, expected)
        assert info["cost"] == float(fell)


def test_the_batched_pendulum_and_cartpole_step_as_gymnasium_does() -> None:
    x, a = pendulum_states(500)
    venv = ModelVecEnv("nprl.envs.pendulum:MODEL", 500, seed=0)
    venv.reset()
    after = venv.plant.step_batch(x, np.clip(2.0 * a, -2.0, 2.0), np.empty((500, 0)))
    theirs: Any = PendulumEnv()
    for row, start, action in zip(after, x, a, strict=True):
        theirs.state = start.copy()
        theirs.step(2.0 * action)
        close(row, theirs.state, scale=4.0)
    x, a = cartpole_states(500)
    plant = ModelVecEnv("nprl.envs.cartpole:MODEL", 1).plant
    after = plant.step_batch(x, 10.0 * a, np.empty((500, 0)))
    cart: Any = CartPoleEnv()
    cart.reset(seed=0)
    for row, start, action in zip(after, x, a, strict=True):
        cart.force_mag, cart.state = float(10.0 * action[0]), tuple(start)
        cart.steps_beyond_terminated = None
        cart.step(1)
        close(row, cart.state, scale=8.0)


def test_the_binding_of_stock_pendulum_has_its_dynamics_reward_and_observation() -> None:
    env = gym.make("Pendulum-v1")
    binding = binding_for(env)
    assert binding is not None
    plant = Plant(binding.model)
    rounding = [float(o.rounding) for o in binding.model.observation]
    env.reset(seed=0)
    for x, a in zip(*pendulum_states(), strict=True):
        binding.write_state(env, x)
        action = binding.from_units(binding.to_units((2.0 * a).astype(np.float32)))
        assert action.dtype == np.float64
        obs, reward, _, _, _ = env.unwrapped.step(action)
        after = plant.step(x.tolist(), action.tolist(), ())
        close(after, binding.read_state(env), scale=4.0)
        close(plant.reward(x.tolist(), action.tolist(), after), reward, scale=8.0)
        if plant.safe(after):
            seen = np.array(plant.observe(after))
            assert (np.abs(seen - obs.astype(np.float64)) <= rounding).all()


def test_the_binding_of_stock_cartpole_has_its_dynamics_reward_end_and_observation() -> None:
    env = gym.make("CartPole-v1")
    binding = binding_for(env)
    assert binding is not None
    plant = Plant(binding.model)
    rounding = [float(o.rounding) for o in binding.model.observation]
    env.reset(seed=0)
    for k, x in enumerate(cartpole_states()[0]):
        binding.write_state(env, x)
        assert binding.read_state(env) == tuple(x)
        u = binding.to_units(k % 2)
        assert binding.from_units(u) == k % 2
        obs, reward, terminated, _, _ = env.unwrapped.step(k % 2)
        after = binding.read_state(env)
        close(plant.step(x.tolist(), u.tolist(), ()), after, scale=8.0)
        assert terminated is not plant.safe(after)
        assert plant.reward(x.tolist(), u.tolist(), after) == reward
        if plant.safe(after) and np.abs(after).max() <= 4.0:
            assert (np.abs(np.array(after) - obs.astype(np.float64)) <= rounding).all()


def test_stock_cartpole_starts_inside_the_initial_box_of_its_model() -> None:
    task = load_task("CartPole-v1")
    assert task.binding is not None
    env = task.make()
    for seed in range(300):
        env.reset(seed=seed)
        state = task.binding.read_state(env)
        for name, value in zip(task.binding.model.state_names, state, strict=True):
            low, high = task.binding.model.init[name]
            assert low <= value <= high


def test_stock_pendulum_starts_inside_the_initial_box_of_its_model() -> None:
    task = load_task("Pendulum-v1")
    assert task.binding is not None
    env = task.make()
    for seed in range(300):
        env.reset(seed=seed)
        state = task.binding.read_state(env)
        for name, value in zip(task.binding.model.state_names, state, strict=True):
            low, high = task.binding.model.init[name]
            assert float(low) <= value <= float(high)


def test_the_further_statement_of_stock_pendulum_holds_all_its_resets_and_dynamics() -> None:
    task = load_task("Pendulum-v1#all")
    assert task.binding is not None
    assert task.env_id == "Pendulum-v1"
    env, plant = task.make(), Plant(task.binding.model)
    rng = np.random.default_rng(2)
    for seed in range(300):
        env.reset(seed=seed)
        state = task.binding.read_state(env)
        for name, value in zip(task.binding.model.state_names, state, strict=True):
            low, high = task.binding.model.init[name]
            assert float(low) <= value <= float(high)
        x, a = rng.uniform([-5, -6], [5, 6]), rng.uniform(-2, 2, 1)
        task.binding.write_state(env, x)
        _, reward, _, _, _ = env.unwrapped.step(a)
        after = plant.step(x.tolist(), a.tolist(), ())
        close(after, task.binding.read_state(env), scale=8.0)
        close(plant.reward(x.tolist(), a.tolist(), after), reward, scale=32.0)


def test_the_cost_of_a_further_statement_is_that_of_its_own_safe_set() -> None:
    env = load_task("Pendulum-v1#all").make()
    env.reset(seed=0, options={"x_init": 3.0, "y_init": 0.1})
    assert env.step(np.zeros(1))[4]["cost"] == 0.0


def test_a_further_statement_that_nobody_made_is_unknown() -> None:
    with pytest.raises(ValueError, match="unknown environment 'Pendulum-v1#none'"):
        load_task("Pendulum-v1#none")


def test_the_cost_of_stock_pendulum_is_told_at_each_step_and_changes_nothing_else() -> None:
    task = load_task("Pendulum-v1")
    env, bare = task.make(), gym.make("Pendulum-v1")
    env.reset(seed=5)
    bare.reset(seed=5, options={"x_init": 0.2, "y_init": 0.2})
    costs = []
    for _ in range(200):
        ours, theirs = env.step(np.ones(1)), bare.step(np.ones(1))
        assert np.array_equal(ours[0], theirs[0])
        assert ours[1:4] == theirs[1:4]
        costs.append(ours[4]["cost"])
    assert costs[0] == 0.0
    assert max(costs) == 1.0
    assert ours[3]


def test_a_spec_of_the_bound_pendulum_survives_json() -> None:
    env = load_task("Pendulum-v1").make()
    assert env.spec is not None
    again = gym.make(type(env.spec).from_json(env.spec.to_json()))
    assert np.array_equal(env.reset(seed=2)[0], again.reset(seed=2)[0])
    assert not isinstance(again.unwrapped, ModelEnv)


def test_the_binding_of_stock_mountain_car_has_its_dynamics_and_goal() -> None:
    env = gym.make("MountainCarContinuous-v0")
    binding = binding_for(env)
    assert binding is not None
    model, plant = binding.model, Plant(binding.model)
    env.reset(seed=0)
    state = binding.read_state(env)
    assert all(low <= v <= high for v, (low, high) in zip(state, model.init.values(), strict=True))
    rng = np.random.default_rng(0)
    (off,) = model.disturbance
    compared, ended = 0, 0
    for _ in range(N):
        binding.write_state(env, rng.uniform([-1.2, -0.07], [0.45, 0.07]))
        before, action = binding.read_state(env), rng.uniform(-1.2, 1.2, 1)
        units = binding.to_units(action)
        _, reward, terminated, _, _ = env.unwrapped.step(binding.from_units(units))
        after = binding.read_state(env)
        nominal = plant.step(before, units.tolist(), (0.0,))
        if plant.safe(nominal):
            assert abs(after[0] - nominal[0]) <= float(off.high) + 2.0**-23
            assert abs(after[1] - nominal[1]) <= float(off.high) + 2.0**-27
            assert terminated >= plant.terminal(after)
            assert float(reward) == pytest.approx(
                plant.reward(before, units.tolist(), after) + 100 * terminated
            )
            compared += 1
            ended += terminated
        else:  # the wall, or the limit of the speed: outside of the safe set for both
            assert not plant.safe(after)
    assert compared > N // 2
    assert ended > 0


def test_behind_its_shield_stock_mountain_car_still_reaches_the_goal() -> None:
    env = gym.make("MountainCarContinuous-v0")
    binding = binding_for(env)
    assert binding is not None
    path = Path(str(resources.files("nprl.shields.proved"))) / "mountain_car_continuous.json"
    shield = Filter(load_certificate(path), trusted=True)
    plant = Plant(binding.model)
    for seed in range(10):
        env.reset(seed=seed)
        ended = False
        while not ended:
            state = binding.read_state(env)
            assert plant.safe(state)  # neither the wall nor the limit of the speed
            force = 1.0 if state[1] >= 0 else -1.0  # the fastest way up; alone it meets the wall
            action = binding.from_units(shield.filter(state, [force]).action)
            _, _, ended, truncated, _ = env.step(action)
            assert not truncated
