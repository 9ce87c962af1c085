"""Terms: data, compared by structure."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from fractions import Fraction

import pytest
from hypothesis import given
from lang_strategies import NAMES, few, terms

from nprl.lang.build import all_of, any_of
from nprl.lang.exact import enclose
from nprl.lang.terms import (
    And,
    Num,
    Or,
    Power,
    Term,
    Truth,
    Var,
    check_depth,
    children,
    constants,
    nodes,
    replace,
    subterms,
    variables,
)
from nprl.lang.text import parse, parse_formula

X = Var("x")


def test_the_language_imports_the_standard_library_only() -> None:
    modules = ("terms", "text", "serial", "functions", "exact", "interval", "rounding", "floats")
    code = (
        "import importlib, sys; before = set(sys.modules);"
        f"[importlib.import_module('nprl.lang.' + m) for m in {modules}];"
        "new = {m.split('.')[0] for m in set(sys.modules) - before} - set(sys.stdlib_module_names);"
        "print(sorted(new))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['nprl']"


@few
@given(terms)
def test_equal_structure_is_equality(t: Term) -> None:
    for other in (copy.deepcopy(t), pickle.loads(pickle.dumps(t)), parse(str(t))):
        assert other == t
        assert hash(other) == hash(t)
    assert t + 1 != t
    assert t != str(t)


@few
@given(terms)
def test_replacing_is_simultaneous(t: Term) -> None:
    swapped = replace(t, {Var("x"): Var("y"), Var("y"): Var("x")})
    assert replace(swapped, {Var("x"): Var("y"), Var("y"): Var("x")}) == t
    at = {name: Fraction(k, 7) for k, name in enumerate(NAMES)}
    assert enclose(swapped, at | {"x": at["y"], "y": at["x"]}) == enclose(t, at)
    assert replace(t, {t: X}) == X


def test_parts_are_listed_from_left_to_right() -> None:
    t = parse("where(x < 1 and y > 2, clip(x, 0, pi), -y) ** 2")
    assert [str(c) for c in children(t.base)] == ["x < 1 and y > 2", "clip(x, 0, pi)", "-y"]
    assert [str(s) for s in subterms(parse("x - sin(y)"))] == ["x", "y", "sin(y)", "x - sin(y)"]
    assert variables(t) == {"x", "y"}
    assert nodes(parse("x - sin(y)")) == 4
    assert constants(t) == 4


def test_a_float_is_no_constant() -> None:
    with pytest.raises(TypeError, match=r"got float 0\.1: write Fraction\('0\.1'\)"):
        X + 0.1  # type: ignore[operator]
    with pytest.raises(TypeError, match="got bool"):
        Num(True)


def test_a_formula_has_no_truth_value() -> None:
    with pytest.raises(TypeError, match="write `&`"):
        bool(X < 1)
    assert (X < 1) & (X > 0) | ~(X <= 2) == parse_formula("x < 1 and x > 0 or not x <= 2")


def test_and_joins_two_or_more() -> None:
    for joined in (And, Or):
        with pytest.raises(ValueError, match="two formulas or more; got 1"):
            joined((X < 1,))
    assert all_of() == Truth(True)
    assert any_of() == Truth(False)
    assert all_of(X < 1) == (X < 1)


def test_exponents_are_small_integers() -> None:
    for exponent in (-1, 17, True, 2.0, "2"):
        with pytest.raises(ValueError, match="an exponent is an integer from 0 to 16"):
            Power(X, exponent)  # type: ignore[arg-type]


def test_depth_is_limited_where_terms_come_from_outside() -> None:
    t: Term = X
    for _ in range(199):
        t = 1 - t
    check_depth(t)
    with pytest.raises(ValueError, match="deeper than 200 levels"):
        check_depth(1 - t)
