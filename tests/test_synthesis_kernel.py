"""Volumes, and the bracket of the viability kernel, on sets that are known by formula."""

from __future__ import annotations

import importlib
import math
from dataclasses import replace
from fractions import Fraction

import pytest

from nprl.lang.build import all_of
from nprl.lang.terms import Var
from nprl.model import Coordinate, Model
from nprl.shields.synthesis.candidate import Candidate, candidates
from nprl.shields.synthesis.views.kernel import viability_bracket
from nprl.shields.synthesis.views.volume import safe_volume, share_of_safe, volume

F = Fraction
X, Y, U, W = Var("x"), Var("y"), Var("u"), Var("w")


def line(**changes: object) -> Model:
    """x' = 2 x + u with |u| <= 1/2: the kernel in |x| <= 1 is |x| <= 1/2."""
    model = Model(
        name="line",
        state=(Coordinate("x", "1", F(-1), F(1)),),
        action=(Coordinate("u", "1", F(-1, 2), F(1, 2)),),
        step={X: 2 * X + U},
        init={X: (F(0), F(0))},
        safe=all_of(X >= -1, X <= 1),
    )
    return replace(model, **changes)  # type: ignore[arg-type]


def plane(**changes: object) -> Model:
    """Two coordinates that stay where they are; S is the unit square, the ranges are wider."""
    model = Model(
        name="plane",
        state=tuple(Coordinate(v, "1", F(-2), F(2)) for v in ("x", "y")),
        action=(Coordinate("u", "1", F(-1), F(1)),),
        step={X: X, Y: Y},
        init={X: (F(0), F(0)), Y: (F(0), F(0))},
        safe=all_of(X >= 0, X <= 1, Y >= 0, Y <= 1),
    )
    return replace(model, **changes)  # type: ignore[arg-type]


def test_the_kernel_of_a_line_is_bracketed() -> None:
    found = viability_bracket(line())
    assert found.inner <= 1 <= found.outer <= 1.05 * found.inner


def test_a_disturbance_shrinks_the_kernel() -> None:
    """x' = 2 x + u + w with |w| <= 1/8: what is left is |x| <= 3/8."""
    model = line(step={X: 2 * X + U + W}, disturbance=(Coordinate("w", "1", F(-1, 8), F(1, 8)),))
    found = viability_bracket(model)
    assert found.inner <= 0.75 <= found.outer <= 1.05 * found.inner


def test_a_terminal_state_owes_nothing() -> None:
    """x' = 2 x + u with |u| <= 1/2: |x| <= 1/2 is kept, and from [1/2, 2] nobody is asked to."""
    model = line(step={X: 2 * X + U}, action=(Coordinate("u", "1", F(-1, 2), F(1, 2)),))
    alone = viability_bracket(model)
    assert alone.inner <= 1 <= alone.outer <= 1.05 * alone.inner
    ends = viability_bracket(replace(model, terminal=F(3, 4) <= X))
    whole = 0.5 + 1.0  # from -1/2 to the end of S: from 1/2 on it goes up, to the terminal states
    assert ends.inner <= whole <= ends.outer <= 1.05 * ends.inner


def test_where_nothing_can_be_kept_the_kernel_is_empty() -> None:
    found = viability_bracket(line(step={X: X + 3 + U}))
    assert (found.inner, found.outer) == (0.0, 0.0)


def test_all_of_a_set_that_is_never_left_is_its_kernel() -> None:
    found = viability_bracket(line(step={X: X / 2}))
    assert (found.inner, found.outer) == pytest.approx((2, 2))


def test_the_bracket_ends_at_the_cap_on_cells() -> None:
    pendulum = importlib.import_module("nprl.envs.pendulum").MODEL
    found = viability_bracket(pendulum, max_cells=10_000)
    assert found.cells <= 10_000
    assert 0 < found.inner < 2.890 < found.outer  # the polytope that was proved lies between


@pytest.mark.slow
def test_the_pendulum_reaches_ninety_five_per_cent_of_the_outer_bound() -> None:
    model = importlib.import_module("nprl.envs.pendulum").MODEL
    found = viability_bracket(model)
    assert found.outer <= 1.05 * found.inner
    assert volume(model, next(candidates(model))).value >= 0.95 * found.outer


def test_what_a_grid_cannot_take_is_refused() -> None:
    with pytest.raises(ValueError, match="bounded"):
        viability_bracket(line(safe=X <= 1))
    with pytest.raises(ValueError, match="finitely many"):
        viability_bracket(line(choices=((F(0),),)))
    cartpole = importlib.import_module("nprl.envs.cartpole").MODEL
    with pytest.raises(ValueError, match="3 state coordinates; got 4"):
        viability_bracket(cartpole)


def test_the_volume_of_a_polytope_is_exact_and_so_is_its_share() -> None:
    triangle = Candidate("polytope", ((1 - X - Y, X + 0, Y + 0),), (F(0) * X,))
    assert volume(plane(), triangle).value == pytest.approx(0.5)
    assert volume(plane(), triangle).error == 0
    share = share_of_safe(plane(), triangle)
    assert share is not None
    assert share.value == pytest.approx(0.5)


def test_the_volume_of_an_ellipsoid_off_centre() -> None:
    ellipse = Candidate("ellipsoid", ((1 - 4 * (X - 1) ** 2 - (Y + X) ** 2,),), (F(0) * X,))
    assert volume(plane(), ellipse).value == pytest.approx(math.pi / 2)


def test_another_set_is_sampled_with_its_error() -> None:
    union = Candidate("union", ((1 - X, X - 0, Y + 0, 1 - Y), (-X, 1 + X, -Y, 1 + Y)), (F(0) * X,))
    found = volume(plane(), union)
    assert found.error > 0
    assert abs(found.value - 2) < 5 * found.error


def test_a_safe_set_without_bounds_has_no_volume() -> None:
    assert safe_volume(plane(safe=X <= 1)) is None
    assert safe_volume(plane(safe=all_of(X <= 1, X >= 0, Y <= 1))) is None
    assert safe_volume(plane(safe=(X <= 1) | (Y <= 1))) is None
    assert safe_volume(plane()) == pytest.approx(1)
