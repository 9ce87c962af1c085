"""What the shield costs at run time: ``python -m experiments.bench_shield``.

For each shipped certificate, in microseconds: the bare compiled step of the model; the shield's
decision and that step; their difference; whether the state is inside, which a wrapper asks
besides; a decision that replaces the action; the batched shield for each of 1,024 states, where
every action is allowed and where actions are random; and beside them one Z3 query that asks of a
step what the test answers. Each is the best of several repetitions, on one core.
"""

from __future__ import annotations

import argparse
import json
import sys
import timeit
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import z3

from experiments.adversary import shipped
from nprl.lang import smt
from nprl.lang.build import all_of, any_of
from nprl.lang.floats import compile_scalar
from nprl.lang.terms import Term, Var
from nprl.shields import Filter, load_certificate
from nprl.shields.certificate import Certificate
from nprl.shields.polynomial import polynomial
from nprl.shields.sequent import assign
from nprl.shields.synthesis.proofs.bernstein import from_polynomial

STATES = 1024


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds for one system."""

    name: str
    rows: int
    bare: float
    shielded: float
    more: float
    inside: float
    override: float
    batch: float
    batch_random: float
    z3: float


def best(function: Callable[[], Any], seconds: float = 1.0, repeats: int = 1000) -> float:
    """Microseconds for a call, at its best: of many short repetitions some are undisturbed."""
    timer = timeit.Timer(function)
    once = max(min(timer.repeat(5, 1)), 1e-7)
    number = max(1, int(2e-4 / once))
    return min(timer.repeat(min(repeats, max(3, int(seconds / once))), number)) / number * 1e6


def with_rows(certificate: Certificate, rows: int) -> Certificate:
    """The same set by ``rows`` rows: what is added lies a little outside of rows that are there.

    The proofs are not made to fit: it is for timing only.
    """
    model, shield = certificate.model, certificate.shield
    part, margins = list(shield.invariant[0]), list(shield.margins[0])
    errors, rng = list(certificate.rounding.test[0]), np.random.default_rng(0)
    for k in range(rows - len(part)):
        turned: Term = part[k]
        for c in model.state:
            slope = Fraction(int(rng.integers(-64, 65)), 2**16)
            turned = turned + slope * Var(c.name) + abs(slope) * max(abs(c.low), abs(c.high))
        part.append(from_polynomial(polynomial(turned)))
        margins.append(margins[k])
        errors.append(2 * errors[k])
    return replace(
        certificate,
        shield=replace(shield, invariant=(tuple(part),), margins=(tuple(margins),)),
        rounding=replace(certificate.rounding, test=(tuple(errors),)),
    )


def measure(path: Path, proved: bool = True, rows: int | None = None) -> Cost:
    """The costs of one certificate; with ``rows``, of one with so many."""
    shield = Filter.from_file(path) if proved else Filter(load_certificate(path), trusted=True)
    if rows is not None:
        shield = Filter(with_rows(shield.certificate, rows), trusted=True)
    model = shield.model
    rng = np.random.default_rng(0)
    x, u = _cases(shield, rng)
    allowed = shield.passes_batch(x, u)
    bounds = {n: (float(a), float(b)) for n, (a, b) in model.box().items()}
    step = compile_scalar(
        model.steps, (model.state_names, model.action_names, model.disturbance_names), bounds
    )
    w = tuple(float(v) for v in model.nominal().values())
    kept = _pairs(x[allowed], u[allowed])
    replaced = _pairs(x[~allowed], u[~allowed])

    def bare() -> None:
        for state, action in kept:
            step(state, action, w)

    def shielded() -> None:
        for state, action in kept:
            step(state, shield.filter(state, action).action, w)

    def inside() -> None:
        for state, _ in kept:
            shield.inside(state)

    def override() -> None:
        for state, action in replaced:
            shield.filter(state, action)

    ask = _query(shield)
    calm = shield.filter_batch(x, u)[0]
    one, both = best(bare) / len(kept), best(shielded) / len(kept)
    return Cost(
        name=model.name,
        rows=sum(len(p) for p in shield.certificate.shield.invariant),
        bare=one,
        shielded=both,
        more=both - one,
        inside=best(inside) / len(kept),
        override=best(override) / len(replaced),
        batch=best(lambda: shield.filter_batch(x, calm)) / STATES,
        batch_random=best(lambda: shield.filter_batch(x, u)) / STATES,
        z3=best(lambda: ask(*kept[0]), repeats=10),
    )


def _cases(shield: Filter, rng: np.random.Generator) -> tuple[Any, Any]:
    """States inside I, and random actions in the box (or random choices)."""
    model = shield.model
    low, high = (np.array([float(getattr(c, k)) for c in model.state]) for k in ("low", "high"))
    found: list[Any] = []
    scale = 1.0
    while sum(map(len, found)) < STATES:
        x = rng.uniform(scale * low, scale * high, (20_000, len(low)))
        found.append(x[shield.inside_batch(x)])
        scale *= 0.9 if len(found[-1]) < 200 else 1.0
    states = np.concatenate(found)[:STATES]
    if shield.choices is not None:
        return states, np.array(shield.choices)[rng.integers(len(shield.choices), size=STATES)]
    ends = np.array(shield.bounds)
    return states, rng.uniform(ends[:, 0], ends[:, 1], (STATES, len(ends)))


def _pairs(x: Any, u: Any) -> list[tuple[tuple[float, ...], tuple[float, ...]]]:
    pairs = list(zip(map(tuple, x.tolist()), map(tuple, u.tolist()), strict=True))
    if not pairs:
        raise ValueError("there are no such actions to time")
    return pairs[:20]


def _query(shield: Filter) -> Callable[[Sequence[float], Sequence[float]], Any]:
    """Asks Z3 whether some disturbance leads out of I, for a state and an action; built once."""
    model = shield.model
    after = dict(zip(model.state_names, model.steps, strict=True))
    parts = shield.certificate.shield.invariant
    inside = any_of(*(all_of(*(assign(g, after) >= 0 for g in part)) for part in parts))
    known = [z3.Real(n) for n in (*model.state_names, *model.action_names)]
    noise = [z3.Real(n) for n in model.disturbance_names]
    at = {str(v): v for v in (*known, *noise)}
    facts: list[Any] = []
    facts.append(z3.Not(smt.formula_to_z3(inside, at, facts)))
    for c, v in zip(model.disturbance, noise, strict=True):
        facts += [v >= smt.number(c.low), v <= smt.number(c.high)]

    def ask(x: Sequence[float], u: Sequence[float]) -> Any:
        solver = z3.Solver()
        solver.add(*facts)
        solver.add(*(v == smt.number(Fraction(n)) for v, n in zip(known, (*x, *u), strict=True)))
        return solver.check()

    return ask


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 0."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.bench_shield", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--certificate", type=Path, help="only this file (default: all shipped)")
    parser.add_argument("--rows", type=int, help="with so many rows, by rows that change nothing")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(argv)
    paths = [args.certificate] if args.certificate is not None else list(shipped().values())
    costs = [measure(path, rows=args.rows) for path in paths]
    if args.json:
        print(json.dumps([asdict(c) for c in costs], indent=1))
        return 0
    heads = [f.name for f in fields(Cost)]
    print("microseconds; batch: for each of 1,024 states")
    print(f"{heads[0]:24}" + "".join(f"{h:>14}" for h in heads[1:]))
    for c in costs:
        values = [getattr(c, h) for h in heads[1:]]
        print(f"{c.name:24}" + f"{values[0]:>14}" + "".join(f"{v:>14.2f}" for v in values[1:]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
