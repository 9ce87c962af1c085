"""``nprl/Platoon4-v0``: the published benchmark vrl-4-car-platoon, four cars in a row.

Source: Zhu, Xiong, Magill, Jagannathan, "An inductive synthesis framework for verifiable
reinforcement learning", PLDI 2019, and its repository caffett/VRL_CodeReview,
``benchmarks/4-car-platoon.py``.
"""

from nprl.envs.published import CLIPPED, OPEN, benchmark, size

MODEL = benchmark(
    "nprl/Platoon4-v0",
    state={"x0": "2", "x1": "0.5", "x2": "0.35", "x3": "0.5", "x4": "1", "x5": "0.5", "x6": "1"},
    action={"u0": "10", "u1": "10", "u2": "10", "u3": "10"},
    step={
        "x0": "x0 + 0.1 * u0",
        "x1": "x1 + 0.1 * x2",
        "x2": "x2 + 0.1 * u0 - 0.1 * u1",
        "x3": "x3 + 0.1 * x4",
        "x4": "x4 + 0.1 * u1 - 0.1 * u2",
        "x5": "x5 + 0.1 * x6",
        "x6": "x6 + 0.1 * u2 - 0.1 * u3",
    },
    init={
        "x0": "0.1",
        "x1": "0.1",
        "x2": "0.1",
        "x3": "0.1",
        "x4": "0.1",
        "x5": "0.1",
        "x6": "0.1",
    },
    reward=size("x0 x1 x2 x3 x4 x5 x6", "u0 u1 u2 u3", "0.0005"),
    horizon=100,
    notes=CLIPPED
    + OPEN
    + "Coordinates about (20, 1, 0, 1, 0, 1, 0): the first speed, then gaps and relative speeds.",
)
