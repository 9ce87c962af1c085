"""The map between actions and units: one function, the same for one and for many."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from nprl.env.actions import Actions
from nprl.env.plant import Plant, sharp
from nprl.env.sampling import BLOCK, Streams, Uniform, inward
from nprl.env.spaces import action_space, observation_space
from nprl.lang.exact import holds
from nprl.lang.terms import Num, Var
from nprl.model import Arithmetic, Coordinate, Model

THIRD = Fraction(1, 3)
X, U, V = Var("x"), Var("u"), Var("v")
MODEL = Model(
    name="two-inputs",
    state=(Coordinate("x", "1", Fraction(-1), Fraction(1)),),
    action=(
        Coordinate("u", "N", -THIRD, Fraction(7, 10)),
        Coordinate("v", "N", Fraction(0), Fraction(1, 10)),
    ),
    step={"x": X + U + V},
    init={"x": (-THIRD, THIRD)},
    safe=(X <= Fraction(9, 10)),  # noqa: SIM300
)
PLAIN = replace(MODEL, arithmetic=Arithmetic(scaled=False))
CHOICES = replace(
    MODEL, choices=((Fraction(0), Fraction(0)), (THIRD, Fraction(1, 10)), (-THIRD, Fraction(0)))
)
ANY = st.floats(width=64, allow_nan=True, allow_infinity=True)


@given(st.lists(st.tuples(ANY, ANY), min_size=1, max_size=8), st.booleans())
def test_scaling_is_inside_the_bounds_the_same_one_by_one_and_nan_stays_nan(
    rows: list[tuple[float, float]], scaled: bool
) -> None:
    actions = Actions(MODEL if scaled else PLAIN)
    batch = actions.to_units_batch(np.array(rows))
    for row, units in zip(rows, batch, strict=True):
        one = actions.to_units(np.array(row))
        assert one.tobytes() == units.tobytes()
        for a, u, c in zip(row, units.tolist(), MODEL.action, strict=True):
            assert np.isnan(u) == (not np.isfinite(a))
            assert np.isnan(u) or c.low <= Fraction(u) <= c.high


@given(st.floats(-1.5, 1.5, width=32), st.floats(-1.5, 1.5, width=32))
def test_a_float32_action_is_scaled_in_float64(a: float, b: float) -> None:
    actions = Actions(MODEL)
    narrow, wide = np.array([a, b], dtype=np.float32), np.array([a, b], dtype=np.float64)
    assert actions.to_units(narrow).tobytes() == actions.to_units(wide).tobytes()
    assert actions.to_units_batch(narrow[None])[0].tobytes() == actions.to_units(wide).tobytes()


@given(st.floats(0, 1), st.floats(0, 1))
def test_units_come_back_within_the_stated_bound_and_exactly_when_not_scaled(
    p: float, q: float
) -> None:
    scaled, plain = Actions(MODEL), Actions(PLAIN)
    units = scaled.low + (scaled.high - scaled.low) * np.array([p, q])
    units = np.clip(units, scaled.low, scaled.high)
    bound = [2.0**-49 * float(abs(c.low) + abs(c.high)) for c in MODEL.action]
    back = scaled.to_units(scaled.from_units(units))
    assert (np.abs(back - units) <= bound).all()
    assert np.array_equal(plain.to_units(plain.from_units(units)), units)
    rows = scaled.from_units(np.stack([units, units]))
    assert np.array_equal(rows, np.stack([scaled.from_units(units)] * 2))


def test_choices_are_indices_in_the_order_of_the_model() -> None:
    actions = Actions(CHOICES)
    assert action_space(CHOICES) == spaces.Discrete(3)
    assert actions.to_units(np.int64(1)).tolist() == [
        inward(THIRD, Fraction(1))[0] if Fraction(1 / 3) > THIRD else 1 / 3,
        inward(Fraction(0), Fraction(1, 10))[1],
    ]
    batch = actions.to_units_batch(np.array([2, 0]))
    assert np.array_equal(batch, [actions.to_units(2), actions.to_units(0)])
    assert actions.from_units(batch).tolist() == [2, 0]
    assert int(actions.from_units(batch[0])) == 2


@pytest.mark.parametrize("bad", [3, -1, 0.5, np.array([1]), True, None])
def test_an_index_that_is_none_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match="an action is an integer from 0 to 2"):
        Actions(CHOICES).to_units(bad)


@pytest.mark.parametrize("bad", [[0, 3], [[0, 1]], [0.0, 1.0], [-1, 0]])
def test_indices_that_are_none_are_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match=r"^(actions are \(n,\) integers|an action is an index)"):
        Actions(CHOICES).to_units_batch(np.array(bad))


def test_units_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="units have the shape"):
        Actions(MODEL).from_units(np.zeros(3))


def test_an_interval_without_a_float_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no float64 lies in \[1/3, 1/3\]"):
        inward(THIRD, THIRD)
    assert inward(Fraction(1, 2), Fraction(1, 2)) == (0.5, 0.5)
    low, high = inward(-THIRD, THIRD, "float32")
    assert -THIRD <= Fraction(low) <= Fraction(high) <= THIRD
    assert np.float32(high) == high


@given(st.integers(0, 2**32), st.sampled_from(["float64", "float32"]))
def test_a_draw_lies_exactly_inside_its_rational_box(seed: int, kind: str) -> None:
    law = Uniform([(-THIRD, THIRD), (Fraction(1, 10), Fraction(2, 10))], kind)
    extremes = np.array([[0.0, 0.0], [1 - 2.0**-53, 1 - 2.0**-53]])
    points = [law.draw(np.random.default_rng(seed)), *law.place(extremes).tolist()]
    for first, second in points:
        assert -THIRD <= Fraction(first) <= THIRD
        assert Fraction(1, 10) <= Fraction(second) <= Fraction(2, 10)
    assert law.contains(np.array(points))
    assert not law.contains(np.array([np.nan, 0.15]))


def test_a_stream_is_that_of_one_generator_across_its_blocks() -> None:
    law = Uniform([(Fraction(0), Fraction(1)), (THIRD, 2 * THIRD)])
    streams, lanes = Streams(3, law), np.arange(3)
    for lane in range(3):
        streams.start(lane, np.random.default_rng(5 + lane))
    rng, taken = np.random.default_rng(0), [[], [], []]  # type: ignore[var-annotated]
    for _ in range(6 * BLOCK):
        some = lanes[rng.uniform(size=3) < [0.9, 0.5, 0.1]]
        for lane, row in zip(some, streams.take(some), strict=True):
            taken[lane].append(row.tolist())
    for lane in range(3):
        assert len(taken[lane]) > BLOCK // 3
        drawn = np.random.default_rng(5 + lane).random((len(taken[lane]), 2))
        assert taken[lane] == law.place(drawn).tolist()


NINE = Fraction(9, 10)


@pytest.mark.parametrize(
    "formula",
    [X <= NINE, X < NINE, X >= NINE, X > NINE, Num(NINE) <= X, Num(NINE) < X, Num(NINE) >= X],
)
def test_a_coordinate_is_compared_with_a_number_exactly(formula: Any) -> None:
    for f in (formula, ~formula, formula & (X < 5), formula | (X < -5)):
        plant = Plant(replace(MODEL, safe=f))
        near = float(NINE)
        for x in (np.nextafter(near, 0), near, np.nextafter(near, 1), 0.5, 1.0):
            assert plant.safe((float(x),)) is holds(f, {"x": Fraction(float(x))})
            rows = np.array([[x]])
            assert bool(plant.verdict_batch(rows)[0][0]) is plant.safe((float(x),))
        assert sharp(f) == sharp(sharp(f))


def test_an_observation_space_is_finite_even_where_a_model_is_not_bounded() -> None:
    wild = replace(MODEL, step={"x": X * 2}, observation=())
    assert observation_space(wild).high.tolist() == [10.0]
    from nprl.lang.build import exp
    from nprl.model import Observation

    steep = replace(MODEL, observation=(Observation("e", exp(X * 1000)),))
    space = observation_space(steep)
    assert np.isfinite(space.high).all()
    assert space.dtype == np.float64
