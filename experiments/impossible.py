"""Show that published statements cannot be kept: find, prove and save impossibility certificates.

    python -m experiments.impossible --env nprl/QuadcopterStated-v0 --out quadcopter_stated.json
    python -m experiments.impossible --all       # what stands in shields/proved/

Each system ends in one row: how it was found, how long that took, how long Z3's checker and the
exact one took, and in how many steps the safe set is left at the most.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from nprl.env.task import load_task
from nprl.model import Model
from nprl.report.tables import text_table
from nprl.shields.checker import Verdict, check
from nprl.shields.exact import check as check_exactly
from nprl.shields.losing_replay import bound
from nprl.shields.records import SHIPPED, ship
from nprl.shields.synthesis.losing import impossible

SYSTEMS = {
    "nprl/QuadcopterStated-v0": "quadcopter_stated",
    "nprl/DataCenterCoolingStated-v0": "cooling_stated",
    "nprl/AdaptiveCruiseStated-v0": "adaptive_cruise_stated",
    "nprl/NoisyRoadStated-v0": "noisy_road_stated",
}
"""Each system whose impossibility certificate is shipped, with the name of its file."""
PROVED = Path(__file__).resolve().parent.parent / "shields" / "proved"
COLUMNS = ["system", "n", "m", "found by", "synthesis s", "check s", "exact s", "steps", "verdict"]
Row = list[str]


def main(argv: Sequence[str] | None = None) -> int:
    """Prove what is named; 0 if everything was proved and checked, 3 if not, 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.impossible",
        description=__doc__.split("\n")[0],
        allow_abbrev=False,
    )
    named = parser.add_mutually_exclusive_group(required=True)
    named.add_argument("--env", help="an environment's id")
    named.add_argument("--model", type=Path, help="a model: a .json file, or .py with MODEL")
    named.add_argument("--all", action="store_true", help="all shipped systems, into their places")
    parser.add_argument("--out", type=Path, help="the certificate's file (--all: a folder)")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each synthesis")
    parser.add_argument("--json", action="store_true", help="print rows as JSON")
    args = parser.parse_args(argv)
    folder = args.out or PROVED
    rows = []
    try:
        jobs = [
            (args.env, args.model, args.out or Path(f"{SYSTEMS.get(args.env, 'impossible')}.json"))
        ]
        if args.all:
            jobs = [(env, None, folder / f"{stem}.json") for env, stem in SYSTEMS.items()]
        for env, file, target in jobs:
            task = load_task(env, file)
            if task.model is None:
                raise ValueError(
                    f"{task.name} has no model (no_model): nothing can be proved of it"
                )
            rows.append(prove_one(task.model, target, args.seconds))
        good = all(row[-1] == Verdict.VERIFIED.value for row in rows)
        if args.all and good:
            ship(sorted(p for p in folder.glob("*.json") if p.name != SHIPPED), folder / SHIPPED)
    except (ValueError, OSError) as error:
        print(f"impossible: {error}", file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps([dict(zip(COLUMNS, row, strict=True)) for row in rows], indent=1))
    else:
        print(text_table(COLUMNS, rows))
    return 0 if good else 3


def prove_one(model: Model, target: Path, seconds: float) -> Row:
    """Find, save and check with both checkers: the table's row."""
    size = [str(len(model.state)), str(len(model.action))]
    began = time.perf_counter()
    claim = impossible(model, seconds)
    took = f"{time.perf_counter() - began:.1f}"
    if claim is None:
        return [model.name, *size, "-", took, "-", "-", "-", "not proved"]
    claim.save(target)
    began = time.perf_counter()
    report = check(claim)
    checked = time.perf_counter() - began
    began = time.perf_counter()
    exact = check_exactly(target.read_bytes())
    twice = time.perf_counter() - began
    failed = [r.goal for r in report.results if not r.proved]
    failed += [f"{goal} (exact checker)" for goal, reason in exact.items() if reason]
    verdict = report.verdict.value if not failed else "not verified: " + ", ".join(failed)
    most = bound(claim)
    return [
        *(model.name, *size, claim.info["method"], took, f"{checked:.2f}", f"{twice:.2f}"),
        *("-" if most is None else f"{most:,}", verdict),
    ]


if __name__ == "__main__":
    sys.exit(main())
