"""``nprl/DCMotor-v0``: the published benchmark vrl-dcmotor, linear.

Source: Zhu, Xiong, Magill, Jagannathan, "An inductive synthesis framework for verifiable
reinforcement learning", PLDI 2019, and its repository caffett/VRL_CodeReview,
``benchmarks/dcmotor.py``.
"""

from nprl.envs.published import CLIPPED, OPEN, benchmark, size

MODEL = benchmark(
    "nprl/DCMotor-v0",
    state={"x0": "1.5", "x1": "1.5"},
    action={"u0": "1"},
    step={"x0": "0.98965 * x0 + 1.4747e-8 * x1 + 128 * u0", "x1": "7.4506e-9 * x0"},
    init={"x0": "1", "x1": "1"},
    reward=size("x0 x1", "u0", "0.0005"),
    horizon=100,
    notes=CLIPPED + OPEN,
)
