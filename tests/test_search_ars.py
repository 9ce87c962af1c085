"""Augmented random search: what it finds, within how many constants, and that it repeats itself."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nprl.distill.rollout import Rollouts, blank, with_terms
from nprl.env.task import Task, load_task
from nprl.lang.text import parse
from nprl.program import Program
from nprl.search import ars as ars_module
from nprl.search.ars import SETTINGS, ars
from nprl.search.front import Front
from nprl.search.grammar import Grammar
from nprl.search.learner import Taught
from nprl.search.saved import SavedError
from nprl.search.work import INTERRUPTED, RATE, Work

CART = load_task("CartPole-v1").unbound()
ACROBOT = load_task("Acrobot-v1").unbound()
TEACHER = with_terms(blank(CART), [parse("theta + omega + theta")])


def grammar(task: Task, most: int | None = None, scores: bool = False) -> Grammar:
    """All inputs."""
    names = tuple(i.name for i in blank(task).inputs)
    return Grammar(names, max_constants=most, scores=scores)


def found(task: Task, steps: int, jobs: int = 1, most: int | None = None, seed: int = 0) -> Front:
    """The front of a small search."""
    work = Work(steps, 0, tuning=4, choosing=6, jobs=jobs)
    return ars(task, grammar(task, most), work, seed)


def test_it_balances_the_pole_and_repeats_itself() -> None:
    front = found(CART, 100_000)
    assert front.best().mean == 500.0
    assert [(e.mean, e.program) for e in found(CART, 100_000)] == [
        (e.mean, e.program) for e in front
    ]


def test_the_number_of_threads_makes_no_difference_where_mujoco_steps() -> None:
    task = load_task("InvertedPendulum-v5").unbound()
    one, two = (found(task, 4_000, jobs=jobs) for jobs in (1, 2))
    assert [(e.mean, e.program) for e in one] == [(e.mean, e.program) for e in two]


def test_an_interrupted_search_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    work = Work(200_000, 0, tuning=4, choosing=6, saved=tmp_path / "state.json")
    whole = ars(CART, grammar(CART), replace(work, saved=None))
    told: list[str] = []

    def interrupt(text: str) -> None:
        told.append(text)
        if len(told) == 2:
            raise KeyboardInterrupt

    assert ars(CART, grammar(CART), work, 0, interrupt).cut == (INTERRUPTED,)
    again = ars(CART, grammar(CART), work, 0, told.append)
    assert again.to_json() == whole.to_json()
    with pytest.raises(SavedError, match="another seed"):
        ars(CART, grammar(CART), work, 1)


def test_where_no_constant_is_left_for_a_bias_there_is_none() -> None:
    for entry in found(CART, 20_000, most=4):
        assert entry.constants <= 4
    front = found(CART, 100_000, most=2)
    assert front.best().constants <= 2
    assert front.best().mean == 500.0


def test_scores_have_an_affine_term_for_each_action() -> None:
    work = Work(60_000, 0, tuning=4, choosing=6)
    front = ars(ACROBOT, grammar(ACROBOT, scores=True), work)
    assert all(len(e.program.output) == 3 for e in front)
    assert front.best().mean > -450


def test_what_doing_nothing_earns_is_taken_off_in_the_search_and_not_in_what_is_told() -> None:
    work = Work(1, 0, tuning=4, choosing=6)
    tuning = Rollouts(CART, work.tuning_seeds(0))
    searches = [ars_module._Search(tuning, grammar(CART), s, 0, k) for k, s in enumerate(SETTINGS)]
    for search in searches:
        search.look()
        assert search._idle == (1.0 if search.setting.bare else 0.0)
        assert search.best > 5.0
        search.step()
        # in CartPole every step earns the same: without it nothing is left to go by
        assert np.any(search._weights != 0) != search.setting.bare


def test_a_minute_is_worth_what_the_kind_of_task_plays() -> None:
    tasks = {"model": CART, "simulated": load_task("Hopper-v5").unbound()}
    for kind, task in tasks.items():
        work = Work.of(task, 1)
        assert work.search_steps + work.tuning_steps == RATE[kind]


def test_a_limit_of_no_constants_is_refused() -> None:
    with pytest.raises(ValueError, match="max_constants is at least 1"):
        grammar(CART, 0)


def test_with_a_teacher_it_begins_where_an_imitation_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    met: list[float] = []
    start = ars_module._Search.start

    def watched(self: Any, program: Program) -> None:
        start(self, program)
        self.look()
        met.append(self.looks[0][0])

    monkeypatch.setattr(ars_module._Search, "start", watched)
    work = Work(40_000, 10_000, tuning=4, refining=8, choosing=6)
    for scores in (False, True):
        met.clear()
        source = Taught(CART, TEACHER)
        front = ars(source, grammar(CART, scores=scores), work)
        assert min(met) > 200  # the origin lives for about ten steps
        assert front.best().mean == 500.0
        assert front.to_json() == ars(source, grammar(CART, scores=scores), work).to_json()


def test_interrupted_while_it_imitates_it_ends(tmp_path: Path) -> None:
    work = Work(40_000, 10_000, tuning=4, refining=8, choosing=6, saved=tmp_path / "state.json")

    told: list[str] = []

    def interrupt(text: str) -> None:
        told.append(text)
        if len(told) == 1:
            raise KeyboardInterrupt

    front = ars(Taught(CART, TEACHER), grammar(CART), work, 0, interrupt)
    assert front.cut == (INTERRUPTED,)
    assert len(front) == 0
    assert not list(tmp_path.iterdir())


def test_what_a_start_stands_for_is_the_program_itself() -> None:
    task = load_task("InvertedPendulum-v5").unbound()
    template = blank(task)
    names = [i.name for i in template.inputs]
    program = with_terms(template, [parse(f"3 * {names[1]} + 0.5 * {names[3]} - 0.25")])
    search = ars_module._Search(Rollouts(task, range(4)), grammar(task), SETTINGS[0], 0, 0)
    search.start(program)
    expected = [[0.0, 3.0, 0.0, 0.5, -0.25]]
    assert np.allclose(search.constants(search._weights), expected, rtol=1e-9, atol=1e-9)
