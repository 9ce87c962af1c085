"""Is a program safe alone? `check_policy`: certified by a proof, or refuted by a run, or unknown.

Two proofs are tried. First that the program's action passes the shield's test everywhere in the
shield's invariant: then the shield never acts. Else that the program has an invariant of its own: a
second certificate, with the program as its backup, which `shield-check` verifies like any other.
Proofs found here are checked by the kernel before they count.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from nprl.lang.ranges import DomainError
from nprl.lang.terms import Term
from nprl.program import Program
from nprl.shields.certificate import Certificate
from nprl.shields.checker import GoalResult, Report, Verdict, check, check_goal
from nprl.shields.counterexample import Counterexample, point_text, values_at
from nprl.shields.goals import goals
from nprl.shields.memory import lifted
from nprl.shields.overrides import Overrides, Share
from nprl.shields.polynomial import polynomial
from nprl.shields.program_loop import ClosedLoop
from nprl.shields.sequent import Sequent, expanded
from nprl.shields.synthesis.certify import claim, dyadic_up
from nprl.shields.synthesis.proofs.nonlinear import enclose_steps
from nprl.shields.synthesis.proofs.prove import prove
from nprl.shields.synthesis.proofs.search import NotProved, Search, Tree
from nprl.shields.synthesis.sets.closed_loop import closed_loop_candidates
from nprl.shields.synthesis.views.quadratic import degree
from nprl.shields.traces import starts


class PolicyOutcome(enum.Enum):
    """What is known of a program without its shield."""

    CERTIFIED = "certified"
    NEEDS_SHIELD = "needs the shield"
    UNKNOWN = "unknown"

    def __bool__(self) -> bool:
        """Refuse to be a condition."""
        raise TypeError(
            "a PolicyOutcome has three values and no truth value; compare it: "
            "`report.outcome is PolicyOutcome.CERTIFIED`"
        )


@dataclass(frozen=True, slots=True)
class PolicyReport:
    """The outcome for a program, in which sense, and what shows it."""

    outcome: PolicyOutcome
    sense: str
    """A sentence: what was proved, or what was found."""
    results: tuple[GoalResult, ...] = ()
    """Goals ``policy/...`` that the kernel was asked to check."""
    own: Certificate | None = None
    """The certificate of the program's own invariant."""
    own_report: Report | None = None
    counterexample: Counterexample | None = None
    share: Share | None = None
    seconds: float = 0.0


def check_policy(
    certificate: Certificate,
    program: Program,
    timeout: float = 60.0,
    progress: Callable[[str], None] | None = None,
) -> PolicyReport:
    """Whether ``program`` is safe without the shield of ``certificate``, which is taken as proved.

    A program with registers is examined in the model that has them in its state (see
    `nprl.shields.memory`). ``timeout`` in seconds bounds the searches for proofs; it can only turn
    an answer into UNKNOWN.

    Raises:
        ValueError: for a program that does not fit the certificate's model.
    """
    start = time.monotonic()
    tell = progress or (lambda _: None)

    def done(report: PolicyReport) -> PolicyReport:
        return replace(report, seconds=time.monotonic() - start)

    whatever = ", whatever its registers hold" if program.registers else ""
    try:
        if program.registers:
            certificate, program = lifted(certificate, program)
        loop = ClosedLoop.of(certificate.model, program)
    except DomainError as error:
        return done(PolicyReport(PolicyOutcome.UNKNOWN, f"the program has no sure value: {error}"))
    shield = Overrides(certificate, loop)
    tell("where the shield acts")
    share = shield.share()
    acted = shield.acted()
    results: tuple[GoalResult, ...] = ()
    if not len(acted) and (share is None or share.acted == 0):
        tell("passes everywhere")
        parts = certificate.shield.invariant
        results = _passing(loop, certificate, parts, timeout / 3)
        if results and all(r.proved for r in results):
            sense = (
                f"the program passes the shield's test everywhere in the invariant{whatever}: "
                "the shield never acts"
            )
            return done(PolicyReport(PolicyOutcome.CERTIFIED, sense, results, share=share))
    tell("leaves the safe set")
    found = shield.trace(starts(certificate.model, 0), "an initial state") if len(acted) else None
    if found is None:
        left = timeout - (time.monotonic() - start)
        own, report = _own_invariant(certificate, loop, left, tell)
        if own is not None and report is not None:
            sense = "the program keeps an invariant of its own, which holds all initial states"
            if len(own.shield.invariant) == 1:
                extra = _passing(loop, certificate, own.shield.invariant, timeout / 4)
                results = extra
                never = bool(extra) and all(r.proved for r in extra)
                sense += (
                    "; in it every action passes the test: on these runs the shield never acts"
                    if never
                    else ": it is safe alone. The shield, which knows another set, may still act"
                )
            return done(
                PolicyReport(PolicyOutcome.CERTIFIED, sense, results, own, report, None, share)
            )
        found = shield.refuted(acted) if len(acted) else None
    if found is not None:
        return done(
            PolicyReport(
                PolicyOutcome.NEEDS_SHIELD, found.text, results, counterexample=found, share=share
            )
        )
    names = certificate.model.state_names
    what = (
        f"the shield acts in some states ({point_text(values_at(names, acted[0]))}, for one), "
        "but no run was found that is unsafe without it"
        if len(acted)
        else "no state was found where the shield acts"
    )
    return done(
        PolicyReport(
            PolicyOutcome.UNKNOWN,
            f"{what}; no proof that the program is safe alone was found either",
            results,
            share=share,
        )
    )


