"""Programs with memory are proved: their registers are state of a model that does what runs."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction as F
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checked_examples import X, cart, proved
from hypothesis import given
from hypothesis import strategies as st
from lang_strategies import few
from runtime_examples import box_certificate

from nprl.env.plant import Plant
from nprl.env.task import load_task
from nprl.evaluate import evaluate
from nprl.lang import exact
from nprl.lang.terms import Var
from nprl.lang.text import parse
from nprl.memory import Register, integral, pid, previous
from nprl.model import Coordinate, Model, Observation
from nprl.program import Program, program_for
from nprl.shields import Filter, ShieldedPolicy
from nprl.shields.certify_policy import PolicyOutcome, check_policy
from nprl.shields.checker import Verdict, check
from nprl.shields.cli import main
from nprl.shields.goals import rounding_of
from nprl.shields.load import load_certificate
from nprl.shields.memory import with_memory
from nprl.shields.program_loop import ClosedLoop

PROVED = Path(str(files("nprl.shields.proved")))
PLACE = Coordinate("i", "m s", F(-2), F(2))
INTEGRAL = integral(PLACE, parse("0.1 * x"))


def controller(output: str, *registers: Register, model: Model | None = None) -> Program:
    """A program for the cart, or another model, with these registers."""
    model = model or cart()
    bare = program_for(model, [parse("0")] * len(model.action))
    terms = [parse(t) for t in output.split(";")]
    return replace(bare, output=tuple(terms), registers=registers)


PI = controller("-2 * x - i", INTEGRAL)


@pytest.fixture
def good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cart's certificate in a folder of its own, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    return proved().save(tmp_path / "cart.json")


def test_a_pi_controller_is_certified_by_the_command(
    good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PI.save("pi.json").with_suffix(".txt")
    assert "memory i [m s] in -2 .. 2 from 0: integral of 0.1 * x" in text.read_text()
    assert main([str(good), "--policy", str(text), "--out", "own.json"]) == 0
    out = capsys.readouterr().out
    assert "pi.txt alone: CERTIFIED" in out
    assert "keeps an invariant of its own" in out
    assert main(["own.json", "--exact", "--quiet"]) == 0


def test_a_controller_with_little_memory_passes_the_test_whatever_it_holds() -> None:
    little = controller("-2 * x - i", replace(INTEGRAL, low=F(-1, 10), high=F(1, 10)))
    found = check_policy(proved(), little, 30)
    assert found.outcome is PolicyOutcome.CERTIFIED
    assert "everywhere in the invariant, whatever its registers hold: the shield" in found.sense


def test_an_integral_alone_winds_up_and_needs_the_shield(
    good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = controller("-i", INTEGRAL).save("i.json")
    assert main([str(good), "--policy", str(file)]) == 1
    assert "leaves the safe set" in capsys.readouterr().out
    header = Path("cart-counterexample.csv").read_text().splitlines()[0]
    assert header == "time,x,i,u,w"


def test_the_own_invariant_holds_what_runs() -> None:
    found = check_policy(proved(), PI, 60)
    assert found.own is not None
    assert check(found.own).verdict is Verdict.VERIFIED
    rng = np.random.default_rng(0)
    for start in (-0.5, 0.2, 0.5):
        x, memory = start, PI.initial
        for _ in range(200):
            at = {"x": F(x), "i": F(memory[0])}
            assert all(exact.evaluate(g, at) >= 0 for g in found.own.shield.invariant[0])
            (u,), memory = PI.step([x], memory)
            x = x + u * 0.1 + rng.choice([-0.01, 0.01])


def test_a_barrier_may_speak_of_the_registers(
    good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("model.json").write_text(json.dumps(cart().to_json()))
    Path("set.txt").write_text("x <= 0.6\nx >= -0.6\ni <= 0.052\ni >= -0.052\n")
    little = controller("-2 * x - i", replace(INTEGRAL, low=F(-1, 20), high=F(1, 20)))
    command = ["--model", "model.json", "--barrier", "set.txt", "--policy"]
    assert main([*command, str(little.save("little.json"))]) == 0
    assert "VERIFIED" in capsys.readouterr().out
    assert main([*command, str(PI.save("pi.json"))]) == 1


STEPS = st.lists(st.tuples(st.floats(-1, 1), st.floats(-0.01, 0.01)), min_size=1, max_size=8)


@few
@given(STEPS)
def test_the_model_with_memory_steps_as_program_and_plant_do(
    rows: list[tuple[float, float]],
) -> None:
    term, registers = pid(-X, (F(2), F(1), F(1, 10)), F(1, 10), F(1, 5), F(3))
    policy = replace(controller("0", *registers), output=(term,))
    model, plain = with_memory(cart(), policy)
    bounds = rounding_of(model, [[F(1) - X * X]], [X * 0]).plant
    plant, memory = Plant(cart()), policy.initial
    for x, w in rows:
        state = [x, *memory]
        (u,), after = policy.step([x], memory)
        assert (u,) == plain(state)
        at = dict(zip((*model.state_names, "u", "w"), map(F, (*state, u, w)), strict=True))
        (y,) = plant.step([x], [u], [w])
        for name, t, got in zip(model.state_names, model.steps, (y, *after), strict=True):
            assert abs(exact.evaluate(t, at) - F(got)) <= bounds[name]
        memory = after


def test_what_the_program_reads_is_rounded_as_the_model_says() -> None:
    seen = (Observation("x", X, F(1, 1000)),)
    model, plain = with_memory(cart(observation=seen), PI)
    assert [c.name for c in model.disturbance] == ["w", "x_rounding"]
    assert exact.evaluate(model.step["i"], {"x": F(1), "i": F(0), "x_rounding": F(1, 1000)}) == F(
        1001, 10000
    )
    assert [o.rounding for o in model.observation] == [F(1, 1000), 0]
    assert plain.registers == ()
    blind = replace(INTEGRAL, update=Var("i") + F(1, 10))
    unread, _ = with_memory(cart(observation=seen), controller("-2 * x - i", blind))
    assert [c.name for c in unread.disturbance] == ["w"]


def test_an_initial_value_that_is_no_float_is_a_start_as_written_and_as_it_runs() -> None:
    third = controller("-2 * x - i", replace(INTEGRAL, initial=F(1, 3)))
    low, high = with_memory(cart(), third)[0].init["i"]
    assert {low, high} == {F(1, 3), F(third.initial[0])}
    assert 0 < high - low < F(1, 2**52)


def test_a_register_named_as_a_coordinate_is_refused(
    good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clash = controller("-x - w", replace(INTEGRAL, name="w", update=parse("w + 0.1 * x")))
    assert main([str(good), "--policy", str(clash.save("clash.json"))]) == 2
    assert "register w: test/Cart-v0 has a coordinate of that name" in capsys.readouterr().err


def test_registers_do_not_slip_past_the_prover() -> None:
    with pytest.raises(ValueError, match="has registers"):
        ClosedLoop.of(cart(), PI)


class Failing:
    """A policy that raises at given calls, and else answers as a program does."""

    def __init__(self, program: Program, fails: set[int]) -> None:
        self.program, self.fails, self.calls = program, fails, 0

    def predict(self, obs: Any, state: Any, episode_start: Any, deterministic: bool) -> Any:
        self.calls += 1
        if self.calls in self.fails:
            raise RuntimeError("broken")
        return self.program.predict(obs, state, episode_start, deterministic)


def boxed() -> Program:
    """The last x, as an action of the box's model."""
    model = box_certificate().model
    last = previous(Coordinate("last", "m", F(-2), F(2)), X, F(1, 10))
    return controller("last", last, model=model)


