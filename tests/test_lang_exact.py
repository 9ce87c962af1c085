"""Exact: rational intervals hold the real value, checked against mpmath's 60 digits."""

from __future__ import annotations

import math
from fractions import Fraction

import mpmath
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from lang_strategies import NAMES, exactly, few, numbers, rational_terms, some, tame_points

from nprl.lang import functions
from nprl.lang.exact import enclose, evaluate, holds
from nprl.lang.ranges import WHOLE, Interval, hull, point, shorten
from nprl.lang.terms import (
    Binary,
    BinaryOp,
    Clip,
    Compare,
    Formula,
    Num,
    Pi,
    Power,
    Relation,
    Term,
    Truth,
    Unary,
    UnaryOp,
    Var,
    Where,
)
from nprl.lang.text import parse, parse_formula

DIGITS = 60
FUNCTIONS = [op for op in UnaryOp if op not in (UnaryOp.NEG, UnaryOp.ABS)]
arguments = st.one_of(
    st.fractions(-30, 30, max_denominator=10**6),
    st.fractions(-1, 1, max_denominator=10**30),
    st.floats(-1e3, 1e3).map(Fraction),
    st.floats(allow_nan=False, allow_infinity=False).map(Fraction),
    st.integers(-(10**30), 10**30).map(Fraction),
)


def precise(op: UnaryOp, value: Fraction) -> mpmath.mpf:
    """Mpmath's value, with digits to spare for the reduction of huge arguments."""
    x = mpmath.mpf(value.numerator) / value.denominator
    if op in (UnaryOp.LOG, UnaryOp.SQRT) and value <= 0:
        return mpmath.mpf(0)
    return getattr(mpmath, op.value)(x)


def between(value: mpmath.mpf, x: Interval) -> bool:
    """Whether ``value`` lies in ``x``, both compared with mpmath's digits."""
    low, high = (
        mpmath.mpf(end) if isinstance(end, float) else mpmath.mpf(end.numerator) / end.denominator
        for end in (x.lo, x.hi)
    )
    slack = abs(value) * mpmath.mpf(10) ** (-mpmath.mp.dps + 3)
    return bool(low - slack <= value <= high + slack)


@pytest.mark.parametrize("op", FUNCTIONS)
@some
@given(value=arguments)
def test_the_enclosure_holds_mpmaths_value_and_is_narrow(op: UnaryOp, value: Fraction) -> None:
    assume(op not in (UnaryOp.EXP, UnaryOp.TANH) or abs(value) < 8000)
    x = enclose(Unary(op, Num(value)), {})
    with mpmath.workdps(DIGITS + 320):
        true = precise(op, value)
        assert between(true, x)
    if op is UnaryOp.TAN:
        assume(abs(true) < 1000)
    scale = max(Fraction(1), abs(x.hi)) if op in (UnaryOp.EXP, UnaryOp.SQRT) else 1
    assert x.hi - x.lo <= scale * Fraction(1, 2 ** (70 if op is UnaryOp.TAN else 96))


@pytest.mark.parametrize("op", FUNCTIONS)
@some
@given(ends=st.tuples(arguments, arguments), fraction=st.fractions(0, 1))
def test_the_image_of_an_interval_holds_the_values_inside(
    op: UnaryOp, ends: tuple[Fraction, Fraction], fraction: Fraction
) -> None:
    low, high = min(ends), max(ends)
    inside = low + fraction * (high - low)
    assume(op is not UnaryOp.EXP or inside < 8000)
    image = enclose(Unary(op, Var("x")), {"x": Interval(low, high)})
    with mpmath.workdps(DIGITS + 320):
        for value in (low, high, inside):
            assume(op not in (UnaryOp.EXP, UnaryOp.TANH) or abs(value) < 8000)
            assert between(precise(op, value), image)


def test_the_image_of_an_interval_is_no_wider_than_it_must() -> None:
    at = {"x": Interval(Fraction(1), Fraction(2))}
    assert enclose(parse("sin(x)"), at).hi == 1  # the crest at pi/2
    assert enclose(parse("sin(x)"), at).lo > Fraction(84, 100)
    assert enclose(parse("cos(x)"), at).hi < Fraction(541, 1000)
    assert enclose(parse("cos(3 * x)"), at).lo == -1
    assert enclose(parse("x ** 2"), {"x": Interval(-1, 2)}) == Interval(0, 4)
    assert enclose(parse("tan(x)"), at) == WHOLE
    assert enclose(parse("tan(x / 2)"), at).hi < Fraction(156, 100)
    assert enclose(parse("1 / x"), {"x": Interval(0, 1)}) == WHOLE
    assert enclose(parse("sin(x)"), {"x": WHOLE}) == Interval(-1, 1)
    assert enclose(parse("exp(x)"), {"x": Interval(-math.inf, 0)}) == Interval(0, 1)
    assert enclose(parse("tanh(x)"), {"x": WHOLE}) == Interval(-1, 1)
    assert enclose(parse("x + 1"), {"x": Interval(0, math.inf)}) == Interval(1, math.inf)
    assert enclose(parse("log(x)"), {"x": Interval(0, 1)}) == Interval(-math.inf, 0)


@pytest.mark.parametrize("bits", [10, 64, 96, 300, 1000])
def test_more_bits_give_nested_narrower_bounds(bits: int) -> None:
    with mpmath.workdps(400):
        for op in FUNCTIONS:
            for value in (Fraction(1, 7), Fraction(-22, 7), Fraction(355, 113), Fraction(100)):
                x = enclose(Unary(op, Num(value)), {}, bits)
                assert between(precise(op, value), x)
                assert x.hi - x.lo <= max(1, abs(x.hi)) * Fraction(4, 2**bits)
        low, high = functions.pi_bounds(bits)
        assert between(+mpmath.pi, Interval(low, high))
        assert high - low <= Fraction(1, 2**bits)


