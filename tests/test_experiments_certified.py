"""Programs that are safe without a shield, asked of rows and of loops in a larger environment."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import experiments.programs as programs_module
from experiments import programs, replay
from experiments.certified import certified
from experiments.programs import Run, reported
from experiments.targets import Target
from nprl.distill.rollout import blank
from nprl.env.task import load_task
from nprl.loops import loop_from_text, to_data
from nprl.program import Program
from nprl.search.front import Entry, Front

FOUR, EIGHT = load_task("nprl/Platoon4-v0"), load_task("nprl/Platoon8-v0")
LOOP = Path(__file__).parents[1] / "experiments" / "loops" / "platoon.txt"


def platoon(first: str, each: str) -> Program:
    """A looped program for four cars."""
    text = LOOP.read_text().replace("??first", first).replace("??each", each)
    return loop_from_text(text).unroll(blank(FOUR))


GOOD, BAD = (
    platoon("-2 * x0", "gap + 2 * speed"),
    platoon("x0 + 0.5 * x0", "gap + 0.5 * gap + speed"),
)


def entry(program: Program, mean: float) -> Entry:
    """As a search found it."""
    return Entry(program, "evolution", mean, (mean, mean), 10)


def test_one_loop_is_certified_for_four_cars_and_for_eight() -> None:
    assert certified(FOUR, GOOD)
    assert certified(EIGHT, programs.there(EIGHT, GOOD))
    assert not certified(FOUR, BAD)


def test_a_task_without_a_model_certifies_nothing() -> None:
    task = load_task("LunarLander-v3").unbound()
    assert not certified(task, blank(task))


def test_a_row_takes_the_best_program_that_is_proved() -> None:
    target = Target(-100.0, nodes=20, certified=True, episodes=5)
    front = Front([entry(BAD, 10.0), entry(GOOD, -5.0)])
    (row,) = reported(FOUR, None, target, [Run(0, front, 1.0)], "evolution", "command")
    assert row["loop"]
    assert row["nodes"] == GOOD.nodes
    assert row["holds"]
    assert row["claim"] == {"return": -100.0, "nodes": 20, "constants": None, "certified": True}
    (there,) = reported(EIGHT, None, target, [Run(0, front, 1.0)], "evolution", "command")
    assert there["env"] == "nprl/Platoon8-v0"
    assert not there["holds"]  # it is proved, and returns about -217
    unproved = Front([entry(BAD, 10.0)])
    (lost,) = reported(
        *(FOUR, None, replace(target, mean=-1e9), [Run(0, unproved, 1.0)]), "evolution", "command"
    )
    assert not lost["holds"]


def test_replay_proves_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = Target(-1e9, nodes=30, certified=True, episodes=2)
    front = Front([entry(GOOD, -5.0)])
    rows = reported(FOUR, None, target, [Run(0, front, 1.0)], "evolution", "command")
    monkeypatch.setattr(programs_module, "RESULTS", tmp_path)
    monkeypatch.setattr(replay, "RESULTS", tmp_path)
    programs.freeze("nprl/Platoon4-v0", rows)
    assert replay.main([]) == 0
    rows[0] |= to_data(BAD)
    (tmp_path / "nprl_Platoon4-v0.json").write_text(json.dumps(rows))
    assert replay.main([]) == 1


def test_only_a_loop_is_tried_in_another_environment(capsys: pytest.CaptureFixture[str]) -> None:
    args = ["--env", "nprl/Platoon4-v0", "--also", "nprl/Platoon8-v0"]
    assert programs.main(args) == 2
    assert "--also: only a loop can be unrolled" in capsys.readouterr().err
