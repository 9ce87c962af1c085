"""``nprl/SwingUp-v0``: the published benchmark revel-pendulum, a swing-up with a speed limit.

Source: Anderson, Verma, Dillig, Chaudhuri, "Neurosymbolic reinforcement learning with formally
verified exploration", NeurIPS 2020, and its repository gavlegoat/safe-learning,
``benchmarks/pendulum_nonlinear.py``.
"""

from nprl.envs.published import CLIPPED, benchmark

TURNED = "theta + 0.01 * omega"

MODEL = benchmark(
    "nprl/SwingUp-v0",
    state={"theta": "3.2", "omega": "1.5"},
    action={"u0": "2"},
    step={
        "theta": f"where({TURNED} > pi, {TURNED} - 2 * pi, where({TURNED} < -pi, {TURNED} + 2 * pi, {TURNED}))",
        "omega": "omega + 0.01 * (10 * u0 - 2.4525 * sin(theta))",
    },
    init={"theta": "0", "omega": "0"},
    safe="omega > -1.5 and omega < 1.5",
    reward="max(-abs(next_theta - pi), -abs(next_theta + pi))",
    horizon=100,
    units={"theta": "rad", "omega": "rad/s"},
    notes=CLIPPED
    + "The angle is kept between -pi and pi, by a turn in the step: the source's grows without "
    "bound, and only its sine is used. The property is |omega| < 1.5, as stated (the source's test "
    "asks for omega < 1.5).",
)
