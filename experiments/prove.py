"""Synthesise shields from scratch, or impossibility; prove, check twice, and print the table.

    python -m experiments.prove --env nprl/Pendulum-v0 --out pendulum.json
    python -m experiments.prove --model my.json --out certificate.json
    python -m experiments.prove --certificate core.json --plans --out certificate.json
    python -m experiments.prove --certificate core.json --enlarge --out certificate.json
    python -m experiments.prove --suite vrl --out /tmp/proved     # or revel, gym, all
    python -m experiments.prove --ship      # all of them, into shields/proved/, with their record

Each system ends in one row: how many coordinates and inputs, who found the set, how long that took,
how long the two checkers took, how much of the safe set and of the viability kernel it holds, and
what was published of the same system. What nobody can keep is shown to be impossible. With
``--enlarge`` the search goes on after the first proof, for larger sets
(`nprl.shields.synthesis.enlarge`): each is checked and saved as it is found. With ``--plans`` a shield
gets plans, where they add much to its set (`nprl.shields.synthesis.plans`); its proofs stay as they
are. Systems are worked on side by side.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import joblib

from experiments.published import PUBLISHED
from nprl.env.binding import BINDINGS
from nprl.env.task import load_task
from nprl.envs import HORIZONS
from nprl.model import Model
from nprl.report.proofs import Shares, volumes
from nprl.report.tables import text_table
from nprl.report.trace import save_trace
from nprl.shields.certificate import Certificate
from nprl.shields.checker import Verdict, check
from nprl.shields.counterexample import Counterexample
from nprl.shields.exact import check as check_exactly
from nprl.shields.load import load_certificate
from nprl.shields.losing import Impossible
from nprl.shields.losing_replay import bound, replayed
from nprl.shields.records import SHIPPED, ship
from nprl.shields.synthesis.enlarge import larger, size
from nprl.shields.synthesis.plans import enlarged
from nprl.shields.synthesis.synthesize import impossible, synthesize

STEMS = {e: m.replace(":", "_").lower() for e, (m, _) in HORIZONS.items()}
STEMS |= {e: m.partition(":")[0].rpartition(".")[2] for e, m in BINDINGS.items()}
"""Each system that can be proved, with the name of its certificate's file."""
SUITES = {
    **{s: [e for e, p in PUBLISHED.items() if p.name.startswith(s)] for s in ("vrl", "revel")},
    "gym": [e for e in STEMS if e not in PUBLISHED],
    "all": list(STEMS),
}
AT_FIRST, AT_LAST = 4.0, 10.0
"""Seconds for a proof that nothing can be kept: before anything else, and at most for later ones.

The first ends at once where runs are found that stay safe for ever."""
ROUNDS, SHARE = (0.05, 0.25, 1.0), 0.5
"""A synthesis gets these parts of its seconds, in turn; such a proof gets this share of each after it."""
UNIONS, PLANS = {"nprl/PointMass-v0", "nprl/Unicycle-v0"}, {"gymnasium/CartPole-v1"}
"""Systems of which a union of modes is shipped, and those whose shield has plans."""
ENLARGED = {"nprl/Duffing-v0", "gymnasium/MountainCarContinuous-v0"}
"""Those whose first set is far smaller than it could be: a larger one is shipped."""
ENLARGE_SECONDS = 60.0
PROVED = Path(__file__).resolve().parent.parent / "shields" / "proved"
COLUMNS = [
    *("system", "n", "m", "family", "init inside", "synthesis s", "proof s", "of S", "of kernel"),
    *("verdict", "published as", "published s"),
]


@dataclass(frozen=True)
class Row:
    """What became of one system."""

    env: str
    n: int
    m: int
    family: str | None
    verdict: str
    init_inside: bool
    synthesis_s: float
    proof_s: float | None
    """Both checkers, from the file."""
    volume_safe: float | None
    volume_kernel: float | None
    reason: str


