"""Terms in NumPy: values, gradients and ranges agree with the exact meaning; polytopes."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lang_strategies import NAMES, boxes_with_points, exactly, few, terms

from nprl.lang.build import (
    absolute,
    clip,
    cos,
    exp,
    log,
    maximum,
    minimum,
    sin,
    sqrt,
    tan,
    tanh,
    where,
)
from nprl.lang.exact import enclose
from nprl.lang.terms import Term, Var
from nprl.shields.synthesis.views import polytope
from nprl.shields.synthesis.views.numeric import jacobian, values
from nprl.shields.synthesis.views.ranges import ranges

X, Y, Z = (Var(n) for n in NAMES)
SMOOTH = (
    X * Y - Z / 3,
    X / (Y**2 + 1),
    sin(X) * cos(Y) + tanh(Z),
    exp(X / 4) * log(Y**2 + 1) + sqrt(Z**2 + 2),
    tan(X / 9) - (X + Y + Z) ** 3,
    maximum(X, Y) + minimum(Y, 2 * Z) + absolute(X - Z),
    clip(X, -1, Y) + where(X <= Y, X**2, Y * Z),
)
BOX = np.random.default_rng(0).uniform(-3, 3, (200, 3))


@pytest.mark.parametrize("t", SMOOTH, ids=str)
def test_a_gradient_is_the_limit_of_differences(t: Term) -> None:
    value, gradient = jacobian([t], NAMES, BOX)
    assert np.allclose(value, values([t], NAMES, BOX), rtol=1e-12, atol=1e-12)
    step = 1e-6
    for i in range(3):
        shift = np.zeros(3)
        shift[i] = step
        ahead, behind = values([t], NAMES, BOX + shift), values([t], NAMES, BOX - shift)
        differences = (ahead - behind)[:, 0] / (2 * step)
        close = np.isclose(gradient[:, 0, i], differences, rtol=1e-5, atol=1e-5)
        assert close.mean() > 0.98  # a kink may lie between


def test_the_gradient_by_some_names_leaves_the_others_out() -> None:
    _, gradient = jacobian([X * Y], NAMES, BOX, ("y",))
    assert gradient.shape == (200, 1, 1)
    assert np.allclose(gradient[:, 0, 0], BOX[:, 0])


@few
@given(terms, boxes_with_points(st.floats(-8, 8)))
def test_a_range_holds_the_exact_values(
    t: Term, drawn: tuple[dict[str, tuple[float, float]], list[dict[str, float]]]
) -> None:
    box, points = drawn
    at = {n: (np.array([low]), np.array([high])) for n, (low, high) in box.items()}
    ((low, high),) = ranges([t], at)
    for point in points:
        exact = enclose(t, exactly(point))
        assert np.min(low) <= exact.hi
        assert exact.lo <= np.max(high)


def test_a_range_is_not_much_too_wide() -> None:
    at = {"x": (np.array([0.1, 1.0]), np.array([0.2, 2.5]))}
    ((low, high),) = ranges([sin(X)], at)
    assert np.allclose(low, [np.sin(0.1), np.sin(2.5)], atol=1e-12)
    assert np.allclose(high, [np.sin(0.2), 1.0], atol=1e-12)


SQUARE = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])


def test_a_square_has_four_vertices_and_volume_four() -> None:
    corners = polytope.vertices(SQUARE)
    assert corners is not None
    assert {tuple(c) for c in np.round(corners)} == {(1, 1), (1, -1), (-1, 1), (-1, -1)}
    assert polytope.volume(SQUARE) == pytest.approx(4)


def test_what_is_not_bounded_has_no_vertices() -> None:
    assert polytope.vertices(SQUARE[:3]) is None
    assert polytope.vertices(np.array([[1.0]])) is None
    with pytest.raises(ValueError, match="bounded"):
        polytope.irredundant(SQUARE[:3])
    with pytest.raises(ValueError, match="bounded"):
        polytope.volume(SQUARE[:3])


def test_rows_that_bound_nothing_are_dropped() -> None:
    more = np.vstack([SQUARE, [[0.4, 0.4], [0.7, 0.7]], SQUARE[:1]])
    assert {tuple(r) for r in polytope.irredundant(more)} == {
        *map(tuple, SQUARE),
        (0.7, 0.7),
    }


def test_linear_programs_drop_the_same_rows_in_many_dimensions() -> None:
    n = polytope.HULL_DIMENSIONS + 1
    cube = np.vstack([np.eye(n), -np.eye(n)])
    more = np.vstack([cube, np.full((1, n), 0.5 / n)])
    assert len(polytope.irredundant(more)) == 2 * n


def test_elimination_projects() -> None:
    """Of |x| <= 1, |y| <= 1, x + y <= 1/2 along y there is left |x| <= 1."""
    h = np.vstack([SQUARE, [[1.0, 1.0]]])
    rows, bounds = polytope.eliminate(h, np.array([1, 1, 1, 1, 0.5]))
    high = min(b / a for (a,), b in zip(rows, bounds, strict=True) if a > 0)
    low = max(b / a for (a,), b in zip(rows, bounds, strict=True) if a < 0)
    assert (low, high) == (-1, 1)


def test_samples_lie_in_the_polytope_and_reach_its_faces() -> None:
    x = polytope.samples(SQUARE, 400, np.random.default_rng(1))
    reach = (x @ SQUARE.T).max(axis=0)
    assert (reach <= 1 + 1e-9).all()
    assert (reach > 1 - 1e-9).all()


def test_a_term_of_a_row_has_few_nodes() -> None:
    row = ((Fraction(1), Fraction(-1, 2), Fraction(0)), Fraction(3, 4))
    assert str(polytope.row_term(row, NAMES)) == "0.75 - x + 0.5 * y"
    bare = ((Fraction(0), Fraction(0), Fraction(-2)), Fraction(0))
    assert str(polytope.row_term(bare, NAMES)) == "2 * z"
