"""Barriers that others made: proved to a certificate, refuted by a run, or left open with a reason."""

from __future__ import annotations

import json
from fractions import Fraction as F
from pathlib import Path

import pytest

from nprl.lang import exact as exactly
from nprl.lang.build import sin
from nprl.lang.terms import Clip, Num, Term, Var
from nprl.lang.text import parse
from nprl.model import Coordinate, Model
from nprl.program import program_for
from nprl.shields import exact
from nprl.shields.barrier import check_barrier
from nprl.shields.checker import Verdict, check
from nprl.shields.cli import main
from nprl.shields.cli_barrier import read_barrier
from nprl.shields.counterexample import next_state
from nprl.shields.load import load_certificate
from nprl.shields.obligations import BarrierReport, Finding

X, V, U = Var("x"), Var("v"), Var("u")
DT = F(1, 20)
QUARTIC = "(x**2 + x*v/5 + v**2)**2 <= 1/16"
PERTURBED = "(x**2 + x*v/5 + v**2)**2 - 3/10*x**3*v <= 1/16"


def pendulum(bound: F = F(15), torque: Term = U, name: str = "test/Pendulum-v0") -> Model:
    """An inverted pendulum, linear or not, safe within 1 rad, by Euler."""
    return Model(
        name=name,
        state=(Coordinate("x", "rad", F(-1), F(1)), Coordinate("v", "rad/s", F(-1), F(1))),
        action=(Coordinate("u", "N m", -bound, bound),),
        step={X: X + DT * V, V: V + DT * (2 * X + torque)},
        init={X: (F(-1, 5), F(1, 5)), V: (F(-1, 5), F(1, 5))},
        safe=(F(3, 4) >= X) & (F(-3, 4) <= X),
        dt=DT,
        integrator="Euler",
        horizon=100,
    )


def rows(text: str) -> tuple[tuple[Term, ...], ...]:
    left, right = text.replace("/", " / ").split("<=")
    return ((parse(right.strip()) - parse(left.strip()),),)


def judged(text: str, program: Term, model: Model | None = None, **k: float) -> BarrierReport:
    model = model or pendulum()
    return check_barrier(model, rows(text), program_for(model, [program]), **k)


def of(found: BarrierReport) -> dict[str, Finding]:
    return {o.kind: o.finding for o in found.obligations}


def test_a_quartic_that_is_invariant_is_proved_and_both_checkers_accept_it() -> None:
    found = judged(QUARTIC, -3 * X - 2 * V)
    assert found.finding is Finding.PROVED, found.obligations
    own = found.certificate
    assert own is not None
    assert own.shield.family == "polynomial"
    assert check(own).verdict is Verdict.VERIFIED
    assert not any(exact.check(json.dumps(own.to_json()).encode()).values())


def test_a_quartic_that_is_not_is_refuted_by_a_run_that_replays() -> None:
    found = judged(QUARTIC, -X)
    assert found.finding is Finding.REFUTED
    assert found.certificate is None
    run = found.counterexamples[0]
    assert run.kind == "trace"
    (g,) = rows(QUARTIC)[0]
    assert exactly.enclose(g, run.rows[0].state).lo >= 0
    assert exactly.enclose(g, run.rows[-1].state).hi < 0
    for now, after in zip(run.rows, run.rows[1:], strict=False):
        there = next_state(found.model, now.state, now.action, now.disturbance)
        assert all(abs(i.lo - after.state[n]) < F(1, 10**12) for n, i in there.items())


def test_a_perturbed_quartic_holds_in_part_and_fails_in_part() -> None:
    found = judged(PERTURBED, -3 * X - 2 * V)
    seen = of(found)
    assert seen["backup"] is Finding.REFUTED
    assert seen["init"] is seen["safe"] is seen["action"] is Finding.PROVED


def test_a_barrier_that_rests_on_an_input_bound_says_so() -> None:
    found = judged(QUARTIC, -3 * X - 2 * V, pendulum(F(1, 2)))
    assert found.finding is Finding.REFUTED
    assert "breaks the bounds of u" in found.notes[0]
    assert "rests on an input bound that its program breaks" in found.notes[1]


def test_a_start_outside_is_a_point() -> None:
    found = judged("(x**2 + v**2)**2 <= 1/1000", -3 * X - 2 * V)
    assert of(found)["init"] is Finding.REFUTED
    assert any(c.goal == "init" for c in found.counterexamples)


@pytest.mark.slow
def test_a_sine_and_a_clip_are_enclosed() -> None:
    model = pendulum(F(2), sin(X) / 2 + U, "test/SinePendulum-v0")
    program = Clip(-6 * X - 4 * V, Num(F(-2)), Num(F(2)))
    found = judged("x**4 + 2*x**2 + x*v/2 + v**2 <= 1/5", program, model)
    assert found.finding is Finding.PROVED, (found.obligations, found.notes)


