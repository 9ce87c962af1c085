"""A pendulum in continuous time: theta'' = 15 sin(theta) + 3 torque, sampled every 50 ms, exactly.

python -m experiments.prove --model docs/examples/pendulum_flow.py --out pendulum_flow.json
"""

from fractions import Fraction

from nprl.flow import sampled
from nprl.lang.build import sin
from nprl.lang.terms import Var
from nprl.model import Coordinate

THETA, OMEGA, TORQUE = Var("theta"), Var("omega"), Var("torque")
ANGLE, SPEED = Fraction(3, 5), Fraction(2)
START = (Fraction(-1, 5), Fraction(1, 5))

MODEL = sampled(
    {THETA: OMEGA, OMEGA: 15 * sin(THETA) + 3 * TORQUE},
    name="pendulum flow",
    state=(
        Coordinate("theta", "rad", -ANGLE, ANGLE),
        Coordinate("omega", "rad/s", -SPEED, SPEED),
    ),
    action=(Coordinate("torque", "N m", Fraction(-2), Fraction(2)),),
    dt=Fraction(1, 20),
    init={THETA: START, OMEGA: START},
    safe=(abs(THETA) <= ANGLE) & (abs(OMEGA) <= SPEED),
    reward=-(THETA**2 + OMEGA**2 / 10),
    unsafe_reward=Fraction(-200),
    horizon=200,
)
