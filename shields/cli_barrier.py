"""`shield-check --model M --barrier FILE --policy PROGRAM`: what others made, proved or refuted.

The barrier's file is text in the language of terms, or JSON; the program a file, or terms. Nothing
of either is executed; a model's Python file is (JSON is not).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nprl.files import write_atomic
from nprl.lang.serial import loads
from nprl.lang.terms import And, Formula, Term, Truth
from nprl.lang.text import parse, parse_formula
from nprl.shields.polynomial import NotPolynomial, polynomial
from nprl.shields.sequent import ProofError, disjunctive
from nprl.shields.words import plain, theorem

if TYPE_CHECKING:  # it brings the synthesis, which takes a second to import
    from nprl.model import Model
    from nprl.program import Program
    from nprl.shields.counterexample import Counterexample
    from nprl.shields.obligations import BarrierReport

LARGEST = 1 << 22
ACCEPTED = (
    "a line is a polynomial inequality such as `x**2 + y**2 <= 1`, lines hold together, a line `or` "
    "begins another part; or JSON: a list of such texts, or a list of such lists"
)


def read_barrier(path: str | Path, model: Model) -> tuple[tuple[Term, ...], ...]:
    """The parts of a barrier, each a tuple of polynomials meant ``>= 0``; strict ones are closed.

    Raises:
        ValueError: one line, for a file that is not there, is no barrier, or names other things
            than the state.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None
    if len(data) > LARGEST:
        raise ValueError(f"{path}: a barrier's file has at most {LARGEST} bytes; got more")
    try:
        parts = _from_json(data) if Path(path).suffix == ".json" else _from_text(data.decode())
        found = [literals for part in parts for literals in disjunctive(part)]
        result = tuple(tuple(q for q, _ in literals) for literals in found)
        if not result or not all(result):
            raise ValueError("no inequality stands in it")
        for g in (g for part in result for g in part):
            others = {n for m in polynomial(g) for n, _ in m} - set(model.state_names)
            if others:
                raise ValueError(
                    f"{min(others)!r} is unknown; the state is {', '.join(model.state_names)}"
                )
    except NotPolynomial as error:
        raise ValueError(f"{path}: no polynomial: {error}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 at byte {error.start}") from None
    except (ValueError, ProofError) as error:
        raise ValueError(f"{path}: {error}; {ACCEPTED}") from None
    return result


def _from_text(text: str) -> list[Formula]:
    groups: list[list[Formula]] = [[]]
    for line in (raw.split("#")[0].strip() for raw in text.splitlines()):
        if line.lower() == "or":
            groups.append([])
        elif line:
            groups[-1].append(_formula(line))
    return [_all(g) for g in groups]


def _from_json(data: bytes) -> list[Formula]:
    given = loads(data)
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, list) or not given:
        raise ValueError(f"a list belongs here; got {type(given).__name__}")
    groups = given if all(isinstance(g, list) for g in given) else [given]
    if not all(isinstance(line, str) for g in groups for line in g):
        raise ValueError("an inequality is a text")
    return [_all([_formula(line) for line in g]) for g in groups]


def _formula(line: str) -> Formula:
    return parse_formula(line.replace("^", "**").replace("/", " / "))


def _all(parts: list[Formula]) -> Formula:
    if not parts:
        return Truth(True)
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def read_program(given: str | None, model: Model) -> Program:
    """The program in a file (.json, .txt), or given as terms: ``u = -2*x``, several with ``;``.

    Raises:
        ValueError: one line, for anything else.
    """
    from nprl.program import load_program, program_for
    from nprl.shields.program_loop import check_fits

    if given is None:
        if model.action:
            raise ValueError(
                f"--barrier: {model.name} has inputs; give the program that keeps the set: "
                f"--policy FILE, or --policy '{model.action[0].name} = ...'"
            )
        return program_for(model, [])
    if Path(given).suffix in (".json", ".txt") or Path(given).is_file():
        program = load_program(given)
        check_fits(program, model)
        return program
    terms: dict[str, Term] = {}
    names = [c.name for c in model.action]
    for k, text in enumerate(t for t in given.split(";") if t.strip()):
        name, equals, value = text.partition("=")
        if not equals:
            name, value = names[k] if k < len(names) else "", text
        terms[name.strip()] = parse(value.strip().replace("^", "**").replace("/", " / "))
    if sorted(terms) != sorted(names):
        raise ValueError(f"--policy: one term for each of {', '.join(names)}; got {sorted(terms)}")
    return program_for(model, [terms[n] for n in names], "given")


class BadBarrier(OSError):
    """What was given cannot be read, or does not fit together; one line."""


