"""``nprl/Duffing-v0``: the published benchmark vrl-duffing, a cubic spring.

Source: Zhu, Xiong, Magill, Jagannathan, "An inductive synthesis framework for verifiable
reinforcement learning", PLDI 2019, Example 4.3 and Fig. 6.
"""

from nprl.envs.published import benchmark, size

MODEL = benchmark(
    "nprl/Duffing-v0",
    state={"x": "5", "y": "5"},
    action={"a": "50"},
    step={"x": "y", "y": "-0.6 * y - x - x ** 3 + a"},
    init={"x": "2.5", "y": "2"},
    safe="x >= -5 and x <= 5 and y >= -5 and y <= 5",
    reward=size("x y", "a", "0.0005"),
    horizon=500,
    euler="0.01",
    notes="Choices: the paper gives no bound of the input (|a| <= 50 here), no reward and no length "
    "of an episode (those of its other systems here); the safe box is closed, as it is printed.",
)
