"""A bracket of the viability kernel's volume: how permissive could a shield be?

The kernel is the part of S from which some inputs keep S for ever, whatever the disturbance, or until
a terminal state, which owes nothing.

On a grid over S (up to three dimensions), with outward rounded ranges of the step: from outside, a
cell lives while for some piece of the inputs its image meets a live cell (for each of some
disturbances); from inside, a cell lives while for some input its image, under all disturbances,
lies in live cells. So ``inner <= kernel <= outer``, up to a billionth of a cell. A share is quoted
against ``outer``.

Source: P. Saint-Pierre, Approximation of the viability kernel, 1994 (the idea; the bounds are
interval arithmetic's).
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import numpy.typing as npt

from nprl.model import Model
from nprl.shields.synthesis.views.numeric import Array
from nprl.shields.synthesis.views.polytope import maximum
from nprl.shields.synthesis.views.problem import Unsuitable, problem_of, safe_rows
from nprl.shields.synthesis.views.ranges import Range, ranges, truths

Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]
GOOD_RATIO = 1.05
MAX_CELLS = 1_400_000
FIRST_CELLS = 2_500
INPUTS = 33
CHUNK = 100_000
MANY = 3_000


@dataclass(frozen=True, slots=True)
class Bracket:
    """Volumes that the kernel's lies between, in the state's units multiplied, and the last grid's size."""

    inner: float
    outer: float
    cells: int


def viability_bracket(
    model: Model, *, ratio: float = GOOD_RATIO, max_cells: int = MAX_CELLS
) -> Bracket:
    """Bounds of the kernel's volume, from grids that are doubled until outer / inner <= ``ratio`` or ``max_cells``.

    Raises:
        ValueError: for more than three dimensions, finitely many actions, or a safe set that is no
        bounded
            conjunction of affine comparisons.
    """
    n = len(model.state)
    if n > 3:
        raise ValueError(f"a grid takes at most 3 state coordinates; got {n}")
    try:
        w = problem_of(model).w
        grid = _first_grid(model)
    except Unsuitable as error:
        raise ValueError(f"no bracket of the kernel for {error}") from None
    outer_live = inner_live = None
    inner = 0.0
    while True:
        meets, inside = grid.in_safe()
        known = np.zeros(grid.count, dtype=bool) if inner_live is None else inner_live
        perhaps, surely = grid.terminal(model)
        live = meets if outer_live is None else outer_live
        outer = _Outer(model, grid, w).fixpoint(live, known | (live & perhaps))
        known = known | (inside & surely)
        kept = _Inner(model, grid).fixpoint((inside & outer) | known, known)
        inner = max(inner, float(kept.sum()) * grid.cell_volume)
        bound = float(outer.sum()) * grid.cell_volume
        if bound <= ratio * inner or grid.count * 2**n > max_cells:
            return Bracket(inner, bound, grid.count)
        outer_live, inner_live = grid.refined(outer), grid.refined(kept)
        grid = _Grid(grid.low, grid.width / 2, 2 * grid.shape, grid.h, grid.b)


@dataclass(frozen=True)
class _Grid:
    """Cells over the bounding box of S; ``shape`` (n,) counts them, ``width`` (n,) is a cell's size."""

    low: Array
    width: Array
    shape: Indices
    h: Array
    b: Array

    @property
    def count(self) -> int:
        return int(np.prod(self.shape))

    @property
    def cell_volume(self) -> float:
        return float(np.prod(self.width))

    def boxes(self, cells: Indices) -> tuple[Array, Array]:
        """Lower and upper ends of some cells, shapes (k, n), a little outward."""
        index = np.stack(np.unravel_index(cells, tuple(self.shape)), axis=1)
        slack = 1e-12 * self.width
        return self.low + index * self.width - slack, self.low + (index + 1) * self.width + slack

    def in_safe(self) -> tuple[Mask, Mask]:
        """Which cells meet S, and which lie in it."""
        low, high = self.boxes(np.arange(self.count))
        up, down = np.maximum(self.h, 0), np.minimum(self.h, 0)
        tiny = 1e-9 * (np.abs(self.h) @ self.width)
        least, most = low @ up.T + high @ down.T, high @ up.T + low @ down.T
        meets, inside = least <= self.b + tiny, most <= self.b + tiny
        return np.asarray(meets.all(axis=1)), np.asarray(inside.all(axis=1))

    def terminal(self, model: Model) -> tuple[Mask, Mask]:
        """Which cells may hold a terminal state, and which hold nothing else."""
        low, high = self.boxes(np.arange(self.count))
        at = {n: (low[:, k], high[:, k]) for k, n in enumerate(model.state_names)}
        perhaps, surely = truths(model.terminal, at)
        whole = np.ones(self.count, dtype=bool)
        return whole & perhaps, whole & surely

    def refined(self, live: Mask) -> Mask:
        """The mask on the grid with halved cells."""
        mask = live.reshape(tuple(self.shape))
        for axis in range(mask.ndim):
            mask = np.repeat(mask, 2, axis=axis)
        return mask.ravel()

    def rectangles(self, low: Array, high: Array) -> tuple[Indices, Indices, Mask]:
        """Index ranges [first, last) of the cells that boxes meet, and which boxes lie within the grid."""
        top = self.low + self.shape * self.width
        tiny = 1e-9 * self.width
        within = np.asarray(((low >= self.low - tiny) & (high <= top + tiny)).all(axis=1))
        far = (self.low - 9 * self.width, top + 9 * self.width)
        first = np.floor((np.clip(low, *far) - tiny - self.low) / self.width)
        last = np.floor((np.clip(high, *far) + tiny - self.low) / self.width) + 1
        shape = self.shape.astype(np.float64)
        return (
            np.asarray(np.clip(first, 0, shape), dtype=np.int64),
            np.asarray(np.clip(last, 0, shape), dtype=np.int64),
            within,
        )


