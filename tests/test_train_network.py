"""Networks read as data: weights, heads, and what a wrong action costs; and statistics likewise."""

import base64
import io
import json
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from nprl.env.task import load_task
from nprl.train import NormaliserError, TrainError, load_teacher
from nprl.train.statistics import read_vecnormalize

CARTPOLE, INVERTED = load_task("CartPole-v1"), load_task("InvertedPendulum-v5")
X = np.random.default_rng(0).normal(0, 1, (50, 4)).astype(np.float32)


def weights(path, **changes):
    """A file of weights for four observations and two actions, with these changes."""
    rng = np.random.default_rng(1)
    arrays = {
        "w0": rng.normal(0, 1, (8, 4)),
        "b0": rng.normal(0, 1, 8),
        "w1": rng.normal(0, 1, (2, 8)),
        "b1": np.zeros(2),
        "activation": np.array("relu"),
    }
    arrays = {k: v for k, v in (arrays | changes).items() if v is not None}
    np.savez(path, **arrays)
    return path, arrays


def test_a_file_of_weights_is_a_teacher(tmp_path):
    mean, var = np.full(4, 0.3), np.full(4, 4.0)
    path, a = weights(tmp_path / "net.npz", obs_mean=mean, obs_var=var, clip_obs=np.array(1.5))
    teacher = load_teacher(path, CARTPOLE)
    seen = np.clip((X - mean) / np.sqrt(var + 1e-8), -1.5, 1.5)
    scores = np.maximum(seen @ a["w0"].T + a["b0"], 0) @ a["w1"].T + a["b1"]
    np.testing.assert_array_equal(teacher.predict(X)[0], scores.argmax(axis=1))
    gap = teacher.weights(X)
    np.testing.assert_allclose(gap, np.abs(scores[:, 0] - scores[:, 1]), rtol=1e-4, atol=1e-5)
    again = load_teacher(teacher.save(tmp_path / "kept" / "policy"), CARTPOLE)
    np.testing.assert_array_equal(again.predict(X)[0], teacher.predict(X)[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activation": None}, "'activation' is missing"),
        ({"activation": np.array("step")}, "an activation is one of tanh, relu"),
        ({"w1": np.zeros((2, 7))}, "shapes of the network's layers"),
        ({"w1": np.zeros((3, 8)), "b1": np.zeros(3)}, "does not fit the actions Discrete"),
        ({"b1": np.array([np.nan, 0])}, "a weight of the network is not finite"),
        ({"w0": np.zeros((8, 3))}, "its observations are 3 numbers; CartPole-v1 has"),
        ({"what": np.zeros(1)}, "unknown arrays what"),
        ({"activation": np.array({"code": 1}, dtype=object)}, "no weights that can be read"),
    ],
)
def test_a_file_of_other_weights_is_one_line(tmp_path, changes, message):
    path, _ = weights(tmp_path / "net.npz", **changes)
    with pytest.raises(TrainError, match=message) as caught:
        load_teacher(path, CARTPOLE)
    assert "\n" not in str(caught.value)


def saved(algorithm, task, folder, **options):
    """A zip that Stable-Baselines3 wrote, untrained."""
    venv = DummyVecEnv([task.make])
    model = algorithm("MlpPolicy", venv, device="cpu", seed=0, **options)
    model.save(folder / "model.zip")
    venv.close()
    return folder / "model.zip", model


def test_layers_and_activation_are_what_the_zip_says(tmp_path):
    options = {"net_arch": [16, 8, 8], "activation_fn": torch.nn.ELU}
    path, model = saved(PPO, CARTPOLE, tmp_path, policy_kwargs=options)
    network = load_teacher(path, CARTPOLE).algorithm
    assert network.activation == "elu"
    assert [tuple(w.shape) for w, _ in network.layers] == [(16, 4), (8, 16), (8, 8), (2, 8)]
    np.testing.assert_array_equal(network.predict(X)[0], model.predict(X, deterministic=True)[0])


def test_no_pickle_of_a_standard_zip_is_read(tmp_path):
    path, _ = saved(DQN, CARTPOLE, tmp_path, buffer_size=10)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    data = json.loads(parts["data"])
    bomb = base64.b64encode(pickle.dumps(_Bomb(str(tmp_path / "exploded")))).decode()
    for value in data.values():
        if isinstance(value, dict) and ":serialized:" in value:
            value[":serialized:"] = bomb
    parts["data"] = json.dumps(data).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    load_teacher(path, CARTPOLE)
    assert not (tmp_path / "exploded").exists()


