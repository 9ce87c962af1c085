"""Synthesise a shield, prove it, check the proof twice, and save the certificate.

    python -m experiments.prove --env nprl/Pendulum-v0 --out pendulum.json
    python -m experiments.prove --all            # what stands in shields/proved/

Each system ends in one row: who found it, how long that took, how long Z3's checker and the exact
one took, and how much of the safe set the invariant holds.
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
from nprl.report.proofs import volumes
from nprl.report.tables import text_table
from nprl.shields.checker import Report, Verdict, check
from nprl.shields.exact import check as check_exactly
from nprl.shields.records import SHIPPED, ship
from nprl.shields.synthesis.synthesize import synthesize

SYSTEMS = {
    "nprl/Pendulum-v0": "pendulum",
    "nprl/CartPole-v0": "cartpole",
    "nprl/MagneticPointer-v0": "magnetic_pointer",
    "nprl/LinearCartPole-v0": "linear_cartpole",
    "nprl/SelfDriving-v0": "selfdriving",
    "nprl/LaneKeeping-v0": "lanekeeping",
    "Pendulum-v1": "pendulum_v1",
}
"""Each system whose certificate is shipped, with the name of its file."""
PROVED = Path(__file__).resolve().parent.parent / "shields" / "proved"
COLUMNS = [
    *("system", "n", "m", "family", "init inside", "synthesis s", "check s", "exact s"),
    *("of S", "of kernel", "verdict"),
]
Row = list[str]


def main(argv: Sequence[str] | None = None) -> int:
    """Prove what is named; 0 if everything was proved and checked, 3 if not, 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.prove", description=__doc__.split("\n")[0], allow_abbrev=False
    )
    named = parser.add_mutually_exclusive_group(required=True)
    named.add_argument("--env", help="an environment's id")
    named.add_argument("--model", type=Path, help="a model: a .json file, or .py with MODEL")
    named.add_argument("--all", action="store_true", help="all shipped systems, into their places")
    parser.add_argument("--out", type=Path, help="the certificate's file (--all: a folder)")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each synthesis")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-volumes", action="store_true", help="leave the shares out")
    parser.add_argument("--json", action="store_true", help="print rows as JSON")
    args = parser.parse_args(argv)
    try:
        jobs = _jobs(args)
        rows, good = [], True
        for model, target in jobs:
            row, proved = prove_one(model, target, args.seconds, args.seed, not args.no_volumes)
            rows.append(row)
            good &= proved
            if not args.json:
                print(text_table(COLUMNS, [row]) if len(jobs) == 1 else " | ".join(row), flush=True)
        if args.all and good:
            folder = args.out or PROVED
            ship(sorted(p for p in folder.glob("*.json") if p.name != SHIPPED), folder / SHIPPED)
    except (ValueError, OSError) as error:
        print(f"prove: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("prove: interrupted; certificates already written are whole", file=sys.stderr)
        return 130
    if args.json:
        print(json.dumps([dict(zip(COLUMNS, row, strict=True)) for row in rows], indent=1))
    elif len(jobs) > 1:
        print(text_table(COLUMNS, rows))
    return 0 if good else 3


def _jobs(args: argparse.Namespace) -> list[tuple[Model, Path]]:
    if args.all:
        folder = args.out or PROVED
        return [(_model(env), folder / f"{stem}.json") for env, stem in SYSTEMS.items()]
    model = _model(args.env, args.model)
    stem = SYSTEMS.get(args.env, "certificate")
    return [(model, args.out or Path(f"{stem}.json"))]


def _model(env: str | None, file: Path | None = None) -> Model:
    task = load_task(env, file)
    if task.model is None:
        raise ValueError(f"{task.name} has no model (no_model): nothing can be proved of it")
    return task.model


def prove_one(
    model: Model, target: Path, seconds: float, seed: int, with_volumes: bool
) -> tuple[Row, bool]:
    """Synthesise, save, check with both checkers: the table's row, and whether all is proved."""

    def say(text: str) -> None:
        print(f"{model.name}: {text}", file=sys.stderr, flush=True)

    outcome = synthesize(model, seconds, seed, say)
    certificate = outcome.certificate
    size = [str(len(model.state)), str(len(model.action))]
    if certificate is None:
        say(outcome.reason)
        took = f"{outcome.synthesis_s:.1f}"
        return [model.name, *size, "-", "-", took, "-", "-", "-", "-", "not proved"], False
    certificate.save(target)
    began = time.perf_counter()
    report = check(certificate)
    checked = time.perf_counter() - began
    began = time.perf_counter()
    exact = check_exactly(target.read_bytes())
    twice = time.perf_counter() - began
    failed = [r.goal for r in report.results if not r.proved]
    failed += [f"{goal} (exact checker)" for goal, reason in exact.items() if reason]
    proved = report.verdict is Verdict.VERIFIED and not failed
    shares = volumes(certificate) if with_volumes else None
    return [
        model.name,
        *size,
        f"{certificate.shield.family}, {sum(map(len, certificate.shield.invariant))} rows",
        _init(report),
        f"{outcome.synthesis_s:.1f}",
        f"{checked:.2f}",
        f"{twice:.2f}",
        _percent(None if shares is None else shares.of_safe),
        _percent(None if shares is None else shares.of_kernel),
        "verified" if proved else "not verified: " + ", ".join(failed),
    ], proved


def _init(report: Report) -> str:
    about = [r for r in report.results if r.goal.split("/")[0] == "init"]
    return "yes" if about and all(r.proved for r in about) else "no"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


if __name__ == "__main__":
    sys.exit(main())