@pytest.mark.slow
def test_a_set_of_degree_six_is_proved() -> None:
    found = judged("(x**2 + x*v/5 + v**2)**3 <= 1/64", -3 * X - 2 * V)
    assert found.finding is Finding.PROVED, found.obligations


def test_long_coefficients_are_rounded_before_they_are_proved() -> None:
    found = judged(QUARTIC.replace("1/16", "0.06249999912345678"), -3 * X - 2 * V, seconds=30)
    assert found.finding is Finding.PROVED
    assert any("rounded to 6 digits" in n for n in found.notes)


def chain(n: int) -> Model:
    """A chain of n leaky integrators, each fed by the next; the last one by the input."""
    names = [f"x{k}" for k in range(n)]
    xs = [Var(v) for v in names]
    after = [*xs[1:], U]
    return Model(
        name="test/Chain-v0",
        state=tuple(Coordinate(v, "", F(-2), F(2)) for v in names),
        action=(Coordinate("u", "", F(-1), F(1)),),
        step={x: x - F(1, 10) * x + F(1, 20) * y for x, y in zip(xs, after, strict=True)},
        init={x: (F(-1, 10), F(1, 10)) for x in xs},
        safe=(xs[0] <= 1) & (xs[0] >= -1),
    )


def test_a_ball_in_six_dimensions_is_proved_by_squares() -> None:
    model = chain(6)
    ball = Num(F(9, 10))
    for c in model.state:
        ball = ball - Var(c.name) ** 2
    program = program_for(model, [-Var("x5") / 4])
    found = check_barrier(model, ((ball,),), program)
    assert found.finding is Finding.PROVED, found.obligations
    assert found.certificate is not None
    assert found.certificate.shield.family == "ellipsoid"


def test_without_time_it_is_unknown_with_what_would_help() -> None:
    found = judged(QUARTIC, -3 * X - 2 * V, seconds=1e-6)
    assert found.finding is Finding.OPEN
    assert any("more time would help" in o.reason for o in found.obligations)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("model.json").write_text(json.dumps(pendulum().to_json()))
    Path("good.txt").write_text(f"# two coordinates\n{QUARTIC}\n".replace("**", "^"))
    return tmp_path


COMMON = ["--model", "model.json", "--barrier", "good.txt"]


def test_the_command_writes_a_certificate(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*COMMON, "--policy", "u = -3*x - 2*v", "--out", "own.json"]) == 0
    out = capsys.readouterr().out
    assert "good.txt: VERIFIED (test/Pendulum-v0" in out
    assert "is inductive under the model's step" in out
    assert "the exact checker agrees" in out
    assert "wrote own.json" in out
    assert load_certificate("own.json").shield.family == "polynomial"


def test_the_command_refutes_with_a_table_a_csv_and_a_picture(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*COMMON, "--policy=-x"]) == 1
    out = capsys.readouterr().out
    assert "good.txt: REFUTED" in out
    assert "    step              x              v              u" in out
    assert Path("good-counterexample.csv").read_text().startswith("time,x,v,u\n0,")
    assert Path("good-counterexample.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_with_json_is_one_document(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*COMMON, "--policy=-x", "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["barrier"]["finding"] == "refuted"
    assert data["exit"] == 1
    assert data["barrier"]["counterexample"].startswith("from ")


def test_a_union_is_written_with_or_or_as_lists(files: Path) -> None:
    Path("u.txt").write_text("x >= 0\nx <= 1 and v <= 1\nor\nx + v <= 1\n")
    Path("u.json").write_text('[["x >= 0", "x <= 1 and v <= 1"], ["x + v <= 1"]]')
    parts = read_barrier("u.txt", pendulum())
    assert [len(p) for p in parts] == [3, 1]
    assert read_barrier("u.json", pendulum()) == parts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x**2 + v**2", "a condition (a comparison) belongs here"),
        ("sin(x) <= 1", "no polynomial"),
        ("x <= y", "'y' is unknown; the state is x, v"),
        ("", "no inequality"),
        ("__import__('os').system('x') <= 1", "a line is a polynomial inequality"),
    ],
)
def test_a_bad_barrier_is_one_line_and_exits_2(
    text: str, message: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bad.txt").write_text(text)
    assert main(["--model", "model.json", "--barrier", "bad.txt", "--policy=-x"]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert message in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--barrier", "good.txt"], "--model MODEL and --barrier FILE go together"),
        (COMMON, "give the program that keeps the set"),
        ([*COMMON, "--policy", "u = -x; w = 1"], "one term for each of u"),
        ([*COMMON, "--policy=-x", "--cross", "cvc5"], "--cross looks at a certificate"),
        ([*COMMON, "--policy", "missing.json"], "missing.json"),
    ],
)
def test_a_wrong_command_is_one_line_and_exits_2(
    arguments: list[str], message: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert message in err
