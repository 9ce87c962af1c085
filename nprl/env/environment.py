"""The Gymnasium environment of a model: reset, cost and pictures, and no dynamics of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from nprl.env.binding import Binding
from nprl.env.plant import Plant
from nprl.env.sampling import Floats, laws, spawned
from nprl.env.source import read_model
from nprl.env.spaces import action_space, observation_space
from nprl.model import Model


class ModelEnv(gym.Env[Floats, Any]):
    """The environment that a `Model` defines.

    The observation is float64, clipped into ``observation_space`` (ten times the box of analysis,
    and what one step can reach from it, so that the clip is not met in what a proof speaks of). The
    action lies in [-1, 1] and is scaled to units by the environment, or is in units, or an index,
    as the model says; any dtype, computed in float64. ``info["cost"]`` is 1.0 on the step that
    leaves the safe set, which ends the episode with the model's ``unsafe_reward``, else 0.0. The
    time limit is the registration's.

    ``reset(options={"state": [...]})`` starts there instead of drawing from the initial box.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}

    def __init__(self, model: Model | str | Path, render_mode: str | None = None) -> None:
        """An environment of a `Model`, of a model's JSON or Python file, or of ``module:NAME``.

        Raises:
            ValueError: for what is no model, or another render mode.
        """
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode is None or 'rgb_array'; got {render_mode!r}")
        self.model = read_model(model)
        self.plant = Plant(self.model)
        self.render_mode = render_mode
        space = observation_space(self.model)
        self.observation_space = space  # type: ignore[assignment]  # Box is no Space[float64]
        self.action_space = action_space(self.model)
        self._start, self._noise = laws(self.model)
        self._low: list[float] = space.low.tolist()
        self._high: list[float] = space.high.tolist()
        self._unsafe = None if self.model.unsafe_reward is None else float(self.model.unsafe_reward)
        self._state: tuple[float, ...] | None = None
        self._disturber: np.random.Generator | None = None
        self._imposed: tuple[float, ...] | None = None
        self._history: list[tuple[float, ...]] = []
        self._units: tuple[float, ...] | None = None

    @property
    def state(self) -> Floats:
        """The state (dim,), float64, in units: a copy. Setting it puts the plant there."""
        return np.array(self._known_state(), dtype=np.float64)

    @state.setter
    def state(self, value: Sequence[float] | Floats) -> None:
        self._state = self._read("a state", value, len(self.model.state))
        self._state = self.plant.store(self._state)
        self._history = [self._state]

    @property
    def next_disturbance(self) -> Floats | None:
        """What the next step applies instead of drawing a disturbance; None after that."""
        return None if self._imposed is None else np.array(self._imposed, dtype=np.float64)

    @next_disturbance.setter
    def next_disturbance(self, value: Sequence[float] | Floats | None) -> None:
        if value is None:
            self._imposed = None
            return
        imposed = self._read("a disturbance", value, len(self.model.disturbance))
        if not self._noise.contains(np.array(imposed)):
            low, high = self._noise.low.tolist(), self._noise.high.tolist()
            raise ValueError(f"a disturbance lies between {low} and {high}; got {list(imposed)}")
        self._imposed = imposed

    @property
    def binding(self) -> Binding:
        """This environment's own binding."""
        env_id = self.model.name if self.spec is None else self.spec.id
        return model_binding(self.model, self.plant, env_id)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Floats, dict[str, Any]]:
        """Start an episode, uniformly in the initial box or at ``options["state"]``."""
        super().reset(seed=seed)
        if seed is not None:
            self._disturber = None
        self._imposed = self._units = None
        for key in options or {}:
            if key != "state":
                raise ValueError(f"reset options: the accepted key is 'state'; got {key!r}")
        if options and "state" in options:
            self.state = options["state"]
        else:
            self._state = self._start.draw(self.np_random)
            self._history = [self._state]
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """One step of the plant.

        Raises:
            ValueError: for an action that is not finite, or of another shape.
        """
        before = self._known_state()
        units = self.plant.actions.units(action)
        if not all(map(math.isfinite, units)):
            raise ValueError(f"an action is finite numbers; got {np.asarray(action).tolist()}")
        self._units = tuple(units)
        after, reward, safe, terminal = self.plant.advance(before, units, self._disturb())
        self._state = after
        if not safe and self._unsafe is not None:
            reward = self._unsafe
        if self.render_mode is not None:
            self._history.append(after)
        info = {"cost": 0.0 if safe else 1.0}
        return self._observe(), reward, not safe or terminal, False, info

    def render(self) -> NDArray[np.uint8] | None:
        """A picture (height, width, 3) of the state, or None without a render mode."""
        if self.render_mode is None:
            gym.logger.warn("render() needs a render mode: gym.make(..., render_mode='rgb_array')")
            return None
        from nprl.env.render import picture

        return picture(self.model, self._history, self._units)

    def _known_state(self) -> tuple[float, ...]:
        if self._state is None:
            raise gym.error.ResetNeeded("call reset() before step(), render() or state")
        return self._state

    def _observe(self) -> Floats:
        seen = self.plant.observe(self._known_state())
        rows = zip(seen, self._low, self._high, strict=True)
        clipped = [low if v < low else high if v > high else v for v, low, high in rows]
        return np.array(clipped, dtype=np.float64)

    def _disturb(self) -> Sequence[float]:
        if not self._noise.dim:
            return ()
        if self._imposed is not None:
            imposed, self._imposed = self._imposed, None
            return imposed
        if self._disturber is None:
            self._disturber = spawned(self.np_random)
        drawn = self._noise.draw(self._disturber)
        assert self._noise.contains(np.array(drawn)), "a disturbance left its box"
        return drawn

    def _read(self, what: str, value: Any, dim: int) -> tuple[float, ...]:
        numbers = np.asarray(value, dtype=np.float64)
        if numbers.shape != (dim,) or not np.isfinite(numbers).all():
            raise ValueError(f"{what} is {dim} finite numbers; got {value!r}")
        return tuple(numbers.tolist())


def model_binding(model: Model, plant: Plant, env_id: str) -> Binding:
    """The binding of a `ModelEnv`, whose state is an attribute."""

    def read_state(env: gym.Env[Any, Any]) -> tuple[float, ...]:
        """The float64 state of a `ModelEnv`."""
        assert isinstance(env.unwrapped, ModelEnv)
        return env.unwrapped._known_state()

    def write_state(env: gym.Env[Any, Any], state: Any) -> None:
        """Put a `ModelEnv` into a state."""
        assert isinstance(env.unwrapped, ModelEnv)
        env.unwrapped.state = state

    return Binding(env_id, model, read_state, write_state, plant.to_units, plant.from_units)
