"""How useful the shields are: ``python -m experiments.usefulness``.

For each published system the main job trains a network, learns a program and runs both bare and
shielded on the same fresh episodes. The table says how often the shield acts, and whether the
return is lost by it, beside the interventions that were published (in 1,000 runs of 5,000 steps, so
per 5,000,000 steps; of another network). Runs that are there already are taken as they are, and a
run that was cut off goes on; ``rows.json`` in the folder holds the rows so far, after each system.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import joblib

from experiments.published import PUBLISHED
from nprl.files import write_atomic
from nprl.report.tables import show, text_table

PUBLISHED_STEPS = 5_000_000
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
"""Of a run: small networks lose time by more, and runs go side by side."""
COLUMNS = (
    *("system", "network", "violations", "shielded", "per 1000", "published"),
    *("program", "violations", "shielded", "per 1000"),
)


@dataclass(frozen=True, slots=True)
class Side:
    """A policy, bare and shielded: mean returns, episodes with a violation, overrides."""

    bare: float
    bare_violations: int
    shielded: float
    shielded_violations: int
    overrides_per_1000: float


@dataclass(frozen=True, slots=True)
class Row:
    """One system; ``failed`` says why there are no figures."""

    env: str
    neural: Side | None
    program: Side | None
    published_per_1000: float | None
    failed: str = ""


def usefulness(env: str, folder: Path, full: bool = False) -> Row:
    """Run the main job (quickly, unless ``full``), unless its summary is there, and read it."""
    entry = PUBLISHED.get(env)
    published = None
    if entry is not None and entry.interventions is not None:
        published = 1000 * entry.interventions / PUBLISHED_STEPS
    summary = folder / "summary.json"
    if not summary.exists():
        command = [sys.executable, "-m", "experiments.pipeline", "--resume"]
        command += [] if full else ["--quick"]
        done = subprocess.run(
            [*command, "--env", env, "--out", str(folder)],
            capture_output=True,
            text=True,
            env=os.environ | ONE_THREAD,
        )
        if done.returncode:
            last = (done.stderr.strip() or "no message").splitlines()[-1]
            return Row(env, None, None, published, last)
    found = {p["name"]: p for p in json.loads(summary.read_text())["policies"]}
    return Row(env, _side(found, "neural"), _side(found, "program"), published)


def _side(found: dict[str, Any], name: str) -> Side | None:
    bare, shielded = found.get(name), found.get(f"{name}, shielded")
    if bare is None or shielded is None:
        return None
    return Side(
        bare["return"],
        bare["violations"],
        shielded["return"],
        shielded["violations"],
        shielded["overrides_per_1000"],
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 0 if no shielded policy violated and every run was done, else 1 (130 for Ctrl-C)."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.usefulness", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--env", nargs="+", choices=list(PUBLISHED), help="these systems only")
    parser.add_argument("--out", type=Path, default=Path("runs/usefulness"))
    parser.add_argument("--jobs", type=int, default=2, help="systems at a time")
    parser.add_argument(
        "--full", action="store_true", help="whole runs, minutes each, not quick ones"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(argv)
    ours = [env for env in PUBLISHED if "Stated" not in env]
    envs = ours if args.env is None else args.env
    work = (
        joblib.delayed(usefulness)(env, args.out / env.rpartition("/")[2].lower(), args.full)
        for env in envs
    )
    rows: list[Row] = []
    try:
        for row in joblib.Parallel(args.jobs, return_as="generator_unordered")(work):
            rows = sorted([*rows, row], key=lambda r: envs.index(r.env))
            write_atomic(args.out / "rows.json", _json(rows))
            print(f"{row.env}: {row.failed or 'done'}", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("usefulness: interrupted; the same command goes on", file=sys.stderr)
        return 130
    if args.json:
        print(_json(rows))
    else:
        print(text_table(COLUMNS, list(map(_cells, rows))))
    sides = [side for row in rows for side in (row.neural, row.program)]
    return 0 if all(side is not None and not side.shielded_violations for side in sides) else 1


def _json(rows: Sequence[Row]) -> str:
    return json.dumps([asdict(row) for row in rows], indent=1)


def _cells(row: Row) -> list[str]:
    cells = [row.env]
    for side in (row.neural, row.program):
        if side is None:
            cells += ["-"] * 4
        else:
            cells += [show(side.bare), str(side.bare_violations), show(side.shielded)]
            cells.append(show(side.overrides_per_1000))
        if len(cells) == 5:
            cells.append(show(row.published_per_1000))
    return cells


if __name__ == "__main__":
    sys.exit(main())
