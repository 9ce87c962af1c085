"""``nprl/Satellite-v0``: the published benchmark vrl-satelite, linear.

Source: Zhu, Xiong, Magill, Jagannathan, "An inductive synthesis framework for verifiable
reinforcement learning", PLDI 2019, and its repository caffett/VRL_CodeReview,
``benchmarks/satelite.py``.
"""

from nprl.envs.published import CLIPPED, OPEN, benchmark, size

MODEL = benchmark(
    "nprl/Satellite-v0",
    state={"x0": "1.5", "x1": "1.5"},
    action={"u0": "10"},
    step={"x0": "2 * x0 - x1 + 2 * u0", "x1": "x0"},
    init={"x0": "1", "x1": "1"},
    reward=size("x0 x1", "u0", "0.0005"),
    horizon=100,
    notes=CLIPPED + OPEN,
)
