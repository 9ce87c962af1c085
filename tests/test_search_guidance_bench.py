"""The measurement of guided search beside unguided search."""

from __future__ import annotations

import pytest

from experiments import bench_guidance
from nprl.distill.rollout import blank, with_terms
from nprl.env.task import load_task
from nprl.lang.text import parse
from nprl.search.front import Entry, Front
from nprl.search.methods import METHODS


def test_a_row_holds_the_best_return_within_each_size() -> None:
    template = blank(load_task("CartPole-v1").unbound())
    some = [("theta", 40.0), ("theta + v + omega + x + x", 90.0)]
    front = Front(Entry(with_terms(template, [parse(t)]), "", m, (m, m), 5) for t, m in some)
    assert bench_guidance.row("a", front, 1.26) == ["a", 40.0, 90.0, 90.0, 1.3]
    assert bench_guidance.row("a", Front([]), 0.0) == ["a", None, None, None, 0.0]


def test_wrong_questions_get_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_guidance.main(["--env", "CartPole-v9"]) == 2
    assert bench_guidance.main(["--env", "CartPole-v1", "--teacher", "theta +"]) == 2
    assert bench_guidance.main(["--env", "CartPole-v1", "--teacher", "nobody"]) == 2
    assert bench_guidance.main(["--env", "CartPole-v1", "--budget", "0"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 4


def test_all_guided_methods_are_registered() -> None:
    assert {"near", "relaxation", "gradient"} <= METHODS.keys()