def _first_grid(model: Model) -> _Grid:
    rows = safe_rows(model)
    h = np.array([[float(v) for v in a] for a, _ in rows]).reshape(-1, len(model.state))
    b = np.array([float(v) for _, v in rows])
    eye = np.eye(len(model.state))
    if not len(h):
        raise Unsuitable("a safe set that is not bounded")
    low = np.array([-maximum(-e, h, b) for e in eye])
    high = np.array([maximum(e, h, b) for e in eye])
    if not np.isfinite(low).all() or not np.isfinite(high).all():
        raise Unsuitable("a safe set that is not bounded")
    shape = np.full(len(eye), round(FIRST_CELLS ** (1 / len(eye))), dtype=np.int64)
    return _Grid(low, (high - low) / shape, shape, h, b)


class _Sweep(abc.ABC):
    """Cells die until none does; each tries its inputs in turn, and one that failed fails for good."""

    def __init__(self, model: Model, grid: _Grid, choices: list[tuple[Array, Array]]) -> None:
        self.model, self.grid = model, grid
        self.low = np.array([low for low, _ in choices])
        self.high = np.array([high for _, high in choices])

    def image(self, cells: Indices, choice: Indices, w: tuple[Array, Array]) -> tuple[Array, Array]:
        """The range of the step on some cells, each with its own input choice."""
        low, high = self.grid.boxes(cells)
        at: dict[str, Range] = {}
        for i, name in enumerate(self.model.state_names):
            at[name] = low[:, i], high[:, i]
        for i, name in enumerate(self.model.action_names):
            at[name] = self.low[choice, i], self.high[choice, i]
        for i, name in enumerate(self.model.disturbance_names):
            at[name] = np.asarray(w[0][i]), np.asarray(w[1][i])
        found = ranges(self.model.steps, at)
        size = np.zeros(len(cells))
        return (
            np.stack([low + size for low, _ in found], axis=1),
            np.stack([high + size for _, high in found], axis=1),
        )

    @abc.abstractmethod
    def targets(self, cells: Indices, choice: Indices) -> list[tuple[Indices, Indices, Mask]]:
        """The rectangles that decide."""

    @abc.abstractmethod
    def lives(self, table: Indices, target: tuple[Indices, Indices, Mask]) -> Mask:
        """Whether the live cells (a summed table) decide for life."""

    def fixpoint(self, live: Mask, known: Mask) -> Mask:
        """The cells that are left of ``live``; those ``known`` to lie in the kernel are not asked."""
        live = live.copy()
        choice = np.zeros(len(live), dtype=np.int64)
        cells = np.flatnonzero(live & ~known)
        held = self._held(cells, choice[cells])
        while True:
            table = self._table(live)
            good = self._decide(table, held)
            if good.all():
                return live
            self._advance(cells[~good], choice, live, table)
            lost = ~live[cells]
            changed = ~good & ~lost
            fresh = self._held(cells[changed], choice[cells[changed]])
            for old, new in zip(held, fresh, strict=True):
                for a, b in zip(old, new, strict=True):
                    a[changed] = b
            held = [(first[~lost], last[~lost], ok[~lost]) for first, last, ok in held]
            cells = cells[~lost]

    def _advance(self, failing: Indices, choice: Indices, live: Mask, table: Indices) -> None:
        """Each failing cell to its next input that does, or to its death."""
        count = len(self.low)
        while len(failing) > MANY:  # one input at a time: most find one soon
            choice[failing] += 1
            live[failing[choice[failing] >= count]] = False
            failing = failing[choice[failing] < count]
            failing = failing[~self._decide(table, self._held(failing, choice[failing]))]
        if len(failing):  # all inputs at once
            cells, inputs = np.repeat(failing, count), np.tile(np.arange(count), len(failing))
            good = self._decide(table, self._held(cells, inputs)).reshape(-1, count)
            good &= np.arange(count) > choice[failing][:, None]
            found = good.any(axis=1)
            live[failing[~found]] = False
            choice[failing] = np.where(found, np.argmax(good, axis=1), count)

    def _held(self, cells: Indices, choice: Indices) -> list[tuple[Indices, Indices, Mask]]:
        parts = [
            self.targets(cells[i : i + CHUNK], choice[i : i + CHUNK])
            for i in range(0, max(len(cells), 1), CHUNK)
        ]
        return [
            (
                np.concatenate([p[k][0] for p in parts]),
                np.concatenate([p[k][1] for p in parts]),
                np.concatenate([p[k][2] for p in parts]),
            )
            for k in range(len(parts[0]))
        ]

    def _decide(self, table: Indices, held: list[tuple[Indices, Indices, Mask]]) -> Mask:
        return np.asarray(np.all([self.lives(table, target) for target in held], axis=0))

    def _table(self, live: Mask) -> Indices:
        mask = live.reshape(tuple(self.grid.shape)).astype(np.int64)
        for axis in range(mask.ndim):
            mask = np.cumsum(mask, axis=axis)
        return np.pad(mask, [(1, 0)] * mask.ndim)


