"""`shield-check` as its users meet it: exit codes, texts, JSON, files, and bad input."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import z3
from checked_examples import X, broken, cart, proved

from nprl.program import program_for
from nprl.shields import cli_run, exact
from nprl.shields.cli import main
from nprl.shields.cli_report import Outcome, agreement, exit_code
from nprl.shields.words import kernel_lines, openness, theorem

THEOREM = """\
Theorem for test/Cart-v0 (model {digest}):
  for every initial state: x in [-0.5, 0.5] m;
  every disturbance: w in [-0.01, 0.01] m, chosen anew at each step, after the action;
  every policy, for ever, with the shield in charge:
  at each sampling instant (every 0.1 s) the state is in I, hence in S.
  S, closed as stated: x <= 1 and x >= -1
  I, closed: polytope, 2 rows
  actions: u in [-1, 1] m/s
  plant: next state stored as float64, computed in float64, actions scaled from [-1, 1]; \
the next state is off the model's real value by at most
    x: 2.9e-15
  integrator: Euler; provenance of the model: exact
Not proved: what happens between sampling instants; that the plant is this model; starts
  or disturbances outside the stated sets; hardware, operating system, Python, Z3."""

GOALS = """\
  domain               proved      0 leaves  domain
  witness/init         proved      0 leaves  exact
  witness/invariant    proved      0 leaves  exact
  witness/action       proved      0 leaves  exact
  witness/disturbance  proved      0 leaves  exact
  witness/test         proved      0 leaves  exact
  init                 proved      1 leaves  linear
  safe/0/0             proved      1 leaves  linear
  safe/0/1             proved      1 leaves  linear
  ranges/0             proved      1 leaves  linear
  action/0             proved      1 leaves  linear
  backup/0/0           proved      1 leaves  linear
  test/0               proved      1 leaves  linear
"""


@pytest.fixture
def good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A proved certificate in a folder of its own, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    return proved().save(tmp_path / "cart.json")


def changed(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The certificate with a change to its JSON, in another file."""
    data = json.loads(path.read_text())
    change(data)
    other = path.with_name("changed.json")
    other.write_text(json.dumps(data))
    return other


def test_a_proved_certificate_exits_0_and_prints_goals_and_theorem(
    good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(good)]) == 0
    out, err = capsys.readouterr()
    assert re.sub(r"  +[0-9.]+ s(?=  )", "", out).count(GOALS) == 1
    digest = cart().digest()[:16]
    assert re.sub(r"x: [0-9.e-]+\n", "x: 2.9e-15\n", THEOREM.format(digest=digest)) in re.sub(
        r"x: [0-9.e-]+\n", "x: 2.9e-15\n", out
    )
    assert out.startswith(f"{good}: VERIFIED (test/Cart-v0, ")
    assert out.splitlines()[-1] == f"repeat: shield-check {good}"
    assert "\033" not in out
    assert err == ""


def test_a_refuted_certificate_exits_1_and_writes_the_counterexample(
    good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = broken()["the wrong sign"][0].save(good.with_name("bad.json"))
    assert main([str(bad), "--csv", "found/it.csv"]) == 1
    out = capsys.readouterr().out
    assert f"{bad}: FALSIFIED" in out
    assert "REFUTED, confirmed exactly: the backup's action leads out of the invariant" in out
    assert "wrote found/it.csv: counterexample to theorem" in out
    lines = Path("found/it.csv").read_text().splitlines()
    assert lines[0] == "time,x,u,w"
    assert abs(float(lines[-1].split(",")[1])) > 1


def test_a_certificate_without_proofs_is_neither_proved_nor_refuted(
    good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = replace(proved(), proofs={}).save(good.with_name("bare.json"))
    assert main([str(file)]) == 3
    out = capsys.readouterr().out
    assert f"{file}: UNKNOWN" in out
    assert "there is no proof object" in out
    assert "neither safe nor unsafe" in out
    assert not list(good.parent.glob("*.csv"))


def test_one_missing_proof_is_enough_for_exit_3(good: Path) -> None:
    file = changed(good, lambda d: d["proofs"].pop("test/0"))
    assert main([str(file), "--quiet"]) == 3


def test_no_time_means_not_proved(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(good), "--timeout", "1e-9"]) == 3
    assert "the time limit is over" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([Outcome.PROVED], 0),
        ([Outcome.PROVED, Outcome.REFUTED, Outcome.NOT_PROVED], 1),
        ([Outcome.REFUTED, Outcome.BAD_INPUT], 2),
        ([Outcome.NOT_PROVED, Outcome.PROVED], 3),
        ([], 2),
    ],
)
def test_one_function_derives_the_exit_code(outcomes: list[Outcome], code: int) -> None:
    assert exit_code(outcomes) == code


