"""CMA-ES on forms: what it finds, with ever fewer constants, within the grammar."""

from dataclasses import replace

import pytest

from nprl.env.task import load_task
from nprl.lang.native import compiler
from nprl.search.direct import AFFINE, forms
from nprl.search.grammar import Grammar
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
