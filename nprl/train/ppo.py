"""Training: PPO on the batched environment, in stages, each evaluated and checkpointed.

A stage begins with fresh episodes and generators seeded by (seed, stage), so it depends on nothing
but the checkpoint before it: a run that was killed and resumed ends as one that was not. The
teacher is the best checkpoint, judged on episodes that training never starts from, because PPO gets
worse after it was good.

PPO learns from the action it *proposed*. With a shield the environment applies the filtered one:
see ``docs/training.md``.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecEnv

from nprl.env.lanes import BatchShield
from nprl.env.task import Task
from nprl.evaluate import Evaluation, evaluate
from nprl.train.checkpoint import SCORE, Progress, forget, load_progress, restore, save_progress
from nprl.train.config import TrainConfig, TrainError
from nprl.train.log import STEPS, Bar, Log, Row
from nprl.train.normalised import Normalised
from nprl.train.teacher import POLICY, Teacher, weights_are_finite


def train(
    task: Task,
    folder: str | Path,
    config: TrainConfig,
    shield: BatchShield | None = None,
    progress: bool = True,
    resume: bool = False,
    on_stage: Callable[[Row], None] | None = None,
) -> Teacher:
    """Train a policy for ``task``: the best checkpoint by evaluation, with its normaliser.

    Leaves policy.zip, normaliser.json, progress.csv and checkpoints/ in ``folder``. With ``shield``
    every action of training, and of the evaluations in it, passes it. ``resume`` goes on after the
    last stage on disk; otherwise an earlier run in the folder is replaced. ``on_stage`` is told
    each row of the log.

    Raises:
        TrainError: for what cannot be trained or resumed, and when numbers stop being finite.
        OSError: where the folder cannot be written.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    identity = {
        "task": task.name,
        "model": None if task.model is None else task.model.digest(),
        "shielded": shield is not None,
        **config.to_json(),
    }
    if not resume:
        forget(place)
    at = load_progress(place, identity) if resume else None
    with _one_thread():
        venv = task.make_vec(config.n_envs, shield=shield)
        env = Normalised(venv, config)
        try:
            run = _Run(task, place, config, shield, venv, env, at or Progress(identity))
            return run.to_the_end(progress, on_stage)
        finally:
            env.close()


