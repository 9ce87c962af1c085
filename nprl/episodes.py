"""Episodes side by side, each begun from its own seed: of a model, or of any environment.

Lane ``i`` draws what the task's environment draws after ``reset(seed=seeds[i])``, whatever the
other lanes do. Nothing is reset when an episode ends: the caller steps the lanes that are still
running.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from nprl.env.foreign import filtered
from nprl.env.lanes import BatchShield
from nprl.env.plant import Plant
from nprl.env.sampling import Floats, Sampler
from nprl.env.spaces import action_space, observation_space
from nprl.env.task import Task
from nprl.model import Model

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the lanes that are still running, in their order."""

    obs: NDArray[Any]
    """Observations (n, ...)."""
    rewards: Floats
    """Rewards (n,), float64."""
    bare: Floats
    """The same without the penalty for leaving the safe set."""
    dones: Bools
    """Which episodes ended."""
    unsafe: Bools | None
    """Which states are not safe; None where the environment does not tell."""
    overridden: int
    """How many actions the shield replaced."""


class Lanes(Protocol):
    """Episodes side by side."""

    seeds: list[int]
    action_space: gym.Space[Any]

    def reset(self) -> NDArray[Any]:
        """Begin every episode; the observations (n, ...)."""
        ...

    def step(self, lanes: NDArray[np.int64], actions: NDArray[Any]) -> Step:
        """Step these lanes with the learner's actions, a row for each."""
        ...

    def close(self) -> None:
        """Let go of what is held."""
        ...


class ModelLanes:
    """Episodes of a model of ours, by its compiled plant."""

    def __init__(
        self, task: Task, model: Model, seeds: list[int], shield: BatchShield | None
    ) -> None:
        """Lanes of ``model``, one for each seed."""
        self.seeds = seeds
        self.action_space: gym.Space[Any] = action_space(model)
        self._plant, self._shield, self._horizon = Plant(model, native=True), shield, task.horizon
        space = observation_space(model)
        self._low, self._high = space.low, space.high
        self._unsafe = None if model.unsafe_reward is None else float(model.unsafe_reward)
        self._sampler = Sampler(model, len(seeds))
        self._time = 0

    def reset(self) -> NDArray[Any]:
        """Seed every lane and draw its initial state."""
        for lane, seed in enumerate(self.seeds):
            self._sampler.seed(lane, seed)
        self._x = self._sampler.starts.take(np.arange(len(self.seeds)))
        self._time = 0
        return self._observe(self._x)

    def step(self, lanes: NDArray[np.int64], actions: NDArray[Any]) -> Step:
        """One step of the plant.

        Raises:
            ValueError: for an action that is not finite, where no shield replaces it.
        """
        plant, before = self._plant, self._x[lanes]
        units, overridden = plant.actions.to_units_batch(actions), 0
        if self._shield is not None:
            units, replaced = self._shield.filter_batch(before, units)
            overridden = int(np.count_nonzero(replaced))
        if not np.isfinite(units).all():
            raise ValueError("the policy's actions are not finite, and no shield replaces them")
        noise = self._sampler.noise.take(lanes)
        after, bare, safe, terminal = plant.advance_batch(before, units, noise)
        rewards = bare if self._unsafe is None else np.where(safe, bare, self._unsafe)
        self._x[lanes] = after
        self._time += 1
        dones = ~safe | (self._time >= self._horizon)
        if terminal is not None:
            dones |= terminal
        return Step(self._observe(after), rewards, bare, dones, ~safe, overridden)

    def close(self) -> None:
        """Nothing is held."""

    def _observe(self, x: Floats) -> Floats:
        return np.clip(self._plant.observe_batch(x), self._low, self._high)


class GymLanes:
    """Episodes of Gymnasium environments, one object per lane."""

    def __init__(self, task: Task, seeds: list[int], shield: BatchShield | None) -> None:
        """Environments of ``task``, one for each seed."""
        self.seeds, self._binding, self._shield = seeds, task.binding, shield
        self._envs = [task.make() for _ in seeds]
        self.action_space: gym.Space[Any] = self._envs[0].action_space

    def reset(self) -> NDArray[Any]:
        """Reset every environment with its seed."""
        pairs = zip(self._envs, self.seeds, strict=True)
        return np.stack([env.reset(seed=seed)[0] for env, seed in pairs])

    def step(self, lanes: NDArray[np.int64], actions: NDArray[Any]) -> Step:
        """Step these environments; with a shield, filtered in units and handed on in float64."""
        envs = [self._envs[lane] for lane in lanes.tolist()]
        overridden = 0
        if self._shield is not None:
            assert self._binding is not None
            states = np.array([self._binding.read_state(env) for env in envs])
            actions, replaced = filtered(self._shield, self._binding, states, actions)
            overridden = int(np.count_nonzero(replaced))
        rows = [env.step(action) for env, action in zip(envs, actions, strict=True)]
        rewards = np.array([row[1] for row in rows], dtype=np.float64)
        told = all("cost" in row[4] for row in rows)
        return Step(
            np.stack([row[0] for row in rows]),
            rewards,
            rewards,
            np.array([bool(row[2] or row[3]) for row in rows]),
            np.array([row[4]["cost"] > 0.0 for row in rows]) if told else None,
            overridden,
        )

    def close(self) -> None:
        """Close every environment."""
        for env in self._envs:
            env.close()


def lanes_for(task: Task, seeds: list[int], shield: BatchShield | None) -> Lanes:
    """The episodes of ``task`` that begin from ``seeds``, batched where the model makes them."""
    if task.is_own and task.model is not None:
        return ModelLanes(task, task.model, seeds, shield)
    return GymLanes(task, seeds, shield)