def reference(t: Term, at: dict[str, Fraction]) -> Fraction:
    """The value by Python's own Fractions: an independent reading of the operators."""
    match t:
        case Num(value):
            return value
        case Var(name):
            return at[name]
        case Unary(op, arg):
            value = reference(arg, at)
            return -value if op is UnaryOp.NEG else abs(value)
        case Binary(op, left, right):
            a, b = reference(left, at), reference(right, at)
            match op:
                case BinaryOp.ADD:
                    return a + b
                case BinaryOp.SUB:
                    return a - b
                case BinaryOp.MUL:
                    return a * b
                case BinaryOp.DIV:
                    return a / b if b else Fraction(0)
                case BinaryOp.MIN:
                    return min(a, b)
                case BinaryOp.MAX:
                    return max(a, b)
        case Power(base, exponent):
            return reference(base, at) ** exponent
        case Clip(arg, low, high):
            return min(max(reference(arg, at), reference(low, at)), reference(high, at))
        case Where(condition, then, other):
            return reference(then if truth(condition, at) else other, at)
    raise AssertionError(t)


def truth(f: Formula, at: dict[str, Fraction]) -> bool:
    if isinstance(f, Truth):
        return f.value
    if isinstance(f, Compare):
        a, b = reference(f.left, at), reference(f.right, at)
        signs = {Relation.LE: a <= b, Relation.LT: a < b, Relation.GE: a >= b, Relation.GT: a > b}
        return signs[f.relation]
    if hasattr(f, "part"):
        return not truth(f.part, at)
    values = [truth(p, at) for p in f.parts]
    return all(values) if type(f).__name__ == "And" else any(values)


rational_points = st.fixed_dictionaries({name: numbers for name in NAMES})


@some
@given(rational_terms, rational_points)
def test_rational_terms_have_their_exact_value(t: Term, at: dict[str, Fraction]) -> None:
    assert evaluate(t, at) == reference(t, at)


@some
@given(rational_terms, rational_points, st.lists(numbers, min_size=3, max_size=3))
def test_an_interval_holds_the_exact_values_inside(
    t: Term, at: dict[str, Fraction], radii: list[Fraction]
) -> None:
    box = {
        name: Interval(at[name] - abs(radius), at[name] + abs(radius) / 3)
        for name, radius in zip(NAMES, radii, strict=True)
    }
    x = enclose(t, box)
    assert x.contains(evaluate(t, at))
    assert x.contains(evaluate(t, {name: box[name].lo for name in NAMES}))


@few
@given(tame_points)
def test_a_test_that_cannot_be_decided_takes_both_branches(at: dict[str, float]) -> None:
    f = parse_formula("sin(x) ** 2 + cos(x) ** 2 <= 1")
    assert holds(f, exactly(at)) in (None, True)
    assert enclose(parse("where(sin(x) ** 2 + cos(x) ** 2 < 1, 2, 3)"), exactly(at)).hi == 3


def test_formulas_have_three_values() -> None:
    at = {"x": Interval(0, 1)}
    for text, verdict in [
        ("x <= 1", True),
        ("x < 1", None),
        ("x >= 0", True),
        ("x > 1", False),
        ("x < 1 or x <= 1", True),
        ("x < 1 and x > 1", False),
        ("not x < 1", None),
        ("not x > 1", True),
        ("x < 1 and true", None),
    ]:
        assert holds(parse_formula(text), at) is verdict, text


def test_an_irrational_value_is_no_fraction() -> None:
    for text in ("pi", "sin(x)", "sqrt(4)", "where(exp(x) < 1, 1, 2)"):
        with pytest.raises(ValueError, match="has no exact rational value; use enclose"):
            evaluate(parse(text), {"x": Fraction(1)})
    assert enclose(parse("sqrt(4/9)"), {}) == point(Fraction(2, 3))
    assert enclose(Pi(), {}).lo != enclose(Pi(), {}).hi
    with pytest.raises(TypeError, match="reads points"):
        evaluate(Var("x"), {"x": Interval(0, 1)})  # type: ignore[dict-item]


def test_an_interval_refuses_floats_and_crossed_ends() -> None:
    with pytest.raises(TypeError, match=r"lo is 0\.5"):
        Interval(0.5, 1)
    with pytest.raises(TypeError, match="lo is inf"):
        Interval(math.inf, math.inf)
    with pytest.raises(TypeError, match="hi is nan"):
        Interval(0, math.nan)
    with pytest.raises(ValueError, match="lo <= hi"):
        Interval(1, 0)


@some
@given(st.fractions(), st.fractions(), st.integers(2, 80))
def test_shortening_only_widens(a: Fraction, b: Fraction, bits: int) -> None:
    x = Interval(min(a, b), max(a, b))
    short = shorten(x, bits)
    assert hull(x, short) == short
    assert abs(short.lo - x.lo) <= abs(x.lo) * Fraction(4, 2**bits)


def test_huge_arguments_cost_little_and_stay_sound() -> None:
    assert enclose(parse("sin(x)"), {"x": Fraction(10**5000)}) == Interval(-1, 1)
    assert enclose(parse("exp(x)"), {"x": Fraction(10**9)}).hi == math.inf
    assert enclose(parse("tanh(x)"), {"x": Fraction(-(10**9))}).lo == -1
    assert enclose(parse("exp(x)"), {"x": Fraction(-(10**9))}).lo == 0
