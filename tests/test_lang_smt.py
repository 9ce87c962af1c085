"""Z3: exact on rational operators, and told only true things of the others."""

from __future__ import annotations

import math
from fractions import Fraction

import mpmath
import pytest
import z3
from hypothesis import assume, given
from hypothesis import strategies as st
from lang_strategies import NAMES, few, numbers, rational_terms

from nprl.lang.exact import evaluate
from nprl.lang.smt import PI_ABOVE, PI_BELOW, formula_to_z3, number, taylor, to_z3
from nprl.lang.terms import Term, UnaryOp, Var
from nprl.lang.text import parse, parse_formula

REALS = {name: z3.Real(name) for name in NAMES}


@few
@given(rational_terms, st.fixed_dictionaries({name: numbers for name in NAMES}))
def test_z3_computes_the_exact_value(t: Term, at: dict[str, Fraction]) -> None:
    lemmas: list[z3.BoolRef] = []
    value = z3.simplify(to_z3(t, {name: number(v) for name, v in at.items()}, lemmas))
    assert value.as_fraction() == evaluate(t, at)
    assert lemmas == []


def proved(text: str) -> bool:
    lemmas: list[z3.BoolRef] = []
    goal = formula_to_z3(parse_formula(text), REALS, lemmas)
    solver = z3.Solver()
    solver.set("rlimit", 5_000_000)
    solver.add(*lemmas, z3.Not(goal))
    return bool(solver.check() == z3.unsat)


@pytest.mark.parametrize(
    "text",
    [
        "sin(x) <= 1 and cos(x) >= -1",
        "x < 0 or x > 1 or sin(x) <= x + 0.0001 * x ** 7 + 0.001",
        "3.14159 < pi and pi < 3.1416",
        "sqrt(x) >= 0 and (x < 0 or sqrt(x) ** 2 <= x)",
        "x >= 0 or sqrt(x) <= 0",
        "sin(x + y) <= sin(x + y)",
        "x / 0 <= 0 and x / 0 >= 0",
        "where(x < y, y - x, x - y) >= 0",
        "abs(x) >= x and max(x, y) >= min(x, y)",
        "clip(x, 0, 1) <= 1 and true and not false",
    ],
)
def test_z3_proves(text: str) -> None:
    assert proved(text)


@pytest.mark.parametrize("text", ["sin(x) < 1", "sin(x) <= sin(y)", "x / x >= 1", "pi < 3.14"])
def test_z3_does_not_prove(text: str) -> None:
    assert not proved(text)


@pytest.mark.parametrize("name", ["tan", "tanh", "exp", "log"])
def test_a_function_without_z3_meaning_says_which_have_one(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} has no Z3 meaning; there are .* sin cos sqrt pi"):
        to_z3(parse(f"{name}(x)"), REALS, [])


def test_pi_lies_between_its_bounds() -> None:
    with mpmath.workdps(60):
        low, high = (mpmath.mpf(q.numerator) / q.denominator for q in (PI_BELOW, PI_ABOVE))
        assert low < mpmath.pi < high


@pytest.mark.parametrize("op", [UnaryOp.SIN, UnaryOp.COS])
@pytest.mark.parametrize("k", range(1, 13))
@few
@given(value=st.one_of(st.floats(-10, 10), st.floats(-1, 1), st.floats(-1e3, 1e3)))
def test_the_axioms_of_sine_and_cosine_are_true(op: UnaryOp, k: int, value: float) -> None:
    coefficients, rest = taylor(op, k)
    assert rest == Fraction(1, math.factorial(2 * k))
    with mpmath.workdps(120):
        a = mpmath.mpf(value)
        series = mpmath.fsum(
            mpmath.mpf(c.numerator) / c.denominator * a**n for n, c in enumerate(coefficients)
        )
        off = a ** (2 * k) / math.factorial(2 * k)
        true = getattr(mpmath, op.value)(a)
        slack = mpmath.mpf(10) ** -70
        assert series - off - slack <= true <= series + off + slack
        assert -1 <= true <= 1


@few
@given(st.fractions(-5, 5, max_denominator=100), st.sampled_from(("sin", "cos")))
def test_the_lemmas_hold_at_the_true_value(value: Fraction, name: str) -> None:
    assume(value != 0)
    lemmas: list[z3.BoolRef] = []
    fresh = to_z3(parse(f"{name}(x)"), {"x": number(value)}, lemmas)
    with mpmath.workdps(60):
        true = getattr(mpmath, name)(mpmath.mpf(value.numerator) / value.denominator)
        near = Fraction(int(mpmath.nint(true * 10**40)), 10**40)
    assert len(lemmas) == 4
    for lemma in lemmas:
        assert z3.is_true(z3.simplify(z3.substitute(lemma, (fresh, number(near)))))


def test_the_same_argument_gets_the_same_variable() -> None:
    t = Var("x") + 1
    first = to_z3(parse("sin(x + 1)"), REALS, [])
    assert first.eq(to_z3(parse("sin(x + 1)"), REALS, []))
    assert not first.eq(to_z3(parse("cos(x + 1)"), REALS, []))
    assert not first.eq(to_z3(parse("sin(x)"), REALS, []))
    assert first.eq(to_z3(parse("sin(y)"), {"y": to_z3(t, REALS, [])}, []))