def main(argv: Sequence[str] | None = None) -> int:
    """Prove what is named; 0 if everything was proved and checked, 3 if not, 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.prove", description=__doc__.split("\n")[0], allow_abbrev=False
    )
    named = parser.add_mutually_exclusive_group(required=True)
    named.add_argument("--env", help="an environment's id")
    named.add_argument("--model", type=Path, help="a model: a .json file, or .py with MODEL")
    named.add_argument("--certificate", type=Path, help="a shield, to be checked anew; see --plans")
    named.add_argument("--suite", choices=SUITES, help="these systems, side by side")
    named.add_argument("--ship", action="store_true", help="all, into the place of shipped ones")
    parser.add_argument("--out", type=Path, help="the certificate's file (--suite: a folder)")
    parser.add_argument(
        "--enlarge",
        type=float,
        nargs="?",
        const=ENLARGE_SECONDS,
        default=0.0,
        metavar="SECONDS",
        help=f"look for larger sets, so long for each ({ENLARGE_SECONDS:g})",
    )
    parser.add_argument("--plans", action="store_true", help="add plans that enlarge the shield")
    parser.add_argument("--seconds", type=float, default=300.0, help="for each synthesis")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="systems at a time")
    parser.add_argument("--unions", action="store_true", help="try unions of modes first")
    parser.add_argument("--no-volumes", action="store_true", help="leave the shares out")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args(argv)
    began = time.perf_counter()
    try:
        jobs = _jobs(args)
        work = (
            joblib.delayed(prove_one)(
                given,
                target,
                args.seconds,
                args.seed,
                not args.no_volumes,
                args.plans,
                args.unions,
                args.enlarge,
                args.model is not None,
            )
            for given, target in jobs
        )
        rows = []
        for row in joblib.Parallel(min(args.jobs, len(jobs)), return_as="generator")(work):
            rows.append(row)
            print(f"{row.env}: {row.verdict} {row.reason}".rstrip(), file=sys.stderr, flush=True)
        good = all(row.verdict != "unknown" for row in rows)
        if args.ship:
            ship(sorted(p for p in PROVED.glob("*.json") if p.name != SHIPPED), PROVED / SHIPPED)
    except (ValueError, OSError) as error:
        print(f"prove: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("prove: interrupted; certificates already written are whole", file=sys.stderr)
        return 130
    if args.json:
        print(json.dumps({"systems": [asdict(row) for row in rows]}, indent=1))
    else:
        print(text_table(COLUMNS, list(map(_cells, rows))))
        print(f"{len(rows)} systems, {time.perf_counter() - began:.0f} s")
    return 0 if good else 3


def _jobs(args: argparse.Namespace) -> list[tuple[Model | Certificate, Path]]:
    if args.suite or args.ship:
        folder = PROVED if args.ship else args.out or Path("proved")
        folder.mkdir(parents=True, exist_ok=True)
        envs = SUITES[args.suite or "all"]
        return [(_model(env), folder / f"{STEMS[env]}.json") for env in envs]
    if args.certificate is not None:
        return [(load_certificate(args.certificate), args.out or Path("certificate.json"))]
    model = _model(args.env, args.model)
    stem = STEMS.get(args.env, "certificate")
    return [(model, args.out or Path(f"{stem}.json"))]


def _model(env: str | None, file: Path | None = None) -> Model:
    task = load_task(env, file)
    if task.model is None:
        raise ValueError(f"{task.name} has no model (no_model): nothing can be proved of it")
    return task.model


def prove_one(
    given: Model | Certificate,
    target: Path,
    seconds: float,
    seed: int,
    with_volumes: bool,
    plans: bool = False,
    unions: bool = False,
    enlarge: float = 0.0,
    quick: bool = False,
) -> Row:
    """Synthesise, save, check with both checkers from the file; what was not proved is not kept.

    A certificate is not sought anew. With ``plans`` a shield gets plans, where they enlarge it;
    with ``unions`` a union of modes is tried before single sets, and has the whole time at once.
    ``enlarge`` is how many seconds larger sets are looked for; ``quick`` is as
    `nprl.shields.synthesize` has it.
    """
    model = given if isinstance(given, Model) else given.model
    plans, unions = plans or model.name in PLANS, unions or model.name in UNIONS
    if isinstance(given, Model) and model.name in ENLARGED:
        enlarge = enlarge or ENLARGE_SECONDS

    def say(text: str) -> None:
        print(f"{model.name}: {text}", file=sys.stderr, flush=True)

    counts, began = (model.name, len(model.state), len(model.action)), time.perf_counter()
    found: Impossible | Certificate | None
    found = impossible(model, AT_FIRST) if isinstance(given, Model) else given
    reason = ""
    run: Counterexample | None = None
    for part in ROUNDS[-1:] if unions else ROUNDS:
        if found is None and run is None:
            outcome = synthesize(model, part * seconds, seed, say, unions, quick)
            found, reason, run = outcome.certificate, outcome.reason, outcome.counterexample
        if found is None:
            found = impossible(model, min(AT_LAST, max(AT_FIRST, SHARE * part * seconds)))
    took = round(time.perf_counter() - began, 2)
    if isinstance(found, Impossible):
        run = replayed(found)
    if run is not None and target.parent != PROVED:
        for file in save_trace(model, run, target.with_suffix("")):
            say(f"wrote {file}")
    if found is None and run is not None:
        return Row(*counts, "run", "impossible", False, took, None, None, None, reason)
    if found is None:
        return Row(*counts, None, "unknown", False, took, None, None, None, reason)
    if plans and not enlarge and isinstance(found, Certificate):
        found = enlarged(found, seed=seed)
    twice, failed = _checked(found, target)
    if failed:
        return Row(*counts, None, "unknown", False, took, twice, None, None, failed)
    if isinstance(found, Impossible):
        steps = bound(found)
        reason = f"left within {steps} steps" if steps is not None else ""
        method = str(found.info["method"])
        return Row(*counts, method, "impossible", False, took, twice, None, None, reason)
    if enlarge:
        found, twice, reason = _enlarged(found, target, enlarge, plans, seed, twice, say)
    shares = volumes(found) if with_volumes else Shares(None, None)
    family = f"{found.shield.family}, {sum(map(len, found.shield.invariant))} rows"
    if found.shield.plans is not None:
        family += f", {len(found.shield.plans.policies)} plans"
    return Row(
        *counts, family, "proved", True, took, twice, shares.of_safe, shares.of_kernel, reason
    )  # the goal `init` is among those proved


def _checked(found: Certificate | Impossible, target: Path) -> tuple[float, str]:
    """Save, if both checkers accept the file: the seconds that they took, and what they refused."""
    draft = found.save(target.with_suffix(".unproved"))
    began = time.perf_counter()
    report = check(found)
    exact = check_exactly(draft.read_bytes())
    twice = round(time.perf_counter() - began, 2)
    failed = [f"{r.goal}: {r.reason}" for r in report.results if not r.proved]
    failed += [f"{goal} (exact checker): {reason}" for goal, reason in exact.items() if reason]
    if report.verdict is not Verdict.VERIFIED or failed:
        draft.unlink()
        return twice, "; ".join(failed) or report.verdict.value
    draft.replace(target)
    return twice, ""


def _enlarged(
    found: Certificate,
    target: Path,
    seconds: float,
    plans: bool,
    seed: int,
    twice: float,
    say: Callable[[str], None],
) -> tuple[Certificate, float, str]:
    """Larger sets, then plans, each checked and saved: the last one, its checkers' seconds, a line on it."""
    before = after = size(found)
    for better in larger(found, seconds, seed, say):
        took, failed = _checked(better, target)
        if failed:
            say(f"a larger set was refused: {failed}")
            continue
        found, twice, after = better, took, size(better)
    reason = f"{100 * before:.1f} % of the safe states at first, now {100 * after:.1f} %"
    if plans:
        wider = enlarged(found, seed=seed)
        if wider is not found:
            took, failed = _checked(wider, target)
            found, twice = (found, twice) if failed else (wider, took)
    return found, twice, reason


def _cells(row: Row) -> list[str]:
    published = PUBLISHED.get(row.env)
    return [
        row.env,
        str(row.n),
        str(row.m),
        row.family or "-",
        "yes" if row.init_inside else "no",
        f"{row.synthesis_s:.1f}",
        "-" if row.proof_s is None else f"{row.proof_s:.2f}",
        _percent(row.volume_safe),
        _percent(row.volume_kernel),
        row.verdict,
        "-" if published is None else published.name,
        "-" if published is None or published.synthesis_s is None else str(published.synthesis_s),
    ]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


if __name__ == "__main__":
    sys.exit(main())
