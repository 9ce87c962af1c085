"""The batched environment of a model: one NumPy call per step, as an SB3 `VecEnv`.

Given the same states, actions and disturbances it does what `ModelEnv` does; seeded with ``s``,
lane ``i`` draws what ``ModelEnv.reset(seed=s + i)`` draws. A lane that ends is reset in the same
step.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv

from nprl.env.plant import Plant
from nprl.env.sampling import Floats, Sampler
from nprl.env.source import read_model
from nprl.env.spaces import action_space, observation_space, stays_inside
from nprl.model import Model


class BatchShield(Protocol):
    """What a batched shield offers to an environment."""

    def filter_batch(self, states: Floats, units: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """The actions to apply, (n, m) in units, and which rows were replaced; states (n, d)."""
        ...


class ModelVecEnv(VecEnv):
    """``num_envs`` copies of a model's environment, stepped together.

    ``infos[i]`` is empty while lane ``i`` goes on (one and the same dictionary: not to be written
    to). When its episode ends it holds ``cost`` (1.0 if the safe set was left),
    ``terminal_observation``, ``TimeLimit.truncated``, ``episode`` (``r``, ``l``, ``t`` as SB3's
    Monitor writes them, ``r`` not rounded) and, with a shield, ``shield/overrides`` of that
    episode. With a shield the actions are scaled to units, filtered there and applied exactly; what
    reaches it may be NaN. ``steps_total``, ``violations_total`` and ``overrides_total`` count since
    construction.
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
        if num_envs < 1:
            raise ValueError(f"num_envs is at least 1; got {num_envs}")
        self.model = read_model(model)
        self.plant = Plant(self.model, native=True)
        self.horizon = self.model.horizon if horizon is None else horizon
        self.shield = shield
        self.steps_total = self.violations_total = self.overrides_total = 0
        self._mode = render_mode
        self._x: Floats = np.zeros((num_envs, len(self.model.state)), dtype=np.float64)
        space = observation_space(self.model)
        super().__init__(num_envs, space, action_space(self.model))
        self._sampler = Sampler(self.model, num_envs)
        self._noise = self._sampler.noise.law
        self._lanes = np.arange(num_envs)
        self._low: Floats = space.low.astype(np.float64)
        self._high: Floats = space.high.astype(np.float64)
        unsafe = self.model.unsafe_reward
        self._unsafe = None if unsafe is None else float(unsafe)
        self._no_noise = np.empty((num_envs, 0), dtype=np.float64)
        self._imposed: Floats | None = None
        self._actions: Any = None
        self._clips = not stays_inside(self.model)
        self._now = 0
        self._begun = np.zeros(num_envs, dtype=np.int64)  # when each episode did, in steps
        self._oldest = 0  # of these, the least
        self._return = np.zeros(num_envs, dtype=np.float64)
        self._overrides = np.zeros(num_envs, dtype=np.int64)
        self._infos: list[dict[str, Any]] = [{} for _ in range(num_envs)]
        self._units: Floats | None = None
        self._began = time.time()
        if seed is not None:
            self.seed(seed)

    @property
    def states(self) -> Floats:
        """The states (num_envs, dim), float64, in units: a copy."""
        return np.array(self._x, order="C")

    def set_states(self, states: Any, indices: Any = None) -> Floats:
        """Put all lanes, or ``indices``, into ``states``; counters go on. Returns all observations.

        Raises:
            ValueError: for another shape, or numbers that are not finite.
        """
        lanes = list(self._get_indices(indices))
        values = np.asarray(states, dtype=np.float64)
        if values.shape != (len(lanes), self._x.shape[1]) or not np.isfinite(values).all():
            raise ValueError(
                f"states are finite, ({len(lanes)}, {self._x.shape[1]}); got {values.shape}"
            )
        self._clips = True  # a state may be anywhere now
        x = self._x.copy()
        x[lanes] = [self.plant.store(row) for row in values.tolist()]
        self._x = x
        return self._observe(self._x)

    @property
    def next_disturbances(self) -> Floats | None:
        """What the next step applies instead of drawing, (num_envs, k); None after that."""
        return self._imposed

    @next_disturbances.setter
    def next_disturbances(self, value: Any) -> None:
        if value is not None:
            value = np.asarray(value, dtype=np.float64)
            expected = (self.num_envs, self._noise.dim)
            if value.shape != expected or not self._noise.contains(value):
                raise ValueError(
                    f"disturbances lie in their box, in the shape {expected}; got {value}"
                )
        self._imposed = value

    def reset(self) -> Floats:
        """Start an episode in every lane, from the seeds of `seed` where they were given."""
        for lane, seed in enumerate(self._seeds):
            if seed is not None:
                self._sampler.seed(lane, int(seed))
        x = self._x.copy()
        drawn = []
        for lane, options in enumerate(self._options):
            for key in options:
                if key != "state":
                    raise ValueError(f"reset options: the accepted key is 'state'; got {key!r}")
            if "state" not in options:
                drawn.append(lane)
        lanes = np.array(drawn, dtype=np.int64)
        x[lanes] = self._sampler.starts.take(lanes)
        self._x = x
        for lane, options in enumerate(self._options):
            if "state" in options:
                self.set_states([options["state"]], [lane])
        self._reset_seeds()
        self._reset_options()
        self.reset_infos = [{} for _ in range(self.num_envs)]
        self._begun[:] = self._now
        self._oldest = self._now
        self._return[:] = 0.0
        self._overrides[:] = 0
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
        before = self._x
        units = self.plant.actions.to_units_batch(self._actions, finite=self.shield is None)
        if len(units) != self.num_envs:
            raise ValueError(f"one action per lane, {self.num_envs}; got {len(units)}")
        if self.shield is not None:
            units, overridden = self.shield.filter_batch(before, units)
            self._overrides += overridden
            self.overrides_total += int(np.count_nonzero(overridden))
            if not np.isfinite(units).all():
                raise ValueError("a shield gives finite numbers; got NaN or infinity")
        self._units = units
        after, rewards, safe, terminal = self.plant.advance_batch(before, units, self._disturb())
        self.steps_total += self.num_envs
        self._x = after
        self._now += 1
        obs, infos = self._observe(after), self._infos.copy()
        unsafe = ~safe
        over = unsafe if terminal is None else terminal | unsafe
        dones = over
        if self._now >= self._oldest + self.horizon:
            dones = over | (self._begun <= self._now - self.horizon)
        ended = dones.nonzero()[0]
        if ended.size and self._unsafe is not None:
            np.putmask(rewards, unsafe, self._unsafe)
        self._return += rewards
        if ended.size:
            self.violations_total += int(np.count_nonzero(unsafe))
            self._finish(ended, unsafe, over, obs, infos)
        return obs, rewards.astype(np.float32), dones, infos

    def _finish(
        self,
        ended: NDArray[np.int64],
        unsafe: NDArray[np.bool_],
        over: NDArray[np.bool_],
        obs: Floats,
        infos: list[dict[str, Any]],
    ) -> None:
        """Fill the infos of lanes that ended, and reset these, in ``obs`` too."""
        elapsed = round(time.time() - self._began, 6)
        columns = (
            unsafe.take(ended).tolist(),
            obs[ended],
            (~over.take(ended)).tolist(),
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
            self._overrides[ended] = 0
        self._begun[ended] = self._now
        if self._now >= self._oldest + self.horizon:
            self._oldest = int(self._begun.min())
        self._return[ended] = 0.0
        starts = self._sampler.starts.take(ended)
        self._x[ended] = starts
        obs[ended] = self._observe(starts)

    def _observe(self, x: Floats) -> Floats:
        if not self._clips:
            return x.copy(order="K")
        obs: Floats = np.maximum(self.plant.observe_batch(x, copy=False), self._low)
        return np.minimum(obs, self._high, out=obs)

    def _disturb(self) -> Floats:
        if not self._noise.dim:
            return self._no_noise
        if self._imposed is not None:
            imposed, self._imposed = self._imposed, None
            return imposed
        drawn = self._sampler.noise.take(self._lanes)
        assert self._noise.contains(drawn), "a disturbance left its box"
        return drawn

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
        from nprl.env.render import picture

        units = [None] * self.num_envs if self._units is None else self._units.tolist()
        return [
            picture(self.model, [tuple(x)], u) for x, u in zip(self._x.tolist(), units, strict=True)
        ]
