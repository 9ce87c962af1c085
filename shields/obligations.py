"""The obligations of a barrier: what each says, what was found of it, and the search for its proof.

A set with the program that shall keep it becomes a certificate with the program in the place of the
backup; its goals are the obligations. Each is refuted at a point, proved, or left open.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from nprl.lang.ranges import DomainError
from nprl.lang.terms import Num, Term, Var
from nprl.model import Model
from nprl.shields.certificate import Certificate, CertificateError
from nprl.shields.checker import Report, Verdict, check
from nprl.shields.counterexample import Counterexample
from nprl.shields.goals import domain, goals, witnesses
from nprl.shields.polynomial import polynomial
from nprl.shields.program_loop import ClosedLoop
from nprl.shields.refute import refute
from nprl.shields.synthesis.candidate import Candidate
from nprl.shields.synthesis.certify import claim, degree_of, dyadic_up, prove_goal
from nprl.shields.synthesis.proofs.search import NotProved, Tree
from nprl.shields.synthesis.views.quadratic import degree

Parts = tuple[tuple[Term, ...], ...]
OBLIGATIONS = {
    "init": "contains the initial set",
    "safe": "lies inside the safe set",
    "ranges": "lies within the model's ranges",
    "action": "the program's action, clipped, is in U",
    "backup": "is inductive under the model's step: the program leads back into it",
    "test": "the shield's run-time test is right",
    "domain": "rounding is covered, no operator meets the edge of its domain",
    "witness": "nothing that is quantified over is empty",
}


class Finding(enum.Enum):
    """What is known of one obligation."""

    PROVED = "proved"
    REFUTED = "refuted"
    OPEN = "not proved"

    def __bool__(self) -> bool:
        """Refuse to be a condition."""
        raise TypeError("a Finding has three values and no truth value; compare it with `is`")


@dataclass(frozen=True, slots=True)
class Obligation:
    """One obligation: what it says, what was found, and why."""

    kind: str
    finding: Finding
    reason: str = ""
    leaves: int = 0
    seconds: float = 0.0

    @property
    def text(self) -> str:
        """What it says, in words."""
        return OBLIGATIONS[self.kind]


@dataclass
class BarrierReport:
    """What became of a barrier with its program."""

    model: Model
    parts: Parts
    obligations: list[Obligation] = field(default_factory=list)
    counterexamples: list[Counterexample] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What a reader should know: clipping, rounding of coefficients, ranges."""
    certificate: Certificate | None = None
    report: Report | None = None
    seconds: float = 0.0

    @property
    def finding(self) -> Finding:
        """REFUTED if one obligation is; PROVED if the certificate is verified; else OPEN."""
        if self.counterexamples:
            return Finding.REFUTED
        return Finding.PROVED if self.certificate is not None else Finding.OPEN


def prove_obligations(
    found: BarrierReport,
    loop: ClosedLoop,
    parts: Parts,
    end: float,
    tell: Callable[[str], None],
) -> None:
    """Fill in the obligations; the set alone first, where its degree allows, else within the ranges."""
    curved = _family(parts) == "polynomial"
    within = _bounded(loop.model, parts)
    tried = [within] if curved else [parts, within]
    shown = parts
    for k, rows in enumerate(tried):
        try:
            draft = _draft(loop, rows, _family(parts))
        except (DomainError, CertificateError, ValueError) as error:
            found.obligations = [Obligation("domain", Finding.OPEN, str(error))]
            return
        left = end - time.monotonic()
        until = end if k + 1 == len(tried) else time.monotonic() + 2 * left / 3
        seen = _goals(found, draft, until, tell)
        if _count(seen) >= _count(found.obligations):
            found.obligations, shown = seen, rows
        if all(o.finding is Finding.PROVED for o in seen) or found.counterexamples:
            break
    if shown is within and within != parts:
        found.notes.append("the set that is examined is its part within the model's ranges")


