"""A task is found by an id, or by a user's file; what is not found says what was meant."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.vec_env import DummyVecEnv

import nprl.envs
from nprl.env.binding import binding_for, binding_of
from nprl.env.environment import ModelEnv
from nprl.env.foreign import ShieldedDummyVecEnv, StartInside
from nprl.env.sampling import Uniform
from nprl.env.source import read_model
from nprl.env.task import load_task
from nprl.env.vector import ModelVecEnv

PYTHON = """
from fractions import Fraction
from nprl.lang.terms import Var
from nprl.model import Coordinate, Model

GAP, PUSH = Var("gap"), Var("push")
MODEL = Model(
    name="gap",
    state=(Coordinate("gap", "m", Fraction(-1), Fraction(1)),),
    action=(Coordinate("push", "m", Fraction(-1), Fraction(1)),),
    step={GAP: GAP + PUSH / 10},
    init={GAP: (Fraction(0), Fraction(0))},
    safe=GAP <= Fraction(1, 2),
    horizon=17,
)
"""


@pytest.mark.parametrize("env_id", nprl.envs.IDS)
def test_an_id_of_ours_is_a_task_with_its_model(env_id: str) -> None:
    task = load_task(env_id)
    assert task.name == task.env_id == env_id
    assert task.is_own
    assert task.model is not None
    assert task.binding is not None
    assert task.binding.model.digest() == task.model.digest()
    assert task.horizon == task.model.horizon
    env, venv = task.make(), task.make_vec(3, seed=4)
    assert isinstance(venv, ModelVecEnv)
    assert np.array_equal(env.reset(seed=4)[0], venv.reset()[0])


def test_an_id_may_name_the_module_that_registers_it() -> None:
    assert load_task("nprl.envs:nprl/Pendulum-v0").name == "nprl/Pendulum-v0"
    with pytest.raises(ValueError, match=r"the module 'no.such' cannot be imported"):
        load_task("no.such:Thing-v0")


def test_stock_pendulum_has_a_model_and_starts_inside_it() -> None:
    task = load_task("Pendulum-v1")
    assert not task.is_own
    assert task.model is not None
    assert task.model.name == "gymnasium/Pendulum-v1"
    assert task.horizon == 200
    env = task.make()
    assert isinstance(env, StartInside)
    assert binding_for(env) is binding_of("Pendulum-v1")
    venv = task.make_vec(2, seed=1)
    assert isinstance(venv, DummyVecEnv)
    assert np.array_equal(venv.reset()[0], env.reset(seed=1)[0])
    infos: list[dict[str, Any]] = []
    for _ in range(200):
        infos = venv.step(np.zeros((2, 1), dtype=np.float32))[3]
    assert infos[0]["episode"]["l"] == 200
    assert infos[0]["TimeLimit.truncated"]


class Half:
    """A shield that halves every torque and says so."""

    def filter_batch(self, states: Any, units: Any) -> Any:
        assert states.dtype == units.dtype == np.float64
        self.states = states
        return units / 2, np.ones(len(units), dtype=np.bool_)


def test_stock_pendulum_is_shielded_in_batches_with_float64_actions() -> None:
    task, shield = load_task("Pendulum-v1"), Half()
    assert task.binding is not None
    venv = task.make_vec(2, seed=1, shield=shield)
    assert isinstance(venv, ShieldedDummyVecEnv)
    alone = task.make()
    alone.reset(seed=1)
    venv.reset()
    for _ in range(200):
        _, _, _, infos = venv.step(np.ones((2, 1), dtype=np.float32) / 3)
        assert np.array_equal(shield.states[0], task.binding.read_state(alone))
        alone.step(np.array([float(np.float32(1) / 3) / 2]))
    assert venv.overrides_total == venv.steps_total == 400
    assert [info["shield/overrides"] for info in infos] == [200, 200]
    assert venv.violations_total > 0


class AtMost:
    """A shield that puts the limit in place of every greater action, and 0 in that of no action."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def filter_batch(self, states: Any, units: Any) -> Any:
        bad = ~(units <= self.limit)
        allowed = np.where(np.isnan(units), 0.0, np.minimum(units, self.limit))
        return allowed, bad.any(axis=1)


def test_what_arrives_after_the_scaling_is_what_the_shield_passed() -> None:
    env = gym.make("nprl.envs:nprl/CartPole-v0")
    binding = binding_for(env)
    assert binding is not None
    limits = np.random.default_rng(0).uniform(1, 10, 200)
    there = np.array([binding.to_units(binding.from_units(np.array([v])))[0] for v in limits])
    limit = float(limits[there > limits][0])  # scaled there and back it comes out above itself
    venv = ShieldedDummyVecEnv(DummyVecEnv([lambda: env]), binding, AtMost(limit))
    venv.seed(0)
    venv.reset()
    for action in (1.0, -0.5, limit / 10):
        venv.step(np.array([[action]], dtype=np.float32))
        (applied,) = env.unwrapped._units  # type: ignore[attr-defined]
        assert applied <= limit
        if np.float32(action) * 10.0 <= limit:
            assert applied == 10 * float(np.float32(action))
    assert venv.overrides_total >= 1


