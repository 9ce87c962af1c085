"""Programs with memory: registers in every meaning alike, per episode, and read back as written."""

from __future__ import annotations

import shlex
import textwrap
from collections import deque
from dataclasses import replace
from fractions import Fraction as F
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lang_strategies import floats, rational_terms, some, terms

from experiments import programs
from experiments.grammars import add_options, grammar_of, said
from experiments.options import Parser
from nprl.distill.rollout import Rollouts, act_of, blank, with_terms
from nprl.env.task import load_task
from nprl.evaluate import evaluate
from nprl.lang.native import compiler
from nprl.lang.ranges import Interval
from nprl.lang.terms import Term, Var, variables
from nprl.lang.text import parse
from nprl.memory import Register, fold, from_line, integral, needed, pid, previous
from nprl.model import Coordinate
from nprl.program import Input, Program, ProgramError, program_from_json
from nprl.program_text import program_from_text
from nprl.search.ars import ars
from nprl.search.evolve import evolve
from nprl.search.grammar import Grammar
from nprl.search.tune import tune
from nprl.search.work import Work
from nprl.shields.sequent import assign

HILL = load_task("MountainCar-v0").unbound()
PENDULUM = load_task("Pendulum-v1").unbound()
X = Var("x")
PLACE = Coordinate("m", "m", F(-3), F(3))


def program(output: Term, *registers: Register, bound: int = 10) -> Program:
    """One output over x, in units, with these registers."""
    return Program(
        name="test",
        inputs=(Input("x", "m"),),
        outputs=(Coordinate("u", "N", F(-bound), F(bound)),),
        output=(output,),
        scaled=False,
        registers=registers,
    )


def played(policy: Program, xs: list[float]) -> list[float]:
    """The outputs along observations, from an episode's start."""
    memory, result = policy.initial, []
    for x in xs:
        (u,), memory = policy.step([x], memory)
        result.append(u)
    return result


def test_a_register_holds_what_it_was_given_one_step_before() -> None:
    policy = program(Var("m"), previous(PLACE, X, F(1, 2)))
    assert played(policy, [1.0, 2.0, 5.0, 0.0]) == [0.5, 1.0, 2.0, 3.0]  # 5 is beyond its bound


def test_an_integral_stops_at_its_bounds_and_comes_back_at_once() -> None:
    policy = program(Var("m"), integral(PLACE, X))
    assert played(policy, [2.0, 2.0, 2.0, -1.0, 0.0]) == [0.0, 2.0, 3.0, 3.0, 2.0]


@pytest.mark.parametrize(
    ("kind", "value"),
    [("sum", sum), ("mean", lambda w: sum(w) / 3), ("min", min), ("max", max)],
)
def test_a_fold_is_over_the_last_steps(kind: str, value: Any) -> None:
    registers = fold(kind, replace(PLACE, low=F(-30), high=F(30)), X, 3, F(3))
    policy = program(Var("m"), *registers, bound=30)
    xs = np.random.default_rng(0).integers(-9, 9, 20).astype(float).tolist()
    window = deque([1.0] * 3 if kind == "sum" else [3.0] * 3, 3)
    wanted = []
    for x in xs:
        wanted.append(value(window))
        window.append(x)
    assert played(policy, xs) == pytest.approx(wanted)


def test_a_pid_controller_is_the_textbook_s() -> None:
    gains, dt = (F(2), F(1, 2), F(1, 4)), F(1, 10)
    term, registers = pid(-X, gains, dt, bound=F(1), largest=F(5))
    assert [r.name for r in registers] == ["error_integral", "error_before"]
    policy = program(term, *registers, bound=50)
    total = before = 0.0
    for x, u in zip([1.0, 3.0, -2.0, 4.0], played(policy, [1.0, 3.0, -2.0, 4.0]), strict=True):
        assert u == pytest.approx(-2 * x + total / 2 + (-x - before) / 0.4)
        total, before = min(1.0, max(-1.0, total - 0.1 * x)), -x
    assert pid(X, (F(1), F(0), F(0)), dt, F(1), F(1))[1] == ()


def two(first: Term, second: Term, output: Term) -> Program:
    """Two registers that read the inputs and each other."""
    named = {"x": "x", "y": "a", "z": "b"}

    def renamed(t: Term) -> Term:
        return assign(t, {n: Var(v) for n, v in named.items()})

    a = Register("a", "", F(-2), F(5), F(1, 3), renamed(first))
    b = Register("b", "", F(-1), F(1), F(0), renamed(second))
    return program(renamed(output), a, b)


@some
@given(terms, terms, terms, st.lists(floats, min_size=1, max_size=6))
def test_whatever_the_terms_the_memory_is_within_its_bounds(
    first: Term, second: Term, output: Term, xs: list[float]
) -> None:
    policy = two(first, second, output)
    memory = policy.initial
    for x in xs:
        (u,), memory = policy.step([x], memory)
        assert -10 <= u <= 10
        assert -2 <= memory[0] <= 5
        assert -1 <= memory[1] <= 1


