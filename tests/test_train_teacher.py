"""Teachers trained elsewhere: what is accepted, and how everything else is refused."""

import json
import logging
import zipfile

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from nprl.env.task import load_task
from nprl.train import Normaliser, Teacher, TrainError, load_teacher
from nprl.train.network import Network

CARTPOLE = load_task("CartPole-v1")
INVERTED = load_task("InvertedPendulum-v5")
PENDULUM = load_task("nprl/Pendulum-v0")


def saved(algorithm, task, folder, **options):
    """A zip that Stable-Baselines3 wrote, untrained."""
    venv = DummyVecEnv([task.make])
    model = algorithm("MlpPolicy", venv, device="cpu", seed=0, **options)
    model.save(folder / "model.zip")
    venv.close()
    return folder / "model.zip", model


@pytest.mark.parametrize("algorithm", [PPO, A2C, DQN])
def test_a_discrete_zip_of_stable_baselines3_is_a_teacher(tmp_path, algorithm):
    options = {"buffer_size": 100} if algorithm is DQN else {}
    path, model = saved(algorithm, CARTPOLE, tmp_path, **options)
    teacher = load_teacher(path, CARTPOLE)
    observations = np.random.default_rng(0).normal(0, 1, (20, 4)).astype(np.float32)
    assert (
        teacher.predict(observations)[0] == model.predict(observations, deterministic=True)[0]
    ).all()
    assert teacher.predict(observations[0])[0].shape == ()


@pytest.mark.parametrize("algorithm", [PPO, A2C, SAC, TD3, DDPG])
def test_a_continuous_zip_of_stable_baselines3_is_a_teacher(tmp_path, algorithm):
    options = {} if algorithm in (PPO, A2C) else {"buffer_size": 100}
    path, model = saved(algorithm, INVERTED, tmp_path, **options)
    teacher = load_teacher(path, INVERTED)
    observations = np.random.default_rng(0).normal(0, 1, (20, 4))
    np.testing.assert_array_equal(
        teacher.predict(observations)[0], model.predict(observations, deterministic=True)[0]
    )


def test_a_schedule_written_as_a_function_is_not_unpickled(tmp_path):
    path, _ = saved(
        PPO, CARTPOLE, tmp_path, learning_rate=lambda p: 1e-3 * p, clip_range=lambda p: 0.2
    )
    with zipfile.ZipFile(path) as archive:
        data = json.loads(archive.read("data"))
        parts = {name: archive.read(name) for name in archive.namelist()}
    data["lr_schedule"][":serialized:"] = data["clip_range"][":serialized:"] = "AAAA"
    parts["data"] = json.dumps(data).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    assert load_teacher(path, CARTPOLE).predict(np.zeros(4))[0] in (0, 1)


def test_a_standard_zip_is_data_and_any_other_is_announced_as_code(tmp_path, caplog):
    standard, _ = saved(PPO, INVERTED, tmp_path)
    with caplog.at_level(logging.WARNING, "nprl.train"):
        assert isinstance(load_teacher(standard, INVERTED).algorithm, Network)
        assert not caplog.records
        path, model = saved(PPO, INVERTED, tmp_path, use_sde=True)
        load_teacher(path, INVERTED, trusted=True)
        assert not caplog.records
        teacher = load_teacher(path, INVERTED)
    assert "is code when it is loaded" in caplog.text
    assert "exploration that depends on the state" in caplog.text
    x = np.zeros((2, 4))
    np.testing.assert_array_equal(teacher.predict(x)[0], model.predict(x, deterministic=True)[0])
    assert teacher.weights(x) is None


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (INVERTED, "its observations|its actions"),
        (PENDULUM, "its observations are .*; nprl/Pendulum-v0 has "),
    ],
)
def test_spaces_that_do_not_fit_are_one_line(tmp_path, task, message):
    path, _ = saved(PPO, CARTPOLE, tmp_path)
    with pytest.raises(TrainError, match=message) as caught:
        load_teacher(path, task)
    assert "\n" not in str(caught.value)


def test_actions_of_another_range_are_refused(tmp_path):
    class Wide(gym.ActionWrapper):
        def __init__(self, env):
            super().__init__(env)
            self.action_space = gym.spaces.Box(-5.0, 5.0, (1,), np.float32)

        def action(self, action):
            return action / 5.0

    model = PPO("MlpPolicy", DummyVecEnv([lambda: Wide(PENDULUM.make())]), device="cpu")
    model.save(tmp_path / "model.zip")
    with pytest.raises(TrainError, match=r"its actions are Box\(-5.0, 5.0"):
        load_teacher(tmp_path / "model.zip", PENDULUM)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04junk", b"{}"])
def test_a_file_that_is_no_zip_is_one_line(tmp_path, content):
    path = tmp_path / "model.zip"
    path.write_bytes(content)
    with pytest.raises(TrainError, match="no policy zip of Stable-Baselines3"):
        load_teacher(path, CARTPOLE)
    with pytest.raises(TrainError, match=r"cannot be read \(No such file or directory\)"):
        load_teacher(tmp_path / "missing.zip", CARTPOLE)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "no policy zip"),
        ([], "no policy zip"),
        (
            {"policy_class": {"__module__": "sb3_contrib.tqc.policies"}},
            "accepted, from SB3: PPO, A2C, SAC",
        ),
        ({"policy_class": {"__module__": "stable_baselines3.sac.policies"}}, "cannot be loaded"),
    ],
)
def test_a_zip_of_something_else_is_one_line(tmp_path, data, message):
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", json.dumps(data))
    with pytest.raises(TrainError, match=message) as caught:
        load_teacher(path, CARTPOLE)
    assert "\n" not in str(caught.value)


