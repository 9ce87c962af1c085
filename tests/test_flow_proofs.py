"""Systems in continuous time: proved by synthesis, accepted by both checkers, told in the theorem."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from flow_examples import U, X, Y, arguments, example, moments

from nprl.env.task import load_task
from nprl.flow import recheck, sampled
from nprl.lang.build import sin
from nprl.model import Model
from nprl.shields import Filter, synthesize
from nprl.shields.certificate import Certificate
from nprl.shields.checker import Verdict, check
from nprl.shields.exact import check as check_exactly
from nprl.shields.synthesis.impossible.losing import impossible
from nprl.shields.words import theorem

ROOT = Path(__file__).resolve().parent.parent
DEAR = ["bilinear", "linear"]


@cache
def proved(name: str) -> Certificate:
    """A certificate that the checker accepts."""
    found = synthesize(example(name), seconds=120.0)
    assert found.certificate is not None, found.reason
    certificate = found.certificate
    assert check(certificate).verdict is Verdict.VERIFIED
    return certificate


@pytest.mark.parametrize(
    "name",
    ["pendulum", "Duffing", *(pytest.param(n, marks=pytest.mark.slow) for n in DEAR)],
)
def test_a_system_in_continuous_time_is_proved(name: str, tmp_path: Path) -> None:
    certificate = proved(name)
    file = certificate.save(tmp_path / "certificate.json")
    assert not any(check_exactly(file.read_bytes()).values())
    assert recheck(certificate.model) == ()
    text = theorem(certificate)
    assert "exact flow by a Taylor polynomial" in text
    assert "also between samples, at all times, in: " in text
    assert "what happens between sampling instants" not in text
    forged = replace(certificate.model, integrator=certificate.model.integrator + "; safe")
    text = theorem(replace(certificate, model=forged))
    assert "NOTHING IS CLAIMED" in text
    assert "Not proved: what happens between sampling instants" in text


def test_a_shield_keeps_the_true_pendulum_safe_at_all_times() -> None:
    """The solver is the plant: what the shield lets through is safe between samples, too."""
    certificate = proved("pendulum")
    shield = Filter(certificate, trusted=True)
    rng = np.random.default_rng(0)
    times = np.linspace(0, 0.05, 9)[1:]
    x = np.zeros((1, 2))
    greatest = 0.0
    for _ in range(120):
        push = np.array([2.0 if rng.random() < 0.9 else -2.0])
        u = np.asarray(shield.filter(x[0], push).action, dtype=np.float64)
        path = moments("pendulum", x, u[None, :], np.zeros((1, 1, 0)), times, rtol=1e-9)
        assert np.abs(path[0, 0]).max() <= 0.6
        assert np.abs(path[0, 1]).max() <= 2
        greatest = max(greatest, float(np.abs(path[0, 0]).max()))
        x = path[:, :, -1]
    assert greatest > 0.2


def test_what_no_input_can_hold_is_not_proved() -> None:
    model = sampled(
        **arguments(
            {X: 3 * X + sin(Y) + U, Y: -Y + X * U}, {"x": "1", "y": "1"}, "0.5", "0.1", action="0.5"
        )
    )
    assert synthesize(model, seconds=6.0).certificate is None
    found = impossible(model, 3.0)
    assert found is None or "enclosure" in found.model.provenance


def test_the_page_of_the_docs_runs_as_it_is_printed() -> None:
    page = (ROOT / "docs" / "continuous_time.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    scope: dict[str, object] = {}
    exec(compile(block, "continuous_time.md", "exec"), scope)
    task = load_task(None, ROOT / "docs" / "examples" / "pendulum_flow.py")
    assert task.model is not None
    model = scope["MODEL"]
    assert isinstance(model, Model)
    assert model.step == task.model.step
    assert model.safe == task.model.safe


def test_the_example_of_the_docs_is_a_task_of_ours() -> None:
    task = load_task(None, ROOT / "docs" / "examples" / "pendulum_flow.py")
    assert task.model is not None
    env = task.make()
    env.reset(seed=0)
    observed, *_ = env.step(np.zeros(1))
    assert np.isfinite(observed).all()
    assert task.model.disturbance_names == ("remainder_theta", "remainder_omega")
    assert recheck(task.model) == ()
