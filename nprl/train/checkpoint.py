"""Where a training run stands, on disk: ``checkpoints/resume.json``, and the weights that it names.

The JSON file is the commit: it is renamed into place after the weights are whole, names them with
their SHA-256, and nothing it names is deleted before the next one stands. The weights are read
without unpickling code.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO

from nprl.files import write_atomic
from nprl.train.config import TrainError
from nprl.train.log import Row
from nprl.train.normalised import Normalised

FORMAT = "nprl-training/1"
FOLDER, FILE = "checkpoints", "resume.json"
KEYS = {"format", "identity", "steps", "updates", "rows", "done", "files"}
SCORE = "eval/mean_reward"
"""The column that judges a stage."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: one row of the log for each stage that is done."""

    identity: dict[str, Any]
    """Task, model, shield and settings: a run is resumed as what it was begun as."""
    rows: list[Row] = field(default_factory=list)
    steps: int = 0
    """Environment steps so far."""
    updates: int = 0
    """Passes over rollouts so far, as PPO counts them."""
    done: bool = False

    @property
    def stage(self) -> int:
        """How many stages are done."""
        return len(self.rows)

    @property
    def best_stage(self) -> int:
        """The best stage, from 1; of equals the last, which has seen most. 0 where none is done."""
        return max(range(self.stage), key=lambda i: (self.rows[i][SCORE], i), default=-1) + 1

    @property
    def waited(self) -> int:
        """Stages since the score last improved."""
        first = max(range(self.stage), key=lambda i: (self.rows[i][SCORE], -i), default=0)
        return self.stage - 1 - first


def save_progress(folder: Path, progress: Progress, ppo: PPO, env: Normalised) -> None:
    """Write the stage's weights, then the JSON that names them, then drop what it does not name."""
    place = folder / FOLDER
    content = _pack(ppo, env)
    write_atomic(place / _name(progress.stage), content)
    files = {_name(progress.stage): hashlib.sha256(content).hexdigest()}
    best = _name(progress.best_stage)
    if best not in files:
        files[best] = hashlib.sha256((place / best).read_bytes()).hexdigest()
    data = {
        "format": FORMAT,
        "identity": progress.identity,
        "steps": progress.steps,
        "updates": progress.updates,
        "rows": progress.rows,
        "done": progress.done,
        "files": files,
    }
    write_atomic(place / FILE, json.dumps(data, indent=1, allow_nan=False) + "\n")
    for other in place.glob("stage-*.pt"):
        if other.name not in files:
            other.unlink(missing_ok=True)


def load_progress(folder: Path, identity: dict[str, Any]) -> Progress | None:
    """Where the run in ``folder`` stands; None where none was begun.

    Raises:
        TrainError: for files that are damaged, or a run that was begun as another.
    """
    path = folder / FOLDER / FILE
    if not path.exists():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if set(data) != KEYS or data["format"] != FORMAT:
            raise ValueError(f"not the keys of {FORMAT}")
        for name, digest in data["files"].items():
            if hashlib.sha256((path.parent / name).read_bytes()).hexdigest() != digest:
                raise ValueError(f"{name} is not what was written")
        progress = Progress(
            dict(data["identity"]),
            [dict(row) for row in data["rows"]],
            int(data["steps"]),
            int(data["updates"]),
            bool(data["done"]),
        )
        if not {_name(progress.stage), _name(progress.best_stage)} <= set(data["files"]):
            raise ValueError("it names no weights")
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise TrainError(_damaged(path, error)) from None
    _check_identity(path, progress.identity, identity)
    return progress


def restore(folder: Path, stage: int, ppo: PPO, env: Normalised) -> None:
    """Put the weights and statistics of a stage back.

    Raises:
        TrainError: for a file that does not hold them.
    """
    path = folder / FOLDER / _name(stage)
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
        ppo.policy.load_state_dict(data["policy"])
        ppo.policy.optimizer.load_state_dict(data["optimizer"])
        for stats, name in ((env.obs_stats, "obs"), (env.reward_scale.stats, "reward")):
            mean, var, count = data[name]
            stats.mean, stats.var, stats.count = mean.numpy(), var.numpy(), float(count)
    except (
        OSError,
        RuntimeError,
        pickle.UnpicklingError,
        EOFError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
    ) as error:
        raise TrainError(_damaged(path, error)) from None


def forget(folder: Path) -> None:
    """Remove an earlier run's checkpoints, `FILE` first: nothing half removed is resumed."""
    (folder / FOLDER / FILE).unlink(missing_ok=True)
    for old in (folder / FOLDER).glob("stage-*.pt"):
        old.unlink(missing_ok=True)


def _pack(ppo: PPO, env: Normalised) -> bytes:
    def tensors(stats: Any) -> list[Any]:
        kept = [torch.as_tensor(np.array(a, dtype=np.float64)) for a in (stats.mean, stats.var)]
        return [*kept, stats.count]

    buffer = io.BytesIO()
    content = {
        "policy": ppo.policy.state_dict(),
        "optimizer": ppo.policy.optimizer.state_dict(),
        "obs": tensors(env.obs_stats),
        "reward": tensors(env.reward_scale.stats),
    }
    torch.save(content, buffer)
    return buffer.getvalue()


def _check_identity(path: Path, had: dict[str, Any], now: dict[str, Any]) -> None:
    now = json.loads(json.dumps(now))
    for key in sorted(set(had) | set(now)):
        if had.get(key) != now.get(key):
            raise TrainError(
                f"{path}: the run was begun with {key} = {had.get(key)!r}, and is resumed with "
                f"{now.get(key)!r}; resume it as it was begun, or choose another folder"
            )


def _damaged(path: Path, error: BaseException) -> str:
    why = " ".join(str(error).split())[:200] or type(error).__name__
    return f"{path}: cannot be resumed: {why}; delete the folder {FOLDER} and start over"


def _name(stage: int) -> str:
    return f"stage-{stage:04d}.pt"
