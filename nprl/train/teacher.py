"""The teacher: a trained network with the statistics it needs, as a policy on raw observations."""

from __future__ import annotations

import io
import json
import logging
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm

from nprl.env.task import Task
from nprl.files import write_atomic
from nprl.train.config import TrainError
from nprl.train.normaliser import Normaliser, NormaliserError, load_normaliser

POLICY, NORMALISER = "policy.zip", "normaliser.json"
ALGORITHMS: dict[str, type[BaseAlgorithm]] = {
    "PPO": PPO,
    "A2C": A2C,
    "SAC": SAC,
    "TD3": TD3,
    "DDPG": DDPG,
    "DQN": DQN,
}
"""What `load_teacher` accepts: the algorithms of Stable-Baselines3."""
PASSING = (
    *("start_time", "ep_info_buffer", "ep_success_buffer", "_last_obs", "_last_episode_starts"),
    *("_total_timesteps", "_num_timesteps_at_start", "_current_progress_remaining"),
)
"""What a saved policy has no use for; without it the same training writes the same bytes."""


@dataclass(frozen=True, slots=True)
class Teacher:
    """A network of Stable-Baselines3 and its normaliser: `predict` takes raw observations."""

    algorithm: BaseAlgorithm
    normaliser: Normaliser | None = None
    """None where the network reads raw observations."""

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[Any], Any]:
        """The environment's action for one observation or a batch.

        Raises:
            ValueError: for an observation that is not finite.
        """
        raw = np.asarray(observation)
        if not np.isfinite(raw).all():
            raise ValueError(f"an observation is finite numbers; got {raw.tolist()}")
        seen = raw if self.normaliser is None else self.normaliser(raw)
        return self.algorithm.predict(seen, state, episode_start, deterministic)

    def save(self, path: str | Path) -> Path:
        """Write the network to ``path`` (.zip, as Stable-Baselines3) and `NORMALISER` beside it."""
        target = Path(path).with_suffix(".zip")
        buffer = io.BytesIO()
        self.algorithm.save(buffer, exclude=PASSING)
        beside = target.with_name(NORMALISER)
        if self.normaliser is None:
            beside.unlink(missing_ok=True)
        else:
            self.normaliser.save(beside)
        return write_atomic(target, _undated(buffer.getvalue()))


def load_teacher(path: str | Path, task: Task, trusted: bool = False) -> Teacher:
    """The policy in a zip of Stable-Baselines3, ours or trained elsewhere, for ``task``.

    Its class is what the file says of itself. If `NORMALISER` lies beside it, that is what
    observations pass first. Such a zip holds pickles, so it is *code when loaded*: a line in the
    log says so, unless ``trusted``.

    Raises:
        TrainError: for a file that is no such zip, another algorithm, other spaces than the
            task's, or a normaliser that is a pickle.
    """
    source = Path(path)
    normaliser = _normaliser_beside(source)
    algorithm = ALGORITHMS[_algorithm_of(source)]
    if not trusted:
        logging.getLogger("nprl.train").warning(
            "%s: a Stable-Baselines3 zip is code when it is loaded; open only what you trust",
            source,
        )
    options: dict[str, Any] = {} if algorithm in (PPO, A2C) else {"buffer_size": 1}
    # Schedules are pickled functions, of no use to a teacher: what stands here is not unpickled.
    unused = {
        "learning_rate": 0.0,
        "lr_schedule": None,
        "clip_range": 0.2,
        "exploration_schedule": None,
    }
    try:
        model = algorithm.load(source, device="cpu", custom_objects=unused, **options)
    except Exception as error:  # whatever a foreign pickle raises is an error of that file
        raise TrainError(f"{source}: cannot be loaded: {_one_line(error)}") from None
    _check_spaces(source, model, task, normaliser)
    model.policy.set_training_mode(False)
    return Teacher(model, normaliser)


def _algorithm_of(path: Path) -> str:
    """The algorithm that wrote the zip, by its settings; nothing is unpickled."""
    try:
        with zipfile.ZipFile(path) as archive:
            data = json.loads(archive.read("data"))
            module = data["policy_class"]["__module__"]
    except OSError as error:
        raise TrainError(
            f"{path}: cannot be read ({error.strerror or error}); give a Stable-Baselines3 .zip"
        ) from None
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise TrainError(
            f"{path}: no policy zip of Stable-Baselines3 ({_one_line(error)})"
        ) from None
    family = str(module).removeprefix("stable_baselines3.").split(".")[0].upper()
    if family == "COMMON":
        family = "PPO" if "clip_range" in data else "A2C"
    if family not in ALGORITHMS or not str(module).startswith("stable_baselines3."):
        raise TrainError(
            f"{path}: a policy of {module}; accepted, from SB3: {', '.join(ALGORITHMS)}"
        )
    return family


def _normaliser_beside(path: Path) -> Normaliser | None:
    remedy = (
        "a pickle is not read; put its numbers in normaliser.json beside it "
        "(docs/training.md has the lines)"
    )
    if path.suffix in (".pkl", ".pickle"):
        raise TrainError(f"{path}: a teacher is a Stable-Baselines3 .zip, and {remedy}")
    numbers = path.with_name(NORMALISER)
    if numbers.exists():
        try:
            return load_normaliser(numbers)
        except NormaliserError as error:
            raise TrainError(str(error)) from None
    for pickled in sorted(path.parent.glob("*.pkl")) if path.parent.is_dir() else ():
        if "normalize" in pickled.name.lower():
            raise TrainError(f"{path} was trained with the statistics in {pickled.name}: {remedy}")
    return None


def _check_spaces(
    path: Path, model: BaseAlgorithm, task: Task, normaliser: Normaliser | None
) -> None:
    env = task.make()
    try:
        seen, acted = env.observation_space, env.action_space
    finally:
        env.close()
    has_seen, has_acted = model.observation_space, model.action_space
    if type(seen) is not type(has_seen) or seen.shape != has_seen.shape:
        raise TrainError(f"{path}: its observations are {has_seen}; {task.name} has {seen}")
    if not _same_actions(acted, has_acted):
        raise TrainError(f"{path}: its actions are {has_acted}; {task.name} has {acted}")
    if normaliser is not None and normaliser.mean.shape != seen.shape:
        raise TrainError(
            f"{path.with_name(NORMALISER)}: {normaliser.mean.size} means; {task.name} has {seen}"
        )


def _same_actions(a: Any, b: Any) -> bool:
    if isinstance(a, spaces.Box) and isinstance(b, spaces.Box):
        return a.shape == b.shape and np.allclose(a.low, b.low) and np.allclose(a.high, b.high)
    return bool(a == b)


def _undated(data: bytes) -> bytes:
    """The same zip without the times at which its members were written."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(zipfile.ZipInfo(name), old.read(name))
    return buffer.getvalue()


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text[:200] or type(error).__name__


def weights_are_finite(algorithm: BaseAlgorithm) -> bool:
    """Whether no weight of the network is NaN or infinite."""
    return all(bool(torch.isfinite(p).all()) for p in algorithm.policy.parameters())
