"""``nprl/LinearCartPole-v0``: the published benchmark vrl-cartpole, linearised about upright.

Source: Zhu, Xiong, Magill, Jagannathan, "An inductive synthesis framework for verifiable
reinforcement learning", PLDI 2019, and its repository caffett/VRL_CodeReview,
``benchmarks/cartpole.py``.
"""

from fractions import Fraction

from nprl.lang.build import all_of
from nprl.lang.terms import Var
from nprl.model import Coordinate, Model

P, V, THETA, OMEGA, U0 = Var("p"), Var("v"), Var("theta"), Var("omega"), Var("u0")
DT = Fraction(1, 100)  # s
LIMITS = {
    P: (Fraction("0.3"), "m"),
    V: (Fraction("0.5"), "m/s"),
    THETA: (Fraction("0.3"), "rad"),
    OMEGA: (Fraction("0.5"), "rad/s"),
}
STARTS = {P: Fraction("0.05"), V: Fraction("0.1"), THETA: Fraction("0.05"), OMEGA: Fraction("0.05")}
SIZE = abs(Var("next_p")) + abs(Var("next_v")) + abs(Var("next_theta")) + abs(Var("next_omega"))

MODEL = Model(
    name="nprl/LinearCartPole-v0",
    state=tuple(Coordinate(x.name, unit, -limit, limit) for x, (limit, unit) in LIMITS.items()),
    action=(Coordinate("u0", "1", Fraction(-15), Fraction(15)),),
    step={
        P: P + DT * V,
        V: V + DT * (Fraction("0.716") * THETA + Fraction("0.9755") * U0),
        THETA: THETA + DT * OMEGA,
        OMEGA: OMEGA + DT * (Fraction("15.76") * THETA + Fraction("1.46") * U0),
    },
    init={x: (-start, start) for x, start in STARTS.items()},
    safe=all_of(*(f for x, (limit, _) in LIMITS.items() for f in (x > -limit, x < limit))),
    reward=-(SIZE + Fraction("0.0005") * abs(U0)),
    unsafe_reward=Fraction(-900),
    horizon=100,
    dt=DT,
    integrator="Euler",
    notes=(
        "Choices: the source's decimals as exact rationals; the input clipped to its bounds (the "
        "source does not clip); the safe box open, as the source says strict; reward of the state "
        "after the step, and -900 on the step that leaves the safe set, as in the source; the "
        "episode length is its training length. The paper states a pole limit of 30 degrees, the "
        "source 0.3 rad: taken from the source."
    ),
)
