"""The binding of Gymnasium's own, unchanged ``Pendulum-v1``, started near upright.

The state is read, and written by tests, as ``env.unwrapped.state`` in float64. Actions are passed
on as float64
arrays: with a float32 action Gymnasium computes part of the step in float32, which is another
plant.

Source: Gymnasium, ``classic_control/pendulum.py``.
"""

from __future__ import annotations

from fractions import Fraction

from nprl.env.state import binding_to
from nprl.envs.pendulum import (
    DT,
    MAX_ANGLE,
    MAX_SPEED,
    MAX_TORQUE,
    OMEGA,
    SAFE,
    SPEED,
    THETA,
    TORQUE,
)
from nprl.lang.build import clip, cos, sin
from nprl.model import Arithmetic, Coordinate, Model, Observation

CLIPPED = clip(SPEED, -8, 8)
START = 0.2  # rad and rad/s: the half width of the initial box, the float that Gymnasium is given
FLOAT32 = Fraction(
    1, 2**23
)  # half a float32 step below 2, twice over for the float64 function under it
OBSERVATION = (
    Observation("x", cos(THETA), FLOAT32),
    Observation("y", sin(THETA), FLOAT32),
    Observation("omega", OMEGA, FLOAT32),
)

MODEL = Model(
    name="gymnasium/Pendulum-v1",
    state=(
        Coordinate("theta", "rad", -MAX_ANGLE, MAX_ANGLE),
        Coordinate("omega", "rad/s", -MAX_SPEED, MAX_SPEED),
    ),
    action=(Coordinate("torque", "N m", -MAX_TORQUE, MAX_TORQUE),),
    step={THETA: THETA + CLIPPED * DT, OMEGA: CLIPPED},
    init={
        THETA: (-Fraction(START), Fraction(START)),
        OMEGA: (-Fraction(START), Fraction(START)),
    },
    safe=SAFE,
    observation=OBSERVATION,
    reward=-(THETA**2 + Fraction(0.1) * OMEGA**2 + Fraction(0.001) * TORQUE**2),
    horizon=200,
    dt=DT,
    integrator="semi-implicit Euler",
    arithmetic=Arithmetic(state="float64", scaled=False),
    notes=(
        "Gymnasium's Pendulum-v1 as it is, with float64 actions in N m. Started by "
        "reset(options={'x_init': 0.2, 'y_init': 0.2}); a reset elsewhere is outside the proof. "
        "Leaving the safe set does not end its episodes. The observation is float32. The reward "
        "is Gymnasium's for |theta| <= pi, where its wrap of the angle changes nothing."
    ),
)


BINDING = binding_to(MODEL, "Pendulum-v1", {"x_init": START, "y_init": START})