def test_no_drawn_disturbance_lies_outside_the_exact_box() -> None:
    model = load_task("nprl/LaneKeeping-v0").model
    assert model is not None
    box = [(c.low, c.high) for c in model.disturbance]
    assert any(Fraction(float(high)) > high for _, high in box)  # the nearest float is outside
    law = Uniform(box)
    for uniform in (np.zeros(law.dim), np.full(law.dim, np.nextafter(1.0, 0.0)), np.ones(law.dim)):
        for value, (low, high) in zip(law.place(uniform).tolist(), box, strict=True):
            assert low <= Fraction(value) <= high


def test_a_foreign_id_without_a_model_runs_and_has_no_model() -> None:
    task = load_task("InvertedDoublePendulum-v5")
    assert task.model is None
    assert task.binding is None
    assert task.horizon == 1000
    venv = task.make_vec(2, seed=0)
    venv.reset()
    venv.step(np.zeros((2, 1), dtype=np.float32))
    venv.close()
    env = task.make()
    assert binding_for(env) is None
    env.close()
    with pytest.raises(ValueError, match="has no model, so it cannot be shielded"):
        task.make_vec(2, seed=0, shield=Half())
    bare = gym.make("InvertedDoublePendulum-v5")
    with pytest.raises(ValueError, match="no binding gives it a model"):
        StartInside(bare, {})
    bare.close()


@pytest.mark.parametrize("kind", ["py", "json"])
def test_a_users_model_goes_where_an_id_goes(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "gap.py"
    path.write_text(PYTHON)
    if kind == "json":
        model = read_model(path)
        path = tmp_path / "gap.json"
        path.write_text(json.dumps(model.to_json()))
    task = load_task(model_file=path)
    assert task.name == "gap"
    assert task.horizon == 17
    env = task.make()
    env.reset(seed=0)
    for k in range(17):
        _, _, terminated, truncated, _ = env.step(np.zeros(1))
        assert (terminated, truncated) == (False, k == 16)
    assert env.spec is not None
    again = gym.make(type(env.spec).from_json(env.spec.to_json()))
    assert isinstance(again.unwrapped, ModelEnv)
    assert isinstance(task.make_vec(2, 0), ModelVecEnv)
    assert task.make(render_mode="rgb_array").render_mode == "rgb_array"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "{", "a.json: "),
        ("a.json", "{}", "a.json: model misses 'format'"),
        ("a.json", '{"a": 1, "a": 2}', "a.json: "),
        ("a.json", None, "a.json: cannot be read"),
        ("a.py", None, "a.py: no such file"),
        ("a.py", "x = 1", "a.py: defines no MODEL"),
        ("a.py", "MODEL = 3", "a.py: MODEL is a nprl.model.Model; got int"),
        ("a.py", "1 / 0", "a.py: ZeroDivisionError: division by zero"),
        ("a.py", "MODEL = (", "a.py: SyntaxError"),
        ("a.txt", "x", "a model is a .json file, a .py file that defines MODEL"),
    ],
)
def test_a_file_that_is_no_model_is_one_clear_line(
    tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_task(model_file=path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("nprl/Pendulm-v0", "nprl/Pendulum-v0"),
        ("nprl/pendulum-v0", "nprl/Pendulum-v0"),
        ("Pendulum-v9", "Pendulum-v1"),
        ("InvertedPendulm-v5", "InvertedPendulum-v5"),
        ("nprl/CartPole", "nprl/CartPole-v0"),
    ],
)
def test_an_unknown_id_is_answered_with_the_one_that_was_meant(wrong: str, meant: str) -> None:
    with pytest.raises(ValueError, match="did you mean") as caught:
        load_task(wrong)
    assert meant in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_id_like_no_other_is_answered_with_ours() -> None:
    with pytest.raises(ValueError, match=r"unknown environment 'xq'; ours are nprl/Pendulum-v0"):
        load_task("xq")
    with pytest.raises(ValueError, match="unknown environment 'nprl/Model-v0'"):
        load_task("nprl/Model-v0")
    with pytest.raises(ValueError, match="one of the two"):
        load_task()


def test_a_model_named_by_its_module_must_be_there() -> None:
    assert read_model("nprl.envs.pendulum:MODEL").name == "nprl/Pendulum-v0"
    with pytest.raises(ValueError, match=r"nprl.envs.pendulum:MODAL: .*MODAL"):
        read_model("nprl.envs.pendulum:MODAL")
