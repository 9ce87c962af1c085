"""Episodes of a policy on given seeds: returns with their confidence interval, violations, overrides, time.

Episode ``i`` begins as ``reset(seed=seeds[i])`` of the task's environment does, whatever else is in the batch, so
policies that are given the same seeds are compared on the same starts and the same disturbances. A model of ours
runs in whole batches, on the compiled plant; other environments one by one. Every return is a float64 sum.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from scipy import stats

from nprl.env.plant import Plant
from nprl.env.sampling import Floats, Streams, Uniform
from nprl.env.spaces import action_space, observation_space
from nprl.env.task import Task
from nprl.env.vector import BatchShield
from nprl.model import Model
from nprl.program import Program

CHUNK = {True: 4096, False: 64}
"""How many episodes run side by side: of a model of ours, of another environment."""
Bools = NDArray[np.bool_]


class Policy(Protocol):
    """What can be evaluated: Stable-Baselines3's ``predict``."""

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = ...
    ) -> tuple[NDArray[Any], Any]:
        """The environment's actions for a batch of observations."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What a policy did in some episodes; arrays of shape (episodes,)."""

    returns: Floats
    returns_without_penalty: Floats
    """With the ordinary reward on the step that left the safe set, instead of the model's ``unsafe_reward``."""
    lengths: NDArray[np.int64]
    violations: int | None
    """Steps that ended outside the safe set; None where the environment does not tell (no ``info["cost"]``)."""
    overrides: int
    """Actions that the shield replaced; 0 without one."""
    us_per_step: float
    """The policy's own time for one observation, in microseconds: see `us_per_step`."""

    @property
    def episodes(self) -> int:
        """How many episodes were run."""
        return len(self.returns)

    @property
    def steps(self) -> int:
        """How many steps they had in all."""
        return int(self.lengths.sum())

    @property
    def mean(self) -> float:
        """The mean return."""
        return float(self.returns.mean())

    @property
    def mean_without_penalty(self) -> float:
        """The mean of `returns_without_penalty`."""
        return float(self.returns_without_penalty.mean())

    @property
    def ci95(self) -> tuple[float, float]:
        """The 95 % confidence interval of the mean return (Student's t)."""
        return ci95(self.returns)

    @property
    def ci95_without_penalty(self) -> tuple[float, float]:
        """The same of `returns_without_penalty`."""
        return ci95(self.returns_without_penalty)

    @property
    def overrides_per_1000(self) -> float:
        """Overrides in a thousand steps."""
        return 1000.0 * self.overrides / self.steps


def evaluate(
    task: Task,
    policy: Policy | Literal["random"],
    seeds: Sequence[int],
    shield: BatchShield | None = None,
    deterministic: bool = True,
    timed: bool = True,
) -> Evaluation:
    """Run one episode per seed, and say what happened. The same seeds give the same bytes.

    ``policy`` is anything with Stable-Baselines3's ``predict``, or ``"random"`` for uniform actions. Without
    ``timed`` the policy's time is not taken, and is 0.

    Raises:
        ValueError: for fewer than two seeds, or a shield where there is no model.
    """
    numbers = [int(seed) for seed in seeds]
    if len(numbers) < 2:
        raise ValueError(f"a confidence interval needs at least 2 episodes; got {len(numbers)} seeds")
    if shield is not None and task.binding is None:
        raise ValueError(f"{task.name} has no model, so it cannot be shielded; leave the shield out")
    chunk = CHUNK[task.is_own]
    parts = []
    for at in range(0, len(numbers), chunk):
        lanes = _lanes(task, numbers[at : at + chunk], shield)
        try:
            parts.append(_run(lanes, policy, deterministic))
        finally:
            lanes.close()
    costs = [part.violations for part in parts if part.violations is not None]
    return Evaluation(
        returns=np.concatenate([part.returns for part in parts]),
        returns_without_penalty=np.concatenate([part.bare for part in parts]),
        lengths=np.concatenate([part.lengths for part in parts]),
        violations=sum(costs) if len(costs) == len(parts) else None,
        overrides=sum(part.overrides for part in parts),
        us_per_step=us_per_step(policy, parts[0].first) if timed else 0.0,
    )


def ci95(sample: Floats) -> tuple[float, float]:
    """The 95 % confidence interval of the mean of at least 2 independent numbers, by Student's t."""
    n, mean = len(sample), float(np.mean(sample))
    half = float(stats.t.ppf(0.975, n - 1)) * float(np.std(sample, ddof=1)) / math.sqrt(n)
    return mean - half, mean + half


