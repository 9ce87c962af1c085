"""Terms in torch: the values of the other meanings, and their derivatives."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lang_strategies import (
    EDGES,
    NAMES,
    ULP,
    few,
    formulas,
    points,
    rational_leaves,
    some,
    terms,
    terms_of,
)

from nprl.lang.floats import compile_batch, compile_scalar
from nprl.lang.terms import Formula, Term, Unary, UnaryOp, Var
from nprl.lang.text import parse, parse_formula
from nprl.search.tensors import Tensors, finite_gradients


def at(values: dict[str, float]) -> dict[str, torch.Tensor]:
    return {n: torch.tensor([v], dtype=torch.float64) for n, v in values.items()}


@some
@given(terms_of(rational_leaves, (UnaryOp.NEG, UnaryOp.ABS, UnaryOp.SQRT), size=10), points)
def test_torch_computes_the_same_floats_where_no_library_function_is(
    t: Term, point: dict[str, float]
) -> None:
    value = compile_scalar([t], [NAMES])([point[n] for n in NAMES])[0]
    assert float(Tensors(at(point)).of(t)) == value


@pytest.mark.parametrize("op", UnaryOp)
@few
@given(value=st.one_of(st.floats(-700, 700), st.floats(-2, 2), st.sampled_from(EDGES)))
def test_library_functions_agree_within_rounding(op: UnaryOp, value: float) -> None:
    one = float(compile_batch([Unary(op, Var("x"))], [["x"]])(np.array([[value]]))[0][0])
    other = float(Tensors(at({"x": value})).of(Unary(op, Var("x"))))
    assert abs(one - other) <= 8 * ULP * abs(one) + 5e-324


@few
@given(terms, points)
def test_finite_inputs_give_finite_values(t: Term, point: dict[str, float]) -> None:
    assert math.isfinite(float(Tensors(at(point)).of(t)))


@few
@given(formulas, points)
def test_formulas_are_bools(f: Formula, point: dict[str, float]) -> None:
    assert Tensors(at(point)).holds(f).dtype is torch.bool


def test_formulas_of_plain_comparisons_agree_with_the_floats() -> None:
    f = parse_formula("x < 1 and (y >= x or not z > 0) and z <= 4")
    rows = np.random.default_rng(0).uniform(-5, 5, (200, 3))
    columns = {n: torch.as_tensor(rows[:, k]) for k, n in enumerate(NAMES)}
    expected = compile_batch([f], [NAMES])(rows)[0]
    assert Tensors(columns).holds(f).tolist() == expected.tolist()


@pytest.mark.parametrize(
    "text",
    [
        "sin(x) * cos(y) - tan(x) / (2 + y * y)",
        "tanh(3 * x) + exp(y / 2) + log(x + 3) + sqrt(y + 3)",
        "(x - y) ** 3 + x ** 2 + x ** 1 + y ** 0",
        "where(x <= y, x * y, abs(x - 5)) + min(x, 2 * y) + max(x * x, y) + clip(4 * x, -1, y)",
    ],
)
def test_derivatives_are_those_of_small_differences(text: str) -> None:
    rows = np.random.default_rng(2).uniform(-1, 1, (20, 2))
    x, y = (torch.tensor(c, requires_grad=True) for c in rows.T)
    assert torch.autograd.gradcheck(lambda a, b: Tensors({"x": a, "y": b}).of(parse(text)), (x, y))


def test_at_the_edge_of_a_domain_the_derivative_is_zero() -> None:
    for text in ("sqrt(x)", "log(x)", "1 / x", "abs(x)", "sqrt(x - 1)"):
        x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        Tensors({"x": x}).of(parse(text)).sum().backward()
        assert x.grad is not None
        assert x.grad.item() == 0.0, text


def test_a_derivative_beside_a_pole_is_taken_for_zero_where_it_is_infinite() -> None:
    x = torch.full((1,), 1e-200, dtype=torch.float64, requires_grad=True)
    Tensors({"x": x}).of(parse("1 / x")).sum().backward()
    assert x.grad is not None
    assert not math.isfinite(x.grad.item())
    finite_gradients([x])
    assert x.grad.item() == 0.0


def test_an_unknown_variable_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="y"):
        Tensors({}).of(parse("y"))
