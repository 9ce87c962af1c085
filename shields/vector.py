"""The shield around a Stable-Baselines3 `VecEnv`: all lanes filtered in one call.

`nprl.env.vector.ModelVecEnv` also takes a `Filter` itself (``shield=...``), which is what training
uses.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecEnvWrapper

from nprl.env.plant import Actions
from nprl.env.vector import ModelVecEnv
from nprl.shields.nearest import Floats
from nprl.shields.plans import Coverage, Lanes
from nprl.shields.shield import Filter
from nprl.shields.wrapper import ShieldWarning, bound_to


class ShieldedVecEnv(VecEnvWrapper):
    """A batch of environments of one model, shielded lane by lane.

    ``infos[i]`` gains ``shield/overridden`` and ``shield/overrides`` (of the episode so far, also
    on the step that ends it); ``overrides_total`` and ``steps_total`` count since construction.
    ``guaranteed`` (n,) is False for a lane from the step on that found it outside the invariant,
    until its episode ends. Rows of NaN mean the backup. Where the certificate has plans each lane
    has its own; ``infos[i]`` gains ``shield/plan``, the actions of it that are to come, and a lane
    on its plan counts as inside.
    """

    def __init__(self, venv: VecEnv, shield: Filter | str | Path) -> None:
        """Shield a `ModelVecEnv`, or a `DummyVecEnv` whose environments are bound to the model.

        Raises:
            CertificateError: for a file that is no certificate, or is not proved.
            ValueError: for another kind of `VecEnv`, or another model.
        """
        super().__init__(venv)
        self.filter = shield if isinstance(shield, Filter) else Filter.from_file(shield)
        inner: Any = venv
        while isinstance(inner, VecEnvWrapper):
            inner = inner.venv
        self._inner = inner
        if isinstance(inner, ModelVecEnv):
            if inner.model.digest() != self.filter.model.digest():
                raise ValueError(
                    f"the certificate is for the model {self.filter.model.name}, and the lanes run "
                    f"another one, {inner.model.name}: prove that one"
                )
        elif isinstance(inner, DummyVecEnv):
            self._bindings = [bound_to(env, self.filter.certificate) for env in inner.envs]
        else:
            raise ValueError(
                f"a ModelVecEnv or a DummyVecEnv is accepted; got {type(inner).__name__}: wrap "
                "each of its environments with nprl.shields.Shield instead"
            )
        self._actions = Actions(self.filter.model)
        self._lanes: Lanes | None = None
        if self.filter.certificate.shield.plans is not None:
            self._lanes = Lanes(Coverage(self.filter), venv.num_envs)
        self.steps_total = self.overrides_total = 0
        self._overrides = np.zeros(venv.num_envs, dtype=np.int64)
        self._overridden = np.zeros(venv.num_envs, dtype=np.bool_)
        self.guaranteed = np.ones(venv.num_envs, dtype=np.bool_)

    def states(self) -> Floats:
        """The lanes' states (n, d), float64, in units."""
        if isinstance(self._inner, ModelVecEnv):
            return self._inner.states
        pairs = zip(self._inner.envs, self._bindings, strict=True)
        return np.array([b.read_state(env) for env, b in pairs], dtype=np.float64)

    def reset(self) -> Any:
        """Reset every lane; each must start inside the invariant, or where a plan begins.

        Raises:
            ValueError: for a lane that starts outside.
        """
        obs = self.venv.reset()
        states = self.states()
        inside = self._inside(states, np.ones(self.num_envs, dtype=np.bool_))
        if not inside.all():
            lane = int(np.flatnonzero(~inside)[0])
            raise ValueError(
                f"reset refused: lane {lane} is outside the invariant, at {states[lane].tolist()}"
            )
        self._overrides[:] = 0
        self.guaranteed[:] = True
        return obs

    def _inside(self, states: Floats, begun: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether the shield holds in each lane, (n,), where episodes have ``begun`` in some."""
        if self._lanes is None:
            return self.filter.inside_batch(states)
        return self._lanes.holds(states, begun)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Filter the actions and send them on, in float64."""
        states, actions = self.states(), np.asarray(actions)
        units = self._actions.to_units_batch(actions)
        units, self._overridden = self.filter_units(states, units)
        sent = np.asarray(self._actions.from_units(units))
        kept = ~self._overridden
        sent[kept] = actions[kept]
        self._overrides += self._overridden
        self.overrides_total += int(np.count_nonzero(self._overridden))
        self.venv.step_async(sent)

    def filter_units(self, states: Floats, units: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """`Filter.filter_batch`, with what arrives when the result is scaled back and sent."""
        return (self._lanes or self.filter).filter_batch(
            states, units, lambda u: self._actions.to_units_batch(self._actions.from_units(u))
        )

    def step_wait(self) -> Any:
        """Step every lane and look whether it is still inside."""
        obs, rewards, dones, infos = self.venv.step_wait()
        self.steps_total += self.num_envs
        for lane, info in enumerate(infos):
            info["shield/overridden"] = bool(self._overridden[lane])
            info["shield/overrides"] = int(self._overrides[lane])
        self._overrides[dones] = 0
        states = self.states()
        left = ~self._inside(states, dones)
        if self._lanes is not None:
            for planner, info in zip(self._lanes.planners, infos, strict=True):
                info["shield/plan"] = planner.steps_left
        if (left & self.guaranteed).any():
            lane = int(np.flatnonzero(left & self.guaranteed)[0])
            warnings.warn(
                f"the shield's guarantee has ended in lane {lane}, at {states[lane].tolist()}: the "
                "plant is not the proved one, or an episode began outside the invariant",
                ShieldWarning,
                stacklevel=2,
            )
        self.guaranteed = (self.guaranteed | dones) & ~left
        return obs, rewards, dones, infos
