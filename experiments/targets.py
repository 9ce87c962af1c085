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
