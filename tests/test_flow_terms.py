"""What an enclosure is made of: derivatives, shorter forms, bounds in whole numbers, boxes."""

from __future__ import annotations

from fractions import Fraction as F

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from lang_strategies import NAMES, numbers, rational_terms, some, terms

from nprl.flow.enclosure import FlowError, bound, trajectories
from nprl.flow.fixed import Layout, Unbounded, fractions, whole
from nprl.flow.formulas import tidy
from nprl.lang.build import cos, exp, log, sin, sqrt, tan, tanh
from nprl.lang.exact import enclose, evaluate
from nprl.lang.ranges import Interval
from nprl.lang.terms import Binary, BinaryOp, Num, Power, Term, Unary, UnaryOp, Var
from nprl.shields.rates import derivative

SMOOTH = st.recursive(
    st.one_of(st.sampled_from(NAMES).map(Var), numbers.map(Num)),
    lambda inner: st.one_of(
        st.builds(lambda a, b: a + b, inner, inner),
        st.builds(lambda a, b: a - b, inner, inner),
        st.builds(lambda a, b: a * b, inner, inner),
        st.builds(lambda a, b: a / (2 + sin(b)), inner, inner),
        st.builds(lambda a: -a, inner),
        st.builds(Power, inner, st.integers(0, 3)),
        st.builds(sin, inner),
        st.builds(cos, inner),
        st.builds(tanh, inner),
        st.builds(lambda a: tan(sin(a)), inner),
        st.builds(lambda a: exp(cos(a)), inner),
        st.builds(lambda a: sqrt(2 + cos(a)), inner),
        st.builds(lambda a: log(3 - sin(a)), inner),
    ),
    max_leaves=6,
)
"""Terms that are differentiable everywhere."""
POINTS = st.fixed_dictionaries({n: st.fractions(-2, 2, max_denominator=9) for n in NAMES})


def in_torch(t: Term, at: dict[str, torch.Tensor]) -> torch.Tensor:
    """The value, with its graph."""
    match t:
        case Num(value):
            return torch.tensor(float(value), dtype=torch.float64)
        case Var(name):
            return at[name]
        case Power(base, exponent):
            return in_torch(base, at) ** exponent
        case Unary(UnaryOp.NEG, arg):
            return -in_torch(arg, at)
        case Unary(op, arg):
            return getattr(torch, op.value)(in_torch(arg, at))
        case Binary(op, left, right):
            a, b = in_torch(left, at), in_torch(right, at)
            match op:
                case BinaryOp.ADD:
                    return a + b
                case BinaryOp.SUB:
                    return a - b
                case BinaryOp.MUL:
                    return a * b
                case _:
                    return a / b
        case _:
            raise TypeError(t)


@some
@given(SMOOTH, POINTS)
def test_the_symbolic_derivative_is_that_of_torch(t: Term, point: dict[str, F]) -> None:
    at = {
        n: torch.tensor(float(v), dtype=torch.float64, requires_grad=True) for n, v in point.items()
    }
    value = in_torch(t, at) + 0 * sum(at.values())
    assume(abs(value.item()) < 1e6)
    value.backward()
    for n in NAMES:
        slope = tidy(derivative(t, n))
        found = enclose(slope, point)
        grad = at[n].grad
        assert grad is not None
        assert float(found.lo) == pytest.approx(grad.item(), rel=1e-6, abs=1e-6)


@some
@given(rational_terms, POINTS)
def test_a_shorter_form_has_the_same_value(t: Term, point: dict[str, F]) -> None:
    assert evaluate(tidy(t), point) == evaluate(t, point)


@some
@given(terms, st.lists(POINTS, min_size=3, max_size=3))
def test_bounds_in_whole_numbers_hold_the_values(t: Term, points: list[dict[str, F]]) -> None:
    box = {n: Interval(min(p[n] for p in points), max(p[n] for p in points)) for n in NAMES}
    try:
        quick = fractions(Layout(t).bound({n: whole(v) for n, v in box.items()}))
        split = bound(t, box, splits=8)
    except (Unbounded, FlowError):
        return
    for p in points:
        value = enclose(t, p)
        for found in (quick, split):
            assert found.lo <= value.hi
            assert value.lo <= found.hi


def test_splitting_a_box_makes_a_bound_narrower() -> None:
    x = Var("x")
    at = {"x": Interval(F(-1), F(1))}
    assert bound(x - x * x, at, splits=0) == Interval(F(-2), F(2))
    split = bound(x - x * x, at, splits=60)
    assert -2 <= split.lo < F(-199, 100)
    assert F(1, 4) <= split.hi < F(3, 10)


def test_a_box_of_trajectories_holds_where_they_go() -> None:
    x, y = Var("x"), Var("y")
    start = {"x": Interval(F(1), F(2)), "y": Interval(F(0), F(0))}
    box = trajectories({"x": x, "y": -y}, F(1, 2), start)
    assert float(box["x"].lo) <= 1
    assert 3.2974 <= float(box["x"].hi) <= 4.1  # 2 exp(1/2) = 3.29744
    assert box["y"] == Interval(F(0), F(0))
    with pytest.raises(FlowError, match="take a shorter dt"):
        trajectories({"x": x * x}, F(1), {"x": Interval(F(1), F(2))})  # it is infinite after 1/2 s
