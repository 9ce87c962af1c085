"""Unions of modes: sets on all sides of a hole, each kept by its own backup, in one certificate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from importlib import resources

import numpy as np
import pytest

from nprl.envs.point_mass import MODEL
from nprl.lang.floats import compile_batch, compile_scalar
from nprl.lang.text import parse, parse_formula
from nprl.model import Coordinate, Model
from nprl.shields.certificate import certificate_from_json
from nprl.shields.checker import Verdict, check
from nprl.shields.exact import check as check_exactly
from nprl.shields.synthesis.budget import Budget
from nprl.shields.synthesis.candidate import candidates
from nprl.shields.synthesis.certify import certify
from nprl.shields.synthesis.proofs.search import NotProved
from nprl.shields.synthesis.proposal import Candidate
from nprl.shields.synthesis.sets.control_invariant import control_invariant
from nprl.shields.synthesis.sets.few_rows import few_rows
from nprl.shields.synthesis.sets.turned import turned
from nprl.shields.synthesis.sets.union import backup_of
from nprl.shields.synthesis.views.equilibrium import equilibria
from nprl.shields.synthesis.views.linearise import inclusion
from nprl.shields.synthesis.views.numeric import values
from nprl.shields.synthesis.views.polytope import volume
from nprl.shields.synthesis.views.problem import Problem, problem_of

F = Fraction
HOLE = "abs(x) >= 1 or abs(y) >= 1"


def plane(safe: str) -> Model:
    """Two coordinates, moved by an input each, and pushed a little."""
    return Model(
        name="plane",
        state=(Coordinate("x", "m", F(-4), F(4)), Coordinate("y", "m", F(-4), F(4))),
        action=(Coordinate("u", "m", F(-1), F(1)), Coordinate("v", "m", F(-1), F(1))),
        disturbance=(Coordinate("w", "m", F(-1, 100), F(1, 100)),),
        step={"x": parse("x + 0.1 * u + w"), "y": parse("y + 0.1 * v")},
        init={"x": (F(2), F(3)), "y": (F(0), F(1))},
        safe=parse_formula(safe),
    )


def mass() -> Model:
    """Two coordinates with their speeds, and a wall that is parallel to neither."""
    return Model(
        name="mass",
        state=tuple(
            Coordinate(n, "m", -v, v)
            for n, v in {"x": F(4), "y": F(4), "vx": F(2), "vy": F(2)}.items()
        ),
        action=(Coordinate("ax", "m", F(-1), F(1)), Coordinate("ay", "m", F(-1), F(1))),
        step={
            "x": parse("x + 0.2 * vx"),
            "y": parse("y + 0.2 * vy"),
            "vx": parse("vx + 0.2 * ax"),
            "vy": parse("vy + 0.2 * ay"),
        },
        init={"x": (F(1), F(1)), "y": (F(1), F(1)), "vx": (F(0), F(0)), "vy": (F(0), F(0))},
        safe=parse_formula("x + y > 1"),
    )


@pytest.fixture(scope="module")
def found() -> Candidate:
    return next(candidates(plane(HOLE), unions=True))


def test_a_hole_gets_modes_on_all_sides_and_both_checkers_accept_them(found: Candidate) -> None:
    model = plane(HOLE)
    assert found.family == "union"
    assert len(found.invariant) == 4
    certificate = certify(model, found, 600)
    assert check(certificate).verdict is Verdict.VERIFIED
    data = json.dumps(certificate.to_json()).encode()
    assert not {k: v for k, v in check_exactly(data).items() if v}


def test_the_union_holds_nearly_all_that_is_free(found: Candidate) -> None:
    x = np.random.default_rng(0).uniform(-4, 4, (20_000, 2))
    free = np.abs(x).max(axis=1) >= 1
    parts = [(values(p, ["x", "y"], x) >= 0).all(axis=1) for p in found.invariant]
    inside = np.any(parts, axis=0)
    assert not (inside & ~free).any()
    assert inside.sum() > 0.95 * free.sum()


def test_the_backup_goes_on_from_mode_to_mode(found: Candidate) -> None:
    backup = compile_scalar(found.backup, [["x", "y"]])
    step = compile_batch([parse("x + 0.1 * u"), parse("y + 0.1 * v")], [["x", "y", "u", "v"]])
    inside = [compile_scalar(p, [["x", "y"]]) for p in found.invariant]
    for at in ((1.3, 0.0), (-1.3, 0.0), (0.0, 1.3), (0.0, -1.3)):
        state = np.array(at)
        for _ in range(30):
            u = backup(list(state))
            state = np.array(step(np.array([[*state, *u]]))).ravel()
            assert any(min(g(list(state))) >= 0 for g in inside)


def test_a_union_whose_backups_are_exchanged_is_not_proved(found: Candidate) -> None:
    rows = found.invariant[:2]
    away = (parse("0.5"), parse("0.5"))
    wrong = Candidate("union", rows, backup_of([away, away], rows))
    with pytest.raises(NotProved):
        certify(plane(HOLE), wrong, 600)


def test_coordinates_along_a_face_make_a_product() -> None:
    def see(problem: Problem) -> Iterator[Candidate]:
        seen.append(problem.model)
        return iter(())

    seen: list[Model] = []
    list(turned(problem_of(mass()), see))
    (other,) = seen
    x = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    along = {n: str(t) for n, t in other.step.items()}
    assert along["z0"] == "z0 + 0.2 * z1"
    assert along["z1"] == "z1 + 0.2 * v0"
    assert along["z2"] == "z2 + 0.2 * z3"
    box = np.array([[float(c.low), float(c.high)] for c in other.state])
    for point in x:  # corners of the new box, in the old coordinates
        z = np.where(point[[0, 1, 0, 1]] > 0, box[:, 0], box[:, 1])
        old = np.array([(z[0] + z[2]) / 2, (z[0] - z[2]) / 2])
        assert (np.abs(old) <= 4 + 1e-6).all()


def test_few_rows_are_kept_and_hold_most_of_the_largest_set() -> None:
    model = Model(
        name="cart",
        state=(Coordinate("x", "m", F(-4), F(4)), Coordinate("v", "m", F(-2), F(2))),
        action=(Coordinate("a", "m", F(-1), F(1)),),
        step={"x": parse("x + 0.1 * v"), "v": parse("v + 0.1 * a")},
        init={"x": (F(0), F(0)), "v": (F(0), F(0))},
        safe=parse_formula("x >= -4 and x <= 4"),
    )
    problem = problem_of(model)
    maps = inclusion(problem, equilibria(problem)[0])
    whole, short = control_invariant(maps), few_rows(maps, Budget())
    assert whole is not None
    assert short is not None
    assert len(short) <= 20 < len(whole)
    assert volume(short) > 0.8 * volume(whole)


def test_a_single_piece_is_proposed_first_unless_unions_are_asked_for() -> None:
    assert next(candidates(plane(HOLE))).family == "polytope"


@pytest.mark.slow
def test_both_checkers_accept_the_shipped_union_around_a_disc() -> None:
    file = resources.files("nprl.shields.proved") / "point_mass.json"
    data = file.read_bytes()
    certificate = certificate_from_json(json.loads(data))
    assert certificate.model == MODEL
    assert len(certificate.shield.invariant) == 4
    assert check(certificate).verdict is Verdict.VERIFIED
    assert not {k: v for k, v in check_exactly(data).items() if v}


def test_the_shipped_union_holds_most_of_what_is_free() -> None:
    file = resources.files("nprl.shields.proved") / "point_mass.json"
    certificate = certificate_from_json(json.loads(file.read_bytes()))
    x = np.random.default_rng(0).uniform([-4, -4, -1.5, -1.5], [4, 4, 1.5, 1.5], (20_000, 4))
    x = x[(np.hypot(x[:, 0], x[:, 1]) >= 1) & (np.hypot(x[:, 2], x[:, 3]) <= 1.5)]
    names = MODEL.state_names
    parts = [(values(p, names, x) >= 0).all(axis=1) for p in certificate.shield.invariant]
    assert np.any(parts, axis=0).mean() > 0.8
