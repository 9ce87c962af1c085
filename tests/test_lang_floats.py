"""Floats: generated scalar and NumPy code, and the intervals that hold what they return."""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from itertools import product

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from lang_strategies import (
    EDGES,
    NAMES,
    ULP,
    boxes_with_points,
    exactly,
    few,
    formulas,
    points,
    rational_leaves,
    rational_terms,
    some,
    terms,
    terms_of,
)

from nprl.lang.build import absolute, where
from nprl.lang.exact import enclose, holds
from nprl.lang.floats import compile_batch, compile_scalar
from nprl.lang.interval import above, below, float_interval
from nprl.lang.terms import (
    Binary,
    BinaryOp,
    Clip,
    Formula,
    Num,
    Pi,
    Power,
    Term,
    Unary,
    UnaryOp,
    Var,
    subterms,
)
from nprl.lang.text import parse, parse_formula
from nprl.lang.writer import constant, source

X, Y, Z = (Var(name) for name in NAMES)
MAX = sys.float_info.max
Box = tuple[dict[str, tuple[float, float]], list[dict[str, float]]]
EVERY = [
    *(Unary(op, X) for op in UnaryOp),
    *(Binary(op, X, Y) for op in BinaryOp),
    *(Power(X, n) for n in range(17)),
    Clip(X, Y, Z),
    where((X < Y) | ~(Y >= Z) & (X <= Z), X / Y, Y * Z),
    X / (Y * Y) - X / Y,
    Pi() * X,
    Num(Fraction(10**400)) + X,
]


def scalar(t: Term | Formula, at: dict[str, float], bounds: object = None) -> float:
    return compile_scalar([t], [NAMES], bounds)([at[name] for name in NAMES])[0]  # type: ignore[arg-type]


def batch(t: Term | Formula, ats: list[dict[str, float]], bounds: object = None) -> np.ndarray:
    rows = np.array([[at[name] for name in NAMES] for at in ats])
    return compile_batch([t], [NAMES], bounds)(rows)[0]  # type: ignore[arg-type]


@some
@given(terms, boxes_with_points())
def test_float_and_exact_values_lie_in_the_interval(t: Term, drawn: Box) -> None:
    box, inside = drawn
    low, high = float_interval(t, box)
    values = [scalar(t, at, bounds) for at in inside for bounds in (None, box)]
    values += [*batch(t, inside), *batch(t, inside, box)]
    assert all(low <= value <= high and math.isfinite(value) for value in values)
    for at in inside:
        x = enclose(t, exactly(at))
        assert x.lo <= high
        assert x.hi >= low


@some
@given(rational_terms, boxes_with_points())
def test_exact_rational_values_lie_in_the_interval(t: Term, drawn: Box) -> None:
    box, inside = drawn
    low, high = float_interval(t, box)
    for at in inside:
        assert low <= enclose(t, exactly(at)).lo <= high


@pytest.mark.parametrize("t", EVERY, ids=str)
def test_finite_inputs_however_huge_give_finite_values(t: Term) -> None:
    inside = [dict(zip(NAMES, p, strict=True)) for p in product(EDGES, repeat=3)]
    box = dict.fromkeys(NAMES, (-MAX, MAX))
    run = compile_scalar([t], [NAMES])
    values = [run([at[name] for name in NAMES])[0] for at in inside]
    assert all(math.isfinite(value) for value in values)
    low, high = float_interval(t, box)
    assert all(low <= value <= high for value in values)
    for one, many in zip(values, batch(t, inside), strict=True):
        assert abs(one - many) <= 4 * ULP * max(abs(one), sys.float_info.min)


@few
@given(terms, points)
def test_composed_terms_never_give_nan_or_infinity(t: Term, at: dict[str, float]) -> None:
    assert math.isfinite(scalar(t, at))
    assert np.isfinite(batch(t, [at])).all()


