"""``shield-check``: prove certificates from their files, refute what is false, certify programs.

Results go to stdout, progress and errors to stderr. The exit code is derived by
`nprl.shields.cli_report.exit_code`: 0 all is proved; 1 something is refuted, or a program needs its
shield; 2 bad input; 3 none of these, but something is not proved. It does not depend on whether
anyone reads the output. Nothing heavy is imported before the command line is understood, so that
Ctrl-C is answered from the beginning.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from nprl.shields.cli_report import Checked

FORMAT = "nprl-shield-check/1"
BAD_INPUT, NOT_PROVED, INTERRUPTED = 2, 3, 130


class UsageError(ValueError):
    """A command line that cannot be run; one line."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; `shield-check --help` lists what is accepted")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``shield-check`` with ``argv`` (the command line's, if None); the exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    _open_streams()
    with _interruptible() as stopped:
        return _main(given, stopped)


def _main(given: Sequence[str], stopped: threading.Event) -> int:
    done: list[Checked] = []
    error, code = "", NOT_PROVED
    try:
        try:
            args = _parse(given)
        except SystemExit as stop:  # --help
            return int(stop.code or 0)
        if args.barrier is not None:
            from nprl.shields.cli_barrier import run

            code, barrier = run(args, _write)
            return _end(given, [], code, "", barrier)
        from nprl.shields.cli_report import exit_code, print_report
        from nprl.shields.cli_run import check_file, new

        for file in args.certificate:
            done.append(new(file, done))
            check_file(done[-1], args)
            if not args.json:
                _write(lambda: print_report(done[-1], args))
        code = exit_code(c.outcome for c in done)
    except KeyboardInterrupt:
        stopped.set()
    except (UsageError, OSError) as problem:
        error, code = str(problem), BAD_INPUT
    except Exception as problem:  # an exit code of 1, Python's own, would say "refuted"
        error, code = f"not proved: {type(problem).__name__}: {problem}", NOT_PROVED
    if stopped.is_set():  # also where Python has made another exception of it, as in an import
        error, code = "interrupted; what is above stands", INTERRUPTED
    if error:
        if "--debug" in given:
            traceback.print_exc()
        error = _one_line(error)
        print(f"shield-check: {error}", file=sys.stderr)
    return _end(given, done, code, error)


def _end(
    given: Sequence[str], done: Sequence[Checked], code: int, error: str, barrier: Any = None
) -> int:
    """The last of the output; the exit code, which is 2 where stdout could not be written."""
    try:
        if "--json" in given:
            _write(lambda: _print_json(done, code, error, barrier))
        elif not error:
            from nprl.shields.cli_report import print_end

            _write(lambda: print_end(done, given))
    except OSError as problem:
        print(f"shield-check: the output cannot be written: {problem}", file=sys.stderr)
        return BAD_INPUT
    return code


def _print_json(done: Sequence[Checked], code: int, error: str, barrier: Any) -> None:
    certificates: list[Any] = []
    if done:
        from nprl.shields.cli_report import to_json

        certificates = [to_json(c) for c in done]
    data: dict[str, Any] = {
        "format": FORMAT,
        "exit": code,
        "error": error or None,
        "certificates": certificates,
    }
    if barrier is not None:
        data["barrier"] = barrier
    print(json.dumps(data, indent=1))


def _parse(given: Sequence[str]) -> argparse.Namespace:
    args = _parser().parse_args(given)
    if args.barrier is not None or args.model is not None:
        _barrier_alone(args)
    elif not args.certificate:
        raise UsageError(
            "the following arguments are required: CERTIFICATE (or --model, --barrier)"
        )
    elif args.policy is not None and len(args.certificate) != 1:
        raise UsageError("--policy takes one certificate")
    elif args.csv is not None and len(args.certificate) != 1:
        raise UsageError("--csv takes one certificate; without it each gets a file of its own")
    elif args.out is not None and args.policy is None:
        raise UsageError("--out keeps the proof of a program: give --policy PROGRAM, too")
    for name in ("timeout", "cross_limit"):
        seconds = getattr(args, name)
        if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} is a positive number of seconds; got {seconds}")
    if args.cross is not None:
        from nprl.shields.cross import NoSolver, require

        try:
            require()
        except NoSolver as error:
            raise UsageError(str(error)) from None
    if args.smtlib is not None:
        try:
            Path(args.smtlib).mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise UsageError(
                f"--smtlib {args.smtlib}: {why}; give a folder that can be written"
            ) from None
    return args


def _barrier_alone(args: argparse.Namespace) -> None:
    """Refuse options that mean nothing beside a barrier."""
    if args.barrier is None or args.model is None:
        raise UsageError("--model MODEL and --barrier FILE go together")
    if args.certificate:
        raise UsageError("--barrier takes no certificate; what it proves goes to --out FILE")
    for name in ("smtlib", "cross", "explain", "exact"):
        if getattr(args, name):
            raise UsageError(
                f"--{name} looks at a certificate; --barrier writes one with --out FILE"
            )


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="shield-check",
        description="Prove certificates of shields, from the files alone.",
        epilog="Exit: 0 all proved, 1 one refuted (or the program needs its shield), 2 bad input, "
        "3 none refuted but one not proved.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("certificate", nargs="*", metavar="CERTIFICATE", help="a certificate's JSON file")
    add(
        "--policy",
        metavar="PROGRAM",
        help="is this program (.json or .txt) safe without the shield?",
    )
    add("--model", metavar="MODEL", help="with --barrier: an id, or a model's .json or .py file")
    add("--barrier", metavar="FILE", help="a set that --policy PROGRAM shall keep: prove or refute")
    add("--out", metavar="FILE", help="write the certificate that was proved here")
    add("--json", action="store_true", help="one JSON document on stdout instead of text")
    add("--explain", action="store_true", help="the shield, the goals in words, what is trusted")
    add("--timeout", type=float, metavar="S", help="seconds for each certificate and each program")
    add("--smtlib", metavar="DIR", help="write each solver query as SMT-LIB 2, for another solver")
    add("--csv", metavar="FILE", help="where a counterexample goes")
    add("--exact", action="store_true", help="ask the stand-alone exact checker, too")
    add("--cross", choices=["cvc5"], help="put each solver query to this solver, too")
    add("--cross-limit", type=float, metavar="S", help="its seconds for one query (10)")
    add("--quiet", action="store_true", help="one line for each certificate")
    add("--debug", action="store_true", help="tracebacks")
    return parser


def _one_line(text: str) -> str:
    """The text on one line, of a length that can be read, without what a terminal would act on."""
    from nprl.shields.words import plain

    return plain(text, 600)


def _open_streams() -> None:
    """Streams that take every text: also where they were closed, or know ASCII only."""
    for name in ("stdout", "stderr"):
        stream: Any = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _write(printing: Callable[[], None]) -> None:
    """Print, and see that it arrives; where nobody reads any more, go on without output.

    Raises:
        OSError: where the output cannot be written, as on a full disk.
    """
    try:
        printing()
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Ctrl-C raises KeyboardInterrupt once, and what it breaks off inside Z3 is not reported.

    The event tells that it came.
    """
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    hook = sys.unraisablehook

    def interrupted(*_: object) -> None:
        stopped.set()
        sys.unraisablehook = lambda _: None
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the end is near, and is not to be broken
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)
        sys.unraisablehook = hook


if __name__ == "__main__":
    sys.exit(main())