def _draft(loop: ClosedLoop, parts: Parts, family: str) -> Certificate:
    draft = claim(loop.model, Candidate(family, parts, loop.policy, {}))
    rounding = draft.rounding
    needed = [dyadic_up(e) for e in loop.errors]
    return replace(
        draft,
        rounding=replace(
            rounding,
            backup=tuple(map(max, zip(rounding.backup, needed, strict=True))),
            guard=max(rounding.guard, dyadic_up(loop.guard)),
        ),
        info={"method": "a barrier given with its program", "policy": loop.program.name},
    )


def _family(parts: Parts) -> str:
    most = max(degree(polynomial(g)) for part in parts for g in part)
    return {0: "polytope", 1: "polytope", 2: "ellipsoid"}.get(most, "polynomial")


def _bounded(model: Model, parts: Parts) -> Parts:
    """The parts, each with the model's ranges as further rows."""
    ranges: list[Term] = []
    for c in model.state:
        ranges += [Var(c.name) - c.low, Num(c.high) - Var(c.name)]
    return tuple((*part, *(r for r in ranges if r not in part)) for part in parts)


def _count(seen: Sequence[Obligation]) -> int:
    return sum(o.finding is Finding.PROVED for o in seen)


def _goals(
    found: BarrierReport, draft: Certificate, end: float, tell: Callable[[str], None]
) -> list[Obligation]:
    """Every obligation of a draft; sets the certificate where all are proved."""
    refuted = {c.goal.split("/")[0]: c for c in found.counterexamples}
    if not any(c.kind == "point" for c in found.counterexamples):
        tell("points that break an obligation")
        static = [
            g for g in goals(draft) if g.split("/")[0] in ("init", "safe", "ranges", "action")
        ]
        for c in refute(draft, static):
            if c.goal != "theorem":
                found.counterexamples.append(c)
                refuted.setdefault(c.goal.split("/")[0], c)
    proofs: dict[str, Tree] = {}
    result: dict[str, Obligation] = {}
    others = {
        "domain": domain(draft),
        "witness": "; ".join(filter(None, witnesses(draft).values())),
    }
    for kind, reason in others.items():
        state = Finding.OPEN if reason else Finding.PROVED
        result[kind] = Obligation(kind, state, reason)
    most = degree_of(draft)
    why: dict[str, str] = {}
    spent: dict[str, float] = {}
    for goal, sequent in goals(draft).items():
        kind = goal.split("/")[0]
        witness = refuted.get("inductive" if kind == "backup" else kind)
        if witness is not None:
            result[kind] = Obligation(kind, Finding.REFUTED, witness.text)
            continue
        tell(goal)
        began = time.monotonic()
        try:
            share = (end - began) / (2 if kind == "backup" else 1)
            proofs[goal] = prove_goal(goal, sequent, draft, most, share)
        except (NotProved, DomainError) as error:
            why[goal] = f"{goal}: {error}"
        spent[kind] = spent.get(kind, 0.0) + time.monotonic() - began
    tell("the checker")
    own = replace(draft, proofs=proofs)
    report = check(own)
    for r in report.results:
        kind = r.goal.split("/")[0]
        before = result.get(kind, Obligation(kind, Finding.PROVED))
        reason = why.get(r.goal, r.reason)
        if kind not in spent or before.finding is not Finding.PROVED:
            continue
        result[kind] = Obligation(
            kind,
            Finding.OPEN if reason else Finding.PROVED,
            f"{reason}; {_help(reason)}" if reason else "",
            before.leaves + r.leaves,
            spent[kind],
        )
    if report.verdict is Verdict.VERIFIED and not found.counterexamples:
        found.certificate, found.report = own, report
    return [result[k] for k in OBLIGATIONS if k in result]


def _help(reason: str) -> str:
    """What would help where a search ended."""
    if "are over" in reason or "time is over" in reason:
        return "more time would help (--timeout), or a set with fewer rows, or of a lower degree"
    if "it fails" in reason:
        return "no margin is left there: shrink the set, or narrow the model's ranges"
    if "cell" in reason:
        return "near that cell the margin is small: shrink the set a little"
    return "a set with more margin, or narrower ranges of the model, would help"
