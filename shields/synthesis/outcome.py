"""What a synthesis came to: a certificate, or what was tried, and what stopped each."""

from __future__ import annotations

from dataclasses import dataclass

from nprl.shields.certificate import Certificate
from nprl.shields.counterexample import Counterexample


@dataclass(frozen=True, slots=True)
class Attempt:
    """A candidate that was tried: its family, how it was found, and why it was not proved."""

    family: str
    method: str
    seconds: float
    reason: str
    """Empty for the one that was proved."""


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

    @property
    def reason(self) -> str:
        """One line: why there is no certificate; empty if there is one."""
        if self.certificate is not None:
            return ""
        if self.counterexample is not None:
            return self.counterexample.text
        if not self.tried:
            return (
                self.stopped
                or self.unsuitable
                or "no candidate that holds the initial set was found"
            )
        last = self.tried[-1]
        return f"{len(self.tried)} methods and candidates were tried, none proved; " + (
            self.stopped or f"the last, {last.method}: {last.reason}"
        )
