"""``nprl/PointMass-v0``: a point mass that is pushed about, and goes around a disc to its goal.

Accelerations are held for a step, and the motion under them is exact. Only sampling instants are
spoken of: between two of them, 0.1 s apart, the mass moves by up to 0.32 m.
"""

from nprl.envs.published import benchmark

MODEL = benchmark(
    "nprl/PointMass-v0",
    state={"x": "4", "y": "4", "vx": "9/4", "vy": "9/4"},
    action={"ax": "1", "ay": "1"},
    disturbance={"wx": "1/10", "wy": "1/10"},
    step={
        "x": "x + 1/10 * vx + 1/200 * (ax + wx)",
        "y": "y + 1/10 * vy + 1/200 * (ay + wy)",
        "vx": "vx + 1/10 * (ax + wx)",
        "vy": "vy + 1/10 * (ay + wy)",
    },
    init={"x": ("-7/2", "-5/2"), "y": ("-1/2", "1/2"), "vx": "1/10", "vy": "1/10"},
    units={"x": "m", "y": "m", "vx": "m/s", "vy": "m/s", "ax": "m/s^2", "ay": "m/s^2"},
    safe="x ** 2 + y ** 2 >= 1 and x >= -4 and x <= 4 and y >= -4 and y <= 4",
    reward="-((next_x - 3) ** 2 + next_y ** 2) / 50",
    unsafe_reward="-100",
    horizon=200,
    notes="The disc and the walls are what safe speaks of; speeds up to 9/4 m/s in each direction "
    "are the box of analysis. wx and wy are accelerations by gusts.",
)
