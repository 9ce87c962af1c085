"""What `shield-check` found, and how it says so: text for a person, JSON for a machine."""

from __future__ import annotations

import argparse
import enum
import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nprl.shields import cross, losing_words
from nprl.shields.certificate import Certificate
from nprl.shields.checker import GoalResult, Report, Verdict
from nprl.shields.counterexample import Counterexample, exact_text
from nprl.shields.cross import Crossed
from nprl.shields.losing import Impossible
from nprl.shields.losing_replay import Run, bound
from nprl.shields.words import explain, goal_in_words, plain, theorem

if TYPE_CHECKING:  # it brings the synthesis, which takes a second to import
    from nprl.shields.certify_policy import PolicyReport


IMPOSSIBLE = "IMPOSSIBLE: verified"
"""What is said of a proved claim that no controller keeps the model safe."""


class Outcome(enum.Enum):
    """What became of one certificate, with its program if one was given."""

    PROVED = "proved"
    REFUTED = "refuted"
    BAD_INPUT = "bad input"
    NOT_PROVED = "not proved"
    DISAGREED = "the solvers disagree"

    def __bool__(self) -> bool:
        """Refuse to be a condition."""
        raise TypeError("an Outcome has five values and no truth value; compare it with `is`")


def exit_code(outcomes: Iterable[Outcome]) -> int:
    """2 for bad input, else 1 for one refuted (or solvers disagree), else 3 for one not proved, else 0.

    Of nothing, 2.
    """
    seen = set(outcomes)
    if Outcome.BAD_INPUT in seen or not seen:
        return 2
    if seen & {Outcome.REFUTED, Outcome.DISAGREED}:
        return 1
    return 3 if Outcome.NOT_PROVED in seen else 0


@dataclass
class Checked:
    """What is known of one file so far, for the report and the JSON."""

    file: str
    outcome: Outcome = Outcome.NOT_PROVED
    error: str = ""
    certificate: Certificate | Impossible | None = None
    report: Report | None = None
    counterexamples: tuple[Counterexample, ...] = ()
    runs: tuple[Run, ...] = ()
    exact: dict[str, str] | None = None
    crossed: Crossed | None = None
    policy: PolicyReport | None = None
    files: list[str] = field(default_factory=list)
    seconds: float = 0.0
    name: str = ""
    """Begins the names of the files that are written."""
    unwritten: bool = False
    """Whether one of them could not be written."""

    @property
    def verdict(self) -> Verdict:
        """VERIFIED by every checker that was asked; FALSIFIED with a confirmed counterexample."""
        if self.counterexamples:
            return Verdict.FALSIFIED
        if self.report is None or (self.exact is not None and any(self.exact.values())):
            return Verdict.UNKNOWN
        if self.crossed is not None and self.crossed.differ:
            return Verdict.UNKNOWN
        return self.report.verdict


def print_report(found: Checked, args: argparse.Namespace) -> None:
    """The report of one certificate."""
    if found.report is None or found.certificate is None:
        print(f"{plain(found.file)}: {_coloured(found.outcome.value.upper())}")
        return
    claim, model = found.certificate, found.certificate.model
    word = _coloured(found.verdict.value.upper())
    if isinstance(claim, Impossible) and found.verdict is Verdict.VERIFIED:
        word = _coloured(IMPOSSIBLE)
    print(f"{plain(found.file)}: {word} ({plain(model.name)}, {found.seconds:.1f} s)")
    if args.quiet:
        if found.crossed is not None:
            print(f"{plain(found.file)}: {cross.in_words(found.crossed)}")
        if found.policy is not None:
            print(f"{plain(args.policy)}: {_coloured(found.policy.outcome.value.upper())}")
        return
    print()
    _print_goals(found.report.results)
    print(f"  {found.report.solver}; leaves: {', '.join(found.report.engines)}")
    if found.exact is not None:
        print(f"  {agreement(found.report, found.exact)}")
    if found.crossed is not None:
        print(f"  {cross.in_words(found.crossed)}")
    print()
    if found.verdict is Verdict.VERIFIED:
        print(theorem_of(claim))
    else:
        _print_open(found)
    if isinstance(claim, Impossible) and found.runs:
        print()
        print(losing_words.replayed(claim, found.runs))
    if args.explain:
        print()
        if isinstance(claim, Impossible):
            print(losing_words.explain(claim, found.report.solver, _alone(found)))
        else:
            print(explain(claim, found.report.solver, _alone(found)))
    if found.policy is not None:
        print()
        _print_policy(found, args)
    print()


