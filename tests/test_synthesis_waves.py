"""Sines and cosines in proofs: by short polynomials, which both checkers accept."""

from __future__ import annotations

from fractions import Fraction

from nprl.lang.terms import Num, Unary, UnaryOp, Var
from nprl.shields.checker import check_goal
from nprl.shields.sequent import Sequent, conclusions
from nprl.shields.synthesis.proofs.prove import prove

X = Var("x")
COS = Unary(UnaryOp.COS, 3 * X)
BOX = (X + Num(Fraction(6, 5)), Num(Fraction(7, 10)) - X)


def test_a_wave_of_a_large_argument_is_proved_by_products_of_few_premises() -> None:
    bounds = conclusions([COS + Num(Fraction(11, 10)), 3 - COS - X * X])
    sequent = Sequent(BOX, (bounds,))
    tree = prove(sequent)
    found = check_goal("backup", sequent, tree)
    assert found.proved, found.reason
    assert tree[0] == "cut"  # of the argument's range, before the polynomial and its distance


def test_a_wave_of_two_coordinates_is_bounded_on_their_box() -> None:
    y = Var("y")
    box = (*BOX, y + 1, 1 - y)
    sequent = Sequent(box, (conclusions([2 - Unary(UnaryOp.SIN, X + y) - X / 4]),))
    found = check_goal("backup", sequent, prove(sequent))
    assert found.proved, found.reason
