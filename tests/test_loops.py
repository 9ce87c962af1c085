"""Loops: one term for each member, unrolled for any number of them, and found by search."""

from dataclasses import replace
from pathlib import Path

import pytest

from nprl.distill.rollout import Rollouts, blank, with_terms
from nprl.env.task import load_task
from nprl.lang.terms import Num, nodes, variables
from nprl.lang.text import parse
from nprl.loops import Unrolled, loop_from_text
from nprl.program import ProgramError
from nprl.search.evolve import evolve
from nprl.search.grammar import Grammar
from nprl.search.sketch import loop_sketch
from nprl.search.work import Work

FOUR, EIGHT = load_task("nprl/Platoon4-v0"), load_task("nprl/Platoon8-v0")
SKETCH = Path(__file__).parents[1] / "experiments" / "loops" / "platoon.txt"
TEXT = """nprl-loop 1
name platoon
each car: gap = x{2*car - 1}
each car: speed = x{2*car}
output car: push = u{car}
fold slack = min gap + 0.5 * speed
u0 = -1.2 * x0 + slack
push = push:before + 3 * gap + 4 * (speed - speed:after)
"""


def test_a_loop_is_unrolled_for_four_and_for_eight() -> None:
    loop = loop_from_text(TEXT)
    four, eight = (loop.unroll(blank(task)) for task in (FOUR, EIGHT))
    assert (len(four.output), len(eight.output)) == (4, 8)
    slack = "min(min(x1 + 0.5 * x2, x3 + 0.5 * x4), x5 + 0.5 * x6)"
    first = f"-1.2 * x0 + {slack}"
    assert four.output[0] == parse(first)
    assert four.output[1] == parse(f"{first} + 3 * x1 + 4 * (x2 - x4)")
    assert four.output[3] == parse(
        f"{first} + 3 * x1 + 4 * (x2 - x4) + 3 * x3 + 4 * (x4 - x6) + 3 * x5 + 4 * (x6 - 0)"
    )
    assert variables(eight.output[7]) == {f"x{k}" for k in range(15)}


def test_the_size_of_an_unrolled_program_is_that_of_its_loop() -> None:
    loop = loop_from_text(TEXT)
    four, eight = (loop.unroll(blank(task)) for task in (FOUR, EIGHT))
    written = sum(map(nodes, loop.terms))
    assert four.nodes == eight.nodes == written + 2
    assert four.constants == eight.constants == 4
    assert sum(map(nodes, eight.output)) > 3 * eight.nodes


def test_a_loop_is_read_back_from_its_text() -> None:
    loop = loop_from_text(TEXT)
    assert loop_from_text(str(loop)) == loop


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("nprl-loop 1", "nprl-program 1", "begins with the line"),
        ("x{2*car - 1}", "x[car]", "a pattern such as gap"),
        ("x{2*car - 1}", "x{2*bus}", "a pattern such as gap"),
        ("fold slack = min", "fold slack = median", "accepted, once each"),
        ("fold slack", "fold gap", "names differ from each other"),
        ("push = push:before", "pull = push:before", "'output MEMBER: NAME = PATTERN'"),
        ("each car: speed", "each bus: speed", "one group is accepted"),
    ],
)
def test_what_is_no_loop_is_refused_in_one_line(old: str, new: str, message: str) -> None:
    with pytest.raises(ProgramError, match=message) as caught:
        loop_from_text(TEXT.replace(old, new, 1))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("3 * gap", "3 * gab", "unknown name 'gab'"),
        ("u0 = -1.2 * x0", "u0 = -1.2 * gap", "unknown name 'gap'"),
        ("x{2*car}", "y{car}", "has no car 1"),
        ("u0 = -1.2 * x0 + slack\n", "", "it gives u1, u2, u3"),
    ],
)
def test_a_loop_that_does_not_fit_a_task_is_refused(old: str, new: str, message: str) -> None:
    loop = loop_from_text(TEXT.replace(old, new, 1))
    with pytest.raises(ProgramError, match=message):
        loop.unroll(blank(FOUR))


def test_terms_that_are_not_the_loops_are_refused() -> None:
    program = loop_from_text(TEXT).unroll(blank(FOUR))
    with pytest.raises(ProgramError, match="not those of its loop"):
        replace(program, output=(*program.output[:3], parse("x0")))
    with pytest.raises(ProgramError, match="not those of its loop"):
        with_terms(program, [Num(t) for t in (1, 2, 3, 4)])


def test_a_loop_that_is_learned_for_four_cars_drives_eight() -> None:
    grammar = Grammar(
        ("x0",), max_nodes=20, conditions=False, sketch=loop_sketch(SKETCH.read_text())
    )
    work = Work(30_000_000, 3_000_000, evaluations=100, tuning=8, choosing=20, refining=16)
    front = evolve(FOUR, grammar, work, 2)
    best = front.best()
    assert isinstance(best.program, Unrolled)
    assert best.nodes <= 20
    assert best.program.loop is not None
    eight = best.program.loop.unroll(blank(EIGHT))
    nothing = Rollouts(EIGHT, range(4)).run_many([blank(EIGHT)])[0]
    driven = Rollouts(EIGHT, range(4)).run_many([eight])[0]
    assert driven.mean > nothing.mean
