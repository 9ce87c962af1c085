"""The C meaning: the same bits as generated Python, or nothing."""

from __future__ import annotations

import random
import stat
from fractions import Fraction as F
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lang_strategies import EDGES, NAMES, formulas, terms
from test_lang_floats import EVERY

import nprl.lang.native as native
from nprl.lang.floats import compile_scalar
from nprl.lang.native import compiler, native_batch, native_guard, native_scalar
from nprl.lang.terms import Num, Term, Unary, UnaryOp, Var
from nprl.lang.text import parse, parse_formula

pytestmark = pytest.mark.skipif(compiler() is None, reason="there is no C compiler")
X = Var("x")


def compared(whole: list[Any], bounds: Any, points: list[tuple[float, ...]]) -> None:
    """Every term has the same bits in C and in Python, at every point."""
    values = [t for t in whole if isinstance(t, Term)]
    truths = [t for t in whole if not isinstance(t, Term)]
    run, python = native_batch(values, truths, [NAMES], bounds), [*values, *truths]
    assert run is not None
    one, got = compile_scalar(python, [NAMES], bounds), run(np.array(points))
    expected = np.array([one(p) for p in points], dtype=float)
    both = np.concatenate([got[0], got[1].astype(float)]).T
    assert both.tobytes() == expected.tobytes()


def test_every_operator_has_the_bits_of_generated_python_at_the_edges_too() -> None:
    compared(list(EVERY), None, list(product(EDGES, repeat=3)))


def test_functions_of_constants_have_the_bits_of_the_c_library() -> None:
    at = {
        "sin": "2.738187324714434", "cos": "4.489319289416617", "tan": "1.1011974290622337",
        "tanh": "-0.79428419169155", "exp": "2.3549971545471386", "log": "0.8557381736048818",
    }  # fmt: skip
    compared([parse(f"{name}({value})") for name, value in at.items()], None, [(0.0, 0.0, 0.0)])
    sixths = [Num(F(k, 6)) for k in range(-120, 121)]
    for name in at:
        compared([Unary(UnaryOp(name), v) for v in sixths], None, [(0.0, 0.0, 0.0)])


@settings(max_examples=4, deadline=None)
@given(st.lists(st.one_of(terms, formulas), min_size=20, max_size=20), st.randoms())
def test_terms_and_formulas_have_the_bits_of_generated_python(
    whole: list[Any], rng: random.Random
) -> None:
    box = {"x": (-3.0, 3.0), "y": (0.25, 2.0), "z": (-1e200, 1e200)}
    points = [tuple(rng.uniform(low, high) for low, high in box.values()) for _ in range(40)]
    compared(whole, box, points)


def test_a_batch_reads_arrays_of_any_strides_and_refuses_other_shapes() -> None:
    run = native_batch([X - parse("u")], [parse_formula("x > y")], [["x", "y"], ["u"], []])
    assert run is not None
    x, u, none = np.arange(12.0).reshape(2, 6).T, np.ones((6, 1)), np.empty((6, 0))
    values, truths = run(x, u, none)
    assert values.tolist() == [(x[:, 0] - 1).tolist()]
    assert truths.tolist() == [[False] * 6]
    assert truths.dtype == np.bool_
    assert run(x[::-2], u[:3], none[:3])[0].tolist() == [[4.0, 2.0, 0.0]]
    assert run(x[:0], u[:0], none[:0])[0].shape == (1, 0)
    assert run(x.astype(np.float32), u.astype(np.int64), none)[0].tolist() == values.tolist()
    for bad in ((x[:5], u, none), (x[:, :1], u, none), (x, u, u), (x.ravel(), u, none), (x, u)):
        with pytest.raises((ValueError, TypeError)):
            run(*bad)


def test_a_guard_gives_the_floats_where_it_holds() -> None:
    guard = native_guard(parse_formula("x < u and x > 0"), [["x", "y"], ["u"]])
    assert guard is not None
    found = guard((np.float32(0.5), 2), [1])
    assert found == ((0.5, 2.0), (1.0,))
    assert all(type(v) is float for group in found for v in group)
    assert guard(np.array([0.5, 2.0]), np.array([1.0])) == ((0.5, 2.0), (1.0,))
    assert guard((2.0, 2.0), (1.0,)) is None
    for x in (float("nan"), float("inf"), -float("inf")):
        assert guard((x, 0.0), (1.0,)) is None
    for bad, error in (
        ((((1.0,), (1.0,))), ValueError),
        (((1.0, 2.0, 3.0), (1.0,)), ValueError),
        (((1.0, "2"), (1.0,)), TypeError),
        (((1.0, None), (1.0,)), TypeError),
        ((1.0, (1.0,)), TypeError),
        (((1.0, 2.0),), TypeError),
    ):
        with pytest.raises(error):
            guard(*bad)


def test_one_point_has_the_same_values_as_in_python() -> None:
    terms = [parse("x * u - y"), parse_formula("x < u"), parse_formula("y < u")]
    groups = [["x", "y"], ["u"]]
    run, python = native_scalar(terms, groups), compile_scalar(terms, groups)
    assert run is not None
    for x, u in (((0.5, 2.0), (1.0,)), ((-3.0, 0.1), (1e300,)), ((float("nan"), 0.0), (1.0,))):
        assert repr(run(x, u)) == repr(tuple(map(float, python(x, u))))
    with pytest.raises(ValueError, match="a group has 2 inputs; got 1"):
        run((1.0,), (1.0,))


@pytest.fixture
def anew() -> Any:
    """Nothing is remembered of what was compiled, before and after."""
    for function in (native.compiler, native._compiled):
        function.cache_clear()
    yield
    for function in (native.compiler, native._compiled):
        function.cache_clear()


def test_without_a_compiler_there_is_none(anew: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPRL_NATIVE", "0")
    assert native_batch([X], [], [["x"]]) is None
    compiler.cache_clear()
    monkeypatch.delenv("NPRL_NATIVE")
    monkeypatch.setenv("CC", "no-such-compiler -O2")
    assert native_guard(X > 0, [["x"]]) is None


def test_a_compiler_that_fails_means_none(
    anew: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CC", str(broken))
    assert native_batch([X + 7], [], [["x"]]) is None


def test_code_that_computes_something_else_is_not_used(
    anew: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms, whole = [X + parse("sin(x)")], native.source
    assert native_batch(terms, [], [["x"]]) is not None
    native._compiled.cache_clear()

    def wrong(*given: Any) -> str:
        return whole(*given).replace("+ v0", "- v0")

    monkeypatch.setattr(native, "source", wrong)
    assert native_batch(terms, [], [["x"]]) is None
