"""A model is data: what is ill formed is one clear line, and its JSON and digest are stable."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from nprl.lang.build import where
from nprl.lang.terms import Var
from nprl.model import (
    Arithmetic,
    Coordinate,
    Model,
    ModelError,
    Observation,
    model_from_json,
)

HALF = Fraction(1, 2)
X, V, U, W = Var("x"), Var("v"), Var("u"), Var("w")


def parts(**changes: Any) -> dict[str, Any]:
    """The arguments of a small model that is well formed, some of them changed."""
    given: dict[str, Any] = {
        "name": "cart",
        "state": (
            Coordinate("x", "m", Fraction(-1), Fraction(1)),
            Coordinate("v", "m/s", Fraction(-2), Fraction(2)),
        ),
        "action": (Coordinate("u", "N", Fraction(-1), Fraction(1)),),
        "disturbance": (Coordinate("w", "N", Fraction(0), Fraction(0)),),
        "step": {X: X + V * HALF, V: V + U + W},
        "init": {X: (Fraction(0), HALF), V: (Fraction(0), Fraction(0))},
        "safe": (X <= 1) & (X >= -1),
    }
    return given | changes


def test_a_small_model_is_well_formed_and_knows_its_names() -> None:
    model = Model(**parts())
    assert model.state_names == ("x", "v")
    assert model.action_names == ("u",)
    assert model.disturbance_names == ("w",)
    assert model.steps == (X + V * HALF, V + U + W)
    assert [o.value for o in model.observation] == [X, V]
    assert model.box()["v"] == (Fraction(-2), Fraction(2))
    assert model.nominal() == {"w": 0}


REFUSED: list[tuple[Callable[[], object], str]] = [
    (lambda: Model(**parts(reward=0.5)), "got float 0.5: write Fraction"),
    (lambda: Model(**parts(step={X: X, V: 0.5})), "got float 0.5: write Fraction"),
    (lambda: Model(**parts(init={X: (0, 0.5), V: (0, 0)})), "got float 0.5"),
    (lambda: Coordinate("x", "m", Fraction(-1), 0.1), "x.high: .*got float 0.1"),  # type: ignore[arg-type]
    (
        lambda: Model(**parts(action=(Coordinate("u", "N", None, Fraction(1)),))),  # type: ignore[arg-type]
        "u.low: a finite bound is needed; got none",
    ),
    (lambda: Coordinate("u", "N", Fraction(0), None), "u.high: a finite bound is needed"),  # type: ignore[arg-type]
    (
        lambda: Model(**parts(step={X: X + Var("y"), V: V})),
        r"step\[x\] has the unknown name 'y'; known here: u, v, w, x",
    ),
    (lambda: Model(**parts(safe=Var("u") <= 1)), "safe has the unknown name 'u'"),
    (lambda: Model(**parts(terminal=Var("z") <= 1)), "terminal has the unknown name 'z'"),
    (lambda: Model(**parts(reward=Var("next_y"))), "reward has the unknown name 'next_y'"),
    (
        lambda: Model(**parts(observation=(Observation("o", U + 1),))),
        "observation o has the unknown name 'u'",
    ),
    (lambda: Model(**parts(step={X: X})), "step misses the state coordinate 'v'"),
    (lambda: Model(**parts(init={V: (0, 0)})), "init misses the state coordinate 'x'"),
    (
        lambda: Model(**parts(step={X: X, V: V, "y": X})),
        "step has 'y', which is no state coordinate; they are x, v",
    ),
    (lambda: Model(**parts(state=())), "at least one state coordinate|no state coordinate"),
    (
        lambda: Model(**parts(action=(Coordinate("x", "N", Fraction(-1), Fraction(1)),))),
        "the name 'x' is used twice",
    ),
    (
        lambda: Model(**parts(action=(Coordinate("next_x", "N", Fraction(0), Fraction(1)),))),
        "'next_x': the prefix 'next_' is kept",
    ),
    (
        lambda: Model(**parts(action=(Coordinate("u", "N", Fraction(1), Fraction(1)),))),
        "u: low < high is needed; got 1 and 1",
    ),
    (
        lambda: Model(**parts(disturbance=(Coordinate("w", "N", Fraction(1), Fraction(0)),))),
        "w: low <= high is needed; got 1 and 0",
    ),
    (lambda: Model(**parts(init={X: (1, 0), V: (0, 0)})), "init: low <= high is needed"),
    (lambda: Coordinate("1x", "m", Fraction(0), Fraction(1)), "a name is at most 64 letters"),
    (lambda: Coordinate("x y", "m", Fraction(0), Fraction(1)), "got 'x y'"),
    (lambda: Coordinate("x" * 65, "m", Fraction(0), Fraction(1)), "at most 64"),
    (lambda: Observation("o", X, Fraction(-1)), "its rounding is at least 0"),
    (lambda: Model(**parts(horizon=0)), "horizon is a positive integer; got 0"),
    (lambda: Model(**parts(horizon=True)), "horizon is a positive integer; got True"),
    (lambda: Model(**parts(choices=())), "choices: at least one action"),
    (lambda: Model(**parts(choices=((Fraction(2),),))), r"choices: \['2'\] is no point of the"),
    (lambda: Model(**parts(choices=((HALF, HALF),))), "is no point of the action box"),
    (lambda: Model(**parts(choices=((HALF,), (HALF,)))), "each once"),
    (
        lambda: Model(**parts(observation=(Observation("o", X), Observation("o", V)))),
        "observation names differ",
    ),
    (lambda: Arithmetic(state="float16"), "float64 or float32; got 'float16'"),
    (lambda: Arithmetic(ulps=0), "arithmetic.ulps is 1 to 64"),
]


@pytest.mark.parametrize(("build", "message"), REFUSED, ids=[m for _, m in REFUSED])
def test_what_is_not_well_formed_is_one_clear_line(
    build: Callable[[], object], message: str
) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ValueError)


def rich() -> Model:
    """A model with every part in use."""
    return Model(
        **parts(
            terminal=(X > HALF) & (V < 0),
            choices=((Fraction(-1),), (HALF,)),
            observation=(Observation("far", where(X > 0, X, -X), Fraction(1, 2**24)),),
            reward=-(Var("next_x") ** 2) - U / 3,
            unsafe_reward=Fraction(-7, 3),
            horizon=12,
            dt=HALF,
            integrator="Euler",
            arithmetic=Arithmetic(state="float32", scaled=False, ulps=2),
            provenance="exact",
            notes="why\nnot",
        )
    )


@pytest.mark.parametrize("model", [Model(**parts()), rich()], ids=["plain", "rich"])
def test_a_model_comes_back_from_its_json_as_it_was(model: Model) -> None:
    again = model_from_json(json.loads(json.dumps(model.to_json())))
    assert again == model
    assert again.digest() == model.digest()


def test_a_digest_is_the_same_in_every_session() -> None:
    assert Model(**parts()).digest() == (
        "78e02c59c8f252aaad0ae9277beedd4e80302e47f2492c495cf0db1b2027a127"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"name": "kart"},
        {"step": {X: X + V * HALF, V: V + U - W}},
        {"init": {X: (Fraction(0), Fraction(1, 3)), V: (Fraction(0), Fraction(0))}},
        {"safe": (X < 1) & (X >= -1)},
        {"reward": Fraction(1)},
        {"horizon": 999},
        {"arithmetic": Arithmetic(state="float32")},
        {"arithmetic": Arithmetic(scaled=False)},
        {"arithmetic": Arithmetic(ulps=5)},
        {"disturbance": (Coordinate("w", "N", Fraction(0), Fraction(1, 2**60)),)},
        {"notes": "x"},
    ],
    ids=lambda c: next(iter(c)),
)
def test_a_digest_depends_on_every_part(change: dict[str, Any]) -> None:
    assert Model(**parts(**change)).digest() != Model(**parts()).digest()


def broken(**changes: Any) -> dict[str, Any]:
    """The JSON of a model with some keys changed; a value of ... removes the key."""
    data = rich().to_json() | changes
    return {key: value for key, value in data.items() if value is not ...}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "model: an object belongs here; got list"),
        (broken(safe=...), "model misses 'safe'"),
        (broken(extra=1), "unknown key 'extra'"),
        (broken(format="nprl-model/2"), "accepted is 'nprl-model/1'"),
        (broken(name=3), r"model\.name: a text belongs here; got int"),
        (broken(horizon=1.5), r"model\.horizon: a whole number belongs here; got float 1\.5"),
        (broken(unsafe_reward=0.5), "number"),
        (broken(unsafe_reward="0.5"), "number"),
        (broken(unsafe_reward="2/4"), "number"),
        (broken(step={"x": "x"}), "step misses the state coordinate 'v'"),
        (broken(step={"x": ["boom", "x"], "v": "v"}), "boom"),
        (broken(init={"x": ["0", "1"]}), "init misses"),
        (
            broken(observation=[["o", "x"]]),
            r"model\.observation\[0\]: \[name, value, rounding\] belongs here",
        ),
        (
            broken(arithmetic={"state": "float64", "scaled": 1, "ulps": 4}),
            r"model\.arithmetic\.scaled: true or false belongs here",
        ),
        (
            broken(state=[{"name": "x", "unit": "m", "low": "-1"}]),
            r"model\.state\[0\] misses 'high'",
        ),
        (broken(choices="all"), r"model\.choices: a list belongs here"),
    ],
    ids=str,
)
def test_json_that_is_no_model_is_one_clear_line(data: object, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        model_from_json(data)
    assert "\n" not in str(caught.value)


def test_a_changed_copy_is_checked_like_a_new_model() -> None:
    with pytest.raises(ModelError, match="unknown name 'z'"):
        replace(rich(), safe=Var("z") <= 1)
