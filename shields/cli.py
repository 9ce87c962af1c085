"""``shield-check``: prove certificates from their files, refute what is false, certify programs.

Results go to stdout, progress and errors to stderr. The exit code, derived by `exit_code` alone: 0
all is proved; 1 something is refuted, or a program needs its shield; 2 bad input; 3 none of these,
but something is not proved.
"""

from __future__ import annotations

import argparse
import enum
import json
import math
import os
import shlex
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from nprl.files import write_atomic
from nprl.shields.certificate import Certificate, CertificateError, load_certificate
from nprl.shields.checker import GoalResult, Report, Verdict, check
from nprl.shields.counterexample import Counterexample
from nprl.shields.words import explain, goal_in_words, theorem

FORMAT = "nprl-shield-check/1"
INTERRUPTED = 130
FAILURES = (ValueError, TypeError, ArithmeticError, LookupError, RecursionError, MemoryError)
"""What a hostile but well-formed file may provoke: it is then not proved, no more."""


class Outcome(enum.Enum):
    """What became of one certificate, with its program if one was given."""

    PROVED = "proved"
    REFUTED = "refuted"
    BAD_INPUT = "bad input"
    NOT_PROVED = "not proved"

    def __bool__(self) -> bool:
        """Refuse to be a condition."""
        raise TypeError("an Outcome has four values and no truth value; compare it with `is`")


def exit_code(outcomes: Iterable[Outcome]) -> int:
    """2 for bad input, else 1 for one refuted, else 3 for one not proved, else 0; of nothing, 2."""
    seen = set(outcomes)
    if Outcome.BAD_INPUT in seen or not seen:
        return 2
    if Outcome.REFUTED in seen:
        return 1
    return 3 if Outcome.NOT_PROVED in seen else 0


