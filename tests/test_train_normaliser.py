"""The statistics kept with a policy: numbers in, numbers out, and nothing else."""

import json

import numpy as np
import pytest

from nprl.train import Normaliser, NormaliserError, load_normaliser
from nprl.train.normaliser import RewardScale, moments


def test_moments_of_batches_are_those_of_the_whole():
    rows = np.random.default_rng(0).normal(3.0, 2.0, (1000, 2))
    stats = moments((2,))
    for part in np.split(rows, 20):
        stats.update(part)
    np.testing.assert_allclose(stats.mean, rows.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(stats.var, rows.var(axis=0), rtol=1e-5)


def test_an_observation_is_centred_scaled_and_clipped():
    normaliser = Normaliser(np.array([1.0, 0.0]), np.array([4.0, 0.0]))
    np.testing.assert_allclose(normaliser([3.0, 1.0]), [1.0, 10.0])
    assert normaliser(np.zeros((5, 2))).shape == (5, 2)
    assert normaliser([3.0, 1.0]).dtype == np.float32


def test_the_file_gives_the_same_numbers_back(tmp_path):
    normaliser = Normaliser(np.array([0.1, 1 / 3]), np.array([1e-9, 7.0]))
    again = load_normaliser(normaliser.save(tmp_path / "normaliser.json"))
    assert again.mean.tolist() == normaliser.mean.tolist()
    assert again.var.tolist() == normaliser.var.tolist()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[1, 2]",
        "{}",
        '{"format": "nprl-normaliser/1", "mean": [0], "var": [NaN], "limit": 10, "epsilon": 1e-8}',
        '{"format": "nprl-normaliser/1", "mean": [0], "var": [-1], "limit": 10, "epsilon": 1e-8}',
        '{"format": "nprl-normaliser/1", "mean": [0, 0], "var": [1], "limit": 10, "epsilon": 1e-8}',
        '{"format": "nprl-normaliser/2", "mean": [0], "var": [1], "limit": 10, "epsilon": 1e-8}',
        '{"format": "nprl-normaliser/1", "mean": ["x"], "var": [1], "limit": 10, "epsilon": 1e-8}',
    ],
)
def test_a_file_that_is_no_normaliser_is_one_line(tmp_path, text):
    path = tmp_path / "normaliser.json"
    path.write_text(text)
    with pytest.raises(NormaliserError, match=r"normaliser\.json: no normaliser: ") as caught:
        load_normaliser(path)
    assert "\n" not in str(caught.value)


def test_the_file_is_plain_json(tmp_path):
    path = Normaliser(np.zeros(2), np.ones(2)).save(tmp_path / "n.json")
    assert json.loads(path.read_text())["mean"] == [0.0, 0.0]


def test_scaled_rewards_have_returns_of_deviation_one_and_are_clipped():
    scale = RewardScale(lanes=4, gamma=0.9)
    scale.reset()
    rng = np.random.default_rng(0)
    never = np.zeros(4, dtype=np.bool_)
    for _ in range(2000):
        last = scale(rng.normal(0.0, 5.0, 4), never)
    assert np.abs(last).max() < 10.0
    assert np.sqrt(scale.stats.var) == pytest.approx(5.0 / np.sqrt(1 - 0.81), rel=0.1)
    assert scale(np.full(4, -1e9), never).tolist() == [-10.0] * 4
