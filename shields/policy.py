"""The shield around a policy: any object with Stable-Baselines3's ``predict``, made safe.

For where the environment cannot be wrapped: a robot's loop asks a policy for actions. The shield
sees what the policy sees, so it needs the state from the observation, and cannot watch the plant.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nprl.env.plant import Actions
from nprl.env.policy import Policy as Policy
from nprl.lang.terms import Var
from nprl.shields.nearest import Action, Floats
from nprl.shields.plans import Coverage, Lanes
from nprl.shields.shield import Filter, ShieldError
from nprl.shields.wrapper import NOT_AN_ACTION, ShieldWarning


class ShieldedPolicy:
    """A policy whose every answer has passed the shield, in the environment's actions, float64.

    An exception in the policy means the backup, and so does an answer that came later than
    ``deadline_s`` (looked at when it returns: a policy that never returns is not interrupted).
    The policy's own state is passed on, also of a late answer. After an exception it is what it
    was, and an episode that started there is told to the policy as started at the next call.
    ``overrides`` counts replaced actions, ``failures`` the exceptions and late answers, ``outside``
    the states that were not in the invariant, for which nothing is promised (the first one warns).
    Where the certificate has plans, ``episode_start`` resets them, and states on a plan, or from
    which one leads into the invariant, count as inside.
    """

    def __init__(
        self,
        policy: Policy,
        shield: Filter | str | Path,
        *,
        deadline_s: float | None = None,
        state: Callable[[Any], Any] | None = None,
    ) -> None:
        """Shield ``policy`` by a filter, or by the certificate in a file.

        ``state`` gives the exact state, (d,) or (n, d), for an observation; it may be left out
        where the observation is the state.

        Raises:
            CertificateError: for a file that is no certificate, or is not proved.
            ValueError: where the observation is not the state and ``state`` is missing.
        """
        self.policy = policy
        self.shield = shield if isinstance(shield, Filter) else Filter.from_file(shield)
        self.deadline_s = deadline_s
        self._state = state
        self._actions = Actions(self.shield.model)
        self._coverage: Coverage | None = None
        if self.shield.certificate.shield.plans is not None:
            self._coverage = Coverage(self.shield)
        self._lanes: Lanes | None = None
        self._untold: NDArray[np.bool_] | None = None  # starts that the policy failed at, by lane
        self.overrides = self.failures = self.outside = 0
        model = self.shield.model
        exact = all(o.rounding == 0 for o in model.observation)
        names = [o.value.name for o in model.observation if isinstance(o.value, Var)]
        same = len(model.observation) == len(names) and tuple(names) == model.state_names
        if state is None and not (exact and same):
            raise ValueError(
                f"{model.name}: the observation is not the state ({', '.join(model.state_names)}); "
                "give ShieldedPolicy(..., state=...), a function from the observation to it"
            )

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """The shielded action for one observation or a batch, as Stable-Baselines3's ``predict``.

        Raises:
            ValueError: for a float32 observation that should be the state: it was rounded.
            ShieldError: for a state that is not finite.
        """
        x = self._read(observation)
        told = self._starts(episode_start, 1 if x.ndim == 1 else len(x))
        started = time.perf_counter()
        action: Any = None
        try:
            action, state = self.policy.predict(observation, state, told, deterministic)
            self._untold = None
            late = self.deadline_s is not None and time.perf_counter() - started > self.deadline_s
        except Exception:  # whatever a policy raises, the plant needs an action now
            late = True
            self._untold = None if told is None else np.atleast_1d(np.asarray(told, np.bool_))
        if late:
            self.failures += 1
            action = None
        if self._coverage is not None:
            self._begin(1 if x.ndim == 1 else len(x), episode_start)
        return (self._one(x, action) if x.ndim == 1 else self._batch(x, action)), state

    def _starts(self, episode_start: Any, count: int) -> Any:
        """The starts that the policy is told of: these, and those at which it failed."""
        if self._untold is None or len(self._untold) != count:
            return episode_start
        now = np.asarray(False if episode_start is None else episode_start, dtype=np.bool_)
        return self._untold | np.broadcast_to(now, (count,))

    def _begin(self, count: int, episode_start: Any) -> None:
        """Have a planner for each lane, without a plan where an episode starts."""
        assert self._coverage is not None
        if self._lanes is None or len(self._lanes.planners) != count:
            self._lanes = Lanes(self._coverage, count)
        if episode_start is not None:
            started = np.broadcast_to(np.asarray(episode_start, dtype=np.bool_), (count,))
            for lane in np.flatnonzero(started):
                self._lanes.planners[lane].reset()

    def _read(self, observation: Any) -> Floats:
        seen = np.asarray(observation if self._state is None else self._state(observation))
        if seen.dtype.kind == "f" and seen.dtype.itemsize < 8:
            raise ValueError(
                f"the observation is {seen.dtype}, not the exact state; give float64, or state=..."
            )
        x = seen.astype(np.float64)
        if x.ndim not in (1, 2) or not np.isfinite(x).all():
            raise ShieldError(f"a state is finite numbers, (d,) or (n, d); got {x.tolist()}")
        return x

    def _one(self, x: Floats, action: Any) -> NDArray[Any]:
        try:
            units = None if action is None else self._actions.units(action)
        except NOT_AN_ACTION:
            units = None
        shield = self.shield if self._lanes is None else self._lanes.planners[0]
        decision = shield.filter(x.tolist(), units or (), self._through)
        if not decision.inside:
            self._warn(1, x)
        self.overrides += decision.overridden
        if decision.overridden:
            return np.asarray(self._actions.from_units(decision.action))
        return np.asarray(action, dtype=None if self.shield.choices else np.float64)

    def _batch(self, x: Floats, action: Any) -> NDArray[Any]:
        units = np.full((len(x), self._actions.dim), np.nan)
        if action is not None:
            try:
                given = self._actions.to_units_batch(action)
                units = given if given.shape == units.shape else units
            except NOT_AN_ACTION:
                action = None
        if self._lanes is None:
            inside = self.shield.inside_batch(x)
            units, overridden = self.shield.filter_batch(x, units, self._through_batch)
        else:
            found = self._lanes.decide(x, units, self._through_batch)
            inside, overridden = np.array([[d.inside, d.overridden] for d in found]).T
            units = np.array([d.action for d in found])
        if not inside.all():
            self._warn(int(np.count_nonzero(~inside)), x[~inside][0])
        self.overrides += int(np.count_nonzero(overridden))
        result = np.asarray(self._actions.from_units(units))
        if action is not None and not overridden.all():
            result[~overridden] = np.asarray(action)[~overridden]
        return result

    def _through(self, units: Action) -> Action:
        return tuple(self._actions.units(self._actions.from_units(units)))

    def _through_batch(self, units: Floats) -> Floats:
        return self._actions.to_units_batch(self._actions.from_units(units))

    def _warn(self, count: int, x: Floats) -> None:
        if not self.outside:
            warnings.warn(
                f"the state {x.tolist()} is outside the proved invariant: nothing is promised",
                ShieldWarning,
                stacklevel=4,
            )
        self.outside += count