class BarrierRun:
    """One run of `shield-check --barrier`: what was found, and the files that it left."""

    def __init__(self, args: argparse.Namespace) -> None:
        """Read everything.

        Raises:
            ValueError: one line, for what cannot be read.
        """
        from nprl.env.task import load_task

        file = str(args.model)
        is_file = file.endswith((".py", ".json"))
        task = load_task(None, file) if is_file else load_task(file)
        if task.model is None:
            raise ValueError(f"{task.name} has no model (no_model): nothing can be proved of it")
        from nprl.shields.memory import with_memory

        self.args = args
        self.program = read_program(args.policy, task.model)
        self.model = task.model
        if self.program.registers:  # which are state, of which the barrier may speak
            self.model, self.program = with_memory(task.model, self.program)
        self.parts = read_barrier(args.barrier, self.model)
        self.files: list[str] = []
        self.found: BarrierReport | None = None
        self.exact: dict[str, str] | None = None

    def work(self, tell: Callable[[str], None] | None = None) -> int:
        """Prove or refute; the exit code."""
        from nprl.shields.barrier import check_barrier
        from nprl.shields.obligations import Finding

        found = check_barrier(self.model, self.parts, self.program, self.args.timeout or 60.0, tell)
        self.found = found
        run = self.shown()
        if run is not None:
            self._save(run)
        if found.certificate is None:
            return 1 if found.finding is Finding.REFUTED else 3
        from nprl.shields import exact

        data = self._certificate()
        self.exact = exact.check(data)
        if any(self.exact.values()):
            return 3
        if self.args.out:
            write_atomic(self.args.out, data)
            self.files.append(f"{self.args.out}: a certificate, proved by both checkers")
        return 0

    def _certificate(self) -> bytes:
        assert self.found is not None
        assert self.found.certificate is not None
        text = json.dumps(self.found.certificate.to_json(), separators=(",", ":"))
        return (text + "\n").encode()

    def shown(self) -> Counterexample | None:
        """The most telling counterexample: a run, if there is one."""
        assert self.found is not None
        return min(self.found.counterexamples, key=lambda c: c.kind != "trace", default=None)

    def _save(self, run: Counterexample) -> None:
        from nprl.report.picture import png
        from nprl.report.trace import draw_trace

        path = Path(self.args.csv or f"{Path(self.args.barrier).stem}-counterexample.csv")
        run.save(path, self.model)
        self.files.append(f"{path}: the counterexample")
        if len(run.rows) > 1:
            picture = path.with_suffix(".png")
            write_atomic(picture, png(draw_trace(self.model, run.rows, self.parts)))
            self.files.append(f"{picture}: its picture")

    def report(self) -> None:
        """Print what was found."""
        from nprl.shields.barrier import in_words
        from nprl.shields.obligations import Finding

        found = self.found
        assert found is not None
        word = {
            Finding.PROVED: "VERIFIED",
            Finding.REFUTED: "REFUTED",
            Finding.OPEN: "UNKNOWN",
        }[found.finding]
        what = (
            f"{plain(self.args.barrier)}: {word} ({plain(self.model.name)}, {found.seconds:.1f} s)"
        )
        print(what)
        if self.args.quiet:
            return
        print()
        print(in_words(found))
        run = self.shown()
        if run is not None:
            print()
            print(table(self.model, run))
        if found.certificate is not None:
            disagree = [g for g, reason in (self.exact or {}).items() if reason]
            says = f"DIFFERS on {', '.join(disagree)}" if disagree else "agrees"
            print(f"  the exact checker {says}")
            print()
            print(theorem(found.certificate))
            print(
                "The program alone keeps I, too: it is the backup, which is proved to lead back into I."
            )
        for line in self.files:
            print(f"wrote {plain(line)}")

    def to_json(self) -> dict[str, Any]:
        """The report as JSON data."""
        found = self.found
        assert found is not None
        run = self.shown()
        return {
            "file": str(self.args.barrier),
            "model": self.model.name,
            "model_digest": self.model.digest(),
            "finding": found.finding.value,
            "obligations": [
                {
                    "obligation": o.kind,
                    "text": o.text,
                    "finding": o.finding.value,
                    "reason": o.reason,
                    "leaves": o.leaves,
                    "seconds": round(o.seconds, 3),
                }
                for o in found.obligations
            ],
            "notes": found.notes,
            "counterexample": None if run is None else run.text,
            "exact": self.exact,
            "seconds": round(found.seconds, 3),
            "files": self.files,
        }


def table(model: Model, run: Counterexample, most: int = 12) -> str:
    """A counterexample as a table: its first and last rows."""
    names = [*model.state_names, *model.action_names, *model.disturbance_names]
    rows = list(run.rows)
    cut = len(rows) - most if len(rows) > most else 0
    shown = rows if not cut else [*rows[: most // 2], None, *rows[-(most // 2) :]]
    lines = ["  " + "step".rjust(6) + "".join(n[:14].rjust(15) for n in names)]
    for row in shown:
        if row is None:
            lines.append(f"  ... {cut} rows left out; all are in the CSV")
            continue
        at = {**row.state, **row.action, **row.disturbance}
        cells = (f"{float(at[n]):.7g}" if n in at else "" for n in names)
        lines.append("  " + str(row.time).rjust(6) + "".join(c.rjust(15) for c in cells))
    return "\n".join(lines)


def run(args: argparse.Namespace, write: Callable[[Callable[[], None]], None]) -> tuple[int, Any]:
    """The whole of it; the exit code and the JSON data.

    Raises:
        BadBarrier: one line, for what cannot be read.
    """
    try:
        one = BarrierRun(args)
    except ValueError as error:
        raise BadBarrier(str(error)) from None
    code = one.work(_tell if sys.stderr.isatty() and not args.quiet else None)
    if not args.json:
        write(one.report)
    return code, one.to_json()


def _tell(what: str) -> None:
    print(f"... {what}", file=sys.stderr, flush=True)


__all__ = ["BarrierRun", "read_barrier", "read_program", "run", "table"]
