"""``nprl/Obstacle-v0``: the published benchmark revel-obstacle, a point that goes past a box.

Source: Anderson, Verma, Dillig, Chaudhuri, "Neurosymbolic reinforcement learning with formally
verified exploration", NeurIPS 2020, and its repository gavlegoat/safe-learning,
``benchmarks/obstacle.py``.
"""

from nprl.envs.published import CLIPPED, benchmark

MODEL = benchmark(
    "nprl/Obstacle-v0",
    state={"x": "10", "y": "10", "vx": "5", "vy": "5"},
    action={"ax": ("-2", "5"), "ay": ("-2", "5")},
    step={"x": "2 * vx", "y": "2 * vy", "vx": "5 * ax", "vy": "5 * ay"},
    init={"x": "0", "y": "0", "vx": "0", "vy": "0"},
    safe="x < 0 or x > 1 or y < 2 or y > 3",
    terminal="x >= 3 and y >= 0",
    reward="-(abs(next_x - 3) + abs(next_y))",
    horizon=100,
    euler="0.01",
    notes=CLIPPED
    + "The goal absorbs, as in the source. Positions up to 10 and speeds up to 5 are the box of "
    "analysis; safe speaks of sampling instants, 0.01 s apart.",
)
