"""Generated code: guards, code that writes over its temporaries, folded bounds."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lang_strategies import NAMES, boxes_with_points, formulas, some, terms

from nprl.lang.build import absolute
from nprl.lang.floats import compile_batch, compile_guard, compile_scalar
from nprl.lang.folding import folded
from nprl.lang.terms import Compare, Formula, Num, Relation, Term, Var
from nprl.lang.text import parse_formula
from nprl.lang.writer import source

GROUPS = [NAMES[:2], NAMES[2:]]
THEN = " return ({1}, {0})"
X = Var("x")
values = st.one_of(st.floats(-4, 4), st.sampled_from([math.nan, math.inf, -math.inf, -0.0]))


@some
@given(formulas, boxes_with_points())
def test_a_guard_decides_as_its_test_and_hands_on_floats(f: Formula, drawn) -> None:
    run, plain = compile_guard(f, GROUPS, None, THEN, {}), compile_scalar([f], GROUPS)
    for at in drawn[1]:
        a = [at[n] for n in NAMES]
        expected = (tuple(a[2:]), tuple(a[:2])) if plain(a[:2], a[2:])[0] else None
        assert run(a[:2], a[2:]) == expected


def test_a_guard_computes_in_float64_whatever_comes_in() -> None:
    run = compile_guard(parse_formula("x + y > z"), GROUPS, None, THEN, {})
    found = run(np.array([1, 2], dtype=np.int64), [np.float32(0.1)])
    assert found == ((float(np.float32(0.1)),), (1.0, 2.0))
    assert all(type(v) is float for part in found for v in part)
    with pytest.raises(ValueError, match="too many values"):
        run([1.0, 2.0, 3.0], [0.0])
    with pytest.raises(TypeError):
        run([1.0, None], [0.0])


@some
@given(st.lists(terms, min_size=1, max_size=3), formulas, boxes_with_points())
def test_a_batch_writes_over_nothing_that_is_held(ts: list[Term], f: Formula, drawn) -> None:
    """The arguments stay as they were, and no two results share memory, however often one occurs."""
    x = np.array([[at[n] for n in NAMES] for at in drawn[1]])
    before = x.copy()
    whole = [*ts, f, *ts, *map(Var, NAMES), f]
    results = compile_batch(whole, [NAMES])(x)
    assert (x == before).all()
    alone = [compile_batch([t], [NAMES])(x)[0] for t in whole]
    for got, expected in zip(results, alone, strict=True):
        np.testing.assert_array_equal(got, expected)
        got[:] = 0
    assert (x == before).all()


@some
@given(formulas, st.lists(st.tuples(values, values, values), min_size=1, max_size=5))
def test_a_folded_formula_decides_alike(f: Formula, points) -> None:
    g = folded(f)
    assert isinstance(g, Formula)
    finite = [p for p in points if all(map(math.isfinite, p))]
    a, b = compile_scalar([f], [NAMES]), compile_scalar([g], [NAMES])
    assert [a(p) for p in finite] == [b(p) for p in finite]


@given(values, st.floats(0, 4), st.booleans(), st.booleans())
def test_opposite_bounds_are_one_bound_of_the_absolute_value(v, c, strict, turned) -> None:
    low, high = (Relation.GT, Relation.LT) if strict else (Relation.GE, Relation.LE)
    limit = Fraction(c)
    bounds = [Compare(low, X, Num(-limit)), Compare(high, X, Num(limit))]
    f = parse_formula("y >= 0") & bounds[turned] & bounds[not turned]
    g = folded(f)
    if c:
        assert g == parse_formula("y >= 0") & Compare(high, absolute(X), Num(limit))
    at = np.array([[v, 0.0, 0.0]])
    inside = -c < v < c if strict else -c <= v <= c
    assert compile_batch([f], [NAMES])(at)[0].tolist() == [inside]


def test_other_bounds_stay_two() -> None:
    for text in ("x >= 1 and x <= 2", "x > -1 and x <= 1", "x >= -1 and y <= 1", "x <= -1"):
        f = parse_formula(text)
        assert folded(f) == f


def test_numbers_are_made_once_for_batch_code() -> None:
    t = parse_formula("x * 0.5 + y * 0.5 >= 0.25")
    text = source([t], [NAMES], batch=True)
    head, _, body = text.partition("def run")
    assert head.count("array((0.5))") == 1
    assert "0.5" not in body
