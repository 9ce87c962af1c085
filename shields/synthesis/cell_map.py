"""Cells: a grid over the ranges, where each cell goes under each of a few inputs, and what lives for ever.

In up to three dimensions. A cell lives if it is safe, and some input takes all of it into cells
that live, whatever the disturbance; what is left when no more die is invariant, however S and the
step are shaped. The set is handed over as few overlapping boxes, and the backup as a tree of
questions ``x >= c``, each leaf of which is one input. `nprl.shields.synthesis.cell_proof` proves it.

Source: P. Saint-Pierre, Approximation of the viability kernel, 1994; interval images in the place
of samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import permutations, product

import numpy as np

from nprl.lang.build import where
from nprl.lang.terms import (
    Compare,
    Num,
    Or,
    Term,
    Unary,
    UnaryOp,
    Var,
    Where,
    replace,
    subterms,
)
from nprl.model import Model
from nprl.shields.polynomial import NotPolynomial, bound_of, polynomial
from nprl.shields.synthesis.budget import Budget
from nprl.shields.synthesis.images import image, truth
from nprl.shields.synthesis.numeric import Array, Mask
from nprl.shields.synthesis.proposal import Candidate

METHOD, FAMILY = "cells of a grid", "cells"
COUNTS = {1: (128, 32), 2: (64, 32, 16), 3: (16, 8)}
"""Cells along each coordinate, by the dimension, in the order in which they are tried."""
INPUTS = {1: 9, 2: 5, 3: 3}
"""Values of each input, by their number."""
MOST_BOXES, MOST_LEAVES = 40, 160
SEEDS = 24
"""Cells from which a box is grown at a time."""
HAIR = Fraction(1, 2**12)
"""How far from a face of S lines are, as a part of the range, where it is one of several that may hold."""
SPARE = 2.0**-16
"""By how much of a cell an image is widened, for rounding."""
HALF = Fraction(1, 2)
Block = tuple[tuple[int, int], ...]
"""Cells of a box: the first, and the one after the last, along each coordinate."""


@dataclass(frozen=True)
class _Grid:
    """The lines of the grid, exactly; the inputs; images of cells and faces."""

    model: Model
    lines: tuple[tuple[Fraction, ...], ...]
    inputs: tuple[tuple[Fraction, ...], ...]
    edges: tuple[Array, ...]

    def ends(self, face: int | None = None) -> list[tuple[Array, Array]]:
        """Both ends of every cell, or of every face across one coordinate, along each coordinate."""
        axes = []
        for k, e in enumerate(self.edges):
            axes.append((e, e) if k == face else (e[:-1], e[1:]))
        lows = np.meshgrid(*(a for a, _ in axes), indexing="ij")
        highs = np.meshgrid(*(b for _, b in axes), indexing="ij")
        return list(zip(lows, highs, strict=True))

    def images(self, face: int | None = None) -> tuple[Array, Array]:
        """Where cells, or faces, go under each input: low and high ends, (inputs, n, grid)."""
        model = self.model
        at = dict(zip(model.state_names, self.ends(face), strict=True))
        for c in model.disturbance:
            at[c.name] = (np.asarray(float(c.low)), np.asarray(float(c.high)))
        shape = at[model.state_names[0]][0].shape
        lows, highs = [], []
        for u in self.inputs:
            for name, v in zip(model.action_names, u, strict=True):
                at[name] = (np.asarray(float(v)), np.asarray(float(v)))
            found = [image(t, at) for t in model.steps]
            spare = [SPARE * float(np.diff(e).min()) for e in self.edges]
            lows.append(
                [np.broadcast_to(a - s, shape) for (a, _), s in zip(found, spare, strict=True)]
            )
            highs.append(
                [np.broadcast_to(b + s, shape) for (_, b), s in zip(found, spare, strict=True)]
            )
        return np.array(lows), np.array(highs)

    def inside(self, low: Array, high: Array, sums: Array) -> Mask:
        """Whether boxes (..., n) lie in cells that live, whose sums over corners are ``sums``."""
        first, last, within = [], [], np.ones(low.shape[:-1], dtype=np.bool_)
        for k, e in enumerate(self.edges):
            a, b = low[..., k], high[..., k]
            within &= (a >= e[0]) & (b <= e[-1])
            first.append(np.clip(np.searchsorted(e, a, side="right") - 1, 0, len(e) - 2))
            last.append(np.clip(np.searchsorted(e, b, side="left"), 1, len(e) - 1))
        live, size = np.zeros(within.shape), np.ones(within.shape)
        for corner in product((0, 1), repeat=len(self.edges)):
            at = tuple((last if c else first)[k] for k, c in enumerate(corner))
            live = live + (-1.0) ** (len(corner) - sum(corner)) * sums[at]
        for start, end in zip(first, last, strict=True):
            size = size * (end - start)
        return np.asarray(within & (live >= size))


def suits(model: Model) -> bool:
    """Whether a model is small enough: at most three coordinates, and at most three inputs."""
    return len(model.state) in COUNTS and len(model.action) in (0, *INPUTS)


def cells(model: Model, budget: Budget) -> Iterator[Candidate]:
    """Sets of cells that hold the starts, from fine grids to coarse ones; those of few boxes only."""
    for count in COUNTS[len(model.state)]:
        budget.check(METHOD)
        grid = _grid(model, count)
        low, high = grid.images()
        live = _living(grid, low, high)
        if not _holds_starts(grid, live):
            continue
        boxes = _boxes(live, _start_block(grid))
        if len(boxes) > MOST_BOXES:
            continue
        tree = _Tree(grid, live, low, high)
        backup = tree.backup()
        if backup is None:
            continue
        parts = tuple(_rows(grid, b) for b in boxes)
        notes = {"method": METHOD, "cells": count, "leaves": tree.leaves}
        yield Candidate(FAMILY, parts, backup, notes)


def _grid(model: Model, count: int) -> _Grid:
    """Equal cells, with lines where S, or a ``where`` of the step, asks for a coordinate."""
    cuts: dict[str, set[Fraction]] = {c.name: set() for c in model.state}
    asked = [s for s in subterms(model.safe) if isinstance(s, Compare)]
    for t in model.steps:
        for s in subterms(t):
            if isinstance(s, Where):
                asked += [c for c in subterms(s.condition) if isinstance(c, Compare)]
    beside = any(isinstance(s, Or) for s in subterms(model.safe))  # one of several: off their faces
    for name, v in (f for c in asked for f in _faces(c)):
        if name in cuts:
            width = max(c.high - c.low for c in model.state if c.name == name)
            hair = width * HAIR if beside else Fraction(0)
            cuts[name] |= {v - hair, v + hair}
    lines = []
    for c in model.state:
        width = (c.high - c.low) / count
        own = {c.low, c.high, *(v for v in cuts[c.name] if c.low < v < c.high)}
        even = (c.low + width * i for i in range(1, count))
        lines.append(
            tuple(sorted(own | {v for v in even if min(abs(v - o) for o in own) * 4 > width}))
        )
    many = INPUTS.get(len(model.action), 0)
    inputs = model.choices or tuple(product(*(_values(c.low, c.high, many) for c in model.action)))
    middle = [(c.low + c.high) / 2 for c in model.action]
    inputs = tuple(
        sorted(inputs, key=lambda u: sum(abs(v - q) for v, q in zip(u, middle, strict=True)))
    )
    edges = tuple(np.array([float(v) for v in axis]) for axis in lines)
    return _Grid(model, tuple(lines), inputs, edges)


def _faces(c: Compare) -> Iterator[tuple[str, Fraction]]:
    """The coordinate that a comparison asks for, and the values where its answer may change."""
    signs = [s for s in subterms(c) if isinstance(s, Unary) and s.op is UnaryOp.ABS]
    for sign in (1, -1):
        plain: dict[Term, Term] = {a: sign * a.arg for a in signs}
        try:
            bound = bound_of(polynomial(replace(c.left - c.right, plain)))
        except NotPolynomial:
            continue
        if bound is not None:
            yield bound[0], bound[2]


def _values(low: Fraction, high: Fraction, count: int) -> list[Fraction]:
    return [low + (high - low) * i / (count - 1) for i in range(count)]


def _sums(live: Mask) -> Array:
    """How many live before each corner of the grid."""
    sums = live.astype(np.float64)
    for k in range(live.ndim):
        sums = np.cumsum(sums, axis=k)
    return np.pad(sums, [(1, 0)] * live.ndim)


def _living(grid: _Grid, low: Array, high: Array) -> Mask:
    at = dict(zip(grid.model.state_names, grid.ends(), strict=True))
    shape = at[grid.model.state_names[0]][0].shape
    live = np.array(np.broadcast_to(truth(grid.model.safe, at)[0], shape))
    low, high = np.moveaxis(low, 1, -1), np.moveaxis(high, 1, -1)
    while True:
        sums = _sums(live)
        some = np.zeros(shape, dtype=np.bool_)
        for a, b in zip(low, high, strict=True):
            some |= grid.inside(a, b, sums)
        if (live <= some).all():
            return live
        live &= some


def _start_block(grid: _Grid) -> Block:
    """The cells that the starts touch."""
    ends = [[float(v) for v in grid.model.init[n]] for n in grid.model.state_names]
    block = []
    for (a, b), e in zip(ends, grid.edges, strict=True):
        first = int(np.clip(np.searchsorted(e, a, side="right") - 1, 0, len(e) - 2))
        block.append((first, max(first + 1, int(np.searchsorted(e, b, side="left")))))
    return tuple(block)


def _slices(block: Block) -> tuple[slice, ...]:
    return tuple(slice(a, b) for a, b in block)


def _holds_starts(grid: _Grid, live: Mask) -> bool:
    return bool(live[_slices(_start_block(grid))].all())


def _boxes(live: Mask, start: Block) -> list[Block]:
    """Overlapping boxes that cover what lives, each as large as it can be; the first holds the starts' first cell."""
    sums, left = _sums(live), live.copy()
    rng = np.random.default_rng(0)
    result: list[Block] = []
    while left.any() and len(result) <= MOST_BOXES:
        seeds = np.argwhere(left)
        seeds = (
            seeds[rng.permutation(len(seeds))[:SEEDS]]
            if result
            else np.array([[a for a, _ in start]])
        )
        grown = [
            _grown(tuple((int(i), int(i) + 1) for i in s), order, live.shape, sums)
            for s in seeds
            for order in permutations(range(live.ndim))
        ]
        best = max(grown, key=lambda b: int(left[_slices(b)].sum()))
        left[_slices(best)] = False
        result.append(best)
    return result


