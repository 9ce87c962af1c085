"""What is computed of a step along a plan: quick, and no further off than the tube allows for."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction as F

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nprl.envs  # noqa: F401 - registers our ids
from nprl.envs import cartpole_v1
from nprl.lang.build import clip, cos, exp, minimum, sin, sqrt, tanh
from nprl.lang.exact import evaluate
from nprl.lang.floats import compile_scalar
from nprl.lang.ranges import Interval, enclose
from nprl.lang.terms import Binary, BinaryOp, Num, Term, Unary, UnaryOp, Var, subterms
from nprl.shields import nominal as nominal_module
from nprl.shields import series as series_module
from nprl.shields.hurried import hurried
from nprl.shields.nominal import nominal
from nprl.shields.series import KNOWN, Series, economized, series

A, B = Var("a"), Var("b")
BOX = {"a": Interval(F(-1, 5), F(3, 10)), "b": Interval(F(1, 2), F(2))}
ENDS = (("-1/5", "1/5"), ("0", "1"), ("-1", "1"), ("3/2", "7/4"), ("100", "101"), ("-3", "-2"))
ULPS = 4


def points(box: Mapping[str, Interval], count: int = 80) -> list[dict[str, float]]:
    """Floats in a box: its corners, and at random."""
    rng = random.Random(0)
    ends = {n: (_inner(x.lo, 1), _inner(x.hi, -1)) for n, x in box.items()}
    corners = [dict(zip(box, c, strict=True)) for c in itertools.product(*ends.values())]
    inner = [{n: rng.uniform(*e) for n, e in ends.items()} for _ in range(count)]
    return corners + inner


def _inner(end: F, side: int) -> float:
    nearest = float(end)
    return nearest if (F(nearest) - end) * side >= 0 else nearest + side * abs(nearest) * 2**-52


def furthest(form: Term, meant: Term, box: Mapping[str, Interval]) -> F:
    """How far float64 values of ``form`` are seen to be from the real values of ``meant``, at least."""
    run = compile_scalar(
        [form], [tuple(box)], {n: (float(x.lo), float(x.hi)) for n, x in box.items()}
    )
    most = F(0)
    for at in points(box):
        value = F(run(tuple(at.values()))[0])
        true = enclose(meant, {n: F(v) for n, v in at.items()}, 200)
        most = max(most, value - F(true.hi), F(true.lo) - value)
    return most


def seen(polynomial: Series, op: UnaryOp, x: Interval) -> F:
    """How far a polynomial is seen to be from a function, over the reals."""
    most, form = F(0), polynomial.at(A)
    for k in range(201):
        at = x.lo + (x.hi - x.lo) * F(k, 200)
        true = enclose(Unary(op, A), {"a": at}, 200)
        value = evaluate(form, {"a": at})
        most = max(most, value - F(true.hi), F(true.lo) - value)
    return most


@pytest.mark.parametrize("op", KNOWN)
@pytest.mark.parametrize("ends", ENDS, ids=str)
def test_a_polynomial_is_off_by_no_more_than_its_remainder(op: UnaryOp, ends) -> None:
    x = Interval(*map(F, ends))
    found = series(op, x)
    assert found is not None
    polynomial, remainder = found
    assert seen(polynomial, op, x) <= remainder
    size = F(enclose(Unary(op, A), {"a": x}).magnitude)
    assert remainder <= size / 2**51
    assert all(c == F(float(c)) for c in polynomial.coefficients)


@pytest.mark.parametrize("op", KNOWN)
def test_a_remainder_that_is_too_small_is_seen(op: UnaryOp, monkeypatch) -> None:
    x = Interval(F(-1, 5), F(1, 5))
    fine = series(op, x)
    monkeypatch.setattr(series_module, "NEAR", F(1, 10**9))
    coarse, remainder = series.__wrapped__(op, x)
    assert len(coarse.coefficients) < len(fine[0].coefficients)
    assert fine[1] < seen(coarse, op, x) <= remainder
    cut = Series(fine[0].centre, fine[0].coefficients[:-2])
    assert seen(cut, op, x) > fine[1]


def test_on_a_wide_interval_and_for_other_functions_there_is_no_polynomial() -> None:
    assert series(UnaryOp.SIN, Interval(F(-3), F(3))) is None
    assert series(UnaryOp.COS, Interval(F(-30), F(30))) is None
    whole = nominal(sin(50 * A) + tanh(A) + sqrt(B), BOX, ULPS)
    assert {s.op for s in subterms(whole.form) if isinstance(s, Unary)} == {
        UnaryOp.SIN,
        UnaryOp.TANH,
        UnaryOp.SQRT,
    }


@given(st.lists(st.fractions(F(-3), F(3), max_denominator=9), min_size=1, max_size=9))
@settings(max_examples=40, deadline=None)
def test_a_polynomial_of_lower_degree_is_as_near_as_it_says(coefficients: Sequence[F]) -> None:
    radius = F(3, 4)
    for room in (F(0), F(1, 10), F(10)):
        lower, off = economized(coefficients, radius, room)
        assert off <= room
        assert len(lower) <= len(coefficients)
        for k in range(-10, 11):
            x = radius * F(k, 10)
            a, b = (sum(c * x**n for n, c in enumerate(p)) for p in (coefficients, lower))
            assert abs(a - b) <= off


TERMS: dict[str, Term] = {
    "sum": A + F(1, 3) * B,
    "wave": sin(A) * cos(B) - B / (F(4, 3) - cos(A) ** 2 / 10),
    "nested": sin(cos(A) + sin(B) / 3) / (2 + exp(-B)),
    "growth": exp(A * B) * sin(A - B),
    "kinks": clip(sin(A), -F(1, 10), F(1, 10)) + minimum(exp(A), cos(B)) * abs(sin(A)),
    "quotient": (exp(A) + F(1, 7)) / (sqrt(B) * 3) / (F(2, 5) * B),
    "library": tanh(sin(A)) + sqrt(B + cos(A)),
}
STEPS = dict(cartpole_v1.MODEL.step)


@pytest.mark.parametrize("name", TERMS)
def test_what_is_computed_is_no_further_off_than_its_error(name: str) -> None:
    found = nominal(TERMS[name], BOX, ULPS)
    assert furthest(found.form, TERMS[name], BOX) <= found.error < F(1, 10**13)
    assert not any(isinstance(s, Unary) and s.op in KNOWN for s in subterms(found.form))


@pytest.mark.parametrize("name", STEPS)
def test_cartpoles_step_is_computed_without_the_library(name: str) -> None:
    box = {n: Interval(*ends) for n, ends in cartpole_v1.MODEL.box().items()}
    found = nominal(STEPS[name], box, ULPS)
    assert furthest(found.form, STEPS[name], box) <= found.error < F(1, 10**14)
    assert not any(isinstance(s, Unary) for s in subterms(found.form))
    divisions = [s for s in subterms(found.form) if isinstance(s, Binary) and s.op is BinaryOp.DIV]
    assert len(set(divisions)) <= 1


@pytest.fixture
def careless(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A mutant: coarse polynomials that are said to be exact."""

    def mutate() -> None:
        monkeypatch.setattr(series_module, "NEAR", F(1, 10**9))
        monkeypatch.setattr(
            nominal_module, "series", lambda op, x: (series.__wrapped__(op, x)[0], F(0))
        )

    return mutate