def _print_goals(results: Sequence[GoalResult]) -> None:
    width = max(len(r.goal) for r in results)
    for r in results:
        state = "proved" if r.proved else "OPEN  "
        engines = ", ".join(r.engines) or "-"
        print(f"  {r.goal:<{width}}  {state}  {r.leaves:>5} leaves  {r.seconds:>6.2f} s  {engines}")


def agreement(report: Report, exact: dict[str, str]) -> str:
    """Whether the two checkers agree, goal by goal."""
    ours = {r.goal: r.proved for r in report.results}
    theirs = {goal: not reason for goal, reason in exact.items()}
    if ours == theirs:
        proved = sum(ours.values())
        return f"the exact checker agrees: {proved} of {len(ours)} goals proved by both"
    differ = sorted(g for g in ours.keys() | theirs.keys() if ours.get(g) != theirs.get(g))
    reason = exact.get(differ[0]) or "proved there"
    return f"THE EXACT CHECKER DIFFERS on {', '.join(differ)} ({reason}): not verified"


def _print_open(found: Checked) -> None:
    assert found.report is not None
    by_goal = {c.goal: c for c in found.counterexamples}
    reasons = {r.goal: r.reason for r in found.report.results if not r.proved}
    for goal, reason in (found.exact or {}).items():
        if reason:
            reasons.setdefault(goal, f"exact checker: {reason}")
    impossible = isinstance(found.certificate, Impossible)
    in_words = losing_words.goal_in_words if impossible else goal_in_words
    for goal, reason in reasons.items():
        print(f"Not proved: {goal}: {in_words(goal)}.")
        print(f"  why: {plain(reason, 600)}")
        if goal in by_goal:
            print(f"  REFUTED, confirmed exactly: {by_goal[goal].text}")
    for c in found.counterexamples:
        if c.goal not in reasons:
            print(f"REFUTED, confirmed exactly: {c.text}")
    if not found.counterexamples:
        print("No counterexample was found: this is unknown, which is neither safe nor unsafe.")


def _alone(found: Checked) -> str:
    """Which leaves rest on Z3 alone in this run."""
    leaves = sum(r.leaves for r in found.report.results) if found.report else 0
    if found.exact is not None and not any(found.exact.values()):
        return f"none of {leaves}, the exact checker decides them without a solver"
    if found.crossed is not None and found.crossed.agree == found.crossed.asked:
        return f"none of {leaves}, {found.crossed.solver} agrees on every query"
    return f"all {leaves} in this run; --exact decides them without a solver"


def _print_policy(found: Checked, args: argparse.Namespace) -> None:
    report = found.policy
    assert report is not None
    word = _coloured(report.outcome.value.upper())
    print(f"{plain(args.policy)} alone: {word} ({report.seconds:.1f} s)")
    print(f"  {report.sense}")
    if report.results:
        _print_goals(report.results)
    if report.own is not None:
        notes = report.own.info.get("method", "")
        goals = len(report.own_report.results) if report.own_report else 0
        print(f"  its own invariant: {notes}; {goals} goals proved by the same kernel")
        if not args.out:
            print("  --out FILE keeps that certificate")
    elif args.out:
        print(f"  {plain(args.out)} is not written: no invariant of the program's own was proved")
    if report.share is not None:
        low, high = report.share.interval
        print(
            f"  the shield acts in {report.share.acted} of {report.share.samples} states drawn "
            f"uniformly from I: {100 * low:.2f} to {100 * high:.2f} % (95 %)"
        )


