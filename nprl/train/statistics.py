"""The statistics of SB3's ``VecNormalize``, read from its pickle without executing it.

A pickle is a program: it names functions and says what to call them with. Here every name is met by an
inert stand-in that only notes what it was given, so nothing is imported and nothing is called; names
that a `VecNormalize` has no use for are refused all the same. The arrays' bytes are then read as
numbers.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nprl.train.normaliser import Normaliser, NormaliserError

LARGEST = 1 << 24
"""Bytes of a pickle that is looked at."""
CLASSES = {
    "stable_baselines3.common.vec_env.vec_normalize": {"VecNormalize"},
    "stable_baselines3.common.running_mean_std": {"RunningMeanStd"},
    "numpy": {"ndarray", "dtype"},
    "numpy.core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "numpy.core.numeric": {"_frombuffer"},
    "numpy._core.numeric": {"_frombuffer"},
    "collections": {"OrderedDict"},
}
"""What is known by name, by module."""
ROOMS = ("gym.spaces.", "gymnasium.spaces.", "numpy.random.")
"""Modules of which any name may stand there: the spaces, and their generators."""


class _Inert:
    """What stands for a name: it notes arguments and state, and does nothing with them."""

    name = ""
    args: tuple[Any, ...] = ()
    state: Any = None

    def __new__(cls, *args: Any, **kwargs: Any) -> _Inert:
        made = object.__new__(cls)
        made.args = args
        return made

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Nothing more is done with them."""

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Reader(pickle.Unpickler):
    """An unpickler that imports nothing."""

    def find_class(self, module: str, name: str) -> type[_Inert]:
        """The stand-in for a name.

        Raises:
            NormaliserError: for a name that has no business there.
        """
        known = name in CLASSES.get(module, ()) or f"{module}.".startswith(ROOMS)
        if not known or not name.isidentifier():
            raise NormaliserError(f"it names {module}.{name}, which no VecNormalize does")
        return type("_Inert", (_Inert,), {"name": name})


def read_vecnormalize(path: str | Path) -> Normaliser | None:
    """The normaliser in what ``VecNormalize.save`` wrote; None where it leaves observations as they are.

    Raises:
        NormaliserError: for a file that cannot be read, or holds anything else.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise NormaliserError(f"it has more than {LARGEST} bytes")
        read = _Reader(io.BytesIO(content)).load()
        if not isinstance(read, _Inert) or read.name != "VecNormalize":
            raise NormaliserError("it holds no VecNormalize")
        state = _state(read)
        if not state["norm_obs"]:
            return None
        moments = _state(state["obs_rms"])
        limit, epsilon = (float(_number(state[key])) for key in ("clip_obs", "epsilon"))
        return Normaliser(_array(moments["mean"]), _array(moments["var"]), limit, epsilon)
    except OSError as error:
        raise NormaliserError(f"{path}: cannot be read ({error.strerror})") from None
    except KeyError as error:
        raise NormaliserError(
            f"{path}: no statistics of VecNormalize: {error} is missing"
        ) from None
    except Exception as error:  # a damaged pickle may raise anything
        told = " ".join(str(error).split()) or type(error).__name__
        raise NormaliserError(f"{path}: no statistics of VecNormalize: {told}") from None


def _state(part: Any) -> dict[str, Any]:
    if not isinstance(part, _Inert) or not isinstance(part.state, dict):
        raise NormaliserError("a part of it has no state; statistics of dictionaries are not read")
    return part.state


def _number(part: Any) -> Any:
    if isinstance(part, _Inert) and part.name == "scalar":
        dtype, content = part.args
        return np.frombuffer(content, _dtype(dtype))[0]
    return part


def _array(part: Any) -> NDArray[np.float64]:
    """The numbers of an array, by what NumPy would have been told to make."""
    if not isinstance(part, _Inert):
        raise NormaliserError("its mean and variance are no arrays")
    if part.name == "_reconstruct":
        _, shape, dtype, fortran, content = part.state
    elif part.name == "_frombuffer":
        content, dtype, shape, order = part.args
        fortran = order == "F"
    else:
        raise NormaliserError(f"an array made by {part.name}")
    numbers = np.frombuffer(bytes(content), _dtype(dtype)).astype(np.float64)
    return numbers.reshape(tuple(int(n) for n in shape), order="F" if fortran else "C")


def _dtype(part: Any) -> np.dtype[Any]:
    kind = part.args[0] if isinstance(part, _Inert) and part.name == "dtype" else None
    order = part.state[1] if isinstance(part, _Inert) and isinstance(part.state, tuple) else "<"
    if kind not in ("f4", "f8") or order not in ("<", ">"):
        raise NormaliserError(f"numbers of the type {kind!r}; f4 and f8 are accepted")
    read: np.dtype[Any] = np.dtype(order + kind)
    return read
