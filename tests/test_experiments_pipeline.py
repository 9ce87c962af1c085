"""The main job: what it refuses, and a quick run on every environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import nprl.envs
from experiments import pipeline
from experiments.certified import shipped_certificate
from experiments.pipeline import main, unsafe_start
from nprl.env.task import load_task

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = (
    *(f"nprl/{name}-v0" for name in ("Pendulum", "CartPole", "MagneticPointer", "LinearCartPole")),
    *("nprl/SelfDriving-v0", "nprl/LaneKeeping-v0", "Pendulum-v1", "InvertedPendulum-v5"),
    "InvertedDoublePendulum-v5",
)
"""One of each kind: linear, polynomial, trigonometric, disturbed, several inputs, foreign (the last of
them measured), no model."""
KEYS = {"env", "seed", "versions", "model_digest", "policies", "program", "proof", "wall_s"}
POLICY = {"name", "return", "ci95", "episodes", "violations", "overrides_per_1000", "us_per_step"}
PROGRAM = {"text", "nodes", "constants", "certified"}
PROOF = {
    *("verdict", "family", "engines", "assumptions", "synthesis_s", "check_s"),
    *("volume_safe", "volume_kernel"),
}
FILES = {
    *("config.json", "command.txt", "system.json", "progress.csv", "policy.zip", "program.json"),
    *("program.txt", "summary.json", "report.html"),
}


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
    return captured.err


def test_an_unknown_id_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean" in refused(capsys, "--env", "nprl/Pendulm-v0")


def test_a_folder_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    said = refused(capsys, "--env", "nprl/Pendulum-v0", "--out", str(tmp_path / "file" / "run"))
    assert "a folder that can be written" in said


def test_a_corrupt_resume_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text("{")
    said = refused(capsys, "--env", "nprl/Pendulum-v0", "--out", str(tmp_path), "--resume")
    assert "cannot resume" in said


def test_a_negative_seed_and_a_missing_teacher_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--seed" in refused(capsys, "--env", "nprl/Pendulum-v0", "--seed", "-1")
    none = str(tmp_path / "none.zip")
    assert "none.zip" in refused(capsys, "--env", "nprl/Pendulum-v0", "--teacher", none)


def test_a_teacher_that_is_none_is_told_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "no.zip").write_text("hello")
    zip_, out = str(tmp_path / "no.zip"), tmp_path / "run"
    said = refused(capsys, "--env", "nprl/Pendulum-v0", "--teacher", zip_, "--out", str(out))
    assert "no policy zip of Stable-Baselines3" in said
    assert not out.exists()


def test_a_seed_out_of_range_is_told_before_any_work(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--seed" in refused(capsys, "--env", "nprl/Pendulum-v0", "--seed", str(2**32))


def test_an_unsafe_start_is_named() -> None:
    model = load_task("nprl/Pendulum-v0").model
    assert model is not None
    assert unsafe_start(model) == ""
    wide = replace(model, init={**model.init, "theta": (Fraction(-1), Fraction(1))})
    assert "the initial state theta = -1, omega = -1/5 is not safe" in unsafe_start(wide)


def test_a_failure_is_one_line_and_no_bad_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(pipeline, "Pipeline", fails)
    assert main(["--env", "nprl/Pendulum-v0"]) == 1
    assert capsys.readouterr().err.startswith("pipeline: RuntimeError: two lines; --debug")


def test_options_are_not_abbreviated(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--env", "nprl/Pendulum-v0", "--qui"])
    assert stopped.value.code == 2
    assert "--qui" in capsys.readouterr().err


PROVED = [i for i in nprl.envs.IDS if "Stated" not in i]


@pytest.mark.parametrize("env_id", [*PROVED, "Pendulum-v1"])
def test_a_certificate_is_shipped_for(env_id: str) -> None:
    model = load_task(env_id).model
    assert model is not None
    assert shipped_certificate(model) is not None


@pytest.mark.slow
@pytest.mark.parametrize("env_id", ENVIRONMENTS)
def test_a_quick_run_is_complete(env_id: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "experiments.pipeline", "--env", env_id, "--quick"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NPRL_CACHE": str(tmp_path / "cache")}
    out = tmp_path / "run"
    done = subprocess.run(
        [*command, "--out", str(out)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert {p.name for p in out.iterdir()} >= FILES
    summary = json.loads((out / "summary.json").read_text())
    check_summary(summary, env_id)
    page = (out / "report.html").read_text()
    assert summary["proof"]["verdict"].replace("_", " ").upper() in page
    again = subprocess.run(
        [*command, "--out", str(out), "--resume"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert again.returncode == 0, again.stderr
    assert json.loads((out / "summary.json").read_text()) == summary


def check_summary(summary: dict[str, Any], env_id: str) -> None:
    """The schema, and what must hold of every run."""
    assert set(summary) == KEYS
    assert summary["env"] == env_id
    assert set(summary["proof"]) == PROOF
    assert set(summary["program"]) == PROGRAM
    assert summary["program"]["text"].startswith("nprl-program 1\n")
    by_name = {p["name"]: p for p in summary["policies"]}
    for p in summary["policies"]:
        assert set(p) == POLICY
        assert p["ci95"][0] <= p["return"] <= p["ci95"][1]
    bare = {"neural", "program", "random"}
    if env_id == "InvertedDoublePendulum-v5":
        assert summary["proof"]["verdict"] == "no_model"
        assert summary["model_digest"] is None
        assert set(by_name) == bare
        return
    assert summary["proof"]["verdict"] == "verified"
    assert set(by_name) == bare | {f"{name}, shielded" for name in bare}
    assert all(by_name[f"{name}, shielded"]["violations"] == 0 for name in bare)
    assert by_name["random, shielded"]["overrides_per_1000"] > 0
