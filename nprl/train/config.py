"""What a training run is told: one frozen dataclass, with defaults by the task's shape."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nprl.env.task import Task


class TrainError(ValueError):
    """What stops a training run, or keeps it from starting: one line with the remedy."""


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """The settings of PPO and of what surrounds it.

    Raises:
        TrainError: for a value outside its range, or a batch that does not divide a rollout.
    """

    total_steps: int = 200_000
    """Environment steps in all, rounded up to whole stages."""
    n_envs: int = 64
    """Environments stepped together."""
    n_steps: int = 32
    """Steps of each environment between two updates."""
    batch_size: int = 256
    """Samples in a minibatch; it divides ``n_envs * n_steps``."""
    n_epochs: int = 5
    """Passes over each rollout."""
    learning_rate: float = 5e-4
    """Adam's step at the first stage."""
    final_learning_rate: float = 1e-4
    """Adam's step at the last stage; linear in between, constant within a stage."""
    gamma: float = 0.98
    """The discount, in (0, 1]."""
    gae_lambda: float = 0.95
    """The decay of the advantage estimate, in [0, 1]."""
    clip_range: float = 0.2
    """How far PPO lets a probability ratio move from 1."""
    ent_coef: float = 0.0
    """The weight of the entropy bonus."""
    use_sde: bool = False
    """Whether exploration is state-dependent (gSDE); boxes of actions only."""
    log_std_init: float = -1.0
    """The logarithm of the first exploration noise, in units of the learner's action."""
    net_arch: tuple[int, ...] = (64, 64)
    """The hidden layers (tanh) of the policy, and of the value function, which shares nothing with
    it.
    """
    norm_obs: bool = True
    """Whether observations are centred and scaled by their running statistics."""
    norm_reward: bool = True
    """Whether rewards are scaled by the running deviation of the discounted return."""
    norm_share: float = 0.25
    """The share of the run in which those statistics are updated; then they stand still, because a
    network whose steps have become small cannot follow inputs that drift.
    """
    eval_every: int = 16_384
    """Steps in a stage, rounded up to whole rollouts: after each there is an evaluation and a
    checkpoint.
    """
    eval_episodes: int = 200
    """Episodes that judge a checkpoint."""
    eval_seed: int = 10_000_000
    """The first seed of those episodes: the same at every stage, and none that training starts
    from.
    """
    patience: int = 0
    """Stop after this many stages without a better checkpoint; 0 means never."""
    seed: int = 0
    """The seed of everything else."""

    def __post_init__(self) -> None:
        """Refuse what cannot run."""
        least = {"total_steps": 1, "n_envs": 1, "n_steps": 2, "batch_size": 2, "n_epochs": 1}
        least |= {"eval_every": 1, "eval_episodes": 2, "eval_seed": 0, "patience": 0, "seed": 0}
        for name, low in least.items():
            value = getattr(self, name)
            if type(value) is not int or value < low:
                raise TrainError(f"{name} is an integer of at least {low}; got {value!r}")
        inside = {"learning_rate": (0.0, 1.0), "final_learning_rate": (0.0, 1.0)}
        inside |= {"gamma": (0.0, 1.0), "gae_lambda": (0.0, 1.0), "clip_range": (0.0, 1.0)}
        inside |= {"norm_share": (0.0, 1.0), "ent_coef": (0.0, 1.0), "log_std_init": (-20.0, 2.0)}
        for name, (low_end, high_end) in inside.items():
            number = getattr(self, name)
            if not isinstance(number, float | int) or not low_end <= number <= high_end:
                raise TrainError(f"{name} lies in [{low_end:g}, {high_end:g}]; got {number!r}")
        object.__setattr__(self, "net_arch", tuple(self.net_arch))
        if not all(type(width) is int and width >= 1 for width in self.net_arch):
            raise TrainError(f"net_arch is positive integers; got {self.net_arch!r}")
        if self.rollout % self.batch_size:
            raise TrainError(
                f"batch_size divides n_envs * n_steps = {self.rollout}; got {self.batch_size}"
            )

    @property
    def rollout(self) -> int:
        """Environment steps between two updates."""
        return self.n_envs * self.n_steps

    @property
    def stage_steps(self) -> int:
        """Environment steps in a stage."""
        return math.ceil(self.eval_every / self.rollout) * self.rollout

    @property
    def stages(self) -> int:
        """How many stages there are at most."""
        return math.ceil(self.total_steps / self.stage_steps)

    def learning_rate_at(self, stage: int) -> float:
        """Adam's step during a stage, counted from 0."""
        share = stage / max(self.stages - 1, 1)
        return self.learning_rate + share * (self.final_learning_rate - self.learning_rate)

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON data."""
        return {**dataclasses.asdict(self), "net_arch": list(self.net_arch)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TrainConfig:
        """The settings that `to_json` gave; what is left out keeps its default.

        Raises:
            TrainError: for an unknown key, with the nearest one that is known.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for key in data:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
                raise TrainError(f"training: unknown setting {key!r}; {hint}")
        return cls(**data)

    @classmethod
    def for_task(cls, task: Task, quick: bool = False, seed: int = 0) -> TrainConfig:
        """Defaults by what the task looks like; nothing here knows an id.

        A batched environment gets 64 lanes, a foreign one 8, with rollouts of the same size. The
        discount looks a tenth of the horizon ahead, between 20 and 100 steps. ``quick`` is a smoke
        run of seconds.
        """
        n_envs = 64 if task.is_own else 8
        ahead = min(max(task.horizon / 10, 20.0), 100.0)
        short, long = (32_768, 160_000) if task.is_own else (16_384, 240_000)
        many, few = (200, min(200, max(20, 20_000 // task.horizon))) if task.is_own else (20, 5)
        return cls(
            total_steps=short if quick else long,
            n_envs=n_envs,
            n_steps=2048 // n_envs,
            final_learning_rate=5e-4 if quick else 1e-4,
            gamma=1.0 - 1.0 / ahead,
            eval_every=8_192 if quick else 16_384,
            eval_episodes=few if quick else many,
            patience=0 if quick else 5,
            seed=seed,
        )
