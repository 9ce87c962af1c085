"""The attack on shields, and its referee: that it finds what is broken, and nothing else."""

from __future__ import annotations

import ast
import json
import math
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

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

from experiments import adversary, adversary_attack, adversary_starts, recheck
from experiments.adversary_attack import Attack
from experiments.bench_shield import measure
from experiments.recheck import Referee, Rows
from nprl.lang import exact
from nprl.lang.serial import term_from_json

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
    monkeypatch.setattr(adversary_attack, "LANES", 100)
    monkeypatch.setattr(adversary_starts, "FACETS", 200)


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_a_right_shield_withstands_the_attack_that_bare_plants_do_not(name, tmp_path) -> None:
    path = EXAMPLES[name]().save(tmp_path / "c.json")
    attack = Attack(path, seed=0, proved=False)
    assert len(attack.starts.vertices) >= 4
    outcome = attack.run(2500)
    assert (outcome.violations, outcome.exits) == (0, 0)
    assert outcome.smallest_margin >= 0
    assert outcome.overrides > 100
    assert outcome.starts_on_vertices > 0
    assert outcome.starts_on_facets > 0
    assert outcome.bare_violations > 20
    assert outcome.passed
    assert outcome.faults == []


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
    assert 0 < len(outcome.faults) <= adversary_attack.KEPT_FAULTS
    assert f"FAULT {outcome.faults[0]}" in adversary.report(outcome)
    for word in ("state [", "proposed [", "applied [", "disturbance [", "exact margin -"):
        assert word in outcome.faults[0]


def test_the_grid_of_actions_is_small_and_holds_every_corner(tmp_path) -> None:
    attack = Attack(box_certificate(inputs=2).save(tmp_path / "c.json"), seed=0, proved=False)
    assert len(attack.grid) == adversary_attack.GRID_POINTS
    assert sorted(attack.extremes.tolist()) == [[-1, -1], [-1, 1], [1, -1], [1, 1]]
    inner = math.nextafter(0.1, 0)  # the float 0.1 lies outside of 1/10
    assert sorted(attack.corners.tolist()) == [[-inner], [inner]]


def test_single_states_take_part_in_every_kind_of_attack() -> None:
    singles = {
        lane % 4
        for k in range(adversary_attack.SEGMENT)
        for lane in range(k % adversary_attack.SINGLE, 1000, adversary_attack.SINGLE)
    }
    assert singles == {0, 1, 2, 3}


def test_the_last_action_that_passes_is_found_to_the_last_float(tmp_path) -> None:
    attack = Attack(box_certificate().save(tmp_path / "c.json"), seed=0, proved=False)
    x = np.array([[0.9, 0.0], [-0.3, 0.2]])
    edge = attack._edge(x, np.array([[-0.5], [0.0]]), np.array([[1.0], [-1.0]]))
    beyond = np.nextafter(edge, np.array([[np.inf], [-np.inf]]))
    for _ in range(4):  # several learner's actions have one value in units
        beyond = np.nextafter(beyond, np.array([[np.inf], [-np.inf]]))
    to_units = attack.plant.actions.to_units_batch
    assert attack.filter.passes_batch(x, to_units(edge)).all()
    assert not attack.filter.passes_batch(x, to_units(beyond)).any()


def test_the_command_prints_the_counts_and_the_smallest_margin(capsys) -> None:
    assert adversary.main(["--env", "Pendulum-v0", "--steps", "2500"]) == 0
    printed = capsys.readouterr().out
    assert "nprl/Pendulum-v0: 2,500 shielded steps" in printed
    assert "0 violations, 0 exits from I; smallest exact margin" in printed
    assert adversary.main(["--env", "Pendulum-v0", "--steps", "2500", "--json"]) == 0
    (outcome,) = json.loads(capsys.readouterr().out)
    assert outcome["violations"] == outcome["exits"] == 0
    assert float(Fraction(outcome["smallest_margin_exact"])) == outcome["smallest_margin"] > 0
    with pytest.raises(SystemExit, match="2"):
        adversary.main(["--env", "Nothing-v0"])
    assert "no shipped certificate for Nothing-v0; there are: " in capsys.readouterr().err