def normalised(folder, **options):
    """An untrained PPO of CartPole behind a VecNormalize with known statistics."""
    venv = VecNormalize(DummyVecEnv([CARTPOLE.make]), **options)
    model = PPO("MlpPolicy", venv, device="cpu", seed=0)
    if venv.norm_obs:
        venv.obs_rms.mean[:], venv.obs_rms.var[:] = [0.5, -1.0, 0.25, 0.0], 2.0
    model.save(folder / "model.zip")
    return model, venv


def test_the_statistics_beside_a_zip_are_what_it_was_trained_with(tmp_path):
    model, venv = normalised(tmp_path, clip_obs=3.0)
    observations = np.random.default_rng(0).normal(0, 3, (200, 4))
    expected = model.predict(venv.normalize_obs(observations), deterministic=True)[0]
    raw = model.predict(observations, deterministic=True)[0]
    assert (raw != expected).any()
    assert (load_teacher(tmp_path / "model.zip", CARTPOLE).predict(observations)[0] == raw).all()
    (tmp_path / "model").mkdir()
    for place in (tmp_path / "vec_normalize.pkl", tmp_path / "model" / "vecnormalize.pkl"):
        venv.save(str(place))
        teacher = load_teacher(tmp_path / "model.zip", CARTPOLE)
        assert (teacher.predict(observations)[0] == expected).all()
        given = place.rename(tmp_path / "elsewhere.pickle")
        teacher = load_teacher(tmp_path / "model.zip", CARTPOLE, statistics=given)
        assert (teacher.predict(observations)[0] == expected).all()
    Normaliser(venv.obs_rms.mean, venv.obs_rms.var, venv.clip_obs, venv.epsilon).save(
        tmp_path / "normaliser.json"
    )
    teacher = load_teacher(tmp_path / "model.zip", CARTPOLE)
    assert (teacher.predict(observations)[0] == expected).all()


def test_several_statistics_are_not_chosen_from(tmp_path):
    _, venv = normalised(tmp_path)
    for name in ("vecnormalize.pkl", "vecnormalize_100.pkl"):
        venv.save(str(tmp_path / name))
    with pytest.raises(TrainError, match=r"several statistics lie beside it, vecnormalize\.pkl, "):
        load_teacher(tmp_path / "model.zip", CARTPOLE)


@pytest.mark.parametrize(
    "text",
    [
        "normalize: true\n",
        "- - normalize\n  - '{''norm_obs'': True, ''norm_reward'': False}'\n",
        "normalize: dict(norm_obs=True, norm_reward=False)\n",
    ],
)
def test_a_teacher_that_was_trained_with_statistics_is_refused_without_them(tmp_path, text):
    _, venv = normalised(tmp_path)
    (tmp_path / "config.yml").write_text("gamma: 0.99\n" + text)
    with pytest.raises(TrainError, match="statistics are missing: without them the network sees"):
        load_teacher(tmp_path / "model.zip", CARTPOLE)
    venv.save(str(tmp_path / "vecnormalize.pkl"))
    assert load_teacher(tmp_path / "model.zip", CARTPOLE).normaliser is not None


def test_settings_without_normalisation_ask_for_no_statistics(tmp_path):
    saved(PPO, CARTPOLE, tmp_path)
    (tmp_path / "config.yml").write_text("normalize: false\nnormalize_advantage: true\n")
    assert load_teacher(tmp_path / "model.zip", CARTPOLE).normaliser is None


def test_a_normaliser_of_another_size_or_damaged_is_one_line(tmp_path):
    path, _ = saved(PPO, CARTPOLE, tmp_path)
    Normaliser(np.zeros(3), np.ones(3)).save(tmp_path / "normaliser.json")
    with pytest.raises(TrainError, match="its statistics have 3 means; CartPole-v1 has"):
        load_teacher(path, CARTPOLE)
    (tmp_path / "normaliser.json").write_text("{")
    with pytest.raises(TrainError, match="no normaliser"):
        load_teacher(path, CARTPOLE)


def test_a_teacher_saves_what_loads_again_and_refuses_a_nan(tmp_path):
    _, model = saved(PPO, CARTPOLE, tmp_path)
    teacher = Teacher(model, Normaliser(np.full(4, 0.1), np.full(4, 0.3)))
    path = teacher.save(tmp_path / "kept" / "policy")
    assert path.name == "policy.zip"
    observations = np.random.default_rng(0).normal(0, 1, (20, 4))
    again = load_teacher(path, CARTPOLE, trusted=True)
    assert (again.predict(observations)[0] == teacher.predict(observations)[0]).all()
    with pytest.raises(ValueError, match="an observation is finite numbers"):
        teacher.predict(np.full(4, np.nan))
