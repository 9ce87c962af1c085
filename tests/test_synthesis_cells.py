"""Cells: sets on a grid, for safe sets and steps that leave no large convex set."""

from __future__ import annotations

import copy
import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from experiments.mutants import judged
from experiments.mutants_made import mutants
from nprl.lang.floats import compile_batch
from nprl.lang.text import parse, parse_formula
from nprl.model import Coordinate, Model
from nprl.shields.certificate import Certificate
from nprl.shields.checker import Verdict, check
from nprl.shields.exact import check as check_exactly
from nprl.shields.synthesis.budget import Budget
from nprl.shields.synthesis.certify import certify
from nprl.shields.synthesis.sets.cell_map import cells, suits
from nprl.shields.synthesis.synthesize import synthesize
from nprl.shields.synthesis.views.images import image, truth
from nprl.shields.synthesis.views.numeric import values

F = Fraction


def drift() -> Model:
    """A point in a current, with a square to stay out of."""
    return Model(
        name="drift",
        state=(Coordinate("x", "m", F(-2), F(2)), Coordinate("y", "m", F(-2), F(2))),
        action=(Coordinate("u", "m/s", F(-1), F(1)), Coordinate("v", "m/s", F(-1), F(1))),
        disturbance=(Coordinate("w", "m", F(-1, 100), F(1, 100)),),
        step={"x": parse("x + 0.1 * u + 0.05 + w"), "y": parse("y + 0.1 * v")},
        init={"x": (F(-1), F(-4, 5)), "y": (F(-1, 5), F(1, 5))},
        safe=parse_formula("abs(x) >= 0.5 or abs(y) >= 0.5"),
    )


def relay() -> Model:
    """A point that is thrown to the other side of a gap in every step: no convex set is kept."""
    return Model(
        name="relay",
        state=(Coordinate("x", "m", F(-1), F(1)),),
        action=(Coordinate("u", "m", F(-1), F(1)),),
        disturbance=(Coordinate("w", "m", F(-1, 50), F(1, 50)),),
        step={"x": parse("where(x >= 0, x - 0.9, x + 0.9) + 0.1 * u + w")},
        init={"x": (F(2, 5), F(1, 2))},
        safe=parse_formula("(x >= 0.2 or x <= -0.2) and x <= 0.9 and x >= -0.9"),
    )


@pytest.fixture(scope="module")
def proved() -> Certificate:
    return certify(relay(), next(cells(relay(), Budget())), 600)


def test_both_checkers_accept_a_set_of_cells_on_both_sides_of_a_gap(proved: Certificate) -> None:
    assert proved.shield.family == "cells"
    assert len(proved.shield.invariant) == 2
    assert check(proved).verdict is Verdict.VERIFIED
    data = json.dumps(proved.to_json()).encode()
    assert not {k: v for k, v in check_exactly(data).items() if v}


@pytest.mark.slow
def test_synthesis_ends_with_cells_where_no_other_set_is_found() -> None:
    found = synthesize(relay(), 300).certificate
    assert found is not None
    assert found.shield.family == "cells"


@pytest.mark.slow
def test_the_cells_around_a_square_are_proved_and_hold_nearly_all_that_is_free() -> None:
    around = certify(drift(), next(cells(drift(), Budget())), 900)
    assert check(around).verdict is Verdict.VERIFIED
    data = json.dumps(around.to_json()).encode()
    assert not {k: v for k, v in check_exactly(data).items() if v}
    x = np.random.default_rng(0).uniform(-2, 2, (20_000, 2))
    free = np.abs(x).max(axis=1) >= 0.5
    parts = [(values(p, ["x", "y"], x) >= 0).all(axis=1) for p in around.shield.invariant]
    inside = np.any(parts, axis=0)
    assert not (inside & ~free).any()
    assert inside.sum() > 0.95 * free.sum()


def _dropped(data: Any) -> None:
    data["shield"]["invariant"].pop()
    data["shield"]["margins"].pop()
    data["rounding"]["test"].pop()
    last = str(len(data["shield"]["invariant"]))
    data["proofs"] = {g: t for g, t in data["proofs"].items() if g.split("/")[1:2] != [last]}


def _reversed(data: Any) -> None:
    data["shield"]["backup"] = [["neg", b] for b in data["shield"]["backup"]]


def _wider(data: Any) -> None:
    for part in data["shield"]["invariant"]:
        part[0] = ["+", part[0], "1/4"]


@pytest.mark.parametrize("fault", [_dropped, _reversed, _wider])
def test_a_broken_certificate_of_cells_is_refused(proved: Certificate, fault: Any) -> None:
    data = copy.deepcopy(proved.to_json())
    fault(data)
    found = check_exactly(json.dumps(data).encode())
    assert {k: v for k, v in found.items() if v}


@pytest.mark.slow
def test_no_checker_accepts_a_mutant_of_a_set_of_cells(proved: Certificate) -> None:
    found = [judged("relay", m, refuting=False) for m in mutants(proved.to_json())]
    assert sum(bool(j.witness) for j in found) > 20
    assert not [j.name for j in found if j.accepted or j.accepted_exactly]


def test_images_hold_what_runs() -> None:
    terms = [
        parse("where(x >= 0.3, sin(x) * y, cos(y) / (2 + x))"),
        parse("clip(x * y, -0.2, 0.2) + abs(x) ** 3 - exp(y)"),
        parse("min(tanh(x), y) * max(x, sqrt(1 + y ** 2))"),
    ]
    rng = np.random.default_rng(0)
    low = rng.uniform(-1.5, 1.5, (400, 2))
    high = low + rng.uniform(0, 0.5, (400, 2))
    at = {n: (low[:, k], high[:, k]) for k, n in enumerate(("x", "y"))}
    run = compile_batch(terms, [["x", "y"]])
    ends = [image(t, at) for t in terms]
    for _ in range(20):
        seen = run(low + (high - low) * rng.random((400, 2)))
        for (a, b), value in zip(ends, seen, strict=True):
            assert (a - 1e-12 <= value).all()
            assert (value <= b + 1e-12).all()


def test_a_formula_on_a_box_holds_everywhere_nowhere_or_in_part() -> None:
    at = {"x": (np.array([0.0, 0.4, 1.0]), np.array([0.3, 0.6, 2.0]))}
    yes, no = truth(parse_formula("x >= 0.5 and not x > 3"), at)
    assert yes.tolist() == [False, False, True]
    assert no.tolist() == [True, False, False]


def test_large_models_are_left_to_other_methods() -> None:
    four = [Coordinate(f"x{i}", "1", F(-1), F(1)) for i in range(4)]
    model = Model(
        name="four",
        state=tuple(four),
        action=(),
        step={c.name: parse(f"0.5 * {c.name}") for c in four},
        init={c.name: (F(0), F(0)) for c in four},
        safe=parse_formula("true"),
    )
    assert not suits(model)
    assert suits(drift())