def _passing(
    loop: ClosedLoop,
    certificate: Certificate,
    parts: tuple[tuple[Term, ...], ...],
    seconds: float,
) -> tuple[GoalResult, ...]:
    """The goals that the program passes the test in these parts: proofs found, then checked."""
    found = []
    end = time.monotonic() + seconds
    built = loop.passing_goals(certificate, parts)
    for goal, sequent in built.items():
        try:
            tree = _prove(certificate, sequent, end)
        except NotProved as error:
            found.append(GoalResult(goal, False, f"no proof found: {error}", (), 0, 0.0))
            break
        found.append(check_goal(goal, sequent, tree))
    return tuple(found)


def _prove(certificate: Certificate, sequent: Sequent, end: float) -> Tree:
    """A tree; quadratic invariants of nonlinear steps need the steps enclosed."""
    left = max(1.0, end - time.monotonic())
    rows = [expanded(g) for part in certificate.shield.invariant for g in part]
    if any(degree(polynomial(g)) > 1 for g in rows):
        return enclose_steps(sequent, certificate, left)
    return prove(sequent, Search(seconds=left))


def _own_invariant(
    certificate: Certificate, loop: ClosedLoop, seconds: float, tell: Callable[[str], None]
) -> tuple[Certificate | None, Report | None]:
    """A verified certificate of an invariant of the program alone; None, None without one."""
    end = time.monotonic() + seconds
    for candidate in closed_loop_candidates(certificate, loop.policy):
        if time.monotonic() > end:
            break
        tell(str(candidate.notes.get("method", candidate.family)))
        try:
            draft = claim(loop.model, candidate)
            rounding = draft.rounding
            needed = [dyadic_up(e) for e in loop.errors]
            draft = replace(
                draft,
                rounding=replace(
                    rounding,
                    backup=tuple(map(max, zip(rounding.backup, needed, strict=True))),
                    guard=max(rounding.guard, dyadic_up(loop.guard)),
                ),
                info={"policy": loop.program.name, **candidate.notes},
            )
            budget = min(end, time.monotonic() + max(2.0, (end - time.monotonic()) / 2))
            proofs = {g: _prove_own(draft, g, s, budget) for g, s in goals(draft).items()}
        except (NotProved, DomainError):
            continue
        own = replace(draft, proofs=proofs)
        report = check(own)
        if report.verdict is Verdict.VERIFIED:
            return own, report
    return None, None


def _prove_own(draft: Certificate, goal: str, sequent: Sequent, end: float) -> Tree:
    if time.monotonic() > end:
        raise NotProved(f"{goal}: the time is over")
    if goal.split("/")[0] in ("backup", "test"):
        return _prove(draft, sequent, end)
    return prove(sequent, Search(seconds=max(1.0, end - time.monotonic())))
