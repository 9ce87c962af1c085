"""Transitions of a simulator: drawn over the whole box of analysis, half of them at its faces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nprl.env.binding import Env
from nprl.env.sampling import Floats
from nprl.model import Model

FACE = 0.3
"""The probability that a coordinate of a sample is pushed to an end of its range."""


@dataclass(frozen=True)
class Transitions:
    """States (N, n), actions in units (N, m), and the states after one step (N, n), in float64."""

    x: Floats
    u: Floats
    after: Floats

    @property
    def points(self) -> Floats:
        """States and actions side by side, (N, n + m)."""
        return np.hstack([self.x, self.u])

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Simulator:
    """A running environment as a map of states and actions to next states."""

    env: Env
    read_state: Callable[[Env], tuple[float, ...]]
    write_state: Callable[[Env, Any], None]

    def step(self, x: Floats, u: Floats) -> Floats:
        """The states after one step, (N, n), of states (N, n) under actions (N, m), sent in float64.

        Wrappers are left out: a time limit would end the episode.
        """
        inner = self.env.unwrapped
        after = np.empty_like(x)
        for k, (state, action) in enumerate(zip(x, u, strict=True)):
            self.write_state(self.env, state)
            inner.step(action)
            after[k] = self.read_state(self.env)
        return after


def draw(model: Model, n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """``n`` states and actions, independent and alike distributed over the model's box.

    Each coordinate is uniform in its range, or with probability `FACE` one of its two ends: what
    is extreme is found at faces and corners.
    """
    coordinates = (*model.state, *model.action)
    low = np.array([float(c.low) for c in coordinates])
    high = np.array([float(c.high) for c in coordinates])
    z = rng.random((n, len(coordinates)))
    ends = rng.random(z.shape) < FACE
    z = low + np.where(ends, np.round(z), z) * (high - low)
    return z[:, : len(model.state)], z[:, len(model.state) :]


def transitions(
    simulator: Simulator, model: Model, n: int, rng: np.random.Generator
) -> Transitions:
    """``n`` transitions from states and actions that `draw` gives."""
    x, u = draw(model, n, rng)
    return Transitions(x, u, simulator.step(x, u))
