"""The rule for exp, log and tanh: what it states holds, and both checkers decide alike."""

from __future__ import annotations

import copy
import json
import random
from fractions import Fraction
from typing import Any

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lang_strategies import few

from nprl.lang.build import exp, log, sqrt, tanh
from nprl.lang.serial import to_json
from nprl.lang.terms import Term, Unary, UnaryOp, Var, replace
from nprl.shields import exact
from nprl.shields.checker import check_goal
from nprl.shields.polynomial import polynomial
from nprl.shields.sequent import Conclusion, Sequent, conclusions, expand
from nprl.shields.synthesis.proofs.prove import prove
from nprl.shields.synthesis.proofs.search import Search

X = Var("x")
Tree = list[Any]
ALL: Tree = ["leaf", [{}]]


def on(low: str, high: str, *terms: Term) -> Sequent:
    """That the terms are >= 0 for x between the ends."""
    return Sequent((X - Fraction(low), Fraction(high) - X), (conclusions(terms),))


def exactly(s: Sequent, tree: Tree) -> bool:
    """Whether the stand-alone checker accepts the tree for the sequent."""
    reader = exact._Reader({"x"})
    exact.WORK.done, exact.WORK.known = 0, {}
    premises = [reader.term(to_json(h)) for h in s.premises]
    goals = [[reader.term(to_json(c.term)) for c in a] for a in s.alternatives]
    try:
        exact._prove(premises, goals, 0, {"x"}, json.loads(json.dumps(tree)))
    except ValueError:
        return False
    return True


def accepted(s: Sequent, tree: Tree) -> bool:
    """Whether both checkers accept the tree; they must agree."""
    kernel = check_goal("goal", s, tree).proved
    assert kernel == exactly(s, tree)
    return kernel


def leaf(weight: str, premise: int) -> Tree:
    return ["leaf", [{"products": [[weight, [premise]]]}]]


def rule(t: Term, side: Tree, then: Tree, k: Any = 1) -> Tree:
    return ["exp", to_json(t), k, "0", "1", "2", side, then]


def grown() -> tuple[Sequent, Tree]:
    return on("0", "1/2", exp(X) - 1 - X), rule(exp(X), ["leaf", []], leaf("1", 2))


def logged() -> tuple[Sequent, Tree]:
    return on("1/2", "2", X - 1 - log(X)), rule(log(X), ALL, leaf("1", 2))


def bent() -> tuple[Sequent, Tree]:
    t = tanh(X)
    return on("0", "1/2", t + t * X - X), rule(t, ["leaf", []], leaf("1/2", 2))


BY_HAND = (grown, logged, bent)


@pytest.mark.parametrize("made", BY_HAND)
def test_a_tangent_is_proved(made: Any) -> None:
    assert accepted(*made())


@pytest.mark.parametrize("made", BY_HAND)
@pytest.mark.parametrize(
    ("place", "value"),
    [
        (2, 0),
        (2, -1),
        (2, 13),
        (2, True),
        (2, "1"),
        (2, 1.0),
        (2, None),
        (3, "1/8"),
        (3, "-1/8"),
        (3, "9" * 400),
        (3, "-" + "9" * 400),
        (3, 0),
        (4, "1000001/1000000"),
        (4, "-1"),
        (4, "2"),
        (5, "999999/1000000"),
        (5, "0"),
        (5, "-2"),
        (5, True),
        (1, ["sin", "x"]),
        (1, ["sqrt", "x"]),
        (1, ["exp", ["neg", "x"]]),
        (6, ["leaf", [{}, {}]]),
        (6, None),
        (7, leaf("1", 3)),
        (7, leaf("2", 2)),
        (7, leaf("-1", 2)),
        (7, ["leaf", []]),
    ],
)
def test_a_fault_is_refused_by_both(made: Any, place: int, value: Any) -> None:
    s, tree = copy.deepcopy(made())
    tree[place] = value
    assert not accepted(s, tree)


def test_the_wrong_number_of_parts_is_refused_by_both() -> None:
    s, tree = grown()
    for broken in (tree[:-1], [*tree, ALL], tree[:3], ["exp"], [*tree[:5], *tree[6:]]):
        assert not accepted(s, broken)


def test_a_logarithm_needs_a_positive_argument() -> None:
    s = on("-1", "2", X - 1 - log(X))  # false at 0, where log is 0
    assert not accepted(s, rule(log(X), ALL, leaf("1", 2)))
    edge = on("0", "2", X - 1 - log(X))
    assert not accepted(edge, rule(log(X), ALL, leaf("1", 2)))


def test_what_is_false_has_no_proof() -> None:
    for s in (on("0", "1", 2 - exp(X)), on("1", "2", log(X) - Fraction(1, 10)), on("0", "1", -X)):
        tree = rule(exp(X), ["leaf", []], ALL)
        assert not accepted(s, tree)


@few
@given(
    st.sampled_from([UnaryOp.EXP, UnaryOp.TANH, UnaryOp.LOG]),
    st.fractions(-8, 8, max_denominator=50),
    st.fractions(-8, 8, max_denominator=50),
    st.integers(1, 12),
)
def test_what_the_rule_states_holds(op: UnaryOp, a: Fraction, c: Fraction, k: int) -> None:
    if op is UnaryOp.LOG:
        a = abs(a) + Fraction(1, 50)
    with mpmath.workdps(60):
        at_c = mpmath.exp(mpmath.mpf(c.numerator) / c.denominator)
        unit = Fraction(1, 2**60)
        near = Fraction(int(at_c * 2**60), 2**60)
        node = ["exp", to_json(Unary(op, X)), k, str(c), str(near), str(near + 2 * unit), ALL, ALL]
        _, after = expand(node, Sequent((), ((Conclusion(X),),)))
        value = getattr(mpmath, op.value)(mpmath.mpf(a.numerator) / a.denominator)
        v = Fraction(int(value * 2**150), 2**150)
        for h in after.premises:
            p = polynomial(replace(h, {X: _num(a), Var("a:0"): _num(v)}))
            assert p.get((), Fraction(0)) >= -Fraction(1, 2**40)


def _num(value: Fraction) -> Term:
    return X * 0 + value


def test_both_checkers_decide_random_trees_alike() -> None:
    rng = random.Random(0)
    found = []
    for _ in range(150):
        s, tree = copy.deepcopy(rng.choice(BY_HAND)())
        tree[2] = rng.choice([1, 1, 1, 2, 12])
        tree[3] = rng.choice(["0", "0", "0", "1/4", "-1/4"])
        tree[4], tree[5] = rng.choice([("1", "2"), ("1", "3"), ("3/4", "4/3"), ("5/4", "4/3")])
        tree[7] = leaf(rng.choice(["1", "1/2"]), rng.choice([2, 2, 2, *range(7)]))
        found.append(accepted(s, tree))
    assert {True, False} == set(found)


@pytest.mark.parametrize(
    ("low", "high", "term"),
    [
        ("-1", "1", exp(X) - 1 - X + Fraction(1, 4)),
        ("0", "2", X + Fraction(1, 8) - tanh(X)),
        ("1/2", "2", X - 1 - log(X) + Fraction(1, 8)),
        ("1/4", "1", (X + 1) / 2 - sqrt(X) + Fraction(1, 16)),
        ("1/2", "1", X * exp(-1 / X) - Fraction(1, 20)),
    ],
)
def test_the_search_finds_proofs_that_both_checkers_accept(low: str, high: str, term: Term) -> None:
    s = on(low, high, term)
    assert accepted(s, prove(s, Search(seconds=60)))
