"""The grid of cells: its lines, where cells and faces go under each input, and which boxes live.

Lines are exact; images are intervals in floats, widened by a hair (`nprl.shields.synthesis.views.images`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import numpy as np

from nprl.lang.terms import Compare, Or, Term, Unary, UnaryOp, Where, replace, subterms
from nprl.model import Model
from nprl.shields.polynomial import NotPolynomial, bound_of, polynomial
from nprl.shields.synthesis.views.images import image
from nprl.shields.synthesis.views.numeric import Array, Mask

INPUTS = {1: 9, 2: 5, 3: 3}
"""Values of each input, by their number."""
HAIR = Fraction(1, 2**12)
"""How far from a face of S lines are, as a part of the range, where it is one of several that may hold."""
SPARE = 2.0**-16
"""By how much of a cell an image is widened, for rounding."""
Block = tuple[tuple[int, int], ...]
"""Cells of a box: the first, and the one after the last, along each coordinate."""


@dataclass(frozen=True)
class Grid:
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


def grid_of(model: Model, count: int) -> Grid:
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
    return Grid(model, tuple(lines), inputs, edges)


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


def sums_of(live: Mask) -> Array:
    """How many live before each corner of the grid."""
    sums = live.astype(np.float64)
    for k in range(live.ndim):
        sums = np.cumsum(sums, axis=k)
    return np.pad(sums, [(1, 0)] * live.ndim)


def slices(block: Block) -> tuple[slice, ...]:
    """The block as an index of an array of the grid."""
    return tuple(slice(a, b) for a, b in block)


__all__ = ["INPUTS", "Block", "Grid", "grid_of", "slices", "sums_of"]
