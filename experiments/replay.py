"""Run every frozen program again: ``python -m experiments.replay [--env ID] [--quick] [--json]``.

Each row of ``experiments/results`` is a program with its claim. It is played on the seeds of the
report, in the environment itself; the claim must hold again, and the return must be the one that
stands in the row. The same Gymnasium and, where physics is simulated, the same simulator give the
same return; others may not, and are told by their claims.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import joblib

from experiments.options import Parser
from experiments.programs import RESULTS, ROW, claim, holds, row_cells
from experiments.targets import TARGETS, Target
from experiments.teachers import played, renewed
from nprl.env.task import load_task
from nprl.loops import from_data
from nprl.report.tables import markdown_table, text_table

LONG = 150
"""Characters of a program that a table of the docs shows whole."""
QUICK = ("CartPole-v1", "MountainCar-v0", "MountainCarContinuous-v0")
"""What takes seconds."""


def replayed(row: dict[str, Any]) -> dict[str, Any]:
    """The row with the return of now; ``holds`` says whether its claim does."""
    task = load_task(row["env"]).unbound()
    program = from_data(row)
    limit = row["claim"]
    same = (t for t in TARGETS.get(row["env"], ()) if claim(t) == limit)
    certified = limit.get("certified", False)
    bare = Target(limit["return"], limit["nodes"], limit["constants"], certified=certified)
    target = replace(next(same, bare), episodes=row["episodes"])  # with its reference, if any
    result = played(task, program, target.episodes)
    now = {
        "return": result.mean,
        "ci95": list(result.ci95),
        "teacher": renewed(row, result),
    }
    return row | now | {"holds": holds(task, target, program, result)}


def main(argv: Sequence[str] | None = None) -> int:
    """0 if every claim that was frozen as held holds, 1 if one does not, 2 for bad input."""
    parser = Parser(prog="python -m experiments.replay", allow_abbrev=False)
    known = sorted(path.stem for path in RESULTS.glob("*.json"))
    parser.add_argument("--env", nargs="+", choices=known, metavar="ID")
    parser.add_argument("--quick", action="store_true", help=f"{', '.join(QUICK)} only")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="print one JSON object")
    shape.add_argument("--markdown", action="store_true", help="print the table of docs/results.md")
    args = parser.parse_args(argv)
    chosen = args.env or [e for e in known if e in QUICK or not args.quick]
    frozen = [r for e in chosen for r in json.loads((RESULTS / f"{e}.json").read_text())]
    rows = []
    lost = 0
    again = joblib.Parallel(-1, return_as="generator")(map(joblib.delayed(replayed), frozen))
    for row, now in zip(frozen, again, strict=True):
        rows.append(now)
        print(f"\r{len(rows)} of {len(frozen)}", end="", file=sys.stderr, flush=True)
        broken = row["holds"] and not now["holds"]
        lost += broken
        if broken or abs(now["return"] - row["return"]) > 1e-9 * max(1.0, abs(row["return"])):
            what = "NO LONGER HOLDS" if broken else "another return"
            print(
                f"\n{row['env']}: {what}: {row['return']} then, {now['return']} now",
                file=sys.stderr,
            )
    print(file=sys.stderr)
    if args.json:
        print(json.dumps({"programs": rows}, indent=1))
    elif args.markdown:
        print(markdown_table(("environment", *ROW, "seeds"), best(rows)))
    else:
        print(text_table(("environment", *ROW), [[r["env"], *row_cells(r)] for r in rows]))
    return 1 if lost else 0


def best(rows: Sequence[dict[str, Any]]) -> list[list[str | int | float | None]]:
    """For each environment and claim the best row of the command that reaches it in most seeds."""

    def asked(row: dict[str, Any]) -> str:
        return json.dumps([row["env"], row["claim"]])

    def found(row: dict[str, Any]) -> str:
        return str(row["command"]).rpartition(" ")[0]

    result = []
    for _, some in itertools.groupby(sorted(rows, key=asked), asked):
        groups = [list(g) for _, g in itertools.groupby(sorted(some, key=found), found)]
        top = max(groups, key=lambda g: (sum(r["holds"] for r in g), max(r["return"] for r in g)))
        row = max(top, key=lambda r: (r["holds"], r["return"]))
        formula, *cells = row_cells(row)
        text = str(formula)
        if len(text) > LONG:
            text = f"{text[:LONG]} ..."
        reached = f"{sum(r['holds'] for r in top)} of {len(top)}"
        result.append([row["env"], text, *cells, reached])
    return result


if __name__ == "__main__":
    sys.exit(main())
