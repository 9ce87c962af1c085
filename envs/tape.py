"""``nprl/Tape-v0``: the published benchmark vrl-tape, linear, and nearly without memory.

Source: Zhu, Xiong, Magill, Jagannathan, "An inductive synthesis framework for verifiable
reinforcement learning", PLDI 2019, and its repository caffett/VRL_CodeReview,
``benchmarks/tape.py``.
"""

from nprl.envs.published import CLIPPED, OPEN, benchmark, size

MODEL = benchmark(
    "nprl/Tape-v0",
    state={"x0": "3", "x1": "3", "x2": "3"},
    action={"u0": "10"},
    step={
        "x0": "5.5197e-17 * x0 - 3.5503e-17 * x1 + 6.2468e-32 * x2 + 0.25 * u0",
        "x1": "2.7756e-17 * x0",
        "x2": "2.7756e-17 * x1",
    },
    init={"x0": "1", "x1": "1", "x2": "1"},
    reward=size("x0 x1 x2", "u0", "0.0005"),
    horizon=100,
    notes=CLIPPED + OPEN,
)