class _Run:
    """One training run, between its first stage and its last."""

    def __init__(
        self,
        task: Task,
        folder: Path,
        config: TrainConfig,
        shield: BatchShield | None,
        venv: VecEnv,
        env: Normalised,
        at: Progress,
    ) -> None:
        self.task, self.folder, self.config, self.shield = task, folder, config, shield
        self.venv, self.env, self.at = venv, env, at
        self.ppo = _new_ppo(env, config)
        if at.stage:
            restore(folder, at.stage, self.ppo, env)
            self.ppo.num_timesteps, self.ppo._n_updates = at.steps, at.updates

    def to_the_end(self, progress: bool, on_stage: Callable[[Row], None] | None) -> Teacher:
        """Run the stages that are left, and keep the best checkpoint as the teacher."""
        log = Log(self.folder, self.at.rows)
        bar = Bar(self.config.stages * self.config.stage_steps, self.at.steps, progress)
        try:
            while not self.at.done:
                row = self._stage(bar)
                log.add(row)
                save_progress(self.folder, self.at, self.ppo, self.env)
                bar.tell(row)
                if on_stage is not None:
                    on_stage(row)
        finally:
            bar.close()
            log.close()
        restore(self.folder, self.at.best_stage, self.ppo, self.env)
        self._set_learning_rate(self.config.learning_rate)
        teacher = Teacher(self.ppo, self.env.normaliser())
        teacher.save(self.folder / POLICY)
        self.ppo.policy.set_training_mode(False)
        return teacher

    def _stage(self, bar: Bar) -> Row:
        """Train for one stage, evaluate, and move `at` on."""
        began = time.perf_counter()
        before = self._counts()
        self._learn(self.at.stage, bar)
        trained = time.perf_counter() - began
        first = self.config.eval_seed
        teacher = Teacher(self.ppo, self.env.normaliser())
        seeds = range(first, first + self.config.eval_episodes)
        result = evaluate(self.task, teacher, seeds, self.shield, timed=False)
        if not math.isfinite(result.mean):
            raise TrainError(
                f"after {self.ppo.num_timesteps} steps the evaluation's return is {result.mean}; "
                "look at the reward of the model or environment"
            )
        row = self._row(result, trained, time.perf_counter() - began)
        if self.shield is not None:
            overrides, violations = (b - a for a, b in zip(before, self._counts(), strict=True))
            row["shield/override_rate"] = overrides / self.config.stage_steps
            row["shield/violations"] = violations
        at = replace(
            self.at,
            rows=[*self.at.rows, row],
            steps=self.ppo.num_timesteps,
            updates=self.ppo._n_updates,
        )
        tired = 0 < self.config.patience <= at.waited
        self.at = replace(at, done=tired or at.stage >= self.config.stages)
        return row

    def _learn(self, stage: int, bar: Bar) -> None:
        seed = int(np.random.SeedSequence([self.config.seed, stage]).generate_state(1)[0] >> 1)
        set_random_seed(seed)
        self.venv.seed(seed)
        config = self.config
        self.env.updating = config.norm_obs and stage <= config.norm_share * (config.stages - 1)
        self.ppo._last_obs = None  # makes `learn` reset the environments
        self._set_learning_rate(config.learning_rate_at(stage))
        try:
            self.ppo.learn(
                config.stage_steps, bar, log_interval=sys.maxsize, reset_num_timesteps=False
            )
        except ValueError:
            if weights_are_finite(self.ppo):
                raise
        if not weights_are_finite(self.ppo):
            raise TrainError(
                f"the network's weights are not finite at step {self.ppo.num_timesteps}; "
                f"start over with a learning_rate below {self.ppo.learning_rate:g}"
            )

    def _set_learning_rate(self, rate: float) -> None:
        self.ppo.learning_rate = rate
        self.ppo._setup_lr_schedule()

    def _counts(self) -> tuple[int, int]:
        if self.shield is None:
            return 0, 0
        venv: Any = self.venv
        return venv.overrides_total, venv.violations_total

    def _row(self, result: Evaluation, trained: float, elapsed: float) -> Row:
        """What this stage adds to the log; every value a plain int or a finite float."""
        meter = self.env.read()
        earlier = self.at.rows[-1]["time/time_elapsed"] if self.at.rows else 0.0
        row: Row = {
            STEPS: self.ppo.num_timesteps,
            "time/time_elapsed": earlier + elapsed,
            "time/fps": self.config.stage_steps / trained,
        }
        if meter.returns:
            row["rollout/ep_rew_mean"] = float(np.mean(meter.returns))
            row["rollout/ep_len_mean"] = float(np.mean(meter.lengths))
        row["safety/cost_mean"] = meter.cost / meter.steps
        row["safety/violations"] = meter.violations
        row[SCORE] = result.mean
        row["eval/mean_reward_without_penalty"] = result.mean_without_penalty
        row["eval/mean_ep_length"] = float(result.lengths.mean())
        if result.violations is not None:
            row["eval/violations"] = result.violations
        for key, value in self.ppo.logger.name_to_value.items():
            if key.startswith("train/") and math.isfinite(float(value)):
                row[key] = float(value)
        return row


def _new_ppo(env: Normalised, config: TrainConfig) -> PPO:
    if config.use_sde and not isinstance(env.action_space, spaces.Box):
        raise TrainError(f"use_sde needs a box of actions; got {env.action_space}; set it to False")
    kwargs: dict[str, Any] = {"net_arch": list(config.net_arch)}
    if isinstance(env.action_space, spaces.Box):
        kwargs["log_std_init"] = config.log_std_init
    ppo = PPO(
        "MlpPolicy",
        env,
        learning_rate=config.learning_rate,
        n_steps=config.n_steps,
        batch_size=config.batch_size,
        n_epochs=config.n_epochs,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        clip_range=config.clip_range,
        ent_coef=config.ent_coef,
        use_sde=config.use_sde,
        policy_kwargs=kwargs,
        seed=config.seed,
        device="cpu",
    )
    ppo.set_logger(Logger(folder=None, output_formats=[]))
    return ppo


class _one_thread(AbstractContextManager[None]):
    """While it lasts, torch computes in one thread: faster for small nets, and repeatable."""

    def __enter__(self) -> None:
        self._threads = torch.get_num_threads()
        torch.set_num_threads(1)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        torch.set_num_threads(self._threads)
