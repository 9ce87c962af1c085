"""A positive definite form as a sum of squares in short numbers, also in many variables.

The exact LDL^T of a form in k variables has numbers of about k times its digits; here Cholesky's
factor is computed in floats and rounded, and what it leaves, exactly, is a diagonally dominant
form, a sum of squares of one and two variables. Nothing here is trusted.

Source: G. P. Barker and D. Carlson, Cones of diagonally dominant matrices, 1975.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Matrix = list[list[Fraction]]
Row = tuple[Fraction, tuple[Fraction, ...]]
"""A square ``d (row.v)^2``: d > 0, and the row."""
KEPT = 0.5
"""The part of the least eigenvalue that is kept to make up for rounding."""
MAX_BITS = 46
LONG = 1100
"""Bits of a number that a certificate may well hold."""


def short_squares(form: Matrix, widths: Sequence[float]) -> list[Row] | None:
    """Squares whose sum is ``v' form v``, for a symmetric form that is well positive definite; else None.

    ``widths`` say how far each variable reaches: they only scale the numbers.
    """
    n = len(form)
    scale = [Fraction(2) ** round(math.log2(w)) for w in widths]
    exact = [[form[i][j] * scale[i] * scale[j] for j in range(n)] for i in range(n)]
    a = np.array([[float(v) for v in row] for row in exact])
    if not np.isfinite(a).all():
        return None
    least, size = float(np.linalg.eigvalsh(a)[0]), float(np.abs(a).max())
    if least <= 1e-13 * n * size:
        return None
    bits = math.ceil(math.log2(16 * n**1.5 * math.sqrt(size) / (least * (1 - KEPT))))
    if bits > MAX_BITS:
        return None
    bits = max(bits, 4)
    factor = np.linalg.cholesky(a - KEPT * least * np.eye(n))
    whole = [[round(math.ldexp(float(v), bits)) for v in row] for row in factor]
    rest = _rest(exact, whole, bits)
    squares: list[Row] = []
    for k in range(n):
        column = tuple(Fraction(whole[i][k], 1 << bits) / scale[i] for i in range(n))
        squares.append((Fraction(1), column))
    zero = Fraction(0)
    for i in range(n):
        alone = rest[i][i] - sum((abs(rest[i][j]) for j in range(n) if j != i), zero)
        if alone < 0:
            return None
        one = 1 / scale[i]
        if alone:
            squares.append((alone, _sparse(n, {i: one})))
        for j in range(i + 1, n):
            if rest[i][j]:
                other = 1 / scale[j] if rest[i][j] > 0 else -1 / scale[j]
                squares.append((abs(rest[i][j]), _sparse(n, {i: one, j: other})))
    return squares


def exact_squares(form: Matrix) -> list[Row] | None:
    """The form's LDL^T decomposition, the first variable last; None if it is not positive, or its numbers too long.

    As many squares as variables, where `short_squares` has many more; a positive constant is left out.
    """
    n = len(form)
    squares: list[Row] = []
    for k, (d, left) in enumerate(pivots(form)):
        if d <= 0:
            return None
        if k == n - 1:
            break  # a positive constant: it stays what remains
        row = [left[j] / d if j >= k else Fraction(0) for j in range(n)]
        if any(max(v.numerator.bit_length(), v.denominator.bit_length()) > LONG for v in (d, *row)):
            return None
        squares.append((d, (row[-1], *row[:-1])))
    return squares


def pivots(form: Matrix) -> Iterator[tuple[Fraction, list[Fraction]]]:
    """Step by step the exact LDL^T of a symmetric form, its first variable taken last.

    The k-th pivot with its row, of which entries k and on count, over the variables in that order;
    where a pivot is 0, what is left stays as it is.
    """
    n = len(form)
    order = [*range(1, n), 0]
    a = [[form[i][j] for j in order] for i in order]
    for k in range(n):
        yield a[k][k], a[k]
        for i in range(k + 1, n if a[k][k] else 0):
            if a[k][i]:
                f = a[k][i] / a[k][k]
                for j in range(i, n):
                    a[i][j] = a[j][i] = a[i][j] - f * a[k][j]


def _rest(exact: Matrix, whole: list[list[int]], bits: int) -> Matrix:
    """``exact - whole whole' / 4^bits``."""
    n = len(exact)
    result = [[Fraction(0)] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1):
            product = sum(p * q for p, q in zip(whole[i], whole[j], strict=True))
            result[i][j] = result[j][i] = exact[i][j] - Fraction(product, 1 << 2 * bits)
    return result


def _sparse(n: int, entries: dict[int, Fraction]) -> tuple[Fraction, ...]:
    return tuple(entries.get(i, Fraction(0)) for i in range(n))
