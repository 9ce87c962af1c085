"""Foreign environments with a binding: their starts, their cost, and shielding in batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnvWrapper

from nprl.env.binding import Binding, binding_for
from nprl.env.plant import Plant
from nprl.env.vector import BatchShield


class StartInside(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """Start inside the model's initial box, and tell the cost of each step.

    Nothing else is changed: ``info["cost"]`` is 1.0 where the state after the step is not safe,
    else 0.0, and the episode goes on. Options given to ``reset`` win over these.
    """

    def __init__(self, env: gym.Env[Any, Any], options: Mapping[str, Any]) -> None:
        """Wrap ``env``; ``options`` are JSON data, so that the ``spec`` can be written down.

        Raises:
            ValueError: for an environment without a binding.
        """
        gym.utils.RecordConstructorArgs.__init__(self, options=dict(options))
        gym.Wrapper.__init__(self, env)
        self._options = dict(options)
        binding = binding_for(env)
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


class ShieldedDummyVecEnv(VecEnvWrapper):
    """A `DummyVecEnv` of bound environments whose actions pass a batched shield first.

    Reads each environment's state, filters in units, and hands float64 actions on. Counts as
    `ModelVecEnv` does: ``steps_total``, ``overrides_total``, ``violations_total`` (states after a
    step that are not safe), and ``info["shield/overrides"]`` where an episode ends.
    """

    def __init__(self, venv: DummyVecEnv, binding: Binding, shield: BatchShield) -> None:
        """Wrap ``venv``, whose environments all have this ``binding``."""
        super().__init__(venv)
        self._dummy = venv
        self._binding = binding
        self._shield = shield
        self._plant = Plant(binding.model)
        self._overrides = np.zeros(venv.num_envs, dtype=np.int64)
        self.steps_total = self.overrides_total = self.violations_total = 0

    def reset(self) -> Any:
        """Reset every environment and the counters of its episode."""
        self._overrides[:] = 0
        return self.venv.reset()

    def step_async(self, actions: NDArray[Any]) -> None:
        """Filter the actions and pass them on, in float64."""
        states = np.array([self._binding.read_state(env) for env in self._dummy.envs])
        units = self._plant.actions.to_units_batch(actions)
        units, overridden = self._shield.filter_batch(states, units)
        self._overrides += overridden
        self.overrides_total += int(np.count_nonzero(overridden))
        self.venv.step_async(self._binding.from_units(units))

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
