"""Polynomials with rational coefficients: the arithmetic of proofs.

A polynomial maps monomials to coefficients that are not zero; a monomial is a sorted tuple of
(name, power). Exact, and no more clever than that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

from nprl.lang.terms import Binary, BinaryOp, Num, Power, Term, Unary, UnaryOp, Var

Monomial = tuple[tuple[str, int], ...]
Polynomial = dict[Monomial, Fraction]
Range = tuple[Fraction, Fraction]
MAX_MONOMIALS = 20_000
MAX_BERNSTEIN_VARIABLES = 6
MAX_BERNSTEIN_COEFFICIENTS = 5_000


class NotPolynomial(ValueError):
    """A term that is no polynomial, or is too large a one."""


def constant(value: Fraction) -> Polynomial:
    """The polynomial that is a number."""
    return {(): value} if value else {}


def add(p: Polynomial, q: Polynomial, factor: Fraction = Fraction(1)) -> Polynomial:
    """``p + factor * q``."""
    result = dict(p)
    for monomial, value in q.items():
        total = result.get(monomial, 0) + factor * value
        if total:
            result[monomial] = Fraction(total)
        else:
            result.pop(monomial, None)
    return result


def times(p: Polynomial, q: Polynomial) -> Polynomial:
    """``p * q``.

    Raises:
        NotPolynomial: where the product would have too many monomials.
    """
    if len(p) * len(q) > 10 * MAX_MONOMIALS:
        raise NotPolynomial("a product of polynomials is too large")
    result: Polynomial = {}
    for m1, v1 in p.items():
        for m2, v2 in q.items():
            m = _join(m1, m2)
            result[m] = result.get(m, Fraction(0)) + v1 * v2
    if len(result) > MAX_MONOMIALS:
        raise NotPolynomial(f"a polynomial has more than {MAX_MONOMIALS} monomials")
    return {m: v for m, v in result.items() if v}


def _join(m1: Monomial, m2: Monomial) -> Monomial:
    if not m1 or not m2:
        return m1 or m2
    powers = dict(m1)
    for name, power in m2:
        powers[name] = powers.get(name, 0) + power
    return tuple(sorted(powers.items()))


def polynomial(t: Term) -> Polynomial:
    """The polynomial that ``t`` is: numbers, variables, neg + - * **, division by a number not zero.

    Raises:
        NotPolynomial: for anything else.
    """
    match t:
        case Num(value):
            return constant(value)
        case Var(name):
            return {((name, 1),): Fraction(1)}
        case Unary(UnaryOp.NEG, arg):
            return add({}, polynomial(arg), Fraction(-1))
        case Binary(BinaryOp.ADD, left, right):
            return add(polynomial(left), polynomial(right))
        case Binary(BinaryOp.SUB, left, right):
            return add(polynomial(left), polynomial(right), Fraction(-1))
        case Binary(BinaryOp.MUL, left, right):
            return times(polynomial(left), polynomial(right))
        case Binary(BinaryOp.DIV, left, Num(value)) if value:
            return add({}, polynomial(left), 1 / value)
        case Power(base, exponent):
            factor, result = polynomial(base), constant(Fraction(1))
            for _ in range(exponent):
                result = times(result, factor)
            return result
        case _:
            raise NotPolynomial(f"a polynomial is needed; got {str(t)[:80]}")


def names(p: Polynomial) -> frozenset[str]:
    """The variables that occur."""
    return frozenset(name for m in p for name, _ in m)


def bound_of(p: Polynomial) -> tuple[str, int, Fraction] | None:
    """For ``p = c v + d``, what ``p >= 0`` says of v: (v, +1, lower bound) or (v, -1, upper bound)."""
    linear = [m for m in p if m]
    if len(linear) != 1 or len(linear[0]) != 1 or linear[0][0][1] != 1:
        return None
    c, d = p[linear[0]], p.get((), Fraction(0))
    return linear[0][0][0], 1 if c > 0 else -1, -d / c


def monomial_range(m: Monomial, box: Mapping[str, Range]) -> Range:
    """The least interval arithmetic gives for a monomial on a box."""
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


@dataclass(frozen=True, slots=True)
class Bernstein:
    """``p = sum coefficient[i] prod_v C(n_v, i_v) s_v^i_v (1 - s_v)^(n_v - i_v)``.

    ``s_v = (v - low) / (high - low)``, n_v the degree of p in v.
    """

    polynomial: Polynomial
    variables: tuple[str, ...]
    degrees: tuple[int, ...]
    coefficients: dict[tuple[int, ...], Fraction]


def components(p: Polynomial) -> tuple[Polynomial, list[Polynomial]]:
    """``p`` as an affine part whose variables occur nowhere else, and parts without common ones."""
    classes: list[set[str]] = []
    for m in p:
        if sum(k for _, k in m) > 1:
            joined = {n for n, _ in m}
            apart = [c for c in classes if not c & joined]
            classes = [*apart, joined.union(*(c for c in classes if c & joined))]
    parts = [{m: c for m, c in p.items() if any(n in one for n, _ in m)} for one in classes]
    mixed = {m for part in parts for m in part}
    return {m: c for m, c in p.items() if m not in mixed}, parts


def bernstein(p: Polynomial, box: Mapping[str, Range]) -> Bernstein | None:
    """The Bernstein form of ``p`` on a box; None where it is too large.

    Source: G. T. Cargo and O. Shisha, The Bernstein form of a polynomial, 1966.
    """
    order = sorted(names(p))
    degree = [max(dict(m).get(v, 0) for m in p) for v in order]
    size = math.prod(d + 1 for d in degree)
    if len(order) > MAX_BERNSTEIN_VARIABLES or size > MAX_BERNSTEIN_COEFFICIENTS:
        return None
    scale = math.lcm(*(c.denominator for c in p.values()))
    table = {tuple(dict(m).get(v, 0) for v in order): int(c * scale) for m, c in p.items()}
    for axis, (v, n) in enumerate(zip(order, degree, strict=True)):
        matrix, denominator = _change_of_basis(n, box[v][0], box[v][1] - box[v][0])
        table = _along(table, axis, matrix)
        scale *= denominator
    every = product(*(range(d + 1) for d in degree))
    full = {i: Fraction(table.get(i, 0), scale) for i in every}
    return Bernstein(p, tuple(order), tuple(degree), full)


def bernstein_bound(p: Polynomial, box: Mapping[str, Range]) -> Fraction | None:
    """A lower bound of ``p`` on the box, part by part; None where a form is too large."""
    rest, parts = components(p)
    total = lower_bound(rest, box)
    for part in parts:
        form = bernstein(part, box)
        if form is None:
            return None
        total += min(form.coefficients.values())
    return total


def _change_of_basis(n: int, low: Fraction, width: Fraction) -> tuple[list[list[int]], int]:
    """Row k: the Bernstein coefficients of degree n of ``(low + width s)^k``, times a common denominator."""
    matrix = [[Fraction(0)] * (n + 1) for _ in range(n + 1)]
    for k in range(n + 1):  # (low + width s)^k = sum_j C(k,j) low^(k-j) width^j s^j
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
