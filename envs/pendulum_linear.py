"""``nprl/PendulumLinear-v0``: the published benchmark vrl-pendulum-continuous, linearised about upright.

Source: Zhu, Xiong, Magill, Jagannathan, "An inductive synthesis framework for verifiable
reinforcement learning", PLDI 2019, and its repository caffett/VRL_CodeReview,
``benchmarks/pendulum_continuous.py``.
"""

from nprl.envs.published import CLIPPED, OPEN, benchmark, size

MODEL = benchmark(
    "nprl/PendulumLinear-v0",
    state={"eta": "0.5", "omega": "0.5"},
    action={"u0": "15"},
    step={"eta": "omega", "omega": "10 * eta + u0"},
    init={"eta": "0.35", "omega": "0.35"},
    reward=size("eta omega", "u0", "0.005"),
    horizon=500,
    euler="0.01",
    units={"eta": "rad", "omega": "rad/s"},
    notes=CLIPPED + OPEN + "Mass 1, length 1, gravity 10.",
)
