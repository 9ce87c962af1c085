"""Counterexamples are real: each is confirmed again here, from the model alone, exactly."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from fractions import Fraction as F
from itertools import pairwise

import numpy as np
import pytest
from checked_examples import X, broken, cart, claimed, proved

from nprl.envs.pendulum import MODEL as PENDULUM
from nprl.lang import exact
from nprl.lang.build import sin
from nprl.lang.terms import Var
from nprl.shields.certificate import Certificate
from nprl.shields.counterexample import Counterexample, exact_text, outside
from nprl.shields.goals import test_terms as rows_of_the_test
from nprl.shields.refute import refute
from nprl.shields.sampling import float_ends, part_of
from nprl.shields.traces import leaving_trace

BROKEN = broken()


def confirm(certificate: Certificate, found: Counterexample) -> None:
    """Assert from the model and the shield alone that the counterexample is one."""
    model, (rows,) = certificate.model, certificate.shield.invariant
    first = found.rows[0]
    inside = [exact.evaluate(g, first.state) >= 0 for g in rows] if first.state else []
    kind = found.goal.split("/")[0]
    if kind == "init":
        assert all(low <= first.state[n] <= high for n, (low, high) in model.init.items())
        assert not all(inside)
    elif kind == "safe":
        assert all(inside)
        assert exact.holds(model.safe, first.state) is False
    elif kind == "ranges":
        assert all(inside)
        assert any(not c.low <= first.state[c.name] <= c.high for c in model.state)
    elif kind == "action":
        assert all(inside)
        (value,), (c,) = (
            [exact.evaluate(b, first.state) for b in certificate.shield.backup],
            model.action,
        )
        assert not c.low <= value <= c.high
    elif kind in ("backup", "test"):
        at = {**first.state, **first.action, **first.disturbance}
        assert all(c.low <= at[c.name] <= c.high for c in (*model.action, *model.disturbance))
        if kind == "backup":
            assert all(inside)
            (b,), (u,) = certificate.shield.backup, first.action.values()
            assert abs(exact.evaluate(b, first.state) - u) <= certificate.rounding.backup[0]
        else:
            passed = [exact.evaluate(t, at) for t in rows_of_the_test(model, rows, model.steps)]
            room = zip(certificate.shield.margins[0], certificate.rounding.test[0], strict=True)
            assert all(v >= m - e for v, (m, e) in zip(passed, room, strict=True))
        after = {
            n: exact.evaluate(t, at) for n, t in zip(model.state_names, model.steps, strict=True)
        }
        assert outside(certificate, after) is True
        assert found.rows[1].state == after
    elif kind == "witness":
        assert not all(inside)


@pytest.mark.parametrize("fault", BROKEN)
def test_each_fault_is_refuted_by_a_real_state(fault: str) -> None:
    certificate, goal, kind = BROKEN[fault]
    found = {c.goal: c for c in refute(certificate, [goal])}
    assert goal in found
    assert found[goal].kind == kind
    for goal_found, c in found.items():
        if goal_found not in ("theorem", "witness/test"):
            confirm(certificate, c)


def test_nothing_refutes_a_true_certificate() -> None:
    assert refute(proved()) == ()


def test_only_the_goals_that_are_asked_for_are_refuted() -> None:
    certificate = BROKEN["an unsafe state inside"][0]
    found = refute(certificate, ["safe/0/1"])
    assert [c.goal for c in found] == ["safe/0/1", "theorem"]


@pytest.mark.parametrize("fault", ["the wrong sign", "too much wind", "no margins"])
def test_a_trace_starts_in_the_initial_box_and_ends_unsafe(fault: str) -> None:
    certificate = BROKEN[fault][0]
    trace = leaving_trace(certificate)
    assert trace is not None
    model, rows = certificate.model, trace.rows
    low, high = model.init["x"]
    assert low <= rows[0].state["x"] <= high
    assert [r.time for r in rows] == list(range(len(rows)))
    for now, after in pairwise(rows):
        x, u, w = now.state["x"], now.action["u"], now.disturbance["w"]
        assert abs(u) <= 1
        assert abs(w) <= model.disturbance[0].high
        assert abs(x + u / 10 + w - after.state["x"]) <= F(1, 10**15)
        assert abs(x) <= 1
    assert abs(rows[-1].state["x"]) > 1
    assert rows[-1].action == {}


def test_a_trace_leaves_a_nonlinear_system_too() -> None:
    theta, omega = Var("theta"), Var("omega")
    rows = [F(3, 5) - theta, F(3, 5) + theta, 2 - omega, 2 + omega]
    trace = leaving_trace(claimed(rows, 0 * theta - sin(theta), PENDULUM))
    assert trace is not None
    assert exact.holds(PENDULUM.safe, trace.rows[-1].state) is False


def test_the_search_is_deterministic() -> None:
    certificate = BROKEN["no margins"][0]
    assert refute(certificate, ["test/0"]) == refute(certificate, ["test/0"])


def test_the_numbers_of_the_csv_are_exact() -> None:
    certificate = BROKEN["the wrong sign"][0]
    found = refute(certificate, ["backup/0/0"])[0]
    read = list(csv.reader(io.StringIO(found.csv(certificate.model))))
    assert read[0] == ["time", "x", "u", "w"]
    for row, moment in zip(read[1:], found.rows, strict=True):
        value = F(row[1]) if "/" in row[1] else F(float(row[1]))
        assert value == moment.state["x"]
    assert read[-1][2:] == ["", ""]


def test_a_number_that_is_no_float_is_written_as_a_fraction() -> None:
    assert exact_text(F(1, 3)) == "1/3"
    assert exact_text(F(1, 10)) == "1/10"
    assert exact_text(F(0.1)) == "0.1"


def test_floats_at_the_ends_of_a_box_lie_inside_it() -> None:
    low, high = float_ends([(F(-1, 10), F(1, 10)), (F(1, 3), F(1, 3))])
    assert F(-1, 10) <= F(low[0]) <= F(high[0]) <= F(1, 10)
    assert low[1] == high[1] == 1 / 3


def test_points_of_a_polytope_hold_its_vertices() -> None:
    model = PENDULUM
    theta, omega = Var("theta"), Var("omega")
    rows = [F(1, 2) - theta, F(1, 2) + theta, 1 - omega - theta, 1 + omega + theta]
    part = part_of(model, rows, np.zeros(2))
    assert part is not None
    points = part.points(300, np.random.default_rng(0))
    assert (part.least(points) >= -1e-12).all()
    for corner in [(0.5, 0.5), (0.5, -1.5), (-0.5, 1.5), (-0.5, -0.5)]:
        assert np.abs(points - corner).max(axis=1).min() < 1e-6


def test_an_empty_set_has_no_points() -> None:
    assert part_of(cart(), [-1 - X, -1 + X], np.zeros(1)) is None


def test_a_wrong_claim_on_rounding_is_not_called_refuted() -> None:
    good = proved()
    tiny = {"x": F(1, 10**40)}
    certificate = replace(good, rounding=replace(good.rounding, plant=tiny))
    assert refute(certificate, ["domain"]) == ()