def test_a_pickle_in_the_place_of_the_weights_is_not_executed(tmp_path):
    path, _ = saved(PPO, CARTPOLE, tmp_path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    buffer = io.BytesIO()
    torch.save({"action_net.weight": _Bomb(str(tmp_path / "exploded"))}, buffer)
    parts["policy.pth"] = buffer.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    with pytest.raises(TrainError, match="cannot be loaded"):
        load_teacher(path, CARTPOLE)
    assert not (tmp_path / "exploded").exists()


def test_the_gap_of_a_dqn_is_that_of_its_q(tmp_path):
    path, model = saved(DQN, CARTPOLE, tmp_path, buffer_size=10)
    q = model.q_net(torch.from_numpy(X)).detach().numpy()
    gap = load_teacher(path, CARTPOLE).weights(X)
    np.testing.assert_allclose(gap, q.max(axis=1) - q.min(axis=1), rtol=1e-5)


def test_the_gap_of_a_sac_is_between_its_action_and_the_worst_corner(tmp_path):
    path, model = saved(SAC, INVERTED, tmp_path, buffer_size=10)
    teacher = load_teacher(path, INVERTED)
    x = torch.from_numpy(X)

    def worth(a):
        return torch.stack(model.critic(x, a)).min(dim=0).values[:, 0]

    own = torch.from_numpy(teacher.predict(X)[0] / 3)
    corners = torch.stack([worth(torch.full((50, 1), v)) for v in (-1.0, 1.0)]).min(dim=0).values
    expected = (worth(own) - corners).clamp(min=0).detach().numpy()
    np.testing.assert_allclose(teacher.weights(X), expected, atol=1e-5)
    path, _ = saved(PPO, INVERTED, tmp_path)
    assert load_teacher(path, INVERTED).weights(X) is None


class _Bomb:
    """Unpickled, it makes a directory."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_statistics_are_read_from_any_protocol_as_numpy_reads_them(tmp_path, protocol):
    venv = VecNormalize(DummyVecEnv([CARTPOLE.make]), clip_obs=5.0, epsilon=1e-6)
    venv.reset()
    for _ in range(20):
        venv.step(np.array([1]))
    venv.observation_space.seed(1)
    path = tmp_path / "vecnormalize.pkl"
    path.write_bytes(pickle.dumps(venv, protocol))
    if protocol == 2:
        with pytest.raises(NormaliserError, match=r"_codecs\.encode, which no VecNormalize does"):
            read_vecnormalize(path)
        return
    read = read_vecnormalize(path)
    np.testing.assert_array_equal(read.mean, venv.obs_rms.mean)
    np.testing.assert_array_equal(read.var, venv.obs_rms.var)
    assert (read.limit, read.epsilon) == (5.0, 1e-6)
    seen = venv.normalize_obs(X)
    np.testing.assert_allclose(read(X), seen, rtol=1e-5)


def test_statistics_of_rewards_alone_leave_observations_as_they_are(tmp_path):
    venv = VecNormalize(DummyVecEnv([CARTPOLE.make]), norm_obs=False)
    venv.save(str(tmp_path / "vecnormalize.pkl"))
    assert read_vecnormalize(tmp_path / "vecnormalize.pkl") is None


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        ({"obs_rms": 1}, "it holds no VecNormalize"),
        (np.zeros(3), "it holds no VecNormalize"),
        (print, "builtins.print, which no VecNormalize does"),
        (np.frompyfunc, "it names numpy.frompyfunc"),
    ],
)
def test_other_pickles_are_refused(tmp_path, thing, message):
    path = tmp_path / "vecnormalize.pkl"
    path.write_bytes(pickle.dumps(thing))
    with pytest.raises(NormaliserError, match=message):
        read_vecnormalize(path)


def test_a_pickle_that_is_code_is_refused_and_not_executed(tmp_path):
    path, target = tmp_path / "vecnormalize.pkl", tmp_path / "exploded"
    venv = VecNormalize(DummyVecEnv([CARTPOLE.make]))
    venv.clip_obs = _Bomb(str(target))
    path.write_bytes(pickle.dumps(venv))
    with pytest.raises(NormaliserError, match=r"posix.mkdir|nt.mkdir"):
        read_vecnormalize(path)
    assert not target.exists()
    path.write_bytes(pickle.dumps(venv)[:-20])
    with pytest.raises(NormaliserError):
        read_vecnormalize(path)
    with pytest.raises(NormaliserError, match="cannot be read"):
        read_vecnormalize(tmp_path / "missing.pkl")
