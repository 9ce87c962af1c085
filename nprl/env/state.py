"""The state of a running environment, by the kind of its simulator: read, and written.

Two kinds are known: MuJoCo's environments (positions, then velocities) and those that keep an
array ``state``, as Gymnasium's classic control does. A binding of another kind brings its own two
functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nprl.env.actions import Actions
from nprl.env.binding import Binding, Env
from nprl.model import Model


def read_state(env: Env) -> tuple[float, ...]:
    """The state in float64: MuJoCo's ``qpos`` and ``qvel``, or the attribute ``state``.

    Raises:
        ValueError: for an environment that has neither.
    """
    inner: Any = env.unwrapped
    if _is_mujoco(inner):
        return (*map(float, inner.data.qpos), *map(float, inner.data.qvel))
    return tuple(map(float, _array(inner)))


def write_state(env: Env, state: Any) -> None:
    """Put the environment into ``state``, as `read_state` gives it; for tests, replays, measuring.

    Raises:
        ValueError: for an environment of another kind, or a state of another length.
    """
    inner: Any = env.unwrapped
    values = np.array(state, dtype=np.float64)
    if _is_mujoco(inner):
        n = len(inner.data.qpos)
        if values.shape != (n + len(inner.data.qvel),):
            raise ValueError(
                f"a state has the shape ({n + len(inner.data.qvel)},); got {values.shape}"
            )
        inner.set_state(values[:n], values[n:])
        return
    old = np.asarray(_array(inner))
    if values.shape != old.shape:
        raise ValueError(f"a state has the shape {old.shape}; got {values.shape}")
    inner.state = values.astype(old.dtype)
    if hasattr(inner, "steps_beyond_terminated"):  # the episode goes on
        inner.steps_beyond_terminated = None


def binding_to(
    model: Model, env_id: str, reset_options: Mapping[str, Any] | None = None
) -> Binding:
    """The binding of a foreign environment of a kind that is known here, whose model this is."""
    actions = Actions(model)
    return Binding(
        env_id=env_id,
        model=model,
        read_state=read_state,
        write_state=write_state,
        to_units=actions.to_units,
        from_units=actions.from_units,
        reset_options=reset_options or {},
    )


def _is_mujoco(inner: Any) -> bool:
    return hasattr(inner, "set_state") and hasattr(getattr(inner, "data", None), "qpos")


def _array(inner: Any) -> Any:
    state = getattr(inner, "state", None)
    if state is None:
        raise ValueError(
            f"{type(inner).__name__} has no state that can be read: neither MuJoCo's data nor an "
            "array `state` (after a reset); give functions that read and write it"
        )
    return state
