"""The time of one synthesis, and what its methods came to when they found no candidate.

Every loop and every solver of the search for candidates asks here how much time is left; a proof
has its own limit (`nprl.shields.synthesis.proofs.search.Search`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

LEAST_SOLVER_TIME = 0.05


class OutOfTime(Exception):
    """The time of the synthesis is over; says in which method."""


@dataclass(frozen=True, slots=True)
class Missed:
    """A method that found no candidate: how long it looked, and what stopped it."""

    family: str
    method: str
    seconds: float
    reason: str


@dataclass(slots=True)
class Budget:
    """Time that is left, and the methods that found nothing, in their order."""

    seconds: float = float("inf")
    missed: list[Missed] = field(default_factory=list)
    start: float = field(default_factory=time.monotonic)
    hopeless: frozenset[str] = frozenset()
    """Methods that were tried to their end before; they are left out."""

    def left(self) -> float:
        """Seconds left; negative where they are over."""
        return self.seconds - (time.monotonic() - self.start)

    def part(self, share: float) -> Budget:
        """A budget of a share of what is left, for a method that must not use up all of it."""
        return Budget(share * self.left(), self.missed, hopeless=self.hopeless)

    def check(self, where: str) -> None:
        """Go on only within the time.

        Raises:
            OutOfTime: where no time is left.
        """
        if self.left() <= 0:
            raise OutOfTime(f"{where}: {self.seconds:g} s are over")

    def miss(self, family: str, method: str, since: float, reason: str) -> None:
        """Note that a method, begun at the monotonic time ``since``, found no candidate."""
        self.missed.append(Missed(family, method, time.monotonic() - since, reason))

    def options(self, where: str) -> dict[str, Any]:
        """The time limit of a call to a solver (HiGHS or Clarabel), as its setting.

        Raises:
            OutOfTime: where no time is left.
        """
        self.check(where)
        left = self.left()
        return {} if left == float("inf") else {"time_limit": max(left, LEAST_SOLVER_TIME)}


__all__ = ["Budget", "Missed", "OutOfTime"]
