"""A network as its weights: a multi-layer perceptron that answers observations, and nothing else.

It is read from files that are data: SB3's zips (`sb3_zip`) or NumPy's ``.npz``. No file of it is code.
"""

from __future__ import annotations

import enum
import io
import itertools
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from nprl.train.config import TrainError
from nprl.train.normaliser import EPSILON, Normaliser

Floats = NDArray[np.float64]
Layers = tuple[tuple[torch.Tensor, torch.Tensor], ...]
"""Weights (out, in) and biases (out,) of each layer, float32, the first layer first."""
ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "elu": torch.nn.functional.elu,
    "silu": torch.nn.functional.silu,
    "gelu": torch.nn.functional.gelu,
    "sigmoid": torch.sigmoid,
    "leakyrelu": torch.nn.functional.leaky_relu,
}
"""Between the layers, by the name of torch's class in lower case."""
CORNERS = 64
"""Corners of the box of actions that a critic is asked about, at most."""


class Head(enum.Enum):
    """How the last layer becomes an action."""

    CHOICE = "the index of the highest value"
    CLIPPED = "clipped to the box"
    SQUASHED = "tanh, scaled to the box"


@dataclass(frozen=True, slots=True)
class Network:
    """A policy network; `predict` is deterministic.

    Raises:
        TrainError: for layers that do not fit each other or the actions, or are not finite.
    """

    layers: Layers
    activation: str
    head: Head
    actions: spaces.Space[Any]
    critics: tuple[Layers, ...] = ()
    """Of SAC, TD3 and DDPG: from observation and action, both as the network has them, to Q."""
    content: bytes = b""
    """The file that it was read from."""

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        if self.activation not in ACTIVATIONS:
            raise TrainError(
                f"an activation is one of {', '.join(ACTIVATIONS)}; got {self.activation!r}"
            )
        for layers in (self.layers, *self.critics):
            width = layers[0][0].shape[1] if layers and layers[0][0].ndim == 2 else -1
            for w, b in layers:
                if w.ndim != 2 or w.shape[1] != width or b.shape != w.shape[:1]:
                    raise TrainError("the shapes of the network's layers do not fit each other")
                width = w.shape[0]
                if not (torch.isfinite(w).all() and torch.isfinite(b).all()):
                    raise TrainError("a weight of the network is not finite")
        space = self.actions
        count = int(space.n) if isinstance(space, spaces.Discrete) else int(np.prod(space.shape))  # type: ignore[arg-type]
        choosing = isinstance(space, spaces.Discrete) == (self.head is Head.CHOICE)
        if not self.layers or self.layers[-1][0].shape[0] != count or not choosing:
            raise TrainError(f"the network's last layer does not fit the actions {space}")

    @property
    def inputs(self) -> int:
        """How many numbers an observation is."""
        return int(self.layers[0][0].shape[1])

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[Any], Any]:
        """The environment's action for one observation or a batch.

        Raises:
            ValueError: for an observation of another length.
        """
        x = np.asarray(observation, dtype=np.float32)
        if x.ndim not in (1, 2) or x.shape[-1] != self.inputs:
            raise ValueError(f"an observation is {self.inputs} numbers; got shape {x.shape}")
        ran = self._run(self.layers, torch.from_numpy(np.atleast_2d(x)))
        last, space = ran.numpy(), self.actions
        if isinstance(space, spaces.Box):
            if self.head is Head.SQUASHED:
                scaled = torch.tanh(ran).numpy()
                last = space.low + 0.5 * (scaled + 1.0) * (space.high - space.low)
            actions: NDArray[Any] = np.clip(last, space.low, space.high)
        else:
            assert isinstance(space, spaces.Discrete)
            actions = last.argmax(axis=1) + space.start
        return (actions[0] if x.ndim == 1 else actions), state

    def weights(self, observations: Floats) -> Floats | None:
        """What a wrong action costs at each observation: the gap of Q, or of the logits.

        For finitely many actions that is between the highest and the lowest; with critics between
        the network's own action and the worst corner of the box. None for a box without critics.
        """
        x = torch.from_numpy(np.asarray(observations, dtype=np.float32))
        last = self._run(self.layers, x)
        if self.head is Head.CHOICE:
            return (last.max(dim=1).values - last.min(dim=1).values).double().numpy()
        if not self.critics:
            return None
        own = self._worth(x, torch.tanh(last))
        worst = torch.stack([self._worth(x, corner.expand_as(last)) for corner in self._corners()])
        return (own - worst.min(dim=0).values).clamp(min=0.0).double().numpy()

    def _worth(self, x: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """The least Q of the critics, which see actions in [-1, 1]."""
        both = torch.cat([x, actions], dim=1)
        return torch.stack([self._run(c, both)[:, 0] for c in self.critics]).min(dim=0).values

    def _corners(self) -> list[torch.Tensor]:
        m = int(self.layers[-1][0].shape[0])
        if 2**m <= CORNERS:
            return [torch.tensor(c) for c in itertools.product((-1.0, 1.0), repeat=m)]
        drawn = np.random.default_rng(0).choice([-1.0, 1.0], (CORNERS, m)).astype(np.float32)
        return list(torch.from_numpy(drawn))

    @torch.no_grad()
    def _run(self, layers: Layers, x: torch.Tensor) -> torch.Tensor:
        act = ACTIVATIONS[self.activation]
        for k, (w, b) in enumerate(layers):
            x = torch.nn.functional.linear(act(x) if k else x, w, b)
        return x


def layers_of(weights: Sequence[Any], biases: Sequence[Any]) -> Layers:
    """Layers of arrays or tensors."""
    pairs = zip(weights, biases, strict=True)
    return tuple(tuple(torch.as_tensor(v).float().contiguous() for v in p) for p in pairs)  # type: ignore[misc]


def network_from_npz(
    content: bytes, actions: spaces.Space[Any]
) -> tuple[Network, Normaliser | None]:
    """The network in NumPy's ``.npz``, for these actions, and its normaliser; nothing is unpickled.

    ``w0, b0, w1, b1, ...`` are the layers, ``activation`` is a name; ``obs_mean`` and ``obs_var``, and
    with them ``clip_obs`` and ``epsilon``, are the normaliser's. The last layer gives a score for each
    of finitely many actions, or the action itself, which is clipped.

    Raises:
        TrainError: for anything else.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            data = {name: archive[name] for name in archive.files}
        depth = sum(name[:1] == "w" and name[1:].isdigit() for name in data)
        layers = layers_of(
            [data.pop(f"w{k}") for k in range(depth)], [data.pop(f"b{k}") for k in range(depth)]
        )
        activation = str(data.pop("activation"))
        normaliser = None
        if "obs_mean" in data:
            limit, epsilon = data.pop("clip_obs", 10.0), data.pop("epsilon", EPSILON)
            mean, var = (np.asarray(data.pop(k), np.float64) for k in ("obs_mean", "obs_var"))
            normaliser = Normaliser(mean, var, float(limit), float(epsilon))
        if data:
            raise TrainError(f"unknown arrays {', '.join(sorted(data))}")
    except KeyError as error:
        raise TrainError(f"the array {error} is missing") from None
    except (ValueError, TypeError, OSError, zipfile.BadZipFile) as error:
        raise TrainError(f"no weights that can be read: {error}") from None
    head = Head.CHOICE if isinstance(actions, spaces.Discrete) else Head.CLIPPED
    return Network(layers, activation, head, actions, content=content), normaliser
