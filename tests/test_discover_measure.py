"""Models from data: what the fit finds, what its residual says, and the frozen one against MuJoCo."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from experiments.adversary_foreign import Attack
from experiments.measure import main
from nprl.discover.fit import combination, evaluated, monomials, sparse_fit
from nprl.discover.measure import Settings, measure
from nprl.discover.residual import errors, exceeded_with
from nprl.discover.sampling import Simulator, transitions
from nprl.env.binding import binding_of
from nprl.env.state import read_state, write_state
from nprl.envs.inverted_pendulum_v5 import MODEL, STATED
from nprl.envs.pendulum_v1 import MODEL as PENDULUM
from nprl.lang.terms import Var
from nprl.model import model_from_json
from nprl.shields import load_certificate
from nprl.shields.watch import Watch
from nprl.shields.wrapper import Shield, ShieldWarning

QUICK = Settings(train=1500, held_out=1500, tolerance=1e-3)
CERTIFICATE = Path(__file__).parent.parent / "shields" / "proved" / "inverted_pendulum_v5.json"


def pendulum() -> Simulator:
    env = gym.make("Pendulum-v1")
    env.reset(seed=0)
    return Simulator(env, read_state, write_state)


def inverted() -> Simulator:
    env = gym.make("InvertedPendulum-v5")
    env.reset(seed=0)
    return Simulator(env, read_state, write_state)


def test_monomials_are_all_products_once() -> None:
    assert [str(t) for t in monomials(["a", "b"], 2)] == [
        "1",
        "a",
        "b",
        "a ** 2",
        "a * b",
        "b ** 2",
    ]
    assert len(monomials("abcde", 3)) == 56


def test_a_sparse_fit_finds_the_terms_that_made_the_data() -> None:
    rng = np.random.default_rng(0)
    terms = monomials(["a", "b", "c"], 3)
    points = rng.uniform(-2, 2, (400, 3))
    features = evaluated(terms, ["a", "b", "c"], points)
    a, b, c = points.T
    target = 0.25 * a - 1.5 * b * c + 0.125 * a**2 * c + rng.uniform(-1e-5, 1e-5, 400)
    chosen, coefficients = sparse_fit(target, features, 1e-3)
    assert [str(terms[k]) for k in chosen] == ["a", "b * c", "a ** 2 * c"]
    found = combination([terms[k] for k in chosen], coefficients)
    assert found is not None
    error = evaluated([found], ["a", "b", "c"], points)[:, 0] - target
    assert np.abs(error).max() < 1e-3
    assert all(v.denominator <= 10**7 for v in coefficients)


def test_what_is_too_small_to_matter_gets_no_term() -> None:
    features = np.random.default_rng(0).uniform(-1, 1, (100, 4))
    assert sparse_fit(1e-5 * features[:, 0], features, 1e-3) == ((), ())
    assert combination([], []) is None
    with pytest.raises(ValueError, match="a tolerance is positive"):
        sparse_fit(features[:, 0], features, 0.0)


def test_eps_is_that_of_the_greatest_of_n_samples() -> None:
    eps = exceeded_with(1000, 1e-3, 1)
    assert eps >= 1 - 1e-3 ** (1 / 1000)  # (1 - eps)^n <= beta
    assert eps == pytest.approx(6.9e-3, rel=0.01)
    assert exceeded_with(1000, 1e-3, 4) > 4 * eps  # for all four at once, each with a share of beta
    with pytest.raises(ValueError, match="at least 1"):
        exceeded_with(0, 1e-3, 1)


def test_a_pendulum_without_its_forces_is_measured_from_the_simulator() -> None:
    known = replace(PENDULUM, step={"theta": Var("theta"), "omega": Var("omega")})
    dictionary = monomials(["theta", "omega", "torque"], 3)
    found = measure(pendulum(), known, dictionary, QUICK, "Pendulum-v1")
    again = measure(pendulum(), known, dictionary, QUICK, "Pendulum-v1")
    assert found == again
    assert found.model.provenance.startswith("measured: Pendulum-v1; fitted to 1500 transitions")
    assert found.model.state == known.state
    assert max(found.terms) <= 5
    fresh = transitions(pendulum(), known, 500, np.random.default_rng(7))
    bounds = [float(c.high) for c in found.model.disturbance]
    assert (np.abs(errors(found.model, fresh)) <= bounds).all()
    assert max(bounds) < 0.02  # of speeds up to 2
    assert model_from_json(found.model.to_json()) == found.model


def test_a_model_with_a_disturbance_is_not_measured_again() -> None:
    with pytest.raises(ValueError, match="without disturbance"):
        measure(inverted(), MODEL, [], QUICK, "MuJoCo")


def test_the_frozen_model_is_the_stated_one_with_a_measured_step() -> None:
    assert MODEL.provenance.startswith("measured: InvertedPendulum-v5")
    same = replace(MODEL, step=STATED.step, disturbance=(), provenance=STATED.provenance)
    assert same == STATED
    assert all(c.low == -c.high < 0 for c in MODEL.disturbance)
    binding = binding_of("InvertedPendulum-v5")
    assert binding is not None
    assert binding.model == MODEL == load_certificate(CERTIFICATE).model


def test_mujoco_keeps_the_residual_of_the_frozen_model() -> None:
    data = transitions(inverted(), STATED, 2000, np.random.default_rng(2024))
    bounds = np.array([float(c.high) for c in MODEL.disturbance])
    assert (np.abs(errors(MODEL, data)) <= bounds).all()


def test_the_watch_sees_a_residual_beyond_its_bound() -> None:
    watch = Watch(load_certificate(CERTIFICATE))
    simulator = inverted()
    data = transitions(simulator, STATED, 200, np.random.default_rng(3))
    rows = list(zip(data.x.tolist(), data.u.tolist(), data.after.tolist(), strict=True))
    assert all(watch.explains(x, u, after) for x, u, after in rows)
    inner: Any = simulator.env.unwrapped
    inner.model.opt.gravity[2] = -12.0  # another plant
    data = transitions(simulator, STATED, 200, np.random.default_rng(3))
    rows = list(zip(data.x.tolist(), data.u.tolist(), data.after.tolist(), strict=True))
    assert np.mean([watch.explains(x, u, after) for x, u, after in rows]) < 0.2


def test_the_guarantee_ends_loudly_in_another_mujoco() -> None:
    env = Shield(gym.make("InvertedPendulum-v5"), CERTIFICATE)
    env.reset(seed=1)
    assert env.step(np.array([3.0]))[4]["shield/guaranteed"]
    inner: Any = env.unwrapped
    inner.model.opt.gravity[2] = -30.0
    with pytest.warns(ShieldWarning, match="its step is not the model's"):
        told = [env.step(np.array([3.0]))[4]["shield/guaranteed"] for _ in range(10)]
    assert not told[-1]


def test_the_shield_holds_in_mujoco_under_attack() -> None:
    outcome = Attack("InvertedPendulum-v5", CERTIFICATE, seed=5).run(400, quiet=True)
    assert outcome.passed
    assert outcome.overrides > 0
    assert 0 < max(outcome.used.values()) < 1


def test_a_written_state_is_read_back() -> None:
    env = inverted().env
    write_state(env, (0.1, -0.05, 0.3, -0.2))
    assert read_state(env) == (0.1, -0.05, 0.3, -0.2)
    with pytest.raises(ValueError, match=r"a state has the shape \(4,\)"):
        write_state(env, (0.1, 0.2))
    with pytest.raises(ValueError, match="no state that can be read"):
        read_state(gym.make("Blackjack-v1"))


def test_measuring_writes_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "model.json"
    argv = ["--env", "InvertedPendulum-v5", "--out", str(out), "--degree", "1"]
    assert main([*argv, "--train", "300", "--held-out", "300", "--tolerance", "0.01"]) == 0
    model = model_from_json(json.loads(out.read_text()))
    assert model.state == STATED.state
    assert model.disturbance[0].high > Fraction(0)
    assert "N = 300, eps = " in capsys.readouterr().out
    assert main(["--env", "CartPole-v1", "--out", str(out)]) == 2
    assert "has no binding: say --known" in capsys.readouterr().err
