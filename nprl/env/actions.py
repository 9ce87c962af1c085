"""The map from a learner's action to physical units: the one place where actions are scaled.

The environment and the shield both call it, so what is certified is the float64 vector that is
applied. One action at a time and a batch give the same numbers, exactly.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nprl.env.sampling import Floats, inward
from nprl.model import Model

MINUS_ONE, ZERO, ONE = np.array(-1.0), np.array(0.0), np.array(1.0)


class Actions:
    """The map between a learner's action and physical units, for one model.

    With a scaled model a learner's action lies in [-1, 1] and the plant applies
    ``u = clip(centre + half * clip(a, -1, 1), low, high)``, in float64 whatever type comes in,
    where low and high are the float64 bounds just inside the model's. Not scaled:
    ``u = clip(a, low, high)``. With choices the action is the index of one. What is not finite
    becomes NaN.
    """

    def __init__(self, model: Model) -> None:
        """The maps of ``model``; ValueError where a bound leaves no float64 inside."""
        ends = [inward(c.low, c.high) for c in model.action]
        self.dim = len(ends)
        self.scaled = model.arithmetic.scaled
        self.low: Floats = np.array([low for low, _ in ends], dtype=np.float64)
        self.high: Floats = np.array([high for _, high in ends], dtype=np.float64)
        self.centre: Floats = np.array(
            [float((c.low + c.high) / 2) for c in model.action], dtype=np.float64
        )
        self.half: Floats = np.array(
            [float((c.high - c.low) / 2) for c in model.action], dtype=np.float64
        )
        columns = (self.centre, self.half, self.low, self.high)
        self._rows = list(zip(*(a.tolist() for a in columns), strict=True))
        self._columns = [a.squeeze() for a in columns]  # what one action needs has no dimension
        self._tight = self.scaled and bool(  # rounding is monotone: no clip after the scaling
            (self.centre - self.half >= self.low).all()
            and (self.centre + self.half <= self.high).all()
        )
        self.choices: Floats | None = None
        if model.choices is not None:
            self.choices = np.array(
                [[float(v) for v in c] for c in model.choices], dtype=np.float64
            )
            self.choices = np.clip(self.choices, self.low, self.high)

    def units(self, action: Any) -> list[float]:
        """`to_units` as a list of floats: what the scalar functions take.

        Raises:
            ValueError: for an action of another shape or kind.
        """
        if self.choices is not None:
            result: list[float] = self.choices[self._index(action)].tolist()
            return result
        values = np.asarray(action, dtype=np.float64)
        if values.shape != (self.dim,):
            raise ValueError(f"an action has the shape ({self.dim},); got {values.shape}")
        units = []
        for a, (centre, half, low, high) in zip(values.tolist(), self._rows, strict=True):
            if not math.isfinite(a):
                units.append(math.nan)
                continue
            if self.scaled:
                a = centre + half * (-1.0 if a < -1.0 else 1.0 if a > 1.0 else a)
            else:
                a += 0.0  # no negative zero, here and in the batch
            units.append(low if a < low else high if a > high else a)
        return units

    def to_units(self, action: Any) -> Floats:
        """The float64 vector in units, shape (dim,), that the plant applies for a learner's action.

        Raises:
            ValueError: for an action of another shape or kind.
        """
        return np.array(self.units(action), dtype=np.float64)

    def to_units_batch(self, actions: Any, finite: bool = False) -> Floats:
        """`to_units` for each row: (n, dim), or (n,) indices, to (n, dim).

        Raises:
            ValueError: for another shape or kind; with ``finite``, for what is not finite (else it
                is NaN).
        """
        if self.choices is not None:
            index = np.asarray(actions)
            if index.ndim != 1 or index.dtype.kind not in "iu":
                raise ValueError(
                    f"actions are (n,) integers; got {index.dtype} of shape {index.shape}"
                )
            if index.size and not 0 <= index.min() <= index.max() < len(self.choices):
                raise ValueError(f"an action is an index from 0 to {len(self.choices) - 1}")
            chosen: Floats = self.choices[index]
            return chosen
        a = np.asarray(actions, dtype=np.float64)
        if a.ndim != 2 or a.shape[1] != self.dim:
            raise ValueError(f"actions have the shape (n, {self.dim}); got {a.shape}")
        good = np.isfinite(a)
        if np.count_nonzero(good) < a.size:
            if finite:
                raise ValueError("actions are finite numbers; got NaN or infinity")
            a = np.where(good, a, math.nan)
        shape = a.shape
        if self.dim == 1:
            a = a.ravel()  # a column costs NumPy twice what a vector does
        centre, half, low, high = self._columns
        if self.scaled:
            u = np.maximum(a, MINUS_ONE)
            np.minimum(u, ONE, out=u)
            u *= half
            u += centre
        else:
            u = a + ZERO
        if not self._tight:
            np.maximum(u, low, out=u)
            np.minimum(u, high, out=u)
        result: Floats = u.reshape(shape)
        return result

    def from_units(self, units: Any) -> Any:
        """A learner's action for physical units, (dim,) or (n, dim), in float64.

        With choices it is the index of the nearest. ``to_units(from_units(u))`` is ``u`` up to
        ``2^-49 (|low| + |high|)``, exactly ``u`` when not scaled.
        """
        u = np.asarray(units, dtype=np.float64)
        if u.ndim not in (1, 2) or u.shape[-1] != self.dim:
            raise ValueError(
                f"units have the shape ({self.dim},) or (n, {self.dim}); got {u.shape}"
            )
        if self.choices is not None:
            distance = np.abs(u[..., None, :] - self.choices).max(axis=-1)
            return np.argmin(distance, axis=-1)
        u = np.minimum(np.maximum(u, self.low), self.high)
        if self.scaled:
            u = np.minimum(np.maximum((u - self.centre) / self.half, -1.0), 1.0)
        return u

    def _index(self, action: Any) -> int:
        assert self.choices is not None
        index = np.asarray(action)
        if index.shape != () or index.dtype.kind not in "iu" or not 0 <= index < len(self.choices):
            raise ValueError(
                f"an action is an integer from 0 to {len(self.choices) - 1}; got {action!r}"
            )
        return int(index)
