"""``nprl/DataCenterCooling-v0``: the published benchmark vrl-data-center-cooling, three racks and their coolers.

Source: Zhu, Xiong, Magill, Jagannathan, "An inductive synthesis framework for verifiable
reinforcement learning", PLDI 2019, and its repository caffett/VRL_CodeReview,
``benchmarks/data-center-cooling.py``.
"""

from nprl.envs.published import CLIPPED, OPEN, benchmark, size

MODEL = benchmark(
    "nprl/DataCenterCooling-v0",
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
    notes=CLIPPED + OPEN,
)
