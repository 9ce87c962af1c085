"""The teacher: a trained network with the statistics it needs, as a policy on raw observations.

A file of weights, and the zip of a standard policy of Stable-Baselines3, are read as data; only what
is no standard policy goes through SB3's loader, which executes it.
"""

from __future__ import annotations

import io
import json
import logging
import re
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
from nprl.train.network import Network, network_from_npz
from nprl.train.normaliser import Normaliser, NormaliserError, load_normaliser
from nprl.train.sb3_zip import NotStandard, standard_network
from nprl.train.statistics import read_vecnormalize

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
SETTINGS = ("config.yml", "args.yml", "hyperparams.yml")
"""What training scripts leave beside a policy."""
NORMALISED = re.compile(r"\bnormalize\b['\"]?\s*(?::|-)\s*['\"]?(?:true\b|\{|dict)", re.IGNORECASE)
"""How they say that observations are normalised."""
PASSING = (
    *("start_time", "ep_info_buffer", "ep_success_buffer", "_last_obs", "_last_episode_starts"),
    *("_total_timesteps", "_num_timesteps_at_start", "_current_progress_remaining"),
)
"""What a saved policy has no use for; without it the same training writes the same bytes."""


@dataclass(frozen=True, slots=True)
class Teacher:
    """A network and its normaliser: `predict` takes raw observations."""

    algorithm: BaseAlgorithm | Network
    """What SB3 trained or loaded, or weights alone."""
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
        return self.algorithm.predict(self._seen(observation), state, episode_start, deterministic)

    def weights(self, observations: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """What a wrong action costs at each observation (see `Network.weights`); None if unknown."""
        if not isinstance(self.algorithm, Network):
            return None
        return self.algorithm.weights(self._seen(observations))

    def _seen(self, observation: Any) -> NDArray[Any]:
        raw = np.asarray(observation)
        if not np.isfinite(raw).all():
            raise ValueError(f"an observation is finite numbers; got {raw.tolist()}")
        return raw if self.normaliser is None else self.normaliser(raw)

    def save(self, path: str | Path) -> Path:
        """Write the network to ``path`` (.zip, as Stable-Baselines3) and `NORMALISER` beside it.

        A network that was read as data is written as the file that it was.
        """
        target = Path(path).with_suffix(".zip")
        buffer = io.BytesIO()
        if isinstance(self.algorithm, Network):
            buffer.write(self.algorithm.content)
        else:
            self.algorithm.save(buffer, exclude=PASSING)
        beside = target.with_name(NORMALISER)
        if self.normaliser is None:
            beside.unlink(missing_ok=True)
        else:
            self.normaliser.save(beside)
        return write_atomic(target, _undated(buffer.getvalue()))


def load_teacher(
    path: str | Path, task: Task, trusted: bool = False, statistics: str | Path | None = None
) -> Teacher:
    """The policy in a zip of Stable-Baselines3, ours or trained elsewhere, for ``task``.

    A standard policy is read without unpickling anything, and so is a file of weights (see
    `nprl.train.network.network_from_npz`). Every other zip is *code when loaded*: a line in the log
    says so, unless ``trusted``; its class is what the file says of itself.

    ``statistics`` is a `NORMALISER` or the pickle of a `VecNormalize`, which is not executed. If it
    is not given, what lies beside the file is taken: `NORMALISER`, or the one pickle that has
    "normalize" in its name, there or in the folder with the file's name. Where there is neither but a
    settings file there (config.yml, args.yml) says that observations were normalised, the teacher is
    refused: without its statistics a network sees other numbers than in training, and means nothing.

    Raises:
        TrainError: for a file that is no such zip, another algorithm, other spaces than the
            task's, or statistics that are missing or cannot be read.
    """
    source = Path(path)
    if source.suffix in (".pkl", ".pickle"):
        raise TrainError(
            f"{source}: a teacher is a Stable-Baselines3 .zip or a .npz of weights; "
            "statistics lie beside it"
        )
    content = _content(source)
    env = task.make()
    try:
        seen, acted = env.observation_space, env.action_space
    finally:
        env.close()
    if "w0.npy" in _members(source, content):
        try:
            network, own = network_from_npz(content, acted)
        except (TrainError, NormaliserError) as error:
            raise TrainError(f"{source}: {error}") from None
        normaliser = own if statistics is None else _statistics(source, statistics)
        return _fitting(source, Teacher(network, normaliser), task, seen)
    family = _algorithm_of(source, content)
    normaliser = _statistics(source, statistics)
    try:
        network = standard_network(content, acted)
        return _fitting(source, Teacher(network, normaliser), task, seen)
    except NotStandard as error:
        why = str(error)
    if not trusted:
        logging.getLogger("nprl.train").warning(
            "%s: not a standard policy (%s), so Stable-Baselines3 loads it, and such a zip is code "
            "when it is loaded; open only what you trust",
            source,
            why,
        )
    model = _loaded(source, ALGORITHMS[family])
    _check_spaces(source, model, task, normaliser, seen, acted)
    model.policy.set_training_mode(False)
    return Teacher(model, normaliser)


def _loaded(source: Path, algorithm: type[BaseAlgorithm]) -> BaseAlgorithm:
    """What SB3's loader makes of the zip."""
    options: dict[str, Any] = {} if algorithm in (PPO, A2C) else {"buffer_size": 1}
    # Schedules are pickled functions, of no use to a teacher: what stands here is not unpickled.
    unused = {
        "learning_rate": 0.0,
        "lr_schedule": None,
        "clip_range": 0.2,
        "exploration_schedule": None,
    }
    try:
        return algorithm.load(source, device="cpu", custom_objects=unused, **options)
    except Exception as error:  # whatever a foreign pickle raises is an error of that file
        raise TrainError(f"{source}: cannot be loaded: {_one_line(error)}") from None


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TrainError(
            f"{path}: cannot be read ({error.strerror or error}); give a Stable-Baselines3 .zip"
        ) from None


def _members(path: Path, content: bytes) -> list[str]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.namelist()
    except zipfile.BadZipFile as error:
        raise TrainError(
            f"{path}: no policy zip of Stable-Baselines3 ({_one_line(error)})"
        ) from None


def _fitting(path: Path, teacher: Teacher, task: Task, seen: spaces.Space[Any]) -> Teacher:
    """``teacher``, if it reads the task's observations."""
    assert isinstance(teacher.algorithm, Network)
    count = teacher.algorithm.inputs
    if not isinstance(seen, spaces.Box) or seen.shape != (count,):
        raise TrainError(f"{path}: its observations are {count} numbers; {task.name} has {seen}")
    _check_statistics(path, teacher.normaliser, task, seen)
    return teacher


def _algorithm_of(path: Path, content: bytes) -> str:
    """The algorithm that wrote the zip, by its settings; nothing is unpickled."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            data = json.loads(archive.read("data"))
            module = data["policy_class"]["__module__"]
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


def _statistics(path: Path, given: str | Path | None) -> Normaliser | None:
    """What observations pass before the network; None where nothing says that there is anything."""
    if given is None:
        folders = [path.parent, path.with_suffix("")]
        numbers = path.with_name(NORMALISER)
        pickles = sorted(
            p
            for f in folders
            if f.is_dir()
            for p in f.glob("*.pkl")
            if "normalize" in p.name.lower()
        )
        if numbers.exists():
            given = numbers
        elif len(pickles) == 1:
            given = pickles[0]
        elif pickles:
            raise TrainError(
                f"{path}: several statistics lie beside it, {', '.join(p.name for p in pickles)}; "
                "name the one it was trained with"
            )
        else:
            _check_settings(path, folders)
            return None
    try:
        return load_normaliser(given) if Path(given).suffix == ".json" else read_vecnormalize(given)
    except NormaliserError as error:
        raise TrainError(str(error)) from None


def _check_settings(path: Path, folders: list[Path]) -> None:
    """Refuse a teacher whose settings say that it was trained with statistics."""
    for file in (f / name for f in folders for name in SETTINGS):
        if file.is_file() and NORMALISED.search(file.read_text(encoding="utf-8", errors="replace")):
            raise TrainError(
                f"{path}: {file.name} says that it was trained on normalised observations, and their "
                "statistics are missing: without them the network sees other numbers than in "
                f"training; put vecnormalize.pkl or {NORMALISER} beside it"
            )


def _check_statistics(
    path: Path, normaliser: Normaliser | None, task: Task, seen: spaces.Space[Any]
) -> None:
    if normaliser is not None and normaliser.mean.shape != seen.shape:
        raise TrainError(
            f"{path}: its statistics have {normaliser.mean.size} means; {task.name} has {seen}"
        )


def _check_spaces(
    path: Path,
    model: BaseAlgorithm,
    task: Task,
    normaliser: Normaliser | None,
    seen: spaces.Space[Any],
    acted: spaces.Space[Any],
) -> None:
    has_seen, has_acted = model.observation_space, model.action_space
    if type(seen) is not type(has_seen) or seen.shape != has_seen.shape:
        raise TrainError(f"{path}: its observations are {has_seen}; {task.name} has {seen}")
    if not _same_actions(acted, has_acted):
        raise TrainError(f"{path}: its actions are {has_acted}; {task.name} has {acted}")
    _check_statistics(path, normaliser, task, seen)


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
