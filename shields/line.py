"""The allowed intervals on a line of actions, at one state or at a batch of them.

Proposals, trusted in nothing: `nprl.shields.span` compiled, and the rows whose side it leaves open.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nprl.lang.floats import compile_batch, compile_scalar
from nprl.lang.terms import Term
from nprl.shields.span import ZERO, Span

Floats = NDArray[np.float64]
FLAT = 1e-9
"""A row whose curvature is this share of its size, or less, is taken as straight."""


class Line:
    """The compiled spans of a certificate's parts, over groups of variables."""

    def __init__(
        self,
        spans: Sequence[Span],
        groups: Sequence[Sequence[str]],
        box: Mapping[str, tuple[float, float]],
        ends: tuple[float, float],
    ) -> None:
        """Compile ``spans`` on the line from ``ends[0]`` to ``ends[1]``."""
        terms: list[Term] = []
        self._ends = ends
        self._places: list[tuple[int, int, int]] = []
        """For each part: where its terms begin, its open rows, and their coefficients (2 or 3)."""
        for s in spans:
            order = 3 if any(c[2] != ZERO for c in s.open_rows) else 2
            self._places.append((len(terms), len(s.open_rows), order))
            terms += [s.low, s.high, s.slack]
            terms += [c[k] for k in range(order) for c in s.open_rows]
        self._scalar = compile_scalar(terms, groups, box)
        self._batch = compile_batch(terms, groups, box)

    def one(self, *at: Sequence[float]) -> list[tuple[float, float]]:
        """The intervals of the parts that have one."""
        values, found = self._scalar(*at), []
        for first, size, order in self._places:
            low, high, slack = values[first : first + 3]
            if size:
                rest = values[first + 3 : first + 3 + order * size]
                columns = [rest[k * size : (k + 1) * size] for k in range(order)]
                low, high = _narrowed(low, high, zip(*columns, strict=True), self._ends)
            if low <= high and slack >= 0:
                found.append((low, high))
        return found

    def batch(self, *at: Floats) -> list[tuple[Floats, Floats, Floats]]:
        """Of each part, for each row: both ends, crossed where there is none; and the slack."""
        with np.errstate(all="ignore"):
            values, found = self._batch(*at), []
            for first, size, order in self._places:
                low, high, slack = values[first : first + 3]
                if size:
                    rest = np.array(values[first + 3 : first + 3 + order * size])
                    columns = rest.reshape(order, size, -1)
                    low, high = _narrowed_batch(low, high, columns, self._ends)
                found.append((low, high, slack))
        return found


def _narrowed(
    low: float, high: float, rows: Iterable[Sequence[float]], ends: tuple[float, float]
) -> tuple[float, float]:
    """The part of an interval where rows of coefficients are ``>= 0``; crossed if there is none."""
    first, last = ends
    width = last - first
    for c0, c1, *more in rows:
        if more:
            c2 = more[0]
            if c2 * width * width < -FLAT * (abs(c0) + abs(c1) * width):
                under = c1 * c1 - 4 * c2 * c0
                if not under >= 0:
                    return math.inf, -math.inf
                root = math.sqrt(under)
                low = max(low, (-c1 + root) / (2 * c2))
                high = min(high, (-c1 - root) / (2 * c2))
                continue
            c0, c1 = c0 - c2 * first * last, c1 + c2 * (first + last)  # convex: by its chord
        if c1 > 0:
            low = max(low, -c0 / c1)
        elif c1 < 0:
            high = min(high, -c0 / c1)
        elif c0 < 0:
            return math.inf, -math.inf
    return low, high


def _narrowed_batch(
    low: Floats, high: Floats, columns: Floats, ends: tuple[float, float]
) -> tuple[Floats, Floats]:
    """`_narrowed` for coefficients of shape (2 or 3, rows, n) and ends (n,)."""
    first, last = ends
    width = last - first
    c0, c1, *more = columns
    straight0, straight1 = c0, c1
    if more:
        c2: Any = more[0]
        straight0, straight1 = c0 - c2 * (first * last), c1 + c2 * (first + last)
    zero = -straight0 / straight1
    never = (straight1 == 0) & (straight0 < 0)
    lows = np.where(straight1 > 0, zero, np.where(never, math.inf, first))
    highs = np.where(straight1 < 0, zero, np.where(never, -math.inf, last))
    if more:
        curved = c2 * (width * width) < -FLAT * (abs(c0) + abs(c1) * width)
        under = c1 * c1 - 4 * c2 * c0
        root = np.sqrt(under)
        none = ~(under >= 0)
        lows = np.where(curved, np.where(none, math.inf, (-c1 + root) / (2 * c2)), lows)
        highs = np.where(curved, np.where(none, -math.inf, (-c1 - root) / (2 * c2)), highs)
    return np.maximum(low, lows.max(axis=0)), np.minimum(high, highs.min(axis=0))
