"""The attack on shields, and its referee: that it finds what is broken, and nothing else."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runtime_examples import (
    box_certificate,
    ellipse_certificate,
    floats_near,
    pendulum_certificate,
    union_certificate,
)

sys.path.insert(0, str(Path(__file__).parents[1]))

from experiments import adversary
from experiments.adversary import Attack
from experiments.bench_shield import measure
from experiments.recheck import Referee, exact, parsed, running

pytestmark = pytest.mark.usefixtures("few_lanes")
EXAMPLES = {
    "box": box_certificate,
    "union": union_certificate,
    "two inputs": lambda: box_certificate(inputs=2),
    "choices": lambda: box_certificate(choices=True),
    "stock pendulum": pendulum_certificate,
}


@pytest.fixture
def few_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adversary, "LANES", 100)
    monkeypatch.setattr(adversary, "FACETS", 200)


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_a_right_shield_withstands_the_attack_that_bare_plants_do_not(name, tmp_path) -> None:
    path = EXAMPLES[name]().save(tmp_path / "c.json")
    attack = Attack(path, seed=0, proved=False)
    assert len(attack.vertices) >= 4
    outcome = attack.run(2500)
    assert (outcome.violations, outcome.exits) == (0, 0)
    assert outcome.smallest_margin >= 0
    assert outcome.overrides > 100
    assert outcome.starts_on_vertices > 0
    assert outcome.starts_on_facets > 0
    assert outcome.bare_violations > 20
    assert outcome.passed


def test_a_shield_with_too_small_margins_is_caught(tmp_path) -> None:
    certificate = box_certificate()
    margins = tuple(
        tuple(Fraction(float(m) - 0.0625) for m in part) for part in certificate.shield.margins
    )
    broken = replace(certificate, shield=replace(certificate.shield, margins=margins))
    outcome = Attack(broken.save(tmp_path / "c.json"), seed=0, proved=False).run(2500)
    assert outcome.exits > 0
    assert outcome.violations > 0
    assert not outcome.passed


def test_a_margin_that_forgets_the_rounding_is_caught_by_exact_judgement(tmp_path) -> None:
    """Without room for rounding states leave I by less than a float comparison shows."""
    certificate = pendulum_certificate()
    margins = tuple(tuple(Fraction(-1, 2**52) for _ in part) for part in certificate.shield.margins)
    broken = replace(certificate, shield=replace(certificate.shield, margins=margins))
    outcome = Attack(broken.save(tmp_path / "c.json"), seed=0, proved=False).run(2500)
    assert outcome.exits > 0
    assert -1e-12 < outcome.smallest_margin < 0


POLYNOMIAL = parsed(
    [
        "-",
        ["+", "1/3", ["*", "2/7", "x"], ["neg", ["**", "x", 3]]],
        ["/", ["*", "x", "y"], "3"],
    ],
    frozenset({"x", "y"}),
)


@given(st.floats(-4, 4), st.floats(-4, 4))
def test_the_running_bound_holds_the_exact_value(x: float, y: float) -> None:
    value, error = running(POLYNOMIAL, {"x": np.array([x]), "y": np.array([y])})
    real = exact(POLYNOMIAL, {"x": Fraction(x), "y": Fraction(y)})
    assert abs(Fraction(float(value[0])) - real) <= Fraction(float(error[0]))
    assert error[0] < 1e-12


def test_the_referee_judges_the_boundary_exactly(tmp_path) -> None:
    referee = Referee(ellipse_certificate().save(tmp_path / "c.json"))
    near = floats_near(math.sqrt(0.5), 8)
    inside = referee.inside(np.array([[v, v] for v in near]))
    assert inside.tolist() == [2 * Fraction(v) ** 2 <= 1 for v in near]
    assert referee.smallest == min(1 - 2 * Fraction(v) ** 2 for v in near)
    edge = np.array([[1.0, 0.0], [math.nextafter(1.0, 2.0), 0.0], [-1.0, 1.0]])
    assert referee.safely(edge).tolist() == [True, False, True]


def test_the_referee_reads_open_sets_as_open(tmp_path) -> None:
    path = box_certificate().save(tmp_path / "c.json")
    data = json.loads(path.read_text())
    data["model"]["safe"] = ["and", ["<", "x", "1"], ["not", ["<=", "x", "-1"]]]
    path.write_text(json.dumps(data))
    edge = np.array([[1.0, 0.0], [math.nextafter(1.0, 0.0), 0.0], [-1.0, 0.0]])
    assert Referee(path).safely(edge).tolist() == [False, True, False]


def test_the_costs_of_a_shield_are_measured(tmp_path) -> None:
    cost = measure(box_certificate().save(tmp_path / "c.json"), proved=False)
    assert cost.rows == 4
    assert 0 < cost.bare < cost.shielded < cost.z3
    assert 0 < cost.batch < cost.shielded
