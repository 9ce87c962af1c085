"""Settings of training: what is refused, what is derived, what the defaults look at."""

import dataclasses
import json

import pytest

from nprl.env.task import load_task
from nprl.train import TrainConfig, TrainError

SMALL = TrainConfig(
    total_steps=512,
    n_envs=4,
    n_steps=32,
    batch_size=64,
    n_epochs=2,
    eval_every=128,
    eval_episodes=4,
)


def test_the_settings_survive_json():
    config = dataclasses.replace(SMALL, net_arch=(8, 8), gamma=0.9)
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_an_unknown_setting_is_refused_with_the_nearest_one():
    with pytest.raises(TrainError, match=r"unknown setting 'gama'; did you mean gamma\?"):
        TrainConfig.from_json({"gama": 0.9})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"total_steps": 0}, "total_steps is an integer of at least 1; got 0"),
        ({"n_envs": 2.0}, "n_envs is an integer of at least 1; got 2.0"),
        ({"gamma": 1.5}, r"gamma lies in \[0, 1\]; got 1.5"),
        ({"learning_rate": float("nan")}, r"learning_rate lies in \[0, 1\]; got nan"),
        ({"net_arch": (0,)}, "net_arch is positive integers"),
        ({"batch_size": 100}, r"batch_size divides n_envs \* n_steps = 128; got 100"),
    ],
)
def test_a_setting_outside_its_range_is_one_clear_line(change, message):
    with pytest.raises(TrainError, match=message) as caught:
        dataclasses.replace(SMALL, **change)
    assert "\n" not in str(caught.value)


def test_stages_are_whole_rollouts_and_cover_the_steps():
    config = dataclasses.replace(SMALL, total_steps=1000, eval_every=200)
    assert config.stage_steps == 256
    assert config.stages == 4


def test_the_learning_rate_goes_from_the_first_to_the_final_one():
    rates = [SMALL.learning_rate_at(stage) for stage in range(SMALL.stages)]
    assert rates[0] == SMALL.learning_rate
    assert rates[-1] == pytest.approx(SMALL.final_learning_rate)
    assert rates == sorted(rates, reverse=True)


def test_the_defaults_look_at_the_task_and_quick_is_shorter():
    batched = TrainConfig.for_task(load_task("nprl/Pendulum-v0"))
    foreign = TrainConfig.for_task(load_task("CartPole-v1"))
    quick = TrainConfig.for_task(load_task("nprl/Pendulum-v0"), quick=True, seed=3)
    assert batched.n_envs > foreign.n_envs
    assert batched.rollout == foreign.rollout
    assert quick.total_steps < batched.total_steps / 4
    assert quick.seed == 3
