"""``nprl/Platoon8-v0``: the published benchmark vrl-8-car-platoon, eight cars in a row.

Source: Zhu, Xiong, Magill, Jagannathan, "An inductive synthesis framework for verifiable
reinforcement learning", PLDI 2019, and its repository caffett/VRL_CodeReview,
``benchmarks/8-car-platoon.py``.
"""

from nprl.envs.published import CLIPPED, OPEN, benchmark, size

MODEL = benchmark(
    "nprl/Platoon8-v0",
    state={
        "x0": "2",
        "x1": ("-0.9", "0.5"),
        "x2": "1",
        "x3": "0.5",
        "x4": "1",
        "x5": "0.5",
        "x6": "1",
        "x7": "0.5",
        "x8": "1",
        "x9": "0.5",
        "x10": "1",
        "x11": "0.5",
        "x12": "1",
        "x13": "0.5",
        "x14": "1",
    },
    action={
        "u0": "10",
        "u1": "10",
        "u2": "10",
        "u3": "10",
        "u4": "10",
        "u5": "10",
        "u6": "10",
        "u7": "10",
    },
    step={
        "x0": "u0",
        "x1": "x2",
        "x2": "u0 - u1",
        "x3": "x4",
        "x4": "u1 - u2",
        "x5": "x6",
        "x6": "u2 - u3",
        "x7": "x8",
        "x8": "u3 - u4",
        "x9": "x10",
        "x10": "u4 - u5",
        "x11": "x12",
        "x12": "u5 - u6",
        "x13": "x14",
        "x14": "u6 - u7",
    },
    init={
        "x0": "0.1",
        "x1": "0.1",
        "x2": "0.1",
        "x3": "0.1",
        "x4": "0.1",
        "x5": "0.1",
        "x6": "0.1",
        "x7": "0.1",
        "x8": "0.1",
        "x9": "0.1",
        "x10": "0.1",
        "x11": "0.1",
        "x12": "0.1",
        "x13": "0.1",
        "x14": "0.1",
    },
    reward=size(
        "x0 x1 x2 x3 x4 x5 x6 x7 x8 x9 x10 x11 x12 x13 x14", "u0 u1 u2 u3 u4 u5 u6 u7", "1"
    ),
    horizon=400,
    euler="0.01",
    unsafe_reward="-1000",
    notes=CLIPPED
    + OPEN
    + "Coordinates about (20, 1, 0, 1, 0, ...): the first speed, then gaps and relative speeds.",
)
