"""``nprl/Oscillator-v0``: the published benchmark vrl-oscillator, an oscillator and a filter of order 16.

Source: Zhu, Xiong, Magill, Jagannathan, "An inductive synthesis framework for verifiable
reinforcement learning", PLDI 2019, and its repository caffett/VRL_CodeReview,
``benchmarks/oscillator.py``.
"""

from nprl.envs.published import CLIPPED, benchmark

NAMES = [f"x{k}" for k in range(18)]
FILTER = {f"x{k}": f"5 * x{k - 1} - 5 * x{k}" for k in range(3, 18)}

MODEL = benchmark(
    "nprl/Oscillator-v0",
    state=dict.fromkeys(NAMES, "0.35"),
    action={"u0": "50", "u1": "50"},
    step={"x0": "-2 * x0 + u0", "x1": "-x1 + u1", "x2": "5 * x0 - 5 * x2", **FILTER},
    init={**dict.fromkeys(NAMES, "0"), "x0": ("0.2", "0.3"), "x1": "0.1"},
    safe="x17 < 0.05",
    reward=f"-({' + '.join(f'next_{n} ** 2' for n in NAMES)} + u0 ** 2 + u1 ** 2)",
    horizon=100,
    euler="0.01",
    notes=CLIPPED + "|x| <= 0.35 is the box of analysis, for each coordinate.",
)
