"""Evolution on the return: episodes in machine code, mutations, and what is found."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import experiments.programs as programs_module
from experiments import programs, replay
from nprl.distill.machine import Code
from nprl.distill.rollout import Rollouts, blank, with_terms
from nprl.env.task import load_task
from nprl.lang.native import compiler
from nprl.lang.terms import Num, Term, Var, nodes, variables
from nprl.lang.text import parse
from nprl.search.constants import hole
from nprl.search.evolve import evolve
from nprl.search.grammar import Grammar
from nprl.search.learner import Taught
from nprl.search.mutate import Mutator, changed_at, computed, near
from nprl.search.saved import SavedError
from nprl.search.work import INTERRUPTED, Work

CART = load_task("CartPole-v1").unbound()
GRAMMAR = Grammar(("x", "v", "theta", "omega"), max_nodes=7)
LITTLE = Work(6_000_000, 1_000_000, evaluations=30, tuning=8, choosing=20)
needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C compiler")


@needs_compiler
@pytest.mark.parametrize(
    "name",
    ["Pendulum-v1", "Acrobot-v1", "nprl/Pendulum-v0", "nprl/Platoon4-v0", "nprl/NoisyRoad-v0"],
)
def test_machine_code_plays_what_numpy_plays(name: str) -> None:
    task = load_task(name).unbound()
    fast, slow = Rollouts(task, range(4)), Rollouts(task, range(4))
    assert fast._machine is not None
    slow._machine = None
    template = blank(task)
    names = tuple(i.name for i in template.inputs)
    mutator = Mutator(Grammar(names, max_nodes=13), np.random.default_rng(1))
    some = [with_terms(template, [mutator.term(11) for _ in template.output]) for _ in range(20)]
    for one, other in zip(fast.run_many(some), slow.run_many(some), strict=True):
        assert one.returns == pytest.approx(other.returns, rel=1e-5)
        assert one.lengths.tolist() == other.lengths.tolist()
    assert fast.steps == slow.steps


def test_parts_without_variables_become_one_number() -> None:
    found = [str(computed(parse(t))) for t in ("sin(2) * x", "min(x, 3 - 1)", "x + y", "1 / 0 - x")]
    assert found == ["0.9093 * x", "min(x, 2)", "x + y", "0 - x"]


@needs_compiler
def test_settings_of_holes_are_played_as_their_programs() -> None:
    rollouts, template = Rollouts(CART, range(3)), blank(CART)
    skeleton = hole(0) * Var("theta") + hole(1) * Var("omega") + Num(Fraction(1, 8))
    table = np.array([[8.0, 1.0], [0.5, 2.0], [-1.0, 1.0]])
    returns, lengths = rollouts.settings(template, [skeleton], table)
    for row, (a, b) in enumerate(table.tolist()):
        alone = rollouts.run_many(
            [with_terms(template, [parse(f"{a} * theta + {b} * omega + 0.125")])]
        )
        assert returns[row].tolist() == alone[0].returns.tolist()
        assert lengths[row].tolist() == alone[0].lengths.tolist()


def test_code_refuses_unknown_names_and_what_is_too_deep() -> None:
    with pytest.raises(ValueError, match="unknown name 'nobody'"):
        Code([Var("nobody")], ["x"], 0)
    deep: Term = Var("x")
    for _ in range(70):
        deep = Var("x") + (Num(Fraction(1)) * deep)
    with pytest.raises(ValueError, match="at most 64"):
        Code([deep], ["x"], 0)


def test_mutations_stay_in_the_grammar() -> None:
    rng = np.random.default_rng(0)
    mutator = Mutator(GRAMMAR, rng)
    t = mutator.term(7)
    for _ in range(500):
        t = mutator.mutated(t, 7) if rng.random() < 0.8 else mutator.crossed(t, mutator.term(5), 7)
        assert nodes(t) <= 7
        assert variables(t) <= set(GRAMMAR.variables)
    plain = replace(GRAMMAR, unary=(), conditions=False, max_holes=0)
    for _ in range(50):
        t = Mutator(plain, rng).term(7)
        assert nodes(t) in (1, 3, 5, 7)


def test_one_place_of_a_term_is_changed() -> None:
    t = parse("where(x <= v, theta, omega)")
    changed = [str(changed_at(t, k, lambda old: Num(Fraction(7)))) for k in range(5)]
    assert changed == [
        "7",
        "where(7 <= v, theta, omega)",
        "where(x <= 7, theta, omega)",
        "where(x <= v, 7, omega)",
        "where(x <= v, theta, 7)",
    ]


def test_the_first_setting_is_the_inherited_one() -> None:
    table = near((Fraction(3), Fraction(0)), 10, np.random.default_rng(0))
    assert table.shape == (10, 2)
    assert table[0].tolist() == [3.0, 0.0]
    assert len(np.unique(table[:, 1])) > 5


def test_evolution_balances_the_pole_by_the_return_alone() -> None:
    front = evolve(CART, GRAMMAR, LITTLE, seed=0)
    best = front.best(max_size=7)
    assert best.mean == 500
    assert best.episodes == 20
    sizes = [e.nodes for e in front]
    assert sizes == sorted(sizes)


def test_with_a_teacher_evolution_begins_with_affine_programs_about_its_imitation(
    tmp_path: Path,
) -> None:
    teacher = with_terms(blank(CART), [parse("theta + omega + theta")])
    work = replace(LITTLE, search_steps=1_000_000, tuning_steps=1_000_000, refining=8)
    work = replace(work, saved=tmp_path / "state.json")
    said: list[str] = []
    front = evolve(Taught(CART, teacher), GRAMMAR, work, 0, said.append)
    assert any("DAgger" in line for line in said)
    assert front.best().mean == 500.0
    begun = len(said)
    again = evolve(Taught(CART, teacher), GRAMMAR, work, 0, said.append)
    assert not any("DAgger" in line for line in said[begun:])  # it goes on from its state
    assert again.to_json() == front.to_json()


def test_the_same_seed_finds_the_same_front() -> None:
    pendulum = load_task("Pendulum-v1").unbound()
    grammar = Grammar(("x", "y", "omega"), max_nodes=7)
    little = replace(LITTLE, search_steps=3_000_000, tuning_steps=100_000)
    one, other = (evolve(pendulum, grammar, little, seed=5) for _ in range(2))
    assert one.entries == other.entries
    assert evolve(pendulum, grammar, little, seed=6).entries != one.entries


def test_what_the_clock_cuts_is_said_and_the_front_so_far_comes_back() -> None:
    said: list[str] = []
    front = evolve(CART, GRAMMAR, replace(LITTLE, guard_s=0.0), 0, said.append)
    assert len(front) == 0
    assert any(line.startswith("CUT SHORT: evolution") for line in said)


def test_programs_without_a_twin_are_played_by_processes_to_the_same_returns() -> None:
    task = load_task("InvertedPendulum-v5").unbound()
    template = blank(task)
    some = [with_terms(template, [parse(f"{k} * angle + angular_velocity")]) for k in (10, 20)]
    alone, together = Rollouts(task, range(3)), Rollouts(task, range(3), jobs=2)
    for one, other in zip(alone.run_many(some), together.run_many(some), strict=True):
        assert one.returns.tolist() == other.returns.tolist()
        assert one.lengths.tolist() == other.lengths.tolist()


def test_programs_are_learned_frozen_and_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in (programs_module, replay):
        monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    asked = ["--env", "CartPole-v1", "--budget", "0.02", "--out", str(tmp_path), "--freeze"]
    assert programs.main(asked) == 0
    row = json.loads((tmp_path / "results" / "CartPole-v1.json").read_text())[0]
    assert row["nodes"] <= 5
    assert "--seed 0" in row["command"]
    assert len(list(tmp_path.glob("CartPole-v1/evolution-0.02-*-0/front.png"))) == 1
    capsys.readouterr()
    assert replay.main(["--json"]) == 0
    again = json.loads(capsys.readouterr().out)["programs"][0]
    assert (again["return"], again["holds"]) == (row["return"], row["holds"])
    broken = row | {"holds": True, "claim": row["claim"] | {"return": 501.0}}
    (tmp_path / "results" / "CartPole-v1.json").write_text(json.dumps([broken]))
    assert replay.main([]) == 1
    assert "NO LONGER HOLDS" in capsys.readouterr().err


@pytest.mark.slow
def test_what_is_frozen_in_the_repository_holds_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert replay.main(["--quick", "--json"]) == 0
    played = capsys.readouterr()
    assert "another return" not in played.err
    assert json.loads(played.out)["programs"]


def test_wrong_questions_get_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert programs.main(["--env", "CartPole-v9"]) == 2
    assert programs.main(["--env", "CartPole-v1", "--budget", "-1"]) == 2
    with pytest.raises(SystemExit) as caught:
        programs.main(["--env", "nprl/Pendulum-v0", "--freeze"])
    assert caught.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 3


def test_an_interrupted_search_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    work = replace(LITTLE, search_steps=20_000_000, saved=tmp_path / "state.json")
    whole = evolve(CART, GRAMMAR, replace(work, saved=None), 3)

    def interrupt(text: str) -> None:
        if "structures" in text:
            raise KeyboardInterrupt

    front = evolve(CART, GRAMMAR, work, 3, interrupt)
    assert front.cut == (INTERRUPTED,)
    born = json.loads((tmp_path / "state.json").read_text())["state"]["born"]
    again = evolve(CART, GRAMMAR, work, 3)
    assert json.loads((tmp_path / "state.json").read_text())["state"]["born"] > born
    assert again.to_json() == whole.to_json()


def test_the_state_of_another_search_is_refused(tmp_path: Path) -> None:
    work = replace(LITTLE, saved=tmp_path / "state.json")
    evolve(CART, GRAMMAR, work, 0)
    with pytest.raises(SavedError, match="another seed"):
        evolve(CART, GRAMMAR, work, 1)
    (tmp_path / "state.json").write_text("{}")
    with pytest.raises(SavedError, match="delete it to begin anew"):
        evolve(CART, GRAMMAR, work, 0)
