"""The binding of Gymnasium's own, unchanged ``MountainCarContinuous-v0``, whose state is float32.

Gymnasium computes each step in float64 (with a float64 action), but for one product, and stores the
new state as float32. The product is ``3 * position``, in the state's own type: what its rounding
can change is the disturbance.

Source: Gymnasium, ``classic_control/continuous_mountain_car.py``.
"""

from __future__ import annotations

from fractions import Fraction

from nprl.env.state import binding_to
from nprl.lang.build import cos
from nprl.lang.terms import Var
from nprl.model import Arithmetic, Coordinate, Model

POSITION, VELOCITY, FORCE, OFF = Var("position"), Var("velocity"), Var("force"), Var("off")
WALL = Fraction(-1.2)
END = Fraction(11, 20)
MAX_SPEED = Fraction(0.07)  # per step
GOAL = Fraction(0.45)
POWER, GRAVITY = Fraction(0.0015), Fraction(0.0025)
START = (Fraction(-0.6), Fraction(-0.4))
PRODUCT = Fraction(1, 2**30)  # above 0.0025 * 2^-22: |3 position| < 4, rounded to float32

MOVED = VELOCITY + (FORCE * POWER - GRAVITY * cos(3 * POSITION)) + OFF

MODEL = Model(
    name="gymnasium/MountainCarContinuous-v0",
    state=(
        Coordinate("position", "1", WALL, END),
        Coordinate("velocity", "1/step", -MAX_SPEED, MAX_SPEED),
    ),
    action=(Coordinate("force", "1", Fraction(-1), Fraction(1)),),
    disturbance=(Coordinate("off", "1/step", -PRODUCT, PRODUCT),),
    step={POSITION: POSITION + MOVED, VELOCITY: MOVED},
    init={POSITION: START, VELOCITY: (Fraction(0), Fraction(0))},
    safe=(POSITION > WALL) & (VELOCITY > -MAX_SPEED) & (VELOCITY < MAX_SPEED),
    terminal=POSITION >= GOAL,
    reward=-(Fraction(0.1) * FORCE**2),
    horizon=999,
    integrator="map",
    arithmetic=Arithmetic(state="float32", scaled=False),
    notes=(
        "Gymnasium's MountainCarContinuous-v0 as it is, with float64 actions. Safe: the car never "
        "touches the wall at -1.2, and the limit of its speed, 0.07, never acts. Left out, because a "
        "step from the box of analysis that they change leaves the safe set: these two limits; and "
        "that at 0.6, which no step to the goal or before it meets. The goal is "
        "absorbing. Gymnasium asks there for velocity >= 0, too, which every step across it has, and "
        "asks before the state is rounded: it ends no later than the model. The disturbance is the "
        "float32 rounding of 3 * position, "
        "times 0.0025. The reward of 100 at the goal is left out."
    ),
)


BINDING = binding_to(MODEL, "MountainCarContinuous-v0")
