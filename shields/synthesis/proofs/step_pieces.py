"""Abs, min and max in a step: a name with two premises that say how near it is to a polynomial.

With ``d`` what is under the abs (the difference of min's or max's arguments) and r a bound of |d|,

    d^2 / r <= |d| <= d^2 / r + r / 4,

as ``|d| (r - |d|) >= 0`` and ``(|d| - r / 2)^2 >= 0``. Where d has one sign it is |d| itself. Min and
max are ``(a + b) / 2`` less or more ``|a - b| / 2``. Nothing here is trusted.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from nprl.lang.serial import number_to_json, to_json
from nprl.lang.terms import Binary, BinaryOp, Num, Term, Unary, Var
from nprl.shields.polynomial import add, polynomial
from nprl.shields.synthesis.proofs.search import Tree, outward

if TYPE_CHECKING:
    from nprl.shields.synthesis.proofs.step_view import View

ZERO = Num(Fraction(0))


def named_piece(view: View, t: Unary | Binary) -> tuple[Var, int]:
    """A name for ``t``, and the place of its premises ``name - low >= 0`` and ``high - name >= 0``.

    Raises:
        NotProved: where its arguments have no bounds.
    """
    d, middle, share = _parts(t)
    sign = -1 if isinstance(t, Binary) and t.op is BinaryOp.MIN else 1
    p = view.seen(polynomial(d))
    low, high = view.least(p), -view.least(add({}, p, Fraction(-1)))
    first = (1, -1) if sign > 0 else (-1, 1)  # of d, in the two sequents of the rule
    if low >= 0 or high <= 0:
        side = 1 if low >= 0 else -1
        own = middle + Num(share * sign * side) * d
        away = view.bound(add({}, p, 2 * share * side))
        cuts = [
            (t - own, [_apart(view, side == s, sign > 0, share, away) for s in first]),
            (own - t, [_apart(view, side == s, sign < 0, share, away) for s in first]),
        ]
    else:
        size = max(-low, high)
        r = outward(size, True, size / 2**10)
        bounds = {}
        for s in (1, -1):  # r - s d >= 0
            bounds[s] = len(view.s.premises)
            rest = add({(): r}, p, Fraction(-s))
            view.cut(Num(r) - d if s > 0 else Num(r) + d, view.bound(rest).leaf())
        bow = Num(share / r) * d**2
        near = middle + bow if sign > 0 else middle - bow
        wide = Num(share * r / 4)
        below = t - near if sign > 0 else t - (near - wide)
        above = near + wide - t if sign > 0 else near - t
        inner, outer = (
            [_within(view, bounds[s], share / r) for s in first],
            [_square(d, s, r, share) for s in first],
        )
        cuts = [(below, inner), (above, outer)] if sign > 0 else [(below, outer), (above, inner)]
    place = len(view.s.premises)
    for k, (lemma, trees) in enumerate(cuts):
        moved = trees if k == 0 else [_moved(tree, place) for tree in trees]
        view.cut(lemma, ["pieces", to_json(t), *moved])
    return view.name(t), place


def _parts(t: Unary | Binary) -> tuple[Term, Term, Fraction]:
    """What is under the abs, and the middle and the factor about it."""
    if isinstance(t, Unary):
        return t.arg, ZERO, Fraction(1)
    return t.left - t.right, (t.left + t.right) / 2, Fraction(1, 2)


def _leaf(products: list[Any], squares: list[Any]) -> Tree:
    entries = {"products": products, "squares": squares}
    return ["leaf", [{k: v for k, v in entries.items() if v}]]


def _apart(view: View, true: bool, falls: bool, share: Fraction, away: Any) -> Tree:
    """Where d has one sign: nothing is left in its own sequent; in the other one ``-+ 2 share |d|``."""
    if true:
        return _leaf([], [])
    if falls:  # by the sequent's own premise
        return _leaf([[number_to_json(2 * share), [len(view.s.premises)]]], [])
    tree: Tree = away.leaf()
    return tree


def _within(view: View, bound: int, factor: Fraction) -> Tree:
    """``factor |d| (r - |d|)``: the sequent's own premise times a bound."""
    return _leaf([[number_to_json(factor), [bound, len(view.s.premises)]]], [])


def _square(d: Term, s: int, r: Fraction, share: Fraction) -> Tree:
    """``share / r (|d| - r / 2)^2``."""
    half = Num(r / 2)
    return _leaf([], [[number_to_json(share / r), to_json(d - half if s > 0 else d + half), []]])


def _moved(tree: Tree, place: int) -> Tree:
    """The tree where one more premise stands before the sequent's own, which was at ``place``."""
    entries = dict(tree[1][0])
    if "products" in entries:
        entries["products"] = [
            [c, [k + (k == place) for k in numbers]] for c, numbers in entries["products"]
        ]
    return ["leaf", [entries]]


__all__ = ["named_piece"]
