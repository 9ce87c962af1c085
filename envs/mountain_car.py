"""``nprl/MountainCar-v0``: the published benchmark revel-mountain-car, a car between two hills.

Source: Anderson, Verma, Dillig, Chaudhuri, "Neurosymbolic reinforcement learning with formally
verified exploration", NeurIPS 2020, and its repository gavlegoat/safe-learning,
``benchmarks/mountain-car.py``.
"""

from fractions import Fraction

from nprl.envs.published import CLIPPED, benchmark

GOAL = Fraction(0.6)  # the float, so that the plant ends where the model does

MODEL = benchmark(
    "nprl/MountainCar-v0",
    state={"x": ("-1.2", "0.7"), "v": "0.07"},
    action={"u0": "1"},
    step={"x": "v", "v": "0.001 * u0 - 0.0025 * cos(3 * x)"},
    init={"x": ("-0.5", "-0.5"), "v": "0"},
    safe="x > -pi / 3",
    terminal=f"x >= {GOAL}",
    reward="next_x - 0.6",
    horizon=100,
    euler="1",
    notes=CLIPPED
    + "The position moves by the old speed (Gymnasium's by the new one); pi is the real number; the "
    "goal absorbs, as in the source. -1.2 <= x <= 0.7 and |v| <= 0.07, which the source states and "
    "does not enforce, are the box of analysis.",
)