class UsageError(ValueError):
    """A command line that cannot be run; one line."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; `shield-check --help` lists what is accepted")


@dataclass
class Checked:
    """What is known of one file so far, for the report and the JSON."""

    file: str
    outcome: Outcome = Outcome.NOT_PROVED
    error: str = ""
    certificate: Certificate | None = None
    report: Report | None = None
    counterexamples: tuple[Counterexample, ...] = ()
    exact: dict[str, str] | None = None
    policy: Any = None
    files: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def verdict(self) -> Verdict:
        """VERIFIED by every checker that was asked; FALSIFIED with a confirmed counterexample."""
        if self.counterexamples:
            return Verdict.FALSIFIED
        if self.report is None or (self.exact is not None and any(self.exact.values())):
            return Verdict.UNKNOWN
        return self.report.verdict


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``shield-check`` with ``argv`` (the command line's, if None); the exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in given
    done: list[Checked] = []
    try:
        try:
            args = _parser().parse_args(given)
        except SystemExit as stop:  # --help
            return int(stop.code or 0)
        if args.policy is not None and len(args.certificate) != 1:
            raise UsageError("--policy takes one certificate")
        if args.timeout is not None and not (math.isfinite(args.timeout) and args.timeout > 0):
            raise UsageError(f"--timeout is a positive number of seconds; got {args.timeout}")
        for file in args.certificate:
            done.append(Checked(file))
            _check_file(done[-1], args)
            if not args.json:
                _print(done[-1], args)
    except KeyboardInterrupt:
        print("shield-check: interrupted; what is above stands", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except (UsageError, OSError) as error:
        if debug:
            traceback.print_exc()
        print(f"shield-check: {error}", file=sys.stderr)
        return 2
    code = exit_code(c.outcome for c in done)
    if args.json:
        data = {"format": FORMAT, "exit": code, "certificates": [_to_json(c) for c in done]}
        print(json.dumps(data, indent=1))
    else:
        _print_end(done, given)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="shield-check",
        description="Prove certificates of shields, from the files alone.",
        epilog="Exit: 0 all proved, 1 one refuted (or the program needs its shield), 2 bad input, "
        "3 none refuted but one not proved.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("certificate", nargs="+", metavar="CERTIFICATE", help="a certificate's JSON file")
    add(
        "--policy",
        metavar="PROGRAM",
        help="is this program (.json or .txt) safe without the shield?",
    )
    add("--out", metavar="FILE", help="write the certificate of the program's own invariant here")
    add("--json", action="store_true", help="one JSON document on stdout instead of text")
    add("--explain", action="store_true", help="the shield, the goals in words, what is trusted")
    add("--timeout", type=float, metavar="S", help="seconds for each certificate and each program")
    add("--smtlib", metavar="DIR", help="write each solver query as SMT-LIB 2, for another solver")
    add("--csv", metavar="FILE", help="where a counterexample goes")
    add("--exact", action="store_true", help="ask the stand-alone exact checker, too")
    add("--quiet", action="store_true", help="one line for each certificate")
    add("--debug", action="store_true", help="tracebacks")
    return parser


def _check_file(found: Checked, args: argparse.Namespace) -> None:
    """Fill in what becomes of one file."""
    start = time.monotonic()
    try:
        found.certificate = load_certificate(found.file)
        program = None
        if args.policy is not None:
            from nprl.program import load_program
            from nprl.shields.program_loop import check_fits

            program = load_program(args.policy)
            check_fits(program, found.certificate.model)
    except (ValueError, CertificateError) as error:
        if args.debug:
            traceback.print_exc()
        found.outcome, found.error = Outcome.BAD_INPUT, " ".join(str(error).split())
        print(f"shield-check: {found.error}", file=sys.stderr)
        return
    with _Progress(Path(found.file).name, args) as tell:
        try:
            _prove(found, args, tell)
            found.outcome = _OUTCOMES[found.verdict]
            if program is not None and found.verdict is Verdict.VERIFIED:
                found.outcome = Outcome.NOT_PROVED  # until the program is
                _policy(found, program, args, tell)
        except FAILURES as error:
            if args.debug:
                traceback.print_exc()
            found.error = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            print(f"shield-check: {found.file}: not proved: {found.error}", file=sys.stderr)
    found.seconds = time.monotonic() - start


_OUTCOMES = {
    Verdict.VERIFIED: Outcome.PROVED,
    Verdict.FALSIFIED: Outcome.REFUTED,
    Verdict.UNKNOWN: Outcome.NOT_PROVED,
}


def _prove(found: Checked, args: argparse.Namespace, tell: Callable[[str], None]) -> None:
    """The checker with Z3, then the exact one if it is asked, then the search for what refutes."""
    certificate = found.certificate
    assert certificate is not None
    export = _Exporter(Path(args.smtlib), Path(found.file).stem) if args.smtlib else None
    found.report = check(certificate, args.timeout, tell, export)
    if export is not None:
        found.files.append(f"{args.smtlib}: {export.count} queries, each must be unsat")
    if args.exact:
        from nprl.shields import exact

        tell("exact checker")
        try:
            found.exact = exact.check(Path(found.file).read_bytes())
        except ValueError as error:
            found.exact = {"file": f"refused: {error}"}
    open_goals = [r.goal for r in found.report.results if not r.proved]
    open_goals += [g for g, reason in (found.exact or {}).items() if reason and g not in open_goals]
    if open_goals:
        from nprl.shields.refute import refute

        found.counterexamples = refute(
            certificate, open_goals, lambda goal: tell(f"refuting {goal}")
        )
        _save_csv(found, args, found.counterexamples)


def _save_csv(
    found: Checked, args: argparse.Namespace, counterexamples: Sequence[Counterexample]
) -> None:
    """Write the most telling counterexample: a trace, if there is one."""
    if not counterexamples or found.certificate is None:
        return
    best = next((c for c in counterexamples if c.kind == "trace"), counterexamples[0])
    path = args.csv or f"{Path(found.file).stem}-counterexample.csv"
    best.save(path, found.certificate.model)
    found.files.append(f"{path}: counterexample to {best.goal}")


def _policy(
    found: Checked, program: Any, args: argparse.Namespace, tell: Callable[[str], None]
) -> None:
    from nprl.shields.certify_policy import PolicyOutcome, check_policy

    assert found.certificate is not None
    report = check_policy(found.certificate, program, args.timeout or 60.0, tell)
    found.policy = report
    found.outcome = {
        PolicyOutcome.CERTIFIED: Outcome.PROVED,
        PolicyOutcome.NEEDS_SHIELD: Outcome.REFUTED,
        PolicyOutcome.UNKNOWN: Outcome.NOT_PROVED,
    }[report.outcome]
    if report.own is not None and args.out:
        report.own.save(args.out)
        found.files.append(f"{args.out}: certificate of the program's own invariant")
    if report.counterexample is not None:
        _save_csv(found, args, [report.counterexample])


class _Exporter:
    """Writes each query to a file of its own."""

    def __init__(self, folder: Path, stem: str) -> None:
        self.folder, self.stem, self.count = folder, stem, 0

    def __call__(self, goal: str, leaf: int, text: str) -> None:
        self.count += 1
        name = f"{self.stem}-{goal.replace('/', '-')}-{leaf:05d}-{self.count:06d}.smt2"
        write_atomic(self.folder / name, text)


class _Progress:
    """A bar on stderr, if that is a terminal; else silence."""

    def __init__(self, name: str, args: argparse.Namespace) -> None:
        self.name = name
        self.shown = sys.stderr.isatty() and not args.quiet
        self.bar: Any = None

    def __enter__(self) -> Callable[[str], None]:
        if self.shown:
            from tqdm import tqdm

            form = "{desc}: {n_fmt} done, {elapsed} {postfix}"
            self.bar = tqdm(desc=self.name, file=sys.stderr, leave=False, bar_format=form)
        return self.tell

    def tell(self, what: str) -> None:
        """Show what is being done."""
        if self.bar is not None:
            self.bar.set_postfix_str(what)
            self.bar.update(1)

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()


def _print(found: Checked, args: argparse.Namespace) -> None:
    """The report of one certificate."""
    if found.report is None or found.certificate is None:
        print(f"{found.file}: {_coloured(found.outcome.value.upper())}")
        return
    word = _coloured(found.verdict.value.upper())
    model = found.certificate.model
    print(f"{found.file}: {word} ({model.name}, {found.seconds:.1f} s)")
    if args.quiet:
        if found.policy is not None:
            print(f"{args.policy}: {_coloured(found.policy.outcome.value.upper())}")
        return
    print()
    _print_goals(found.report.results)
    print(f"  {found.report.solver}; leaves: {', '.join(found.report.engines)}")
    if found.exact is not None:
        print(f"  {agreement(found.report, found.exact)}")
    print()
    if found.verdict is Verdict.VERIFIED:
        print(theorem(found.certificate))
    else:
        _print_open(found)
    if args.explain:
        print()
        print(explain(found.certificate, found.report.solver))
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
    for goal, reason in reasons.items():
        print(f"Not proved: {goal}: {goal_in_words(goal)}.")
        print(f"  why: {reason}")
        if goal in by_goal:
            print(f"  REFUTED, confirmed exactly: {by_goal[goal].text}")
    for c in found.counterexamples:
        if c.goal not in reasons:
            print(f"REFUTED, confirmed exactly: {c.text}")
    if not found.counterexamples:
        print("No counterexample was found: this is unknown, which is neither safe nor unsafe.")


def _print_policy(found: Checked, args: argparse.Namespace) -> None:
    report = found.policy
    print(
        f"{args.policy} alone: {_coloured(report.outcome.value.upper())} ({report.seconds:.1f} s)"
    )
    print(f"  {report.sense}")
    if report.results:
        _print_goals(report.results)
    if report.own is not None:
        notes = report.own.info.get("method", "")
        goals = len(report.own_report.results) if report.own_report else 0
        print(f"  its own invariant: {notes}; {goals} goals proved by the same kernel")
        if not args.out:
            print("  --out FILE keeps that certificate")
    if report.share is not None:
        low, high = report.share.interval
        print(
            f"  the shield acts in {report.share.acted} of {report.share.samples} states drawn "
            f"uniformly from I: {100 * low:.2f} to {100 * high:.2f} % (95 %)"
        )


def _print_end(done: Sequence[Checked], given: Sequence[str]) -> None:
    """Where files went, and how to repeat the run."""
    files = [f for c in done for f in c.files]
    for line in files:
        print(f"wrote {line}")
    folder = next((c for c in done if any("queries" in f for f in c.files)), None)
    if folder is not None:
        where = shlex.quote(folder.files[0].split(": ")[0])
        print(f'check with cvc5: for f in {where}/*.smt2; do cvc5 "$f"; done | sort | uniq -c')
    print(f"repeat: shield-check {shlex.join(given)}")


def _coloured(word: str) -> str:
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return word
    good = word in (Verdict.VERIFIED.value.upper(), "CERTIFIED")
    bad = word in (Verdict.FALSIFIED.value.upper(), "NEEDS THE SHIELD", "BAD INPUT")
    return f"\033[{32 if good else 31 if bad else 33}m{word}\033[0m"


def _to_json(found: Checked) -> dict[str, Any]:
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
    return {
        **data,
        "verdict": found.verdict.value,
        "model": found.certificate.model.name,
        "model_digest": found.certificate.model.digest(),
        "family": found.certificate.shield.family,
        "solver": found.report.solver,
        "engines": list(found.report.engines),
        "goals": [_goal_to_json(r) for r in found.report.results],
        "counterexamples": [
            {"goal": c.goal, "kind": c.kind, "text": c.text} for c in found.counterexamples
        ],
        "exact": found.exact,
        "theorem": theorem(found.certificate) if found.verdict is Verdict.VERIFIED else None,
        "policy": None if found.policy is None else _policy_to_json(found.policy),
    }


def _goal_to_json(r: GoalResult) -> dict[str, Any]:
    return {
        "goal": r.goal,
        "proved": r.proved,
        "reason": r.reason,
        "engines": list(r.engines),
        "leaves": r.leaves,
        "seconds": round(r.seconds, 4),
    }


def _policy_to_json(report: Any) -> dict[str, Any]:
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


if __name__ == "__main__":
    sys.exit(main())
