"""The binding of Gymnasium's own, unchanged ``Pendulum-v1`` from all its resets: the speed stays below 6 rad/s.

Gymnasium starts anywhere on the circle and does not wrap the angle in its state: what is proved speaks
of the angle as it is kept, within 5 rad of upright. Actions are passed on as float64 arrays, as in
`nprl.envs.pendulum_v1`.

Source: Gymnasium, ``classic_control/pendulum.py``.
"""

from __future__ import annotations

import math
from fractions import Fraction

from nprl.env.state import binding_to
from nprl.envs.pendulum import DT, MAX_TORQUE, OMEGA, SPEED, THETA, TORQUE
from nprl.envs.pendulum_v1 import OBSERVATION
from nprl.lang.build import where
from nprl.lang.terms import Pi
from nprl.model import Arithmetic, Coordinate, Model

MAX_ANGLE, MAX_SPEED = Fraction(5), Fraction(6)  # rad, rad/s
TURN = Fraction(math.pi)  # rad; the float of Gymnasium's resets
PI = Pi()
WRAPPED = where(THETA > PI, THETA - 2 * PI, where(THETA < -PI, THETA + 2 * PI, THETA))

MODEL = Model(
    name="gymnasium/Pendulum-v1#all",
    state=(
        Coordinate("theta", "rad", -MAX_ANGLE, MAX_ANGLE),
        Coordinate("omega", "rad/s", -MAX_SPEED, MAX_SPEED),
    ),
    action=(Coordinate("torque", "N m", -MAX_TORQUE, MAX_TORQUE),),
    step={THETA: THETA + SPEED * DT, OMEGA: SPEED},
    init={THETA: (-TURN, TURN), OMEGA: (Fraction(-1), Fraction(1))},
    safe=(OMEGA >= -MAX_SPEED) & (OMEGA <= MAX_SPEED),
    observation=OBSERVATION,
    reward=-(WRAPPED**2 + Fraction(0.1) * OMEGA**2 + Fraction(0.001) * TORQUE**2),
    horizon=200,
    dt=DT,
    integrator="semi-implicit Euler",
    arithmetic=Arithmetic(state="float64", scaled=False),
    notes=(
        "Gymnasium's Pendulum-v1 as it is, with float64 actions in N m, from every reset; theta = 0 "
        "is upright, and theta is not wrapped. Left out, because it never acts: the clip of the "
        "speed at 8 (one step from |omega| <= 6 stays below 7.1). The safe set says nothing of "
        "theta: the box of 5 rad is that of the proof, whose set is never left. Leaving the safe "
        "set does not end Gymnasium's episodes. The observation is float32. The reward is "
        "Gymnasium's, up to the rounding of its wrap of the angle."
    ),
)


BINDING = binding_to(MODEL, "Pendulum-v1")
