"""A search's limit is hard: what hangs inside a solver is killed, and nothing is left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import pytest

from nprl.lang.terms import Var
from nprl.model import Coordinate, Model
from nprl.shields.synthesis import synthesize as module
from nprl.shields.synthesis.synthesize import Attempt, impossible, synthesize

X, U = Var("x"), Var("u")
MODEL = Model(
    name="limits/line",
    state=(Coordinate("x", "m", Fraction(-1), Fraction(1)),),
    action=(Coordinate("u", "m", Fraction(-1), Fraction(1)),),
    step={"x": X + U / 10},
    init={"x": (Fraction(-1, 10), Fraction(1, 10))},
    safe=(X >= -1) & (X <= 1),
    reward=-X,
    unsafe_reward=Fraction(-1),
    horizon=10,
)
HANGING = """
import ctypes, os
from nprl.shields.synthesis.worker import serve

def answer(asked, say):
    with open(os.environ["PID_FILE"], "w") as file:
        file.write(str(os.getpid()))
    say("tried", ["ellipsoid", "ellipsoid", 0.5, "the program has no solution"])
    say("say", "backup/0/0")
    ctypes.PyDLL(None).sleep(600)  # in C, and no other thread gets a turn

serve(answer)
"""
LINUX = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


@pytest.fixture
def pid_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a worker that hangs writes its number; such a worker is used."""
    (tmp_path / "hanging_worker.py").write_text(HANGING)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(module, "WORKER", "hanging_worker")
    monkeypatch.setattr(module, "GRACE", 0.2)
    monkeypatch.setenv("PID_FILE", str(tmp_path / "pid"))
    return tmp_path / "pid"


def gone(file: Path) -> bool:
    """Whether the process ended, or ends within some seconds."""
    for _ in range(200):
        try:
            state = Path(f"/proc/{file.read_text()}/stat").read_text().rpartition(")")[2]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state.split()[0] == "Z":  # it ended, and nobody asked how
            return True
        time.sleep(0.05)
    return False


@LINUX
def test_a_search_that_hangs_in_a_solver_is_killed_and_says_what_it_had_tried(
    pid_file: Path,
) -> None:
    outcome = synthesize(MODEL, 0.3)
    assert outcome.certificate is None
    assert outcome.tried == (Attempt("ellipsoid", "ellipsoid", 0.5, "the program has no solution"),)
    assert "did not end within 0.3 s and was killed; it was last at: backup/0/0" in outcome.reason
    assert gone(pid_file)


@LINUX
def test_a_proof_of_impossibility_that_hangs_is_killed(pid_file: Path) -> None:
    assert impossible(MODEL, 0.1) is None
    assert gone(pid_file)


@LINUX
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_search_leaves_no_process(pid_file: Path, how: signal.Signals) -> None:
    code = """
import signal
import test_synthesis_limits as t
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
t.module.WORKER = 'hanging_worker'
t.synthesize(t.MODEL, 300)
"""
    path = os.pathsep.join([str(pid_file.parent), str(Path(__file__).parent), *sys.path])
    asker = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.DEVNULL,
    )
    while not (pid_file.exists() and pid_file.read_text()):
        assert asker.poll() is None
        time.sleep(0.05)
    asker.send_signal(how)
    assert asker.wait(60) != 0
    assert gone(pid_file)


def test_a_search_in_a_process_of_its_own_finds_what_is_proved_and_is_used_again() -> None:
    heard: list[str] = []
    outcome = synthesize(MODEL, 60, progress=heard.append)
    assert outcome.certificate is not None
    assert outcome.certificate.model == MODEL
    assert outcome.tried[-1].reason == ""
    assert "init" in heard
    workers = dict(module._idle)
    assert impossible(MODEL, 1) is None
    assert module._idle == workers


def test_a_worker_that_died_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    assert synthesize(MODEL, 60).certificate is not None
    (worker,) = module._idle.values()
    worker.process.kill()
    worker.process.wait()
    assert synthesize(MODEL, 60).certificate is not None


def test_a_worker_that_cannot_start_is_an_unknown_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "WORKER", "nprl.no_such_module")
    assert synthesize(MODEL, 1).reason == "nprl.no_such_module does not start"
    assert "No module named" in capfd.readouterr().err


def test_a_time_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match="seconds is positive; got 0"):
        synthesize(MODEL, 0)
    with pytest.raises(ValueError, match="seconds is positive; got -1"):
        impossible(MODEL, -1)
