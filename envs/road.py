"""``nprl/Road-v0``: the published benchmark revel-road, a car with a speed limit.

Source: Anderson, Verma, Dillig, Chaudhuri, "Neurosymbolic reinforcement learning with formally
verified exploration", NeurIPS 2020, and its repository gavlegoat/safe-learning,
``benchmarks/road.py``.
"""

from nprl.envs.published import CLIPPED, OPEN, benchmark

MODEL = benchmark(
    "nprl/Road-v0",
    state={"x": "100", "v": "10"},
    action={"u0": ("-2", "5")},
    step={"x": "10 * v", "v": "10 * u0"},
    init={"x": "0", "v": "0"},
    terminal="x >= 3",
    reward="next_x - 3",
    horizon=100,
    euler="0.01",
    notes=CLIPPED + OPEN + "The goal absorbs, as in the source.",
)
