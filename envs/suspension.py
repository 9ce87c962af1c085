"""``nprl/Suspension-v0``: the published benchmark vrl-suspension, linear.

Source: Zhu, Xiong, Magill, Jagannathan, "An inductive synthesis framework for verifiable
reinforcement learning", PLDI 2019, and its repository caffett/VRL_CodeReview,
``benchmarks/suspension.py``.
"""

from nprl.envs.published import CLIPPED, OPEN, benchmark, size

MODEL = benchmark(
    "nprl/Suspension-v0",
    state={"x0": "3", "x1": "3", "x2": "3", "x3": "3"},
    action={"u0": "10"},
    step={
        "x0": "0.02366 * x0 - 0.31922 * x1 + 0.0012041 * x2 - 4.0292e-17 * x3 + 256 * u0",
        "x1": "0.25 * x0",
        "x2": "0.0019531 * x1",
        "x3": "0.0019531 * x2",
    },
    init={"x0": "1", "x1": "1", "x2": "1", "x3": "1"},
    reward=size("x0 x1 x2 x3", "u0", "0.0005"),
    horizon=100,
    notes=CLIPPED + OPEN,
)
