"""The populations of evolution: the best few structures of each size.

Source: Mouret, Clune, "Illuminating search spaces by mapping elites", 2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nprl.distill.rollout import Floats
from nprl.lang.serial import term_from_json, to_json
from nprl.lang.terms import Term
from nprl.search.constants import lift
from nprl.search.front import promising

KEPT = 6
"""Programs of each size."""
Parts = tuple[Term, ...]
"""What fills the places of a sketch."""


@dataclass(frozen=True, slots=True)
class Member:
    """A program, by its parts."""

    parts: Parts
    size: int
    means: tuple[float, ...]
    """The mean return of the first tuning episode, of the first two, ... of all."""

    @property
    def mean(self) -> float:
        """The mean return."""
        return self.means[-1]


def member(parts: Parts, size: int, returns: Floats) -> Member:
    """The member with these returns of the tuning episodes."""
    means = np.cumsum(returns) / np.arange(1, len(returns) + 1)
    return Member(parts, size, tuple(means.tolist()))


class Islands:
    """The best few programs of each size: one of each structure."""

    def __init__(self, members: Sequence[Member] = ()) -> None:
        """Begin with these."""
        self.by_size: dict[int, dict[Parts, Member]] = {}
        self._ranked: list[Member] | None = None
        for member in members:
            self.add(member)

    def worth(self, parts: Parts, size: int, mean: float, episodes: int) -> bool:
        """Whether with this mean, on the first so many episodes, it is among the best of its size."""
        members = self.by_size.get(size, {})
        skeleton = lift(parts)[0]
        old = [members[skeleton]] if skeleton in members else list(members.values())
        if len(old) < KEPT and skeleton not in members:
            return True
        return mean > min(m.means[episodes - 1] for m in old)

    def add(self, member: Member) -> None:
        """Keep it, if it is among the best of its size and the best of its structure."""
        members = self.by_size.setdefault(member.size, {})
        skeleton = lift(member.parts)[0]
        if skeleton in members and members[skeleton].mean >= member.mean:
            return
        members[skeleton], self._ranked = member, None
        if len(members) > KEPT:
            worst = min(members, key=lambda s: (members[s].mean, str(s)))
            del members[worst]

    def all(self) -> list[Member]:
        """All of them, the smallest first."""
        return [m for size in sorted(self.by_size) for m in self.by_size[size].values()]

    def ranked(self) -> list[Member]:
        """All of them, the best first."""
        if self._ranked is None:
            self._ranked = sorted(self.all(), key=lambda m: -m.mean)
        return self._ranked

    def promising(self) -> list[Member]:
        """The best two of each size, if no smaller one is better; the best first."""
        return promising(self.all(), lambda m: m.size, lambda m: m.mean)

    def to_json(self) -> list[dict[str, Any]]:
        """The members as JSON data, in their order."""
        return [
            {"parts": [to_json(t) for t in m.parts], "size": m.size, "means": list(m.means)}
            for m in self.all()
        ]


def islands_from_json(data: Sequence[dict[str, Any]]) -> Islands:
    """What `Islands.to_json` wrote.

    Raises:
        ValueError, KeyError, TypeError: for anything else.
    """
    return Islands(
        [
            Member(
                tuple(term_from_json(t) for t in m["parts"]),
                int(m["size"]),
                tuple(map(float, m["means"])),
            )
            for m in data
        ]
    )
