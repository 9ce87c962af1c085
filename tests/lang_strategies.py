"""What the tests of nprl.lang draw: terms over all operators, formulas, boxes, points in them."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import settings
from hypothesis import strategies as st

from nprl.lang.terms import (
    And,
    Binary,
    BinaryOp,
    Clip,
    Compare,
    Formula,
    Not,
    Num,
    Or,
    Pi,
    Power,
    Relation,
    Term,
    Truth,
    Unary,
    UnaryOp,
    Var,
    Where,
)

NAMES = ("x", "y", "z")
RATIONAL = (UnaryOp.NEG, UnaryOp.ABS)
ULP = 2.0**-52
EDGES = (0.0, -0.0, 1.0, -1.0, 5e-324, -5e-324, 1e-308, 1e308, -1e308, 1.7976931348623157e308)

few = settings(max_examples=25, deadline=None)
some = settings(max_examples=60, deadline=None)

numbers = st.one_of(
    st.fractions(-20, 20, max_denominator=12),
    st.decimals(-5, 5, places=3).map(Fraction),
    st.integers(-3, 3).map(Fraction),
)
rational_leaves = st.one_of(st.sampled_from(NAMES).map(Var), numbers.map(Num))
leaves = st.one_of(rational_leaves, st.just(Pi()))


def _formulas(terms: st.SearchStrategy[Term]) -> st.SearchStrategy[Formula]:
    compare = st.builds(Compare, st.sampled_from(Relation), terms, terms)
    plain = st.one_of(compare, compare, st.booleans().map(Truth))
    parts = st.lists(plain, min_size=2, max_size=3).map(tuple)
    joined = st.one_of(plain, parts.map(And), parts.map(Or))
    return st.one_of(plain, joined, joined.map(Not))


def terms_of(
    leaf: st.SearchStrategy[Term], unary: tuple[UnaryOp, ...], *, branches: bool = True, size: int
) -> st.SearchStrategy[Term]:
    """Terms of up to ``size`` leaves."""

    def grow(inner: st.SearchStrategy[Term]) -> st.SearchStrategy[Term]:
        ways = [
            st.builds(Unary, st.sampled_from(unary), inner),
            st.builds(Binary, st.sampled_from(BinaryOp), inner, inner),
            st.builds(Power, inner, st.sampled_from((0, 1, 2, 3, 5))),
            st.builds(Clip, inner, inner, inner),
        ]
        if branches:
            ways.append(st.builds(Where, _formulas(inner), inner, inner))
        return st.one_of(ways)

    return st.recursive(leaf, grow, max_leaves=size)


terms = terms_of(leaves, tuple(UnaryOp), size=8)
rational_terms = terms_of(rational_leaves, RATIONAL, size=8)
smooth_terms = terms_of(leaves, tuple(UnaryOp), branches=False, size=8)
formulas = _formulas(terms_of(leaves, tuple(UnaryOp), size=4))

floats = st.one_of(
    st.floats(-8, 8),
    st.floats(-8, 8),
    st.sampled_from(EDGES),
    st.floats(allow_nan=False, allow_infinity=False),
)
points = st.fixed_dictionaries({name: floats for name in NAMES})
tame_points = st.fixed_dictionaries({name: st.floats(-8, 8) for name in NAMES})


@st.composite
def boxes_with_points(
    draw: st.DrawFn, ends: st.SearchStrategy[float] = floats
) -> tuple[dict[str, tuple[float, float]], list[dict[str, float]]]:
    """A box of floats, and points in it: drawn ones, and two corners."""
    box = {}
    for name in NAMES:
        a, b = draw(ends), draw(ends)
        box[name] = (min(a, b), max(a, b))
    inside = [{name: draw(st.floats(*box[name])) for name in NAMES} for _ in range(2)]
    corners = [{name: box[name][k] for name in NAMES} for k in (0, 1)]
    return box, inside + corners


def exactly(point: dict[str, float]) -> dict[str, Fraction]:
    return {name: Fraction(value) for name, value in point.items()}
