"""Programs of scores: the action is the choice of the highest, in every meaning the same."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction as F

import numpy as np
import pytest
from checked_examples import X, cart
from hypothesis import given
from hypothesis import strategies as st
from lang_strategies import NAMES, floats, rational_terms, some, terms

from experiments import programs
from nprl.distill.rollout import Rollouts, blank, units_of, with_terms
from nprl.env.task import load_task
from nprl.lang.build import where
from nprl.lang.floats import compile_scalar
from nprl.lang.native import compiler
from nprl.lang.terms import Num, Term
from nprl.lang.text import parse
from nprl.model import Coordinate
from nprl.program import (
    Input,
    Program,
    ProgramError,
    program_for,
    program_from_json,
)
from nprl.program_text import program_from_text
from nprl.report.tree import draw_program
from nprl.search.ars import ars
from nprl.search.evolve import evolve
from nprl.search.grammar import Grammar
from nprl.search.work import Work
from nprl.shields.certify_policy import PolicyOutcome, check_policy
from nprl.shields.program_loop import ClosedLoop
from nprl.shields.synthesis.candidate import Candidate
from nprl.shields.synthesis.certify import certify

CHOICES = ((F(-1), F(0)), (F(1, 3), F(2)), (F(1), F(0)), (F(0), F(1)))
HILL = load_task("MountainCar-v0").unbound()
CART = load_task("CartPole-v1").unbound()


def scored(scores: list[Term]) -> Program:
    """Two outputs, as many choices as there are scores."""
    return Program(
        name="test",
        inputs=tuple(Input(n, "m") for n in NAMES),
        outputs=(Coordinate("u", "N", F(-1), F(1)), Coordinate("v", "N", F(0), F(2))),
        output=tuple(scores),
        choices=CHOICES[: len(scores)],
        scores=True,
    )


def lists(of: st.SearchStrategy[Term]) -> st.SearchStrategy[list[Term]]:
    """One to four scores, often equal ones among them."""
    few = st.lists(of, min_size=1, max_size=4)
    return st.one_of(few, few.map(lambda s: [*s, s[0]][-4:]))


@some
@given(lists(terms), st.tuples(floats, floats, floats))
def test_the_highest_score_is_what_the_term_form_chooses(
    scores: list[Term], x: tuple[float, ...]
) -> None:
    program = scored(scores)
    values = compile_scalar(scores, [NAMES])(x)
    k = program.act(x)
    assert k == int(np.argmax(values))
    chosen = tuple(float(v) for v in CHOICES[k])
    assert program(x) == chosen == compile_scalar(program.clipped, [NAMES])(x)
    assert program.predict(np.array(x))[0] == k


@some
@given(lists(rational_terms), st.lists(st.tuples(floats, floats, floats), min_size=1, max_size=5))
def test_a_batch_chooses_as_one_by_one(
    scores: list[Term], rows: list[tuple[float, float, float]]
) -> None:
    program = scored(scores)
    assert program.batch(rows).tolist() == [list(program(r)) for r in rows]
    actions, state = program.predict(np.array(rows))
    assert actions.tolist() == [program.act(r) for r in rows]
    assert state is None
    assert program.to_action(program.batch(rows)).tolist() == actions.tolist()
    assert units_of(program, actions).tolist() == program.batch(rows).tolist()


def test_of_equal_scores_the_first_is_chosen() -> None:
    program = scored([parse(t) for t in ("0", "x", "-(0 * x)", "x")])
    assert [program.act([v, 0.0, 0.0]) for v in (0.0, 1.0, -1.0)] == [0, 1, 0]


@some
@given(lists(terms))
def test_scores_are_written_and_read_back(scores: list[Term]) -> None:
    program = scored(scores)
    assert program_from_json(program.to_json()) == program
    again = program_from_text(str(program))
    assert str(again) == str(program)
    assert again.scores


def test_a_file_from_before_there_were_scores_is_read() -> None:
    program = program_for(cart(), [-X])
    data = program.to_json()
    del data["scores"]
    assert program_from_json(data) == program


def test_the_argmax_is_one_node() -> None:
    program = scored([parse("3 * x + y"), parse("z")])
    assert (program.nodes, program.constants) == (7, 1)
    assert program.formula == "argmax(3 * x + y, z)"
    assert program.labels == ("score of -1, 0", "score of 1/3, 2")
    assert draw_program(program) is not None


SHOWN = """nprl-program 1
name test
input x [m]
output u [N] in -1 .. 1
action in units
choice -1 scores x
choice 1 scores -x
"""


def test_scores_as_text() -> None:
    program = program_from_text(SHOWN)
    assert str(program) == SHOWN
    assert program.act([2.0]) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SHOWN.replace(" scores -x", ""), "scores stand at every choice"),
        (SHOWN + "u = x\n", "no line 'X = term' beside them"),
        (SHOWN.replace("choice 1 ", "choice -1 "), "give each as a choice, and once"),
        (SHOWN.replace("choice 1 ", "choice 2 "), "choice 2: a number within the bounds"),
        (SHOWN.replace("choice 1 ", "choice 1, 1 "), "choice 1, 1: a number within the bounds"),
        (SHOWN.replace("-x", "-y"), "score of 1 = -y: unknown name 'y'"),
    ],
)
def test_scores_that_do_not_fit_are_refused(text: str, message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        program_from_text(text)


def test_a_score_is_missing_or_there_are_no_choices() -> None:
    with pytest.raises(ProgramError, match="one term for each choice is needed; got 1 for 2"):
        replace(scored([X, X]), output=(X,))
    with pytest.raises(ProgramError, match="finitely many"):
        replace(scored([X, X]), choices=None)
    with pytest.raises(ValueError, match="scores are of finitely many actions"):
        blank(load_task("Pendulum-v1").unbound(), scores=True)


def test_scores_are_played_alike_in_machine_code_in_batches_and_by_processes() -> None:
    template = blank(HILL, scores=True)
    assert template.output == (Num(F(0)),) * 3
    some = [
        with_terms(template, [parse(t) for t in texts])
        for texts in (("-velocity", "0", "velocity"), ("position", "position * velocity", "-0.3"))
    ]
    plain = Rollouts(HILL, range(2))
    if compiler() is not None:
        assert plain._machine is not None
    batched = Rollouts(HILL, range(2))
    batched._machine = None
    single = Rollouts(replace(HILL, twin=None), range(2), jobs=2)
    played = [r.run_many(some) for r in (plain, batched, single)]
    for one, two, three in zip(*played, strict=True):
        assert one.returns.tolist() == two.returns.tolist() == three.returns.tolist()


def test_searches_find_scores() -> None:
    work = Work(2_000_000, 500_000, evaluations=30, tuning=8, choosing=20)
    grammar = Grammar(("x", "v", "theta", "omega"), max_nodes=7, scores=True)
    best = evolve(CART, grammar, work, seed=0).best(max_size=7)
    assert best.mean > 300
    assert best.program.scores
    assert best.nodes <= 7
    found = ars(CART, grammar, replace(work, search_steps=300_000), seed=0).best()
    assert found.program.scores
    assert found.mean > 150


def test_a_box_of_actions_has_no_scores(capsys: pytest.CaptureFixture[str]) -> None:
    assert programs.main(["--env", "Pendulum-v1", "--scores"]) == 2
    assert "these are a box" in capsys.readouterr().err


def test_the_moon_lander_has_a_score_for_each_of_its_engines() -> None:
    pytest.importorskip("Box2D")
    task = load_task("LunarLander-v3").unbound()
    template = blank(task, scores=True)
    assert len(template.output) == 4
    fall = with_terms(template, [parse("1"), *template.output[1:]])
    rollouts = Rollouts(task, range(2))
    assert rollouts.run_many([fall])[0].returns.tolist() == pytest.approx([-119.06, -152.42], 1e-3)


def test_a_program_of_scores_is_proved() -> None:
    model = cart(choices=((F(-1),), (F(0),), (F(1),)))
    backup = where(X >= 0, -1, 1)
    certificate = certify(model, Candidate("polytope", ((1 - X, 1 + X),), (backup,), {}))
    program = program_for(model, [X * 0])
    program = replace(program, output=(X - F(1, 2), X * 0, -X - F(1, 2)), scores=True)
    loop = ClosedLoop.of(model, program)
    assert loop.act(np.array([[0.7], [0.1], [-0.7]]))[:, 0].tolist() == [-1.0, 0.0, 1.0]
    assert check_policy(certificate, program, 30).outcome is PolicyOutcome.CERTIFIED
    wrong = replace(program, output=program.output[::-1])
    assert check_policy(certificate, wrong, 30).outcome is PolicyOutcome.NEEDS_SHIELD
