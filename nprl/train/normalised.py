"""The environment as PPO sees it: observations and rewards normalised, and events counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from nprl.train.config import TrainConfig, TrainError
from nprl.train.normaliser import Moments, Normaliser, RewardScale, moments


@dataclass(slots=True)
class Meter:
    """What happened since the last reading, in raw numbers."""

    steps: int = 0
    cost: float = 0.0
    violations: int = 0
    returns: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)


class Normalised(VecEnvWrapper):
    """``venv`` with normalised observations and rewards; the statistics are updated at each step.

    What is not finite stops the run: a NaN would reach the weights silently, and the checkpoints
    after them.
    """

    def __init__(self, venv: VecEnv, config: TrainConfig) -> None:
        """Wrap ``venv``.

        Raises:
            TrainError: for observations that are no box.
        """
        super().__init__(venv)
        space = venv.observation_space
        if not isinstance(space, spaces.Box) or len(space.shape) != 1:
            raise TrainError(f"observations are vectors of numbers; got {space}")
        self.config = config
        self.obs_stats: Moments = moments(space.shape)
        self.reward_scale = RewardScale(venv.num_envs, config.gamma)
        self.updating = config.norm_obs
        """Whether the statistics of the observations follow what is seen."""
        self.meter = Meter()

    def normaliser(self) -> Normaliser | None:
        """The observations' statistics as they are now; None where they are not normalised."""
        if not self.config.norm_obs:
            return None
        return Normaliser(self.obs_stats.mean.copy(), self.obs_stats.var.copy())

    def reset(self) -> Any:
        """Start an episode in every lane."""
        self.reward_scale.reset()
        return self._seen(self.venv.reset())

    def step_wait(self) -> tuple[Any, Any, NDArray[np.bool_], list[dict[str, Any]]]:
        """One step of every lane.

        Raises:
            TrainError: for an observation or a reward that is not finite.
        """
        obs, rewards, dones, infos = self.venv.step_wait()
        rewards = np.asarray(rewards, dtype=np.float64)
        if not np.isfinite(rewards).all():
            raise TrainError(f"{self._where()}: a reward is not finite; look at the model's reward")
        cost = np.array([info.get("cost", 0.0) for info in infos], dtype=np.float64)
        self._count(cost, infos)
        seen = self._seen(obs)
        for lane in np.flatnonzero(dones).tolist():
            last = infos[lane].get("terminal_observation")
            if last is not None:
                infos[lane] = {**infos[lane], "terminal_observation": self._scaled(last)}
        if self.config.norm_reward:
            rewards = self.reward_scale(rewards, dones)
        return seen, rewards.astype(np.float32), dones, infos

    def read(self) -> Meter:
        """What was counted since the last reading."""
        meter, self.meter = self.meter, Meter()
        return meter

    def _count(self, cost: NDArray[np.float64], infos: list[dict[str, Any]]) -> None:
        self.meter.steps += self.num_envs
        self.meter.cost += float(cost.sum())
        self.meter.violations += int(np.count_nonzero(cost > 0.0))
        for info in infos:
            if "episode" in info:
                self.meter.returns.append(float(info["episode"]["r"]))
                self.meter.lengths.append(int(info["episode"]["l"]))

    def _seen(self, obs: Any) -> Any:
        rows = np.asarray(obs, dtype=np.float64)
        if not np.isfinite(rows).all():
            raise TrainError(
                f"{self._where()}: an observation is not finite; look at the model's step"
            )
        if self.updating:
            self.obs_stats.update(rows)
        return self._scaled(rows)

    def _scaled(self, obs: Any) -> NDArray[np.float32]:
        now = self.normaliser()
        return np.asarray(obs, dtype=np.float32) if now is None else now(obs)

    def _where(self) -> str:
        return f"training stopped, {self.meter.steps} steps into this stage"
