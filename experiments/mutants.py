"""The table of broken certificates: ``python -m experiments.mutants``.

Shipped certificates are broken in many ways (`mutants_made`). Those for which an exact witness of
the fault is found, without a checker (`mutants_faults`), must be refused by both checkers; a mutant
without one may be as right as its parent, and is left out. Of the refused, `shield-check` calls some
falsified, for it finds a confirmed counterexample itself, and the others unknown.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

from tqdm import tqdm

from experiments.adversary import shipped
from experiments.mutants_faults import fault
from experiments.mutants_losing import fault_losing, mutants_losing
from experiments.mutants_made import Mutant, mutants
from nprl.shields import exact
from nprl.shields.certificate import CertificateError
from nprl.shields.checker import Verdict, check
from nprl.shields.counterexample import Counterexample
from nprl.shields.load import claim_from_json
from nprl.shields.losing import FORMAT as IMPOSSIBLE
from nprl.shields.losing import Impossible
from nprl.shields.losing_replay import replay
from nprl.shields.refute import refute

HEAD = ("mutants", "accepted", "accepted, exact", "falsified", "trace", "unknown", "no witness")
"""With a witness; of these: accepted by the checker, by the exact checker; a counterexample found by
`shield-check`, and a whole trajectory; refused, no more. Beside them: without a witness."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of one mutant; without a witness, nothing is asked of the checkers."""

    system: str
    kind: str
    name: str
    witness: str
    accepted: bool = False
    accepted_exactly: bool = False
    falsified: bool = False
    trace: bool = False
    open_goals: tuple[str, ...] = ()

    def counts(self) -> Counter[str]:
        """One for each column that it belongs to."""
        if not self.witness:
            return Counter({"no witness": 1})
        columns = {
            "mutants": True,
            "accepted": self.accepted,
            "accepted, exact": self.accepted_exactly,
            "falsified": self.falsified,
            "trace": self.trace,
            "unknown": not (self.falsified or self.accepted or self.accepted_exactly),
        }
        return Counter([name for name, belongs in columns.items() if belongs])


def judged(system: str, mutant: Mutant, refuting: bool = True) -> Judged:
    """A mutant's witness, and what both checkers and the search for a counterexample say of it."""
    try:
        certificate = claim_from_json(mutant.data)
    except CertificateError as error:
        return Judged(system, mutant.kind, mutant.name, f"refused when it is read: {error}")
    losing = isinstance(certificate, Impossible)
    witness = fault_losing(mutant.data) if losing else fault(mutant.data)
    if not witness:
        return Judged(system, mutant.kind, mutant.name, "")
    report = check(certificate)
    accepted = report.verdict is Verdict.VERIFIED
    open_goals = tuple(r.goal for r in report.results if not r.proved)
    exactly = not any(exact.check(json.dumps(mutant.data).encode()).values())
    found: Sequence[Counterexample] = ()
    if refuting and open_goals and isinstance(certificate, Impossible):
        found = [run.fault for run in replay(certificate) if run.fault is not None]
    elif refuting and open_goals:
        found = refute(certificate, open_goals)
    return Judged(
        system=system,
        kind=mutant.kind,
        name=mutant.name,
        witness=witness,
        accepted=accepted,
        accepted_exactly=exactly,
        falsified=bool(found),
        trace=any(c.kind == "trace" for c in found),
        open_goals=open_goals,
    )


def chosen(path: Path, per_kind: int | None = None) -> list[Mutant]:
    """The mutants of a certificate's file, of each kind the first ``per_kind``."""
    source = json.loads(path.read_bytes())
    made = mutants_losing(source) if source["format"] == IMPOSSIBLE else mutants(source)
    found = sorted(made, key=lambda m: m.kind)
    groups = groupby(found, key=lambda m: m.kind)
    return [m for _, group in groups for m in list(group)[:per_kind]]


def table(found: Iterable[Judged]) -> str:
    """The counts by system and kind, with a sum for each system and one for all."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for j in found:
        for key in ((j.system, j.kind), (j.system, "all kinds"), ("all systems", "all kinds")):
            counts.setdefault(key, Counter()).update(j.counts())
    order = {system: k for k, system in enumerate(dict.fromkeys(s for s, _ in counts))}
    last = len(order)
    order["all systems"] = last
    keys = sorted(counts, key=lambda key: (order[key[0]], key[1] == "all kinds", key[1]))
    rows = [["system", "kind of mutation", *HEAD]]
    rows += [[*key, *(str(counts[key][column]) for column in HEAD)] for key in keys]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if k < 2 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def every(
    paths: Mapping[str, Path], per_kind: int | None, refuting: bool, quiet: bool
) -> Iterator[Judged]:
    """Each mutant of the certificates judged, with a progress bar on a terminal."""
    todo = [(system, m) for system, path in paths.items() for m in chosen(path, per_kind)]
    with tqdm(todo, unit=" mutants", disable=quiet or None, leave=False) as bar:
        for system, mutant in bar:
            bar.set_postfix_str(f"{system}: {mutant.name}", refresh=False)
            yield judged(system, mutant, refuting)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 0 if no mutant with a witness is accepted, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.mutants", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--env", help="only this system, by its id (default: all that are shipped)")
    parser.add_argument("--per-kind", type=int, help="only so many mutants of each kind")
    parser.add_argument("--fast", action="store_true", help="leave out the counterexamples' search")
    parser.add_argument("--json", action="store_true", help="print every mutant as JSON")
    args = parser.parse_args(argv)
    if args.per_kind is not None and args.per_kind < 1:
        parser.error(f"--per-kind is at least 1; got {args.per_kind}")
    known = shipped() | shipped(IMPOSSIBLE)
    paths = {n: p for n, p in known.items() if args.env in (None, n, n.rpartition("/")[2])}
    if not paths:
        parser.error(f"no shipped certificate for {args.env}; there are: {', '.join(known)}")
    began = time.monotonic()
    found = list(every(paths, args.per_kind, not args.fast, quiet=args.json))
    wrong = [j for j in found if j.accepted or j.accepted_exactly]
    if args.json:
        print(json.dumps([asdict(j) for j in found], indent=1))
    else:
        print(table(found))
        for j in wrong:
            print(f"ACCEPTED {j.system}: {j.name}, though {j.witness}")
        witnessed = sum(1 for j in found if j.witness)
        print(
            f"\n{witnessed} mutants with an exact witness of their fault, {len(wrong)} of them "
            f"accepted ({time.monotonic() - began:.0f} s)"
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
