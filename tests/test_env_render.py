"""Pictures show the state: they are arrays of the right kind, and they move with what they show."""

from __future__ import annotations

import time

import gymnasium as gym
import numpy as np
import pytest

import nprl.envs
from nprl.env.canvas import BLUE, HEIGHT, ORANGE, RED, WIDTH, Image
from nprl.env.environment import ModelEnv
from nprl.env.render import picture
from nprl.env.source import read_model
from nprl.env.spaces import limits
from nprl.model import Model

PENDULUM = read_model("nprl.envs.pendulum:MODEL")
CARTPOLE = read_model("nprl.envs.cartpole:MODEL")


def columns(image: Image, color: tuple[int, int, int], rows: slice) -> float:
    """The mean column of the pixels of a colour, in some rows."""
    where = (image[rows] == color).all(axis=-1)
    assert where.any()
    return float(np.nonzero(where)[1].mean())


@pytest.mark.parametrize("env_id", nprl.envs.IDS)
def test_an_environment_gives_a_picture_at_each_step(env_id: str) -> None:
    env = gym.make(env_id, render_mode="rgb_array")
    env.reset(seed=0)
    first = env.render()
    env.step(np.ones(env.action_space.shape or ()))
    second = env.render()
    for image in (first, second):
        assert isinstance(image, np.ndarray)
        assert image.shape == (HEIGHT, WIDTH, 3)
        assert image.dtype == np.uint8
        assert len(np.unique(image @ np.array([65536, 256, 1]))) > 20  # colours
    assert not np.array_equal(first, second)  # type: ignore[arg-type]


def test_the_pendulum_leans_left_for_a_positive_angle_inside_red_limits() -> None:
    left, right = (picture(PENDULUM, [(a, 0.0)]) for a in (0.4, -0.4))
    rod = slice(0, 260)
    assert columns(left, BLUE, rod) < WIDTH / 2 - 20
    assert columns(right, BLUE, rod) > WIDTH / 2 + 20
    assert columns(left, RED, rod) == pytest.approx(WIDTH / 2, abs=15)


def test_the_cart_moves_and_its_pole_leans_with_the_state() -> None:
    top = slice(100, 200)
    upright = picture(CARTPOLE, [(0.0, 0.0, 0.0, 0.0)])
    moved = picture(CARTPOLE, [(1.0, 0.0, 0.0, 0.0)])
    leaning = picture(CARTPOLE, [(0.0, 0.0, 0.15, 0.0)])
    assert columns(upright, BLUE, top) == pytest.approx(WIDTH / 2, abs=2)
    assert columns(moved, BLUE, top) == pytest.approx(WIDTH / 2 + 100, abs=2)
    assert columns(leaning, BLUE, top) > WIDTH / 2 + 8


def test_an_arrow_shows_the_action() -> None:
    rows = slice(200, 260)
    pushed = picture(CARTPOLE, [(0.0, 0.0, 0.0, 0.0)], [8.0])
    pulled = picture(CARTPOLE, [(0.0, 0.0, 0.0, 0.0)], [-8.0])
    assert columns(pushed, ORANGE, rows) > WIDTH / 2 > columns(pulled, ORANGE, rows)


@pytest.mark.parametrize("model", [PENDULUM, read_model("nprl.envs.lanekeeping:MODEL")])
def test_drawing_takes_less_than_a_frame_at_twenty_per_second(model: Model) -> None:
    history = [tuple(0.01 * k for _ in model.state) for k in range(200)]
    picture(model, history)
    began = time.process_time()
    for _ in range(5):
        picture(model, history)
    assert (time.process_time() - began) / 5 < 0.05


def test_the_limits_are_read_from_the_safe_set() -> None:
    assert limits(PENDULUM) == {"theta": (-0.6, 0.6), "omega": (-2.0, 2.0)}
    assert limits(CARTPOLE)["v"] == (None, None)


def test_rendering_without_a_mode_says_how_to_get_pictures() -> None:
    env = ModelEnv(PENDULUM)
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="render_mode='rgb_array'"):
        assert env.render() is None
