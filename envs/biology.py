"""``nprl/Biology-v0``: the published benchmark vrl-biology, glucose and insulin, bilinear.

Source: Zhu, Xiong, Magill, Jagannathan, "An inductive synthesis framework for verifiable
reinforcement learning", PLDI 2019, and its repository caffett/VRL_CodeReview,
``benchmarks/biology.py``.
"""

from nprl.envs.published import CLIPPED, benchmark

MODEL = benchmark(
    "nprl/Biology-v0",
    state={"x0": "5", "x1": "1", "x2": ("-20", "5")},
    action={"u0": "50", "u1": "50"},
    step={
        "x0": "-0.01 * x0 - x1 * (x0 + 4.5) + u0",
        "x1": "-0.025 * x1 + 0.000013 * x2",
        "x2": "-0.093 * (x2 + 15) + (1/12) * u1",
    },
    init={"x0": "2", "x1": "0", "x2": "0.1"},
    safe="x0 < 5",
    reward="-(next_x0 ** 2 + next_x1 ** 2 + next_x2 ** 2 + u0 ** 2 + u1 ** 2)",
    horizon=100,
    euler="0.01",
    notes=CLIPPED
    + "1/12 is the quotient, as in the source's proof (its simulator runs Python 2, where it is "
    "0). |x0| <= 5, |x1| <= 1, -20 <= x2 <= 5 is the box of analysis.",
)
