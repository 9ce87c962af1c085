"""The code in the README runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from nprl.env.task import load_task
from nprl.evaluate import evaluate
from nprl.program import load_program

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_readme_has_all_deployments() -> None:
    assert len(BLOCKS) == 3
    assert "nprl/Pendulum-v0" in BLOCKS[0]
    assert 'gym.make("Pendulum-v1")' in BLOCKS[1]
    assert 'gym.make_vec("nprl/Pendulum-v0", 64)' in BLOCKS[2]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_deployment_runs_as_it_is_printed(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    scope: dict[str, object] = {}
    exec(compile(BLOCKS[number], "README.md", "exec"), scope)
    env = scope["env"]
    info = scope["infos" if number == 2 else "info"]
    assert isinstance(info, dict)
    assert np.all(info["shield/guaranteed"])
    env.close()  # type: ignore[attr-defined]


def test_a_deployment_is_five_lines_after_the_imports() -> None:
    for block in BLOCKS:
        left_out = ("import", "from", "assert")
        lines = [x for x in block.splitlines() if x and not x.startswith(left_out)]
        assert len(lines) <= 5


def test_the_program_in_the_readme_is_the_one_that_is_shipped() -> None:
    program = load_program(ROOT / "docs" / "examples" / "pendulum.json")
    shown = "".join(f"    {line}\n" for line in str(program).splitlines())
    assert shown in README


def test_the_shipped_program_reaches_its_figure() -> None:
    program = load_program(ROOT / "docs" / "examples" / "pendulum.json")
    seeds = range(1_000_000, 1_001_000)
    result = evaluate(load_task("nprl/Pendulum-v0"), program, seeds, timed=False)
    assert result.mean_without_penalty >= -0.115
    assert result.violations == 0
    assert program.constants <= 3


@pytest.mark.parametrize("name", re.findall(r"\]\(((?:docs/)?\w[\w/.]*\.(?:md|png))\)", README))
def test_what_the_readme_links_to_exists(name: str) -> None:
    assert (ROOT / name).is_file()


def test_each_command_of_the_readme_is_a_script() -> None:
    for name in set(re.findall(r"python -m experiments\.(\w+)", README)):
        assert (ROOT / "experiments" / f"{name}.py").is_file()
