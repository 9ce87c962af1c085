"""Teachers on the command line: a file, or one of the public ones by name; and what they return."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.targets import REPORT
from nprl.env.policy import Policy
from nprl.env.task import Task, load_task
from nprl.evaluate import Evaluation, evaluate, paired_ci95
from nprl.train import Teacher, load_teacher

ORACLES = Path(__file__).parent / "oracles"
"""Weights of public teachers."""


def oracles() -> list[str]:
    """Their names."""
    return sorted(path.stem for path in ORACLES.glob("*.npz"))


@dataclass(frozen=True, slots=True)
class Named:
    """A teacher, and what the command line calls it."""

    name: str
    policy: Policy


def teacher_of(name: str | None, task: Task, statistics: str | None = None) -> Named | None:
    """The teacher of this name, or in this file; None for no name.

    Raises:
        ValueError: for a file that is no teacher for ``task``.
    """
    if name is None:
        return None
    return Named(name, _load(name, task, statistics))


def _load(name: str, task: Task, statistics: str | None = None) -> Teacher:
    path = ORACLES / f"{name}.npz" if name in oracles() else Path(name)
    if not path.is_file():
        raise ValueError(
            f"--teacher {name}: no such file; give a Stable-Baselines3 .zip, a .npz of weights, or one "
            f"of {', '.join(oracles())}"
        )
    return load_teacher(path, task, statistics=statistics)


def played(task: Task, policy: Policy, episodes: int) -> Evaluation:
    """What ``policy`` does on the report's seeds, in the environment itself."""
    return evaluate(task, policy, range(REPORT, REPORT + episodes), timed=False)


@functools.lru_cache(maxsize=8)
def _known(env: str, name: str, episodes: int) -> Evaluation:
    """The same of a teacher that is in the repository."""
    task = load_task(env).unbound()
    return played(task, _load(name, task), episodes)


def beside(name: str, teacher: Evaluation, program: Evaluation) -> dict[str, Any]:
    """What a row says of its teacher: its return, and by how much the program returns more."""
    return {
        "name": name,
        "return": teacher.mean,
        "ci95": list(teacher.ci95),
        "difference": list(paired_ci95(program, teacher)),
    }


def renewed(row: dict[str, Any], program: Evaluation) -> dict[str, Any] | None:
    """What a frozen row says of its teacher, played again if the repository has it."""
    told: dict[str, Any] | None = row["teacher"]
    if told is None or told["name"] not in oracles():
        return told
    return beside(told["name"], _known(row["env"], told["name"], row["episodes"]), program)
