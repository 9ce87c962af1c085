"""Decide systems on which synthesis was not made, each within a time; check what was found, and print the table.

    python -m experiments.unseen                              # all, 60 s each
    python -m experiments.unseen --systems quad6,arm2 --seconds 30 --out runs/unseen

    python -m experiments.unseen --processor-time --out runs/unseen   # on a machine that others use

With --out, rows are kept there as they come, and a second run with the same folder and time goes on where
the first ended. Seconds are by the wall, or with --processor-time the search's own; either limit is hard.
A system is decided by a shield that both checkers verify, or by a proof that nobody can keep it.
Nothing is said to synthesis but the model.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from experiments.unseen_models import SYSTEMS, model_of
from nprl.files import write_atomic
from nprl.report.tables import text_table
from nprl.shields.checker import Verdict, check
from nprl.shields.exact import check as check_exactly
from nprl.shields.synthesis.synthesize import impossible, synthesize

AT_FIRST = 0.5
"""Seconds for a proof that nobody can keep the system."""
COLUMNS = ["system", "n", "m", "verdict", "method", "synthesis s", "check CPU s"]
ROWS = "rows.json"


@dataclass(frozen=True)
class Row:
    """What became of one system."""

    system: str
    n: int
    m: int
    verdict: str
    method: str
    seconds: float
    """What it was given."""
    processor_time: bool
    """Whether the seconds of synthesis are the search's own, or the wall's."""
    synthesis_s: float
    check_cpu_s: float
    tried: tuple[tuple[str, float, str], ...]
    """Methods, the seconds they took, and why they found nothing that was proved."""
    reason: str
    """Why it is unknown."""


def main(argv: Sequence[str] | None = None) -> int:
    """Try what is named; 0 if all were decided, 3 if not, 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.unseen", description=__doc__.split("\n")[0], allow_abbrev=False
    )
    parser.add_argument("--systems", default="all", help="names with commas between, or all")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each synthesis")
    parser.add_argument("--processor-time", action="store_true", help="count the search's own")
    parser.add_argument("--out", type=Path, help="a folder for the certificates and the rows")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args(argv)
    names = list(SYSTEMS) if args.systems == "all" else args.systems.split(",")
    unknown = [n for n in names if n not in SYSTEMS]
    if unknown:
        known = ", ".join(SYSTEMS)
        print(f"unseen: no system is called {unknown[0]!r}; there are {known}", file=sys.stderr)
        return 2
    if not args.seconds > 0:
        print(f"unseen: --seconds is positive; got {args.seconds:g}", file=sys.stderr)
        return 2
    known_rows = _read(args.out)
    rows = []
    for name in names:
        row = known_rows.get(name)
        if row is None or (row.seconds, row.processor_time) != (args.seconds, args.processor_time):
            row = decide(name, args.seconds, args.out, args.processor_time)
            if args.out is not None:
                known_rows[name] = row
                data = [asdict(r) for r in known_rows.values()]
                write_atomic(args.out / ROWS, json.dumps(data, indent=1).encode())
        rows.append(row)
        text = f"{name}: {row.verdict}, {row.synthesis_s:.1f} s; {row.reason}".rstrip("; ")
        print(text, file=sys.stderr, flush=True)
    if args.json:
        print(json.dumps({"systems": [asdict(row) for row in rows]}, indent=1))
    else:
        print(text_table(COLUMNS, list(map(_cells, rows))))
    return 0 if all(row.verdict != "unknown" for row in rows) else 3


def decide(
    name: str, seconds: float, folder: Path | None = None, processor_time: bool = False
) -> Row:
    """Synthesise one system, and check what was found with both checkers."""
    model = model_of(name)
    lost = impossible(model, AT_FIRST, processor_time)
    outcome = None if lost else synthesize(model, seconds, processor_time=processor_time)
    took = AT_FIRST if outcome is None else outcome.synthesis_s
    if outcome is not None and outcome.certificate is None and seconds - took > AT_FIRST:
        lost = impossible(model, seconds - took, processor_time)
    found = lost or (outcome.certificate if outcome else None)
    verdict, method = "unknown", "" if lost is None else "impossible"
    began = time.process_time()
    if found is not None:
        good = check(found).verdict is Verdict.VERIFIED
        data = json.dumps(found.to_json()).encode()
        good = good and not any(check_exactly(data).values())
        verdict = ("impossible" if lost else "verified") if good else "unknown"
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            found.save(folder / f"{name}.json")
    elif outcome is not None and outcome.counterexample is not None:
        verdict, method = "impossible", "run"
    tried = outcome.tried if outcome else ()
    if outcome is not None and outcome.certificate is not None:
        method = tried[-1].method
    return Row(
        name,
        len(model.state),
        len(model.action),
        verdict,
        method,
        seconds,
        processor_time,
        round(took, 2),
        round(time.process_time() - began, 2),
        tuple((a.method, round(a.seconds, 2), a.reason) for a in tried),
        "" if outcome is None or verdict != "unknown" else outcome.reason,
    )


def _read(folder: Path | None) -> dict[str, Row]:
    """The rows of an earlier run."""
    if folder is None or not (folder / ROWS).exists():
        return {}
    data = json.loads((folder / ROWS).read_bytes())
    return {d["system"]: Row(**d | {"tried": tuple(map(tuple, d["tried"]))}) for d in data}


def _cells(row: Row) -> list[str]:
    times = f"{row.synthesis_s:.1f}", f"{row.check_cpu_s:.1f}"
    return [row.system, str(row.n), str(row.m), row.verdict, row.method, *times]


if __name__ == "__main__":
    sys.exit(main())
