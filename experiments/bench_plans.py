"""What plans cost and what they give: ``python -m experiments.bench_plans [--certificate FILE]``.

For a certificate, with its own plans or (`--gains`) with saturated linear programs made here: the
share of S that the invariant covers, and with plans (uniform samples of the ranges); microseconds
of processor time for a rollout of as many steps as a plan may have (those that are found only late,
scaled to that length); for a decision that a plan allows, and for one that replaces the action.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError, solve_discrete_are

from experiments.adversary import shipped
from nprl.env.plant import Plant
from nprl.lang.terms import Num, Term, Var
from nprl.shields import Filter, load_certificate
from nprl.shields.certificate import Certificate
from nprl.shields.plans import Coverage, Planner, with_plans
from nprl.shields.rates import derivative
from nprl.shields.synthesis.numeric import values

STEPS = 80
GAINS = 6
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
    allowed_us: float
    override_us: float


def gains(certificate: Certificate, count: int = GAINS, seed: int = 0) -> list[tuple[Term, ...]]:
    """Linear programs about the point of the witness: Riccati gains for random weights."""
    model = certificate.model
    at = {n: Num(v) for n, v in certificate.witness["invariant"].items()}
    point = np.array([[float(v.value) for v in at.values()]])
    held = values(certificate.shield.backup, model.state_names, point)[0]
    names = (*model.state_names, *model.action_names, *model.disturbance_names)
    wind = [float(v) for v in model.nominal().values()]
    where = np.array([[*point[0], *held, *wind]])
    n, m = len(model.state), len(model.action)
    a, b = (
        np.stack([values([derivative(t, x) for x in of], names, where)[0] for t in model.steps])
        for of in (model.state_names, model.action_names)
    )
    rng = np.random.default_rng(seed)
    found: list[tuple[Term, ...]] = []
    while len(found) < count:
        weights = np.exp(rng.uniform(-4, 4, n)), np.exp(rng.uniform(-8, 2, m))
        try:
            p = solve_discrete_are(a, b, *map(np.diag, weights))
        except LinAlgError:
            continue
        k = np.linalg.solve(np.diag(weights[1]) + b.T @ p @ b, b.T @ p @ a)
        program = []
        for row, u in zip(k, held, strict=True):
            t: Term = Num(Fraction(u).limit_denominator(10**6))
            for gain, name in zip(row, model.state_names, strict=True):
                t = t - Num(Fraction(gain).limit_denominator(10**4)) * (Var(name) - at[name])
            program.append(t)
        found.append(tuple(program))
    return found


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
    steps = max(1, int(lengths[longest].sum()) * 20)
    rollout = _best(lambda: first.rollouts.reach_batch(long)) / steps * plans.steps
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
    parser.add_argument("--gains", type=int, help="so many programs made here, not the file's")
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
            certificate = with_plans(certificate, gains(certificate, args.gains), args.steps)
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
            f"{c.rollout_us:.2f} for a rollout of {c.steps} steps, {c.allowed_us:.1f} for a "
            f"decision that a plan allows, {c.override_us:.1f} for an override"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