@pytest.mark.parametrize("name", ["wave", "nested", "growth"])
def test_an_error_without_the_remainder_is_seen(name: str, careless) -> None:
    careless()
    found = nominal(TERMS[name], BOX, ULPS)
    assert furthest(found.form, TERMS[name], BOX) > found.error


def test_polynomials_that_cost_too_much_are_left_out(monkeypatch) -> None:
    monkeypatch.setattr(series_module, "NEAR", F(1, 10**9))
    monkeypatch.setattr(nominal_module, "series", series.__wrapped__)
    found = nominal(TERMS["wave"], BOX, ULPS)
    assert found.form == hurried(TERMS["wave"])
    assert furthest(found.form, TERMS["wave"], BOX) <= found.error < F(1, 10**13)


numbers = st.fractions(F(-3), F(3), max_denominator=8)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(numbers, min_size=4, max_size=4), numbers, numbers, st.sampled_from([F(0), F(1, 3)])
)
def test_numbers_are_gathered_without_changing_a_value(c, a, b, zero) -> None:
    x, y = Var("a"), Var("b")
    p, q, r, s = (Num(v) for v in c)
    inner = p * x - q * (y - x) / 3
    for t in (
        p * (q * x * (r * y)) - s * inner * 2 - inner,
        (p * x) / (q * y * 2) + r / (s * inner) - x / Num(zero),
        -(p * (x * zero + q * y)) + (x - x) * y - Num(F(0)),
        (p / (x / y)) * (q - (r - (s - x))) ** 2,
    ):
        at = {"a": a, "b": b}
        assert evaluate(hurried(t), at) == evaluate(t, at)


def test_a_shared_quotient_stays_shared() -> None:
    quotient = (A + 2 * B) / (3 - A * A)
    form = hurried(F(1, 50) * quotient * B + B) + hurried(F(1, 10) * quotient)
    found = {s for s in subterms(form) if isinstance(s, Binary) and s.op is BinaryOp.DIV}
    assert len(found) == 1