def paired_ci95(a: Evaluation | Floats, b: Evaluation | Floats) -> tuple[float, float]:
    """The 95 % confidence interval of the mean of ``a - b``, episode by episode, for the same seeds.

    Raises:
        ValueError: for other numbers of episodes.
    """
    first, second = (e.returns if isinstance(e, Evaluation) else np.asarray(e) for e in (a, b))
    if first.shape != second.shape or len(first) < 2:
        raise ValueError(
            f"pairs are episodes of the same seeds, at least 2; got {first.shape} and {second.shape}"
        )
    return ci95(first - second)


def us_per_step(policy: Policy | Literal["random"], observations: NDArray[Any]) -> float:
    """Microseconds that one decision takes: the best of five passes over up to 200 single observations.

    A `Program` is called with a list of floats, as it is deployed; anything else by ``predict`` with one
    observation. The environment and the shield are not in it. 0 for ``"random"``.
    """
    if policy == "random":
        return 0.0
    rows: list[Any] = list(observations[:200])
    call: Callable[[Any], Any]
    if isinstance(policy, Program):
        rows, call = [row.tolist() for row in rows], policy
    else:
        call = policy.predict
    best = math.inf
    for _ in range(5):
        began = time.perf_counter()
        for row in rows:
            call(row)
        best = min(best, time.perf_counter() - began)
    return 1e6 * best / len(rows)


@dataclass(frozen=True, slots=True)
class _Step:
    """One step of the lanes that are still running, in their order."""

    obs: NDArray[Any]
    rewards: Floats
    bare: Floats
    dones: Bools
    unsafe: Bools | None
    overridden: int


class _Lanes(Protocol):
    """Episodes side by side."""

    seeds: list[int]
    action_space: gym.Space[Any]

    def reset(self) -> NDArray[Any]: ...
    def step(self, lanes: NDArray[np.int64], actions: NDArray[Any]) -> _Step: ...
    def close(self) -> None: ...


class _ModelLanes:
    """Episodes of a model of ours, by its compiled plant."""

    def __init__(self, task: Task, model: Model, seeds: list[int], shield: BatchShield | None) -> None:
        self.seeds, self.action_space = seeds, action_space(model)
        self._plant, self._shield, self._horizon = Plant(model), shield, task.horizon
        space = observation_space(model)
        self._low, self._high = space.low, space.high
        init = [model.init[name] for name in model.state_names]
        self._start = Uniform(init, model.arithmetic.state)
        self._noise = Uniform([(c.low, c.high) for c in model.disturbance])
        self._unsafe = None if model.unsafe_reward is None else float(model.unsafe_reward)
        self._streams = Streams(len(seeds))
        self._time = 0

    def reset(self) -> NDArray[Any]:
        for lane, seed in enumerate(self.seeds):
            self._streams.seed(lane, seed)
        everyone = np.arange(len(self.seeds))
        self._x = self._start.place(self._streams.take(everyone, self._start.dim))
        self._time = 0
        return self._observe(self._x)

    def step(self, lanes: NDArray[np.int64], actions: NDArray[Any]) -> _Step:
        plant, before = self._plant, self._x[lanes]
        units, overridden = plant.actions.to_units_batch(actions), 0
        if self._shield is not None:
            units, replaced = self._shield.filter_batch(before, units)
            overridden = int(np.count_nonzero(replaced))
        if not np.isfinite(units).all():
            raise ValueError("the policy's actions are not finite, and no shield replaces them")
        noise = self._noise.place(self._streams.take(lanes, self._noise.dim))
        after = plant.step_batch(before, units, noise)
        safe, terminal = plant.verdict_batch(after)
        bare = plant.reward_batch(before, units, after)
        rewards = bare if self._unsafe is None else np.where(safe, bare, self._unsafe)
        self._x[lanes] = after
        self._time += 1
        dones = terminal | ~safe | (self._time >= self._horizon)
        return _Step(self._observe(after), rewards, bare, dones, ~safe, overridden)

    def close(self) -> None:
        """Nothing is held."""

    def _observe(self, x: Floats) -> Floats:
        return np.clip(self._plant.observe_batch(x), self._low, self._high)


