"""``nprl/PendulumDiscrete-v0``: the published benchmark vrl-pendulum-discrete, a linear pendulum and its last angle.

Source: Zhu, Xiong, Magill, Jagannathan, "An inductive synthesis framework for verifiable
reinforcement learning", PLDI 2019, and its repository caffett/VRL_CodeReview,
``benchmarks/pendulum.py``.
"""

from nprl.envs.published import CLIPPED, OPEN, benchmark, size

MODEL = benchmark(
    "nprl/PendulumDiscrete-v0",
    state={"x0": "0.6", "x1": "0.6"},
    action={"u0": "1"},
    step={"x0": "1.9027 * x0 - x1 + u0", "x1": "x0"},
    init={"x0": "0.5", "x1": "0.5"},
    reward=size("x0 x1", "u0", "0.0005"),
    horizon=500,
    notes=CLIPPED + OPEN,
)
