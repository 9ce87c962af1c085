import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nprl.distill.censored import target
from nprl.lang.floats import compile_batch
from nprl.lang.terms import UnaryOp, constants, nodes
from nprl.lang.text import parse
from nprl.search.constants import fill, lift, number_holes, simplify
from nprl.search.enumerate import Effort, Enumeration, enumerate_terms
from nprl.search.families import Seen
from nprl.search.grammar import Grammar, values

RNG = np.random.default_rng(3)
X = RNG.uniform(-1, 1, (1500, 2))
SMALL = Effort(linear=800, general=20)
MORE = Effort(linear=4000, general=40)
NO_FUNCTIONS = (UnaryOp.NEG, UnaryOp.ABS)


def search(
    text: str, max_nodes: int, seed: int = 0, effort: Effort = SMALL, **more: object
) -> Enumeration:
    """Search for the term ``text`` over x and y, from its clipped values."""
    y = np.clip(compile_batch([parse(text)], [["x", "y"]])(X)[0], -2, 2)
    grammar = Grammar(("x", "y"), max_nodes=max_nodes, **more)  # type: ignore[arg-type]
    return enumerate_terms(grammar, X, [target(y, -2, 2)], seed, effort)


@pytest.mark.parametrize(
    "text",
    [
        "-3.5 * x - 1.2 * y",
        "sin(x) * min(x, y)",
        "2.5 * max(x, y * y)",
        "abs(x) + 0.3 * abs(y)",
    ],
)
def test_a_known_expression_of_at_most_seven_nodes_is_found_from_its_values(text: str) -> None:
    assert nodes(parse(text)) <= 7
    best = search(text, 7, effort=MORE).found[0][0]
    assert best.loss < 1e-12
    at = compile_batch([best.term, parse(text)], [["x", "y"]])(X)
    np.testing.assert_allclose(at[0], at[1], atol=1e-9)
    assert nodes(best.term) <= 7


def test_a_condition_between_inputs_is_found() -> None:
    found = search("where(x <= y, x, -y)", 7, unary=NO_FUNCTIONS, max_holes=0)
    assert found.found[0][0].loss < 1e-20


def test_a_hole_inside_a_maximum_is_fitted() -> None:
    found = search("max(1.5 * x, y)", 5, unary=())
    assert found.found[0][0].term == parse("max(y, 1.5 * x)") or found.found[0][0].loss < 1e-20


def test_eleven_nodes_are_reached() -> None:
    grammar = Grammar(("a", "b", "c"), unary=(), conditions=False, max_nodes=11)
    x = RNG.uniform(-1, 1, (1500, 3))
    y = np.clip(x @ [2.5, -1.5, 0.7], -2, 2)
    result = enumerate_terms(grammar, x, [target(y, -2, 2)], 0, SMALL)
    assert result.finished
    assert any(f.nodes == 11 for f in result.found[0])
    assert result.found[0][0].loss < 1e-20


def test_equal_functions_are_kept_once() -> None:
    seen = Seen(50, 0)
    x, y = RNG.uniform(-1, 1, (2, 50))
    rows = np.stack([x + y, y + x, x - y, np.abs(x), np.maximum(x, -x)])
    keys, valid = seen.values_key(rows)
    assert seen.new(("linear", 0), keys, valid) == [0, 2, 3]
    assert seen.new(("linear", 0), keys, valid) == []


def test_families_are_equal_when_their_spans_are() -> None:
    seen = Seen(50, 0)
    x, y = RNG.uniform(-1, 1, (2, 50))
    basis = np.stack(
        [
            np.stack([x, y]),  # c x + c y
            np.stack([x - y, 3 * x]),  # c (x - y) + c 3 x: the same
            np.stack([x, x * y]),  # another
            np.stack([x, -2 * x]),  # one dimension only
        ]
    )
    keys, valid = seen.family_key(np.zeros((4, 50)), basis)
    assert seen.new(("linear", 2), keys, valid) == [0, 2]
    offset = np.stack([y, y + 4 * x, 2 * y])  # c x + y, c x + (y + 4 x): the same; c x + 2 y
    keys, valid = seen.family_key(offset, np.repeat(x[None, None], 3, axis=0))
    assert seen.new(("linear", 1), keys, valid) == [0, 2]


def test_constants_and_what_is_not_finite_are_no_candidates() -> None:
    seen = Seen(4, 0)
    rows = np.array([[1.0, 1, 1, 1], [0, 1, np.inf, 2], [1, np.nan, 2, 3], [0, 1e9, 1, 2]])
    assert seen.new(("linear", 0), *seen.values_key(rows)) == []


