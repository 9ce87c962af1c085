"""``nprl/PendulumHeavier-v0``: the published benchmark vrl-pendulum-change-m, a heavier pendulum, linearised.

Source: Zhu, Xiong, Magill, Jagannathan, "An inductive synthesis framework for verifiable
reinforcement learning", PLDI 2019, and its repository caffett/VRL_CodeReview,
``benchmarks/pendulum_change_m.py``.
"""

from nprl.envs.published import CLIPPED, OPEN, benchmark, size

MODEL = benchmark(
    "nprl/PendulumHeavier-v0",
    state={"eta": "0.5", "omega": "0.5"},
    action={"u0": "15"},
    step={"eta": "omega", "omega": "10 * eta + (100/117) * u0"},
    init={"eta": "0.35", "omega": "0.35"},
    reward=size("eta omega", "u0", "0.005"),
    horizon=500,
    euler="0.01",
    units={"eta": "rad", "omega": "rad/s"},
    notes=CLIPPED + OPEN + "Mass 1.17 (the paper says 0.3 kg more), length 1, gravity 10.",
)
