"""A false property: a run from an initial state, as a table and a picture, before any proof."""

from __future__ import annotations

from fractions import Fraction as F
from pathlib import Path

from checked_examples import X, cart

from experiments.prove import prove_one
from nprl.model import Coordinate, Model
from nprl.shields.falsify import falsify
from nprl.shields.synthesis.synthesize import synthesize


def growing(rate: F) -> Model:
    """A number that grows (or not) by itself."""
    return Model(
        name="test/Growing-v0",
        state=(Coordinate("x", "m", F(-8), F(8)),),
        action=(),
        step={X: X * rate},
        init={X: (F(0), F(1))},
        safe=X <= 2,
        horizon=50,
    )


def test_a_system_without_inputs_that_leaves_s_is_refuted_by_a_run_from_a_start() -> None:
    run = falsify(growing(F(11, 10)))
    assert run is not None
    assert 0 <= run.rows[0].state["x"] <= 1
    assert run.rows[-1].state["x"] > 2


def test_a_safe_one_and_one_with_inputs_are_not() -> None:
    assert falsify(growing(F(9, 10))) is None
    assert falsify(cart()) is None


def test_synthesis_falsifies_first_and_says_so() -> None:
    outcome = synthesize(growing(F(11, 10)))
    assert outcome.certificate is None
    assert outcome.counterexample is not None
    assert "leaves the safe set" in outcome.reason
    assert outcome.tried == ()


def test_the_experiment_leaves_a_table_and_a_picture(tmp_path: Path) -> None:
    row = prove_one(growing(F(11, 10)), tmp_path / "growing.json", 10.0, 0, False)
    assert row.verdict == "impossible"
    table = tmp_path / "growing-counterexample.csv"
    assert table.read_text().startswith("time,x\n0,")
    assert table.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
