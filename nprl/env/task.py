"""A task: what the pipeline works on, found by an id or by a model's file, with or without a model.

One of ours, a foreign Gymnasium id with a binding, a foreign id without (it trains and distils;
nothing can be proved), or a user's own model.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
from gymnasium.envs.registration import registry
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

import nprl.envs
from nprl.env.binding import Binding, Env, binding_of, id_of
from nprl.env.environment import model_binding
from nprl.env.foreign import ShieldedDummyVecEnv, StartInside
from nprl.env.lanes import BatchShield
from nprl.env.plant import Plant
from nprl.env.source import read_model
from nprl.env.vector import ModelVecEnv
from nprl.model import Model

if TYPE_CHECKING:
    from nprl.envs.mujoco_twins import Simulated

MODEL_ENV = "nprl.env.environment:ModelEnv"
"""The entry point of an environment that is made from a model, ours or a user's own."""
USER_MODEL = "nprl/Model-v0"
"""The id under which a user's own model is made."""
_SIMULATED: dict[str, Simulated | None] = {}
"""What `Task.simulated` found, by `Task.key`."""


@dataclass(frozen=True, slots=True)
class Task:
    """An environment by name, with its model if it has one."""

    name: str
    """The environment's id (with a further statement's name), or the name of a user's model."""
    env_id: str
    """The id that `gymnasium.make` is called with."""
    horizon: int
    """Steps after which an episode is truncated."""
    model: Model | None
    """None means that there is no model, so that no proof is possible (``no_model``)."""
    binding: Binding | None
    """How the running environment and the model fit together; None without a model."""
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    """What `gymnasium.make` is called with besides."""
    twin: Model | None = None
    """A model that steps as the environment does, for searches only (`nprl.envs.twins`)."""
    stressed: bool = False
    """Whether a search plays every other episode at its worst (see `for_ever`)."""

    @property
    def is_own(self) -> bool:
        """Whether the environment is made from the model, and not bound to it."""
        return registry[self.env_id].entry_point == MODEL_ENV

    @property
    def key(self) -> str:
        """What tells it from other tasks in one process: equal keys make equal environments."""
        how = (self.binding is None, self.stressed, self.horizon)
        return repr((self.name, self.env_id, *how, sorted(self.kwargs.items())))

    @property
    def rolled(self) -> Model | None:
        """The model whose batches a search plays: the twin, or the model; None without either."""
        return self.model if self.twin is None else self.twin

    def unbound(self) -> Task:
        """A foreign environment as Gymnasium makes it, with all its resets and without a model.

        What is learned there is compared with what others publish. Our own tasks stay as they are.
        """
        if self.is_own:
            return self
        from nprl.envs.twins import TWINS  # made when they are first asked for

        twin = TWINS.get(self.env_id)
        return replace(self, name=self.env_id, model=None, binding=None, twin=twin)

    def for_ever(self) -> Task:
        """What a search plays for programs that are safe alone, for ever.

        Every other episode begins in a corner of the initial box or a little outside, under
        disturbances at their ends, and all are twice as long. Only `nprl.distill.rollout` knows the difference.

        Raises:
            ValueError: where there is no model of ours to play.
        """
        if not self.is_own:
            raise ValueError(f"{self.name}: safe for ever is said of a model; there is none")
        return replace(self, stressed=True, horizon=2 * self.horizon)

    def simulated(self) -> Simulated | None:
        """The terms around MuJoCo's physics, for searches only; None where they are not known.

        There are none for a task that has a model to play. The same object comes back every time.
        """
        if self.rolled is not None:
            return None
        from nprl.envs.mujoco_twins import simulated  # as above

        if self.key not in _SIMULATED:
            _SIMULATED[self.key] = simulated(self.make())
        return _SIMULATED[self.key]

    def make(self, render_mode: str | None = None) -> Env:
        """One environment, with its time limit, started inside the model's initial box."""
        env: Env = gym.make(self.env_id, render_mode=render_mode, **self.kwargs)
        if self.binding is not None and not self.is_own:
            env = StartInside(env, self.binding.reset_options, self.name)
        return env

    def make_vec(
        self, n: int, seed: int | None = None, shield: BatchShield | None = None
    ) -> VecEnv:
        """``n`` environments as an SB3 `VecEnv`, batched where there is a model of ours.

        Raises:
            ValueError: for a shield where there is no model.
        """
        if self.is_own:
            assert self.model is not None
            return ModelVecEnv(self.model, n, seed, shield, self.horizon)
        if shield is not None and self.binding is None:
            raise ValueError(
                f"{self.name} has no model, so it cannot be shielded; leave the shield out"
            )
        venv = DummyVecEnv([self._monitored()] * n)
        if seed is not None:
            venv.seed(seed)
        if shield is None or self.binding is None:
            return venv
        return ShieldedDummyVecEnv(venv, self.binding, shield)

    def _monitored(self) -> Callable[[], Env]:
        return lambda: Monitor(self.make())


def load_task(env_id: str | None = None, model_file: str | Path | None = None) -> Task:
    """The task of an id, or of a user's model: a Python file that defines ``MODEL``, or model JSON.

    Raises:
        ValueError: one line, for an id that is not known (with the nearest one that is), or no
            model file.
    """
    if (env_id is None) == (model_file is None):
        raise ValueError(
            "a task is named by an environment's id or by a model's file, one of the two"
        )
    if model_file is not None:
        return _own(USER_MODEL, str(model_file))
    assert env_id is not None
    module, colon, name = env_id.partition(":")
    if colon:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ValueError(
                f"{env_id}: the module {module!r} cannot be imported ({error})"
            ) from None
    else:
        name = env_id
    gym_id, binding = id_of(name), binding_of(name)
    if gym_id not in registry or name == USER_MODEL or (gym_id != name and binding is None):
        raise ValueError(_unknown(name))
    spec = registry[gym_id]
    if spec.entry_point == MODEL_ENV:
        return _own(name, spec.kwargs["model"])
    horizon = spec.max_episode_steps or (1000 if binding is None else binding.model.horizon)
    kwargs = {} if spec.max_episode_steps else {"max_episode_steps": horizon}
    model = None if binding is None else binding.model
    return Task(name, gym_id, horizon, model, binding, kwargs)


def _own(env_id: str, source: str) -> Task:
    model = read_model(source)
    binding = model_binding(model, Plant(model), env_id)
    if env_id != USER_MODEL:
        return Task(env_id, env_id, model.horizon, model, binding)
    kwargs = {"model": source, "max_episode_steps": model.horizon}
    return Task(model.name, env_id, model.horizon, model, binding, kwargs)


def _unknown(name: str) -> str:
    known = sorted(set(registry) - {USER_MODEL})
    lower = {k.lower(): k for k in known}
    near = difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(lower[k] for k in near)}?" if near else ""
    ours = ", ".join(nprl.envs.IDS)
    return f"unknown environment {name!r}; {hint or f'ours are {ours}'} (or give --model FILE)"
