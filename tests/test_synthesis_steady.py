"""Starts from which a run stays safe for ever: no proof that they are lost is looked for."""

from dataclasses import replace
from fractions import Fraction as F

import pytest
from losing_examples import X

from nprl.env.task import load_task
from nprl.lang.terms import Var
from nprl.model import Coordinate, Model
from nprl.shields.sequent import disjunctive
from nprl.shields.synthesis.impossible import losing
from nprl.shields.synthesis.impossible.losing import impossible
from nprl.shields.synthesis.impossible.losing_affine import affine, rows_of, vertices
from nprl.shields.synthesis.impossible.steady import stay

Y, V = Var("y"), Var("v")


def braking(start: F, power: F = F(1)) -> Model:
    """A double integrator in front of a wall at y = 10, with this initial speed."""
    return Model(
        name="test/Braking",
        state=(Coordinate("y", "m", F(-20), F(20)), Coordinate("v", "m/s", F(-9), F(9))),
        action=(Coordinate("u", "m/s^2", -power, power),),
        step={"y": Y + V / 10, "v": V + Var("u") / 10},
        init={"y": (F(0), F(0)), "v": (start, start)},
        safe=(Y <= 10) & (Y >= -10),
    )


def found(model: Model) -> bool:
    held = affine(model, model.nominal())
    assert held is not None
    pieces = [[row for row, _ in rows_of(model, p) or []] for p in disjunctive(model.safe)]
    ends = [[row for row, _ in rows_of(model, p) or []] for p in disjunctive(model.terminal)]
    ends = [end for end in ends if end]
    return stay(held, pieces, ends, vertices([model.init[n] for n in model.state_names]))


def test_a_start_from_which_one_can_brake_stays() -> None:
    assert found(braking(F(4)))


def test_a_start_that_is_too_fast_does_not_stay() -> None:
    assert not found(braking(F(6)))
    assert impossible(braking(F(6))) is not None


def test_an_end_of_the_episode_is_as_good_as_rest() -> None:
    assert found(replace(braking(F(6)), terminal=Y >= 8))


def test_all_starts_are_asked_for() -> None:
    model = braking(F(4))
    held = affine(model, model.nominal())
    assert held is not None
    piece = [row for row, _ in rows_of(model, next(iter(disjunctive(model.safe)))) or []]
    slow, fast = (F(0), F(4)), (F(0), F(6))
    assert stay(held, [piece], [], [slow, slow])
    assert not stay(held, [piece], [], [slow, fast])


def test_a_model_without_inputs_may_stay_or_not() -> None:
    def model(rate: F) -> Model:
        return Model(
            name="test/Decay",
            state=(Coordinate("x", "1", F(-2), F(2)),),
            action=(),
            step={"x": rate * X},
            init={"x": (F(1, 2), F(1, 2))},
            safe=X <= 1,
        )

    assert not found(model(F(2)))
    assert impossible(model(F(2))) is not None
    assert found(model(F(0)))


def test_finitely_many_inputs_are_not_judged_by_what_lies_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = replace(braking(F(4)), choices=((F(-1),), (F(1),)))
    asked = []
    monkeypatch.setattr(losing, "_chain", lambda *_: iter(asked.append("chain") or ()))
    assert found(model)  # at rest by u = 0, which is no choice
    assert impossible(model) is None
    assert asked


def test_most_published_systems_are_given_up_without_a_draft(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(*_: object) -> None:
        raise AssertionError("a draft was looked for")

    monkeypatch.setattr(losing, "_chain", none)
    monkeypatch.setattr(losing, "_falling", none)
    for env in ("nprl/Satellite-v0", "nprl/Suspension-v0", "nprl/Obstacle-v0", "nprl/Duffing-v0"):
        model = load_task(env).model
        assert model is not None
        assert impossible(model) is None
