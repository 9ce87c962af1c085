"""The backup of a set of cells: a tree of questions ``x >= c``, each leaf of which is one input."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from nprl.lang.build import where
from nprl.lang.terms import Num, Term, Var, Where
from nprl.shields.synthesis.sets.cell_grid import Block, Grid, slices, sums_of
from nprl.shields.synthesis.views.numeric import Array, Mask

MOST_LEAVES = 160
HALF = Fraction(1, 2)


class Questions:
    """The backup: questions ``x >= c``, and one input at each leaf.

    On a line that separates two blocks either input may act. Where a cell that lives touches the
    line, and the one across it is dead, its face must be taken care of by the input across, too.
    """

    def __init__(self, grid: Grid, live: Mask, low: Array, high: Array) -> None:
        self.grid, self.live, self.low, self.high = grid, live, low, high
        self.sums = sums_of(live)
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
        """The questions, with input j of each leaf in the place of its number."""
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
        inner = slices(block)
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


__all__ = ["Questions"]
