"""Training runs, small ones: repeatable, resumable, shielded from the first step."""

import csv
import dataclasses
import hashlib
import json
import math

import numpy as np
import pytest
import torch

from nprl.env.task import load_task
from nprl.evaluate import evaluate
from nprl.train import TrainConfig, TrainError, load_teacher, ppo, train
from nprl.train.checkpoint import FILE, FOLDER
from nprl.train.normalised import Normalised

PENDULUM = load_task("nprl/Pendulum-v0")
SMALL = TrainConfig(
    total_steps=1536,
    n_envs=8,
    n_steps=32,
    batch_size=128,
    n_epochs=2,
    eval_every=512,
    eval_episodes=8,
)
OBSERVATIONS = np.random.default_rng(0).uniform(-0.5, 0.5, (64, 2))


class Balance:
    """A stub of a shield: the torque of a linear law that keeps this pendulum up."""

    def __init__(self):
        self.asked = 0

    def filter_batch(self, states, units):
        self.asked += len(states)
        kept = np.clip(-8.0 * states[:, :1] - 1.5 * states[:, 1:], -2.0, 2.0)
        overridden = ~(np.abs(units - kept)[:, 0] <= 0.1)
        return np.where(overridden[:, None], kept, units), overridden


class Interrupted(Exception):
    """What stands for a kill."""


def after(stages):
    """A callback that ends the run after so many stages."""
    rows = []

    def stop(row):
        rows.append(row)
        if len(rows) == stages:
            raise Interrupted

    return stop


def table(folder, times=False):
    rows = list(csv.DictReader((folder / "progress.csv").read_text().splitlines()))
    kept = ["time/total_timesteps", *(k for k in rows[0] if times or not k.startswith("time/"))]
    return [{key: row[key] for key in kept} for row in rows]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, train(PENDULUM, folder, SMALL)


def test_a_run_leaves_its_files_and_names_its_columns(finished):
    folder, _ = finished
    assert {"policy.zip", "normaliser.json", "progress.csv", FOLDER} <= {
        p.name for p in folder.iterdir()
    }
    rows = table(folder, times=True)
    assert [int(row["time/total_timesteps"]) for row in rows] == [512, 1024, 1536]
    for name in ("rollout/ep_rew_mean", "train/value_loss", "eval/mean_reward", "safety/cost_mean"):
        assert name in rows[0]
    assert all(math.isfinite(float(v)) for row in rows for v in row.values() if v)
    assert not [p for p in folder.rglob("*") if p.name.startswith(".")]


