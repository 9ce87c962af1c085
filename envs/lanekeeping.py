"""``nprl/LaneKeeping-v0``: the published benchmark vrl-lanekeeping, a car in its lane.

Source: Zhu, Xiong, Magill, Jagannathan, "An inductive synthesis framework for verifiable
reinforcement learning", PLDI 2019, and its repository caffett/VRL_CodeReview,
``benchmarks/lanekeeping.py``.
"""

from fractions import Fraction

from nprl.lang.terms import Var
from nprl.model import Coordinate, Model

Y, VY, PSI, R = Var("y"), Var("vy"), Var("psi"), Var("r")
U0, U1, D2 = Var("u0"), Var("u1"), Var("d2")
DT = Fraction(1, 100)  # s
SPEED = Fraction("27.7")  # m/s
MASS, INERTIA = Fraction(1650), Fraction("2315.3")  # kg, kg m^2
FRONT, REAR = Fraction(133000), Fraction(98800)  # N/rad, cornering stiffness
TO_FRONT, TO_REAR = Fraction("1.11"), Fraction("1.59")  # m, from the centre of mass to the axles
LIMIT = Fraction("0.9")  # m

COUPLING = TO_REAR * REAR - TO_FRONT * FRONT
DAMPING = TO_FRONT**2 * FRONT + TO_REAR**2 * REAR
SLIP = (
    -((FRONT + REAR) / (MASS * SPEED)) * VY
    + (COUPLING / (MASS * SPEED) - SPEED) * R
    + (FRONT / MASS) * U0
)
TURN = (
    (COUPLING / (INERTIA * SPEED)) * VY
    + -(DAMPING / (INERTIA * SPEED)) * R
    + (TO_FRONT * FRONT / INERTIA) * U1
)

MODEL = Model(
    name="nprl/LaneKeeping-v0",
    state=(
        Coordinate("y", "m", Fraction(-1), Fraction(1)),
        Coordinate("vy", "m/s", Fraction(-20), Fraction(20)),
        Coordinate("psi", "rad", Fraction(-1), Fraction(1)),
        Coordinate("r", "rad/s", Fraction(-5), Fraction(5)),
    ),
    action=(
        Coordinate("u0", "rad", Fraction(-1), Fraction(1)),
        Coordinate("u1", "rad", Fraction(-1), Fraction(1)),
    ),
    disturbance=(Coordinate("d2", "rad/s", Fraction("-0.035"), Fraction("0.035")),),
    step={
        Y: Y + DT * (VY + SPEED * PSI),
        VY: VY + DT * SLIP,
        PSI: PSI + DT * (R + D2),
        R: R + DT * TURN,
    },
    init={x: (Fraction("-0.1"), Fraction("0.1")) for x in (Y, VY, PSI, R)},
    safe=(Y >= -LIMIT) & (Y <= LIMIT),
    reward=-(
        Var("next_y") ** 2
        + Var("next_vy") ** 2
        + Var("next_psi") ** 2
        + Var("next_r") ** 2
        + Fraction("0.0005") * U0**2
        + Fraction("0.0005") * U1**2
    ),
    unsafe_reward=Fraction(-900),
    horizon=1000,
    dt=DT,
    integrator="Euler",
    notes=(
        "Choices: the source's formulas in exact rationals, with true division (133000/1650, "
        "where Python 2 computed 80); the inputs clipped to their bounds (the source does not "
        "clip); of its four disturbances the three whose range is zero are left out; safe is "
        "closed, because y > 0.9 or y < -0.9 is unsafe; reward of the state after the step, -900 "
        "on the step that leaves the safe set. The source has two independent inputs where one "
        "steering angle would be physical. |vy| <= 20, |psi| <= 1, |r| <= 5 are the box of "
        "analysis; leaving it is not unsafe."
    ),
)
