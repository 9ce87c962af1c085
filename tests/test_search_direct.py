"""CMA-ES on forms: what it finds, with ever fewer constants, within the grammar."""

from dataclasses import replace

import pytest

from nprl.distill.rollout import blank, with_terms
from nprl.env.task import load_task
from nprl.lang.native import compiler
from nprl.lang.text import parse
from nprl.search.begin import coefficients
from nprl.search.direct import AFFINE, forms
from nprl.search.grammar import Grammar
from nprl.search.learner import Taught
from nprl.search.sketch import sketch
from nprl.search.work import Work

CART = load_task("CartPole-v1").unbound()
GRAMMAR = Grammar(("x", "v", "theta", "omega"), max_nodes=99)
LITTLE = Work(2_000_000, 2_000_000, evaluations=30, tuning=4, refining=8, choosing=10, guard_s=60.0)


@pytest.mark.skipif(compiler() is None, reason="no C compiler")
def test_affine_forms_balance_the_pole_with_few_constants() -> None:
    front = forms(AFFINE)(CART, GRAMMAR, LITTLE, 0)
    assert front.best().mean == 500.0
    few = forms(AFFINE)(CART, replace(GRAMMAR, max_constants=2), LITTLE, 0)
    assert all(entry.constants <= 2 for entry in few)
    assert few.best().mean <= front.best().mean


def test_forms_fill_no_sketch() -> None:
    with pytest.raises(ValueError, match="knows no sketch; evolution does"):
        forms(AFFINE)(CART, replace(GRAMMAR, sketch=sketch("?? + 1")), LITTLE)


def test_with_a_teacher_the_search_begins_at_its_imitation() -> None:
    teacher = with_terms(blank(CART), [parse("theta + omega + theta")])
    said: list[str] = []
    work = replace(LITTLE, search_steps=40_000, tuning_steps=40_000)
    front = forms(AFFINE)(Taught(CART, teacher), GRAMMAR, work, 0, said.append)
    assert front.best().mean == 500.0
    searched = [line for line in said if "coefficients" in line]
    assert searched[0] == "5 coefficients: 500"
    assert any("DAgger" in line for line in said)


def test_coefficients_are_those_of_the_program() -> None:
    program = with_terms(blank(CART), [parse("2 * (theta - 0.5 * x) + 3 - 4 * omega")])
    table = coefficients(program, ("x", "theta", "omega"))
    assert table.tolist() == [[3.0, -1.0, 2.0, -4.0]]
