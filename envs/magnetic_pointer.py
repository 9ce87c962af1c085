"""``nprl/MagneticPointer-v0``: the published benchmark vrl-magnetic-pointer, linear.

Source: Zhu, Xiong, Magill, Jagannathan, "An inductive synthesis framework for verifiable
reinforcement learning", PLDI 2019, and its repository caffett/VRL_CodeReview,
``benchmarks/magnetic-pointer.py``.
"""

from fractions import Fraction

from nprl.lang.build import all_of
from nprl.lang.terms import Var
from nprl.model import Coordinate, Model

X0, X1, X2, U0 = Var("x0"), Var("x1"), Var("x2"), Var("u0")
LIMIT, MAX_INPUT = Fraction(7, 2), Fraction(15)

MODEL = Model(
    name="nprl/MagneticPointer-v0",
    state=tuple(Coordinate(x.name, "1", -LIMIT, LIMIT) for x in (X0, X1, X2)),
    action=(Coordinate("u0", "1", -MAX_INPUT, MAX_INPUT),),
    step={
        X0: Fraction("2.6629") * X0
        + Fraction("-1.1644") * X1
        + Fraction("0.66598") * X2
        + Fraction("0.25") * U0,
        X1: 2 * X0,
        X2: Fraction("0.5") * X1,
    },
    init={x: (Fraction(-1), Fraction(1)) for x in (X0, X1, X2)},
    safe=all_of(*(f for x in (X0, X1, X2) for f in (x > -LIMIT, x < LIMIT))),
    reward=-(abs(Var("next_x0")) + abs(Var("next_x1")) + abs(Var("next_x2")) + abs(U0)),
    unsafe_reward=Fraction(-900),
    horizon=100,
    integrator="map",
    notes=(
        "Choices: the source's decimals as exact rationals; the input clipped to its bounds (the "
        "source does not clip); the safe box open, as the source says strict; reward of the state "
        "after the step, and -900 on the step that leaves the safe set, as in the source; the "
        "episode length is its training length."
    ),
)
