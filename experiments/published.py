"""What was published of the systems that we prove, too: names, seconds, interventions.

VRL: Zhu, Xiong, Magill, Jagannathan, PLDI 2019, Tables 1 and 3 (an i7-8700; synthesis with its
proof; interventions in 1,000 runs of 5,000 steps). REVEL: Anderson, Verma, Dillig, Chaudhuri,
NeurIPS 2020, Table 1 (all updates of the shield in one training run).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Published:
    """A system's published name, and figures where there are any."""

    name: str
    synthesis_s: int | None = None
    interventions: int | None = None


PUBLISHED = {
    "nprl/Satellite-v0": Published("vrl-satelite", 160, 0),
    "nprl/DCMotor-v0": Published("vrl-dcmotor", 68, 0),
    "nprl/Tape-v0": Published("vrl-tape", 42, 0),
    "nprl/MagneticPointer-v0": Published("vrl-magnetic-pointer", 85, 0),
    "nprl/Suspension-v0": Published("vrl-suspension", 41, 0),
    "nprl/DataCenterCooling-v0": Published("vrl-data-center-cooling", 168, 0),
    "nprl/Quadcopter-v0": Published("vrl-quadcopter", 67, 185),
    "nprl/PendulumDiscrete-v0": Published("vrl-pendulum-discrete", 1107, 65),
    "nprl/PendulumLinear-v0": Published("vrl-pendulum-continuous"),
    "nprl/PendulumLonger-v0": Published("vrl-pendulum-change-l", 483, 7060),
    "nprl/PendulumHeavier-v0": Published("vrl-pendulum-change-m", 581, 8748),
    "nprl/LinearCartPole-v0": Published("vrl-cartpole", 998, 1799),
    "nprl/CartPoleLonger-v0": Published("vrl-cartpole-change-l", 239, 8),
    "nprl/Cruise-v0": Published("vrl-cruise"),
    "nprl/Platoon4-v0": Published("vrl-4-car-platoon", 609, 8),
    "nprl/Platoon8-v0": Published("vrl-8-car-platoon", 1217, 1080),
    "nprl/SelfDrivingObstacle-v0": Published("vrl-selfdriving-obs", 392, 108320),
    "nprl/Biology-v0": Published("vrl-biology", 168, 0),
    "nprl/Oscillator-v0": Published("vrl-oscillator", 618, 93703),
    "nprl/SelfDriving-v0": Published("vrl-selfdriving", 185, 236),
    "nprl/LaneKeeping-v0": Published("vrl-lanekeeping", 183, 64),
    "nprl/Duffing-v0": Published("vrl-duffing"),
    "nprl/AdaptiveCruise-v0": Published("revel-acc", 56),
    "nprl/Obstacle-v0": Published("revel-obstacle", 27818),
    "nprl/MountainCar-v0": Published("revel-mountain-car", 5315),
    "nprl/NoisyRoad-v0": Published("revel-noisy-road", 12793),
    "nprl/SwingUp-v0": Published("revel-pendulum", 113),
    "nprl/Road-v0": Published("revel-road", 9401),
}
PUBLISHED |= {
    f"nprl/{name}Stated-v0": PUBLISHED[f"nprl/{name}-v0"]
    for name in ("DataCenterCooling", "Quadcopter", "AdaptiveCruise", "NoisyRoad")
}
"""By the id of our environment; as published, and the nearest statement that can be kept."""
