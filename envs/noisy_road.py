"""``nprl/NoisyRoad-v0``: the published benchmark revel-noisy-road, a speed limit under noise.

``nprl/NoisyRoadStated-v0`` has an endless road: no controller can keep it
(``shields/proved/noisy_road_stated.json``). The other ends at the goal and can be kept.

Source: Anderson, Verma, Dillig, Chaudhuri, "Neurosymbolic reinforcement learning with formally
verified exploration", NeurIPS 2020, and its repository gavlegoat/safe-learning,
``benchmarks/noisy_road.py``.
"""

from dataclasses import replace

from nprl.envs.published import CLIPPED, benchmark
from nprl.lang.terms import Truth

NOTES = CLIPPED + (
    "c is the source's constant 1, which its noise lets drift. -5 <= x <= 4, |v| <= 10, |c| <= 2 are "
    "the box of analysis; only v < 10 is safe. "
)
NOISE = [f"d{i}{j}" for i in range(3) for j in range(3)] + ["e0", "e1", "e2"]

MODEL = benchmark(
    "nprl/NoisyRoad-v0",
    state={"x": ("-5", "4"), "v": ("-10", "10"), "c": "2"},
    action={"u0": ("-2", "5")},
    disturbance=dict.fromkeys(NOISE, "0.01"),
    step={
        "x": "d00 * x + (10 + d01) * v + d02 * c + e0 * u0",
        "v": "d10 * x + d11 * v + d12 * c + (10 + e1) * u0",
        "c": "d20 * x + d21 * v + d22 * c + e2 * u0",
    },
    init={"x": "0", "v": "0", "c": ("1", "1")},
    safe="v < 10",
    terminal="x >= 3",
    reward="next_x - 3",
    horizon=100,
    euler="0.001",
    notes=NOTES + "The goal absorbs, as in the source: without that, see nprl/NoisyRoadStated-v0.",
)
STATED = replace(
    MODEL,
    name="nprl/NoisyRoadStated-v0",
    terminal=Truth(False),
    notes=NOTES
    + "The goal does not absorb: v < 10 for ever, which no controller keeps, because the noise can let "
    "c grow, by a factor of 1.00001 at each step, until c drives v faster than the brakes hold it.",
)
