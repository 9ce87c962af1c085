"""``nprl/AdaptiveCruise-v0``: the published benchmark revel-acc, a car behind another.

``nprl/AdaptiveCruiseStated-v0`` is the benchmark as published, which no controller can keep
(``shields/proved/adaptive_cruise_stated.json``); the other is the nearest statement that can be
kept.

Source: Anderson, Verma, Dillig, Chaudhuri, "Neurosymbolic reinforcement learning with formally
verified exploration", NeurIPS 2020, and its repository gavlegoat/safe-learning,
``benchmarks/acc.py``.
"""

from dataclasses import replace
from fractions import Fraction

from nprl.envs.published import CLIPPED, benchmark
from nprl.model import Coordinate

NOTES = CLIPPED + (
    "x0 is minus the distance to the car in front, x1 the closing speed, lead its acceleration: any "
    "in [-3, 2], as the source's proof says (its simulator draws it from a clipped normal law). "
    "An episode ends where the car in front is 8 m away or more: no input could keep it nearer. Only "
    "x0 < 0 is safe. "
)
STATED = benchmark(
    "nprl/AdaptiveCruiseStated-v0",
    state={"x0": ("-10", "0"), "x1": "3"},
    action={"u0": ("-3", "2")},
    disturbance={"lead": ("-3", "2")},
    step={"x0": "x1", "x1": "u0 - lead"},
    init={"x0": ("-1.1", "-0.9"), "x1": "0.1"},
    safe="x0 < 0",
    terminal="x0 <= -8",
    reward="next_x0",
    horizon=100,
    euler="0.01",
    units={"x0": "m", "x1": "m/s", "u0": "m/s^2", "lead": "m/s^2"},
    notes=NOTES
    + "As published, no controller keeps it: the lead at -3 cancels full braking, so that a closing "
    "speed above 0 lasts.",
)
MODEL = replace(
    STATED,
    name="nprl/AdaptiveCruise-v0",
    action=(Coordinate("u0", "m/s^2", Fraction("-3.1"), Fraction(2)),),
    notes=NOTES
    + "The brakes are stronger by 0.1 than as published, where the lead at -3 cancels full braking, so "
    "that a closing speed above 0 lasts: nprl/AdaptiveCruiseStated-v0. (With the published brakes "
    "and no closing speed the margin is exactly 0: any rounding breaks it.)",
)
