"""Impossibility certificates: accepted by both checkers where they are right, refused where not."""

from __future__ import annotations

import copy
import json
import math
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from fractions import Fraction as F
from importlib import import_module, resources
from pathlib import Path
from typing import Any

import pytest
from losing_examples import U, W, X, attempted, claimed, drift, lost, refused

from nprl.lang.build import sqrt, where
from nprl.lang.terms import Truth, Var, variables
from nprl.model import Coordinate, Model, model_from_json
from nprl.shields import Filter, Verdict, check, load_certificate
from nprl.shields.certificate import CertificateError
from nprl.shields.cli import main
from nprl.shields.load import load_claim
from nprl.shields.losing import Impossible, losing_goals
from nprl.shields.losing_replay import bound, replay
from nprl.shields.synthesis.impossible.losing import impossible, proved

sys.path.insert(0, str(Path(__file__).parents[1]))

FOLDER = Path(str(resources.files("nprl.shields.proved")))
STATED = {
    "quadcopter": {"init"},
    "cooling": {"init"},
    "adaptive_cruise": {"action"},
    "noisy_road": {"terminal"},
}
"""The benchmarks that cannot be kept as published, with what another statement changes."""
Y, V = Var("y"), Var("v")


def shipped(stem: str) -> Impossible:
    claim = load_claim(FOLDER / f"{stem}_stated.json")
    assert isinstance(claim, Impossible)
    return claim


def redigested(data: dict[str, Any]) -> dict[str, Any]:
    data["model_digest"] = model_from_json(data["model"]).digest()
    return data


@pytest.mark.parametrize("stem", STATED)
def test_both_checkers_accept_a_published_impossibility(stem: str) -> None:
    claim = shipped(stem)
    assert check(claim).verdict is Verdict.VERIFIED
    assert refused(claim.to_json()) == (set(), set())
    assert claim.model.digest() == import_module(f"nprl.envs.{stem}").STATED.digest()


@pytest.mark.parametrize(("stem", "changed"), STATED.items())
def test_the_statement_that_can_be_kept_differs_where_it_says(stem: str, changed: set[str]) -> None:
    module = import_module(f"nprl.envs.{stem}")
    differ = {
        f.name
        for f in fields(Model)
        if getattr(module.MODEL, f.name) != getattr(module.STATED, f.name)
    }
    assert differ == changed | {"name", "notes"}
    assert module.STATED.name.removeprefix("nprl/").removesuffix("Stated-v0") in module.MODEL.name


# --- what is refused -------------------------------------------------------------------------------


def without_row(data: dict[str, Any]) -> None:
    data["losing"][0]["rows"].pop(0)  # x0 >= -0.9: then the end of the episode is in L


