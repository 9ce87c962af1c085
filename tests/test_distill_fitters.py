"""All fitters by one interface: what they recover, that they obey the grammar, and repeat under a seed."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nprl.distill.affine import Polynomials, fit_affine, forward
from nprl.distill.censored import target
from nprl.distill.constant_tree import ConstantTrees
from nprl.distill.dagger import label
from nprl.distill.dataset import Dataset, imitation_loss
from nprl.distill.enumerated import Enumerated
from nprl.distill.fitter import Column, Fit, Fitter, joined, obeys
from nprl.distill.fitters import FITTERS, STUDENTS
from nprl.distill.imitation import Imitation
from nprl.distill.oblique import ObliqueTrees, soft_trees
from nprl.distill.rollout import blank, units_of, with_terms
from nprl.distill.symbolic import SymbolicRegression, gathered
from nprl.distill.tree import AffineTrees
from nprl.env.task import load_task
from nprl.lang.terms import BinaryOp, UnaryOp
from nprl.lang.text import parse
from nprl.model import Coordinate
from nprl.program import Input, Program
from nprl.search.enumerate import Effort
from nprl.search.grammar import Grammar
from nprl.search.learner import Taught
from nprl.search.sketch import sketch
from nprl.search.work import Work

RNG = np.random.default_rng(3)
X = RNG.uniform(-1, 1, (1500, 3))
NAMES = ("a", "b", "c")
WIDE = Grammar(NAMES, max_nodes=200, max_constants=100)
QUICK: dict[str, Fitter] = FITTERS | {
    "trees": ConstantTrees((2, 4, 8)),
    "affine-trees": AffineTrees(3),
    "oblique-trees": ObliqueTrees((1,), 60),
    "enumeration": Enumerated(Effort(100, 10), 5),
    "symbolic-regression": SymbolicRegression(3, 50, 200),
}


def template(*outputs: str) -> Program:
    """A program of three inputs whose outputs lie in [-1, 1]."""
    bounds = parse("-1").value, parse("1").value  # type: ignore[union-attr]
    return Program(
        name="test",
        inputs=tuple(map(Input, NAMES)),
        outputs=tuple(Coordinate(o, "", *bounds) for o in outputs),
        output=(parse("0"),) * len(outputs),
        scaled=False,
    )


def choosing(count: int, scores: bool = False) -> Program:
    """A program of three inputs that chooses one of so many actions."""
    choices = tuple((parse(str(k)).value,) for k in range(count))  # type: ignore[union-attr]
    one = replace(template("u"), choices=choices)
    one = replace(one, outputs=(replace(one.outputs[0], low=choices[0][0], high=choices[-1][0]),))
    zeros = (parse("0"),) * count
    return replace(one, output=zeros, scores=True) if scores else one


def labelled(program: Program) -> Dataset:
    """What ``program`` does at `X`."""
    return label(program, program, X)


BENT = with_terms(template("u", "w"), [parse("where(a <= 0.2, 2 * a, -b)"), parse("a * b - c / 2")])


@pytest.mark.parametrize("name", list(QUICK))
def test_every_fitter_obeys_the_grammar_and_repeats_itself(name: str) -> None:
    data, small = labelled(BENT), Grammar(("a", "b"), max_nodes=60, max_constants=22)
    found = QUICK[name](BENT, data, small, 1)
    assert found == QUICK[name](BENT, data, small, 1)
    assert found
    assert len({p.nodes for p in found}) > 1
    for program in found:
        assert program.nodes <= 60
        assert program.constants <= 22
        assert "c" not in str(program.output[0]) + str(program.output[1])
    nearest = min(imitation_loss(p, data) for p in found)
    assert nearest < imitation_loss(template("u", "w"), data)


@pytest.mark.parametrize("name", list(QUICK))
def test_every_fitter_fits_choices(name: str) -> None:
    teacher = with_terms(choosing(3), [parse("where(a + b <= 0, 0, where(a - b <= 0, 1, 2))")])
    data = labelled(teacher)
    found = QUICK[name](teacher, data, WIDE)
    nearest = min(found, key=lambda p: imitation_loss(p, data))
    agree = (nearest.predict(X)[0] == teacher.predict(X)[0]).mean()
    assert agree > 0.55
    assert not QUICK[name](teacher, data, replace(WIDE, max_nodes=1, max_constants=1)) or name in (
        "enumeration",
        "affine",
        "polynomials",
        "symbolic-regression",
    )


def test_weights_decide_what_a_small_tree_asks_first() -> None:
    often = with_terms(choosing(2), [parse("where(a <= 0, 0, 1)")])
    rare = with_terms(choosing(2), [parse("where(b <= 0, 0, 1)")])
    inside = np.abs(X[:, 2]) < 0.25
    actions = np.where(inside[:, None], units_of(rare, rare.predict(X)[0]), labelled(often).actions)
    tree = ConstantTrees((2,))
    plain = tree(often, Dataset(X, actions), WIDE)[0]
    weighed = tree(often, Dataset(X, actions, np.where(inside, 20.0, 1.0)), WIDE)[0]
    assert str(plain.output[0]).startswith("where(a <=")
    assert str(weighed.output[0]).startswith("where(b <=")


def test_weights_stay_with_their_rows() -> None:
    data = Dataset(X, X, X[:, 0] ** 2)
    some = data.plus(Dataset(X, X)).sample(100, 0)
    own = np.isclose(some.weights, some.observations[:, 0] ** 2)  # type: ignore[arg-type]
    assert own[:10].all()
    assert (own | (some.weights == 1)).all()
    with pytest.raises(ValueError, match="a weight for each row"):
        Dataset(X, X, -np.ones(len(X)))


def test_a_teacher_weighs_its_answers_to_a_mean_of_one() -> None:
    class Weighing:
        def predict(self, observation: Any, *rest: Any, **more: Any) -> tuple[Any, None]:
            return np.zeros((len(observation), 1)), None

        def weights(self, observations: Any) -> Any:
            return 3 * observations[:, 0] ** 2

    data = label(template("u"), Weighing(), X)
    assert data.weights is not None
    assert data.weights.mean() == pytest.approx(1)
    assert labelled(template("u")).weights is None


def test_a_linear_argmax_is_recovered() -> None:
    scores = ["a + 0.2", "2 * b - c", "-a - b", "0.5"]
    teacher = with_terms(choosing(4, scores=True), [parse(s) for s in scores])
    data = labelled(teacher)
    found = Polynomials()(teacher, data, WIDE)
    full = found[0]
    assert (full.predict(X)[0] == teacher.predict(X)[0]).mean() > 0.97
    assert full.constants <= 12
    sizes = [p.constants for p in found]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] <= 4
    few = Polynomials()(teacher, data, replace(WIDE, max_constants=8))
    assert few
    assert all(p.constants <= 8 for p in few)


def test_only_sums_of_features_are_fitted_to_scores() -> None:
    teacher = choosing(3, scores=True)
    with pytest.raises(ValueError, match="scores are fitted as affine forms or polynomials"):
        AffineTrees()(teacher, Dataset(X, np.zeros((len(X), 1))), WIDE)


def test_an_oblique_question_is_recovered() -> None:
    yes = X @ [1, -0.5, 0.25] <= 0.2
    y = np.where(yes, 0.9 * X[:, 0] - 0.1, 0.5 - 0.8 * X[:, 1])
    data = Dataset(X, y[:, None])
    found = ObliqueTrees((1,))(template("u"), data, WIDE)
    best = min(found, key=lambda p: imitation_loss(p, data))
    assert imitation_loss(best, data) < 0.01
    column = Column(NAMES, X, target(y, -1, 1), y, None, False)
    (split, _), *_ = next(iter(soft_trees(column, 1)))[0].answers
    np.testing.assert_allclose([float(s) for s in split.signs], [1, -0.5, 0.25], atol=0.05)


def test_the_engines_expressions_have_the_engines_values() -> None:
    from pyoperon.sklearn import SymbolicRegressor

    y = np.sin(3 * X[:, 0]) * X[:, 1] / (2 + np.abs(X[:, 2])) + np.maximum(X[:, 2], 0.3)
    c = Column(NAMES, X, target(y, -2, 2), y, None, False)
    engine = SymbolicRegression(8, 100)
    terms = engine.terms(c, WIDE, 5)
    assert terms == engine.terms(c, WIDE, 5)
    own = SymbolicRegressor(
        allowed_symbols="sin,cos,tanh,abs,add,sub,mul,div,fmin,fmax,constant,variable",
        objectives=["mse", "length"],
        max_length=30,
        population_size=100,
        generations=8,
        max_evaluations=10**9,
        optimizer_iterations=3,
        random_state=5,
    ).fit(X, y)
    assert len(terms) == len(own.pareto_front_) > 2
    for term, found in zip(terms, own.pareto_front_, strict=True):
        values = with_terms(template("u"), [term * parse("0.01")]).batch(X)[:, 0] * 100
        expected = own.evaluate_model(found["tree"], X.astype(np.float32))
        near = np.isclose(values, expected, rtol=1e-4, atol=1e-4)
        assert (
            near.mean() > 0.99
        )  # the engine's floats have 32 bits: next to a pole they are others


def test_numbers_in_a_product_become_one() -> None:
    product = gathered(parse("2 * (-3 * a * (0.5 * b)) - (-1 * c) * 4"))
    assert product == parse("-3 * (a * b) + 4 * c") or str(product) == "-3 * a * b + 4 * c"


def test_the_engine_is_told_only_operators_of_the_grammar() -> None:
    few = replace(WIDE, unary=(UnaryOp.TANH,), binary=(BinaryOp.MUL, BinaryOp.ADD))
    y = np.tanh(2 * X[:, 0] * X[:, 1])
    found = SymbolicRegression(4, 60)(template("u"), Dataset(X, y[:, None]), few)
    assert found
    assert all(obeys(few, p) for p in found)


def test_outputs_are_joined_at_every_price_of_size() -> None:
    one = [Fit(parse("a"), 0.5), Fit(parse("a + b"), 0.1), Fit(parse("a + b + c"), 0.09)]
    other = [Fit(parse("c"), 0.2), Fit(parse("c * c"), 0.199)]
    programs = joined(template("u", "w"), WIDE, [one, other])
    assert [tuple(map(str, p.output)) for p in programs] == [
        ("a + b + c", "c * c"),
        ("a + b + c", "c"),
        ("a + b", "c"),
        ("a", "c"),
    ]


def test_too_many_monomials_are_screened_by_a_forward_search() -> None:
    wide = RNG.normal(0, 1, (800, 8))
    y = np.tanh(wide[:, 0] * wide[:, 1] * wide[:, 2] - 0.5 * wide[:, 7])
    names = [f"o{k}" for k in range(8)]
    goal = target(y, -2, 2)
    fits = fit_affine(names, wide, goal, degree=3, sizes=[2])
    assert {"o0 * o1 * o2", "o7"} == {
        s for s in ("o0 * o1 * o2", "o7", "o1 * o2") if s in str(fits[0].term)
    } - {"o1 * o2"}
    values = np.c_[wide, np.ones(800)]
    assert 7 in forward(values, goal, 3)


CART = load_task("CartPole-v1").unbound()
LITTLE = Work(60_000, 60_000, evaluations=8, tuning=4, refining=4, choosing=6)


class Cart:
    """A teacher of CartPole."""

    def predict(self, observation: Any, *rest: Any, **more: Any) -> tuple[Any, None]:
        x = np.asarray(observation)
        return (x @ np.array([0.2, 0.5, 8, 1.5]) > 0).astype(int), None


GRAMMAR = Grammar(tuple(i.name for i in blank(CART).inputs), max_nodes=30, max_constants=8)


def test_a_learner_of_fits_gives_a_front_that_obeys_and_repeats() -> None:
    learner = Imitation("affine", QUICK["affine"], STUDENTS["affine"])
    front = learner(Taught(CART, Cart()), GRAMMAR, LITTLE, 1)
    assert front.best().mean == 500
    assert all(obeys(GRAMMAR, e.program) for e in front)
    again = learner(Taught(CART, Cart()), GRAMMAR, LITTLE, 1)
    assert [e.program for e in again] == [e.program for e in front]


def test_demonstrations_serve_where_there_is_no_teacher() -> None:
    x = RNG.normal(0, 0.1, (500, 4))
    data = label(blank(CART), Cart(), x)
    front = Imitation("affine", QUICK["affine"])(Taught(CART, data=data), GRAMMAR, LITTLE)
    assert front.best().mean == 500


def test_a_learner_of_fits_needs_somebody_to_learn_from() -> None:
    learner = Imitation("trees", QUICK["trees"])
    with pytest.raises(ValueError, match="trees learns from a teacher or from demonstrations"):
        learner(CART, GRAMMAR, LITTLE)
    with pytest.raises(ValueError, match="trees knows no sketch; evolution does"):
        learner(Taught(CART, Cart()), replace(GRAMMAR, sketch=sketch("?? + 1")), LITTLE)
