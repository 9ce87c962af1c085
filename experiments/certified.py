"""Whether a program is safe without a shield, asked with the certificates that are shipped."""

from __future__ import annotations

import functools
from importlib import resources
from pathlib import Path

from nprl.env.task import Task
from nprl.model import Model
from nprl.program import Program
from nprl.shields.certificate import Certificate
from nprl.shields.certify_policy import PolicyOutcome, check_policy
from nprl.shields.load import load_certificate, load_claim
from nprl.shields.records import SHIPPED

SECONDS = 60.0
"""For the search for proofs of one program."""


def shipped_certificate(model: Model) -> Path | None:
    """The certificate for exactly this model that is shipped with the package, if there is one."""
    for path in sorted(Path(str(resources.files("nprl.shields.proved"))).glob("*.json")):
        claim = load_claim(path) if path.name != SHIPPED else None
        if isinstance(claim, Certificate) and claim.model.digest() == model.digest():
            return path
    return None


def certified(task: Task, program: Program) -> bool:
    """Whether the kernel checked a proof that ``program`` is safe alone, from every start, for ever."""
    path = shipped_certificate(task.model) if task.model is not None else None
    return path is not None and _certified(path, program)


@functools.lru_cache(maxsize=256)
def _certified(path: Path, program: Program) -> bool:
    report = check_policy(load_certificate(path), program, SECONDS)
    return report.outcome is PolicyOutcome.CERTIFIED