class _GymLanes:
    """Episodes of Gymnasium environments, one object per lane."""

    def __init__(self, task: Task, seeds: list[int], shield: BatchShield | None) -> None:
        self.seeds, self._binding, self._shield = seeds, task.binding, shield
        self._plant = None if task.binding is None else Plant(task.binding.model)
        self._envs = [task.make() for _ in seeds]
        self.action_space = self._envs[0].action_space

    def reset(self) -> NDArray[Any]:
        pairs = zip(self._envs, self.seeds, strict=True)
        return np.stack([env.reset(seed=seed)[0] for env, seed in pairs])

    def step(self, lanes: NDArray[np.int64], actions: NDArray[Any]) -> _Step:
        envs = [self._envs[lane] for lane in lanes.tolist()]
        overridden = 0
        if self._shield is not None:
            assert self._binding is not None and self._plant is not None
            states = np.array([self._binding.read_state(env) for env in envs])
            units = self._plant.actions.to_units_batch(actions)
            units, replaced = self._shield.filter_batch(states, units)
            overridden = int(np.count_nonzero(replaced))
            actions = self._binding.from_units(units)
        rows = [env.step(action) for env, action in zip(envs, actions, strict=True)]
        rewards = np.array([row[1] for row in rows], dtype=np.float64)
        told = all("cost" in row[4] for row in rows)
        return _Step(
            np.stack([row[0] for row in rows]),
            rewards,
            rewards,
            np.array([bool(row[2] or row[3]) for row in rows]),
            np.array([row[4]["cost"] > 0.0 for row in rows]) if told else None,
            overridden,
        )

    def close(self) -> None:
        for env in self._envs:
            env.close()


def _lanes(task: Task, seeds: list[int], shield: BatchShield | None) -> _Lanes:
    if task.is_own and task.model is not None:
        return _ModelLanes(task, task.model, seeds, shield)
    return _GymLanes(task, seeds, shield)


@dataclass(slots=True)
class _Part:
    """What a chunk of episodes gave."""

    returns: Floats
    bare: Floats
    lengths: NDArray[np.int64]
    first: NDArray[Any]
    violations: int | None = 0
    overrides: int = 0


def _run(lanes: _Lanes, policy: Policy | Literal["random"], deterministic: bool) -> _Part:
    n = len(lanes.seeds)
    obs = lanes.reset()
    part = _Part(np.zeros(n), np.zeros(n), np.zeros(n, dtype=np.int64), obs.copy())
    running, start, state = np.ones(n, dtype=np.bool_), np.ones(n, dtype=np.bool_), None
    draw = _random_actions(lanes) if policy == "random" else None
    with nullcontext() if deterministic else _seeded_torch(lanes.seeds[0]):
        while running.any():
            if policy == "random":
                assert draw is not None
                actions = draw()
            else:
                actions, state = policy.predict(obs, state, start, deterministic=deterministic)
            at = np.flatnonzero(running)
            step = lanes.step(at, np.asarray(actions)[at])
            obs[at] = step.obs
            start[:] = False
            part.returns[at] += step.rewards
            part.bare[at] += step.bare
            part.lengths[at] += 1
            part.overrides += step.overridden
            if part.violations is not None:
                unsafe = step.unsafe
                part.violations = (
                    None if unsafe is None else part.violations + int(np.count_nonzero(unsafe))
                )
            running[at[step.dones]] = False
    return part


def _random_actions(lanes: _Lanes) -> Callable[[], NDArray[Any]]:
    """Uniform actions for all lanes: each lane has a generator of its own seed, but not that of its environment."""
    space = lanes.action_space
    generators = [np.random.default_rng([seed, 1]) for seed in lanes.seeds]
    if isinstance(space, spaces.Box) and np.isfinite(space.low).all() and np.isfinite(space.high).all():
        low, high = space.low.astype(np.float64), space.high.astype(np.float64)
        return lambda: np.stack([g.uniform(low, high) for g in generators])
    if isinstance(space, spaces.Discrete):
        first, count = int(space.start), int(space.n)
        return lambda: np.array([first + int(g.integers(count)) for g in generators])
    raise ValueError(f"random actions are drawn from a finite box or a Discrete space; got {space}")


class _seeded_torch:
    """While it lasts, torch draws from this seed; afterwards it goes on where it was."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def __enter__(self) -> None:
        import torch

        self._state = torch.random.get_rng_state()
        torch.manual_seed(self._seed)

    def __exit__(self, *_: object) -> None:
        import torch

        torch.random.set_rng_state(self._state)
