"""The standard policies of Stable-Baselines3, read from their zips without unpickling anything.

The zip's ``policy.pth`` is read by torch as weights only, and its ``data`` as JSON. There each pickled
setting stands with a description in plain text beside it; only that is read. What is not a standard
multi-layer perceptron over a vector, or says more than is known here, is left to SB3's own loader.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import zipfile
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from nprl.train.network import ACTIVATIONS, Head, Layers, Network, layers_of

PLAIN = {
    *("net_arch", "ortho_init", "log_std_init", "optimizer_class", "optimizer_kwargs"),
    *("n_critics", "share_features_extractor", "normalize_images", "activation_fn"),
}
"""Keyword arguments of policies that do not change what the weights mean, and the activation."""
FLAT = "stable_baselines3.common.torch_layers.FlattenExtractor"
MODULES = {
    "stable_baselines3.common.policies": ("ActorCriticPolicy",),
    "stable_baselines3.sac.policies": ("SACPolicy", "MlpPolicy"),
    "stable_baselines3.td3.policies": ("TD3Policy", "MlpPolicy"),
    "stable_baselines3.dqn.policies": ("DQNPolicy", "MlpPolicy"),
}
"""Where standard policies are defined, and their names."""
NUMBER = re.compile(r"-?(?:\d+\.?\d*(?:e[-+]?\d+)?|inf)")


class NotStandard(Exception):
    """A zip that only SB3's loader can read: why."""


def standard_network(content: bytes, actions: spaces.Space[Any]) -> Network:
    """The policy network in a zip, for these actions.

    Raises:
        NotStandard: where the zip holds anything but a standard policy over a vector, or says that
            its actions are others.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            data = json.loads(archive.read("data"))
            file = io.BytesIO(archive.read("policy.pth"))
        weights = torch.load(file, map_location="cpu", weights_only=True)
        family = data["policy_class"]["__module__"]
        name = str(data["policy_class"]["__init__"]).partition(".__init__")[0].split()[-1]
        if family not in MODULES or name not in MODULES[family]:
            raise NotStandard(f"a policy of the class {family}.{name}")
        _check_settings(data)
        _check_actions(data["action_space"], actions)
        if not all(isinstance(v, torch.Tensor) for v in weights.values()):
            raise NotStandard("weights that are no tensors")
    except (zipfile.BadZipFile, OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise NotStandard(" ".join(str(error).split())[:100]) from None
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise NotStandard(f"settings that cannot be read ({error!r})") from None
    default = "tanh" if family.endswith("common.policies") else "relu"
    activation = _activation(data.get("policy_kwargs"), default)
    layers, critics, head = _parts(family, weights)
    return Network(layers, activation, head, actions, critics, content)


def _check_settings(data: dict[str, Any]) -> None:
    if data.get("use_sde"):
        raise NotStandard("exploration that depends on the state")
    if not str(data["observation_space"][":type:"]).endswith(".box.Box'>"):
        raise NotStandard("observations that are no vector")
    for key, value in data.get("policy_kwargs", {}).items():
        flat = key == "features_extractor_class" and FLAT in str(value)
        if key not in PLAIN and not flat and not key.startswith(":") and value not in (False, {}):
            raise NotStandard(f"a policy with the argument {key}")


def _check_actions(described: dict[str, Any], actions: spaces.Space[Any]) -> None:
    """Refuse other actions than the task's."""
    kind = str(described[":type:"])
    if isinstance(actions, spaces.Discrete):
        same = kind.endswith(".discrete.Discrete'>") and int(described["n"]) == actions.n
        if not (same and int(described.get("start", 0)) == actions.start):
            raise NotStandard("other actions")
    elif isinstance(actions, spaces.Box):
        bounds = [
            np.asarray([float(v) for v in NUMBER.findall(str(described[k]))])
            for k in ("low", "high")
        ]
        if not kind.endswith(".box.Box'>") or any(
            b.shape != own.ravel().shape or not np.allclose(b, own.ravel())
            for b, own in zip(bounds, (actions.low, actions.high), strict=True)
        ):
            raise NotStandard("other actions")
    else:
        raise NotStandard("actions that are neither a box nor an index")


def _activation(settings: Any, default: str) -> str:
    told = settings.get("activation_fn") if isinstance(settings, dict) else None
    name = default if told is None else str(told).rpartition(".")[2].rstrip("'>").lower()
    if name not in ACTIVATIONS:
        raise NotStandard(f"the activation {told}")
    return name


def _parts(
    family: str, weights: dict[str, torch.Tensor]
) -> tuple[Layers, tuple[Layers, ...], Head]:
    """The policy's layers, its critics, and its head, by the names of the weights."""
    left = set(weights)

    def layer(prefix: str) -> tuple[torch.Tensor, torch.Tensor]:
        names = f"{prefix}.weight", f"{prefix}.bias"
        if not left.issuperset(names):
            raise NotStandard(f"no weights {prefix}")
        left.difference_update(names)
        return weights[names[0]], weights[names[1]]

    def stack(prefix: str) -> list[tuple[torch.Tensor, torch.Tensor]]:
        found = re.compile(re.escape(prefix) + r"\.(\d+)\.weight")
        numbers = sorted(int(m[1]) for n in list(left) if (m := found.fullmatch(n)))
        if numbers != list(range(0, 2 * len(numbers), 2)):
            raise NotStandard(f"layers {prefix} that do not alternate with activations")
        return [layer(f"{prefix}.{k}") for k in numbers]

    def joined(pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> Layers:
        return layers_of([w for w, _ in pairs], [b for _, b in pairs])

    critics: tuple[Layers, ...] = ()
    if family.endswith("common.policies"):
        stack("mlp_extractor.value_net")
        layer("value_net")
        pairs = [*stack("mlp_extractor.policy_net"), layer("action_net")]
        head = Head.CLIPPED if "log_std" in left else Head.CHOICE
        left.discard("log_std")
    elif ".dqn." in family:
        pairs, head = stack("q_net.q_net"), Head.CHOICE
    else:
        if ".sac." in family:
            pairs = [*stack("actor.latent_pi"), layer("actor.mu")]
            layer("actor.log_std")
        else:
            pairs = stack("actor.mu")
        numbers = sorted({n.split(".")[1] for n in left if n.startswith("critic.qf")})
        critics, head = tuple(joined(stack(f"critic.{k}")) for k in numbers), Head.SQUASHED
    strange = sorted(n for n in left if "_target." not in n)
    if strange or not pairs:
        raise NotStandard(f"weights of other parts ({', '.join(strange[:3])})")
    return joined(pairs), critics, head
