"""That a step keeps an ellipsoid, by one sum of squares of polynomials in the state.

Each next coordinate is a polynomial of low degree in the state and the disturbance, and something
within a small radius. So with the ellipsoid's value V, ``1 - V(next) = sigma (1 - V) + squares +
multiples of radius^2 - distance^2``, sigma a sum of squares, too. A semidefinite program finds
them; they are rounded, and what the rounding leaves is spread over the squares exactly.

Source: P. A. Parrilo, Structured semidefinite programs, 2000, chapter 4; exact rounding after H.
Peyrl and P. A. Parrilo, Computing sum of squares decompositions with rational coefficients, 2008.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations_with_replacement
from typing import Any

import cvxpy as cp
import numpy as np
from scipy.sparse import csr_matrix

from nprl.lang.serial import number_to_json, to_json
from nprl.lang.terms import Num, Power, Term, Var, replace
from nprl.shields.polynomial import Monomial, Polynomial, add, constant, times
from nprl.shields.synthesis.proofs.direct_squares import limited, short
from nprl.shields.synthesis.proofs.short_squares import short_squares
from nprl.shields.synthesis.views.numeric import Array

Matrix = list[list[Fraction]]
MOST_BASIS = 60
"""Monomials of one square beyond which the program is too large."""
BITS = 34
"""Of the matrix of the squares."""
PART = 0.9
"""The part of the found margin that stays after multipliers are rounded."""


@dataclass(frozen=True, slots=True)
class Noise:
    """A polynomial within ``radius`` of 0, ``name`` plus others, and the premises ``radius +- form``.

    ``size`` scales its square in the program.
    """

    name: str
    form: Polynomial
    radius: Fraction
    premises: tuple[int, int]
    size: float


@dataclass(frozen=True, slots=True)
class Frame:
    """Coordinates ``s = (x - centre) / half`` of the state, in short numbers."""

    names: tuple[str, ...]
    centre: tuple[Fraction, ...]
    half: tuple[Fraction, ...]

    def scaled(self, p: Polynomial) -> Polynomial:
        """``p`` with ``centre + half s`` for x, under the same names."""
        return self._put(p, ((c, h) for c, h in zip(self.centre, self.half, strict=True)))

    def units(self, p: Polynomial) -> Polynomial:
        """The opposite of `scaled`."""
        return self._put(p, ((-c / h, 1 / h) for c, h in zip(self.centre, self.half, strict=True)))

    def _put(self, p: Polynomial, forms: Iterable[tuple[Fraction, Fraction]]) -> Polynomial:
        """``p`` with a constant and a slope times itself for each of the names."""
        at: dict[str, Polynomial] = {}
        for n, (constant_part, slope) in zip(self.names, forms, strict=True):
            at[n] = {((n, 1),): slope}
            if constant_part:
                at[n][()] = constant_part
        return substituted(p, at)

    def variable(self, name: str) -> Term:
        """``(x - centre) / half`` as a term."""
        i = self.names.index(name)
        c = self.centre[i]
        away: Term = Var(name) - Num(c) if c else Var(name)
        return away if self.half[i] == 1 else Num(1 / self.half[i]) * away


def substituted(p: Polynomial, at: Mapping[str, Polynomial]) -> Polynomial:
    """``p`` with polynomials for some of its variables."""
    result: Polynomial = {}
    powers: dict[tuple[str, int], Polynomial] = {}

    def power(name: str, k: int) -> Polynomial:
        if (name, k) not in powers:
            base = at.get(name, {((name, 1),): Fraction(1)})
            powers[name, k] = base if k == 1 else times(power(name, k - 1), base)
        return powers[name, k]

    for m, c in p.items():
        part = constant(c)
        for name, k in m:
            part = times(part, power(name, k))
        result = add(result, part)
    return result


def step_squares(
    goal: Polynomial,
    inside: tuple[int, Polynomial],
    steps: Mapping[str, Polynomial],
    noises: Sequence[Noise],
    frame: Frame,
    degree: int,
    seconds: float,
    meaning: Mapping[Term, Term] | None = None,
) -> dict[str, Any] | None:
    """A leaf's combination for the quadratic goal over the names of next coordinates; None if none is found.

    ``inside`` is the premise ``1 - V(x) >= 0`` by number. ``steps`` says of each name the polynomial
    in the state and the disturbances of which it is no farther than its noise. ``degree`` is that of
    the squares. ``meaning`` says what the frame's names stand for, if not for themselves.
    """
    quiet = {n.name: n for n in noises}
    scale = {n.name: Fraction(short(n.size, 4)) for n in noises}
    own = [m for d in range(degree + 1) for m in combinations_with_replacement(frame.names, d)]
    basis: list[Monomial] = [tuple((n, m.count(n)) for n in sorted(set(m))) for m in own]
    basis += [((n.name, 1),) for n in noises]
    if len(basis) > MOST_BASIS:
        return None
    end = time.monotonic() + seconds
    at: dict[str, Polynomial] = {}
    for name in quiet:  # each noise is ``scale`` times a new variable of its own name
        at[name] = {((name, 1),): quiet[name].radius / scale[name]}
        if name not in steps and () in quiet[name].form:
            at[name][()] = -quiet[name].form[()]
    first = {n: p for n, p in at.items() if n not in steps}  # disturbances
    for name, p in steps.items():
        near = frame.scaled(substituted(p, first))
        at[name] = add(near, at[name]) if name in at else near
    target = substituted(goal, at)
    premise = frame.scaled(inside[1])
    shares = [add(constant(scale[n.name] ** 2), {((n.name, 2),): Fraction(-1)}) for n in noises]
    factor = [m for m in basis if sum(k for _, k in m) < degree and not set(dict(m)) & quiet.keys()]
    found = _programmed(target, premise, shares, factor, basis, end - time.monotonic())
    if found is None or time.monotonic() > end:
        return None
    sigma, taus, gram = found
    rest = target
    products: list[list[Any]] = []
    squares: list[list[Any]] = []
    for tau, n, share in zip(taus, noises, shares, strict=True):
        value = short(max(tau, 1e-9), 16)
        rest = add(rest, share, -value)
        paid = value * scale[n.name] ** 2 / n.radius**2
        products.append([number_to_json(paid), list(n.premises)])
    for row in _factor(sigma):
        form = {m: v for m, v in zip(factor, row, strict=True) if v}
        if form:
            rest = add(rest, times(times(form, form), premise), Fraction(-1))
            squares.append(["1", to_json(replace(_term(form, frame), meaning or {})), [inside[0]]])
    exact = _gram(rest, gram, basis)
    rows = (
        None
        if exact is None or time.monotonic() > end
        else short_squares(exact, [1.0] * len(basis))
    )
    if rows is None:
        return None
    back = {
        n.name: {m: v * scale[n.name] / n.radius for m, v in frame.scaled(n.form).items()}
        for n in noises
    }
    for d, values in rows:
        form = {}
        for m, v in zip(basis, values, strict=True):
            if v:
                form = add(form, substituted({m: v}, back))
        squares.append([number_to_json(d), to_json(replace(_term(form, frame), meaning or {})), []])
    return {"products": products, "squares": squares}


def _programmed(
    target: Polynomial,
    premise: Polynomial,
    shares: Sequence[Polynomial],
    factor: Sequence[Monomial],
    basis: Sequence[Monomial],
    seconds: float,
) -> tuple[Array, Array, Array] | None:
    """The matrix of sigma, the shares' multipliers, and the matrix of the squares, with most margin."""
    place: dict[Monomial, int] = {}

    def column(parts: Sequence[tuple[Monomial, float]], k: int, into: list[Any]) -> None:
        into += [(place.setdefault(m, len(place)), k, v) for m, v in parts if v]

    grams: list[Any] = []
    size, small = len(basis), len(factor)
    for i in range(size):
        for j in range(size):
            column([(_joined(basis[i], basis[j]), 1.0)], i * size + j, grams)
    sigmas: list[Any] = []
    floats = [(m, float(v)) for m, v in premise.items()]
    for i in range(small):
        for j in range(small):
            m = _joined(factor[i], factor[j])
            column([(_joined(m, o), v) for o, v in floats], i * small + j, sigmas)
    taus: list[Any] = []
    for k, share in enumerate(shares):
        column([(m, float(v)) for m, v in share.items()], k, taus)
    rights: list[Any] = []
    column([(m, float(v)) for m, v in target.items()], 0, rights)
    count = len(place)
    if count > len({_joined(a, b) for a in basis for b in basis}):
        return None  # the squares' degree is too low

    def matrix(entries: list[Any], width: int) -> Any:
        i, j, v = zip(*entries, strict=True) if entries else ((), (), ())
        return csr_matrix((v, (i, j)), shape=(count, max(width, 1)))

    g = cp.Variable((size, size), PSD=True)
    s = cp.Variable((small, small), PSD=True)
    t = cp.Variable(max(len(shares), 1), nonneg=True)
    margin = cp.Variable()
    eye = matrix(grams, size * size) @ np.eye(size).ravel()
    total = matrix(grams, size * size) @ cp.vec(g, order="C") + eye * margin
    total = total + matrix(sigmas, small * small) @ cp.vec(s, order="C")
    total = total + matrix(taus, len(shares)) @ t
    right = np.asarray(matrix(rights, 1).todense()).ravel()
    problem = cp.Problem(cp.Maximize(margin), [total == right, margin <= 1])
    with warnings.catch_warnings():  # an inaccurate solution is rounded and checked, like any other
        warnings.simplefilter("ignore", UserWarning)
        try:
            problem.solve(solver=cp.CLARABEL, max_threads=1, **limited(seconds))
        except (cp.SolverError, ArithmeticError, ValueError):
            return None
    if g.value is None or s.value is None or margin.value is None or float(margin.value) <= 1e-9:
        return None
    found = np.asarray(g.value) + float(margin.value) * np.eye(size)
    return np.asarray(s.value), np.asarray(t.value)[: len(shares)], found


