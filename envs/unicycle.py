"""``nprl/Unicycle-v0``: a vehicle of constant speed that steers around a disc, in a wind.

It goes 1 m/s where it heads, and its turning rate is the input: it can neither stop nor turn on the
spot. It trails a cable, so that its heading is counted on and is bounded. The field's border ends
an episode, and is no danger. Only sampling instants are spoken of: between two of them, 0.1 s
apart, the vehicle moves by up to 0.11 m.
"""

from nprl.envs.published import benchmark

MODEL = benchmark(
    "nprl/Unicycle-v0",
    state={"x": "21/5", "y": "21/5", "theta": "4"},
    action={"turn": "2"},
    disturbance={"wx": "1/20", "wy": "1/20"},
    step={"x": "cos(theta) + wx", "y": "sin(theta) + wy", "theta": "turn"},
    euler="1/10",
    init={"x": ("-7/2", "-5/2"), "y": "1/2", "theta": "1/10"},
    units={
        **{"x": "m", "y": "m", "theta": "rad"},
        **{"turn": "rad/s", "wx": "m/s", "wy": "m/s"},
    },
    safe="x ** 2 + y ** 2 >= 1 and theta >= -4 and theta <= 4",
    terminal="x >= 4 or x <= -4 or y >= 4 or y <= -4",
    reward="(next_x - x) - (next_y ** 2) / 100",
    unsafe_reward="-100",
    horizon=200,
    notes="The disc, and a heading of at most 4 rad either way, are what safe "
    "speaks of. The border of the field, 4 m away, is terminal. wx and wy are a wind.",
)
