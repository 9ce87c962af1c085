"""The portfolio: candidates in order, from cheap to dear, until one is proved.

What is returned was proved goal by goal as it was built, and still counts for nothing until the
checker has read it: `nprl.shields.check`, or `shield-check` on the saved file. The search is in the
process that calls, so a solver that hangs hangs it; `nprl.shields.synthesize` has a hard limit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from nprl.lang.ranges import DomainError
from nprl.model import Model
from nprl.shields.certificate import Certificate, CertificateError
from nprl.shields.synthesis.advice import advice
from nprl.shields.synthesis.budget import Budget
from nprl.shields.synthesis.candidate import Candidate, candidates
from nprl.shields.synthesis.certify import certify
from nprl.shields.synthesis.outcome import Attempt, Outcome
from nprl.shields.synthesis.proofs.search import NotProved
from nprl.shields.synthesis.sets.sections import FAMILY as SECTIONS
from nprl.shields.synthesis.views.problem import Unsuitable

UNION_SHARE = 0.6
"""Of the time that is left, for the proof of a union: one of its modes alone may do, too."""
SECTIONS_SHARE = 0.9
"""The same for a chain of sections, whose proof ends by itself where it is too slow."""
PROOF_SHARE = 0.7
"""The same for one set: smaller ones, and other methods, may do."""
ROUNDS, QUICK_SHARE = (0.2, 1.0), 0.4
"""Of the time that is left: all methods are tried in it; the first, quick time for what is easy, where one
proof gets a lesser share, so that one that ends in no time hinders no other."""
SHORT = 12.0
"""Seconds that a proof may have whatever is left for others."""
LEAST = 1.0
"""A proof is begun only with so many seconds left."""


def search(
    model: Model,
    seconds: float = 60.0,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
    unions: bool = False,
    quick: bool = True,
    tell: Callable[[Attempt], None] | None = None,
) -> Outcome:
    """`nprl.shields.synthesize`, in this process; ``tell`` hears of each attempt as it ends.

    One step of the search for candidates and proofs may overrun ``seconds``. The order of candidates
    depends on the model, ``seed`` and ``unions`` only.
    """
    say = progress or (lambda _: None)
    whole = Budget(seconds)
    tried = _Tried(tell or (lambda _: None))
    hopeless: frozenset[str] = frozenset()
    for part in ROUNDS if quick else ROUNDS[-1:]:
        budget = replace(whole.part(part), hopeless=hopeless)
        before = len(tried.attempts)
        try:
            proposed = candidates(model, seed, budget, unions)
        except Unsuitable as error:
            return Outcome(None, (), seconds - whole.left(), f"no method is made for {error}")
        found = _first(model, proposed, budget, tried, say, part < 1)
        if found is not None:
            taken = seconds - whole.left()
            info = {**found.info, "synthesis_s": round(taken, 3), "seed": seed}
            return Outcome(replace(found, info=info), tuple(tried.attempts), taken)
        some = tried.attempts[before:]
        hopeless = frozenset(one.method for one in some) - {one.method for one in some if one.late}
        if not any(one.late for one in some):
            break
    taken = seconds - whole.left()
    return Outcome(None, tuple(tried.attempts), taken, advice=advice(model))


def _first(
    model: Model,
    proposed: Iterator[Candidate],
    budget: Budget,
    tried: _Tried,
    say: Callable[[str], None],
    quick: bool,
) -> Certificate | None:
    """The first candidate that is proved within the budget."""
    noted, last = 0, time.monotonic()
    for candidate in proposed:
        noted = _note(budget, noted, tried)
        method = str(candidate.notes.get("method", candidate.family))
        left = budget.left()
        if left < LEAST:
            tried.add(Attempt(candidate.family, method, 0.0, f"{budget.seconds:g} s are over"))
            return None
        say(f"candidate: {method}, {sum(map(len, candidate.invariant))} rows")
        try:
            most = max(PROOF_SHARE * left, min(left, SHORT))
            if quick:
                most = max(QUICK_SHARE * left, min(left, LEAST))
            elif candidate.family == "union":
                most = UNION_SHARE * left
            elif candidate.family == SECTIONS:
                most = SECTIONS_SHARE * left
            found: Certificate | None = certify(model, candidate, most, say)
            reason = ""
        except (NotProved, DomainError, CertificateError) as error:
            found, reason = None, " ".join(str(error).split())[:300]
            say(f"not proved: {reason}")
        now = time.monotonic()
        tried.add(Attempt(candidate.family, method, now - last, reason))
        last = now
        if found is not None:
            return found
    _note(budget, noted, tried)
    return None


@dataclass(slots=True)
class _Tried:
    """What was tried, and who hears of it."""

    tell: Callable[[Attempt], None]
    attempts: list[Attempt] = field(default_factory=list)

    def add(self, one: Attempt) -> None:
        self.attempts.append(one)
        self.tell(one)


def _note(budget: Budget, known: int, tried: _Tried) -> int:
    """Add the methods that found no candidate since; how many are known now."""
    for one in budget.missed[known:]:
        tried.add(Attempt(one.family, one.method, one.seconds, one.reason))
    return len(budget.missed)
