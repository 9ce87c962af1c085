"""Search guided by networks: partial programs, what they may lose, and what is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nprl.distill.censored import target
from nprl.distill.dagger import label
from nprl.distill.rollout import Rollouts, act_of, blank, with_terms
from nprl.env.task import load_task
from nprl.lang.floats import compile_batch
from nprl.lang.terms import BinaryOp, UnaryOp, nodes
from nprl.lang.text import parse
from nprl.search.constants import hole
from nprl.search.finish import Pool
from nprl.search.grammar import Grammar
from nprl.search.learner import Taught
from nprl.search.near import Guided, fitted, near
from nprl.search.neural import Lesson, trained_loss
from nprl.search.partial import OPEN, count, expansions, key, numbered, open_place, pointless
from nprl.search.work import Work

RNG = np.random.default_rng(3)
X = RNG.uniform(-1, 1, (300, 2))
XY = Grammar(("x", "y"), unary=(UnaryOp.NEG, UnaryOp.SIN), max_nodes=7)
CART = load_task("CartPole-v1").unbound()
GRAMMAR = Grammar(("x", "v", "theta", "omega"), max_nodes=5)
LITTLE = Work(9_000_000, 500_000, evaluations=20, tuning=8, choosing=10)
TEACHER = with_terms(blank(CART), [parse("40 * theta + 8 * omega")])
N = open_place()


def lesson(text: str, grammar: Grammar = XY) -> Lesson:
    y = np.clip(compile_batch([parse(text)], [["x", "y"]])(X)[0], -2, 2)
    return Lesson.of(grammar.variables, X, target(y, -2, 2), 0)


def search(text: str, grammar: Grammar, trained: int) -> Guided:
    found = Guided(grammar, X, lesson(text, grammar), 0)
    found.run(lambda: found.trained >= trained or found.least < 1e-12)
    return found


def test_each_production_of_the_grammar_fills_the_first_place() -> None:
    ways = [key(t) for t in expansions(numbered(N + N), replace(XY, binary=(BinaryOp.ADD,)))]
    assert len(ways) == 6  # variables, a constant, -, sin, +; no factor without a product
    kinds = list(expansions(N, XY))
    assert sum(count(t, OPEN) == 0 for t in kinds) == 5
    assert all(nodes(t) <= 7 for t in kinds)


def test_sums_in_another_order_have_one_key() -> None:
    x, y = parse("x"), parse("y")
    assert key(x + y) == key(y + x)
    assert key(numbered(N + x)) == key(numbered(x + N))
    assert key(x - y) != key(y - x)


@pytest.mark.parametrize("text", ["x - x", "-(-x)", "abs(-x)", "where(x <= x, y, x)", "min(y, y)"])
def test_what_is_surely_a_smaller_term_is_pointless(text: str) -> None:
    assert pointless(parse(text))
    assert not pointless(parse("x - y"))


def test_a_network_comes_near_what_a_term_computes_and_a_wrong_start_does_not() -> None:
    data = lesson("where(x <= y, 1.5 * x, -y)")
    assert trained_loss(N, data, 0) < 0.05
    right = numbered(parse("where(x <= y, 1, 2)"))
    assert trained_loss(right, data, 0) > 0.2
    condition = next(t for t in expansions(numbered(parse("x") * N), XY))
    assert trained_loss(condition, data, 0) > trained_loss(N, data, 0)


def test_the_loss_of_the_parts_is_below_that_of_the_whole() -> None:
    data = lesson("x * y - 0.5 * x")
    assert trained_loss(numbered(parse("x") * N), data, 0) < 1e-3
    assert trained_loss(numbered(parse("sin(x)") * 1), data, 0) > 1e-2


def test_a_known_program_is_found_and_the_same_seed_finds_it_again() -> None:
    one, other = (search("-1.5 * x - 0.4 * y", XY, 300) for _ in range(2))
    assert one.least < 1e-9
    assert one.found.keys() == other.found.keys()
    assert one.trained == other.trained < 300


def test_a_small_grammar_is_searched_to_its_end() -> None:
    found = Guided(replace(XY, max_nodes=3, max_holes=0), X, lesson("x * y"), 0)
    assert not found.run(lambda: False)
    assert found.least < 1e-20


def test_of_two_actions_only_the_sign_counts() -> None:
    y = np.where(X @ [0.02, 0.05] > 0, 2.0, -2.0)
    data = Lesson.of(("x", "y"), X, target(y, -2, 2), 0, (-2.0, 2.0))
    assert data.loss(0.02 * X[:, 0] + 0.05 * X[:, 1]) == 0.0
    skeleton = numbered(parse("x") + hole() * parse("y"))
    found = fitted(skeleton, ("x", "y"), X, data, 0)
    assert found is not None
    assert found.loss < 0.02
    assert found.holes[0] == pytest.approx(2.5, rel=0.2)


def test_outputs_are_joined_at_one_price() -> None:
    template = blank(load_task("nprl/PointMass-v0"))
    pool = Pool(template, Grammar(("vx",), max_nodes=9))
    for j, t, loss in [(0, "vx", 0.5), (0, "2 * vx", 0.0), (1, "vx", 0.15), (1, "sin(vx)", 0.1)]:
        pool.add(j, parse(t), loss)
    pool.add(1, parse("vx + vx + vx + vx + vx"), 0.0)  # leaves no room for the other output
    texts = ["; ".join(map(str, p.output)) for p in pool.programs()]
    assert texts[0] == "2 * vx; sin(vx)"
    assert texts[-1] == "2 * vx; vx"
    assert pool.least == 0.1


def test_a_teacher_is_imitated_and_the_return_decides() -> None:
    front = near(Taught(CART, TEACHER), GRAMMAR, LITTLE, 0)
    assert front.best(max_size=5).mean == 500
    assert all(e.origin == "NEAR" for e in front)
    assert near(Taught(CART, TEACHER), GRAMMAR, LITTLE, 0).entries == front.entries


def test_demonstrations_serve_without_a_teacher() -> None:
    seen = Rollouts(CART, range(8)).run(act_of(TEACHER), record=True).observations
    assert seen is not None
    data = label(TEACHER, TEACHER, seen)
    front = near(Taught(CART, data=data), replace(GRAMMAR, max_nodes=3), LITTLE, 0)
    assert front.best().mean > 100


def test_a_task_alone_teaches_nothing_and_a_late_clock_is_told() -> None:
    with pytest.raises(ValueError, match="NEAR learns from a teacher"):
        near(CART, GRAMMAR, LITTLE)
    said: list[str] = []
    near(Taught(CART, TEACHER), GRAMMAR, replace(LITTLE, guard_s=0.0), 0, said.append)
    assert any(line.startswith("CUT SHORT") for line in said)
