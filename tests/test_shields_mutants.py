"""Broken certificates are refused, and every goal is needed."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from runtime_examples import union_certificate

from experiments import mutants as table
from experiments.mutants import Judged, chosen, judged
from experiments.mutants_faults import fault
from experiments.mutants_losing import fault_losing, mutants_losing
from experiments.mutants_made import mutants
from nprl.lang.terms import Var
from nprl.model import Coordinate, Model
from nprl.shields import exact as standalone
from nprl.shields import proved
from nprl.shields.certificate import Certificate, certificate_from_json
from nprl.shields.checker import Verdict, check, check_goal
from nprl.shields.goals import domain, goals, witnesses
from nprl.shields.synthesis.candidate import Candidate
from nprl.shields.synthesis.certify import claim
from nprl.shields.synthesis.proofs.prove import prove
from nprl.shields.synthesis.proofs.search import NotProved, Search

FOLDER = Path(str(proved.__file__)).parent
SYSTEMS = ["pendulum", "pendulum_v1", "selfdriving", "magnetic_pointer"]
SOUND = [*SYSTEMS, "cartpole", "lanekeeping", "linear_cartpole", "road", "obstacle", "duffing"]
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


def standalone_accepts(data: Mapping[str, Any]) -> bool:
    return not any(standalone.check(json.dumps(data).encode()).values())


@pytest.mark.parametrize("system", SOUND)
def test_a_shipped_certificate_has_no_fault(system: str) -> None:
    assert fault(json.loads((FOLDER / f"{system}.json").read_bytes())) == ""


@pytest.mark.parametrize("name", SYSTEMS)
def test_mutants_with_exact_witnesses_are_refused(name: str) -> None:
    """The first mutant of each kind that has a witness; the command's table has them all."""
    source = json.loads((FOLDER / f"{name}.json").read_text())
    seen: set[str] = set()
    for mutant in mutants(source):
        witness = "" if mutant.kind in seen else fault(mutant.data)
        if witness:
            seen.add(mutant.kind)
            certificate = certificate_from_json(mutant.data)
            assert not accepted(certificate), f"{mutant.name}: accepted, though {witness}"
            assert not standalone_accepts(mutant.data), f"{mutant.name}: accepted, though {witness}"
    wanted = {
        "another plant", "dropped facet", "empty set", "flipped sign", "margin too small",
        "perturbed gain", "rounding denied", "scaled set", "shrunk domain", "widened disturbance",
        "widened start",
    }  # fmt: skip
    assert wanted <= seen
    assert ("coarser enclosure" in seen) == ("pendulum" in name)


@pytest.mark.parametrize("system", ["quadcopter_stated", "cooling_stated"])
def test_mutants_of_an_impossibility_are_refused(system: str) -> None:
    source = json.loads((FOLDER / f"{system}.json").read_bytes())
    assert fault_losing(source) == ""
    found = [judged(system, mutant) for mutant in mutants_losing(source)]
    assert sum(1 for j in found if j.witness) >= 4
    assert [j for j in found if j.accepted or j.accepted_exactly] == []


def test_mutants_of_a_union_are_made_in_every_part() -> None:
    source = union_certificate().to_json()
    found = [m.name for m in mutants(source) if m.kind == "dropped facet"]
    assert {name.rpartition("part ")[2] for name in found} == {"0 dropped", "1 dropped"}
    assert fault(source) == ""
    flipped = next(m for m in mutants(source) if m.kind == "flipped sign")
    assert fault(flipped.data)


@pytest.mark.slow
def test_a_hundred_mutants_with_exact_witnesses_are_refused(capsys: Any) -> None:
    paths = {name: FOLDER / f"{name}.json" for name in SYSTEMS}
    found = list(table.every(paths, per_kind=None, refuting=False, quiet=True))
    with capsys.disabled():
        print("\n" + table.table(found))
    assert sum(1 for j in found if j.witness) >= 100
    assert [j for j in found if j.accepted or j.accepted_exactly] == []


def test_falsified_and_unknown_are_told_apart() -> None:
    by_kind = {m.kind: m for m in chosen(FOLDER / "selfdriving.json", 1)}
    gain = judged("s", by_kind["perturbed gain"])
    assert gain.witness.startswith("the backup")
    assert (gain.accepted, gain.accepted_exactly, gain.falsified) == (False, False, True)
    rounding = judged("s", by_kind["rounding denied"])
    assert rounding.open_goals == ("domain",)
    assert (rounding.accepted, rounding.accepted_exactly, rounding.falsified) == (False,) * 3
    assert rounding.counts() == {"mutants": 1, "unknown": 1}


def test_the_table_counts_by_system_and_kind() -> None:
    found = [
        Judged("a", "k", "m1", "w", falsified=True, trace=True),
        Judged("a", "k", "m2", "w", accepted_exactly=True),
        Judged("a", "j", "m3", ""),
        Judged("b", "k", "m4", "w", accepted=True),
    ]
    assert table.table(found).splitlines() == [
        "system       kind of mutation  mutants  accepted  accepted, exact  fal"
        "sified  trace  unknown  no witness",
        "a            j                       0         0                0     "
        "     0      0        0           1",
        "a            k                       2         0                1     "
        "     1      1        0           0",
        "a            all kinds               2         0                1     "
        "     1      1        0           1",
        "b            k                       1         1                0     "
        "     0      0        0           0",
        "b            all kinds               1         1                0     "
        "     0      0        0           0",
        "all systems  all kinds               3         1                1     "
        "     1      1        0           1",
    ]


def test_the_command_fails_where_a_checker_accepts_a_mutant(monkeypatch: Any, capsys: Any) -> None:
    arguments = ["--env", "SelfDriving-v0", "--per-kind", "1", "--fast"]
    empty = next(m for m in chosen(FOLDER / "selfdriving.json", 1) if m.kind == "empty set")
    monkeypatch.setattr(table, "chosen", lambda path, per_kind: [empty])
    assert table.main(arguments) == 0
    said = capsys.readouterr().out
    assert "1 mutants with an exact witness of their fault, 0 of them accepted" in said
    monkeypatch.setattr(table.exact, "check", lambda data: {"init": ""})
    assert table.main(arguments) == 1
    assert "ACCEPTED nprl/SelfDriving-v0: a row that nothing meets, though the witness" in (
        capsys.readouterr().out
    )


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


def test_a_mutant_is_refused_for_its_fault_and_not_for_its_form() -> None:
    """Without a row that nothing needs, the fitted proofs still hold."""
    idle = Candidate("polytope", ((1 - X, 3 + X, 1 + X),), (-X,), {})
    source = all_but(fresh(candidate=idle), "").to_json()
    dropped = {m.name: m for m in mutants(source) if m.kind == "dropped facet"}
    assert fault(dropped["row 1 of part 0 dropped"].data) == ""
    assert accepted(certificate_from_json(dropped["row 1 of part 0 dropped"].data))
    assert standalone_accepts(dropped["row 1 of part 0 dropped"].data)
    assert "of I is" in fault(dropped["row 2 of part 0 dropped"].data)
    report = check(certificate_from_json(dropped["row 2 of part 0 dropped"].data))
    assert "init" not in {r.goal for r in report.results if not r.proved}


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
