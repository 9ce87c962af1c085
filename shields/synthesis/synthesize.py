"""Synthesis: candidates in order, from cheap to dear, until one is proved.

What is returned was proved goal by goal as it was built, and still counts for nothing until the
checker has read it: `nprl.shields.check`, or `shield-check` on the saved file.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from nprl.lang.ranges import DomainError
from nprl.model import Model
from nprl.shields.certificate import Certificate, CertificateError
from nprl.shields.counterexample import Counterexample
from nprl.shields.falsify import falsify
from nprl.shields.synthesis.budget import Budget
from nprl.shields.synthesis.candidate import candidates
from nprl.shields.synthesis.certify import certify
from nprl.shields.synthesis.proofs.search import NotProved
from nprl.shields.synthesis.sets.sections import FAMILY as SECTIONS
from nprl.shields.synthesis.views.problem import Unsuitable

UNION_SHARE = 0.6
"""Of the time that is left, for the proof of a union: one of its modes alone may do, too."""
SECTIONS_SHARE = 0.9
"""The same for a chain of sections, whose proof ends by itself where it is too slow."""
PROOF_SHARE = 0.7
"""The same for one set: smaller ones, and other methods, may do."""
SHORT = 12.0
"""Seconds that a proof may have whatever is left for others."""
LEAST = 1.0
"""A proof is begun only with so many seconds left."""


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

    @property
    def reason(self) -> str:
        """One line: why there is no certificate; empty if there is one."""
        if self.certificate is not None:
            return ""
        if self.counterexample is not None:
            return self.counterexample.text
        if not self.tried:
            return self.unsuitable or "no candidate that holds the initial set was found"
        last = self.tried[-1]
        return (
            f"{len(self.tried)} methods and candidates were tried, none proved; the last, "
            f"{last.method}: {last.reason}"
        )


def synthesize(
    model: Model,
    seconds: float = 60.0,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
    unions: bool = False,
) -> Outcome:
    """A proved shield for ``model`` that holds its initial set: the first that can be proved.

    ``seconds`` limits the search for candidates and the proofs together, each method a share of it;
    one step of either may overrun it a little. The order of candidates depends on the model,
    ``seed`` and ``unions`` only:
    with it, for a safe set of several pieces a union of modes is tried before single ones.

    Raises:
        ValueError: for a time that is not positive.
    """
    if not seconds > 0:
        raise ValueError(f"seconds is positive; got {seconds}")
    say = progress or (lambda _: None)
    start = last = time.monotonic()
    tried: list[Attempt] = []
    budget = Budget(seconds)
    run = falsify(model)
    if run is not None:
        return Outcome(None, (), time.monotonic() - start, counterexample=run)
    try:
        proposed = candidates(model, seed, budget, unions)
    except Unsuitable as error:
        reason = f"no method is made for {error}"
        return Outcome(None, (), time.monotonic() - start, reason)
    noted = 0
    for candidate in proposed:
        noted = _note(budget, noted, tried)
        method = str(candidate.notes.get("method", candidate.family))
        left = seconds - (time.monotonic() - start)
        if left < LEAST:
            tried.append(Attempt(candidate.family, method, 0.0, f"{seconds:g} s are over"))
            break
        say(f"candidate: {method}, {sum(map(len, candidate.invariant))} rows")
        try:
            most = max(PROOF_SHARE * left, min(left, SHORT))
            if candidate.family == "union":
                most = UNION_SHARE * left
            elif candidate.family == SECTIONS:
                most = SECTIONS_SHARE * left
            found: Certificate | None = certify(model, candidate, most, say)
            reason = ""
        except (NotProved, DomainError, CertificateError) as error:
            found, reason = None, " ".join(str(error).split())[:300]
            say(f"not proved: {reason}")
        now = time.monotonic()
        tried.append(Attempt(candidate.family, method, now - last, reason))
        last = now
        if found is not None:
            taken = time.monotonic() - start
            info = {**found.info, "synthesis_s": round(taken, 3), "seed": seed}
            return Outcome(replace(found, info=info), tuple(tried), taken)
    _note(budget, noted, tried)
    return Outcome(None, tuple(tried), time.monotonic() - start)


def _note(budget: Budget, known: int, tried: list[Attempt]) -> int:
    """Add the methods that found no candidate since; how many are known now."""
    for one in budget.missed[known:]:
        tried.append(Attempt(one.family, one.method, one.seconds, one.reason))
    return len(budget.missed)