def test_the_same_seed_gives_the_same_programs() -> None:
    first, again = (search("x * y - 0.4 * x", 5, seed=11) for _ in range(2))
    assert first == again
    assert [str(f.term) for f in first.found[0]] == [str(f.term) for f in again.found[0]]


def test_results_are_sorted_and_their_losses_are_those_of_the_printed_programs() -> None:
    y = np.clip(np.sin(3 * X[:, 0]) + X[:, 1], -1, 1)
    goal = target(y, -1, 1)
    found = enumerate_terms(Grammar(("x", "y"), max_nodes=6), X, [goal], 0, SMALL).found[0]
    assert [f.loss for f in found] == sorted(f.loss for f in found)
    for f in found[:20]:
        printed = parse(str(f.term))
        assert printed == f.term
        at = np.broadcast_to(compile_batch([printed], [["x", "y"]])(X)[0], 1500)
        assert float(goal.loss(at)) == pytest.approx(f.loss, rel=1e-9, abs=1e-30)
        assert constants(f.term) <= f.holes


def test_several_outputs_are_searched_at_once() -> None:
    goals = [target(np.clip(X[:, 0] - X[:, 1], -1, 1), -1, 1), target(X[:, 1] ** 2, -1, 1)]
    result = enumerate_terms(Grammar(("x", "y"), max_nodes=3), X, goals, 0, SMALL)
    assert [some[0].term for some in result.found] == [parse("x - y"), parse("y * y")]


def test_a_deadline_cuts_the_search_short_and_it_says_so() -> None:
    y = target(np.clip(X[:, 0], -1, 1), -1, 1)
    result = enumerate_terms(Grammar(("x", "y")), X, [y], 0, deadline=time.monotonic())
    assert not result.finished
    assert search("x - y", 3).finished


def test_wrong_observations_and_grammars_are_refused() -> None:
    with pytest.raises(ValueError, match="3 columns, one for each variable; got shape"):
        enumerate_terms(Grammar(("x", "y", "z")), X, [target(X[:, 0], -1, 1)])
    with pytest.raises(ValueError, match="a grammar has variables"):
        Grammar(())
    with pytest.raises(ValueError, match="got 'exp'"):
        Grammar(("x",), unary=(UnaryOp.EXP,))


TERMS = [
    "where(x <= 0.25, 3 * x, y - 0.5) + 0",
    "1 * x + 0 * y",
    "x - -2 * y",
    "min(x, 2) / 1 + -(y)",
    "where(x - y <= 0, 2 * 3 * x, tanh(y) ** 1)",
    "clip(x + 0, -1, 1 + 1)",
    "0 - x",
    "-x + y",
    "-(3 * x)",
    "-(2 / y)",
    "-(x - y)",
    "3 * (-2 * x)",
    "3 * (2 / y)",
    "3 / (2 * y)",
    "(3 * x) / 2",
    "x + -2 / y",
]


@given(st.sampled_from(TERMS), st.floats(-5, 5), st.floats(-5, 5))
def test_simplifying_keeps_the_value(text: str, x: float, y: float) -> None:
    t = parse(text)
    s = simplify(t)
    assert nodes(s) <= nodes(t)
    at = {"x": np.asarray(x), "y": np.asarray(y)}
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(values(s, at), values(t, at), rtol=1e-12, atol=1e-12)


def test_simplified_texts() -> None:
    assert [str(simplify(parse(t))) for t in TERMS[:6]] == [
        "where(x <= 0.25, 3 * x, y - 0.5)",
        "x",
        "x + 2 * y",
        "min(x, 2) - y",
        "where(x <= y, 6 * x, tanh(y))",
        "clip(x, -1, 2)",
    ]
    assert [str(simplify(parse(t))) for t in TERMS[8:]] == [
        "-3 * x",
        "-2 / y",
        "y - x",
        "-6 * x",
        "6 / y",
        "1.5 / y",
        "1.5 * x",
        "x - 2 / y",
    ]


def test_lifting_and_filling_are_inverse_also_where_a_number_occurs_twice() -> None:
    terms = [parse("where(x <= 0.5, 0.5 * x, -2)"), parse("x / 3 + 0.5")]
    skeletons, numbers = lift(terms)
    assert numbers == (Fraction(1, 2), Fraction(1, 2), -2, 3, Fraction(1, 2))
    assert [fill(t, numbers) for t in skeletons] == terms
    assert number_holes(skeletons[1])[1] == 2
