"""``shield-check``: prove certificates from their files, refute what is false, certify programs.

Results go to stdout, progress and errors to stderr. The exit code, derived by `exit_code` alone: 0
all is proved; 1 something is refuted, or a program needs its shield; 2 bad input; 3 none of these,
but something is not proved.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from nprl.files import write_atomic
from nprl.shields.certificate import load_certificate
from nprl.shields.checker import Verdict, check
from nprl.shields.cli_report import (
    FORMAT,
    Checked,
    Outcome,
    exit_code,
    print_end,
    print_report,
    to_json,
)
from nprl.shields.counterexample import Counterexample

INTERRUPTED = 130
FAILURES = (ValueError, TypeError, ArithmeticError, LookupError, RecursionError, MemoryError)
"""What a hostile but well-formed file may provoke: it is then not proved, no more."""


class UsageError(ValueError):
    """A command line that cannot be run; one line."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; `shield-check --help` lists what is accepted")


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
                print_report(done[-1], args)
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
        data = {"format": FORMAT, "exit": code, "certificates": [to_json(c) for c in done]}
        print(json.dumps(data, indent=1))
    else:
        print_end(done, given)
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
    except ValueError as error:
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


if __name__ == "__main__":
    sys.exit(main())
