"""The twins of Gymnasium's classic-control environments step, reward and end as these do."""

import gymnasium as gym
import numpy as np
import pytest

from nprl.distill.rollout import Rollouts, act_of, blank, with_terms
from nprl.env.plant import Plant
from nprl.env.task import load_task
from nprl.envs.twins import TWINS
from nprl.lang.text import parse

PROGRAMS = {
    "Pendulum-v1": "-8 * y - omega * (1 + x)",
    "CartPole-v1": "omega + 8 * theta - 0.1 * v",
    "Acrobot-v1": "omega1",
    "MountainCar-v0": "velocity * 1000",
    "MountainCarContinuous-v0": "velocity * 20",
}


@pytest.mark.parametrize("name", TWINS)
def test_a_twin_steps_as_its_environment(name: str) -> None:
    twin, env, rng = TWINS[name], gym.make(name), np.random.default_rng(0)
    plant = Plant(twin)
    low = np.array([float(c.low) for c in twin.state])
    high = np.array([float(c.high) for c in twin.state])
    ended = 0
    for case in range(300):
        env.reset(seed=case)
        state = rng.uniform(low, high)
        if twin.arithmetic.state == "float32":
            state = state.astype(np.float32).astype(np.float64)
        env.unwrapped.state = state  # type: ignore[attr-defined]
        if twin.choices is None:
            box = env.action_space
            assert isinstance(box, gym.spaces.Box)
            action = rng.uniform(box.low, box.high)
            units = action.tolist()
        else:
            index = int(rng.integers(len(twin.choices)))
            action, units = index, [float(v) for v in twin.choices[index]]
        obs, reward, terminated, _, _ = env.step(action)
        after, gained, _, terminal = plant.advance(state.tolist(), units, [])
        assert np.asarray(plant.observe(after)) == pytest.approx(obs, abs=2e-6, rel=1e-6)
        assert gained == pytest.approx(float(reward), abs=1e-9)
        assert terminal == terminated
        ended += terminated
    env.close()
    assert ended > 0 or name in ("Pendulum-v1", "MountainCar-v0")


@pytest.mark.parametrize("name", TWINS)
def test_an_episode_of_a_twin_is_that_of_the_environment(name: str) -> None:
    task = load_task(name).unbound()
    program = with_terms(blank(task), [parse(PROGRAMS[name])])
    played = Rollouts(task, [1, 2, 3]).run(act_of(program))
    for i, seed in enumerate((1, 2, 3)):
        env = task.make()
        obs, total, done = env.reset(seed=seed)[0], 0.0, False
        while not done:
            obs, reward, terminated, truncated, _ = env.step(program.predict(obs)[0])
            total, done = total + float(reward), terminated or truncated
        env.close()
        assert played.returns[i] == pytest.approx(total, rel=2e-3)
