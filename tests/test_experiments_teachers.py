"""Teachers on the command line: named or in files, in rows, and played again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import experiments.programs as programs_module
from experiments import programs, replay
from experiments.targets import Target
from experiments.teachers import oracles, teacher_of
from nprl.env.task import load_task
from nprl.train import TrainError

COMMAND = ["--env", "CartPole-v1", "--method", "dagger-affine", "--budget", "0.002", "--jobs", "1"]


@pytest.fixture
def weights(tmp_path: Path) -> str:
    """A linear teacher of CartPole."""
    path = tmp_path / "cart.npz"
    w = np.array([[0.0, 0, 0, 0], [0.2, 0.5, 8, 1.5]])
    np.savez(path, w0=w, b0=np.zeros(2), activation="tanh")
    return str(path)


def test_the_public_teachers_fit_their_environments() -> None:
    assert oracles() == [
        f"ppo-{e}"
        for e in ("HalfCheetah-v5", "Hopper-v5", "LunarLander-v3", "LunarLanderContinuous-v3")
    ]
    for name in oracles():
        task = load_task(name.removeprefix("ppo-")).unbound()
        teacher = teacher_of(name, task)
        assert teacher is not None
        env = task.make()
        obs, _ = env.reset(seed=0)
        assert env.action_space.contains(teacher.policy.predict(obs)[0])
        env.close()


def test_a_teacher_of_another_task_and_no_teacher_are_one_line(
    weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cart = load_task("CartPole-v1").unbound()
    with pytest.raises(TrainError, match="does not fit the actions"):
        teacher_of("ppo-Hopper-v5", cart)
    with pytest.raises(ValueError, match=r"--teacher nobody: no such file; give .* ppo-Hopper-v5"):
        teacher_of("nobody", cart)
    assert teacher_of(None, cart) is None
    assert programs.main([*COMMAND, "--teacher", "nobody"]) == 2
    assert capsys.readouterr().err.startswith("programs: --teacher nobody: no such file")
    with pytest.raises(SystemExit) as caught:
        programs.main(COMMAND)
    assert caught.value.code == 2
    assert "dagger-affine learns from a teacher" in capsys.readouterr().err


def test_rows_say_which_teacher_and_are_replayed(
    weights: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(programs_module, "RESULTS", tmp_path)
    monkeypatch.setattr(replay, "RESULTS", tmp_path)
    monkeypatch.setitem(
        programs_module.TARGETS, "CartPole-v1", (Target(500.0, constants=4, episodes=5),)
    )
    out = ["--out", str(tmp_path / "runs"), "--freeze", "--teacher", weights]
    assert programs.main([*COMMAND, *out]) == 0
    (row,) = json.loads((tmp_path / "CartPole-v1.json").read_text())
    teacher: dict[str, Any] = row["teacher"]
    assert teacher["name"] == weights
    assert teacher["return"] == row["return"] == 500
    assert teacher["difference"] == [0, 0]
    assert f"--teacher {weights}" in row["command"]
    assert row["holds"]
    capsys.readouterr()
    assert replay.main(["--markdown"]) == 0
    table = capsys.readouterr().out
    assert "| teacher | its return | difference, 95 % |" in table
    assert "| cart.npz | 500 | [0, 0] |" in table
