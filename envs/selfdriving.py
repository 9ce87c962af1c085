"""``nprl/SelfDriving-v0``: the published benchmark vrl-selfdriving, cubic dynamics.

Source: Zhu, Xiong, Magill, Jagannathan, "An inductive synthesis framework for verifiable
reinforcement learning", PLDI 2019, and its repository caffett/VRL_CodeReview,
``benchmarks/selfdriving.py``.
"""

from fractions import Fraction

from nprl.lang.terms import Var
from nprl.model import Coordinate, Model

P, GAMMA, U0 = Var("p"), Var("gamma"), Var("u0")
DT = Fraction(1, 10)  # s
EDGE = Fraction(2)  # m
HEADING = Fraction(157, 100)  # rad, just inside pi / 2

MODEL = Model(
    name="nprl/SelfDriving-v0",
    state=(Coordinate("p", "m", -EDGE, EDGE), Coordinate("gamma", "rad", -HEADING, HEADING)),
    action=(Coordinate("u0", "rad/s", Fraction(-10), Fraction(10)),),
    step={P: P + DT * (-2 * (GAMMA - GAMMA**3 / 6)), GAMMA: GAMMA + DT * U0},
    init={
        P: (Fraction(-1), Fraction(1)),
        GAMMA: (Fraction("-0.78539815"), Fraction("0.78539815")),
    },
    safe=(P > -EDGE) & (P < EDGE),
    reward=-(Var("next_p") ** 2 + Var("next_gamma") ** 2 + U0**2),
    unsafe_reward=Fraction(-900),
    horizon=100,
    dt=DT,
    integrator="Euler",
    notes=(
        "Choices: speed 2, and the source's cubic instead of the sine; the source's decimals as "
        "exact rationals; the input clipped to its bounds (the source does not clip); safe is "
        "open, because p <= -2 or p >= 2 is unsafe; reward of the state after the step, -900 on "
        "the step that leaves the safe set (the source's further -100 there is never seen); the "
        "episode length is its training length. |gamma| <= 1.57 is the box of analysis (the "
        "source verifies up to pi/2); leaving it is not unsafe."
    ),
)
