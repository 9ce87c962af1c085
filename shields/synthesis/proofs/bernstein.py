"""Lower bounds of polynomials on boxes, each with the products of bounds that prove it.

On a box, a polynomial is its least Bernstein coefficient and a sum of products
``c (v - low)^i (high - v)^j ...`` with c >= 0: a combination of premises, which a checker only
multiplies out. Nothing here is trusted.

Source: G. T. Cargo and O. Shisha, The Bernstein form of a polynomial, 1966; D. Handelman,
Representing polynomials by positive linear functions on compact convex polyhedra, 1988.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import product
from typing import Any

from nprl.lang.serial import number_to_json, to_json
from nprl.lang.terms import MAX_EXPONENT, Num, Power, Term, Var
from nprl.shields.polynomial import Monomial, Polynomial, Range, bound_of, names

MAX_VARIABLES = 6
MAX_COEFFICIENTS = 5_000
Factors = tuple[tuple[str, int, int], ...]
"""``(v - low)^i (high - v)^j`` for each (v, i, j)."""


@dataclass(frozen=True, slots=True)
class Form:
    """``p = least + sum c product + sum d monomial^2`` on a box, with all c, d >= 0."""

    least: Fraction
    products: tuple[tuple[Fraction, Factors], ...] = ()
    squares: tuple[tuple[Fraction, Monomial], ...] = ()


def monomial_range(m: Monomial, box: Mapping[str, Range]) -> Range:
    """The least interval that interval arithmetic gives for a monomial on a box."""
    low = high = Fraction(1)
    for name, power in m:
        a, b = box[name]
        ends = (a**power, b**power)
        if power % 2 == 0 and a < 0 < b:
            ends = (Fraction(0), max(ends))
        corners = [low * ends[0], low * ends[1], high * ends[0], high * ends[1]]
        low, high = min(corners), max(corners)
    return low, high


def lower_bound(p: Polynomial, box: Mapping[str, Range]) -> Fraction:
    """A lower bound of ``p`` on the box: monomial by monomial."""
    total = Fraction(0)
    for m, c in p.items():
        low, high = monomial_range(m, box)
        total += c * (low if c > 0 else high)
    return total


def components(p: Polynomial) -> tuple[Polynomial, list[Polynomial]]:
    """``p`` as its affine part, and parts of higher degree without common variables."""
    classes: list[set[str]] = []
    for m in p:
        if sum(k for _, k in m) > 1:
            joined = {n for n, _ in m}
            others = [c for c in classes if not c & joined]
            classes = [*others, joined.union(*(c for c in classes if c & joined))]
    parts = [{m: c for m, c in p.items() if any(n in one for n, _ in m)} for one in classes]
    mixed = {m for part in parts for m in part}
    return {m: c for m, c in p.items() if m not in mixed}, parts


def forms(parts: Sequence[Polynomial], least: Fraction, box: Mapping[str, Range]) -> list[Form]:
    """A form of each part; none at all where one is too large.

    Monomial by monomial if that is enough for ``least + p > 0``, for it is shorter; else the better
    of that and the Bernstein form.
    """
    simple = [lower_bound(p, box) for p in parts]
    if least + sum(simple, Fraction(0)) > 0:
        single = [f for p in parts if (f := apart(p, box))]
        if len(single) == len(parts) and least + sum((f.least for f in single), Fraction(0)) > 0:
            return single
    found = []
    for p, below in zip(parts, simple, strict=True):
        pair = [form_on(p, box)]
        if pair[0] is None or pair[0].least < below:
            pair.append(apart(p, box))
        best = max((f for f in pair if f), key=lambda f: f.least, default=None)
        if best is None:
            return []
        found.append(best)
    return found


def apart(p: Polynomial, box: Mapping[str, Range]) -> Form | None:
    """A form of each monomial, added up; None where one is too large."""
    single = [_of_monomial(m, c, box) for m, c in p.items()]
    found = [f for f in single if f is not None]
    if len(found) < len(single):
        return None
    return Form(
        sum((f.least for f in found), Fraction(0)),
        tuple(e for f in found for e in f.products),
        tuple(e for f in found for e in f.squares),
    )


def _of_monomial(m: Monomial, c: Fraction, box: Mapping[str, Range]) -> Form | None:
    if c > 0 and m and all(k % 2 == 0 for _, k in m):
        half = tuple((n, k // 2) for n, k in m)
        if monomial_range(half, box)[0] < 0 < monomial_range(half, box)[1]:
            return Form(Fraction(0), (), ((c, half),))
    return form_on({m: c}, box)


def form_on(p: Polynomial, box: Mapping[str, Range]) -> Form | None:
    """The Bernstein form; in a variable whose range is a point, the Taylor form."""
    order = sorted(names(p))
    degree = [max(dict(m).get(v, 0) for m in p) for v in order]
    size = math.prod(d + 1 for d in degree)
    if len(order) > MAX_VARIABLES or size > MAX_COEFFICIENTS:
        return None
    scale = math.lcm(*(c.denominator for c in p.values()))
    table = {tuple(dict(m).get(v, 0) for v in order): int(c * scale) for m, c in p.items()}
    for axis, (v, n) in enumerate(zip(order, degree, strict=True)):
        matrix, denominator = _change_of_basis(n, box[v][0], box[v][1] - box[v][0])
        table = _along(table, axis, matrix)
        scale *= denominator
    flat = {k for k, v in enumerate(order) if box[v][0] == box[v][1]}
    every = product(*(range(d + 1) for d in degree))
    values = {i: Fraction(table.get(i, 0), scale) for i in every}
    least = min(c for i, c in values.items() if not any(i[k] for k in flat))
    entries = []
    for index, c in values.items():
        free = [k for k in flat if index[k]]  # (v - low)^i, which is 0: any sign will do
        if not free:
            c -= least
        factors = []
        for k, (v, i, n) in enumerate(zip(order, index, degree, strict=True)):
            if k in flat:
                other = int(c < 0 and k == free[0]) if i else 0
                factors.append((v, i - other, other))
            else:
                c *= math.comb(n, i) / (box[v][1] - box[v][0]) ** n
                factors.append((v, i, n - i))
        if c:
            entries.append((abs(c), tuple(factors)))
    return Form(least, tuple(entries))


@lru_cache(maxsize=4096)
def _change_of_basis(n: int, low: Fraction, width: Fraction) -> tuple[list[list[int]], int]:
    """Row k: the coefficients of ``v^k``, as integers over a common denominator.

    In the Bernstein basis of degree n on the range, or in powers of ``v - low`` where width is 0.
    """
    matrix = [[Fraction(0)] * (n + 1) for _ in range(n + 1)]
    for k in range(n + 1):
        if not width:
            matrix[k] = [math.comb(k, j) * low ** max(0, k - j) for j in range(n + 1)]
            continue
        # (low + width s)^k = sum_j C(k,j) low^(k-j) width^j s^j
        shifted = [math.comb(k, j) * low ** (k - j) * width**j for j in range(k + 1)]
        for i in range(n + 1):  # s^j has Bernstein coefficients C(i,j) / C(n,j)
            for j in range(min(i, k) + 1):
                matrix[k][i] += Fraction(math.comb(i, j), math.comb(n, j)) * shifted[j]
    denominator = math.lcm(*(v.denominator for row in matrix for v in row))
    return [[int(v * denominator) for v in row] for row in matrix], denominator


def _along(
    table: Mapping[tuple[int, ...], int], axis: int, matrix: list[list[int]]
) -> dict[tuple[int, ...], int]:
    result: dict[tuple[int, ...], int] = {}
    for index, value in table.items():
        for i, factor in enumerate(matrix[index[axis]]):
            if factor:
                key = (*index[:axis], i, *index[axis + 1 :])
                result[key] = result.get(key, 0) + value * factor
    return result


def bound(p: Polynomial, box: Mapping[str, Range]) -> Fraction | None:
    """A lower bound of ``p`` on the box, part by part; None where a form is too large."""
    rest, parts = components(p)
    least = lower_bound(rest, box)
    found = forms(parts, least, box)
    return sum((f.least for f in found), least) if len(found) == len(parts) else None


def entries(
    p: Polynomial, box: Mapping[str, Range], premises: Mapping[int, Polynomial]
) -> dict[str, list[Any]]:
    """A leaf's products and squares that leave of ``p`` something affine, bounded as `bound` says.

    ``premises`` are those that state the box, by number.

    Raises:
        ValueError: a number is too long to be written.
    """
    rest, parts = components(p)
    products: dict[tuple[int, ...], Fraction] = {}
    squares: dict[Monomial, Fraction] = {}
    for form in forms(parts, lower_bound(rest, box), box):
        for c, numbers in numbered(form.products, box, premises):
            products[numbers] = products.get(numbers, Fraction(0)) + c
        for c, m in form.squares:
            squares[m] = squares.get(m, Fraction(0)) + c
    result = {
        "products": [[number_to_json(c), list(k)] for k, c in products.items()],
        "squares": [
            [number_to_json(c), to_json(from_polynomial({m: Fraction(1)})), []]
            for m, c in squares.items()
        ],
    }
    return {key: found for key, found in result.items() if found}


def numbered(
    terms: Sequence[tuple[Fraction, Factors]],
    box: Mapping[str, Range],
    premises: Mapping[int, Polynomial],
) -> Iterator[tuple[Fraction, tuple[int, ...]]]:
    """The products of a form as products of premises: the factor, and the premises' numbers."""
    sides = dict(_sides(box, premises)) if terms else {}
    for c, factors in terms:
        numbers: tuple[int, ...] = ()
        for v, *powers in factors:
            for power, (k, slope) in zip(powers, sides[v], strict=True):
                c /= slope**power
                numbers += (k,) * power
        yield c, numbers


