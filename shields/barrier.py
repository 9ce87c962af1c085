"""Barriers and programs that others made: each obligation proved, or refuted by a run, or left open.

A barrier is a set of states, given as polynomial inequalities; the program is what shall keep it.
Falsify first: runs from the set's boundary, corners and inside, then points that break a goal. What
is not refuted is proved goal by goal, with the program in the place of the backup, and becomes a
certificate like any other, which both checkers verify.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from nprl.lang.floats import compile_batch
from nprl.lang.ranges import DomainError
from nprl.lang.terms import Num, Term, Var
from nprl.model import Model
from nprl.program import Program
from nprl.shields.certificate import Certificate, CertificateError
from nprl.shields.checker import Report, Verdict, check
from nprl.shields.counterexample import Counterexample, point_text, values_at
from nprl.shields.escape import escape, steps_of
from nprl.shields.goals import domain, goals, witnesses
from nprl.shields.polynomial import polynomial
from nprl.shields.program_loop import ClosedLoop
from nprl.shields.refute import refute
from nprl.shields.sampling import Floats, part_of
from nprl.shields.synthesis.bernstein import from_polynomial
from nprl.shields.synthesis.candidate import Candidate
from nprl.shields.synthesis.certify import claim, degree_of, dyadic_up, prove_goal
from nprl.shields.synthesis.quadratic import degree
from nprl.shields.synthesis.search import NotProved, Tree

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
SHORT_BITS = 30
DIGITS = 6
SAMPLES = 3_000


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


def check_barrier(
    model: Model,
    parts: Parts,
    program: Program,
    seconds: float = 60.0,
    progress: Callable[[str], None] | None = None,
) -> BarrierReport:
    """Prove or refute that ``program`` keeps the union of ``parts`` (rows meant ``>= 0``).

    ``seconds`` bound the searches for proofs; they can only turn an answer into "not proved".

    Raises:
        ValueError: for a program or rows that do not fit the model.
        DomainError: for a program without a sure value.
    """
    start = time.monotonic()
    tell = progress or (lambda _: None)
    found = BarrierReport(model, parts)
    loop = ClosedLoop.of(model, program)
    _inputs(found, loop)
    tell("runs from inside the set")
    run = escape(model, parts, loop.act)
    if run is not None:
        found.counterexamples.append(run)
        _rests_on_bound(found, loop)
    short = tuple(tuple(_short(g) for g in part) for part in parts)
    if short != parts:
        found.notes.append(
            f"proofs are about the set with coefficients rounded to {DIGITS} digits; "
            "what is refuted is refuted of the set as given"
        )
    _prove(found, loop, short, start + seconds, tell)
    found.seconds = time.monotonic() - start
    return found


def _short(g: Term) -> Term:
    p = polynomial(g)
    if all(_bits(c) <= SHORT_BITS for c in p.values()):
        return g
    return from_polynomial({m: _rounded(c) for m, c in p.items()})


def _bits(c: Fraction) -> int:
    return max(c.numerator.bit_length(), c.denominator.bit_length())


def _rounded(c: Fraction) -> Fraction:
    return c if _bits(c) <= SHORT_BITS else Fraction(f"{float(c):.{DIGITS - 1}e}")


def _inside(model: Model, parts: Parts) -> Floats:
    """Points of the set within the model's ranges."""
    rng = np.random.default_rng(0)
    middle = np.array([float(a + b) / 2 for a, b in model.init.values()])
    regions = [part_of(model, list(p), middle) for p in parts]
    every = [r.points(SAMPLES, rng) for r in regions if r is not None]
    if not every:
        return np.zeros((0, len(model.state)))
    x = np.vstack(every)
    low, high = np.array([[float(c.low), float(c.high)] for c in model.state]).T
    return np.asarray(x[((x >= low) & (x <= high)).all(axis=1)])


def _inputs(found: BarrierReport, loop: ClosedLoop) -> None:
    """Note whether the program asks for more than the bounds of the inputs, and where."""
    model = found.model
    x = _inside(model, found.parts)
    if not len(x) or not model.action:
        return
    raw = _unclipped(loop)(x)
    for j, c in enumerate(model.action):
        beyond = np.maximum(raw[:, j] - float(c.high), float(c.low) - raw[:, j])
        k = int(beyond.argmax())
        if beyond[k] > 1e-9 * max(abs(float(c.low)), abs(float(c.high))):
            found.notes.append(
                f"the program breaks the bounds of {c.name} in the set: at "
                f"{point_text(values_at(model.state_names, x[k]))} it asks for {raw[k, j]:.6g}, "
                f"the bounds are {float(c.low):g} and {float(c.high):g}; what runs, and what is "
                "examined here, is clipped"
            )


def _unclipped(loop: ClosedLoop) -> Callable[[Floats], Floats]:
    f = compile_batch(loop.program.output, [[i.name for i in loop.program.inputs]])

    def act(x: Floats) -> Floats:
        return np.stack([np.broadcast_to(v, (len(x),)) for v in f(loop.observe(x))], axis=1)

    return act


def _rests_on_bound(found: BarrierReport, loop: ClosedLoop) -> None:
    """Where the clipped program leaves the set, and the unclipped one does not: say so."""
    if not found.notes:
        return
    if escape(found.model, found.parts, _unclipped(loop)) is None:
        found.notes.append(
            "without the clip no run was found that leaves the set: the barrier rests on an input "
            "bound that its program breaks"
        )


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


def _prove(
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


def in_words(found: BarrierReport) -> str:
    """The report of a barrier, several lines."""
    width = max((len(o.text) for o in found.obligations), default=0)
    lines = []
    for o in found.obligations:
        detail = f"{o.leaves:>5} leaves {o.seconds:7.2f} s" if o.seconds else ""
        lines.append(f"  {o.text:<{width}}  {o.finding.value:<10} {detail}".rstrip())
        if o.reason:
            lines.append(f"      {o.reason}")
    lines += [f"  note: {n}" for n in found.notes]
    if found.finding is Finding.OPEN:
        looked = steps_of(found.model)
        lines.append(
            f"  no run out of the set was found either, in {looked} steps from many points"
        )
    return "\n".join(lines)


__all__ = ["BarrierReport", "Finding", "Obligation", "check_barrier", "in_words"]
