"""What `shield-check` does with one file: read, prove, look for what refutes, certify a program.

A file that cannot be read is bad input. Whatever fails after that means "not proved", no more; and
an output file that cannot be written takes nothing from the report.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import z3

from nprl.files import write_atomic
from nprl.model import Model
from nprl.shields.certificate import Certificate, CertificateError
from nprl.shields.checker import Verdict, check
from nprl.shields.cli_report import Checked, Outcome
from nprl.shields.counterexample import Counterexample, Moment
from nprl.shields.cross import LIMIT, Crossing, Other
from nprl.shields.exact import MAX_BYTES
from nprl.shields.load import claim_from_bytes
from nprl.shields.losing import Impossible, losing_witness
from nprl.shields.losing_replay import replay
from nprl.shields.words import plain

FAILURES = (ValueError, TypeError, ArithmeticError, LookupError, RecursionError, MemoryError)
"""What a hostile but well-formed file may provoke: it is then not proved, no more."""
LONGEST = 600
"""Characters of an error that are shown."""
z3.set_param("ctrl_c", False)  # else Z3 takes Ctrl-C for itself, and the answer is "unknown"


def new(file: str, done: Sequence[Checked] = ()) -> Checked:
    """A file of which nothing is known yet; what it leaves is named unlike that of ``done``."""
    stem, names = Path(file).stem or "certificate", {c.name for c in done}
    numbered = (f"{stem}-{k}" for k in count(2))
    return Checked(
        file, name=stem if stem not in names else next(n for n in numbered if n not in names)
    )


def check_file(found: Checked, args: argparse.Namespace) -> None:
    """Fill in what becomes of one file."""
    start = time.monotonic()
    try:
        data = _read(found.file)
        found.certificate = claim_from_bytes(data, found.file)
        program = None
        if args.policy is not None:
            from nprl.program import load_program
            from nprl.shields.memory import with_memory

            if isinstance(found.certificate, Impossible):
                raise CertificateError(
                    f"{found.file}: proves that nothing keeps its model safe, a program neither; "
                    "--policy takes the certificate of a shield"
                )
            program = load_program(args.policy)
            with_memory(found.certificate.model, program)  # it refuses what does not fit
    except ValueError as error:
        if args.debug:
            traceback.print_exc()
        found.outcome, found.error = Outcome.BAD_INPUT, plain(str(error), LONGEST)
        print(f"shield-check: {found.error}", file=sys.stderr)
        return
    with _Progress(Path(found.file).name, args) as tell:
        try:
            _prove(found, data, args, tell)
            found.outcome = _OUTCOMES[found.verdict]
            if program is not None and found.verdict is Verdict.VERIFIED:
                found.outcome = Outcome.NOT_PROVED  # until the program is
                _policy(found, program, args, tell)
        except FAILURES as error:
            if args.debug:
                traceback.print_exc()
            found.error = plain(f"{type(error).__name__}: {error}", LONGEST)
            print(f"shield-check: {plain(found.file)}: not proved: {found.error}", file=sys.stderr)
    if found.crossed is not None and found.crossed.differ:
        found.outcome = Outcome.DISAGREED
    if found.unwritten:
        found.outcome = Outcome.BAD_INPUT
    found.seconds = time.monotonic() - start


_OUTCOMES = {
    Verdict.VERIFIED: Outcome.PROVED,
    Verdict.FALSIFIED: Outcome.REFUTED,
    Verdict.UNKNOWN: Outcome.NOT_PROVED,
}


def _read(file: str) -> bytes:
    """The bytes that both checkers are given: the file is read once."""
    try:
        with open(file, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise CertificateError(f"{file}: {error.strerror or error}") from None
    if len(data) > MAX_BYTES:
        raise CertificateError(f"{file}: a certificate has at most {MAX_BYTES} bytes; got more")
    return data


def _prove(
    found: Checked, data: bytes, args: argparse.Namespace, tell: Callable[[str], None]
) -> None:
    """The checker with Z3, then the exact one if it is asked, then the search for what refutes."""
    certificate = found.certificate
    assert certificate is not None
    _check(found, args, tell)
    assert found.report is not None
    if args.exact:
        from nprl.shields import exact

        tell("exact checker")
        try:
            found.exact = exact.check(data)
        except FAILURES as error:
            found.exact = {"file": plain(f"refused: {error}", LONGEST)}
    if isinstance(certificate, Impossible):
        _replay(found, certificate, args, tell)
        return
    open_goals = [r.goal for r in found.report.results if not r.proved]
    open_goals += [g for g, reason in (found.exact or {}).items() if reason and g not in open_goals]
    if open_goals:
        from nprl.shields.refute import refute

        found.counterexamples = refute(
            certificate, open_goals, lambda goal: tell(f"refuting {goal}")
        )
        _save_csv(found, args, found.counterexamples)


def _check(found: Checked, args: argparse.Namespace, tell: Callable[[str], None]) -> None:
    """The checker with Z3; its queries go to files, and to another solver, where that is asked."""
    certificate = found.certificate
    assert certificate is not None
    folder = _Exporter(Path(args.smtlib), found.name) if args.smtlib else None
    if args.cross is None:
        found.report = check(certificate, args.timeout, tell, folder)
    else:
        with Other(args.cross_limit or LIMIT) as other:
            crossing = Crossing(other)

            def export(goal: str, leaf: int, text: str) -> None:
                if folder is not None:
                    folder(goal, leaf, text)
                crossing(goal, leaf, text)

            report = check(certificate, args.timeout, tell, export)
        found.report = report
        found.crossed = crossing.result({r.goal: r.proved for r in report.results})
    if folder is not None:
        found.files.append(f"{args.smtlib}: {folder.count} queries, each must be unsat")


def _replay(
    found: Checked, claim: Impossible, args: argparse.Namespace, tell: Callable[[str], None]
) -> None:
    """Runs of an impossibility certificate: they leave S, or speak against it."""
    tell("replaying")
    found.runs = replay(claim)
    found.counterexamples = tuple(run.fault for run in found.runs if run.fault is not None)
    if not found.runs:
        reason = losing_witness(claim)["witness/init"]
        start = Moment(0, claim.witness["init"], {}, {})
        found.counterexamples = (Counterexample("witness/init", "witness", (start,), reason),)
    if found.counterexamples:
        _save_csv(found, args, found.counterexamples)
    elif args.csv is not None:
        run = found.runs[-1]
        text = f"inputs {run.inputs}"
        _save_csv(
            found, args, [Counterexample("the trace from the witness", "trace", run.moments, text)]
        )


def _save_csv(
    found: Checked,
    args: argparse.Namespace,
    counterexamples: Sequence[Counterexample],
    model: Model | None = None,
) -> None:
    """Write the most telling counterexample: a trace, if there is one.

    It is of the file's model, or of ``model``, which has a program's registers besides.
    """
    if not counterexamples or found.certificate is None:
        return
    best = next((c for c in counterexamples if c.kind == "trace"), counterexamples[0])
    path = args.csv or f"{found.name}-counterexample.csv"
    try:
        best.save(path, model or found.certificate.model)
    except OSError as error:
        _unwritten(found, path, error)
    else:
        what = best.goal if " " in best.goal else f"counterexample to {best.goal}"
        found.files.append(f"{path}: {what}")


def _unwritten(found: Checked, path: str, error: OSError) -> None:
    """Say that a file could not be written; the report stands, and the exit code is 2."""
    found.unwritten = True
    found.error = plain(
        f"{path}: cannot be written ({error.strerror or error}); name a file in a folder that can",
        LONGEST,
    )
    print(f"shield-check: {found.error}", file=sys.stderr)


def _policy(
    found: Checked, program: Any, args: argparse.Namespace, tell: Callable[[str], None]
) -> None:
    from nprl.shields.certify_policy import PolicyOutcome, check_policy
    from nprl.shields.memory import with_memory

    assert isinstance(found.certificate, Certificate)
    report = check_policy(found.certificate, program, args.timeout or 60.0, tell)
    found.policy = report
    found.outcome = {
        PolicyOutcome.CERTIFIED: Outcome.PROVED,
        PolicyOutcome.NEEDS_SHIELD: Outcome.REFUTED,
        PolicyOutcome.UNKNOWN: Outcome.NOT_PROVED,
    }[report.outcome]
    if report.own is not None and args.out:
        try:
            report.own.save(args.out)
        except OSError as error:
            _unwritten(found, args.out, error)
        else:
            found.files.append(f"{args.out}: certificate of the program's own invariant")
    if report.counterexample is not None:
        model = found.certificate.model
        if program.registers:
            model, _ = with_memory(model, program)
        _save_csv(found, args, [report.counterexample], model)


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
