"""What plans cost and what they give: ``python -m experiments.bench_plans [--certificate FILE]``.

For a certificate, with its own plans or (`--gains`) with such as synthesis proposes: the
share of S that the invariant covers, and with plans (uniform samples of the ranges); microseconds
of processor time for a rollout of as many steps as a plan may have (those that are found only late,
scaled to that length), in a batch of them and by itself; for a decision that a plan allows, and for
one that replaces the action.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.adversary import shipped
from nprl.env.plant import Plant
from nprl.shields import Filter, load_certificate
from nprl.shields.certificate import Certificate
from nprl.shields.plans import Coverage, Planner
from nprl.shields.rollout_c import LANES
from nprl.shields.synthesis.plans import STEPS, enlarged

SAMPLES = 20_000
DECISIONS = 300


@dataclass(frozen=True, slots=True)
class Cost:
    """One certificate's figures; microseconds of processor time."""

    name: str
    programs: int
    steps: int
    compiled: bool
    samples: int
    share_alone: float
    share_plans: float
    rollout_us: float
    """In a batch: `nprl.shields.rollout_c.LANES` side by side."""
    alone_us: float
    """By itself."""
    allowed_us: float
    override_us: float


def measure(certificate: Certificate, samples: int = SAMPLES, seed: int = 0) -> Cost:
    """The figures of a certificate that has plans."""
    plans, model = certificate.shield.plans, certificate.model
    assert plans is not None
    coverage = Coverage(Filter(certificate, trusted=True))
    rng = np.random.default_rng(seed)
    low, high = (np.array([float(getattr(c, k)) for c in model.state]) for k in ("low", "high"))
    x = rng.uniform(low, high, (samples, len(low)))
    safe = Plant(model).verdict_batch(x)[0]
    alone, both = coverage.shield.inside_batch(x), coverage.inside_batch(x)
    one = replace(plans, policies=plans.policies[:1])
    first = Coverage(
        Filter(replace(certificate, shield=replace(certificate.shield, plans=one)), trusted=True)
    )
    lengths = first.rollouts.reach_batch(x)
    longest = np.argsort(lengths)[-max(10, samples // 100) :]
    long = np.tile(x[longest], (20, 1))
    single = np.full((LANES * len(long), len(low)), np.nan)  # no rollout begins where there is NaN
    single[::LANES] = long
    scale = plans.steps / max(1, int(lengths[longest].sum()) * 20)
    rollout, alone_s = (
        _best(lambda states=states: first.rollouts.reach_batch(states), 40) * scale
        for states in (long, single)
    )
    allowed, override = _decisions(coverage, x[both & ~alone], rng)
    return Cost(
        name=model.name,
        programs=len(plans.policies),
        steps=plans.steps,
        compiled=coverage.rollouts.native,
        samples=int(np.count_nonzero(safe)),
        share_alone=float(alone[safe].mean()),
        share_plans=float(both[safe].mean()),
        rollout_us=rollout * 1e6,
        alone_us=alone_s * 1e6,
        allowed_us=allowed * 1e6,
        override_us=override * 1e6,
    )


def _decisions(coverage: Coverage, x: Any, rng: np.random.Generator) -> tuple[float, float]:
    """Seconds for a decision that a plan allows, and for one that replaces the action."""
    ends = np.array(coverage.shield.bounds)
    kinds: tuple[list[Any], list[Any]] = ([], [])
    for state in x[: 10 * DECISIONS].tolist():
        u = rng.uniform(ends[:, 0], ends[:, 1]).tolist()
        if coverage.shield.choices is not None:
            u = coverage.shield.choices[rng.integers(len(coverage.shield.choices))]
        planner = Planner(coverage)
        decision = planner.filter(state, u)
        if planner.steps_left or decision.overridden:
            kinds[decision.overridden].append((state, u))

    def decide(cases: list[Any]) -> None:
        for state, u in cases:
            Planner(coverage).filter(state, u)

    costs = [_best(lambda c=cases: decide(c)) / max(1, len(cases)) for cases in kinds]
    return costs[0], costs[1]


def _best(function: Callable[[], Any], repeats: int = 7) -> float:
    """Seconds of processor time for a call, at its best."""
    found = []
    for _ in range(repeats):
        began = time.process_time()
        function()
        found.append(time.process_time() - began)
    return min(found)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures; 0."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.bench_plans", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--certificate", type=Path, help="only this file (default: all shipped)")
    parser.add_argument("--env", help="only this system, by its id")
    parser.add_argument("--gains", type=int, help="so many programs proposed here, not the file's")
    parser.add_argument("--steps", type=int, default=STEPS, help="of a plan, with --gains")
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(argv)
    paths = [args.certificate] if args.certificate is not None else list(shipped().values())
    costs = []
    for path in paths:
        certificate = load_certificate(path)
        if args.env not in (None, certificate.model.name):
            continue
        if args.gains:
            certificate = enlarged(certificate, args.gains, args.steps, least=0.0)
        if certificate.shield.plans is not None:
            costs.append(measure(certificate, args.samples))
    if not costs:
        parser.error("no such certificate has plans; --gains 6 makes some")
    if args.json:
        print(json.dumps([asdict(c) for c in costs], indent=1))
        return 0
    for c in costs:
        print(
            f"{c.name}: {c.programs} programs, {c.steps} steps"
            f"{'' if c.compiled else ' (not compiled)'}; share of S, {c.samples:,} samples: "
            f"{c.share_alone:.2%} alone, {c.share_plans:.2%} with plans; microseconds: "
            f"{c.rollout_us:.2f} for a rollout of {c.steps} steps in a batch, {c.alone_us:.2f} for "
            f"one alone, {c.allowed_us:.1f} for a decision that a plan allows, {c.override_us:.1f} for an override"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
