"""The binding of Gymnasium's own, unchanged ``InvertedPendulum-v5``: a model measured from MuJoCo.

MuJoCo's step is no formula. `STATED` says what is asked, and what is known of the step without
data; ``python -m experiments.measure --env InvertedPendulum-v5`` samples the simulator, and writes
``inverted_pendulum_v5.json`` beside this file: the step that was fitted, exactly, and the bound on
what it leaves, as a disturbance.

Source: Gymnasium, ``mujoco/inverted_pendulum_v5.py`` and its ``inverted_pendulum.xml``.
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

from nprl.env.state import binding_to
from nprl.lang.terms import Num, Var
from nprl.model import Arithmetic, Coordinate, Model, model_from_json

POSITION, ANGLE, VELOCITY, ANGULAR = (
    Var("position"),
    Var("angle"),
    Var("velocity"),
    Var("angular_velocity"),
)
DT = Fraction(1, 25)  # s: two steps of MuJoCo, of 0.02 s
MAX_POSITION = Fraction(9, 10)  # m; the slider ends at 1
MAX_ANGLE = Fraction(0.2)  # rad, the float at which the environment ends an episode
MAX_VELOCITY = Fraction(8, 5)  # m/s
MAX_ANGULAR = Fraction(2)  # rad/s
START = Fraction(0.01)

STATED = Model(
    name="gymnasium/InvertedPendulum-v5",
    state=(
        Coordinate("position", "m", -MAX_POSITION, MAX_POSITION),
        Coordinate("angle", "rad", -MAX_ANGLE, MAX_ANGLE),
        Coordinate("velocity", "m/s", -MAX_VELOCITY, MAX_VELOCITY),
        Coordinate("angular_velocity", "rad/s", -MAX_ANGULAR, MAX_ANGULAR),
    ),
    action=(Coordinate("force", "100 N", Fraction(-3), Fraction(3)),),
    step={
        POSITION: POSITION + DT * VELOCITY,
        ANGLE: ANGLE + DT * ANGULAR,
        VELOCITY: VELOCITY,
        ANGULAR: ANGULAR,
    },
    init={c: (-START, START) for c in (POSITION, ANGLE, VELOCITY, ANGULAR)},
    safe=(POSITION >= -MAX_POSITION)
    & (POSITION <= MAX_POSITION)
    & (ANGLE >= -MAX_ANGLE)
    & (ANGLE <= MAX_ANGLE),
    reward=Num(Fraction(1)),
    unsafe_reward=Fraction(0),
    horizon=1000,
    dt=DT,
    integrator="MuJoCo, RK4, 2 steps of 0.02 s",
    arithmetic=Arithmetic(state="float64", scaled=False),
    notes=(
        "Gymnasium's InvertedPendulum-v5 as it is, with float64 actions. The state is MuJoCo's "
        "positions and velocities. Safe: the angle at which the environment does not end the "
        "episode, and the cart 0.1 m at least from the ends of its slider, which act in no step "
        "from the box of analysis, so that the step does not depend on the position. |velocity| <= "
        "1.6 and |angular_velocity| <= 2 are that box; leaving it is not unsafe."
    ),
)
"""What is asked, with the step that is known without data: no forces."""

MODEL = model_from_json(json.loads(Path(__file__).with_suffix(".json").read_bytes()))
"""`STATED` with the step that was measured."""

BINDING = binding_to(MODEL, "InvertedPendulum-v5")
