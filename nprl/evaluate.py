"""Episodes of a policy on given seeds: returns and their intervals, violations, overrides, time.

Episode ``i`` begins as ``reset(seed=seeds[i])`` of the task's environment does, whatever else is in
the batch, so policies that are given the same seeds are compared on the same starts and the same
disturbances. A model of ours runs in whole batches, on the compiled plant; other environments one
by one. Every return is a float64 sum.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from numpy.typing import NDArray
from scipy import stats

from nprl.env.lanes import BatchShield
from nprl.env.policy import Policy as Policy
from nprl.env.sampling import Floats, Streams, Uniform
from nprl.env.task import Task
from nprl.episodes import Lanes, lanes_for
from nprl.program import Program

CHUNK = {True: 4096, False: 64}
"""How many episodes run side by side: of a model of ours, of another environment."""
APART = 2**40
"""What is added to an episode's seed for its random actions."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What a policy did in some episodes; arrays of shape (episodes,)."""

    returns: Floats
    returns_without_penalty: Floats
    """With the ordinary reward on the step that left the safe set, instead of the model's
    ``unsafe_reward``.
    """
    lengths: NDArray[np.int64]
    violations: int | None
    """Steps that ended outside the safe set; None where the environment does not tell (no
    ``info["cost"]``).
    """
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

    ``policy`` is anything with Stable-Baselines3's ``predict``, or ``"random"`` for uniform
    actions. Without ``timed`` the policy's time is not taken, and is 0.

    Raises:
        ValueError: for fewer than two seeds, a shield where there is no model, or another word.
    """
    numbers = [int(seed) for seed in seeds]
    if len(numbers) < 2:
        raise ValueError(
            f"a confidence interval needs at least 2 episodes; got {len(numbers)} seeds"
        )
    if shield is not None and task.binding is None:
        raise ValueError(
            f"{task.name} has no model, so it cannot be shielded; leave the shield out"
        )
    if isinstance(policy, str) and policy != "random":
        raise ValueError(f"a policy has a predict method, or is 'random'; got {policy!r}")
    chunk = CHUNK[task.is_own]
    parts = []
    for at in range(0, len(numbers), chunk):
        lanes = lanes_for(task, numbers[at : at + chunk], shield)
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
    """The 95 % confidence interval of the mean of 2 or more independent numbers (Student's t)."""
    n, mean = len(sample), float(np.mean(sample))
    half = float(stats.t.ppf(0.975, n - 1)) * float(np.std(sample, ddof=1)) / math.sqrt(n)
    return mean - half, mean + half


def paired_ci95(a: Evaluation | Floats, b: Evaluation | Floats) -> tuple[float, float]:
    """The 95 % confidence interval of the mean of ``a - b``, paired by episode, on equal seeds.

    Raises:
        ValueError: for other numbers of episodes.
    """
    first, second = (e.returns if isinstance(e, Evaluation) else np.asarray(e) for e in (a, b))
    if first.shape != second.shape or len(first) < 2:
        raise ValueError(
            f"pairs are at least 2 episodes of equal seeds; got {first.shape} and {second.shape}"
        )
    return ci95(first - second)


def us_per_step(policy: Policy | Literal["random"], observations: NDArray[Any]) -> float:
    """Microseconds for one decision: the best of five passes over up to 200 single observations.

    A `Program` is called with a list of floats, as it is deployed; anything else by ``predict``
    with one observation. The environment and the shield are not in it. 0 for ``"random"``.
    """
    if isinstance(policy, str):
        return 0.0
    rows: list[Any] = list(observations[:200])
    call: Callable[[Any], Any]
    if isinstance(policy, Program):
        rows, start = [row.tolist() for row in rows], policy.initial
        call = functools.partial(policy.step, memory=start) if start else policy
    else:
        call = policy.predict
    best = math.inf
    for _ in range(5):
        began = time.perf_counter()
        for row in rows:
            call(row)
        best = min(best, time.perf_counter() - began)
    return 1e6 * best / len(rows)


@dataclass(slots=True)
class _Part:
    """What a chunk of episodes gave."""

    returns: Floats
    bare: Floats
    lengths: NDArray[np.int64]
    first: NDArray[Any]
    violations: int | None = 0
    overrides: int = 0


def _run(lanes: Lanes, policy: Policy | Literal["random"], deterministic: bool) -> _Part:
    n = len(lanes.seeds)
    obs = lanes.reset()
    part = _Part(np.zeros(n), np.zeros(n), np.zeros(n, dtype=np.int64), obs.copy())
    running, start, state = np.ones(n, dtype=np.bool_), np.ones(n, dtype=np.bool_), None
    draw = _random_actions(lanes)
    with nullcontext() if deterministic else _seeded_torch(lanes.seeds[0]):
        while running.any():
            if isinstance(policy, str):
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


def _random_actions(lanes: Lanes) -> Callable[[], NDArray[Any]]:
    """Uniform actions for all lanes, each from a stream that its environment never reads."""
    space, everyone = lanes.action_space, np.arange(len(lanes.seeds))

    def uniform(size: int) -> Streams:
        streams = Streams(len(lanes.seeds), Uniform([(Fraction(0), Fraction(1))] * size))
        for lane, seed in enumerate(lanes.seeds):
            streams.start(lane, seeding.np_random(seed + APART)[0])
        return streams

    if isinstance(space, spaces.Box) and np.isfinite([space.low, space.high]).all():
        low, width = space.low.astype(np.float64), space.high.astype(np.float64) - space.low
        streams = uniform(low.size)

        def draw() -> NDArray[Any]:
            drawn = streams.take(everyone).reshape(-1, *low.shape)
            return np.asarray(low + width * drawn, dtype=space.dtype)

        return draw
    if isinstance(space, spaces.Discrete):
        first, count = int(space.start), int(space.n)
        choosing = uniform(1)
        return lambda: first + (count * choosing.take(everyone)[:, 0]).astype(np.int64)

    def refuse() -> NDArray[Any]:
        raise ValueError(f"random actions need a finite box or a Discrete space; got {space}")

    return refuse


class _seeded_torch:
    """While it lasts, torch draws from this seed; afterwards it goes on where it was."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def __enter__(self) -> None:
        import torch  # only sampled actions need it

        self._state = torch.random.get_rng_state()
        torch.manual_seed(self._seed)

    def __exit__(self, *_: object) -> None:
        import torch

        torch.random.set_rng_state(self._state)
