"""Text: what is printed is read back, and nothing is ever executed."""

from __future__ import annotations

from fractions import Fraction
from operator import neg

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lang_strategies import formulas, some, terms

from nprl.lang.build import minimum, sin, where
from nprl.lang.terms import Formula, Num, Power, Term, Var
from nprl.lang.text import formula_to_text, number_to_text, parse, parse_formula, to_text

X, Y = Var("x"), Var("y")


@some
@given(terms)
def test_parsing_a_printed_term_gives_the_term(t: Term) -> None:
    assert parse(str(t)) == t


@some
@given(formulas)
def test_parsing_a_printed_formula_gives_the_formula(f: Formula) -> None:
    assert parse_formula(formula_to_text(f)) == f


@some
@given(st.fractions())
def test_every_number_is_read_back(value: Fraction) -> None:
    assert parse(number_to_text(value)) == Num(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.05", Fraction(1, 20)),
        ("1/3", Fraction(1, 3)),
        ("-1/3", Fraction(-1, 3)),
        ("-2.5", Fraction(-5, 2)),
        ("1e-3", Fraction(1, 1000)),
        ("12", Fraction(12)),
    ],
)
def test_a_number_is_one_token(text: str, value: Fraction) -> None:
    assert parse(text) == Num(value)


@pytest.mark.parametrize(
    ("t", "text"),
    [
        (X + Y * 2 - Fraction(1, 3), "x + y * 2 - 1/3"),
        (X - (Y - 1), "x - (y - 1)"),
        (X / (Y * 2), "x / (y * 2)"),
        (Num(Fraction(2)) / 3, "2 / 3"),
        (X / Fraction(2, 3), "x / (2/3)"),
        (Power(Num(Fraction(-3)), 2), "(-3) ** 2"),
        (-Power(Num(Fraction(3)), 2), "-3 ** 2"),
        (-Num(Fraction(3)), "-(3)"),
        (neg(neg(X)), "--x"),
        ((-X) ** 2, "(-x) ** 2"),
        (abs(X) ** 2 / 7, "abs(x) ** 2 / 7"),
        (
            where((X < 1) & ~(Y >= 2) | (X > 3), X, -Y),
            "where(x < 1 and not y >= 2 or x > 3, x, -y)",
        ),
    ],
)
def test_the_printed_text_is_the_one_a_person_would_write(t: Term, text: str) -> None:
    assert to_text(t) == text
    assert parse(text) == t


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sni(x)", "at character 1: .*did you mean 'sin'"),
        ("__import__('os').system('true')", "unknown character|no function"),
        ("x.__class__", "at character 2: unknown character"),
        ("lambda: 0", "unknown character"),
        ("[x]", "unknown character"),
        ("x if y else z", "expected an operator or the end; got 'if'"),
        ("x ^ 2", r"write \*\* for powers"),
        ("x ** 17", "an exponent is an integer from 0 to 16; got '17'"),
        ("x ** -1", "an exponent is an integer"),
        ("x ** 2 ** 3", "powers do not chain"),
        ("x / 2/3", "a fraction divides in parentheses"),
        ("x / -2/3", "a fraction divides in parentheses"),
        ("2/3 ** 2", "a fraction is raised in parentheses"),
        ("1/0", "denominator is not zero"),
        ("1e999", "at most 400 digits"),
        ("1e-999999999", "at most 400 digits"),
        ("9" * 401, "at most 400 digits"),
        ("1_000", "expected an operator or the end; got '_000'"),
        ("\u0663", "unknown character"),
        ("x < 1", "a term belongs here; got a condition"),
        ("where(x, 1, 2)", "at character 7: a condition .* belongs here; got a term"),
        ("(x < 1) + 1", "at character 1: a term belongs here"),
        ("clip(x, 1)", "clip takes 3 arguments; got 2"),
        ("sin", "is a word of the language"),
        ("", "expected a number.*got the end"),
        ("x +", "got the end"),
        ("(x", "expected '\\)'; got the end"),
        ("x y", "expected an operator or the end; got 'y'"),
        ("a" * 65, "1 to 64 letters"),
        ("(" * 450 + "x" + ")" * 450, "deeper than 200"),
        ("(" * 5000, "nested deeper than 200 levels"),
        ("-" * 5000 + "x", "nested deeper than 200 levels"),
        ("sin(" * 5000, "nested deeper than 200 levels"),
        (" + ".join(["x"] * 300), "deeper than 200 levels"),
        ("x" * 100_001, "at most 100000 are read"),
    ],
)
def test_what_is_no_term_is_one_line_that_says_where(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        parse(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_comparisons_do_not_chain() -> None:
    with pytest.raises(ValueError, match="write `a < b and b < c`"):
        parse_formula("0 < x < 1")


@some
@given(st.text("xy01 2.5/+-*()<>=,andorpis", max_size=30))
def test_any_text_is_a_term_or_a_value_error(text: str) -> None:
    try:
        t = parse(text)
    except ValueError:
        return
    assert parse(str(t)) == t


def test_a_term_of_the_greatest_depth_goes_through() -> None:
    for deeper in (lambda t: 1 - t, sin, neg, lambda t: t**2, lambda t: minimum(1, t)):
        t: Term = X
        for _ in range(199):
            t = deeper(t)
        assert parse(str(t)) == t


def test_a_reserved_word_names_no_coordinate() -> None:
    for name in ("pi", "sin", "and", "true", "where"):
        with pytest.raises(ValueError, match="is a word of the language"):
            Var(name)
    for name in ("0", "a b", "x\n", "", "é", ":a", "a:"):
        with pytest.raises(ValueError, match="a name is 1 to 64"):
            Var(name)
    assert parse("e:theta + a:0 - t:plant0").left.left == Var("e:theta")
