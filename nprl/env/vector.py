"""The batched environment of a model: one NumPy call per step, as an SB3 `VecEnv`.

A lane that ends is reset in the same step.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv

from nprl.env.lanes import BatchShield, Lanes, Outcome
from nprl.env.sampling import Floats
from nprl.env.spaces import action_space, observation_space
from nprl.model import Model


class ModelVecEnv(Lanes, VecEnv):
    """``num_envs`` copies of a model's environment, stepped together.

    ``infos[i]`` is empty while lane ``i`` goes on (one and the same dictionary: not to be written
    to). When its episode ends it holds ``cost`` (1.0 if the safe set was left),
    ``terminal_observation``, ``TimeLimit.truncated``, ``episode`` (``r``, ``l``, ``t`` as SB3's
    Monitor writes them, ``r`` not rounded) and, with a shield, ``shield/overrides`` of that
    episode. With a shield the actions are scaled to units, filtered there and applied exactly; what
    reaches it may be NaN.
    """

    def __init__(
        self,
        model: Model | str | Path,
        num_envs: int,
        seed: int | None = None,
        shield: BatchShield | None = None,
        horizon: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """A batch of ``num_envs`` lanes; ``horizon`` steps per episode (the model's if None).

        Raises:
            ValueError: for what is no model, or fewer than one lane.
        """
        self._open(model, num_envs, shield, horizon)
        space = observation_space(self.model)
        self._mode = render_mode
        super().__init__(num_envs, space, action_space(self.model))
        self._actions: Any = None
        self._return = np.zeros(num_envs, dtype=np.float64)
        self._infos: list[dict[str, Any]] = [{} for _ in range(num_envs)]
        self._began = time.time()
        if seed is not None:
            self.seed(seed)

    def set_states(self, states: Any, indices: Any = None) -> Floats:
        """Put all lanes, or ``indices``, into ``states``; counters go on. Returns all observations.

        Raises:
            ValueError: for another shape, or numbers that are not finite.
        """
        self._put(states, list(self._get_indices(indices)))
        return self._observe(self._x)

    def reset(self) -> Floats:
        """Start an episode in every lane, from the seeds of `seed` where they were given."""
        for lane, seed in enumerate(self._seeds):
            if seed is not None:
                self._sampler.seed(lane, int(seed))
        drawn = []
        for lane, options in enumerate(self._options):
            for key in options:
                if key != "state":
                    raise ValueError(f"reset options: the accepted key is 'state'; got {key!r}")
            if "state" not in options:
                drawn.append(lane)
        self._begun[:] = self._now
        self._oldest = self._now
        self._overrides[:] = 0
        self._return[:] = 0.0
        self._x = self._x.copy()
        self._start(np.array(drawn, dtype=np.int64))
        for lane, options in enumerate(self._options):
            if "state" in options:
                self._put([options["state"]], [lane])
        self._reset_seeds()
        self._reset_options()
        self.reset_infos = [{} for _ in range(self.num_envs)]
        self._imposed = self._units = None
        return self._observe(self._x)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions, learner's ones, for `step_wait`."""
        self._actions = actions

    def step_wait(
        self,
    ) -> tuple[Floats, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """One step of every lane.

        Raises:
            ValueError: for an action that is not finite (without a shield), or of another shape.
        """
        done = self._advance(self._filtered(self._actions))
        obs, infos = self._observe(self._x), self._infos.copy()
        self._return += done.rewards
        if done.ended.size:
            self._finish(done, obs, infos)
        return obs, done.rewards.astype(np.float32), done.dones, infos

    def _finish(self, done: Outcome, obs: Floats, infos: list[dict[str, Any]]) -> None:
        """Fill the infos of lanes that ended, and reset these, in ``obs`` too."""
        ended = done.ended
        elapsed = round(time.time() - self._began, 6)
        columns = (
            done.unsafe.take(ended).tolist(),
            obs[ended],
            (~done.over.take(ended)).tolist(),
            self._return.take(ended).tolist(),
            (self._now - self._begun.take(ended)).tolist(),
        )
        lanes = ended.tolist()
        for lane, is_unsafe, last, truncated, total, length in zip(lanes, *columns, strict=True):
            infos[lane] = {
                "cost": 1.0 if is_unsafe else 0.0,
                "terminal_observation": last,
                "TimeLimit.truncated": truncated,
                "episode": {"r": total, "l": length, "t": elapsed},
            }
        if self.shield is not None:
            for lane, count in zip(lanes, self._overrides.take(ended).tolist(), strict=True):
                infos[lane]["shield/overrides"] = count
        self._return[ended] = 0.0
        obs[ended] = self._observe(self._start(ended))

    def close(self) -> None:
        """Nothing is held."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute for each lane: ``state`` is the lane's own, everything else is shared."""
        lanes = list(self._get_indices(indices))
        if attr_name == "render_mode":
            return [self._mode for _ in lanes]
        if attr_name == "state":
            return [self._x[lane].copy() for lane in lanes]
        return [getattr(self, attr_name) for _ in lanes]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set ``state`` of the lanes, or a shared attribute for all of them.

        Raises:
            ValueError: for a shared attribute and only some of the lanes.
        """
        lanes = list(self._get_indices(indices))
        if attr_name == "state":
            self.set_states([value for _ in lanes], lanes)
        elif len(lanes) < self.num_envs:
            raise ValueError(f"{attr_name} is shared by all lanes; set it without indices")
        else:
            setattr(self, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        """``render`` or ``close``, for each lane.

        Raises:
            AttributeError: for another method; the lanes are rows of arrays, not objects.
        """
        lanes = list(self._get_indices(indices))
        if method_name == "render":
            images = self.get_images()
            return [images[lane] for lane in lanes]
        if method_name == "close":
            return [None for _ in lanes]
        raise AttributeError(f"a lane has the methods render and close; got {method_name!r}")

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: Any = None
    ) -> list[bool]:
        """True for SB3's Monitor, whose ``info["episode"]`` the lanes write themselves."""
        return [wrapper_class is Monitor for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """A picture of each lane's state, or None without a render mode."""
        if self._mode is None:
            return [None for _ in range(self.num_envs)]
        return self._pictures()
