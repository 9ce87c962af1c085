"""What a synthesis came to: a certificate, or what was tried, and what stopped each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nprl.shields.certificate import Certificate
from nprl.shields.counterexample import Counterexample

GOALS = ("init", "safe/", "ranges/", "action/", "backup/", "test/")
"""How a reason begins that names a goal of a certificate."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A candidate that was tried: its family, how it was found, and why it was not proved."""

    family: str
    method: str
    seconds: float
    reason: str
    """Empty for the one that was proved."""

    @property
    def late(self) -> bool:
        """Whether it was the time that ended it."""
        return "the time is over" in self.reason or "s are over" in self.reason


@dataclass(frozen=True, slots=True)
class Outcome:
    """What synthesis found: a certificate, or None with what was tried."""

    certificate: Certificate | None
    tried: tuple[Attempt, ...]
    synthesis_s: float
    unsuitable: str = ""
    """What no method is made for, if the model has it."""
    counterexample: Counterexample | None = None
    """A run that leaves the safe set, where there is no input that could prevent it."""
    stopped: str = ""
    """How the search was ended from outside, if it was."""
    advice: str = ""
    """What of the model stands in the way, if that is known."""

    @property
    def reason(self) -> str:
        """One line: why there is no certificate; empty if there is one."""
        if self.certificate is not None:
            return ""
        if self.counterexample is not None:
            return self.counterexample.text
        parts = [self.advice, self.stopped or self.unsuitable]
        if self.tried:
            parts.append(_summary(self.tried))
        return "; ".join(filter(None, parts)) or "no candidate that holds the initial set was found"


def _summary(tried: Sequence[Attempt]) -> str:
    """How far it came, and what would help."""
    methods = len({one.method for one in tried})
    proofs = [one for one in tried if one.reason.startswith(GOALS)]
    late = [one for one in proofs if one.late]
    text = f"{methods} methods were tried, none proved"
    if late:
        return f"{text}; {late[-1].method}: {late[-1].reason}; more seconds may help"
    if proofs:
        last = proofs[-1]
        return (
            f"{text}; the set of {last.method} was not proved: {last.reason}; a smaller step or a "
            "smaller initial set may help"
        )
    late = [one for one in {a.method: a for a in tried}.values() if one.late]  # in the last round
    if late:
        return f"{text}; {late[-1].reason}; more seconds may help"
    return (
        f"{text}, as no set that holds the initial set was found; a smaller initial set, wider bounds of "
        "the inputs or a larger safe set may help"
    )
