"""What programs are measured against: return and size per environment, and where that is from.

A reference is the best program known to us before ours where it can be written down, in our
language; such rows are not ours.
"""

from __future__ import annotations

from dataclasses import dataclass

REPORT = 1_000_000
"""The first seed of reports."""


@dataclass(frozen=True, slots=True)
class Target:
    """At least ``mean`` with at most so many nodes or constants, over ``episodes``."""

    mean: float
    nodes: int | None = None
    constants: int | None = None
    episodes: int = 100
    certified: bool = False
    """Whether it must be proved safe without a shield."""
    reference: str = ""
    """A program of that return, as a term; empty where only its return is known."""


TARGETS: dict[str, tuple[Target, ...]] = {
    "CartPole-v1": (Target(500.0, nodes=5, reference="omega + 8.44 * theta"),),
    "Acrobot-v1": (Target(-82.1, nodes=9), Target(-80.0, nodes=15)),
    "MountainCar-v0": (Target(-102.5, nodes=9),),
    "MountainCarContinuous-v0": (Target(99.3, nodes=9),),
    "Pendulum-v1": (
        Target(-149.2, nodes=11, episodes=1000),
        Target(-148.4, constants=9, episodes=1000),
    ),
    "InvertedPendulum-v5": (Target(1000.0, constants=4),),
    "InvertedDoublePendulum-v5": (Target(9359.0, constants=6),),
    "Swimmer-v5": (Target(350.0, constants=16),),
    "Hopper-v5": (Target(3292.0, constants=36), Target(2439.0, constants=100)),
    "HalfCheetah-v5": (Target(4500.0, constants=108), Target(5000.0, constants=108)),
    "Walker2d-v5": (Target(1107.0, constants=108),),
    "LunarLander-v3": (Target(250.0, constants=36),),
    "LunarLanderContinuous-v3": (Target(287.0, nodes=17),),
    "BipedalWalker-v3": (Target(294.0, nodes=26),),
}
"""By environment. Sources: the best programs that were published or measured before, with returns
re-measured on Gymnasium 1.4."""

NETWORKS = {
    "nprl/Satellite-v0": -3.192,
    "nprl/DCMotor-v0": -8.742,
    "nprl/Tape-v0": -0.7413,
    "nprl/MagneticPointer-v0": -11.8,
    "nprl/Suspension-v0": -900,
    "nprl/DataCenterCooling-v0": -98.08,
    "nprl/Quadcopter-v0": -9.03,
    "nprl/PendulumDiscrete-v0": -3.763,
    "nprl/PendulumLinear-v0": -70.27,
    "nprl/PendulumLonger-v0": -72.6,
    "nprl/PendulumHeavier-v0": -58.15,
    "nprl/LinearCartPole-v0": -223.3,
    "nprl/CartPoleLonger-v0": -755.9,
    "nprl/Cruise-v0": -1.889,
    "nprl/Platoon4-v0": -177,
    "nprl/Platoon8-v0": -1582,
    "nprl/SelfDrivingObstacle-v0": -8630,
    "nprl/Biology-v0": -1156,
    "nprl/Oscillator-v0": -459.6,
    "nprl/SelfDriving-v0": -8.462,
    "nprl/LaneKeeping-v0": -28.63,
    "nprl/Duffing-v0": -566,
    "nprl/AdaptiveCruise-v0": -81.89,
    "nprl/Obstacle-v0": -106.6,
    "nprl/MountainCar-v0": -112,
    "nprl/NoisyRoad-v0": -260.7,
    "nprl/SwingUp-v0": -289.7,
    "nprl/Road-v0": -22.15,
}
"""What networks of PPO return, without a shield, in the systems of ours: `docs/usefulness.md`."""
TARGETS |= {env: (Target(mean, certified=True, episodes=200),) for env, mean in NETWORKS.items()}
