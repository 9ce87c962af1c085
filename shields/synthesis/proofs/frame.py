"""Coordinates in which a quadratic leaf is well scaled: the state's box, and each noise by its bounds.

A variable that the concave premise does not hold (a rounding error, an input near its gain's value,
a function near its linearisation) is bounded, given the others, by two opposite premises ``r + l(v) - middle >= 0``,
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
Bounds = tuple[Fraction, tuple[int, int], dict[str, Fraction], Fraction]
"""Of a variable, by one pair: r, the numbers, l, and the middle."""


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
    known, open_ = set(own), [v for v in order if v not in own]
    while open_:  # what is bounded by the state alone, then what is bounded by those, too
        bounded = [(v, best) for v in open_ if (best := _tightest(v, known, pairs)) is not None]
        if not bounded:
            return None
        noise += [_placed(v, best, index, outer, inner) for v, best in bounded]
        known |= {v for v, _ in bounded}
        open_ = [v for v in open_ if v not in known]
    return Frame(outer, inner, tuple(noise))


def tied(own: set[str], wanted: set[str], pairs: Sequence[Pair]) -> set[str]:
    """The wanted variables, and those by which they are bounded where ``own`` alone does not do it."""
    found, open_ = set(wanted), [*wanted]
    while open_:
        v = open_.pop()
        if v in own or _tightest(v, own, pairs) is not None:
            continue
        every = {n for _, below, _ in pairs for n in names(below)}
        best = _tightest(v, every, pairs)
        fresh: set[str] = set() if best is None else best[2].keys() - own - found
        found |= fresh
        open_ += fresh
    return found


def _placed(
    v: str, best: Bounds, index: Mapping[str, int], outer: Matrix, inner: Matrix
) -> tuple[int, tuple[int, int], Fraction]:
    """Put the row of a noise into both matrices; what bounds it has its own already."""
    radius, numbers, form, middle = best
    i, size = index[v], len(outer)
    # s = (l(v) - middle) / r, and v = (middle + r s - l(others)) / l_v
    inner[i] = [Fraction(0)] * size
    for n, c in form.items():
        inner[i][index[n]] = c / radius
    inner[i][0] = -middle / radius
    outer[i] = [Fraction(0)] * size
    outer[i][i] = radius / form[v]
    outer[i][0] = middle / form[v]
    for n, c in form.items():
        if n != v:
            for k, w in enumerate(outer[index[n]]):
                outer[i][k] -= c * w / form[v]
    return i, numbers, radius


def _tightest(v: str, known: set[str], pairs: Sequence[Pair]) -> Bounds | None:
    """The bounds that tell most about v, given the known variables."""
    best: Bounds | None = None
    for numbers, below, above in pairs:
        if v not in names(below) or not names(below) <= known | {v}:
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