@some
@given(
    rational_terms,
    rational_terms,
    rational_terms,
    st.lists(st.tuples(floats, floats, st.booleans(), st.booleans()), min_size=1, max_size=6),
)
def test_a_batch_remembers_as_one_by_one_and_forgets_where_an_episode_starts(
    first: Term, second: Term, output: Term, rows: list[tuple[float, float, bool, bool]]
) -> None:
    policy = two(first, second, output)
    state: Any = None
    lanes = [policy.initial, policy.initial]
    for left, right, *start in rows:
        kept = None if state is None else state.copy()
        actions, after = policy.predict([[left], [right]], state, np.array(start))
        for k, x in enumerate((left, right)):
            memory = policy.initial if start[k] else lanes[k]
            action, lanes[k] = policy.decide([x], memory)
            assert actions[k].tolist() == action.tolist()
            assert after[k].tolist() == list(lanes[k])
        assert state is None or (state == kept).all()  # the caller's is not written to
        state = after


def test_one_observation_has_a_memory_of_its_own() -> None:
    policy = program(Var("m"), previous(PLACE, X))
    action, state = policy.predict(np.array([2.0]))
    assert (action.tolist(), state.tolist()) == ([0.0], [2.0])
    assert policy.predict(np.array([1.0]), state, np.array([False]))[0].tolist() == [2.0]
    assert policy.predict(np.array([1.0]), state, np.array([True]))[0].tolist() == [0.0]


@pytest.mark.parametrize(
    "state", [np.zeros((1, 1)), np.array([np.nan]), np.array([3.5]), np.zeros(2), np.array(0.0)]
)
def test_a_state_that_is_no_memory_is_refused(state: Any) -> None:
    policy = program(Var("m"), previous(PLACE, X))
    with pytest.raises(ValueError, match="the memory of test is"):
        policy.predict(np.array([2.0]), state)
    with pytest.raises(ValueError, match="the memory of test is"):
        policy.predict(np.array([[2.0], [1.0]]), state)


def test_a_program_with_memory_is_not_called_without() -> None:
    policy = program(Var("m"), previous(PLACE, X))
    for call in (policy, policy.act):
        with pytest.raises(ValueError, match=r"1 numbers .* and starts as \[0.0\]; got \[\]"):
            call([1.0])
    with pytest.raises(ValueError, match="an array of shape"):
        policy.batch([[1.0]])
    with pytest.raises(ValueError, match="has memory: play it"):
        act_of(policy)


SHOWN = """nprl-program 1
name test
input x [m]
output u [N] in -10 .. 10
action in units
memory last [m] in -3 .. 3 from 0: previous x
memory i [m s] in -1 .. 1 from 0.5: integral of 0.05 * x
memory w [m] in -3 .. 3 from 0: mean of x - last over 4
memory top [m] in 0 .. 3 from 0: next max(top, x)
u = -x - i + (x - last) / 0.05 + w * top
"""


def test_memory_as_text() -> None:
    policy = program_from_text(SHOWN)
    names = ["last", "i", "w", "w_1", "w_2", "w_3", "top"]
    assert [r.name for r in policy.registers] == names
    assert str(policy) == SHOWN
    assert program_from_json(policy.to_json()) == policy
    assert policy.nodes == 14 + 1 + 5 + (11 + 3 + 1 + 1) + 3  # as the registers that they are
    by_hand = replace(policy, registers=(*policy.registers[:6], replace(policy.registers[6])))
    assert str(by_hand) == SHOWN


def test_the_programs_in_the_docs_are_programs() -> None:
    page = (Path(__file__).parent.parent / "docs" / "programs.md").read_text()
    shown = [b for b in textwrap.dedent(page).split("\n\n") if b.startswith("    nprl-program 1")]
    assert len(shown) == 2
    for block in map(textwrap.dedent, shown):
        assert str(program_from_text(block)).strip() == block


def test_a_window_that_is_no_fold_is_shown_register_by_register() -> None:
    policy = program_from_text(SHOWN)
    changed = replace(policy.registers[4], update=parse("w_1 / 2"))
    other = replace(policy, registers=(*policy.registers[:4], changed, *policy.registers[5:]))
    assert "memory w_2 [m] in -3 .. 3 from 0: previous w_1 / 2" in str(other)
    assert program_from_text(str(other)) == other


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("previous x", "before x", "a memory is previous X"),
        ("previous x", "previous y", "next last = y: unknown name 'y'"),
        ("memory last", "memory x", "names differ from each other"),
        ("memory top", "memory u", "named as an output"),
        ("memory top", "memory min", "means something else"),
        ("from 0.5", "from 2", "low < high, and an initial value between"),
        ("over 4", "over 65", "2 to 64 steps"),
        ("over 4", "over 1", "2 to 64 steps"),
    ],
)
def test_memory_that_does_not_fit_is_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        program_from_text(SHOWN.replace(old, new))


def swinging() -> list[Program]:
    """Programs with memory for MountainCar: by scores, and by the nearest action."""
    template = blank(HILL)
    place = Coordinate("speed", "", F(-7, 100), F(7, 100))
    last = previous(place, Var("velocity"))
    window = fold("mean", place, Var("velocity"), 3)
    nearest = replace(template, output=(parse("1 + 50 * (velocity + speed)"),), registers=(last,))
    scores = replace(
        blank(HILL, scores=True),
        output=tuple(parse(t) for t in ("-speed - velocity", "0", "speed")),
        registers=window,
    )
    return [nearest, scores]


