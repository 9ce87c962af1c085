"""What stands behind proofs of polynomial sets: small moves, and cells."""

from __future__ import annotations

from fractions import Fraction as F

import pytest

from nprl.lang.terms import Num, Var
from nprl.shields.checker import check_goal
from nprl.shields.polynomial import polynomial
from nprl.shields.sequent import Conclusion, Sequent
from nprl.shields.synthesis.proofs.cells import Cells, Target, TooFar
from nprl.shields.synthesis.proofs.near import Move, move
from nprl.shields.synthesis.proofs.prove import prove
from nprl.shields.synthesis.proofs.search import Search

X, Y, Z = Var("x"), Var("y"), Var("z")
BOX = (1 - X, 1 + X, 1 - Y, 1 + Y)


def test_a_moved_polynomial_loses_at_most_what_is_claimed_and_that_is_proved() -> None:
    radius = F(1, 100)
    near = Z - (X + Y / 2)
    s = Sequent((*BOX, 2 - Z, 2 + Z, Num(radius) + near, Num(radius) - near), ())
    f = polynomial(Z**3 + X * Z - Y)
    found = move(f, [Move("z", polynomial(X + Y / 2), radius, 6, 7)], s, Search())
    assert found.moved == polynomial((X + Y / 2) ** 3 + X * (X + Y / 2) - Y)
    assert 0 < found.loss < F(1, 3)
    goal = s.concluding(found.lemma)
    assert check_goal("moved", goal, found.proof).proved


@pytest.mark.parametrize("strict", [False, True])
def test_cells_prove_a_quartic_inside_another(strict: bool) -> None:
    inner, outer = F(1, 4) - (X**2 + Y**2) ** 2, F(3, 10) - (X**4 + Y**4 + 2 * X**2 * Y**2)
    s = Sequent((*BOX, inner), ((Conclusion(outer, strict),),))
    target = Target(polynomial(outer), strict)
    tree = Cells([[target]], ["x", "y"], Search()).prove(s)
    assert check_goal("inside", s, tree).proved


def test_a_strict_conclusion_keeps_a_number_beside_its_squares() -> None:
    """Near the edge of a disc: with all of it a sum of squares, nothing would be left that is positive."""
    rows = (1 - X**2 - Y**2, F(1, 10) - (X - Y), F(1, 10) + (X - Y))
    for edge, strict in ((F(3, 2), True), (F(3, 2), False)):
        s = Sequent((*BOX, *rows), ((Conclusion(edge - (X + Y), strict),),))
        assert check_goal("beside", s, prove(s, Search())).proved


def test_cells_give_up_at_once_on_what_is_false() -> None:
    inner, outer = F(1, 4) - (X**2 + Y**2) ** 2, F(1, 5) - (X**2 + Y**2) ** 2
    s = Sequent((*BOX, inner), ((Conclusion(outer),),))
    with pytest.raises(TooFar, match="it fails"):
        Cells([[Target(polynomial(outer))]], ["x", "y"], Search()).prove(s)


def test_cells_choose_a_part_cell_by_cell() -> None:
    s = Sequent(BOX, ((Conclusion(X + F(1, 4)),), (Conclusion(F(1, 4) - X),)))
    targets = [[Target(polynomial(c.term)) for c in a] for a in s.alternatives]
    tree = Cells(targets, ["x", "y"], Search()).prove(s)
    assert check_goal("parts", s, tree).proved
