"""``nprl/Pendulum-v0``: Gymnasium's pendulum, to be kept upright by a weak torque.

Source: Gymnasium, ``classic_control/pendulum.py`` (v1), with g = 10, m = 1, l = 1.
"""

from fractions import Fraction

from nprl.lang.build import sin
from nprl.lang.terms import Var
from nprl.model import Coordinate, Model

THETA, OMEGA, TORQUE = Var("theta"), Var("omega"), Var("torque")
DT = Fraction(0.05)  # s; Gymnasium computes with this float, so the model is this float, exactly
MAX_ANGLE = Fraction(3, 5)  # rad
MAX_SPEED = Fraction(2)  # rad/s
MAX_TORQUE = Fraction(2)  # N m

SPEED = OMEGA + (15 * sin(THETA) + 3 * TORQUE) * DT  # 3 g / (2 l) = 15, 3 / (m l^2) = 3
SAFE = (THETA >= -MAX_ANGLE) & (THETA <= MAX_ANGLE) & (OMEGA >= -MAX_SPEED) & (OMEGA <= MAX_SPEED)

MODEL = Model(
    name="nprl/Pendulum-v0",
    state=(
        Coordinate("theta", "rad", -MAX_ANGLE, MAX_ANGLE),
        Coordinate("omega", "rad/s", -MAX_SPEED, MAX_SPEED),
    ),
    action=(Coordinate("torque", "N m", -MAX_TORQUE, MAX_TORQUE),),
    step={THETA: THETA + SPEED * DT, OMEGA: SPEED},
    init={
        THETA: (Fraction(-1, 5), Fraction(1, 5)),
        OMEGA: (Fraction(-1, 5), Fraction(1, 5)),
    },
    safe=SAFE,
    reward=-(THETA**2 + Fraction(0.1) * OMEGA**2 + Fraction(0.001) * TORQUE**2),
    unsafe_reward=Fraction(-200),
    horizon=200,
    dt=DT,
    integrator="semi-implicit Euler",
    notes=(
        "The dynamics and the reward of Gymnasium's Pendulum-v1, in its order of operations; "
        "theta = 0 is upright. Left out, because inside the safe set it changes nothing: the clip "
        "of the speed at 8 (one step from |omega| <= 2 stays below 4) and the wrap of the angle "
        "in the reward. The safe set is closed, with the rational 3/5. Dying never pays: 200 "
        "steps at the worst safe reward cost less than 153, leaving the safe set costs 200."
    ),
)
