"""How much work learning a program may take: counted, so that a seed gives one program everywhere.

Everything is a number of rounds, episodes, programs or environment steps. The clock only guards: it
cuts what takes far longer than it should, and then says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nprl.search.enumerate import Effort


@dataclass(frozen=True, slots=True)
class Budget:
    """The work of `learn_program`; `of` has the defaults.

    Raises:
        ValueError: for a number below 1, a guard that is not positive, or fewer than four seeds.
    """

    rounds: int = 5
    """Of DAgger."""
    episodes: int = 32
    """In each round."""
    seeds: int = 256
    """Selection seeds; half of them tune, half of them choose."""
    rows: int = 3000
    """Observations that are enumerated for; twice as many for the fits."""
    enumeration: Effort = field(default_factory=Effort)
    """Skeletons at each size."""
    nodes: int = 11
    """The largest terms that are enumerated, per output."""
    leaves: int = 4
    """Of the largest tree that is fitted."""
    played: int = 6
    """Fitted programs of each number of constants that are played."""
    most_played: int = 150
    """Of all sizes together, the nearest of each first."""
    tuned: int = 10
    """Programs that are tuned."""
    evaluations: int = 400
    """Settings of constants that CMA-ES plays for each of them, twice as many for more than four."""
    steps: int = 100_000_000
    """Environment steps that all tuning may take; the first program gets at most 60 % of them, each
    later one 30 % of what is left.
    """
    guard_s: float = 600.0
    """Seconds after which the rest is cut, loudly."""

    def __post_init__(self) -> None:
        """Refuse what leaves nothing to do."""
        for name in (
            "rounds",
            "episodes",
            "rows",
            "played",
            "most_played",
            "tuned",
            "evaluations",
            "steps",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"a budget's {name} is 1 or more; got {getattr(self, name)}")
        if self.seeds < 4 or not self.guard_s > 0:
            raise ValueError(
                "a budget has four selection seeds or more and a positive guard_s; "
                f"got {self.seeds} seeds, {self.guard_s} s"
            )

    @classmethod
    def of(cls, batched: bool, quick: bool = False) -> Budget:
        """Of a whole run, or of a quick one; with a model that is stepped in batches, or without.

        Where environments are stepped one by one a step costs some twenty times as much.
        """
        if quick and batched:
            return cls(3, 8, 40, 1000, Effort().times(0.05), 9, 3, 2, 16, 3, 80, 1_500_000, 120.0)
        if quick:
            return cls(3, 8, 10, 1000, Effort().times(0.05), 9, 3, 1, 6, 2, 10, 60_000, 120.0)
        if batched:
            return cls(enumeration=Effort().times(2 / 3))
        return cls(3, 8, 40, 3000, Effort().times(2 / 3), 11, 4, 2, 20, 6, 40, 1_500_000)
