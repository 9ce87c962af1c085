"""``nprl/Cruise-v0``: the published benchmark vrl-cruise, one speed.

Source: Zhu, Xiong, Magill, Jagannathan, "An inductive synthesis framework for verifiable
reinforcement learning", PLDI 2019, and its repository caffett/VRL_CodeReview,
``benchmarks/cruise.py``.
"""

from nprl.envs.published import CLIPPED, OPEN, benchmark, size

MODEL = benchmark(
    "nprl/Cruise-v0",
    state={"x0": "1.5"},
    action={"u0": "10"},
    step={"x0": "0.99501 * x0 + 0.0078125 * u0"},
    init={"x0": "1"},
    reward=size("x0", "u0", "0.0005"),
    horizon=100,
    notes=CLIPPED + OPEN,
)
