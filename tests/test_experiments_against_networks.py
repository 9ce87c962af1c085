"""Programs and networks side by side: few answers, other worlds, size and time."""

import json
from pathlib import Path

import numpy as np
import pytest

from experiments import bench_decisions, data_efficiency, generalisation
from experiments.data_efficiency import Cloned, network, parameters
from experiments.teachers import ORACLES, teacher_of
from nprl.env.task import load_task

LANDER = load_task("LunarLander-v3").unbound()


def test_a_network_learns_what_it_is_shown() -> None:
    x = np.random.default_rng(0).standard_normal((400, 2))
    line = network(x, (0.5 * x[:, :1]).clip(-1, 1), (8,), 0)
    off = line.predict(x)[0] - (0.5 * x[:, :1]).clip(-1, 1)
    assert np.abs(off).mean() < 0.1
    side = network(x, (x[:, 0] > 0).astype(np.int64), (8,), 0)
    assert np.mean(side.predict(x)[0] == (x[:, 0] > 0)) > 0.9
    assert isinstance(line, Cloned)
    assert parameters(line) == 2 * 8 + 8 + 8 + 1 + 4


def test_few_answers_make_a_row_for_each_student(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(data_efficiency, "EPISODES", 2)
    args = ["--env", "LunarLander-v3", "--states", "40", "--seeds", "3", "--jobs", "1"]
    assert data_efficiency.main([*args, "--out", str(tmp_path)]) == 0
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [r["student"] for r in rows] == ["program", "network", "small network"]
    assert rows[0]["parameters"] <= 36
    assert rows[0]["teacher"] > 200
    assert (tmp_path / "data_efficiency.png").stat().st_size > 1000
    assert "small network" in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        data_efficiency.main(["--states", "5"])
    assert caught.value.code == 2


def test_other_worlds_are_other_and_the_known_one_is_the_same() -> None:
    named = teacher_of("ppo-LunarLander-v3", LANDER)
    assert named is not None
    known = {w.what: w for w in generalisation.worlds("LunarLander-v3") if w.value in (-10, 0)}
    calm = [generalisation.returns(LANDER, w, named.policy, 2).tolist() for w in known.values()]
    assert calm[0] == calm[1]
    storm = list(generalisation.worlds("LunarLander-v3"))[-1]
    assert (storm.what, storm.value) == ("wind", 20.0)
    assert generalisation.returns(LANDER, storm, named.policy, 2).tolist() != calm[0]
    hopper = load_task("Hopper-v5").unbound()
    heavy = [w for w in generalisation.worlds("Hopper-v5") if w.what == "mass"][-1]
    env, other = hopper.make(), hopper.make()
    heavy.change(other)
    masses = [e.unwrapped.model.body_mass for e in (env, other)]  # type: ignore[attr-defined]
    assert np.allclose(masses[1], 1.3 * masses[0])


def test_the_bare_network_computes_what_the_network_does() -> None:
    named = teacher_of("ppo-LunarLander-v3", LANDER)
    assert named is not None
    call, count = bench_decisions.bare(str(ORACLES / "ppo-LunarLander-v3.npz"))
    assert count == 64 * 8 + 64 + 64 * 64 + 64 + 4 * 64 + 4
    for x in np.random.default_rng(1).standard_normal((20, 8)):
        assert int(np.argmax(call(x.astype(np.float32)))) == int(named.policy.predict(x)[0])


def test_decisions_are_timed_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_decisions.main(["--env", "LunarLander-v3"]) == 0
    assert "times faster than bare" in capsys.readouterr().out
