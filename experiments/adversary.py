"""Attack every shipped shield: ``python -m experiments.adversary``.

A million shielded steps for each system. Starts lie on the facets and vertices of the invariant I
too (`adversary_starts`); disturbances and actions are the worst that are found, batches and single
states take turns (`adversary_attack`). Each state after a step is judged exactly, by `recheck`,
which shares no code with the shield: the counts of exits from I and of violations of S must be 0.
The same actions without the shield should violate; where none does, the report says so.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path

from tqdm import tqdm

from experiments.adversary_attack import Attack, Outcome
from nprl.shields.certificate import FORMAT


def shipped(form: str = FORMAT) -> dict[str, Path]:
    """The claims of a format (of shields) in this package, by the name of their model."""
    folder = Path(str(resources.files("nprl.shields.proved")))
    found = {}
    for path in sorted(folder.glob("*.json")):
        data = json.loads(path.read_bytes())
        if data.get("format") == form:
            found[data["model"]["name"]] = path
    return found


def attacked(path: Path, seed: int, steps: int, quiet: bool) -> Outcome:
    """The outcome of an attack, with its progress on a terminal's standard error."""
    attack = Attack(path, seed)
    with tqdm(
        total=steps, desc=attack.model.name, unit=" steps", disable=quiet or None, leave=False
    ) as bar:

        def tell(steps: int, news: str) -> None:
            bar.set_postfix_str(news, refresh=False)
            bar.update(steps)

        return attack.run(steps, tell)


def report(o: Outcome) -> str:
    """The outcome in a few lines."""
    lines = [
        f"{o.name}: {o.steps:,} shielded steps in {o.seconds} s: {o.violations} violations, "
        f"{o.exits} exits from I; smallest exact margin {o.smallest_margin:.3g}",
        f"  {o.overrides:,} overrides, {o.fallbacks:,} of them by the backup untested; starts: "
        f"{o.starts_on_vertices:,} on vertices, {o.starts_on_facets:,} on facets; "
        f"{o.decided_exactly:,} states decided beyond floats",
        f"  bare, the same actions: {o.bare_violations:,} of {o.bare_runs:,} runs of at "
        f"most {o.longest_run} steps violate",
        *(["  the attack was none: nothing violates here"] if not o.bare_violations else []),
        *([f"  on committed plans after {o.on_plans:,} steps"] if o.on_plans else []),
        *(f"  FAULT {fault}" for fault in o.faults),
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the attacks; 0 if every shield held, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.adversary", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--env", help="only this system, by its id (default: all that are shipped)")
    parser.add_argument("--certificate", type=Path, help="only this certificate's file")
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON, and no progress")
    args = parser.parse_args(argv)
    if args.steps < 1:
        parser.error(f"--steps is at least 1; got {args.steps}")
    if args.certificate is not None:
        paths = [args.certificate]
    else:
        known = shipped()
        names = [n for n in known if args.env in (None, n, n.rpartition("/")[2])]
        if not names:
            wanted = args.env or "any system"
            parser.error(
                f"no shipped certificate for {wanted}; there are: {', '.join(known) or 'none'}"
            )
        paths = [known[n] for n in names]
    outcomes = []
    for path in paths:
        try:
            outcome = attacked(path, args.seed, args.steps, quiet=args.json)
        except ValueError as error:
            print(f"adversary: {error}", file=sys.stderr)
            return 2
        outcomes.append(outcome)
        if not args.json:
            print(report(outcome), flush=True)
    if args.json:
        print(json.dumps([asdict(o) for o in outcomes], indent=1))
    return 0 if all(o.passed for o in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
