"""``nprl/SelfDrivingObstacle-v0``: the published benchmark vrl-selfdriving-obs, a point that goes around a box.

Source: Zhu, Xiong, Magill, Jagannathan, "An inductive synthesis framework for verifiable
reinforcement learning", PLDI 2019, and its repository caffett/VRL_CodeReview,
``benchmarks/selfdriving_obs.py``.
"""

from nprl.envs.published import CLIPPED, benchmark, size

MODEL = benchmark(
    "nprl/SelfDrivingObstacle-v0",
    state={"x": "10", "y": "10", "vx": "2", "vy": "2"},
    action={"ax": "1", "ay": "1"},
    step={
        "x": "vx",
        "y": "vy",
        "vx": "-1.2 * vx + 0.1 * vy + ax",
        "vy": "0.1 * vx - 1.2 * vy + ay",
    },
    init={"x": ("-7", "-6"), "y": ("-8", "-7"), "vx": "0", "vy": "0"},
    safe="x <= -3.1 or x >= -2.9 or y <= -3.1 or y >= -2.9",
    reward=size("x y vx vy", "ax ay", "0.005"),
    horizon=1000,
    euler="0.01",
    unsafe_reward="-100",
    notes=CLIPPED
    + "The obstacle is open, and the only condition; positions up to 10 and speeds up to 2 are the "
    "box of analysis. The source writes the first interval of the initial box backwards.",
)
