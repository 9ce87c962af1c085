"""The shield around a Gymnasium vector environment: ``ShieldVector(gym.make_vec(id, 64), file)``.

All lanes are filtered in one call. `nprl.shields.vector` is the same for Stable-Baselines3's kind.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper
from numpy.typing import NDArray

from nprl.env.binding import Binding
from nprl.env.foreign import arriving, filtered
from nprl.env.gymnasium_vector import ModelVectorEnv, masked
from nprl.env.plant import Bools
from nprl.env.sampling import Floats
from nprl.shields.plans import Coverage, Lanes
from nprl.shields.shield import Filter
from nprl.shields.watch import Watch
from nprl.shields.wrapper import ShieldWarning, bound_to


class ShieldVector(VectorWrapper):
    """A `ModelVectorEnv`, or a `SyncVectorEnv` of bound environments, shielded lane by lane.

    ``infos`` gains ``shield/overridden``, ``shield/overrides`` (of the episode so far) and
    ``shield/guaranteed``: False in a lane from the step on whose outcome is not the model's, or
    lies outside the invariant, until its episode ends. ``steps_total`` and ``overrides_total``
    count since construction; an action that the autoreset ignores counts for neither. Rows of NaN
    mean the backup. Where the certificate has plans each lane has its own; ``infos`` gains
    ``shield/plan``, the actions of it that are to come, and a lane on its plan counts as inside.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], shield: Filter | str | Path) -> None:
        """Shield ``env``, as `gymnasium.make_vec` returns it.

        Raises:
            CertificateError: for a file that is no certificate, or is not proved.
            ValueError: for another kind of vector environment, or another model.
        """
        super().__init__(env)
        self.filter = shield if isinstance(shield, Filter) else Filter.from_file(shield)
        certificate = self.filter.certificate
        self._bindings: list[Binding] = []
        self._lanes: Lanes | None = None
        if certificate.shield.plans is not None:
            self._lanes = Lanes(Coverage(self.filter), env.num_envs)
        self._watch = Watch(certificate)
        if isinstance(env, ModelVectorEnv):
            if env.model.digest() != certificate.model.digest():
                raise ValueError(
                    f"the certificate is for the model {certificate.model.name}, and the lanes run "
                    f"another one, {env.model.name}: prove that one"
                )
            env.shield = self._lanes or self.filter
        elif isinstance(env, SyncVectorEnv):
            self._bindings = [bound_to(one, certificate) for one in env.envs]
        else:
            raise ValueError(
                "a ModelVectorEnv or a SyncVectorEnv is accepted, as gymnasium.make_vec returns it; "
                f"got {type(env).__name__}: wrap each environment with nprl.shields.Shield instead"
            )
        self._mode = env.metadata["autoreset_mode"]
        self._inner: Any = env
        self._usable = False
        self._ended = np.zeros(self.num_envs, dtype=np.bool_)
        self._overrides = np.zeros(self.num_envs, dtype=np.int64)
        self.guaranteed = np.zeros(self.num_envs, dtype=np.bool_)
        self.steps_total = self.overrides_total = 0

    def states(self) -> Floats:
        """The lanes' states (n, d), float64, in units."""
        if not self._bindings:
            own: Floats = self._inner.states
            return own
        pairs = zip(self._inner.envs, self._bindings, strict=True)
        return np.array([b.read_state(one) for one, b in pairs], dtype=np.float64)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Reset the lanes, or those of the mask; each must start inside the invariant.

        Raises:
            ValueError: for a lane that starts outside; no lane may be used before another reset.
        """
        lanes = np.ones(self.num_envs, dtype=np.bool_)
        if options is not None and "reset_mask" in options:
            lanes = np.array(options["reset_mask"])
        self._usable = False
        obs, infos = self.env.reset(seed=seed, options=options)
        states = self.states()
        outside = lanes & ~self._inside(states, lanes)
        if outside.any():
            lane = int(np.flatnonzero(outside)[0])
            raise ValueError(
                f"reset refused: lane {lane} is outside the invariant, at {states[lane].tolist()}"
            )
        self._usable = True
        self._ended &= ~lanes
        self.guaranteed |= lanes
        self._overrides[lanes] = 0
        return obs, {**infos, **masked({"shield/guaranteed": self.guaranteed}, lanes)}

    def _filtered(self, states: Floats, actions: NDArray[Any]) -> tuple[NDArray[Any], Bools]:
        """What is sent to bound environments, and which rows were replaced."""
        binding = self._bindings[0]
        if self._lanes is None:
            return filtered(self.filter, binding, states, actions)
        units, replaced = self._lanes.filter_batch(
            states,
            arriving(binding, actions),
            lambda u: arriving(binding, np.asarray(binding.from_units(u))),
        )
        sent = np.asarray(binding.from_units(units))
        sent[~replaced] = actions[~replaced]
        return sent, replaced

    def _inside(self, states: Floats, begun: Bools) -> Bools:
        """Whether the shield holds in each lane, (n,), where episodes have ``begun`` in some."""
        if self._lanes is None:
            return self.filter.inside_batch(states)
        return self._lanes.holds(states, begun)

    def step(self, actions: Any) -> tuple[Any, Any, Bools, Bools, dict[str, Any]]:
        """Step every lane with its action, or with what the shield puts in its place.

        Raises:
            ResetNeeded: before a reset, or after one that was refused.
        """
        if not self._usable:
            raise ResetNeeded("call reset() before step(); the last one was refused, if any")
        ignored = self._ended if self._mode is AutoresetMode.NEXT_STEP else self._ended & False
        before, active = self.states(), ~ignored
        if self._bindings:
            sent, overridden = self._filtered(before, _without(actions, ignored))
            overridden = overridden & active
            stepped = self.env.step(sent)
        else:
            sent = None
            stepped = self.env.step(actions)
            overridden = self._inner.overridden
        obs, rewards, terminations, truncations, infos = stepped
        self._overrides[ignored] = 0
        self._overrides += overridden
        self.steps_total += int(np.count_nonzero(active))
        self.overrides_total += int(np.count_nonzero(overridden))
        facts: dict[str, NDArray[Any]] = {"shield/overridden": overridden}
        facts["shield/overrides"] = self._overrides
        infos = {**infos, **masked(facts, active)}
        done = terminations | truncations
        reset = done if self._mode is AutoresetMode.SAME_STEP else ignored
        after = self.states()
        left = ~self._inside(after, reset)
        if sent is not None:
            for lane in np.flatnonzero(~reset).tolist():
                units = self._bindings[lane].to_units(sent[lane]).tolist()
                left[lane] |= not self._watch.explains(
                    before[lane].tolist(), units, after[lane].tolist()
                )
        if self._mode is AutoresetMode.SAME_STEP:
            self._overrides[done] = 0
        fresh = self.guaranteed | reset
        if (left & fresh).any():
            lane = int(np.flatnonzero(left & fresh)[0])
            warnings.warn(
                f"the shield's guarantee has ended in lane {lane}, at {after[lane].tolist()}: the "
                "plant is not the proved one, or an episode began outside the invariant",
                ShieldWarning,
                stacklevel=2,
            )
        self.guaranteed = fresh & ~left
        self._ended = done
        every = np.ones(self.num_envs, dtype=np.bool_)
        facts = {"shield/guaranteed": self.guaranteed}
        if self._lanes is not None:
            facts["shield/plan"] = np.array([p.steps_left for p in self._lanes.planners])
        infos = {**infos, **masked(facts, every)}
        return obs, rewards, terminations, truncations, infos


def _without(actions: Any, ignored: Bools) -> NDArray[Any]:
    """The actions, with zeros where they are ignored."""
    result = np.array(actions)
    result[ignored] = 0
    return result
