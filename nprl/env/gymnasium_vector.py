"""The batched environment of a model as Gymnasium's own kind of vector environment.

``gymnasium.make_vec("nprl/Pendulum-v0", num_envs=64)`` makes it. Lane by lane it does what a
`gymnasium.vector.SyncVectorEnv` of the same environments does, in each autoreset mode; a test
compares them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from nprl.env.lanes import Indices, Lanes, Outcome
from nprl.env.plant import Bools
from nprl.env.sampling import Floats
from nprl.env.spaces import action_space, observation_space
from nprl.model import Model

Infos = dict[str, Any]


class ModelVectorEnv(Lanes, VectorEnv[Floats, Any, NDArray[Any]]):
    """``num_envs`` copies of a model's environment, stepped together.

    ``infos["cost"]`` is 1.0 in the lanes that left the safe set with this step, else 0.0, and
    ``infos["_cost"]`` says, as Gymnasium has it, which lanes made a step. Where a lane was only
    reset (the step after its end in ``NEXT_STEP`` mode) its action is ignored.
    `nprl.shields.gymnasium_vector.ShieldVector` puts a shield around it.
    """

    def __init__(
        self,
        model: Model | str | Path,
        num_envs: int,
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
    ) -> None:
        """A batch of ``num_envs`` lanes; an episode has the model's horizon if not said otherwise.

        Raises:
            ValueError: for what is no model, fewer than one lane, or another mode.
        """
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode is None or 'rgb_array'; got {render_mode!r}")
        self._open(model, num_envs, None, max_episode_steps)
        self.num_envs, self.render_mode = num_envs, render_mode
        self._autoreset = AutoresetMode(autoreset_mode)
        self.metadata = {
            **{"render_modes": ["rgb_array"], "render_fps": 30},
            "autoreset_mode": self._autoreset,
        }
        self.single_observation_space = observation_space(self.model)
        self.single_action_space = action_space(self.model)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._every = np.ones(num_envs, dtype=np.bool_)
        self._done: Bools | None = None  # before the first reset

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Infos | None = None
    ) -> tuple[Floats, Infos]:
        """Start an episode in every lane, or in those of ``options["reset_mask"]``.

        With an int as seed, lane ``i`` is seeded with ``seed + i``. ``options["state"]`` (dim,) or
        (num_envs, dim) starts there instead of drawing from the initial box.

        Raises:
            ValueError: for another option, or a mask, seeds or states of another shape or type.
        """
        given = dict(options or {})
        mask, state = given.pop("reset_mask", None), given.pop("state", None)
        if given:
            raise ValueError(
                f"reset options: the accepted keys are 'state' and 'reset_mask'; got {list(given)}"
            )
        if self._done is None and mask is not None:
            raise ResetNeeded("the first reset is one of all lanes, without 'reset_mask'")
        lanes = self._lanes if mask is None else self._masked(mask)
        seeds: Sequence[int | None] = (
            [seed] * self.num_envs if seed is None or isinstance(seed, int) else list(seed)
        )
        if isinstance(seed, int):
            seeds = [seed + lane for lane in range(self.num_envs)]
        if len(seeds) != self.num_envs:
            raise ValueError(f"one seed per lane, {self.num_envs}; got {len(seeds)}")
        for lane in lanes.tolist():
            if (one := seeds[lane]) is not None:
                self._sampler.seed(lane, one)
        self._x = self._x.copy()
        self._start(lanes)
        if state is not None:
            every = np.broadcast_to(np.asarray(state, dtype=np.float64), self._x.shape)
            self._put(every[lanes], lanes.tolist())
        if self._done is None:
            self._done = ~self._every
        self._done[lanes] = False
        self._imposed = self._units = None
        return self._observe(self._x), {}

    def step(self, actions: Any) -> tuple[Floats, Floats, Bools, Bools, Infos]:
        """One step of every lane, or its reset, as the autoreset mode has it.

        Raises:
            ResetNeeded: before the first reset; in ``DISABLED`` mode, where a lane has ended.
            ValueError: for an action that is not finite (without a shield), or of another shape.
        """
        ended, active = self._done, None
        if ended is None or (self._autoreset is AutoresetMode.DISABLED and ended.any()):
            raise ResetNeeded(
                "call reset() first; in DISABLED mode with the 'reset_mask' of the lanes that ended"
            )
        if self._autoreset is AutoresetMode.NEXT_STEP and ended.any():
            active = ~ended
            actions = np.array(actions)
            actions[ended] = 0
        outcome = self._advance(self._filtered(actions, active), active)
        rewards, terminations = outcome.rewards, outcome.over
        truncations = np.zeros(self.num_envs, np.bool_) if outcome.late is None else outcome.late
        if active is not None:
            self._start(np.flatnonzero(ended))
            rewards[ended] = 0.0
        self._done = outcome.dones
        obs = self._observe(self._x)
        costs = outcome.unsafe.astype(np.float64)
        if self._autoreset is AutoresetMode.SAME_STEP and outcome.ended.size:
            infos = self._same_step(outcome, obs, costs)
        else:
            infos = masked({"cost": costs}, self._every if active is None else active)
        return obs, rewards, terminations, truncations, infos

    def _same_step(self, outcome: Outcome, obs: Floats, costs: Floats) -> Infos:
        """Reset the lanes that ended, in ``obs`` too; the infos of this step."""
        last = np.full(self.num_envs, None, dtype=object)
        for lane in outcome.ended.tolist():
            last[lane] = obs[lane].copy()
        obs[outcome.ended] = self._observe(self._start(outcome.ended))
        self._done = ~self._every
        return {
            **masked({"cost": costs}, ~outcome.dones),
            "final_obs": last,
            "_final_obs": outcome.dones,
            "final_info": masked({"cost": costs}, outcome.dones),
            "_final_info": outcome.dones,
        }

    def _masked(self, mask: Any) -> Indices:
        array = np.asarray(mask)
        if array.shape != (self.num_envs,) or array.dtype != np.bool_ or not array.any():
            raise ValueError(
                f"reset_mask is ({self.num_envs},) booleans, one True at least; got {mask!r}"
            )
        return np.flatnonzero(array)

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """A picture (height, width, 3) of each lane's state, or None without a render mode."""
        return None if self.render_mode is None else tuple(self._pictures())


def masked(facts: Mapping[str, NDArray[Any]], lanes: Bools) -> Infos:
    """Facts (n,) that mean something in ``lanes``, as Gymnasium's vector environments tell them."""
    infos: Infos = {}
    for key, values in facts.items():
        infos[key] = np.where(lanes, values, np.zeros_like(values))
        infos[f"_{key}"] = lanes.copy()
    return infos
