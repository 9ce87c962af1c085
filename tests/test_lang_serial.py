"""JSON: one form, read strictly."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lang_strategies import formulas, some, terms

from nprl.lang.serial import (
    canonical,
    formula_from_json,
    loads,
    number_from_json,
    number_to_json,
    term_from_json,
    to_json,
)
from nprl.lang.terms import Formula, Num, Term, Var
from nprl.lang.text import parse


@some
@given(terms)
def test_a_term_comes_back_from_json(t: Term) -> None:
    assert term_from_json(loads(canonical(to_json(t)))) == t


@some
@given(formulas)
def test_a_formula_comes_back_from_json(f: Formula) -> None:
    assert formula_from_json(loads(canonical(to_json(f)).encode())) == f


@some
@given(st.fractions())
def test_a_number_comes_back_from_json(value: Fraction) -> None:
    assert number_from_json(number_to_json(value)) == value


def test_sums_and_products_are_flattened_on_the_left() -> None:
    t = parse("a + b + c * d * 2 + (a + b) - 1/3")
    assert to_json(t) == [
        "-",
        ["+", "a", "b", ["*", "c", "d", "2"], ["+", "a", "b"]],
        "1/3",
    ]


@pytest.mark.parametrize(
    "text",
    [
        *["-0", "00", "01", "+1", "1.5", "1/1", "2/4", "1/-2", "1/0", "0/5", "1_0", " 1", "1 ", ""],
        *["-", "1/2/3", "1e3", "\u0661", "9" * 401, "1/" + "9" * 401, 1, 1.5, None, True, ["1"]],
    ],
)
def test_a_number_has_one_form(text: object) -> None:
    with pytest.raises(ValueError, match=r"^rounding: (an exact|a) number"):
        number_from_json(text, "rounding")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["+", "a", ["*", "b", 0.5]], r"step\[2\]\[2\]: a term .* got float 0\.5"),
        (["+", "a", 1], r"step\[2\]: a term .* got int 1"),
        (["+", "a"], "its number of arguments"),
        (["-", "a", "b", "c"], "its number of arguments"),
        (["sin"], "its number of arguments"),
        (["pow", "a", "b"], "an operator"),
        ([], "a term"),
        ({}, "a term"),
        (None, "a term"),
        ([["+"], "a", "b"], "a term"),
        (["**", "a", "2"], "an exponent is an integer"),
        (["**", "a", 2.0], "an exponent is an integer"),
        (["**", "a", True], "an exponent is an integer"),
        (["**", "a", 17], "an exponent is an integer"),
        (["where", "a", "b", "c"], r"step\[1\]: a formula"),
        (["where", ["<", "a", 1.0], "b", "c"], r"step\[1\]\[2\]: .* got float 1\.0"),
        ("2/4", "step: an exact number"),
        ("a b", "step: a name is"),
        ("pi", "is a word of the language"),
        ("x" * 1000, "step: a name is"),
        (["+", *["a"] * 300], "deeper than 200 levels"),
    ],
)
def test_what_is_no_term_is_one_line_with_its_path(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        term_from_json(value, "step")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_deep_term_is_refused_before_the_stack_ends() -> None:
    value: object = "x"
    for _ in range(450):
        value = ["neg", value]
    with pytest.raises(ValueError, match="at most 200 levels"):
        term_from_json(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "a": 2}', "the key 'a' stands twice"),
        ('{"b": {"a": 1, "c": 0, "a": 2}}', "the key 'a' stands twice"),
        ("[NaN]", "NaN is no number"),
        ("[-Infinity]", "-Infinity is no number"),
        ("[1e999]", "too large"),
        ("9" * 401, "at most 400 digits"),
        ("[" * 501 + "]" * 501, "deeper than 500"),
        ("[" * 100_000, "deeper than 500"),
        ('{"a":' * 501, "deeper than 500"),
        ("[1,", "not JSON"),
        ("", "not JSON"),
        ("'a'", "not JSON"),
        ("[1] [2]", "not JSON"),
        (b"\xff\xfe[1]", "not UTF-8 at byte 0"),
        ("\ufeff[1]", "not JSON"),
        (b" " * (64 * 2**20 + 1), "at most 67108864"),
    ],
)
def test_what_json_forgives_is_refused(text: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        loads(text)
    assert "\n" not in str(caught.value)


def test_brackets_in_strings_do_not_count() -> None:
    text = json.dumps({"a": "[" * 1000 + '"\\' + "{" * 1000, "b": [1.5, None, True, "\u00e9"]})
    assert loads(text) == json.loads(text)
    assert loads("[" * 500 + "]" * 500)


def test_the_canonical_text_is_sorted_ascii_without_spaces() -> None:
    assert canonical({"b": [1, "\u00e9"], "a": None}) == '{"a":null,"b":[1,"\\u00e9"]}'
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical(float("nan"))


def test_a_number_too_long_to_be_read_is_not_written() -> None:
    with pytest.raises(ValueError, match="at most 400 digits"):
        number_to_json(Fraction(10**400))
    with pytest.raises(ValueError, match="at most 400 digits"):
        to_json(Var("x") + Num(Fraction(1, 10**400)))
