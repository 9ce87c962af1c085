"""``nprl/CartPole-v0``: Gymnasium's cart-pole, its limits, starts and reward; a continuous force.

Every constant is the float that Gymnasium computes with, exactly, in its order of operations.

Source: Gymnasium, ``classic_control/cartpole.py`` (v1), Euler.
"""

from fractions import Fraction

from nprl.lang.build import cos, sin
from nprl.lang.terms import Num, Var
from nprl.model import Coordinate, Model

X, V, THETA, OMEGA, FORCE = Var("x"), Var("v"), Var("theta"), Var("omega"), Var("force")
DT = Fraction(0.02)  # s
GRAVITY = Fraction(9.8)  # m/s^2
POLE_MASS = Fraction(0.1)  # kg
TOTAL_MASS = Fraction(0.1 + 1.0)  # kg
LENGTH = Fraction(0.5)  # m, half the pole
POLE_MOMENT = Fraction(0.1 * 0.5)  # kg m
MAX_X = Fraction(2.4)  # m
MAX_ANGLE = Fraction(0.20943951023931953)  # rad, Gymnasium's 12 * 2 * pi / 360
MAX_FORCE = Fraction(10)  # N

PUSH = (FORCE + POLE_MOMENT * OMEGA**2 * sin(THETA)) / TOTAL_MASS
ANGULAR = (GRAVITY * sin(THETA) - cos(THETA) * PUSH) / (
    LENGTH * (Fraction(4.0 / 3.0) - POLE_MASS * cos(THETA) ** 2 / TOTAL_MASS)
)
LINEAR = PUSH - POLE_MOMENT * ANGULAR * cos(THETA) / TOTAL_MASS

MODEL = Model(
    name="nprl/CartPole-v0",
    state=(
        Coordinate("x", "m", -MAX_X, MAX_X),
        Coordinate("v", "m/s", Fraction(-4), Fraction(4)),
        Coordinate("theta", "rad", -MAX_ANGLE, MAX_ANGLE),
        Coordinate("omega", "rad/s", Fraction(-4), Fraction(4)),
    ),
    action=(Coordinate("force", "N", -MAX_FORCE, MAX_FORCE),),
    step={
        X: X + DT * V,
        V: V + DT * LINEAR,
        THETA: THETA + DT * OMEGA,
        OMEGA: OMEGA + DT * ANGULAR,
    },
    init={c: (-Fraction(0.05), Fraction(0.05)) for c in (X, V, THETA, OMEGA)},
    safe=(X >= -MAX_X) & (X <= MAX_X) & (THETA >= -MAX_ANGLE) & (THETA <= MAX_ANGLE),
    reward=Num(Fraction(1)),
    unsafe_reward=Fraction(1),
    horizon=500,
    dt=DT,
    integrator="Euler",
    notes=(
        "The dynamics, limits, starts and reward of Gymnasium's CartPole-v1 (the step that fails "
        "is rewarded too), with a force in [-10, 10] N instead of two pushes, and the state "
        "observed in float64. The safe set is closed. |v| <= 4 and |omega| <= 4 are the box of "
        "analysis; leaving it is not unsafe."
    ),
)