def test_memory_is_played_alike_in_machine_code_in_batches_and_by_processes() -> None:
    fast, batched = Rollouts(HILL, range(2)), Rollouts(HILL, range(2))
    assert (fast._machine is None) == (compiler() is None)
    batched._machine = None
    single = Rollouts(replace(HILL, twin=None), range(2), jobs=2)
    for p, *three in zip(
        swinging(), *(r.run_many(swinging()) for r in (fast, batched, single)), strict=True
    ):
        assert len({tuple(e.returns) for e in three}) == 1
        assert three[0].returns.min() > -200
        seen = evaluate(HILL, p, range(2), timed=False)
        assert seen.returns.tolist() == three[0].returns.tolist()


def test_memory_is_played_in_mujoco_by_machine_code_as_by_processes() -> None:
    task = load_task("InvertedPendulum-v5").unbound()
    place = Coordinate("before", "rad", F(-1), F(1))
    bare = replace(blank(task), registers=(previous(place, Var("angle")),))
    some = [replace(bare, output=(parse(f"{k} * (angle - before) + angle"),)) for k in (20, 200)]
    fast, slow = Rollouts(task, range(2)), Rollouts(task, range(2))
    slow._machine = None
    for one, other in zip(fast.run_many(some), slow.run_many(some), strict=True):
        assert one.returns.tolist() == other.returns.tolist()
        assert one.lengths.tolist() == other.lengths.tolist()


def test_constants_in_updates_are_tuned_too() -> None:
    template = blank(PENDULUM)
    place = Coordinate("push", "", F(-2), F(2))
    start = replace(
        template,
        output=(parse("push"),),
        registers=(previous(place, parse("-2.3 / x * (omega + 3 * y)")),),
    )
    rollouts = Rollouts(PENDULUM, range(8))
    before = rollouts.run_many([start])[0].mean
    found = tune(start, rollouts, evaluations=60)
    assert found.episodes.mean > before
    assert found.program.registers[0].update != start.registers[0].update
    assert found.program.output == start.output
    assert with_terms(start, found.program.terms) == found.program


def test_a_memory_larger_than_machine_code_has_is_refused_in_words() -> None:
    wide = [Register(f"r{k}", "", F(-1), F(1), F(0), Var("velocity")) for k in range(300)]
    if compiler() is not None:
        with pytest.raises(ValueError, match="300 registers, at most 256"):
            Rollouts(HILL, range(1)).run_many([replace(blank(HILL), registers=tuple(wide))])


LINES = ("last [rad] in -1 .. 1 from 0: previous theta", "idle [rad] in -1 .. 1 from 0: previous x")
CART = load_task("CartPole-v1").unbound()


def test_a_register_is_needed_if_a_term_reads_it_or_one_that_is_needed_does() -> None:
    registers = program_from_text(SHOWN).registers
    assert needed([parse("x")], registers) == ()
    assert [r.name for r in needed([parse("w * x")], registers)] == [
        "last",
        "w",
        "w_1",
        "w_2",
        "w_3",
    ]
    assert [r.name for r in needed([parse("top + i")], registers)] == ["i", "top"]


def test_evolution_balances_without_velocities_by_what_it_remembers() -> None:
    registers = tuple(r for line in LINES for r in from_line(line))
    grammar = Grammar(("theta", "last", "idle"), max_nodes=9, registers=registers)
    work = Work(4_000_000, 1_000_000, evaluations=60, tuning=8, choosing=20)
    front = evolve(CART, grammar, work, seed=0)
    best = front.best(max_size=9)
    assert best.mean > 150  # the angle alone falls within 50
    assert "last" in [r.name for r in best.program.registers]
    for entry in front:
        read = {n for t in entry.program.terms for n in variables(t)}
        assert {r.name for r in entry.program.registers} <= read
        assert entry.nodes <= 9
    with pytest.raises(ValueError, match="knows no memory; evolution does"):
        ars(CART, grammar, work)


def test_memory_is_asked_for_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser()
    add_options(parser)

    def asked(words: list[str]) -> Grammar:
        args = parser.parse_args(words)
        args.method = "evolution"
        grammar = grammar_of(args, CART, blank(CART), 9)
        assert words == shlex.split(said(args, grammar))
        return grammar

    grammar = asked(["--nodes", "9", "--memory", LINES[0], "--rising", "last"])
    assert [r.name for r in grammar.registers] == ["last"]
    assert grammar.variables == ("x", "v", "theta", "omega", "last")
    assert dict(grammar.ranges)["last"] == Interval(F(-1), F(1))
    assert programs.main(["--env", "CartPole-v1", "--memory", LINES[0], "--method", "ars"]) == 2
    assert programs.main(["--env", "CartPole-v1", "--memory", "last of theta"]) == 2
    err = capsys.readouterr().err
    assert "augmented random search knows no memory; evolution does" in err
    assert "accepted is: memory NAME [unit]" in err