def _factor(sigma: Array) -> list[list[Fraction]]:
    """Rows in short numbers, the sum of whose squares is near the matrix."""
    values, vectors = np.linalg.eigh((sigma + sigma.T) / 2)
    rows = []
    for value, vector in zip(values, vectors.T, strict=True):
        if value > 1e-7:
            unit = 2.0**-20
            rows.append(
                [
                    Fraction(round(float(v) / unit)) * Fraction(unit)
                    for v in vector * math.sqrt(value)
                ]
            )
    return rows


def _gram(rest: Polynomial, near: Array, basis: Sequence[Monomial]) -> Matrix | None:
    """The exact symmetric matrix near a given one whose form in the basis is ``rest``."""
    n = len(basis)
    unit = Fraction(1, 1 << BITS)
    result = [[Fraction(0)] * n for _ in range(n)]
    pairs: dict[Monomial, list[tuple[int, int]]] = {}
    for i in range(n):
        for j in range(i + 1):
            value = (float(near[i, j]) + float(near[j, i])) / 2
            result[i][j] = result[j][i] = round(value / float(unit)) * unit
            pairs.setdefault(_joined(basis[i], basis[j]), []).append((i, j))
    if rest.keys() - pairs.keys():
        return None
    for m, some in pairs.items():
        total = sum((result[i][j] * (1 if i == j else 2) for i, j in some), Fraction(0))
        away = (rest.get(m, Fraction(0)) - total) / sum(1 if i == j else 2 for i, j in some)
        for i, j in some:
            result[i][j] += away
            if i != j:
                result[j][i] += away
    return result


def _joined(a: Monomial, b: Monomial) -> Monomial:
    powers = dict(a)
    for n, k in b:
        powers[n] = powers.get(n, 0) + k
    return tuple(sorted(powers.items()))


def _term(form: Polynomial, frame: Frame) -> Term:
    """A polynomial in the scaled state (and names of its own) as a term in units."""
    total: Term | None = None
    for m, c in sorted(form.items()):
        part: Term = Num(c)
        for name, k in m:
            base = frame.variable(name) if name in frame.names else Var(name)
            part = part * (base if k == 1 else Power(base, k))
        total = part if total is None else total + part
    return total if total is not None else Num(Fraction(0))


__all__ = ["Frame", "Noise", "step_squares", "substituted"]
