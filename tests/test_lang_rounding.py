"""Rounding: the float code is as near to the real value as `analyse` says."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from lang_strategies import NAMES, boxes_with_points, exactly, smooth_terms, some, terms

from nprl.lang.bounds import analyse
from nprl.lang.exact import enclose, holds
from nprl.lang.floats import compile_batch, compile_scalar
from nprl.lang.ranges import DomainError, Interval, point
from nprl.lang.rounding import TINY, U
from nprl.lang.terms import Compare, Relation, Term, Where, subterms
from nprl.lang.text import parse

Box = tuple[dict[str, tuple[float, float]], list[dict[str, float]]]
tame = st.one_of(st.floats(-8, 8), st.floats(1, 3), st.floats(-1e100, 1e100))
UNIT = {name: Interval(-1, 1) for name in NAMES}


def rational(box: dict[str, tuple[float, float]]) -> dict[str, Interval]:
    return {name: Interval(Fraction(a), Fraction(b)) for name, (a, b) in box.items()}


def check(t: Term, drawn: Box) -> None:
    box, inside = drawn
    try:
        bound = analyse(t, rational(box))
    except DomainError:
        assume(False)
    scalar, batch = compile_scalar([t], [NAMES], box), compile_batch([t], [NAMES], box)
    for at in inside:
        row = [at[name] for name in NAMES]
        x = enclose(t, exactly(at), 256)
        for value in (scalar(row)[0], batch([row])[0][0]):
            error = max(Fraction(float(value)) - x.lo, x.hi - Fraction(float(value)))
            assert error <= bound.error + x.hi - x.lo
        assert bound.range.lo <= x.hi
        assert x.lo <= bound.range.hi


@settings(some, suppress_health_check=[HealthCheck.filter_too_much])
@given(smooth_terms, boxes_with_points(tame))
def test_the_float_error_is_within_the_bound(t: Term, drawn: Box) -> None:
    check(t, drawn)


@settings(some, suppress_health_check=[HealthCheck.filter_too_much])
@given(terms, boxes_with_points(st.floats(-8, 8)))
def test_the_bound_holds_where_no_guard_is_near_its_edge(t: Term, drawn: Box) -> None:
    box, inside = drawn
    try:
        guards = analyse(t, rational(box)).guards
    except DomainError:
        assume(False)
    comparisons = {
        c
        for s in subterms(t)
        if isinstance(s, Where)
        for c in subterms(s.condition)
        if isinstance(c, Compare)
    }
    for c in comparisons:
        for at in inside:
            far = Compare(Relation.GT, abs(c.left - c.right), parse("0") + 2 * guards)
            assume(holds(far, exactly(at)))
    check(t, drawn)


def test_the_rows_of_the_table() -> None:
    third = abs(Fraction(1, 3) - Fraction(1 / 3))
    for text, error in [
        ("x", Fraction(0)),
        ("1/3", third),
        ("-x", Fraction(0)),
        ("pi", 4 * U),
        ("x + y", 2 * U * 2),
        ("x + y - z", 3 * U * 3),
        ("x - (y + z)", 4 * U + 2 * U * (3 + 4 * U)),
        ("x * y", 2 * U + TINY),
        ("x + 1/3", third + 2 * U * (1 + Fraction(1, 3) + third)),
        ("x ** 0", Fraction(0)),
        ("x ** 1", Fraction(0)),
        ("x ** 2", 2 * U + TINY),
        ("min(x, 1/3)", third),
        ("clip(x, 1/3, 1)", third),
        ("sin(2 * x - 2 * x) - 0 * 0", None),
        ("x / 2", 2 * U * Fraction(1, 2) + TINY),
        ("sqrt(x + 2)", None),
        ("where(x < 1/3, 0, x)", Fraction(0)),
    ]:
        found = analyse(parse(text), UNIT)
        if error is not None:
            assert error <= found.error <= error * (1 + Fraction(1, 2**120)), text
    product = analyse(parse("(x + y) * (x + y)"), UNIT)
    e = 4 * U
    expected = 2 * 2 * e + e * e + 2 * U * (2 + e) ** 2 + TINY
    assert expected <= product.error <= expected * (1 + Fraction(1, 2**120))


def test_guards_are_the_greatest_error_of_a_comparison() -> None:
    t = parse("where(x + y < 1/3 and x < 0, where(x >= 1/3, 1, 2), 3) * 2")
    third = abs(Fraction(1, 3) - Fraction(1 / 3))
    expected = 4 * U + third
    assert expected <= analyse(t, UNIT).guards <= expected * (1 + Fraction(1, 2**120))
    assert analyse(parse("x * y"), UNIT).guards == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 / x", "the denominator is not proved nonzero: 1 / x"),
        ("1 / (x - 1)", "denominator"),
        ("sqrt(x + 1)", "not proved positive"),
        ("log(x + 1)", "not proved positive"),
        ("tan(2 * x)", "denominator is not proved nonzero"),
        ("exp(1000 * x)", "may overflow"),
        ("where(1 / x < 0, 1, 2)", "denominator"),
        ("where(x < 0, 1, sqrt(x))", "not proved positive"),
        ("(x * 1e100) ** 4", "may overflow"),
        ("1e302", "may overflow"),
    ],
)
def test_a_broken_need_is_a_domain_error(text: str, message: str) -> None:
    with pytest.raises(DomainError, match=message):
        analyse(parse(text), UNIT)


def test_an_unbounded_coordinate_is_a_domain_error_even_inside_sine() -> None:
    with pytest.raises(DomainError, match="unbounded: x"):
        analyse(parse("sin(x)"), {"x": Interval(-float("inf"), 1)})


def test_long_expressions_keep_short_numbers() -> None:
    found = analyse(parse("x"), {"x": point(1)})
    assert found.error == 0
    t = parse("x")
    for _ in range(40):
        t = (t * Fraction(9, 10) + parse("y") / 7) / Fraction(11, 10)
    found = analyse(t, UNIT)
    assert found.error.denominator.bit_length() < 1400
    assert found.error < Fraction(1, 10**14)