def _grown(block: Block, order: tuple[int, ...], shape: tuple[int, ...], sums: Array) -> Block:
    """The block, made as long as it can be along one coordinate after the other."""

    def lives(b: Block) -> bool:
        total = 0.0
        for corner in product((0, 1), repeat=len(b)):
            sign = (-1.0) ** (len(corner) - sum(corner))
            total += sign * float(sums[tuple(ends[c] for ends, c in zip(b, corner, strict=True))])
        return bool(total >= np.prod([y - x for x, y in b]))

    for k in order:
        for way in (-1, 1):
            while True:
                a, b = block[k]
                ends = (a - 1, b) if way < 0 else (a, b + 1)
                longer = (*block[:k], ends, *block[k + 1 :])
                if ends[0] < 0 or ends[1] > shape[k] or not lives(longer):
                    break
                block = longer
    return block


def _rows(grid: _Grid, block: Block) -> tuple[Term, ...]:
    rows: list[Term] = []
    for name, axis, (a, b) in zip(grid.model.state_names, grid.lines, block, strict=True):
        rows += [Var(name) - axis[a] if axis[a] else Var(name) + 0, axis[b] - Var(name)]
    return tuple(rows)


class _Tree:
    """The backup: questions ``x >= c``, and one input at each leaf.

    On a line that separates two blocks either input may act. Where a cell that lives touches the
    line, and the one across it is dead, its face must be taken care of by the input across, too.
    """

    def __init__(self, grid: _Grid, live: Mask, low: Array, high: Array) -> None:
        self.grid, self.live, self.low, self.high = grid, live, low, high
        self.sums = _sums(live)
        self.faces = [grid.images(k) for k in range(live.ndim)]
        self.leaves = 0

    def backup(self) -> tuple[Term, ...] | None:
        """A term for each input; None where there would be too many leaves."""
        number = self.block(tuple((0, n) for n in self.live.shape))
        if number is None or self.leaves > MOST_LEAVES:
            return None
        if len(self.grid.model.action) == 1:
            return (self.chosen(number, 0),)
        result = []
        used = sorted({s for s in _leaves(number)})
        for j in range(len(self.grid.model.action)):
            term: Term = Num(self.grid.inputs[used[-1]][j])
            for k in reversed(used[:-1]):
                term = where((k + HALF) - number >= 0, self.grid.inputs[k][j], term)
            result.append(term)
        return tuple(result)

    def chosen(self, number: Term, j: int) -> Term:
        match number:
            case Where(condition, then, other):
                return where(condition, self.chosen(then, j), self.chosen(other, j))
            case Num(value):
                return Num(self.grid.inputs[int(value)][j])
            case _:
                raise AssertionError(number)

    def block(self, block: Block) -> Term | None:
        """The number of the input, by questions; None where nothing lives."""
        if self.leaves > MOST_LEAVES:
            return None
        seen = self.seen(block)
        if not seen:
            return None
        good = np.all([self.grid.inside(a, b, self.sums) for a, b in seen], axis=0)
        sizes = [b - a for a, b in block]
        if good.any() or max(sizes) == 1:
            self.leaves += 1
            return Num(Fraction(int(good.argmax())))
        k = int(np.argmax(sizes))
        a, b = block[k]
        middle = (a + b) // 2
        under = self.block((*block[:k], (a, middle), *block[k + 1 :]))
        above = self.block((*block[:k], (middle, b), *block[k + 1 :]))
        if under is None or above is None or under == above:
            if under is not None and under == above:
                self.leaves -= 1
            return above if under is None else under
        line = self.grid.lines[k][middle]
        return where(Var(self.grid.model.state_names[k]) - line >= 0, above, under)

    def seen(self, block: Block) -> list[tuple[Array, Array]]:
        """Hulls of where what lives in a block, and on each of its faces, goes; ends (inputs, n)."""
        result = []
        inner = _slices(block)
        mask = self.live[inner]
        if mask.any():
            here = (slice(None), slice(None), *inner)
            result.append(_hull(self.low[here], self.high[here], mask))
        for k, (first, last) in enumerate(block):
            for line, own, across in ((first, first, first - 1), (last, last - 1, last)):
                if not 0 <= across < self.live.shape[k]:
                    continue
                at = (*inner[:k], slice(across, across + 1), *inner[k + 1 :])
                dead = ~self.live[(*inner[:k], slice(own, own + 1), *inner[k + 1 :])]
                mask = self.live[at] & dead
                if mask.any():
                    on = (*inner[:k], slice(line, line + 1), *inner[k + 1 :])
                    low, high = (f[(slice(None), slice(None), *on)] for f in self.faces[k])
                    result.append(_hull(low, high, mask))
        return result


def _hull(low: Array, high: Array, mask: Mask) -> tuple[Array, Array]:
    """The hull of the boxes in a mask, for each input."""
    return low[:, :, mask].min(axis=2), high[:, :, mask].max(axis=2)


def _leaves(number: Term) -> Iterator[int]:
    match number:
        case Where(_, then, other):
            yield from _leaves(then)
            yield from _leaves(other)
        case Num(value):
            yield int(value)
        case _:
            raise AssertionError(number)


__all__ = ["FAMILY", "METHOD", "cells", "suits"]