@pytest.mark.parametrize("op", UnaryOp)
@few
@given(value=st.one_of(st.floats(-700, 700), st.floats(-2, 2), st.floats(-1e6, 1e6)))
def test_both_libraries_are_within_four_ulps_of_the_truth(op: UnaryOp, value: float) -> None:
    at = dict.fromkeys(NAMES, value)
    one, many = scalar(Unary(op, X), at), float(batch(Unary(op, X), [at] * 8)[0])
    names = {"neg": lambda a: -a, "abs": abs}
    function = names.get(op.value) or getattr(mpmath, op.value)
    outside = op in (UnaryOp.LOG, UnaryOp.SQRT) and value <= 0
    assume(op is not UnaryOp.EXP or abs(value) < 700)
    with mpmath.workdps(60):
        true = mpmath.mpf(0) if outside else function(mpmath.mpf(value))
        for result in (one, many):
            assert abs(result - true) <= 4 * ULP * abs(true) + 5e-324
    assert abs(one - many) <= 4 * ULP * abs(one) + 5e-324


@some
@given(terms_of(rational_leaves, (UnaryOp.NEG, UnaryOp.ABS, UnaryOp.SQRT), size=10), points)
def test_scalar_and_batch_are_equal_where_no_library_function_is(
    t: Term, at: dict[str, float]
) -> None:
    assert scalar(t, at) == batch(t, [at])[0]


@few
@given(formulas, points)
def test_formulas_are_booleans_that_agree(f: Formula, at: dict[str, float]) -> None:
    one, many = scalar(f, at), batch(f, [at, at])
    assert type(one) is bool
    assert many.dtype == bool
    assert many.shape == (2,)
    if not any(isinstance(s, (Unary, Binary, Power, Pi, Num)) for s in subterms(f)):
        assert one == many[0] == holds(f, exactly(at))


@some
@given(terms, boxes_with_points())
def test_omitted_checks_change_nothing_within_the_bounds(t: Term, drawn: Box) -> None:
    box, inside = drawn
    for at in inside:
        assert scalar(t, at, box) == scalar(t, at)
    assert (batch(t, inside, box) == batch(t, inside)).all()


def test_the_order_of_operations_is_the_terms() -> None:
    at = {"x": 0.1, "y": 0.2, "z": 0.3}
    assert scalar(parse("x + y + z"), at) == (0.1 + 0.2) + 0.3
    assert scalar(parse("x + (y + z)"), at) == 0.1 + (0.2 + 0.3)
    assert scalar(parse("x ** 3"), at) == 0.1 * 0.1 * 0.1
    assert scalar(parse("x / y / z"), at) == (0.1 / 0.2) / 0.3
    assert scalar(parse("x * 1/3"), at) == 0.1 * (1 / 3)


def test_total_values() -> None:
    at = {"x": 0.0, "y": -1.0, "z": 1e308}
    for text, value in [
        ("y / x", 0.0),
        ("log(x)", 0.0),
        ("log(y)", 0.0),
        ("sqrt(y)", 0.0),
        ("x ** 0", 1.0),
        ("exp(z)", MAX),
        ("z * z", MAX),
        ("z * z * y", -MAX),
        ("-z - z", -MAX),
        ("z ** 3", MAX),
        ("(-z) ** 3", -MAX),
        ("z / 5e-324", MAX),
        ("z * z - z * z", 0.0),
        ("clip(z, 2, 1)", 1.0),
        ("min(x, y) + max(x, y, 3)", 2.0),
        ("pi", math.pi),
    ]:
        assert scalar(parse(text), at) == value, text
        assert batch(parse(text), [at, at]).tolist() == [value, value], text


def test_bounded_code_has_no_checks() -> None:
    t = parse("clip(y + (15 * sin(x) + 3 * z) * 0.05, -8, 8) + sqrt(x + 1) / (2 + z) + exp(x)")
    bounds = {"x": (-0.6, 0.6), "y": (-8.0, 8.0), "z": (-1.0, 1.0)}
    for many in (False, True):
        text = source([t], [NAMES], bounds, batch=many)
        assert not any(word in text for word in ("saturate", "divide", "total", "errstate"))
        unbounded = source([t], [NAMES], batch=many)
        assert all(word in unbounded for word in ("saturate", "divide", "total_exp", "total_sqrt"))


