"""Coordinates in which a quadratic leaf is well scaled: the state's box, and each noise by its bounds.

A variable that the concave premise does not hold (a rounding error, an input near its gain's value,
a function near its linearisation) is bounded by two opposite premises ``r + l(v) - middle >= 0``,
``r - l(v) + middle >= 0``; ``s = (l(v) - middle) / r`` takes its place, and the product of the two
is ``r^2 (1 - s^2)``. All exact.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from nprl.shields.polynomial import Polynomial, Range, names

Matrix = list[list[Fraction]]
Pair = tuple[tuple[int, int], Polynomial, Polynomial]
"""Two premises by number, and their affine polynomials, opposite but for the constant."""


@dataclass(frozen=True, slots=True)
class Frame:
    """``(1, v) = outer (1, y)`` and ``(1, y) = inner (1, v)``; ``noise`` has (place, pair, r) of each s."""

    outer: Matrix
    inner: Matrix
    noise: tuple[tuple[int, tuple[int, int], Fraction], ...]

    def form(self, matrix: Matrix) -> Matrix:
        """A form in v as one in y."""
        return _product(_transposed(self.outer), _product(matrix, self.outer))

    def row(self, row: Sequence[Fraction]) -> list[Fraction]:
        """A linear form in y as one in v."""
        return _product([list(row)], self.inner)[0]


def frame(
    own: set[str], order: Sequence[str], pairs: Sequence[Pair], box: Mapping[str, Range]
) -> Frame | None:
    """The frame over the variables in their order; None where some variable has no such bounds."""
    index = {v: i + 1 for i, v in enumerate(order)}
    size = len(order) + 1
    outer, inner = _identity(size), _identity(size)
    for v in own:
        low, high = box.get(v, (Fraction(-1), Fraction(1)))
        width = Fraction(2) ** round(math.log2((high - low) / 2)) if high > low else Fraction(1)
        middle = (low + high) / 2
        outer[index[v]][index[v]], outer[index[v]][0] = width, middle
        inner[index[v]][index[v]], inner[index[v]][0] = 1 / width, -middle / width
    noise = []
    for v in order:
        if v in own:
            continue
        best = _tightest(v, own, pairs)
        if best is None:
            return None
        radius, numbers, form, middle = best
        i = index[v]
        # s = (l(v) - middle) / r, and v = (middle + r s - l(own)) / l_v
        inner[i] = [Fraction(0)] * size
        for n, c in form.items():
            inner[i][index[n]] = c / radius
        inner[i][0] = -middle / radius
        outer[i] = [Fraction(0)] * size
        outer[i][i] = radius / form[v]
        outer[i][0] = middle / form[v]
        for n, c in form.items():
            if n != v:
                for k in (0, index[n]):
                    outer[i][k] -= c * outer[index[n]][k] / form[v]
        noise.append((i, numbers, radius))
    return Frame(outer, inner, tuple(noise))


def _tightest(
    v: str, own: set[str], pairs: Sequence[Pair]
) -> tuple[Fraction, tuple[int, int], dict[str, Fraction], Fraction] | None:
    """The bounds that tell most about v, given the own variables: r, the numbers, l, and the middle."""
    best: tuple[Fraction, tuple[int, int], dict[str, Fraction], Fraction] | None = None
    for numbers, below, above in pairs:
        if v not in names(below) or not names(below) <= own | {v}:
            continue
        form = {n: below[((n, 1),)] for n in names(below)}
        b1, b2 = below.get((), Fraction(0)), above.get((), Fraction(0))  # -b1 <= l <= b2
        radius = (b1 + b2) / 2
        if radius <= 0:
            continue
        if best is None or radius / abs(form[v]) < best[0] / abs(best[2][v]):
            best = radius, numbers, form, (b2 - b1) / 2
    return best


def _identity(size: int) -> Matrix:
    return [[Fraction(int(i == j)) for j in range(size)] for i in range(size)]


def _transposed(a: Matrix) -> Matrix:
    return [list(column) for column in zip(*a, strict=True)]


def _product(a: Matrix, b: Matrix) -> Matrix:
    """Without the zeros of either."""
    sparse = [[(j, v) for j, v in enumerate(row) if v] for row in b]
    result = []
    for row in a:
        total = [Fraction(0)] * len(b[0])
        for k, v in enumerate(row):
            if v:
                for j, w in sparse[k]:
                    total[j] += v * w
        result.append(total)
    return result