def test_the_referee_imports_nothing_of_what_it_judges() -> None:
    tree = ast.parse(Path(recheck.__file__).read_text())
    modules = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    modules |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    modules = {str(m).partition(".")[0] for m in modules}
    assert modules == {
        "__future__", "collections", "fractions", "itertools", "json", "math", "numpy", "pathlib",
        "typing",
    }  # fmt: skip


def test_a_margin_that_forgets_the_rounding_is_caught_by_exact_judgement(tmp_path) -> None:
    """Without room for rounding states leave I by less than a float comparison shows."""
    certificate = pendulum_certificate()
    margins = tuple(tuple(Fraction(-1, 2**52) for _ in part) for part in certificate.shield.margins)
    broken = replace(certificate, shield=replace(certificate.shield, margins=margins))
    outcome = Attack(broken.save(tmp_path / "c.json"), seed=0, proved=False).run(2500)
    assert outcome.exits > 0
    assert -1e-12 < outcome.smallest_margin < 0


LEAVES = st.one_of(
    st.sampled_from(["x", "y"]),
    st.fractions(-9, 9, max_denominator=99).map(str),
    st.sampled_from(["1/1048576", "-2251799813685249/2251799813685248"]),
)
POLYNOMIALS = st.recursive(
    LEAVES,
    lambda t: st.one_of(
        st.tuples(st.sampled_from(["+", "*"]), t, t).map(list),
        st.tuples(st.just("-"), t, t).map(list),
        st.tuples(st.just("neg"), t).map(list),
        st.tuples(st.just("/"), t, st.sampled_from(["3", "-1/7"])).map(list),
        st.tuples(st.just("**"), LEAVES, st.integers(0, 4)).map(list),
    ),
    max_leaves=4,
)
NUMBERS = st.floats(-4, 4) | st.sampled_from([0.1, 5e-324, -(2.0**-30), 1.0, 1e5])


@given(POLYNOMIALS, NUMBERS, NUMBERS)
def test_bounds_hold_and_whole_numbers_are_the_exact_value(t: Any, x: float, y: float) -> None:
    rows = Rows([t, ["-", "1", t]], ["x", "y"])
    states = np.array([[0.0, 0.0], [x, y]])
    low, high = rows.bounds(states)
    whole, unit = rows.exactly(states, np.ones((2, 2), dtype=np.bool_))
    real = exact.evaluate(term_from_json(t), {"x": Fraction(x), "y": Fraction(y)})
    for i, value in enumerate((real, 1 - real)):
        assert Fraction(whole[i, 1], unit) == value
        if max(abs(x), abs(y)) <= recheck.PLAIN:
            assert Fraction(float(low[i, 1])) <= value <= Fraction(float(high[i, 1]))
            assert high[i, 1] - low[i, 1] < 1e-6
        else:
            assert (low[i, 1], high[i, 1]) == (-math.inf, math.inf)


@pytest.mark.parametrize("term", ["1/0", ["sin", "x"], ["/", "1", "x"], ["**", "x", 17], "z"])
def test_what_is_no_polynomial_is_not_judged(term: Any) -> None:
    with pytest.raises((ValueError, ZeroDivisionError)):
        Rows([term], ["x", "y"])


def test_states_that_are_not_finite_are_neither_inside_nor_safe(tmp_path) -> None:
    referee = Referee(box_certificate().save(tmp_path / "c.json"))
    states = np.array([[0.0, 0.0], [np.nan, 0.0], [0.0, np.inf], [1e300, 0.0]])
    assert referee.inside(states, keep=True).tolist() == [True, False, False, False]
    assert referee.safely(states).tolist() == [True, False, False, False]
    assert referee.smallest == 1 - Fraction(1e300)


def test_the_referee_judges_the_boundary_exactly(tmp_path) -> None:
    referee = Referee(ellipse_certificate().save(tmp_path / "c.json"))
    near = floats_near(math.sqrt(0.5), 8)
    inside = referee.inside(np.array([[v, v] for v in near]), keep=True)
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
