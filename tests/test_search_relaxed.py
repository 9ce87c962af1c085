"""Differentiable relaxations: soft derivation trees, what they turn into, and thinning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from nprl.distill.censored import target
from nprl.distill.dataset import Dataset
from nprl.distill.rollout import blank, with_terms
from nprl.env.task import load_task
from nprl.lang.floats import compile_batch
from nprl.lang.terms import (
    Binary,
    BinaryOp,
    Term,
    Unary,
    UnaryOp,
    Where,
    nodes,
    subterms,
    variables,
)
from nprl.lang.text import parse
from nprl.search.grammar import Grammar
from nprl.search.learner import Taught
from nprl.search.relaxation import Relaxation
from nprl.search.relaxed import COPIES, imitated, relaxed
from nprl.search.sparse import thinned
from nprl.search.work import Work

RNG = np.random.default_rng(3)
X = RNG.uniform(-1, 1, (1500, 2)) * [1.0, 0.1]
XY = Grammar(("x", "y"), max_nodes=15, max_holes=9)
CART = load_task("CartPole-v1").unbound()
LITTLE = Work(15_000_000, 500_000, evaluations=20, tuning=8, choosing=10)
TEACHER = with_terms(blank(CART), [parse("40 * theta + 8 * omega")])


def labels(text: str) -> np.ndarray:
    return np.clip(compile_batch([parse(text)], [["x", "y"]])(X)[0], -2, 2)


def learned(text: str, levels: int, grammar: Grammar = XY) -> list[Term]:
    y = labels(text)
    return imitated(grammar, Dataset(X, y[:, None]), [target(y, -2, 2)], levels, 0)


def loss(t: Term, text: str) -> float:
    at = np.broadcast_to(compile_batch([t], [["x", "y"]])(X)[0], len(X))
    return float(target(labels(text), -2, 2).loss(at))


@pytest.mark.parametrize("levels", [0, 1, 2, 3])
def test_a_cold_relaxation_computes_what_its_program_does(levels: int) -> None:
    grammar = replace(XY, binary=tuple(op for op in BinaryOp if op is not BinaryOp.DIV))
    soft = Relaxation(grammar, np.array([1.0, 0.1]), np.full(6, 2.0), levels, 1)
    for test in soft.tests:
        test.detach()[:, -1] = 0.0
    soft.cool(1.0)
    soft.heat = 1e-9
    with torch.no_grad():
        values = soft.values(torch.as_tensor(X)).numpy()
    for k, t in enumerate(soft.terms()):
        at = np.broadcast_to(compile_batch([t], [["x", "y"]])(X)[0], len(X))
        near = np.abs(at - values[:, k]) < 0.02 * (1 + np.abs(values[:, k]))
        assert near.mean() > 0.98, str(t)


def test_a_known_program_is_learned_to_its_structure() -> None:
    some = [t for tree in learned("1.5 * x - 6 * y", 1) for t, _ in thinned_of(tree)]
    best = min((t for t in some if nodes(t) <= 7), key=lambda t: loss(t, "1.5 * x - 6 * y"))
    assert str(best) == "1.5 * x - 6 * y"


def thinned_of(t: Term, text: str = "1.5 * x - 6 * y") -> list[tuple[Term, float]]:
    return thinned(t, XY.variables, X, target(labels(text), -2, 2))


def test_a_condition_is_learned() -> None:
    text = "where(x <= 0, -1.5, 8 * y)"
    assert min(loss(t, text) for t in learned(text, 1)) < 0.01


def test_the_price_of_size_makes_smaller_programs() -> None:
    sizes = [nodes(t) for t in learned("x + sin(20 * y) * x", 2)]
    assert len(sizes) == COPIES
    assert np.mean(sizes[-2:]) < np.mean(sizes[:4])


def test_the_grammar_is_obeyed() -> None:
    few = Grammar(("y",), unary=(UnaryOp.ABS,), binary=(BinaryOp.MAX,), conditions=False)
    data = Dataset(X[:, 1:], X[:, :1])
    for t in imitated(few, data, [target(X[:, 0], -2, 2)], 2, 0):
        assert variables(t) <= {"y"}
        for s in subterms(t):
            assert not isinstance(s, Where)
            assert not isinstance(s, Binary) or s.op is BinaryOp.MAX
            assert not isinstance(s, Unary) or s.op is UnaryOp.ABS


def test_thinning_leaves_out_what_is_missed_least() -> None:
    steps = thinned_of(parse("1.4 * x - 5 * y + 0.01 * x * y + 0.001"))
    sizes = [nodes(t) for t, _ in steps]
    assert sizes == sorted(sizes, reverse=True)
    found = dict((nodes(t), (str(t), lost)) for t, lost in steps)
    assert found[7][0] == "1.5 * x - 6 * y"
    assert found[7][1] < 1e-12
    assert found[3][1] < found[1][1]


def test_the_same_seed_trains_the_same_programs() -> None:
    assert learned("x - y", 2) == learned("x - y", 2)


def test_a_teacher_is_imitated_and_the_return_decides() -> None:
    names = ("x", "v", "theta", "omega")
    front = relaxed(Taught(CART, TEACHER), Grammar(names, max_nodes=9, max_holes=4), LITTLE, 0)
    assert front.best(max_size=9).mean == 500
    assert all(e.origin == "relaxation" for e in front)
    with pytest.raises(ValueError, match="relaxation learns from a teacher"):
        relaxed(CART, Grammar(names), LITTLE)
