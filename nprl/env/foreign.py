"""Foreign environments with a binding: their starts, their cost, and shielding in batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnvWrapper

from nprl.env.binding import Binding, binding_for, binding_of
from nprl.env.lanes import BatchShield
from nprl.env.plant import Plant


class StartInside(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """Start inside the model's initial box, and tell the cost of each step.

    Nothing else is changed: ``info["cost"]`` is 1.0 where the state after the step is not safe,
    else 0.0, and the episode goes on. Options given to ``reset`` win over these.
    """

    def __init__(
        self, env: gym.Env[Any, Any], options: Mapping[str, Any], statement: str | None = None
    ) -> None:
        """Wrap ``env``; ``options`` are JSON data, so that the ``spec`` can be written down.

        ``statement`` names the binding, where it is not that of the environment's id.

        Raises:
            ValueError: for an environment without a binding.
        """
        gym.utils.RecordConstructorArgs.__init__(self, options=dict(options), statement=statement)
        gym.Wrapper.__init__(self, env)
        self._options = dict(options)
        binding = binding_for(env) if statement is None else binding_of(statement)
        if binding is None:
            raise ValueError(f"{env.spec.id if env.spec else env}: no binding gives it a model")
        self._read = binding.read_state
        self._plant = Plant(binding.model)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset the environment with these options."""
        return self.env.reset(seed=seed, options={**self._options, **(options or {})})

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the environment, and add the cost."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        info["cost"] = 0.0 if self._plant.safe(self._read(self.env)) else 1.0
        return obs, reward, terminated, truncated, info


def filtered(
    shield: BatchShield, binding: Binding, states: NDArray[np.float64], actions: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """What is sent instead of the learner's ``actions`` (n, ...), and which were replaced (n,).

    What passes the shield is sent on as it came, in float64. What replaces an action has a way to
    go, to a learner's action and back to units, which may round: what *arrives* must pass. Else the
    backup is sent (which is what rows of NaN mean), whose rounding the proof covers.
    """
    units, replaced = shield.filter_batch(states, arriving(binding, actions))
    sent = np.asarray(binding.from_units(units))
    kept = ~replaced
    sent[kept] = np.asarray(actions)[kept]
    received = arriving(binding, sent)
    moved = np.flatnonzero(replaced & (received != units).any(axis=1))
    if moved.size:
        lost = moved[shield.filter_batch(states[moved], received[moved])[1]]
        if lost.size:
            backup = shield.filter_batch(states[lost], np.full((lost.size, units.shape[1]), np.nan))
            sent[lost] = binding.from_units(backup[0])
    return sent, replaced


def arriving(binding: Binding, actions: NDArray[Any]) -> NDArray[np.float64]:
    """The vectors in units (n, m) that the environments apply for these actions, sent in float64."""
    rows = np.asarray(actions)
    if rows.dtype.kind == "f":
        rows = rows.astype(np.float64)
    return np.array([binding.to_units(row) for row in rows], dtype=np.float64)


class ShieldedDummyVecEnv(VecEnvWrapper):
    """A `DummyVecEnv` of bound environments whose actions pass a batched shield first.

    Reads each environment's state, and hands on in float64 what `filtered` says. Counts as
    `ModelVecEnv` does: ``steps_total``, ``overrides_total``, ``violations_total`` (states after a
    step that are not safe), and ``info["shield/overrides"]`` where an episode ends.
    """

    def __init__(self, venv: DummyVecEnv, binding: Binding, shield: BatchShield) -> None:
        """Wrap ``venv``, whose environments all have this ``binding``."""
        super().__init__(venv)
        self._dummy = venv
        self._binding = binding
        self._shield = shield
        self._overrides = np.zeros(venv.num_envs, dtype=np.int64)
        self.steps_total = self.overrides_total = self.violations_total = 0

    def reset(self) -> Any:
        """Reset every environment and the counters of its episode."""
        self._overrides[:] = 0
        return self.venv.reset()

    def step_async(self, actions: NDArray[Any]) -> None:
        """Filter the actions and pass them on, in float64."""
        states = np.array([self._binding.read_state(env) for env in self._dummy.envs])
        sent, overridden = filtered(self._shield, self._binding, states, actions)
        self._overrides += overridden
        self.overrides_total += int(np.count_nonzero(overridden))
        self.venv.step_async(sent)

    def step_wait(self) -> Any:
        """Step every environment."""
        obs, rewards, dones, infos = self.venv.step_wait()
        self.steps_total += self.num_envs
        for lane, info in enumerate(infos):
            self.violations_total += info.get("cost", 0.0) > 0.0
            if dones[lane]:
                info["shield/overrides"] = int(self._overrides[lane])
                self._overrides[lane] = 0
        return obs, rewards, dones, infos
