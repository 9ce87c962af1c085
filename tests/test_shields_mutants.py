"""Broken certificates are refused, and every goal is needed."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import mutants as m
import pytest

from nprl.lang.terms import Var
from nprl.model import Coordinate, Model
from nprl.shields import exact as standalone
from nprl.shields import proved
from nprl.shields.certificate import Certificate, certificate_from_json
from nprl.shields.checker import Verdict, check, check_goal
from nprl.shields.goals import domain, goals, witnesses
from nprl.shields.synthesis.candidate import Candidate
from nprl.shields.synthesis.certify import claim
from nprl.shields.synthesis.prove import prove
from nprl.shields.synthesis.search import NotProved, Search

FOLDER = Path(str(proved.__file__)).parent
F = Fraction
X, U, W = Var("x"), Var("u"), Var("w")


def accepted(certificate: Certificate) -> bool:
    """The checker's verdict, goal by goal, ended by the first that is not proved."""
    if domain(certificate) or any(witnesses(certificate).values()):
        return False
    built = goals(certificate)
    return set(certificate.proofs) == set(built) and all(
        check_goal(goal, s, certificate.proofs[goal]).proved for goal, s in built.items()
    )


def standalone_accepts(data: dict[str, Any]) -> bool:
    return not any(standalone.check(json.dumps(data).encode()).values())


def shipped(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return result


def refuse_all(names: list[str]) -> Counter[str]:
    """Every mutant with an exact witness is refused twice; counts by kind, and those without."""
    counts: Counter[str] = Counter()
    for name in names:
        for mutant in m.mutants(shipped(name), name):
            try:
                certificate = mutant.certificate()
            except ValueError:
                counts["refused by the reader"] += 1
                continue
            witness = m.fault(certificate)
            if not witness:
                counts["no witness found"] += 1
                continue
            assert not accepted(certificate), f"{mutant.name}: accepted, though {witness}"
            assert not standalone_accepts(mutant.data), f"{mutant.name}: accepted, though {witness}"
            counts[mutant.kind] += 1
    return counts


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pendulum", "pendulum_v1", "selfdriving", "magnetic_pointer"])
def test_mutants_with_exact_witnesses_are_refused(name: str, capsys: Any) -> None:
    """Four systems with at least 25 witnessed mutants each: a hundred in all."""
    counts = refuse_all([name])
    with capsys.disabled():
        print(f"\nmutants of {name}: {dict(sorted(counts.items()))}")
    apart = counts["no witness found"] + counts["refused by the reader"]
    assert counts.total() - apart >= 25


def test_a_coarser_enclosure_is_refused() -> None:
    """Taylor polynomials of a lower order prove less: sin(0.6) is further from 0.6 than was used."""
    text = (FOLDER / "pendulum.json").read_text()
    data = json.loads(text)

    def coarsen(node: Any) -> Any:
        if isinstance(node, list) and node and node[0] == "function":
            return [node[0], node[1], 1, *map(coarsen, node[3:])]
        return [coarsen(part) for part in node] if isinstance(node, list) else node

    data["proofs"] = {goal: coarsen(tree) for goal, tree in data["proofs"].items()}
    assert json.dumps(data) != text
    assert not accepted(certificate_from_json(data))
    assert not standalone_accepts(data)


# --- each goal is needed ---------------------------------------------------------------------------

MODEL = Model(
    name="one",
    state=(Coordinate("x", "m", F(-2), F(2)),),
    action=(Coordinate("u", "m/s", F(-1), F(1)),),
    disturbance=(Coordinate("w", "m", F(-1, 100), F(1, 100)),),
    step={X: X + U * F(1, 10) + W},
    init={X: (F(-1, 2), F(1, 2))},
    safe=(X <= 1) & (X >= -1),
)
GOOD = Candidate("polytope", ((1 - X, 1 + X),), (-X,), {})


def all_but(draft: Certificate, goal: str) -> Certificate:
    """The certificate with a proof of every goal that can be proved but this one."""
    proofs: dict[str, Any] = {}
    for name, sequent in goals(draft).items():
        try:
            proofs[name] = prove(sequent, Search(seconds=20, max_depth=3))
        except NotProved:
            assert name == goal
            proofs[name] = ["leaf", [{} for _ in sequent.alternatives[0]]]
    return replace(draft, proofs=proofs)


def with_witness(name: str, **point: Fraction) -> Certificate:
    draft = claim(MODEL, GOOD)
    return replace(draft, witness={**draft.witness, name: point})


def fresh(model: Model = MODEL, candidate: Candidate = GOOD) -> Certificate:
    return claim(model, candidate)


def unrounded() -> Certificate:
    draft = fresh()
    return replace(draft, rounding=replace(draft.rounding, plant={"x": F(0)}))


def unmargined() -> Certificate:
    draft = fresh()
    return replace(draft, shield=replace(draft.shield, margins=((F(0), F(0)),)))


def wide() -> Certificate:
    """A set wider than the ranges, as safe, kept on the ranges."""
    model = replace(MODEL, state=(Coordinate("x", "m", F(-3, 4), F(3, 4)),))
    return fresh(model)


ONLY = {
    "domain": unrounded,
    "init": lambda: fresh(replace(MODEL, init={X: (F(-3, 2), F(1, 2))})),
    "safe/0/0": lambda: fresh(replace(MODEL, safe=(F(9, 10) >= X) & (X >= -1))),
    "ranges/0": wide,
    "action/0": lambda: fresh(
        candidate=Candidate("polytope", ((1 - X, 1 + X),), (-X * F(3, 2),), {})
    ),
    "backup/0/0": lambda: fresh(candidate=Candidate("polytope", ((1 - X, 1 + X),), (X,), {})),
    "test/0": unmargined,
    "witness/init": lambda: with_witness("init", x=F(3, 4)),
    "witness/invariant": lambda: with_witness("invariant", x=F(5, 4)),
    "witness/action": lambda: with_witness("action", u=F(-2)),
    "witness/disturbance": lambda: with_witness("disturbance", w=F(1)),
    "witness/test": lambda: with_witness("invariant", x=F(1)),
}


def test_the_unbroken_certificate_is_accepted() -> None:
    good = all_but(fresh(), "")
    assert check(good).verdict is Verdict.VERIFIED
    assert standalone_accepts(good.to_json())


@pytest.mark.parametrize("goal", ONLY)
def test_without_this_goal_a_mutant_would_get_through(goal: str) -> None:
    certificate = all_but(ONLY[goal](), goal)
    report = check(certificate)
    failed = {r.goal for r in report.results if not r.proved}
    apart = {"witness/test"} if goal in ("witness/invariant", "witness/action") else set()
    assert failed - apart == {goal}
    refused = {
        g
        for g, reason in standalone.check(json.dumps(certificate.to_json()).encode()).items()
        if reason
    }
    assert refused - apart == {goal}
