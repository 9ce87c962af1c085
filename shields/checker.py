"""The checker: builds the goals from a certificate, walks the proof trees, and has Z3 prove each leaf.

It trusts the language, `goals`, `sequent`, `leaf` and Z3's linear real arithmetic; it trusts
nothing that found the shield. Unknown is not verified: whatever is missing, malformed, too large or
undecided leaves its goal unproved. A verdict never depends on the clock: Z3 is limited by counted
resources; a limit on time (``timeout``) can only turn a proof into "not proved".
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import z3

from nprl.lang.schema import LIST
from nprl.lang.terms import Num, Term
from nprl.shields.certificate import Certificate
from nprl.shields.goals import domain, goals, witnesses
from nprl.shields.leaf import Premises, Reading
from nprl.shields.losing import Impossible, losing_goals, losing_witness
from nprl.shields.polynomial import NotPolynomial, Polynomial
from nprl.shields.queries import query
from nprl.shields.sequent import Conclusion, Memory, ProofError, Sequent, expand, subtrees

RLIMIT = 20_000_000
"""Z3's resource units for one leaf."""


class Verdict(enum.Enum):
    """What is known of a claim."""

    VERIFIED = "verified"
    FALSIFIED = "falsified"
    UNKNOWN = "unknown"

    def __bool__(self) -> bool:
        raise TypeError(
            "a Verdict has three values and no truth value; compare it: "
            "`report.verdict is Verdict.VERIFIED`"
        )


@dataclass(frozen=True, slots=True)
class GoalResult:
    """What became of one goal: proved, or why not; by which kinds of leaf; how many; how long."""

    goal: str
    proved: bool
    reason: str
    engines: tuple[str, ...] = ()
    leaves: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome for a certificate."""

    results: tuple[GoalResult, ...]
    solver: str

    @property
    def verdict(self) -> Verdict:
        """VERIFIED if every goal is proved, else UNKNOWN: refuting is `nprl.shields.refute`'s work."""
        proved = bool(self.results) and all(r.proved for r in self.results)
        return Verdict.VERIFIED if proved else Verdict.UNKNOWN

    @property
    def engines(self) -> tuple[str, ...]:
        """Every kind of leaf that was used."""
        return tuple(sorted({e for r in self.results for e in r.engines}))


def check(
    certificate: Certificate | Impossible,
    timeout: float | None = None,
    progress: Callable[[str], None] | None = None,
    export: Callable[[str, int, str], None] | None = None,
) -> Report:
    """Prove every goal of a certificate, or say which are not proved.

    ``timeout`` in seconds, for the whole; ``progress`` is told each goal's name; ``export`` is
    given (goal, number, SMT-LIB2 text) of every query.
    """
    end = None if timeout is None else time.monotonic() + timeout
    solver = f"Z3 {z3.get_version_string()}"
    try:
        if isinstance(certificate, Impossible):
            built, found = losing_goals(certificate), losing_witness(certificate)
        else:
            built = goals(certificate)
            found = {"domain": domain(certificate), **witnesses(certificate)}
    except (ValueError, RecursionError) as error:
        return Report((GoalResult("goals", False, f"too large: {error}"),), solver)
    results = [
        GoalResult(goal, not reason, reason, ("domain" if goal == "domain" else "exact",))
        for goal, reason in found.items()
    ]
    for goal in sorted(set(certificate.proofs) - set(built)):
        results.append(GoalResult(goal, False, "this claim has no such goal"))
    memory = Memory()
    for goal, sequent in built.items():
        if progress is not None:
            progress(goal)
        sharing = replace(sequent, memory=memory).changed(memory.one)
        results.append(check_goal(goal, sharing, certificate.proofs.get(goal), end, export))
    return Report(tuple(results), solver)


def check_goal(
    goal: str,
    sequent: Sequent,
    tree: Any,
    end: float | None = None,
    export: Callable[[str, int, str], None] | None = None,
) -> GoalResult:
    """Prove one sequent by its tree, or say why not; ``end`` is a time of `time.monotonic`."""
    start = time.monotonic()
    engines, leaves = set[str](), 0
    reason = "" if tree is not None else "there is no proof object"
    try:
        for premises, alternative, hints in _leaves(tree, sequent) if tree is not None else ():
            if end is not None and time.monotonic() > end:
                raise ProofError("the time limit is over")
            leaves += 1
            for conclusion, hint in zip(alternative, hints, strict=True):
                asked = query(conclusion, hint, premises)
                engines.add(asked.engine)
                if export is not None:
                    export(goal, leaves, asked.text)
                if asked.text not in sequent.memory.refuted:
                    _prove(asked.text)
                    sequent.memory.refuted.add(asked.text)
    except (ProofError, NotPolynomial, ValueError, TypeError, RecursionError) as error:
        reason = f"leaf {leaves}: {error}"
    except z3.Z3Exception as error:
        reason = f"leaf {leaves}: Z3 failed: {error}"
    seconds = time.monotonic() - start
    return GoalResult(goal, not reason, reason, tuple(sorted(engines)), leaves, seconds)


def _leaves(
    tree: Any, sequent: Sequent
) -> Iterator[tuple[Premises, Sequence[Conclusion], Sequence[Any]]]:
    """The leaves of a tree, with premises, conclusions and hints; ProofError where it does not fit."""
    known: tuple[dict[Term, Reading], dict[tuple[Term, ...], Polynomial]] = ({}, {})
    stack = [(tree, sequent)]
    while stack:
        node, s = stack.pop()
        parts = LIST.read(node, "proof")
        match parts:
            case ["leaf", list(hints)]:
                if len(s.alternatives) != 1:
                    raise ProofError("a leaf comes after the choice of a part")
                if len(hints) != len(s.alternatives[0]):
                    raise ProofError("a leaf has one combination for each conclusion")
                yield Premises(s.premises, *known), s.alternatives[0], hints
            case ["absurd", hint]:
                false = Conclusion(Num(Fraction(-1)))
                yield Premises(s.premises, *known), [false], [hint]
            case _:
                below = expand(parts, s)
                stack.extend(reversed(list(zip(subtrees(parts), below, strict=True))))


def _prove(text: str) -> None:
    solver = z3.SimpleSolver()
    solver.set("rlimit", RLIMIT)
    solver.from_string(text)
    answer = solver.check()
    if answer == z3.sat:
        raise ProofError("the combination does not give the conclusion")
    if answer != z3.unsat:
        raise ProofError(f"Z3 does not decide it: {solver.reason_unknown()}")