def test_a_shield_that_replaces_actions_leaves_the_memory_alone() -> None:
    shielded = ShieldedPolicy(boxed(), Filter(box_certificate(), trusted=True))
    action, state = shielded.predict(np.array([[0.9, 0.0], [0.1, 0.0]]))
    assert state.tolist() == [[0.9], [0.1]]
    assert action[:, 0] == pytest.approx([0.1 / 4, 0.1 / 4])
    strong = replace(boxed(), output=(parse("4 + last"),))
    shielded = ShieldedPolicy(strong, Filter(box_certificate(), trusted=True))
    _, state = shielded.predict(np.array([[0.9, 0.0], [0.1, 0.0]]))
    assert shielded.overrides == 2
    assert state.tolist() == [[0.9], [0.1]]


def test_a_policy_that_failed_where_an_episode_started_starts_anew_afterwards() -> None:
    policy = Failing(boxed(), {2})
    shielded = ShieldedPolicy(policy, Filter(box_certificate(), trusted=True))
    one = np.array([[0.3, 0.0], [0.2, 0.0]])
    _, state = shielded.predict(one, None, np.array([True, True]))
    _, state = shielded.predict(one, state, np.array([True, False]))  # fails
    assert shielded.failures == 1
    assert state.tolist() == [[0.3], [0.2]]
    action, state = shielded.predict(one / 2, state, np.array([False, False]))
    assert action[:, 0] == pytest.approx([0.1 / 4, 0.2 / 4])  # the first starts anew
    action, _ = shielded.predict(one, state, np.array([False, False]))
    assert action[:, 0] == pytest.approx([0.15 / 4, 0.1 / 4])


def test_each_episode_of_an_evaluation_has_its_own_memory_also_under_a_shield() -> None:
    task = load_task("nprl/Pendulum-v0")
    assert task.model is not None
    place = Coordinate("kick", "N m", F(-2), F(2))
    policy = controller("-5 * theta - kick", previous(place, parse("omega")), model=task.model)
    shield = Filter(load_certificate(PROVED / "pendulum.json"), trusted=True)
    together = evaluate(task, policy, range(4), shield=shield, timed=False)
    pairs = [evaluate(task, policy, (k, k + 1), shield=shield, timed=False) for k in (0, 2)]
    apart = np.concatenate([p.returns for p in pairs])
    assert together.returns.tolist() == apart.tolist()
    assert evaluate(task, policy, range(2)).us_per_step > 0