def test_names_never_reach_the_source() -> None:
    t = Var("__import__") + Var("e:os") * 2
    for many in (False, True):
        text = source([t], [["__import__"], ["e:os"]], batch=many)
        assert "import" not in text
        assert "os" not in text
    assert compile_scalar([t], [["__import__"], ["e:os"]])([1.0], [2.0]) == (5.0,)


def test_a_common_subterm_is_computed_once() -> None:
    t = parse("sin(x) * sin(x) + where(x < 1, sin(x), cos(y) + cos(y))")
    for many in (False, True):
        text = source([t, parse("sin(x)")], [NAMES], batch=many)
        assert text.count("sin(") == 1
        assert text.count("cos(") == 1


def test_scalar_code_enters_one_branch_only() -> None:
    t: Term = Num(Fraction(0))
    for k in range(150):  # deeper than Python's limit on indentation
        t = where(k > X, absolute(X) * k + Y, t)
    run = compile_scalar([t], [NAMES])
    for value in (-1.0, 3.5, 149.5, 1000.0):
        assert run([value, 0.25, 0.0]) == (batch(t, [{"x": value, "y": 0.25, "z": 0.0}])[0],)
    assert "if (a0_0 < (149.0)):" in source([t], [NAMES], batch=False)


def test_a_deep_term_does_not_exceed_pythons_parser() -> None:
    t: Term = X
    for _ in range(199):
        t = 1 - t
    assert compile_scalar([t], [NAMES])([0.5, 0.0, 0.0]) == (0.5,)


def test_batches_are_new_float64_arrays_of_one_length() -> None:
    run = compile_batch([X, X, parse("3"), parse("x + u"), parse_formula("true")], [["x"], ["u"]])
    x, u = np.array([[1.0], [2.0]]), np.array([[3.0], [4.0]])
    results = run(x, u)
    assert [r.tolist() for r in results] == [[1, 2], [1, 2], [3, 3], [4, 6], [True, True]]
    results[0][:] = 0
    assert x.tolist() == [[1.0], [2.0]]
    assert results[1].tolist() == [1.0, 2.0]
    assert run(x.astype(np.float32), u)[3].dtype == np.float64
    assert [r.shape for r in run(x[:0], u[:0])] == [(0,)] * 5
    with pytest.raises(ValueError, match="batches have one length"):
        run(x, u[:1])
    with pytest.raises(ValueError, match="unpack"):
        run(np.ones((2, 2)), u)
    with pytest.raises(ValueError, match="unpack"):
        compile_scalar([X], [["x"]])([1.0, 2.0])


def test_mistakes_are_one_line() -> None:
    with pytest.raises(ValueError, match="no input 'y'; there are x"):
        compile_scalar([X + Y], [["x"]])
    with pytest.raises(ValueError, match="'x' occurs twice"):
        compile_scalar([X], [["x"], ["x"]])
    with pytest.raises(ValueError, match="x needs bounds"):
        compile_scalar([X], [["x"]], {})
    with pytest.raises(ValueError, match="x needs bounds"):
        float_interval(X, {"x": (math.nan, 1.0)})
    with pytest.raises(ValueError, match="at least one group"):
        compile_batch([parse("1")], [])


@some
@given(st.one_of(st.fractions(), st.floats(allow_nan=False, allow_infinity=False).map(Fraction)))
def test_rounding_outward_is_tight(value: Fraction) -> None:
    low, high = below(value), above(value)
    assert Fraction(low) <= value <= Fraction(high)
    assert low == high or math.nextafter(low, math.inf) == high
    assert constant(value) in (low, high)


def test_numbers_beyond_the_largest_float_saturate() -> None:
    huge = Fraction(10**400)
    assert (below(huge), above(huge)) == (MAX, math.inf)
    assert (below(-huge), above(-huge)) == (-math.inf, -MAX)
    assert (constant(huge), constant(-huge)) == (MAX, -MAX)
