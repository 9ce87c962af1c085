"""``nprl/DataCenterCooling-v0``: the published benchmark vrl-data-center-cooling, three racks and their coolers.

``nprl/DataCenterCoolingStated-v0`` is the benchmark as published, which no controller can keep
(``shields/proved/cooling_stated.json``); the other is the nearest statement that can be kept.

Source: Zhu, Xiong, Magill, Jagannathan, "An inductive synthesis framework for verifiable
reinforcement learning", PLDI 2019, and its repository caffett/VRL_CodeReview,
``benchmarks/data-center-cooling.py``.
"""

from dataclasses import replace
from fractions import Fraction

from nprl.envs.published import CLIPPED, OPEN, benchmark, size

STATED = benchmark(
    "nprl/DataCenterCoolingStated-v0",
    state={"x0": "3.2", "x1": "3.2", "x2": "3.2"},
    action={"u0": "1", "u1": "1", "u2": "1"},
    step={
        "x0": "1.01 * x0 + 0.01 * x1 + u0",
        "x1": "0.01 * x0 + 1.01 * x1 + 0.01 * x2 + u1",
        "x2": "0.01 * x1 + 1.01 * x2 + u2",
    },
    init={"x0": ("1.6", "3.2"), "x1": ("1.6", "3.2"), "x2": ("1.6", "3.2")},
    reward=size("x0 x1 x2", "u0 u1 u2", "1"),
    horizon=100,
    unsafe_reward="-1000",
    notes=CLIPPED
    + OPEN
    + "As published, no controller keeps it: the initial box reaches 3.2, which is not safe.",
)
START = (Fraction(8, 5), Fraction(31, 10))
MODEL = replace(
    STATED,
    name="nprl/DataCenterCooling-v0",
    init={"x0": START, "x1": START, "x2": START},
    notes=CLIPPED
    + OPEN
    + "The initial box ends at 3.1 instead of the published 3.2, which is not safe: "
    "nprl/DataCenterCoolingStated-v0.",
)
