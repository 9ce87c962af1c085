"""Forms of rows and allowed intervals: the same polynomials, and proposals at the true ends."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runtime_examples import F, U, X, Y, box_certificate, box_model, by_hand, ellipse_certificate

from nprl.lang.build import clip, cos, sin, where
from nprl.lang.exact import evaluate
from nprl.lang.floats import compile_scalar
from nprl.lang.terms import Num, Term, Var, nodes
from nprl.shields.forms import nested
from nprl.shields.goals import test_terms as terms_of_test
from nprl.shields.hurried import hurried
from nprl.shields.line import Line
from nprl.shields.rows import tests_of as formulas_of
from nprl.shields.shield import Filter
from nprl.shields.span import coefficients, span

few = settings(max_examples=50, deadline=None)
numbers = st.fractions(F(-3), F(3), max_denominator=8)
points = st.fixed_dictionaries({n: numbers for n in "xyuv"})
BOX = dict.fromkeys("xyuv", (-2.0, 2.0))


@st.composite
def polynomials(draw: st.DrawFn, names: str = "xyuv", powers: int = 2) -> Term:
    """A sum of monomials."""
    result: Term = Num(draw(numbers))
    for _ in range(draw(st.integers(1, 8))):
        monomial: Term = Num(draw(numbers))
        for name in draw(st.lists(st.sampled_from(names), max_size=3)):
            monomial = monomial * Var(name) ** draw(st.integers(1, powers))
        result = result + monomial
    return result


@few
@given(polynomials(), points)
def test_a_nested_form_is_the_same_polynomial_and_no_larger(t: Term, at) -> None:
    form = nested(t)
    assert evaluate(form, at) == evaluate(t, at)
    assert nodes(form) <= nodes(t)


def test_what_is_no_polynomial_is_its_own_form() -> None:
    assert nested(sin(X) * X + X) == sin(X) * X + X


CURVED = by_hand(
    box_model(),
    [[F(1) - F(1, 3) * X**2 - F(2, 3) * X * Y - F(5, 7) * Y**2 - F(1, 9) * X]],
    [-(X / 3)],
    [[F(1, 4)]],
)


@pytest.mark.parametrize("certificate", [CURVED, ellipse_certificate()], ids=["curved", "disc"])
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_what_passes_has_passed_the_proved_test(certificate, data) -> None:
    """Also within some ulp of the threshold, where another form rounds otherwise."""
    model, filter_ = certificate.model, Filter(certificate, trusted=True)
    rows = compile_scalar(
        terms_of_test(model, certificate.shield.invariant[0], model.steps),
        (model.state_names, model.action_names),
    )
    x = [data.draw(st.floats(-2, 2)) for _ in range(2)]
    margin = float(certificate.shield.margins[0][0])

    def holds(u: float) -> bool:
        return rows(x, [u])[0] >= margin

    best = max(np.linspace(-4, 4, 81).tolist(), key=lambda u: rows(x, [u])[0])
    passed, failed = best, 4.0
    while failed - passed > 4 * math.ulp(failed):  # the proved test's own edge
        middle = (passed + failed) / 2
        passed, failed = (middle, failed) if holds(middle) else (passed, middle)
    for k in range(-40, 41):
        u = passed + k * math.ulp(passed)
        if filter_.passes(x, [u]):
            assert holds(u)
    if holds(best) and rows(x, [best])[0] > margin + 1e-12:
        assert filter_.passes(x, [best]) is (min(x) >= -2 and max(x) <= 2)


@few
@given(polynomials(), points)
def test_coefficients_make_up_the_term(t: Term, at) -> None:
    found = coefficients(t, "u")
    if found is None:
        return
    assert all("u" not in str(c) for c in found)
    total = sum(evaluate(c, at) * at["u"] ** k for k, c in enumerate(found))
    assert total == evaluate(t, at)


def test_functions_of_the_rest_are_coefficients_and_functions_of_the_action_are_not() -> None:
    t = (U / (2 + X**2) + where(Y > 0, U, X)) * Num(F(2)) - U
    at = {"x": F(0), "y": F(1), "u": F(3)}
    found = coefficients(t, "u")
    assert found is not None
    values = [evaluate(c, at) for c in found]
    assert values[0] + 3 * values[1] == evaluate(t, at)
    assert coefficients(cos(X) * U, "u") == (Num(F(0)), cos(X))
    assert coefficients(sin(U), "u") is None
    assert coefficients(X / U, "u") is None
    assert coefficients(where(U > 0, X, Y), "u") is None
    assert coefficients(clip(U, -1, 1), "u") == coefficients(U, "u")


ROWS = [
    [F(1) - X - U, F(1) + Y + F(2) * U],
    [F(1) - U**2 - X * U],
    [F(1) + X * U, F(1, 2) - Y * U],
    [F(1) - X * U**2, F(1) + Y - U],
    [F(1) - X - U, Y],
    [F(2) - F(3) * U**2 + X * Y - Y * U],
]


@pytest.mark.parametrize("rows", ROWS, ids=lambda rows: " ; ".join(map(str, rows)))
@given(x=st.floats(-2, 2), y=st.floats(-2, 2))
@settings(max_examples=40, deadline=None)
def test_the_interval_holds_exactly_the_allowed_actions(rows, x, y) -> None:
    """Of a row that is convex in the action only by its chord: fewer, never more."""
    found = span(rows, "u", BOX)
    assert found is not None
    line = Line([found], [("x", "y")], BOX, (-2.0, 2.0))
    one = line.one((x, y))
    ((low, high, slack),) = line.batch(np.array([[x, y]]))
    if one:
        assert (low[0], high[0]) == pytest.approx(one[0], rel=1e-9, abs=1e-9)
        assert slack[0] >= 0
    else:
        assert not (low[0] <= high[0] and slack[0] >= 0)
    value = compile_scalar(rows, [("x", "y"), ("u",)])
    convex = "u**2" in str(rows[0]).replace(" ", "") and x < 0
    for u in np.linspace(-2, 2, 41).tolist():
        least = min(value((x, y), (u,)))
        inside = any(a <= u <= b for a, b in one)
        if least < -1e-6:
            assert not inside
        elif least > 1e-6 and not convex:
            assert inside


def test_where_the_action_enters_otherwise_there_is_no_interval() -> None:
    assert span([sin(U) + X], "u", BOX) is None
    assert span([F(1) - U**3], "u", BOX) is None


def test_the_nearest_of_two_parts_is_proposed() -> None:
    """Allowed are [-3/2, -1/2] and [1/2, 3/2], in two parts."""
    spans = [
        span([U + F(3, 2), F(-1, 2) - U], "u", BOX),
        span([U - F(1, 2), F(3, 2) - U], "u", BOX),
    ]
    line = Line([s for s in spans if s is not None], [("x",)], BOX, (-2.0, 2.0))
    assert line.one((0.0,)) == [(-1.5, -0.5), (0.5, 1.5)]
    assert [low[0] for low, _, _ in line.batch(np.zeros((1, 1)))] == [-1.5, 0.5]


def test_with_several_inputs_scalar_and_batch_take_the_same_point_of_the_line() -> None:
    certificate = box_certificate(inputs=2)
    filter_ = Filter(certificate, trusted=True)
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (200, 2))
    u = rng.uniform(-4, 4, (200, 2)).clip([-4, -3], [4, 3])
    actions, overridden = filter_.filter_batch(x, u)
    single = [filter_.filter(a, b) for a, b in zip(x.tolist(), u.tolist(), strict=True)]
    assert overridden.tolist() == [d.overridden for d in single]
    assert 20 < overridden.sum() < 200
    assert not any(d.fallback for d in single)
    np.testing.assert_allclose(actions, [d.action for d in single], atol=1e-9)
    assert filter_.passes_batch(x, actions).all()


def test_of_bounds_of_one_term_the_tightest_is_tested() -> None:
    formulas = formulas_of(box_certificate())
    lefts = [f.left for f in formulas.surely.parts]
    assert sorted(map(str, lefts)) == ["x", "x", "y", "y"]


@few
@given(polynomials(), polynomials(), points)
def test_a_hurried_term_has_the_same_real_value(p: Term, q: Term, at: dict[str, F]) -> None:
    whole = clip((p - q) / 3 - (q - 0) / F(7, 5), p / q, 2) - where(p / 2 >= q, p - (X - Y), -q)
    assert evaluate(hurried(whole), at) == evaluate(whole, at)
    assert evaluate(hurried(-p - q - X), at) == evaluate(-p - q - X, at)
