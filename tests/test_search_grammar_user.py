"""What users ask of programs: sketches, and constraints that every learner obeys."""

from dataclasses import replace
from fractions import Fraction

import pytest

from experiments import programs
from nprl.distill.rollout import blank, with_terms
from nprl.env.task import load_task
from nprl.lang.ranges import Interval
from nprl.lang.text import parse
from nprl.model import Coordinate
from nprl.program import Program
from nprl.search.constants import ZERO
from nprl.search.constraints import Constraint, Monotone, Steady, Symmetric, Within
from nprl.search.evolve import evolve
from nprl.search.grammar import Grammar
from nprl.search.sketch import sketch
from nprl.search.work import Work

TASK = load_task("Pendulum-v1").unbound()
TEMPLATE = blank(TASK)
ENDS = Fraction(-1), Fraction(1)
NAMES = ("x", "y", "omega")
RANGES = (
    ("x", Interval(Fraction(-1), Fraction(1))),
    ("y", Interval(Fraction(-1), Fraction(1))),
    ("omega", Interval(Fraction(-8), Fraction(8))),
)
LITTLE = Work(6_000_000, 1_000_000, evaluations=30, tuning=4, choosing=10)


def program(text: str) -> Program:
    return with_terms(TEMPLATE, [parse(text)])


def grammar(*constraints: Constraint, ranges: bool = True) -> Grammar:
    return Grammar(NAMES, constraints=constraints, ranges=RANGES if ranges else ())


def test_a_sketch_keeps_what_was_written_and_names_its_places() -> None:
    found = sketch("clip(??push, -1, 1) - ? * omega", "where(x <= ?, ??push, 0.25)")
    assert (found.places, found.numbers) == (3, {1, 2})
    two = replace(
        TEMPLATE, outputs=(*TEMPLATE.outputs, Coordinate("b", "", *ENDS)), output=(ZERO, ZERO)
    )
    first, second = found.plug(two, [parse("y + 1"), parse("2"), parse("0.5")])
    assert str(first) == "clip(y + 1, -1, 1) - 2 * omega"
    assert str(second) == "where(x <= 0.5, y + 1, 0.25)"
    assert found.program(two, [parse("y + 1"), parse("2"), parse("0.5")]).output == (first, second)


@pytest.mark.parametrize(
    ("texts", "message"),
    [(("x + 1",), "a place to fill"), (("? + ??a * ?a",), "for a term and for a number")],
)
def test_a_sketch_that_says_nothing_to_find_is_refused(
    texts: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        sketch(*texts)


def test_evolution_fills_a_sketch_and_leaves_the_rest() -> None:
    given = sketch("clip(??, -1.5, 1.5) - ? * omega")
    front = evolve(TASK, Grammar(NAMES, max_nodes=10, sketch=given), LITTLE, 0)
    assert len(front) > 1
    for entry in front:
        (text,) = map(str, entry.program.output)
        assert "clip(" in text
        assert "-1.5, 1.5)" in text
        assert entry.nodes <= 10


def test_evolution_refuses_a_sketch_with_unknown_names() -> None:
    with pytest.raises(ValueError, match="unknown name 'speed'"):
        evolve(TASK, Grammar(NAMES, sketch=sketch("?? * speed")), LITTLE)


@pytest.mark.parametrize(
    ("text", "constraint", "ranges"),
    [
        ("tanh(y) + omega", Within(Fraction(-2), Fraction(2)), True),
        ("x * 0.5 + y * x", Within(Fraction(-3, 2), Fraction(3, 2)), True),
        ("tanh(omega + y) * 1.5", Monotone("omega"), False),
        ("-(omega + sin(y))", Monotone("omega", rising=False), False),
        ("omega ** 3 + omega", Monotone("omega"), False),
        ("where(omega <= 1, omega, 2 * omega - 1)", Monotone("omega"), True),
        ("y * abs(omega) + sin(omega)", Symmetric(("y", "omega")), False),
        ("cos(y) + x * y * omega", Symmetric(("y", "omega"), odd=False), False),
        ("where(x <= 0, y, tanh(omega))", Symmetric(("y", "omega")), False),
        ("y / 2 + 0.1 * omega", Steady((("y", Fraction(1, 10)),), Fraction(1, 20)), False),
        ("x + max(y, 0.5)", Steady((("omega", Fraction(1)),), Fraction(0)), False),
    ],
)
def test_what_holds_is_admitted_and_proved(text: str, constraint: Constraint, ranges: bool) -> None:
    asked = grammar(constraint, ranges=ranges)
    assert asked.admits(program(text))
    assert asked.proves(program(text))


@pytest.mark.parametrize(
    ("text", "constraint"),
    [
        ("tanh(y) + omega", Within(Fraction(-1), Fraction(2))),
        ("tanh(omega) * y", Monotone("omega")),
        ("where(omega <= 1, omega, -omega)", Monotone("omega")),
        ("y + 0.1", Symmetric(("y", "omega"))),
        ("y + cos(omega)", Symmetric(("y", "omega"), odd=False)),
        ("1.1 * y", Steady((("y", Fraction(1, 10)),), Fraction(1, 10))),
        ("where(y <= 0, -1, 1)", Steady((("y", Fraction(1, 100)),), Fraction(1))),
    ],
)
def test_what_does_not_hold_is_refuted_and_never_proved(text: str, constraint: Constraint) -> None:
    assert not grammar(constraint).admits(program(text))
    assert not grammar(constraint).proves(program(text))


def test_what_no_sample_refutes_is_still_not_proved() -> None:
    needle = program("where(abs(y - 0.7071) <= 0.00000001, 2, 0)")
    asked = grammar(Within(Fraction(-1), Fraction(1)))
    assert asked.admits(needle)
    assert not asked.proves(needle)


def test_every_program_of_a_search_keeps_the_constraints() -> None:
    asked = Grammar(
        NAMES,
        max_nodes=9,
        constraints=(Symmetric(("y", "omega")), Monotone("omega", rising=False)),
        ranges=RANGES,
    )
    front = evolve(TASK, asked, LITTLE, 0)
    assert len(front)
    assert all(asked.proves(entry.program) for entry in front)
    free = evolve(TASK, Grammar(NAMES, max_nodes=9), LITTLE, 0)
    assert not all(asked.proves(entry.program) for entry in free)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--only", "speed"], "'speed' is no input; the inputs are x, y, omega"),
        (["--rising", "theta"], "'theta' is no input"),
        (["--steady", "0.1", "theta=0.1"], "'theta' is no input"),
        (["--sketch", "x + 1"], "a place to fill"),
    ],
)
def test_a_grammar_that_cannot_be_is_one_line(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert programs.main(["--env", "Pendulum-v1", *options]) == 2
    assert message in capsys.readouterr().err
