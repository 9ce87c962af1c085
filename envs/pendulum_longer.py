"""``nprl/PendulumLonger-v0``: the published benchmark vrl-pendulum-change-l, a longer pendulum, linearised.

Source: Zhu, Xiong, Magill, Jagannathan, "An inductive synthesis framework for verifiable
reinforcement learning", PLDI 2019, and its repository caffett/VRL_CodeReview,
``benchmarks/pendulum_change_l.py``.
"""

from nprl.envs.published import CLIPPED, OPEN, benchmark, size

MODEL = benchmark(
    "nprl/PendulumLonger-v0",
    state={"eta": "0.5", "omega": "0.5"},
    action={"u0": "15"},
    step={"eta": "omega", "omega": "(25/3) * eta + (25/36) * u0"},
    init={"eta": "0.35", "omega": "0.35"},
    reward=size("eta omega", "u0", "0.005"),
    horizon=500,
    euler="0.01",
    units={"eta": "rad", "omega": "rad/s"},
    notes=CLIPPED
    + OPEN
    + "Length 1.2 (the paper says 0.15 m more), mass 1, gravity 10, as exact quotients.",
)
