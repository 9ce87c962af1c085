"""``nprl/Quadcopter-v0``: the published benchmark vrl-quadcopter, a double integrator of unit step.

Source: Zhu, Xiong, Magill, Jagannathan, "An inductive synthesis framework for verifiable
reinforcement learning", PLDI 2019, and its repository caffett/VRL_CodeReview,
``benchmarks/quadcopter.py``.
"""

from nprl.envs.published import CLIPPED, OPEN, benchmark, size

MODEL = benchmark(
    "nprl/Quadcopter-v0",
    state={"x0": "1", "x1": "1"},
    action={"u0": "15"},
    step={"x0": "x0 + x1", "x1": "x1 + u0"},
    init={"x0": "0.5", "x1": "0.5"},
    reward=size("x0 x1", "u0", "1"),
    horizon=100,
    notes=CLIPPED + OPEN,
)
