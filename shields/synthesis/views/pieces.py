"""The convex pieces of a safe set: the conjunctions whose union it is, or lies inside it.

Beyond the distribution of `or`, what is curved is replaced by affine comparisons that imply it:
outside of an ellipsoid by tangent half-spaces, inside of one by an inscribed polyhedron. A piece is
a proposal: that the sets found in it are safe is proved of the model's own safe set.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np

from nprl.lang.build import all_of
from nprl.lang.terms import (
    And,
    Compare,
    Formula,
    Not,
    Num,
    Or,
    Relation,
    Term,
    Truth,
    Unary,
    UnaryOp,
    Var,
)
from nprl.model import Model
from nprl.shields.polynomial import NotPolynomial, Polynomial, names, polynomial
from nprl.shields.synthesis.views.numeric import Array
from nprl.shields.synthesis.views.problem import Unsuitable
from nprl.shields.synthesis.views.quadratic import concave_form, degree

MOST = 64
"""Pieces beyond these are not looked at."""
SIDES = {1: 2, 2: 8, 3: 14}
"""Half-spaces that stand for an ellipsoid, by its dimension."""
HAIR = 1e-5
"""By how much of its size a half-space stays off the ellipsoid that it stands for."""
TINY = 1e-9
"""An entry of a normal below this part of the greatest is 0."""


def pieces(model: Model) -> list[Model]:
    """The model with each piece as its safe set; those that hold the initial box are first.

    A safe set that is one conjunction of affine comparisons is its own piece.

    Raises:
        Unsuitable: for a safe set with a face that is neither affine nor an ellipsoid's.
    """
    found = _conjunctions(model.safe)
    if len(found) == 1:
        return [replace(model, safe=all_of(*found[0]))]
    corners = [dict(zip(model.init, c, strict=True)) for c in product(*model.init.values())]

    def depth(piece: list[Formula]) -> float:
        return min((_margin(f, at) for f in piece for at in corners), default=math.inf)

    order = sorted(found[:MOST], key=depth, reverse=True)
    return [replace(model, safe=all_of(*map(_open, piece))) for piece in order]


def _open(f: Formula) -> Formula:
    """The comparison made strict: that one of several holds is proved of points off their faces."""
    assert isinstance(f, Compare)
    strict = {Relation.LE: Relation.LT, Relation.GE: Relation.GT}
    return Compare(strict.get(f.relation, f.relation), f.left, f.right)


def _conjunctions(f: Formula, negated: bool = False) -> list[list[Formula]]:
    """The alternatives of ``f``: lists of affine comparisons that together imply it."""
    match f:
        case Truth(value):
            return [[]] if value != negated else []
        case Not(part):
            return _conjunctions(part, not negated)
        case And(parts) | Or(parts):
            below = [_conjunctions(p, negated) for p in parts]
            if isinstance(f, Or) != negated:
                return [piece for one in below for piece in one]
            result: list[list[Formula]] = [[]]
            for one in below:
                result = [a + b for a in result for b in one][:MOST]
            return result
        case Compare(relation, left, right):
            strict = (relation in (Relation.LT, Relation.GT)) != negated
            if (relation in (Relation.GE, Relation.GT)) != negated:
                left, right = right, left  # now left <= right or left < right
            return _literal(left, right, Relation.LT if strict else Relation.LE)
        case _:
            raise Unsuitable(f"the safe set's part {f}")


def _literal(left: Term, right: Term, relation: Relation) -> list[list[Formula]]:
    """The alternatives of ``left <= right`` (or ``<``)."""
    match left, right:
        case Unary(UnaryOp.ABS, arg), _:
            below = [_literal(arg, right, relation), _literal(-arg, right, relation)]
            return [a + b for a in below[0] for b in below[1]]
        case _, Unary(UnaryOp.ABS, arg):
            return [*_literal(left, arg, relation), *_literal(left, -arg, relation)]
    plain: list[list[Formula]] = [[Compare(relation, left, right)]]
    try:
        p = polynomial(right - left)
    except NotPolynomial:
        return plain
    return plain if degree(p) <= 1 else _ellipsoid(p)


def _ellipsoid(p: Polynomial) -> list[list[Formula]]:
    """The alternatives of ``p >= 0`` where p is quadratic and definite."""
    over = sorted(names(p))
    if degree(p) > 2 or len(over) not in SIDES:
        raise Unsuitable("a safe set with a curved face that is no ellipsoid")
    concave, slope, constant = concave_form(p, over)
    size, axes = np.linalg.eigh(-concave)
    if not (size > 0).all() and not (size < 0).all():
        raise Unsuitable("a safe set with a curved face that is no ellipsoid")
    outside = bool(size[0] > 0)
    centre = np.linalg.solve(concave, slope) / 2
    level = constant + slope @ centre / 2
    if level * size[0] >= 0:  # no point is inside: everything, or nothing, is safe
        return [[]] if outside else []
    half = np.sqrt(-level / size)
    directions = _directions(len(over))
    bound = 1.0 if outside else -1.0 / _covering(directions)
    rows = [_half_space(over, axes @ (d / half), centre, bound) for d in directions]
    return [[row] for row in rows] if outside else [rows]


def _directions(n: int) -> Array:
    """Unit vectors all over the sphere of dimension ``n - 1``; (SIDES[n], n)."""
    if n == 1:
        return np.array([[1.0], [-1.0]])
    if n == 2:
        angles = np.arange(SIDES[2]) * 2 * np.pi / SIDES[2]
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    corners = np.array(list(product((-1.0, 1.0), repeat=3))) / math.sqrt(3)
    return np.vstack([np.eye(3), -np.eye(3), corners])


def _covering(directions: Array) -> float:
    """How far the corners of ``d.x <= 1`` are from the origin."""
    from scipy.spatial import HalfspaceIntersection

    if directions.shape[1] == 1:
        return 1.0
    sides = np.hstack([directions, -np.ones((len(directions), 1))])
    found = HalfspaceIntersection(sides, np.zeros(directions.shape[1])).intersections
    return float(np.linalg.norm(found, axis=1).max())


def _half_space(over: list[str], normal: Array, centre: Array, bound: float) -> Formula:
    """``normal.(x - centre) >= bound``, or ``<= -bound`` where it is negative: a hair inside, in short numbers."""
    total: Term = Num(Fraction(0))
    middle = Fraction(0)
    for name, v, c in zip(over, normal, centre, strict=True):
        short = Fraction(f"{v:.6g}") if abs(v) > TINY * np.abs(normal).max() else Fraction(0)
        middle += short * Fraction(f"{c:.9g}")
        total = total + Num(short) * Var(name) if short else total
    if bound > 0:
        return total >= middle + Fraction(f"{bound * (1 + HAIR):.9g}")
    return total <= middle + Fraction(f"{-bound * (1 - HAIR):.9g}")


def _margin(f: Formula, at: Mapping[str, Fraction]) -> float:
    """How far ``at`` is inside a comparison ``left <= right``; negative outside."""
    from nprl.lang.exact import enclose

    assert isinstance(f, Compare)
    left, right = enclose(f.left, at), enclose(f.right, at)
    way = 1 if f.relation in (Relation.LE, Relation.LT) else -1
    return way * (float(right.lo) - float(left.hi))
