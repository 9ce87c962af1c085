"""A second solver's opinion: cvc5 on every query, its limits, and what a disagreement does."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from checked_examples import proved

from nprl.shields import cli_run, cross
from nprl.shields.cli import main
from nprl.shields.cross import Crossing, Other, in_words

HERE = Path(__file__).resolve().parent.parent
SHIPPED = HERE / "shields" / "proved"
cvc5 = pytest.mark.skipif(importlib.util.find_spec("cvc5") is None, reason="cvc5 is an extra")
FALSE = "(set-logic QF_LRA)\n(assert (< 1.0 0.0))\n(check-sat)\n"
TRUE = "(set-logic QF_LRA)\n(assert (< 0.0 1.0))\n(check-sat)\n"


class Scripted:
    """A solver that says what the test tells it."""

    version, limit = "scripted 1", 1.0

    def __init__(self, *answers: str) -> None:
        self.answers: Iterator[str] = iter(answers)

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def ask(self, text: str) -> str:
        return next(self.answers, "unsat")


def counted(*answers: str, proved: bool = True) -> cross.Crossed:
    crossing = Crossing(Scripted(*answers))  # type: ignore[arg-type]
    for k in range(len(answers)):
        crossing("init", k, FALSE)
    return crossing.result({"init": proved})


def test_agreement_silence_and_disagreement_are_counted_apart() -> None:
    found = counted("unsat", "sat", "unknown", "no answer", "unsat")
    assert (found.agree, found.silent, found.differ) == (2, 2, [("init", 1)])
    assert in_words(found).startswith("THE SOLVERS DISAGREE: scripted 1 calls satisfiable init")


def test_the_query_at_which_z3_stopped_is_not_compared() -> None:
    found = counted("unsat", "sat", proved=False)
    assert (found.agree, found.beyond, found.differ) == (1, 1, [])


def test_a_disagreement_is_loud_and_exits_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cross, "require", lambda: None)
    monkeypatch.setattr(cli_run, "Other", lambda _: Scripted("unsat", "sat"))
    file = proved().save(tmp_path / "cart.json")
    assert main([str(file), "--cross", "cvc5"]) == 1
    out = capsys.readouterr().out
    assert "THE SOLVERS DISAGREE" in out
    assert f"{file}: UNKNOWN" in out
    assert "Theorem" not in out


def test_without_cvc5_one_line_says_how_to_get_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cross.importlib.util, "find_spec", lambda _: None)  # type: ignore[attr-defined]
    file = proved().save(tmp_path / "cart.json")
    assert main([str(file), "--cross", "cvc5"]) == 2
    err = capsys.readouterr().err
    assert err == (
        "shield-check: --cross cvc5: cvc5 is not installed; pip install 'nprl[cross]', or leave "
        "--cross out\n"
    )


@cvc5
def test_cvc5_answers_and_a_text_that_it_refuses_is_no_answer() -> None:
    with Other(5.0) as other:
        assert other.version.startswith("cvc5 ")
        assert [other.ask(FALSE), other.ask(TRUE)] == ["unsat", "sat"]
        assert other.ask("(assert (+ r0))").startswith("refused")
        assert other.ask(FALSE) == "unsat"


@cvc5
def test_a_solver_that_is_gone_is_started_again() -> None:
    with Other(5.0) as other:
        other.process.process.kill()
        other.process.process.wait()
        assert other.ask(FALSE) == "no answer"
        assert other.ask(FALSE) == "unsat"


@cvc5
@pytest.mark.parametrize("name", ["cruise", "pendulum_linear", "biology", "quadcopter_stated"])
def test_shipped_files_are_proved_again_by_three_solvers(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = SHIPPED / f"{name}.json"
    assert main([str(file), "--exact", "--cross", "cvc5", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["certificates"][0]
    assert found["verdict"] == "verified"
    assert not any(found["exact"].values())
    assert found["cross"]["agree"] == found["cross"]["asked"] > 0