def of_model(**changes: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        data["model"] |= changes
        redigested(data)

    return change


def of_part(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data["losing"][0].update(changes)


FULL = {"name": "u0", "unit": "m/s^2", "low": "-4", "high": "2"}
FAULTS: dict[str, Callable[[dict[str, Any]], None]] = {
    "a rank that rises": of_part(rank=["*", "1000", "x0"]),
    "a rank that falls too little": of_part(rank=["*", "-999", "x0"]),
    "a decrease of 0": lambda data: data.update(decrease="0"),
    "a negative decrease": lambda data: data.update(decrease="-1"),
    "a decrease that is too much": lambda data: data.update(decrease="1001/1000"),
    "no part": lambda data: data.update(losing=[]),
    "a terminal state in L": without_row,
    "a row dropped": lambda data: data["losing"][0]["rows"].pop(1),
    "another row": of_part(rows=[["+", "x0", "9/10"], ["+", "x1", "1/10"]]),
    "a disturbance outside its bounds": of_part(disturbance={"lead": "-4"}),
    "a disturbance that helps": of_part(disturbance={"lead": "2"}),
    "no disturbance": of_part(disturbance={}),
    "a disturbance of another name": of_part(disturbance={"lead": "-3", "wind": "0"}),
    "a disturbance that sees itself": of_part(disturbance={"lead": "lead"}),
    "a rank that sees the action": of_part(rank=["+", ["*", "-1000", "x0"], "u0"]),
    "a start outside the initial box": lambda data: data["witness"]["init"].update(x0="-1/2"),
    "a start outside L": lambda data: data["witness"]["init"].update(x1="0"),
    "no start": lambda data: data["witness"]["init"].pop("x1"),
    "stronger brakes": of_model(action=[FULL]),
    "another digest": lambda data: data["model"].update(horizon=7),
    "an earlier end": of_model(terminal=["<=", "x0", "-1/2"]),
    "everything safe": of_model(safe=["true"]),
    "everything terminal": of_model(terminal=["true"]),
    "a lead that never brakes": of_model(
        disturbance=[{"name": "lead", "unit": "m/s^2", "low": "0", "high": "2"}]
    ),
    "a goal too many": lambda data: data["proofs"].update({"losing/1/0/0": ["leaf", []]}),
    "a key too many": lambda data: data.update(shield={}),
    "another version": lambda data: data.update(semantics="2"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_claim_is_refused_by_both(fault: str) -> None:
    """With the proofs as they stood, and with those that can be found for what was made of it."""
    data = copy.deepcopy(shipped("adaptive_cruise").to_json())
    FAULTS[fault](data)
    ours, theirs = refused(data)
    assert ours
    assert theirs
    if "file" not in ours and fault != "a goal too many":
        claim = attempted(replace(_read(data), proofs={}))
        ours, theirs = refused(claim.to_json())
        assert ours == theirs != set()


def _read(data: dict[str, Any]) -> Impossible:
    from nprl.shields.load import claim_from_json

    claim = claim_from_json(data)
    assert isinstance(claim, Impossible)
    return claim


def test_closing_an_open_safe_set_makes_the_claim_false() -> None:
    """From (-0.5, -0.5) the next x0 is -1 exactly: outside the open set, inside the closed one."""
    data = copy.deepcopy(shipped("quadcopter").to_json())
    data["model"]["safe"] = json.loads(
        json.dumps(data["model"]["safe"]).replace('"<"', '"<="').replace('">"', '">="')
    )
    claim = attempted(replace(_read(redigested(data)), proofs={}))
    assert refused(claim.to_json()) == ({"losing/0/0/0"}, {"losing/0/0/0"})
    assert impossible(claim.model, 10) is None


def test_an_unsafe_start_on_a_closed_boundary_is_none() -> None:
    data = copy.deepcopy(shipped("cooling").to_json())
    data["model"]["safe"] = json.loads(json.dumps(data["model"]["safe"]).replace('"<"', '"<="'))
    claim = attempted(replace(_read(redigested(data)), proofs={}))
    assert refused(claim.to_json()) == ({"losing/0/0/0"}, {"losing/0/0/0"})


# --- each goal is needed ---------------------------------------------------------------------------

ONLY: dict[str, Callable[[], Impossible]] = {
    "witness/init": lambda: claimed(drift(), start=F(1)),
    "live/0/0": lambda: claimed(drift(), rows=(X + 2,)),
    "rank/0/0": lambda: claimed(drift(), rank=-1 - X),
    "strategy/0/0/0": lambda: claimed(drift(), wind=F(2, 5)),
    "losing/0/0/0": lambda: claimed(drift(), wind=F(0)),
}


def test_the_unbroken_claim_is_accepted() -> None:
    assert refused(attempted(claimed(drift())).to_json()) == (set(), set())
    assert set(losing_goals(lost())) | {"witness/init"} == set(ONLY)


@pytest.mark.parametrize("goal", ONLY)
def test_without_this_goal_a_false_claim_would_get_through(goal: str) -> None:
    assert refused(attempted(ONLY[goal]()).to_json()) == ({goal}, {goal})


@pytest.mark.parametrize("goal", sorted(losing_goals(lost())))
def test_a_missing_proof_is_no_proof(goal: str) -> None:
    data = copy.deepcopy(lost().to_json())
    del data["proofs"][goal]
    assert refused(data) == ({goal}, {goal})


# --- what the goals mean ---------------------------------------------------------------------------


def pair(step: dict[Any, Any], **changes: Any) -> Model:
    """A point with a speed, which brakes by a quarter at each step."""
    model = Model(
        name="test/Pair-v0",
        state=(Coordinate("x", "m", F(-4), F(4)), Coordinate("v", "m", F(-4), F(4))),
        action=(Coordinate("u", "m", F(-1, 4), F(1, 4)),),
        step=step,
        init={X: (F(0), F(0)), V: (F(0), F(3, 4))},
        safe=X <= 1,
    )
    return replace(model, **changes) if changes else model


def test_half_spaces_are_pulled_back_step_by_step_and_each_part_is_needed() -> None:
    """At a speed of 3/4 braking ends at 5/4; after one step at 3/4, which is safe."""
    claim = impossible(pair({X: X + V, V: V + U}), 30)
    assert claim is not None
    assert [str(p.rank) for p in claim.losing] == ["0", "1"]
    assert claim.witness["init"] == {"x": 0, "v": F(3, 4)}
    assert refused(claim.to_json()) == (set(), set())
    assert bound(claim) == 2
    assert all(run.left and run.steps <= 2 and run.fault is None for run in replay(claim))
    data = copy.deepcopy(claim.to_json())
    del data["losing"][0]
    shorter = attempted(replace(_read(data), proofs={}))
    assert refused(shorter.to_json()) == ({"losing/0/0/0"}, {"losing/0/0/0"})


def test_a_claim_holds_for_every_choice() -> None:
    def model(*choices: int) -> Model:
        options = tuple((F(c),) for c in choices)
        return drift(
            action=(Coordinate("u", "m", F(-2), F(2)),), choices=options, step={X: X + U},
            disturbance=(), terminal=Truth(False),
        )  # fmt: skip

    claim = impossible(model(1, 2), 30)
    assert claim is not None
    assert {g for g in losing_goals(claim) if g.startswith("losing/0")} == {
        "losing/0/0/0",
        "losing/0/0/1",
    }
    assert refused(claim.to_json()) == (set(), set())
    more = attempted(replace(claim, model=model(1, 2, -1), proofs={}))
    failed = {g for g in losing_goals(more) if g.startswith("losing/") and g.endswith("/2")}
    assert refused(more.to_json()) == (failed, failed)
    assert impossible(model(1, 2, -1), 10) is None


def test_a_model_without_actions_is_lost_or_not() -> None:
    lonely = {"action": (), "disturbance": (), "terminal": Truth(False)}
    grows = drift(step={X: 2 * X}, init={X: (F(1, 2), F(1, 2))}, **lonely)
    claim = impossible(grows, 30)
    assert claim is not None
    assert refused(claim.to_json()) == (set(), set())
    assert impossible(drift(step={X: X / 2}, **lonely), 10) is None


def test_guards_are_exact() -> None:
    """Above 0 the model drifts up, else down: no tolerance blurs that, however near L comes."""
    near = F(1, 2**16)

    def model(edge: F) -> Model:
        step = {X: where(edge <= X, X + F(1, 10), X - F(1, 10)) + 0 * U}
        return drift(step=step, disturbance=(), terminal=Truth(False))

    claim = proved(claimed(model(F(0)), rows=(X - near,), start=F(1, 2)))
    names = {n for s in losing_goals(claim).values() for t in s.premises for n in variables(t)}
    assert names == {"x", "u"}  # no t:plant0, no e:x: nothing is rounded
    assert refused(claim.to_json()) == (set(), set())
    blurred = attempted(claimed(model(2 * near), rows=(X - near,), start=F(1, 2)))
    assert refused(blurred.to_json()) == ({"losing/0/0/0"}, {"losing/0/0/0"})


def test_a_disturbance_may_answer_the_action() -> None:
    """It multiplies the input here: what it should be depends on the input's sign."""
    model = drift(step={X: X + U * W + (1 - U * U) / 5}, terminal=Truth(False))
    deaf = attempted(claimed(model))
    assert refused(deaf.to_json()) == ({"losing/0/0/0"}, {"losing/0/0/0"})
    answers = proved(claimed(model, wind=where(U >= 0, F(1, 5), F(-1, 5))))
    assert refused(answers.to_json()) == (set(), set())


def test_quotients_and_roots_need_their_side_conditions() -> None:
    base = drift(step={X: X + U}, disturbance=(), terminal=Truth(False))
    pushes = proved(claimed(replace(base, step={X: X + 1 / (1 + X * X) + 0 * U}), decrease=F(1, 2)))
    assert refused(pushes.to_json()) == (set(), set())
    rooted = proved(claimed(replace(base, step={X: X + F(1, 10) + sqrt(X) + 0 * U})))
    assert refused(rooted.to_json()) == (set(), set())
    divided = attempted(claimed(replace(base, step={X: X + 1 / X + 0 * U})))
    assert refused(divided.to_json()) == ({"losing/0/0/0"}, {"losing/0/0/0"})


def test_nothing_is_lost_where_everything_is_safe_and_all_where_nothing_is() -> None:
    safe = attempted(claimed(drift(safe=Truth(True))))
    assert refused(safe.to_json()) == ({"rank/0/0"}, {"rank/0/0"})
    unsafe = proved(claimed(drift(safe=Truth(False))))
    assert refused(unsafe.to_json()) == (set(), set())
    assert bound(unsafe) == 0


def test_an_alternative_of_the_safe_set_is_a_case_of_its_own() -> None:
    """Safe below 1, and again from 5 to 6: the wind drives a ship through both."""
    islands = (X <= 1) | ((X >= 5) & (X <= 6))
    two = drift(safe=islands, step={X: X + U * F(1, 10) + 10 * W}, terminal=Truth(False))
    claim = attempted(claimed(two, rank=7 - X))
    assert {"rank/0/0", "rank/0/1", "losing/0/1/0"} <= set(losing_goals(claim))
    assert refused(claim.to_json()) == (set(), set())
    short = attempted(claimed(two, rank=4 - X))
    assert refused(short.to_json()) == ({"rank/0/1"}, {"rank/0/1"})


# --- the producer ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stem", STATED)
def test_the_producer_finds_the_published_impossibilities_again(stem: str) -> None:
    claim = impossible(import_module(f"nprl.envs.{stem}").STATED, 60)
    assert claim is not None
    assert claim.to_json() == shipped(stem).to_json()


@pytest.mark.parametrize(
    "module",
    ["pendulum", "satellite", "quadcopter", "adaptive_cruise", "noisy_road", "pendulum_v1"],
)
def test_what_can_be_kept_never_gets_a_certificate(module: str) -> None:
    assert impossible(import_module(f"nprl.envs.{module}").MODEL, 10) is None


def test_a_model_that_is_kept_gets_none_whatever_its_form() -> None:
    weak = drift(disturbance=(Coordinate("w", "m", F(-1, 10), F(1, 10)),))
    assert impossible(weak, 10) is None
    assert (
        impossible(pair({X: X + V, V: V + U}, init={X: (F(0), F(0)), V: (F(0), F(1, 2))}), 10)
        is None
    )


# --- replay, and the command -----------------------------------------------------------------------


def test_the_replay_ends_outside_the_safe_set_as_soon_as_the_theorem_says() -> None:
    claim = shipped("adaptive_cruise")
    assert bound(claim) == 901
    runs = {run.inputs: run for run in replay(claim)}
    braking = runs["held at u0 = -3.0"]
    assert (braking.left, braking.steps, braking.fault) == (True, 900, None)
    assert braking.moments[-1].state == {"x0": 0, "x1": F(1, 10)}
    assert braking.moments[1].disturbance == {"lead": -3}
    greedy = runs["chosen to keep the rank high"]
    assert (greedy.left, greedy.steps) == (True, 900)


def test_the_replay_of_a_false_claim_speaks_against_it() -> None:
    held = replay(claimed(drift(), wind=F(0)))
    assert {run.fault.goal for run in held if run.fault} == {"losing"}
    assert replay(claimed(drift(), start=F(-1, 2))) == ()
    late = replay(claimed(drift(), rank=(1 - X) / 10))
    assert {run.fault.goal for run in late if run.fault} >= {"losing"}
    outside = replay(claimed(drift(), wind=F(1)))
    assert {run.fault.goal for run in outside if run.fault} == {"strategy"}
    ended = replay(claimed(drift(terminal=F(1, 2) >= X)))
    assert {run.fault.goal for run in ended if run.fault} == {"live"}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    return lost().save(tmp_path / "drift.json")


def test_the_command_says_that_it_is_impossible(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(file), "--exact", "--explain"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{file}: IMPOSSIBLE: verified (test/Drift-v0, ")
    assert "the exact checker agrees: 5 of 5 goals proved by both" in out
    assert (
        f"""\
Theorem for test/Drift-v0 (model {drift().digest()[:16]}), in real arithmetic, without rounding:
  from the initial state x = 0.0
  no controller, whatever it has seen and remembers, with actions u in [-1, 1] m,
  keeps the state in S: a disturbance (w in [-0.2, 0.2] m, chosen anew at each step, after the action)
  makes it leave S within 11 steps.
  S, closed as stated: x <= 1
"""
        in out
    )
    assert (
        """\
  held at u = -1.0: outside S at step 11: x = 1.1
  held at u = 1.0: outside S at step 4: x = 1.2
  chosen to keep the rank high: outside S at step 11: x = 1.1
    step    x   u    w
       0    0  -1  0.2
       1  0.1  -1  0.2
       2  0.2  -1  0.2
     ...
       9  0.9  -1  0.2
      10    1  -1  0.2
      11  1.1
"""
        in out
    )
    assert "the disturbance that answers an action is within its bounds" in out


def test_the_command_writes_json_and_the_trace(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(file), "--json", "--csv", "trace.csv"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["exit"] == 0
    (found,) = data["certificates"]
    assert (found["outcome"], found["verdict"], found["claim"]) == (
        "proved",
        "verified",
        "impossible",
    )
    assert (found["family"], found["steps"], len(found["replay"])) == (None, 11, 3)
    assert found["replay"][0] == {
        "inputs": "held at u = -1.0", "steps": 11, "left": True, "end": {"x": "11/10"},
    }  # fmt: skip
    lines = Path("trace.csv").read_text().splitlines()
    assert lines[0] == "time,x,u,w"
    assert len(lines) == 13


def test_a_program_cannot_be_asked_about(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(file), "--policy", "any.txt"]) == 2
    assert "--policy takes the certificate of a shield" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("claim", "code", "said"),
    [
        (replace(lost(), proofs={}), 3, "there is no proof object"),
        (
            claimed(drift(), wind=F(0)),
            1,
            "REFUTED, confirmed exactly: a next state is safe, and in no",
        ),
        (claimed(drift(), start=F(1)), 3, "the point given is no initial state in L"),
        (claimed(drift(), start=F(-1)), 1, "the point given is no initial state in L"),
    ],
)
def test_what_is_not_proved_is_said(
    claim: Impossible, code: int, said: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(claim.save(file.with_name("other.json")))]) == code
    assert said in capsys.readouterr().out


def test_nothing_runs_with_a_proof_that_nothing_can(file: Path) -> None:
    with pytest.raises(CertificateError, match="proves that no shield can keep test/Drift-v0"):
        load_certificate(file)
    with pytest.raises(CertificateError, match="a certificate of a shield is needed"):
        Filter.from_file(file)


def test_the_bound_is_finite_and_exact_where_the_rank_is() -> None:
    assert bound(shipped("quadcopter")) == 1
    assert bound(shipped("cooling")) == 0
    most = bound(shipped("noisy_road"))
    assert most is not None
    assert 7.6e5 < most < math.inf


def test_the_experiment_writes_what_it_finds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from experiments import prove as command

    out = tmp_path / "q.json"
    assert command.main(["--env", "nprl/QuadcopterStated-v0", "--out", str(out)]) == 0
    assert "impossible" in capsys.readouterr().out
    assert out.read_bytes() == (FOLDER / "quadcopter_stated.json").read_bytes()
    assert command.main(["--env", "nprl/Nothing-v0"]) == 2
