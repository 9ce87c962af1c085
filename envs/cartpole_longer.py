"""``nprl/CartPoleLonger-v0``: the published benchmark vrl-cartpole-change-l, a longer pole, linearised.

Source: Zhu, Xiong, Magill, Jagannathan, "An inductive synthesis framework for verifiable
reinforcement learning", PLDI 2019, and its repository caffett/VRL_CodeReview,
``benchmarks/cartpole_change_l.py``.
"""

from nprl.envs.published import CLIPPED, OPEN, benchmark, size

MODEL = benchmark(
    "nprl/CartPoleLonger-v0",
    state={"p": "0.3", "v": "0.5", "theta": "0.3", "omega": "0.5"},
    action={"u0": "15"},
    step={
        "p": "p + 0.02 * v",
        "v": "v - 0.027942438056430846 * theta + 0.04049576936856093 * u0",
        "theta": "theta + 0.02 * omega",
        "omega": "0.2593927853935493 * theta + omega - 0.046906296565900694 * u0",
    },
    init={"p": "0.1", "v": "0.1", "theta": "0.05", "omega": "0.05"},
    reward=size("p v theta omega", "u0", "0.0005"),
    horizon=100,
    units={"p": "m", "v": "m/s", "theta": "rad", "omega": "rad/s"},
    notes=CLIPPED
    + OPEN
    + "A map with a step of 0.02 s; half-length 0.37 m, cart 0.4 kg, gravity 9.8.",
)