def test_the_exact_checker_agrees(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(good), "--exact"]) == 0
    assert "the exact checker agrees: 13 of 13 goals proved by both" in capsys.readouterr().out


def test_a_disagreement_of_the_checkers_is_not_verified(
    good: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = exact.check(good.read_bytes())
    monkeypatch.setattr(exact, "check", lambda data: {**right, "init": "no"})
    assert main([str(good), "--exact"]) == 3
    assert "THE EXACT CHECKER DIFFERS on init (no): not verified" in capsys.readouterr().out


def test_a_goal_that_the_exact_checker_misses_is_a_difference() -> None:
    from nprl.shields.checker import GoalResult, Report

    report = Report((GoalResult("init", True, "", (), 1, 0.0),), "Z3")
    assert "DIFFERS on init" in agreement(report, {})


def test_json_is_one_document_with_the_exit_code(
    good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = broken()["the wrong sign"][0].save(good.with_name("bad.json"))
    assert main([str(good), str(bad), "--json", "--exact"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["format"] == "nprl-shield-check/1"
    assert data["exit"] == 1
    first, second = data["certificates"]
    assert first["verdict"] == "verified"
    assert second["verdict"] == "falsified"
    assert first["model_digest"] == cart().digest()
    assert {g["goal"] for g in first["goals"]} == set(first["exact"])
    assert first["theorem"] == theorem(proved())
    assert second["theorem"] is None
    assert {c["goal"] for c in second["counterexamples"]} >= {"backup/0/0", "theorem"}


def test_smtlib_writes_queries_that_are_unsatisfiable(
    good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(good), "--smtlib", "queries"]) == 0
    files = sorted(Path("queries").glob("*.smt2"))
    assert len(files) == 12
    for file in files:
        assert file.read_text().startswith("(set-logic QF_LRA)")
        solver = z3.Solver()
        solver.from_file(str(file))
        assert solver.check() == z3.unsat
    out = capsys.readouterr().out
    assert f"wrote queries: {len(files)} queries, each must be unsat" in out
    assert 'check with cvc5: for f in queries/*.smt2; do cvc5 "$f"; done | sort | uniq -c' in out


def test_explain_says_what_is_trusted(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(good), "--explain"]) == 0
    out = capsys.readouterr().out
    modules, lines = kernel_lines()
    assert f"the kernel: {modules} modules, {lines} lines" in out
    assert "1 - x >= 0" in out
    assert "backup: u = -x" in out
    assert "test: an action that passes the float64 test leads into I" in out
    assert "none: every leaf is an identity of polynomials" in out


def test_quiet_prints_one_line(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(good), "--quiet"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2  # and how to repeat it


def test_a_program_that_is_safe_alone_exits_0(
    good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = program_for(cart(), [-X]).save("minus.json")
    assert main([str(good), "--policy", str(program)]) == 0
    out = capsys.readouterr().out
    assert "minus.json alone: CERTIFIED" in out
    assert "policy/0/0  proved" in out
    assert "the shield acts in 0 of 20000 states" in out


def test_a_program_that_needs_its_shield_exits_1_with_a_csv(
    good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = program_for(cart(), [X]).save("plus.json")
    assert main([str(good), "--policy", str(program.with_suffix(".txt")), "--json"]) == 1
    data = json.loads(capsys.readouterr().out)["certificates"][0]
    assert data["verdict"] == "verified"
    assert data["policy"]["outcome"] == "needs the shield"
    assert data["policy"]["share_overridden"]["acted"] > 0
    assert Path("cart-counterexample.csv").exists()


def test_the_certificate_of_a_program_s_own_invariant_is_a_certificate(
    good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = program_for(cart(), [X**3 - X]).save("cubic.json")
    assert main([str(good), "--policy", str(program), "--out", "own.json"]) == 0
    assert "wrote own.json: certificate of the program's own invariant" in capsys.readouterr().out
    assert main(["own.json", "--exact", "--quiet"]) == 0


def test_a_program_is_not_looked_at_without_a_proof(good: Path) -> None:
    program = program_for(cart(), [-X]).save("minus.json")
    file = changed(good, lambda d: d["proofs"].pop("test/0"))
    assert main([str(file), "--policy", str(program), "--quiet"]) == 3


def _numbers(value: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        data["rounding"]["guard"] = value

    return change


def _nested(data: dict[str, Any]) -> None:
    term: Any = "x"
    for _ in range(450):
        term = ["neg", term]
    data["shield"]["backup"] = [term]


BAD = {
    "a float": (_numbers(0.5), "an exact number"),
    "a bool": (_numbers(True), "an exact number"),
    "no lowest terms": (_numbers("2/4"), "lowest terms"),
    "another version": (lambda d: d.update(format="nprl-certificate/2"), "prove it again"),
    "another semantics": (lambda d: d.update(semantics="2"), "prove it again"),
    "another model": (lambda d: d["model"].update(horizon=101), "model_digest does not fit"),
    "an unknown key": (lambda d: d.update(verdict="verified"), "unknown key"),
    "a missing key": (lambda d: d.pop("witness"), "misses 'witness'"),
    "a huge number": (_numbers("1" * 401), "400 digits"),
    "deep nesting": (_nested, "levels"),
    "a power bomb": (
        lambda d: d["shield"].update(backup=[["**", ["**", "x", 10**6], 10**6]]),
        "exponent",
    ),
    "a name that is code": (
        lambda d: d["shield"].update(backup=["__import__('os').system('touch hit')"]),
        "name",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_certificates_are_one_line_and_exit_2(
    fault: str, good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, message = BAD[fault]
    file = changed(good, change)
    assert main([str(file)]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert err.startswith(f"shield-check: {file}: ")
    assert message in err
    assert not Path("hit").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello", "not JSON"),
        ("", "not JSON"),
        ('{"format": 1, "format": 2}', "stands twice"),
        ('{"format": NaN}', "NaN is no number"),
        ("[" * 100_000, "nested deeper"),
        ("[]", "an object belongs here"),
        ('{"format": 1e999}', "too large"),
    ],
)
def test_files_that_are_no_certificates_exit_2(
    text: str, message: str, good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bad.json").write_text(text)
    assert main(["bad.json"]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert message in err


def test_a_truncated_certificate_exits_2(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("half.json").write_bytes(good.read_bytes()[:-40])
    assert main(["half.json"]) == 2
    assert "not JSON" in capsys.readouterr().err


def test_a_missing_file_exits_2(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nowhere.json", str(good)]) == 2
    out, err = capsys.readouterr()
    assert err == "shield-check: nowhere.json: No such file or directory\n"
    assert f"{good}: VERIFIED" in out


@pytest.mark.parametrize(
    "source",
    [
        "import os; os.system('touch hit')",
        "nprl-program 1\nu = __import__('os').system('touch hit')",
        "nprl-program 1\ninput x [m]\noutput u [m/s] in -1 .. 1\nu = x.__class__",
    ],
)
def test_a_program_that_tries_to_execute_code_exits_2(
    source: str, good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("evil.txt").write_text(source)
    assert main([str(good), "--policy", "evil.txt"]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert "evil.txt" in err
    assert not Path("hit").exists()


def test_a_pickle_is_no_program(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("evil.json").write_bytes(b"cos\nsystem\n(S'touch hit'\ntR.")
    assert main([str(good), "--policy", "evil.json"]) == 2
    assert "not JSON" in capsys.readouterr().err
    assert not Path("hit").exists()


def test_a_program_for_another_model_exits_2(
    good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from nprl.envs.pendulum import MODEL
    from nprl.lang.terms import Var

    program = program_for(MODEL, [-Var("theta")]).save("pendulum.json")
    assert main([str(good), "--policy", str(program)]) == 2
    assert "the program reads ['theta', 'omega']; test/Cart-v0 shows ['x']" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: CERTIFICATE"),
        (["cart.json", "--pol", "p"], "unrecognized arguments"),
        (["cart.json", "--timeout", "-1"], "positive number"),
        (["cart.json", "--timeout", "nan"], "positive number"),
        (["cart.json", "cart.json", "--policy", "p.json"], "takes one certificate"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exits_2(
    arguments: list[str], message: str, good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert message in err


def test_an_unwritable_folder_is_one_line(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("")
    assert main([str(good), "--smtlib", "file/queries"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_an_interruption_exits_130(
    good: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli_run, "check", interrupted)
    assert main([str(good)]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_failure_of_the_checker_is_not_proved(
    good: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr(cli_run, "check", fails)
    assert main([str(good)]) == 3
    assert "not proved: RecursionError: too deep" in capsys.readouterr().err


def test_help_exits_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "2 bad input" in " ".join(capsys.readouterr().out.split())


def test_the_safe_set_is_never_closed_silently() -> None:
    assert openness(cart()) == "closed as stated"
    assert openness(cart(safe=(X < 1) & (X > -1))) == "open as stated"
    assert openness(cart(safe=(X < 1) & (X >= -1))) == "partly open as stated"


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """`shield-check` in a process of its own."""
    command = [sys.executable, "-m", "nprl.shields.cli", *arguments]
    return subprocess.run(
        command, text=True, timeout=120, check=False, **{"capture_output": True, **options}
    )


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["cart.json", "--bogus"],
        ["cart.json", "--timeout", "0"],
        ["cart.json", "--timeout", "soon"],
        ["cart.json", "cart.json", "--policy", "p.txt"],
        ["cart.json", "--smtlib", "file"],
        ["cart.json", "--smtlib", "file/queries"],
        ["nowhere.json"],
        ["file"],
        ["."],
    ],
)
def test_with_json_bad_input_is_a_document_too(
    arguments: list[str], good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").write_text("")
    assert main(["--json", *arguments]) == 2
    out, err = capsys.readouterr()
    data = json.loads(out)
    assert data["exit"] == 2
    assert len(err.splitlines()) == 1
    told = data["error"] or data["certificates"][0]["error"]
    assert err == f"shield-check: {told}\n"


def test_an_interruption_with_json_is_a_document_too(
    good: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli_run, "check", interrupted)
    assert main([str(good), "--json"]) == 130
    assert json.loads(capsys.readouterr().out)["exit"] == 130


def test_what_nobody_expected_is_not_called_refuted(
    good: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(cli_run, "check", fails)
    assert main([str(good)]) == 3
    assert capsys.readouterr().err == "shield-check: not proved: RuntimeError: a bug\n"


@pytest.mark.parametrize("text", ["x\nall.json: VERIFIED (ok)", "\x1b[2Jx", "\ud800", "\u202ex"])
def test_the_free_text_of_a_file_cannot_forge_the_report(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = cart(name=text, notes=text, integrator=text, provenance=text)
    state = tuple(replace(c, unit=text) for c in model.state)
    shield = replace(proved().shield, family=text)
    certificate = replace(proved(), model=replace(model, state=state), shield=shield)
    file = certificate.save("cart.json")
    done = run(str(file), "--explain")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line for line in done.stdout.splitlines() if "VERIFIED" in line[:25]] == [
        done.stdout.splitlines()[0]
    ]
    assert all(c.isprintable() for c in done.stdout.replace("\n", ""))


def test_the_exit_code_does_not_depend_on_a_reader(good: Path) -> None:
    command = f"{shlex.quote(sys.executable)} -m nprl.shields.cli cart.json cart.json"
    for script in (f'{command} | head -1; exit "${{PIPESTATUS[0]}}"', f"{command} >&-"):
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_full_disk_is_one_line_and_exits_2(flags: list[str], good: Path) -> None:
    with open("/dev/full", "w") as full:
        done = run(str(good), *flags, stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_ctrl_c_exits_130_with_one_line_wherever_it_comes(good: Path) -> None:
    for delay in (0.25, 0.4, 0.6):
        command = [sys.executable, "-m", "nprl.shields.cli", *["cart.json"] * 40]
        with subprocess.Popen(command, text=True, stdout=-1, stderr=-1) as process:
            time.sleep(delay)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        assert err == "shield-check: interrupted; what is above stands\n"
        # a shell says 130 to both: where `exec` was broken off, as in the making of a dataclass,
        # CPython ends by the signal itself, whatever the exit code
        assert process.returncode in (130, -signal.SIGINT)


def test_files_of_one_name_leave_files_of_their_own(good: Path) -> None:
    Path("other").mkdir()
    again = str(Path("other", good.name))
    Path(again).write_bytes(good.read_bytes())
    assert main([str(good), again, "--smtlib", "queries", "--quiet"]) == 0
    names = sorted(p.name for p in Path("queries").iterdir())
    assert len([n for n in names if n.startswith("cart-2-")]) == len(names) / 2


def test_a_file_that_cannot_be_written_takes_nothing_from_the_report(
    good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").write_text("")
    bad = broken()["the wrong sign"][0].save("broken.json")
    assert main([str(bad), "--csv", "file/x.csv"]) == 2
    out, err = capsys.readouterr()
    assert "FALSIFIED" in out
    assert "REFUTED, confirmed exactly" in out
    assert err.startswith("shield-check: file/x.csv: cannot be written (")
    assert len(err.splitlines()) == 1


def test_an_endless_file_is_refused(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(good), "--policy", "/dev/zero"]) == 2
    assert "at most" in capsys.readouterr().err


def test_a_long_line_of_a_program_is_not_repeated_whole(
    good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("deep.txt").write_text(f"nprl-program 1\nu = {'(' * 10_000}x\n")
    assert main([str(good), "--policy", "deep.txt"]) == 2
    assert len(capsys.readouterr().err) < 400
