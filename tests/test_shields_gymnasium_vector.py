"""The shield around Gymnasium's vector environments: ours, and single ones in a row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, VectorEnv

import nprl.envs  # noqa: F401  (registers the ids)
from nprl.shields.gymnasium_vector import ShieldVector
from nprl.shields.load import load_certificate
from nprl.shields.shield import Filter
from nprl.shields.wrapper import ShieldWarning

PROVED = Path(__file__).parent.parent / "shields/proved"
PENDULUM = Filter(load_certificate(PROVED / "pendulum.json"), trusted=True)
FOREIGN = Filter(load_certificate(PROVED / "pendulum_v1.json"), trusted=True)
MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP]


def ours(mode: AutoresetMode, n: int = 8) -> VectorEnv[Any, Any, Any]:
    return gym.make_vec("nprl/Pendulum-v0", n, autoreset_mode=mode)


def singles(mode: AutoresetMode, n: int = 8) -> VectorEnv[Any, Any, Any]:
    return gym.make_vec("nprl/Pendulum-v0", n, "sync", vector_kwargs={"autoreset_mode": mode})


@pytest.mark.parametrize("make", [ours, singles])
@pytest.mark.parametrize("mode", MODES)
def test_no_lane_leaves_the_safe_set(make: Any, mode: AutoresetMode) -> None:
    env = ShieldVector(make(mode), PENDULUM)
    _, infos = env.reset(seed=0)
    assert infos["shield/guaranteed"].all()
    rng = np.random.default_rng(0)
    counted = ends = 0
    for _ in range(260):
        _, _, over, late, infos = env.step(rng.choice([-1.0, 1.0], (8, 1)))
        assert not over.any()
        assert infos["shield/guaranteed"].all()
        counted += int(infos["shield/overridden"].sum())
        assert (infos["shield/overrides"] >= infos["shield/overridden"]).all()
        ends += int(late.sum())
    assert counted == env.overrides_total > 0
    assert ends == 8
    assert env.steps_total == 8 * (260 - (mode is AutoresetMode.NEXT_STEP))


@pytest.mark.parametrize("mode", MODES)
def test_both_kinds_of_batch_decide_alike(mode: AutoresetMode) -> None:
    envs = [ShieldVector(make(mode), PENDULUM) for make in (ours, singles)]
    for env in envs:
        env.reset(seed=3)
    rng = np.random.default_rng(2)
    for _ in range(210):
        actions = rng.uniform(-1.5, 1.5, (8, 1))
        (obs, *_, infos), (obs2, *_, infos2) = (env.step(actions) for env in envs)
        assert np.allclose(obs, obs2, rtol=1e-9, atol=1e-9)
        for key in ("shield/overridden", "shield/overrides", "_shield/overridden"):
            assert np.array_equal(infos[key], infos2[key])


def test_an_ignored_action_counts_no_override() -> None:
    env = ShieldVector(gym.make_vec("nprl/Pendulum-v0", 2, max_episode_steps=1), PENDULUM)
    env.reset(options={"state": [0.0, 0.0]})
    env.step(np.zeros((2, 1)))
    before = env.overrides_total
    *_, infos = env.step(np.full((2, 1), np.nan))
    assert env.overrides_total == before
    assert not infos["_shield/overridden"].any()
    assert infos["shield/overrides"].tolist() == [0, 0]
    *_, infos = env.step(np.full((2, 1), np.nan))
    assert infos["shield/overridden"].all()
    assert env.overrides_total == before + 2


def test_a_foreign_environment_is_shielded_lane_by_lane() -> None:
    env = ShieldVector(gym.make_vec("Pendulum-v1", 3, "sync"), FOREIGN)
    env.reset(seed=0, options={"x_init": 0.2, "y_init": 0.2})
    for _ in range(100):
        *_, infos = env.step(np.full((3, 1), 2.0, dtype=np.float32))
    assert infos["shield/guaranteed"].all()
    assert (abs(env.states()[:, 0]) <= 0.6).all()
    assert env.overrides_total


def test_another_plant_ends_the_guarantee_of_its_lane() -> None:
    vec = gym.make_vec("Pendulum-v1", 2, "sync")
    vec.envs[1].unwrapped.m = 1.2  # type: ignore[attr-defined]
    env = ShieldVector(vec, FOREIGN)
    env.reset(seed=0, options={"x_init": 0.2, "y_init": 0.2})
    with pytest.warns(ShieldWarning, match="lane 1"):
        *_, infos = env.step(np.full((2, 1), 2.0))
    assert infos["shield/guaranteed"].tolist() == [True, False]


def test_a_start_outside_is_refused_and_nothing_runs() -> None:
    env = ShieldVector(gym.make_vec("nprl/Pendulum-v0", 2), PENDULUM)
    with pytest.raises(ResetNeeded):
        env.step(np.zeros((2, 1)))
    with pytest.raises(ValueError, match="lane 0 is outside the invariant"):
        env.reset(options={"state": [0.59, 2.0]})
    with pytest.raises(ResetNeeded):
        env.step(np.zeros((2, 1)))


def test_what_cannot_be_read_or_is_not_proved_is_refused() -> None:
    with pytest.raises(ValueError, match="another one, nprl/Cruise-v0"):
        ShieldVector(gym.make_vec("nprl/Cruise-v0", 2), PENDULUM)
    with pytest.raises(ValueError, match="prove this one"):
        ShieldVector(gym.make_vec("nprl/Cruise-v0", 2, "sync"), PENDULUM)
    far = AsyncVectorEnv([lambda: gym.make("nprl/Pendulum-v0")])
    with pytest.raises(ValueError, match="got AsyncVectorEnv"):
        ShieldVector(far, PENDULUM)
    far.close()
