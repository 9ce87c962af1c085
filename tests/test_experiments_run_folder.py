"""The folder of a run: stages are done once, and a damaged folder is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from experiments.run_folder import RunError, RunFolder

CONFIG = {"env": "nprl/Pendulum-v0", "seed": 0}


class Work:
    """A stage that counts how often it was worked for, and leaves a file."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.times = folder, 0

    def __call__(self) -> dict[str, Any]:
        self.times += 1
        (self.folder / "made.txt").write_text("made")
        return {"answer": 42}


def done(path: Path) -> Work:
    work = Work(path)
    RunFolder(path, CONFIG, resume=False).stage("one", work, ["made.txt", "not there"])
    return work


def test_a_stage_that_is_done_is_not_done_again(tmp_path: Path) -> None:
    work = done(tmp_path)
    result = RunFolder(tmp_path, CONFIG, resume=True).stage("one", work, ["made.txt"])
    assert result["answer"] == 42
    assert result["wall_s"] >= 0
    assert work.times == 1


def test_without_resume_everything_is_done_again(tmp_path: Path) -> None:
    work = done(tmp_path)
    RunFolder(tmp_path, CONFIG, resume=False).stage("one", work, ["made.txt"])
    assert work.times == 2


def test_resuming_with_other_settings_is_refused(tmp_path: Path) -> None:
    done(tmp_path)
    with pytest.raises(RunError, match=r"made with seed 0, now 1; resume with the same settings"):
        RunFolder(tmp_path, {**CONFIG, "seed": 1}, resume=True)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"result": 1, "files": {}}', '{"result": {}}'])
def test_a_damaged_record_is_refused(tmp_path: Path, content: str) -> None:
    work = done(tmp_path)
    (tmp_path / "stages" / "one.json").write_text(content)
    with pytest.raises(RunError, match=r"cannot resume: .*start again without --resume") as error:
        RunFolder(tmp_path, CONFIG, resume=True).stage("one", work)
    assert "\n" not in str(error.value)


def test_a_file_that_was_changed_or_lost_is_refused(tmp_path: Path) -> None:
    work = done(tmp_path)
    (tmp_path / "made.txt").write_text("changed")
    with pytest.raises(RunError, match=r"made\.txt was changed after stage one"):
        RunFolder(tmp_path, CONFIG, resume=True).stage("one", work)
    (tmp_path / "made.txt").unlink()
    with pytest.raises(RunError, match=r"made\.txt of stage one is missing"):
        RunFolder(tmp_path, CONFIG, resume=True).stage("one", work)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"give --out a folder that can be written"):
        RunFolder(tmp_path / "file" / "run", CONFIG, resume=False)


def test_a_stage_that_fails_leaves_no_record(tmp_path: Path) -> None:
    def fails() -> dict[str, Any]:
        raise RuntimeError("no")

    folder = RunFolder(tmp_path, CONFIG, resume=False)
    with pytest.raises(RuntimeError):
        folder.stage("one", fails)
    assert json.loads((tmp_path / "config.json").read_text()) == CONFIG
    assert not (tmp_path / "stages" / "one.json").exists()


def test_a_result_that_was_changed_by_hand_is_refused(tmp_path: Path) -> None:
    work = done(tmp_path)
    record = tmp_path / "stages" / "one.json"
    record.write_text(record.read_text().replace("42", "43"))
    with pytest.raises(RunError, match=r"one\.json was changed"):
        RunFolder(tmp_path, CONFIG, resume=True).stage("one", work)


def test_what_follows_a_stage_done_again_is_done_again(tmp_path: Path) -> None:
    first, second = Work(tmp_path), Work(tmp_path)
    for resume in (False, True):
        folder = RunFolder(tmp_path, CONFIG, resume)
        folder.stage("one", first)
        folder.stage("two", second)
    assert (first.times, second.times) == (1, 1)
    (tmp_path / "stages" / "one.json").unlink()
    folder = RunFolder(tmp_path, CONFIG, resume=True)
    folder.stage("one", lambda: {**first(), "answer": 43})
    folder.stage("two", second)
    assert (first.times, second.times) == (2, 2)


def test_a_folder_of_someone_else_is_not_cleared(tmp_path: Path) -> None:
    (tmp_path / "certificate.json").write_text("mine")
    with pytest.raises(RunError, match=r"give --out another folder"):
        RunFolder(tmp_path, CONFIG, resume=False)
    assert (tmp_path / "certificate.json").read_text() == "mine"
