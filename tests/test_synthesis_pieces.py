"""Safe sets that are no polytope, and systems that come apart: the pieces that synthesis works on."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from nprl.env.task import load_task
from nprl.lang.floats import compile_batch
from nprl.lang.text import parse, parse_formula
from nprl.model import Coordinate, Model
from nprl.shields.checker import Verdict, check
from nprl.shields.synthesis.sets.decoupled import groups
from nprl.shields.synthesis.synthesize import synthesize
from nprl.shields.synthesis.views.pieces import pieces
from nprl.shields.synthesis.views.problem import Unsuitable, problem_of

F = Fraction


def plane(safe: str, **init: tuple[int, int]) -> Model:
    """Two coordinates, moved by an input each."""
    return Model(
        name="plane",
        state=(Coordinate("x", "m", F(-4), F(4)), Coordinate("y", "m", F(-4), F(4))),
        action=(Coordinate("u", "m", F(-1), F(1)), Coordinate("v", "m", F(-1), F(1))),
        step={"x": parse("x + 0.1 * u"), "y": parse("y + 0.1 * v + 0.001 * x")},
        init={n: (F(a), F(b)) for n, (a, b) in ({"x": (2, 3), "y": (0, 1)} | init).items()},
        safe=parse_formula(safe),
    )


@pytest.mark.parametrize(
    ("safe", "count"),
    [
        ("x < -1 or x > 1 or y < -1 or y > 1", 4),
        ("abs(x) >= 1 and y > -3", 2),
        ("not (abs(x) < 1 and abs(y) < 1)", 4),
        ("x ** 2 + y ** 2 >= 1", 8),
        ("x ** 2 + 4 * (y - 1) ** 2 <= 9", 1),
        ("(x - 1) ** 2 + y ** 2 > 0.5 and x ** 2 <= 9 and (y < 1 or x > 0)", 16),
        ("x ** 2 >= -1 and y < 1", 1),
    ],
)
def test_every_point_of_a_piece_is_safe(safe: str, count: int) -> None:
    model = plane(safe)
    found = pieces(model)
    assert len(found) == count
    points = np.random.default_rng(0).uniform(-4, 4, (20_000, 2))
    whole = compile_batch([model.safe], [["x", "y"]])(points)[0]
    covered = np.zeros(len(points), dtype=bool)
    for piece in found:
        inside = compile_batch([piece.safe], [["x", "y"]])(points)[0]
        assert not (inside & ~whole).any()
        covered |= inside
    assert covered.sum() > 0.8 * whole.sum()


def test_the_piece_that_holds_the_starts_comes_first() -> None:
    first = pieces(plane("x < -1 or y > 1 or x > 1"))[0].safe
    assert str(first) in ("x > 1", "1 < x")


def test_a_face_that_is_neither_flat_nor_an_ellipsoid_is_refused() -> None:
    for safe in ("x * y <= 1", "x ** 3 <= 1", "x ** 2 - y ** 2 >= 1"):
        with pytest.raises(Unsuitable, match="curved face"):
            pieces(plane(safe))


@pytest.mark.parametrize("safe", ["x ** 2 + y ** 2 >= 1", "abs(x) >= 1 or abs(y) >= 1"])
def test_a_safe_set_with_a_hole_is_proved(safe: str) -> None:
    found = synthesize(plane(safe), processor_time=True)
    assert found.certificate is not None, found.reason
    assert check(found.certificate).verdict is Verdict.VERIFIED


def test_a_weak_action_on_a_coordinate_with_an_input_does_not_join_groups() -> None:
    assert groups(problem_of(plane("x > -3"))) == [(("x",), ("u",)), (("y",), ("v",))]
    assert groups(problem_of(plane("x + y > -3"))) == [(("x", "y"), ("u", "v"))]
    strong = replace(plane("x > -3"), step={"x": parse("x + 0.1 * u"), "y": parse("y + 0.1 * x")})
    assert groups(problem_of(strong)) == [(("x", "y"), ("u",))]
    car = load_task("nprl/SelfDrivingObstacle-v0").model
    assert car is not None
    piece = problem_of(pieces(car)[0])
    assert groups(piece) == [(("x", "vx"), ("ax",)), (("y", "vy"), ("ay",))]
