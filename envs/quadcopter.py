"""``nprl/Quadcopter-v0``: the published benchmark vrl-quadcopter, a double integrator of unit step.

``nprl/QuadcopterStated-v0`` is the benchmark as published, which no controller can keep
(``shields/proved/quadcopter_stated.json``); the other is the nearest statement that can be kept.

Source: Zhu, Xiong, Magill, Jagannathan, "An inductive synthesis framework for verifiable
reinforcement learning", PLDI 2019, and its repository caffett/VRL_CodeReview,
``benchmarks/quadcopter.py``.
"""

from dataclasses import replace
from fractions import Fraction

from nprl.envs.published import CLIPPED, OPEN, benchmark, size

STATED = benchmark(
    "nprl/QuadcopterStated-v0",
    state={"x0": "1", "x1": "1"},
    action={"u0": "15"},
    step={"x0": "x0 + x1", "x1": "x1 + u0"},
    init={"x0": "0.5", "x1": "0.5"},
    reward=size("x0 x1", "u0", "1"),
    horizon=100,
    notes=CLIPPED
    + OPEN
    + "As published, no controller keeps it: from (0.5, 0.5) the next x0 is 1, whatever the input.",
)
NEAR = Fraction(49, 100)
MODEL = replace(
    STATED,
    name="nprl/Quadcopter-v0",
    init={"x0": (-NEAR, NEAR), "x1": (-NEAR, NEAR)},
    notes=CLIPPED
    + OPEN
    + "The initial box is 0.49 instead of the published 0.5, from whose corner (0.5, 0.5) the next x0 "
    "is 1, whatever the input: nprl/QuadcopterStated-v0.",
)
