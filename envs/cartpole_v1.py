"""The binding of Gymnasium's own, unchanged ``CartPole-v1``: two actions, a push to either side.

The state is read, and written by tests, as ``env.unwrapped.state`` in float64; the observation is
rounded to float32. Leaving the safe set is what ends Gymnasium's episodes.

Source: Gymnasium, ``classic_control/cartpole.py`` (v1), Euler.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from nprl.env.state import binding_to
from nprl.envs import cartpole
from nprl.lang.terms import Var
from nprl.model import Arithmetic, Observation

FLOAT32 = Fraction(1, 2**24)
"""Rounding to float32, relative to the value."""

MODEL = replace(
    cartpole.MODEL,
    name="gymnasium/CartPole-v1",
    choices=((-cartpole.MAX_FORCE,), (cartpole.MAX_FORCE,)),
    observation=tuple(
        Observation(c.name, Var(c.name), c.high * FLOAT32) for c in cartpole.MODEL.state
    ),
    arithmetic=Arithmetic(state="float64", scaled=False),
    notes=(
        "Gymnasium's CartPole-v1 as it is: action 0 pushes with -10 N, action 1 with 10 N. A reset "
        "with bounds other than its own 0.05 is outside the proof. The observation is float32. "
        "The safe set is closed, as Gymnasium's limits are. |v| <= 4 and |omega| <= 4 are the box "
        "of analysis; leaving it is not unsafe."
    ),
)


BINDING = binding_to(MODEL, "CartPole-v1")
