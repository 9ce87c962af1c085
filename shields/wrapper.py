"""The shield in Gymnasium: ``env = Shield(gym.make(id), "certificate.json")``.

Put it directly on what ``gym.make`` returns: wrappers that change actions belong outside of it.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from nprl.env.binding import Binding, binding_for, bindings_for
from nprl.shields.certificate import Certificate
from nprl.shields.nearest import Action
from nprl.shields.plans import Coverage, Planner
from nprl.shields.shield import Filter
from nprl.shields.watch import Watch

NOT_AN_ACTION = (TypeError, ValueError, LookupError, ArithmeticError)
"""What a binding raises for an action that is none."""


class ShieldWarning(UserWarning):
    """The guarantee has ended: the plant that runs is not the one that was proved."""


class Shield(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """Replace every action that could lead out of the certificate's invariant.

    The action is brought to units once, filtered there, and sent on in float64 so that what was
    tested is what is applied. What is no action (NaN, infinite, misshapen) means the backup.
    ``info`` gains, at
    every step and at reset, plain Python values (vector environments can batch them):

    - ``shield/overridden`` (bool): this action was replaced;
    - ``shield/fallback`` (bool): by the backup, which needs no test;
    - ``shield/overrides`` (int): how many were replaced in this episode so far;
    - ``shield/margin`` (float): the least value of the invariant's rows in the new state; ``>= 0``
      exactly when it is inside;
    - ``shield/plan`` (int): how many actions of the committed plan are to come, at most; 0 inside
      the invariant, and always where the certificate has no plans;
    - ``shield/guaranteed`` (bool): False from the first step on whose outcome is not the model's or
      lies outside the invariant (with plans: and is not on the committed plan), until the next
      reset. The first such step warns with `ShieldWarning`.
    """

    def __init__(self, env: gym.Env[Any, Any], certificate: str | Path) -> None:
        """Wrap ``env`` with the shield in the file ``certificate``.

        Raises:
            CertificateError: for a file that is no certificate, or is not proved.
            ValueError: for an environment without a binding or of another model, or a wrapper
            inside that changes actions.
        """
        gym.utils.RecordConstructorArgs.__init__(self, certificate=str(certificate))
        gym.Wrapper.__init__(self, env)
        self.filter = Filter.from_file(certificate)
        self.binding = bound_to(env, self.filter.certificate)
        self._watch = Watch(self.filter.certificate)
        plans = self.filter.certificate.shield.plans
        self._planner = None if plans is None else Planner(Coverage(self.filter))
        self._decide = (self._planner or self.filter).filter
        self._overrides = 0
        self._guaranteed = False
        self._started = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset the environment, which must start inside the invariant, or where a plan begins.

        Raises:
            ValueError: for a start outside; the environment is not usable before another reset.
        """
        self._started = False
        obs, info = self.env.reset(seed=seed, options=options)
        state = self.binding.read_state(self.env)
        margin = self.filter.margin(state)
        holds = margin >= 0 if self._planner is None else self._planner.reset(state)
        if not holds:
            hint = f"; try reset(options={dict(self.binding.reset_options)})"
            raise ValueError(
                f"reset refused: the state {state} is outside the proved invariant "
                f"(margin {margin:.3g})" + (hint if self.binding.reset_options else "")
            )
        self._started = self._guaranteed = True
        self._overrides = 0
        return obs, {**info, **self._info(False, False, margin)}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step with ``action``, or with what the shield puts in its place.

        Raises:
            ShieldError: where the state, or the backup, is not finite.
        """
        if not self._started:
            raise gym.error.ResetNeeded(
                "call reset() before step(); the last one was refused, if any"
            )
        before = self.binding.read_state(self.env)
        decision = self._decide(before, self._units(action), self._through)
        if decision.overridden:
            self._overrides += 1
            sent, applied = self._sent(decision.action), self._through(decision.action)
        else:
            sent, applied = self._as_sent(action), decision.action
        obs, reward, terminated, truncated, info = self.env.step(sent)
        after = self.binding.read_state(self.env)
        margin = self.filter.margin(after)
        holds = margin >= 0 if self._planner is None else self._planner.holds(after)
        if not decision.inside:
            self._end("it was put outside the proved invariant", before, applied, after)
        elif not self._watch.explains(before, applied, after):
            self._end("its step is not the model's", before, applied, after)
        elif not holds:
            self._end("it left the proved invariant", before, applied, after)
        extra = self._info(decision.overridden, decision.fallback, margin)
        return obs, reward, terminated, truncated, {**info, **extra}

    def _units(self, action: Any) -> Any:
        """The action in units; None where it is no action, so that the filter replaces it."""
        try:
            return self.binding.to_units(action).tolist()
        except NOT_AN_ACTION:
            return None

    def _sent(self, units: Action) -> Any:
        return self._as_sent(self.binding.from_units(units))

    def _as_sent(self, action: Any) -> Any:
        """The action in the type that makes the plant compute in float64."""
        if isinstance(self.env.action_space, gym.spaces.Discrete):
            return int(action)
        return np.array(action, dtype=np.float64)

    def _through(self, units: Action) -> Action:
        """The action that arrives when these units are sent."""
        return tuple(self.binding.to_units(self._sent(units)).tolist())

    def _info(self, overridden: bool, fallback: bool, margin: float) -> dict[str, Any]:
        return {
            "shield/overridden": overridden,
            "shield/fallback": fallback,
            "shield/overrides": self._overrides,
            "shield/margin": margin,
            "shield/plan": 0 if self._planner is None else self._planner.steps_left,
            "shield/guaranteed": self._guaranteed,
        }

    def _end(self, reason: str, before: Any, units: Action, after: Any) -> None:
        if self._guaranteed:
            self._guaranteed = False
            warnings.warn(
                f"the shield's guarantee has ended: the plant is not the proved one ({reason}: "
                f"from {before} under {units} to {after})",
                ShieldWarning,
                stacklevel=3,
            )


def bound_to(env: gym.Env[Any, Any], certificate: Certificate) -> Binding:
    """The binding of ``env`` whose model is the certificate's.

    Raises:
        ValueError: where there is none, it has another model, or a wrapper changes actions on the
        way.
    """
    name = env.spec.id if env.spec is not None else str(env)
    inner: Any = env
    while isinstance(inner, gym.Wrapper):
        if isinstance(inner, gym.ActionWrapper):
            raise ValueError(
                f"{name}: {type(inner).__name__} changes actions inside the shield; put the shield "
                "directly around gym.make(...), and such wrappers outside of it"
            )
        inner = inner.env
    binding = binding_for(env)
    if binding is None:
        raise ValueError(
            f"{name} has no binding to a model, so no certificate can speak of it; "
            "nprl.env.binding.BINDINGS lists the foreign environments that have one"
        )
    digest = certificate.model.digest()
    found = next((b for b in bindings_for(env) if b.model.digest() == digest), None)
    if found is None:
        raise ValueError(
            f"the certificate is for the model {certificate.model.name} "
            f"({certificate.model.digest()[:12]}); {name} is {binding.model.name} "
            f"({binding.model.digest()[:12]}): prove this one, or use that one"
        )
    return binding
