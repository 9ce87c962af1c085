"""Uniform draws from closed boxes, the same numbers for one environment and for a batch of them.

A lane is one environment's stream of uniform numbers in [0, 1), consumed in order: the initial
state at a reset, then one disturbance per step. The batch keeps a buffer per lane, filled from that
lane's own generator, so that lane ``i`` of a batch seeded with ``s`` draws what a single
environment seeded with ``s + i`` draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from gymnasium.utils import seeding
from numpy.typing import NDArray

from nprl.lang.interval import above, below

Floats = NDArray[np.float64]
BUFFER = 128


def inward(low: Fraction, high: Fraction, kind: str = "float64") -> tuple[float, float]:
    """The least and the greatest float of ``kind`` inside the closed interval.

    Raises:
        ValueError: when the interval holds no float.
    """
    if kind == "float32":
        up, down = np.float32(np.inf), np.float32(-np.inf)
        first, last = np.float32(float(low)), np.float32(float(high))
        first = np.nextafter(first, up) if Fraction(float(first)) < low else first
        last = np.nextafter(last, down) if Fraction(float(last)) > high else last
        least, greatest = float(first), float(last)
    else:
        least, greatest = above(low), below(high)
    if not least <= greatest:
        raise ValueError(f"no {kind} lies in [{low}, {high}]: widen the interval")
    return least + 0.0, greatest + 0.0


class Uniform:
    """The uniform law on a closed box: ``low + (high - low) r``, clipped into the box."""

    def __init__(self, box: Sequence[tuple[Fraction, Fraction]], kind: str = "float64") -> None:
        """The floats of ``kind`` inside each interval of ``box``."""
        ends = [inward(low, high, kind) for low, high in box]
        self.dim = len(ends)
        self.low: Floats = np.array([low for low, _ in ends], dtype=np.float64)
        self.high: Floats = np.array([high for _, high in ends], dtype=np.float64)
        self.width: Floats = self.high - self.low
        self.single = kind == "float32"
        self._tight = bool((self.low + self.width <= self.high).all())  # rounding is monotone

    def place(self, uniform: Floats) -> Floats:
        """Points of the box, from uniform numbers in [0, 1); shape (..., dim) both."""
        points = self.low + self.width * uniform
        if self.single:
            points = points.astype(np.float32).astype(np.float64)
        elif self._tight:
            return points
        return np.minimum(np.maximum(points, self.low), self.high)

    def draw(self, generator: np.random.Generator) -> tuple[float, ...]:
        """One point, from the generator's next ``dim`` numbers."""
        return tuple(self.place(generator.random(self.dim)).tolist())

    def contains(self, points: Floats) -> bool:
        """Whether every row lies in the box; a NaN does not."""
        return bool(((self.low <= points) & (points <= self.high)).all())


class Streams:
    """One stream of uniform numbers per lane, read in whole batches."""

    def __init__(self, lanes: int) -> None:
        """Unseeded streams; `seed` replaces them one by one."""
        self._generators: list[np.random.Generator | None] = [None] * lanes
        self._buffer: Floats = np.empty((lanes, BUFFER), dtype=np.float64)
        self._ends = np.arange(1, lanes + 1) * BUFFER
        self._next = self._ends.copy()  # places in the flat buffer
        self._sure = 0  # numbers that every lane still holds, at least
        self._offsets = np.arange(BUFFER)

    def seed(self, lane: int, seed: int) -> None:
        """Restart one lane as Gymnasium's ``reset(seed=seed)`` restarts an environment."""
        self._generators[lane] = seeding.np_random(seed)[0]
        self._next[lane] = self._ends[lane]
        self._sure = 0

    def take(self, lanes: NDArray[np.int64], count: int) -> Floats:
        """The next ``count`` (at most `BUFFER`) numbers of each lane, (len(lanes), count)."""
        if self._sure < count:
            self._refill(max(count, BUFFER // 2))
        self._sure -= count
        first = self._next[lanes]
        self._next[lanes] = first + count
        return self._buffer.take(first + self._offsets[:count, None]).T  # its columns contiguous

    def _refill(self, least: int) -> None:
        """Fill the lanes that hold fewer than ``least`` numbers."""
        for lane in (self._ends - self._next < least).nonzero()[0].tolist():
            generator: Any = self._generators[lane]
            if generator is None:
                generator = self._generators[lane] = seeding.np_random(None)[0]
            row = self._buffer[lane]
            used = int(self._next[lane]) - lane * BUFFER
            row[: BUFFER - used] = row[used:].copy()
            row[BUFFER - used :] = generator.random(used)
            self._next[lane] = lane * BUFFER
        self._sure = int((self._ends - self._next).min())