def _sides(
    box: Mapping[str, Range], premises: Mapping[int, Polynomial]
) -> Iterator[tuple[str, list[tuple[int, Fraction]]]]:
    """For each variable: the premises ``slope (v - low)`` and ``slope (high - v)``, as numbers."""
    stated = {}
    for k, p in premises.items():
        found = bound_of(p)
        if found is not None:
            v, side, end = found
            stated[v, side, end] = k, abs(p[((v, 1),)])
    for v, (low, high) in box.items():
        yield v, [stated[v, 1, low], stated[v, -1, high]]


def from_polynomial(p: Polynomial) -> Term:
    """A polynomial as a term: a balanced sum of products, constants in front."""
    parts: list[Term] = []
    for m, c in sorted(p.items()):
        part: Term = Num(c)
        for i, (n, k) in enumerate(m):
            factor = _power(n, k)
            part = factor if i == 0 and c == 1 else part * factor
        parts.append(part)
    while len(parts) > 1:
        parts = [
            parts[i] + parts[i + 1] if i + 1 < len(parts) else parts[i]
            for i in range(0, len(parts), 2)
        ]
    return parts[0] if parts else Num(Fraction(0))


def _power(name: str, k: int) -> Term:
    """A power of a variable; the language's exponents end at `MAX_EXPONENT`."""
    factor: Term = Var(name) if k == 1 else Power(Var(name), min(k, MAX_EXPONENT))
    return factor if k <= MAX_EXPONENT else factor * _power(name, k - MAX_EXPONENT)