def print_end(done: Sequence[Checked], given: Sequence[str]) -> None:
    """Where files went, and how to repeat the run."""
    files = [f for c in done for f in c.files]
    for line in files:
        print(f"wrote {plain(line)}")
    folder = next((c for c in done if any("queries" in f for f in c.files)), None)
    if folder is not None:
        where = plain(shlex.quote(folder.files[0].split(": ")[0]))
        print(f'check with cvc5: for f in {where}/*.smt2; do cvc5 "$f"; done | sort | uniq -c')
    print(f"repeat: {plain(shlex.join(['shield-check', *given]))}")


def _coloured(word: str) -> str:
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return word
    good = word in (Verdict.VERIFIED.value.upper(), "CERTIFIED", IMPOSSIBLE)
    bad = word in (Verdict.FALSIFIED.value.upper(), "NEEDS THE SHIELD", "BAD INPUT")
    return f"\033[{32 if good else 31 if bad else 33}m{word}\033[0m"


def to_json(found: Checked) -> dict[str, Any]:
    """The report as JSON data."""
    data: dict[str, Any] = {
        "file": found.file,
        "outcome": found.outcome.value,
        "error": found.error or None,
        "seconds": round(found.seconds, 3),
        "files": found.files,
    }
    if found.report is None or found.certificate is None:
        return {**data, "verdict": None}
    claim = found.certificate
    impossible = isinstance(claim, Impossible)
    return {
        **data,
        "verdict": found.verdict.value,
        "model": found.certificate.model.name,
        "model_digest": found.certificate.model.digest(),
        "claim": "impossible" if impossible else "shield",
        "family": None if isinstance(claim, Impossible) else claim.shield.family,
        "solver": found.report.solver,
        "engines": list(found.report.engines),
        "goals": [_goal_to_json(r) for r in found.report.results],
        "counterexamples": [
            {"goal": c.goal, "kind": c.kind, "text": c.text} for c in found.counterexamples
        ],
        "exact": found.exact,
        "cross": None if found.crossed is None else _crossed_to_json(found.crossed),
        "theorem": theorem_of(claim) if found.verdict is Verdict.VERIFIED else None,
        "steps": bound(claim) if isinstance(claim, Impossible) else None,
        "replay": [
            {"inputs": r.inputs, "steps": r.steps, "left": r.left, "end": exact_texts(r)}
            for r in found.runs
        ],
        "policy": None if found.policy is None else _policy_to_json(found.policy),
    }


def theorem_of(claim: Certificate | Impossible) -> str:
    """What the claim proves, in words."""
    return losing_words.theorem(claim) if isinstance(claim, Impossible) else theorem(claim)


def exact_texts(run: Run) -> dict[str, str]:
    """The state in which a run ends."""
    return {n: exact_text(v) for n, v in run.moments[-1].state.items()}


def _goal_to_json(r: GoalResult) -> dict[str, Any]:
    return {
        "goal": r.goal,
        "proved": r.proved,
        "reason": r.reason,
        "engines": list(r.engines),
        "leaves": r.leaves,
        "seconds": round(r.seconds, 4),
    }


def _crossed_to_json(found: Crossed) -> dict[str, Any]:
    return {
        "solver": found.solver,
        "limit_s": found.limit,
        "asked": found.asked,
        "agree": found.agree,
        "not_answered": found.silent,
        "disagree": [{"goal": goal, "leaf": leaf} for goal, leaf in found.differ],
        "seconds": round(found.seconds, 3),
    }


def _policy_to_json(report: PolicyReport) -> dict[str, Any]:
    share, counterexample = report.share, report.counterexample
    return {
        "outcome": report.outcome.value,
        "sense": report.sense,
        "goals": [_goal_to_json(r) for r in report.results],
        "own_invariant": None if report.own is None else report.own.info.get("method"),
        "counterexample": None if counterexample is None else counterexample.text,
        "share_overridden": None
        if share is None
        else {"acted": share.acted, "samples": share.samples, "ci95": list(share.interval)},
        "seconds": round(report.seconds, 3),
    }
