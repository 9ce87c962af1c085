"""Uniform draws from closed boxes, the same numbers for one environment and for a batch of them.

An environment has two streams of points, each from a generator of its own: initial states, one per
reset, and disturbances, one per step (`spawned`). A batch keeps points of every lane's streams
ready, so that lane ``i`` of a batch seeded with ``s`` draws what a single environment seeded with
``s + i`` draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from fractions import Fraction

import numpy as np
from gymnasium.utils import seeding
from numpy.typing import NDArray

from nprl.lang.interval import above, below
from nprl.model import Model

Floats = NDArray[np.float64]
BLOCK = 128
"""Points that a lane of `Streams` draws at once."""


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

    def repeated(self, count: int) -> Uniform:
        """The law of ``count`` points in a row."""
        result = copy(self)
        result.dim = count * self.dim
        result.low, result.high = np.tile(self.low, count), np.tile(self.high, count)
        result.width = np.tile(self.width, count)
        return result

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


def laws(model: Model) -> tuple[Uniform, Uniform]:
    """The laws of a model's initial states and of its disturbances."""
    start = Uniform([model.init[n] for n in model.state_names], model.arithmetic.state)
    return start, Uniform([(c.low, c.high) for c in model.disturbance])


def spawned(states: np.random.Generator) -> np.random.Generator:
    """What draws the disturbances of an environment whose initial states ``states`` draws."""
    return states.spawn(1)[0]


class Sampler:
    """The initial states and the disturbances of lanes of one model."""

    def __init__(self, model: Model, lanes: int) -> None:
        """Streams that begin unseeded."""
        start, noise = laws(model)
        self.starts, self.noise = Streams(lanes, start), Streams(lanes, noise)

    def seed(self, lane: int, seed: int) -> None:
        """Begin a lane's streams as ``ModelEnv.reset(seed=seed)`` begins its own."""
        states = seeding.np_random(seed)[0]
        self.starts.start(lane, states)
        self.noise.start(lane, spawned(states))


class Streams:
    """One stream of points per lane, each from the lane's own generator, in its order.

    Lanes that were never given a generator by `start` share one, unseeded.
    """

    def __init__(self, lanes: int, law: Uniform) -> None:
        """Streams of points of ``law``."""
        self.law, self._block = law, law.repeated(BLOCK)
        self._generators: list[np.random.Generator] = [np.random.default_rng()] * lanes
        self._points: Floats = np.empty((2 * BLOCK * lanes, law.dim), dtype=np.float64)
        self._ends = 2 * BLOCK * np.arange(1, lanes + 1)
        self._next = self._ends.copy()
        self._sure = 0  # points that every lane still holds, at least

    def start(self, lane: int, generator: np.random.Generator) -> None:
        """Begin a lane's stream anew, from this generator."""
        self._generators[lane] = generator
        self._next[lane] = self._ends[lane]
        self._sure = 0

    def take(self, lanes: NDArray[np.int64]) -> Floats:
        """The next point of each of these distinct lanes, (len(lanes), dim)."""
        if not self.law.dim:
            return np.empty((len(lanes), 0), dtype=np.float64)
        if not self._sure:
            self._refill()
        self._sure -= 1
        places = self._next.take(lanes)
        self._next[lanes] = places + 1
        return self._points.take(places, axis=0)

    def _refill(self) -> None:
        """Give a block to each lane that holds no more than one."""
        for lane in (self._ends - self._next <= BLOCK).nonzero()[0].tolist():
            first, end, block = int(self._next[lane]), int(self._ends[lane]), self._block
            self._points[first - BLOCK : end - BLOCK] = self._points[first:end]
            drawn = block.place(self._generators[lane].random(block.dim))
            self._points[end - BLOCK : end] = drawn.reshape(BLOCK, -1)
            self._next[lane] = first - BLOCK
        self._sure = int((self._ends - self._next).min())
