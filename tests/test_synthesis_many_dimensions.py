"""Synthesis in many dimensions, without inputs, and within its time: what the search needs for each."""

from __future__ import annotations

import time
from fractions import Fraction

import numpy as np
import pytest

from nprl.envs.published import benchmark
from nprl.lang.terms import Var
from nprl.model import Model
from nprl.shields.checker import Verdict, check
from nprl.shields.polynomial import polynomial
from nprl.shields.synthesis.budget import Budget, OutOfTime
from nprl.shields.synthesis.candidate import candidates
from nprl.shields.synthesis.certify import certify
from nprl.shields.synthesis.proofs.direct_squares import direct_squares
from nprl.shields.synthesis.proofs.short_squares import exact_squares, short_squares

F = Fraction
X, Y, U = Var("x"), Var("y"), Var("u")


def chain(n: int) -> Model:
    """Lags in a row, the first one driven; an equilibrium away from the middle of the box."""
    step = {f"x{k}": f"0.9 * x{k} + 0.1 * x{k - 1}" for k in range(1, n)}
    return benchmark(
        "test/chain",
        state={f"x{k}": ("-1", "1.5") for k in range(n)},
        action={"u": "2"},
        step={"x0": "1.01 * x0 + 0.1 * u", **step},
        init={f"x{k}": "0.1" for k in range(n)},
        reward="0",
        horizon=10,
    )


@pytest.mark.slow
def test_an_ellipsoid_in_twelve_dimensions_is_found_and_proved() -> None:
    model = chain(12)
    found = next(c for c in candidates(model) if c.family == "ellipsoid")
    report = check(certify(model, found))
    assert report.verdict is Verdict.VERIFIED


def test_a_system_without_inputs_is_its_own_backup() -> None:
    model = benchmark(
        "test/alone",
        state={"x": "1", "y": "1"},
        action={},
        step={"x": "0.9 * x + 0.3 * y", "y": "0.9 * y - 0.3 * x"},
        init={"x": "0.2", "y": "0.2"},
        reward="0",
        horizon=10,
    )
    found = next(candidates(model))
    assert found.backup == ()
    assert check(certify(model, found)).verdict is Verdict.VERIFIED


def test_a_smaller_box_is_tried_where_the_whole_one_is_too_curved() -> None:
    from nprl.envs.duffing import MODEL

    found = next(candidates(MODEL))
    assert found.notes["method"] == "control-invariant polytope in 0.7 of the box"


def test_no_candidate_is_looked_for_beyond_the_time_and_the_method_is_named() -> None:
    budget = Budget(0.05)
    start = time.monotonic()
    found = list(candidates(chain(16), budget=budget))
    assert time.monotonic() - start < 5
    assert found == []
    assert "0.05 s are over" in budget.missed[-1].reason


def test_a_method_that_finds_nothing_is_noted() -> None:
    runaway = benchmark(
        "test/runaway",
        state={"x": "1"},
        action={"u": "0.1"},
        step={"x": "3 * x + u"},
        init={"x": "0.9"},
        reward="0",
        horizon=10,
    )
    budget = Budget()
    assert list(candidates(runaway, budget=budget)) == []
    assert [m.method for m in budget.missed][:2] == [
        "safe set itself",
        "control-invariant polytope",
    ]


def test_a_budget_that_is_over_says_where() -> None:
    with pytest.raises(OutOfTime, match="here: 0 s are over"):
        Budget(0.0).check("here")
    assert Budget().options("anywhere") == {}


def _form(squares: list[tuple[F, tuple[F, ...]]], n: int) -> list[list[F]]:
    total = [[F(0)] * n for _ in range(n)]
    for d, row in squares:
        assert d > 0
        for i in range(n):
            for j in range(n):
                total[i][j] += d * row[i] * row[j]
    return total


def test_short_squares_sum_to_the_form_exactly() -> None:
    rng = np.random.default_rng(1)
    root = rng.integers(-9, 10, (14, 14))
    form = [[F(int(v), 7) for v in row] for row in root @ root.T + 14 * np.eye(14, dtype=int)]
    found = short_squares(form, [1.0] * 14)
    assert found is not None
    assert _form(found, 14) == form


def test_exact_squares_leave_a_positive_constant() -> None:
    form = [[F(5), F(1), F(-1)], [F(1), F(2), F(1, 3)], [F(-1), F(1, 3), F(3)]]
    found = exact_squares(form)
    assert found is not None
    assert len(found) == 2
    rest = [
        [a - b for a, b in zip(one, other, strict=True)]
        for one, other in zip(form, _form(found, 3), strict=True)
    ]
    assert rest[0][0] > 0
    assert all(not rest[i][j] for i in range(3) for j in range(3) if i or j)


def test_an_indefinite_form_has_no_squares() -> None:
    form = [[F(1), F(2)], [F(2), F(1)]]
    assert short_squares(form, [1.0, 1.0]) is None
    assert exact_squares(form) is None


@pytest.mark.parametrize("strict", [False, True])
def test_a_step_with_noise_is_closed_without_a_semidefinite_program(strict: bool) -> None:
    premise = polynomial(1 - X**2 - 2 * Y**2)
    goal = polynomial(1 - (X / 2 + U / 8) ** 2 - 2 * (Y / 2 - X / 8) ** 2)
    near = F(1, 100)  # u is -x, or nearly
    below, above = polynomial(near + (U + X)), polynomial(near - (U + X))
    order = ["x", "y", "u"]
    found = direct_squares(goal, (0, premise), [((1, 2), below, above)], order, {}, strict)
    assert found is not None
    products, rows = found
    given = {(0,): premise, (1, 2): polynomial((near + (U + X)) * (near - (U + X)))}
    at = {"x": F(3, 10), "y": F(-1, 5), "u": F(2, 7)}
    for scale in (F(1), F(5)):
        point = {n: scale * v for n, v in at.items()}
        value = _at(goal, point) - sum((c * _at(given[k], point) for c, k in products), F(0))
        for d, row in rows:
            value -= d * (row[0] + sum(row[i + 1] * point[n] for i, n in enumerate(order))) ** 2
        assert value > 0 if strict else value >= 0


def _at(p: dict[tuple[tuple[str, int], ...], F], point: dict[str, F]) -> F:
    total = F(0)
    for m, c in p.items():
        for n, k in m:
            c *= point[n] ** k
        total += c
    return total
