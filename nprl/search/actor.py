"""Several stochastic policies and their critics at once, each with lanes of its own.

A policy adds Gaussian noise to the unclipped values of its program; clipping, and the choice of the
nearest of finitely many actions, belong to the environment, so one likelihood serves all spaces.
Advantages are generalised; episodes that are cut by their time limit go on in the critic's opinion.

Source: Schulman et al., "Proximal policy optimization algorithms", 2017; "High-dimensional
continuous control using generalized advantage estimation", ICLR 2016.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from nprl.distill.rollout import Floats
from nprl.env.task import Task
from nprl.env.vector import ModelVecEnv
from nprl.program import Program
from nprl.search.relaxation import Relaxation

GAMMA, LAMBDA = 0.99, 0.95
HIDDEN = 64
"""Units of the critics' hidden layers."""
BEYOND, LEAK = 1.2, 0.05
"""Means are held near this part of half the range; beyond it a gradient leaks through."""
FIRST_NOISE = -0.7
"""The logarithm of the first deviation, in halves of the range."""


def lanes_of(task: Task, n: int, seed: int) -> VecEnv:
    """``n`` environments of a task, its twin's where it has one."""
    if task.rolled is not None and not task.is_own:
        return ModelVecEnv(task.rolled, n, seed, None, task.horizon)
    return task.make_vec(n, seed)


@dataclass(frozen=True, slots=True)
class Batch:
    """What all lanes met: rows (n, ...), actions in halves of the range."""

    observations: Tensor
    policy: Tensor
    """Whose lane it is, (n,)."""
    actions: Tensor
    likelihood: Tensor
    advantages: Tensor
    """Normalised for each policy."""
    returns: Tensor
    mean: Floats
    """The mean reward of a step (policies,)."""


class Actors:
    """``count`` policies over ``program``'s outputs, of trees in a relaxation, with critics."""

    def __init__(
        self,
        soft: Relaxation,
        program: Program,
        used: list[int],
        normal: tuple[Floats, Floats],
        count: int,
        seed: int,
    ) -> None:
        """The relaxation's tree ``k * outputs + j`` is output j of policy k.

        ``used`` are the columns of observations that programs read; ``normal`` holds the mean and
        the deviation of all columns, for the critics.
        """
        self.soft, self._program, self._used, self.count = soft, program, used, count
        self._normal = tuple(torch.as_tensor(v) for v in normal)
        low = torch.tensor([float(c.low) for c in program.outputs], dtype=torch.float64)
        high = torch.tensor([float(c.high) for c in program.outputs], dtype=torch.float64)
        self.centre, self.half = (low + high) / 2, (high - low) / 2
        generator = torch.Generator().manual_seed(seed)
        sizes = [len(normal[0]), HIDDEN, HIDDEN, count]
        self.noise = torch.full(
            (count, len(low)), FIRST_NOISE, dtype=torch.float64, requires_grad=True
        )
        self._weights: list[Tensor] = []
        for a, b in itertools.pairwise(sizes):
            drawn = torch.randn(a, b, generator=generator, dtype=torch.float64) / np.sqrt(a)
            self._weights.append(drawn.requires_grad_())
            self._weights.append(torch.zeros(b, dtype=torch.float64, requires_grad=True))
        self._drawn = generator

    @property
    def parameters(self) -> list[Tensor]:
        """What is trained."""
        return [*self.soft.parameters, self.noise, *self._weights]

    def means(self, observations: Tensor, policy: Tensor) -> Tensor:
        """The mean actions (n, outputs), in halves of the range, each row of its policy."""
        values = self.soft.values(observations[:, self._used])
        whole = values.reshape(len(values), self.count, -1)[torch.arange(len(values)), policy]
        scaled = (whole - self.centre) / self.half
        held = torch.clamp(scaled, -BEYOND, BEYOND)
        return held + LEAK * torch.tanh(scaled - held)

    def critics(self, observations: Tensor, policy: Tensor) -> Tensor:
        """The values (n,) that each row's critic expects, in units of the returns' size."""
        a = (observations - self._normal[0]) / self._normal[1]
        w = self._weights
        a = torch.tanh(torch.tanh(a @ w[0] + w[1]) @ w[2] + w[3]) @ w[4] + w[5]
        return torch.gather(a, 1, policy[:, None])[:, 0]

    def likelihood(self, means: Tensor, actions: Tensor, policy: Tensor) -> Tensor:
        """The logarithm of the density of ``actions`` (n, outputs), up to a constant, (n,)."""
        noise = self.noise[policy]
        apart = (actions - means) / torch.exp(noise)
        return -(0.5 * apart**2 + noise).sum(dim=1)

    def collect(self, env: VecEnv, seen: Any, steps: int, scale: float) -> tuple[Batch, Any]:
        """So many steps of every lane; rewards are divided by ``scale``; the last observations."""
        n = env.num_envs
        policy = torch.arange(n) % self.count
        rewards, values = np.zeros((steps, n)), np.zeros((steps + 1, n))
        ended = np.zeros((steps, n), dtype=np.bool_)
        observations, actions, likelihood = [], [], []
        raw = np.zeros((steps, n))
        with torch.no_grad():
            for t in range(steps):
                x = torch.as_tensor(np.asarray(seen, dtype=np.float64))
                means = self.means(x, policy)
                drawn = torch.randn(means.shape, generator=self._drawn, dtype=torch.float64)
                action = means + torch.exp(self.noise[policy]) * drawn
                units = torch.clamp(action, -1.0, 1.0) * self.half + self.centre
                values[t] = self.critics(x, policy).numpy()
                observations.append(x)
                actions.append(action)
                likelihood.append(self.likelihood(means, action, policy))
                seen, reward, done, infos = env.step(self._program.to_action(units.numpy()))
                raw[t] = reward
                rewards[t], ended[t] = raw[t] / scale, done
                cut = [
                    i for i in np.flatnonzero(done).tolist() if infos[i].get("TimeLimit.truncated")
                ]
                if cut:
                    last = np.stack([infos[i]["terminal_observation"] for i in cut])
                    later = self.critics(
                        torch.as_tensor(last.astype(np.float64)), policy[torch.as_tensor(cut)]
                    )
                    rewards[t, cut] += GAMMA * later.numpy()
            x = torch.as_tensor(np.asarray(seen, dtype=np.float64))
            values[steps] = self.critics(x, policy).numpy()
        gains = advantages(rewards, values, ended)
        returns = torch.as_tensor((gains + values[:-1]).ravel())
        mean = np.zeros(self.count)
        for k in range(self.count):
            own = gains[:, k :: self.count]
            gains[:, k :: self.count] = (own - own.mean()) / (own.std() + 1e-8)
            mean[k] = raw[:, k :: self.count].mean()
        batch = Batch(
            torch.cat(observations),
            policy.repeat(steps),
            torch.cat(actions),
            torch.cat(likelihood),
            torch.as_tensor(gains.ravel()),
            returns,
            mean,
        )
        return batch, seen


def advantages(rewards: Floats, values: Floats, ended: np.ndarray[Any, Any]) -> Floats:
    """Generalised advantages (steps, n) of rewards (steps, n) and values (steps + 1, n)."""
    result, after = np.zeros_like(rewards), np.zeros(rewards.shape[1])
    for t in reversed(range(len(rewards))):
        goes_on = ~ended[t]
        delta = rewards[t] + GAMMA * values[t + 1] * goes_on - values[t]
        after = delta + GAMMA * LAMBDA * goes_on * after
        result[t] = after
    return result
