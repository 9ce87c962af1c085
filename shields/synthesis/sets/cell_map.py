"""Cells: a grid over the ranges, where each cell goes under each of a few inputs, and what lives for ever.

In up to three dimensions. A cell lives if it is safe, and some input takes all of it into cells
that live, whatever the disturbance; what is left when no more die is invariant, however S and the
step are shaped. The set is handed over as few overlapping boxes, and the backup as a tree of
questions ``x >= c``, each leaf of which is one input. `nprl.shields.synthesis.proofs.cell_proof` proves it.

Source: P. Saint-Pierre, Approximation of the viability kernel, 1994; interval images in the place
of samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations, product

import numpy as np

from nprl.lang.terms import Term, Var
from nprl.model import Model
from nprl.shields.synthesis.budget import Budget
from nprl.shields.synthesis.proposal import Candidate
from nprl.shields.synthesis.sets.cell_backup import Questions
from nprl.shields.synthesis.sets.cell_grid import INPUTS, Block, Grid, grid_of, slices, sums_of
from nprl.shields.synthesis.views.images import truth
from nprl.shields.synthesis.views.numeric import Array, Mask

METHOD, FAMILY = "cells of a grid", "cells"
COUNTS = {1: (128, 32), 2: (64, 32, 16), 3: (16, 8)}
"""Cells along each coordinate, by the dimension, in the order in which they are tried."""
MOST_BOXES = 40
SEEDS = 24
"""Cells from which a box is grown at a time."""


def suits(model: Model) -> bool:
    """Whether a model is small enough: at most three coordinates, and at most three inputs."""
    return len(model.state) in COUNTS and len(model.action) in (0, *INPUTS)


def cells(model: Model, budget: Budget) -> Iterator[Candidate]:
    """Sets of cells that hold the starts, from fine grids to coarse ones; those of few boxes only."""
    for count in COUNTS[len(model.state)]:
        budget.check(METHOD)
        grid = grid_of(model, count)
        low, high = grid.images()
        live = _living(grid, low, high)
        if not _holds_starts(grid, live):
            continue
        boxes = _boxes(live, _start_block(grid))
        if len(boxes) > MOST_BOXES:
            continue
        tree = Questions(grid, live, low, high)
        backup = tree.backup()
        if backup is None:
            continue
        parts = tuple(_rows(grid, b) for b in boxes)
        notes = {"method": METHOD, "cells": count, "leaves": tree.leaves}
        yield Candidate(FAMILY, parts, backup, notes)


def _living(grid: Grid, low: Array, high: Array) -> Mask:
    at = dict(zip(grid.model.state_names, grid.ends(), strict=True))
    shape = at[grid.model.state_names[0]][0].shape
    live = np.array(np.broadcast_to(truth(grid.model.safe, at)[0], shape))
    low, high = np.moveaxis(low, 1, -1), np.moveaxis(high, 1, -1)
    while True:
        sums = sums_of(live)
        some = np.zeros(shape, dtype=np.bool_)
        for a, b in zip(low, high, strict=True):
            some |= grid.inside(a, b, sums)
        if (live <= some).all():
            return live
        live &= some


def _start_block(grid: Grid) -> Block:
    """The cells that the starts touch."""
    ends = [[float(v) for v in grid.model.init[n]] for n in grid.model.state_names]
    block = []
    for (a, b), e in zip(ends, grid.edges, strict=True):
        first = int(np.clip(np.searchsorted(e, a, side="right") - 1, 0, len(e) - 2))
        block.append((first, max(first + 1, int(np.searchsorted(e, b, side="left")))))
    return tuple(block)


def _holds_starts(grid: Grid, live: Mask) -> bool:
    return bool(live[slices(_start_block(grid))].all())


def _boxes(live: Mask, start: Block) -> list[Block]:
    """Overlapping boxes that cover what lives, each as large as it can be; the first holds the starts' first cell."""
    sums, left = sums_of(live), live.copy()
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
        best = max(grown, key=lambda b: int(left[slices(b)].sum()))
        left[slices(best)] = False
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


def _rows(grid: Grid, block: Block) -> tuple[Term, ...]:
    rows: list[Term] = []
    for name, axis, (a, b) in zip(grid.model.state_names, grid.lines, block, strict=True):
        rows += [Var(name) - axis[a] if axis[a] else Var(name) + 0, axis[b] - Var(name)]
    return tuple(rows)


__all__ = ["FAMILY", "METHOD", "cells", "suits"]
