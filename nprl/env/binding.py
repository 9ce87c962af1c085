"""A binding: what ties a running Gymnasium environment to its model.

It says how the float64 state is read, and which vector in units the environment applies for an
action. Whoever certifies an action hands a *float64* array to ``env.step``: ``to_units`` speaks of
that.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym

from nprl.env.sampling import Floats
from nprl.model import Model

BINDINGS: dict[str, str] = {
    "Pendulum-v1": "nprl.envs.pendulum_v1:BINDING",
    "Pendulum-v1#all": "nprl.envs.pendulum_v1_all:BINDING",
    "CartPole-v1": "nprl.envs.cartpole_v1:BINDING",
    "InvertedPendulum-v5": "nprl.envs.inverted_pendulum_v5:BINDING",
    "MountainCarContinuous-v0": "nprl.envs.mountain_car_continuous:BINDING",
}
"""Foreign Gymnasium ids with a binding, each as ``module:NAME``; a user may add to it.

An id followed by ``#`` and a word is a further statement about the same environment, with a model of
its own; without one, the id is the statement that is meant where none is named.
"""

Env = gym.Env[Any, Any]


@dataclass(frozen=True, slots=True)
class Binding:
    """The model of a running environment, and the maps between the two."""

    env_id: str
    """The id of the environment, as registered (or the model's name where there is none)."""
    model: Model
    read_state: Callable[[Env], tuple[float, ...]]
    """The float64 state, in the model's order and units; of any wrapper of the environment."""
    write_state: Callable[[Env, Any], None]
    """Put the environment into a state; for tests and replays."""
    to_units: Callable[[Any], Floats]
    """The float64 vector that ``step`` applies for a learner's action; NaN where not finite."""
    from_units: Callable[[Any], Any]
    """A learner's action for a vector in units, or for the rows of an array (n, dim)."""
    reset_options: Mapping[str, Any] = field(default_factory=dict)
    """What ``reset(options=...)`` needs for a start inside the model's initial box."""


def binding_for(env: Env) -> Binding | None:
    """The binding of a running environment, wrapped or not; None where no model is known.

    Our own environments carry theirs; foreign ones are found by the id of their ``spec``. What a
    binding cannot see (another gravity, a frame skip) the shield finds by comparing states with the
    model's.
    """
    own = getattr(env.unwrapped, "binding", None)
    if isinstance(own, Binding):
        return own
    spec = env.unwrapped.spec
    return None if spec is None else binding_of(spec.id)


def binding_of(name: str) -> Binding | None:
    """The binding of a foreign Gymnasium id, or of a further statement about it; None: there is none."""
    if name not in BINDINGS:
        return None
    module, _, attribute = BINDINGS[name].partition(":")
    binding = getattr(importlib.import_module(module), attribute)
    if not isinstance(binding, Binding):
        raise TypeError(f"the binding of {name}, {BINDINGS[name]}, is no Binding")
    return binding


def bindings_for(env: Env) -> Iterator[Binding]:
    """Every binding of a running environment: that of `binding_for`, then those of further statements."""
    first = binding_for(env)
    if first is None:
        return
    yield first
    for name in BINDINGS:
        if name.startswith(f"{first.env_id}#") and (further := binding_of(name)) is not None:
            yield further


def id_of(name: str) -> str:
    """The Gymnasium id that a statement is about."""
    return name.partition("#")[0]