def _count(table: Indices, first: Indices, last: Indices) -> Indices:
    """How many live cells lie in each rectangle."""
    n = first.shape[1]
    total = np.zeros(len(first), dtype=np.int64)
    for corner in product((0, 1), repeat=n):
        index = tuple(last[:, i] if c else first[:, i] for i, c in enumerate(corner))
        total += (-1) ** (n - sum(corner)) * table[index]
    return total


class _Outer(_Sweep):
    """From outside: pieces of the input box, one image for each sampled disturbance."""

    def __init__(self, model: Model, grid: _Grid, w: Array) -> None:
        super().__init__(model, grid, _pieces(model, points=False))
        self._w = w[:5]

    def targets(self, cells: Indices, choice: Indices) -> list[tuple[Indices, Indices, Mask]]:
        return [
            self.grid.rectangles(*self.image(cells, choice, (point, point))) for point in self._w
        ]

    def lives(self, table: Indices, target: tuple[Indices, Indices, Mask]) -> Mask:
        return np.asarray(_count(table, target[0], target[1]) > 0)


class _Inner(_Sweep):
    """From inside: single inputs, one image for all disturbances."""

    def __init__(self, model: Model, grid: _Grid) -> None:
        super().__init__(model, grid, _pieces(model, points=True))
        self._w = (
            np.array([float(c.low) for c in model.disturbance]),
            np.array([float(c.high) for c in model.disturbance]),
        )

    def targets(self, cells: Indices, choice: Indices) -> list[tuple[Indices, Indices, Mask]]:
        return [self.grid.rectangles(*self.image(cells, choice, self._w))]

    def lives(self, table: Indices, target: tuple[Indices, Indices, Mask]) -> Mask:
        first, last, within = target
        return np.asarray(within & (_count(table, first, last) == np.prod(last - first, axis=1)))


def _pieces(model: Model, *, points: bool) -> list[tuple[Array, Array]]:
    """The input box cut into pieces, or points all over it, the extreme ones first."""
    each = max(round(INPUTS ** (1 / max(1, len(model.action)))), 2)
    axes = []
    for c in model.action:
        cuts = np.linspace(float(c.low), float(c.high), each)
        ends = [(v, v) for v in cuts] if points else list(pairwise(cuts))
        axes.append(ends)
    pieces = [
        (np.array([low for low, _ in one]), np.array([high for _, high in one]))
        for one in product(*axes)
    ]
    middle = np.array([float(c.low + c.high) / 2 for c in model.action])
    return sorted(pieces, key=lambda p: -float(np.abs((p[0] + p[1]) / 2 - middle).max()))