def test_the_same_seed_gives_the_same_bytes(finished, tmp_path):
    folder, _ = finished
    train(PENDULUM, tmp_path, SMALL)
    for name in ("policy.zip", "normaliser.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    assert table(tmp_path) == table(folder)


def test_another_seed_gives_another_policy(finished, tmp_path):
    other = train(PENDULUM, tmp_path, dataclasses.replace(SMALL, seed=1))
    assert (other.predict(OBSERVATIONS)[0] != finished[1].predict(OBSERVATIONS)[0]).any()


@pytest.mark.parametrize("stages", [1, 2])
def test_a_run_that_was_killed_and_resumed_ends_as_one_that_was_not(finished, tmp_path, stages):
    folder, _ = finished
    with pytest.raises(Interrupted):
        train(PENDULUM, tmp_path, SMALL, on_stage=after(stages))
    assert not (tmp_path / "policy.zip").exists()
    assert len(table(tmp_path)) == stages
    torch.rand(7)
    train(PENDULUM, tmp_path, SMALL, resume=True)
    for name in ("policy.zip", "normaliser.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    assert table(tmp_path) == table(folder)


def test_resuming_a_finished_run_gives_its_teacher_without_training(finished, tmp_path):
    folder, teacher = finished
    before = (folder / "policy.zip").read_bytes()
    again = train(PENDULUM, folder, SMALL, resume=True, on_stage=after(1))
    assert (again.predict(OBSERVATIONS)[0] == teacher.predict(OBSERVATIONS)[0]).all()
    assert (folder / "policy.zip").read_bytes() == before


def test_resume_where_nothing_was_begun_begins(tmp_path):
    short = dataclasses.replace(SMALL, total_steps=512)
    train(PENDULUM, tmp_path, short, resume=True)
    assert len(table(tmp_path)) == 1


def test_without_resume_an_earlier_run_is_replaced(tmp_path):
    short = dataclasses.replace(SMALL, total_steps=512)
    train(PENDULUM, tmp_path, SMALL)
    train(PENDULUM, tmp_path, short)
    assert len(table(tmp_path)) == 1
    assert [p.name for p in (tmp_path / FOLDER).glob("*.pt")] == ["stage-0001.pt"]


def test_the_teacher_is_the_best_checkpoint(finished):
    folder, teacher = finished
    scores = [float(row["eval/mean_reward"]) for row in table(folder)]
    seeds = range(SMALL.eval_seed, SMALL.eval_seed + SMALL.eval_episodes)
    assert evaluate(PENDULUM, teacher, seeds).mean == pytest.approx(max(scores), rel=1e-6)


def test_the_saved_teacher_decides_as_the_trained_one(finished):
    folder, teacher = finished
    loaded = load_teacher(folder / "policy.zip", PENDULUM, trusted=True)
    assert (loaded.predict(OBSERVATIONS)[0] == teacher.predict(OBSERVATIONS)[0]).all()
    assert loaded.predict(OBSERVATIONS[0])[0].shape == (1,)


@pytest.mark.parametrize(
    "damage",
    [
        lambda place: (place / FILE).write_text("{"),
        lambda place: (place / FILE).write_text("[]"),
        lambda place: (place / FILE).write_text(
            (place / FILE).read_text().replace("training/1", "training/9")
        ),
        lambda place: (place / "stage-0001.pt").write_bytes(b"junk"),
        lambda place: (place / "stage-0001.pt").unlink(),
        lambda place: (place / FILE).write_text(
            (place / FILE).read_text().replace('"rows": [', '"rows": [7,')
        ),
    ],
)
def test_a_damaged_checkpoint_is_one_line_with_the_remedy(tmp_path, damage):
    with pytest.raises(Interrupted):
        train(PENDULUM, tmp_path, SMALL, on_stage=after(1))
    damage(tmp_path / FOLDER)
    with pytest.raises(TrainError, match=r"cannot be resumed: .*; delete the folder") as caught:
        train(PENDULUM, tmp_path, SMALL, resume=True)
    assert "\n" not in str(caught.value)


def test_weights_that_would_run_code_are_not_unpickled(tmp_path):
    with pytest.raises(Interrupted):
        train(PENDULUM, tmp_path, SMALL, on_stage=after(1))
    place = tmp_path / FOLDER
    torch.save({"policy": Trap(str(tmp_path / "ran"))}, place / "stage-0001.pt")
    data = json.loads((place / FILE).read_text())
    data["files"] = {
        "stage-0001.pt": hashlib.sha256((place / "stage-0001.pt").read_bytes()).hexdigest()
    }
    (place / FILE).write_text(json.dumps(data))
    with pytest.raises(TrainError, match="cannot be resumed"):
        train(PENDULUM, tmp_path, SMALL, resume=True)
    assert not (tmp_path / "ran").exists()


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_a_run_is_resumed_as_what_it_was_begun_as(tmp_path):
    with pytest.raises(Interrupted):
        train(PENDULUM, tmp_path, SMALL, on_stage=after(1))
    with pytest.raises(TrainError, match=r"begun with gamma = 0.98, and is resumed with 0.9"):
        train(PENDULUM, tmp_path, dataclasses.replace(SMALL, gamma=0.9), resume=True)
    with pytest.raises(TrainError, match=r"begun with shielded = False"):
        train(PENDULUM, tmp_path, SMALL, Balance(), resume=True)
    with pytest.raises(TrainError, match=r"begun with (model|task) = "):
        train(load_task("nprl/CartPole-v0"), tmp_path, SMALL, resume=True)


def test_a_shielded_run_never_leaves_the_safe_set_and_says_how_often_it_was_stopped(
    finished, tmp_path
):
    shield = Balance()
    train(PENDULUM, tmp_path, SMALL, shield)
    rows = table(tmp_path)
    assert [row["shield/violations"] for row in rows] == ["0", "0", "0"]
    assert [row["safety/violations"] for row in rows] == ["0", "0", "0"]
    assert all(0.5 < float(row["shield/override_rate"]) < 1.0 for row in rows)
    assert shield.asked >= SMALL.total_steps
    assert sum(int(row["safety/violations"]) for row in table(finished[0])) > 0


def test_a_nan_reward_stops_the_run_before_it_reaches_the_weights(tmp_path, monkeypatch):
    step_wait = Normalised.step_wait

    def poisoned(self):
        if self.meter.steps >= 64:
            self.venv.step_wait = lambda: (
                np.zeros((8, 2)),
                np.full(8, np.nan),
                np.zeros(8, dtype=bool),
                [{}] * 8,
            )
        return step_wait(self)

    monkeypatch.setattr(Normalised, "step_wait", poisoned)
    with pytest.raises(TrainError, match="64 steps into this stage: a reward is not finite"):
        train(PENDULUM, tmp_path, SMALL)
    assert not (tmp_path / "policy.zip").exists()


def test_weights_that_are_not_finite_stop_the_run_and_the_checkpoint_stays(tmp_path):
    def poison(row):
        raise Interrupted

    with pytest.raises(Interrupted):
        train(PENDULUM, tmp_path, SMALL, on_stage=poison)
    before = (tmp_path / FOLDER / FILE).read_bytes()

    learn = ppo.PPO.learn

    def diverge(self, *args, **kwargs):
        learn(self, *args, **kwargs)
        with torch.no_grad():
            next(self.policy.parameters()).fill_(math.nan)
        return self

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ppo.PPO, "learn", diverge)
        with pytest.raises(
            TrainError, match=r"weights are not finite at step 1024; .*learning_rate"
        ):
            train(PENDULUM, tmp_path, SMALL, resume=True)
    assert (tmp_path / FOLDER / FILE).read_bytes() == before


def test_patience_stops_a_run_that_no_longer_improves(tmp_path):
    still = dataclasses.replace(
        SMALL,
        total_steps=5120,
        patience=2,
        learning_rate=0.0,
        final_learning_rate=0.0,
        norm_obs=False,
    )
    train(PENDULUM, tmp_path, still)
    assert len(table(tmp_path)) == 3
    assert not (tmp_path / "normaliser.json").exists()


def test_a_discrete_foreign_environment_trains_and_sde_is_refused_for_it(tmp_path):
    task = load_task("CartPole-v1")
    small = dataclasses.replace(SMALL, total_steps=512, n_envs=2, n_steps=64, batch_size=64)
    teacher = train(task, tmp_path, small)
    assert evaluate(task, teacher, [1, 2, 3]).violations is not None
    with pytest.raises(TrainError, match="use_sde needs a box of actions"):
        train(task, tmp_path, dataclasses.replace(small, use_sde=True))


def test_a_bound_foreign_environment_trains_shielded(tmp_path):
    task = load_task("Pendulum-v1")
    small = dataclasses.replace(
        SMALL, total_steps=256, eval_every=256, n_envs=2, n_steps=64, batch_size=64
    )
    train(task, tmp_path, small, Balance())
    assert [row["shield/violations"] for row in table(tmp_path)] == ["0", "0"][:1]


def test_a_folder_that_cannot_be_written_is_an_os_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        train(PENDULUM, tmp_path / "file" / "run", SMALL)


@pytest.mark.slow
def test_quick_training_keeps_the_pendulum_up_shielded(tmp_path):
    teacher = train(PENDULUM, tmp_path, TrainConfig.for_task(PENDULUM, quick=True), Balance())
    assert evaluate(PENDULUM, teacher, range(1_000_000, 1_000_100), Balance()).mean > -0.5
