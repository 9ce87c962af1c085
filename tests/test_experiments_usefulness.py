"""The table of usefulness: rows are read from finished runs, and saved as they come."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from experiments.usefulness import main, usefulness


def finished(folder: Path, violations: int = 0) -> Path:
    folder.mkdir(parents=True)
    policies = [
        {"name": "neural", "return": -3.0, "violations": 4, "overrides_per_1000": 0.0},
        {
            "name": "neural, shielded",
            "return": -3.5,
            "violations": violations,
            "overrides_per_1000": 12.5,
        },
    ]
    policies += [p | {"name": str(p["name"]).replace("neural", "program")} for p in policies]
    (folder / "summary.json").write_text(json.dumps({"policies": policies}))
    return folder


def test_a_finished_run_is_read_and_not_repeated(tmp_path: Path) -> None:
    row = usefulness("nprl/Quadcopter-v0", finished(tmp_path / "quadcopter-v0"))
    assert row.neural is not None
    assert (row.neural.bare, row.neural.shielded) == (-3.0, -3.5)
    assert (row.neural.bare_violations, row.neural.shielded_violations) == (4, 0)
    assert row.neural.overrides_per_1000 == 12.5
    assert row.program == row.neural
    assert row.published_per_1000 == pytest.approx(1000 * 185 / 5e6)


def test_rows_are_saved_and_printed_in_the_order_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    envs = ["nprl/Tape-v0", "nprl/Cruise-v0"]
    for env in envs:
        finished(tmp_path / env.rpartition("/")[2].lower())
    assert main(["--env", *envs, "--out", str(tmp_path), "--jobs", "1", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [row["env"] for row in printed] == envs
    assert json.loads((tmp_path / "rows.json").read_text()) == printed


def test_a_shielded_violation_is_a_failure(tmp_path: Path) -> None:
    finished(tmp_path / "tape-v0", violations=1)
    assert main(["--env", "nprl/Tape-v0", "--out", str(tmp_path), "--jobs", "1"]) == 1
