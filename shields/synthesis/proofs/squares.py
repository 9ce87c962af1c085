"""Search for the squares that close a quadratic leaf: a semidefinite program, then exact LDL^T.

Given quadratic polynomials, it looks for multipliers c >= 0 of premises and of products of opposite
bounds, such that ``p - sum c h`` is a positive definite quadratic form; the multipliers are
rounded, the form is computed exactly, and its LDL^T decomposition over the rationals is the proof.

Source: the S-procedure; exact rounding after Peyrl and Parrilo, Computing sum of squares
decompositions with rational coefficients, 2008.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from fractions import Fraction

import cvxpy as cp
import numpy as np
import numpy.typing as npt

from nprl.lang.terms import Num, Term, Var
from nprl.shields.polynomial import Monomial, Polynomial, Range, add, names, times
from nprl.shields.synthesis.proofs.direct_squares import (
    direct_squares,
    floats,
    limited,
    matrix,
    short,
)
from nprl.shields.synthesis.proofs.frame import Pair, tied
from nprl.shields.synthesis.proofs.short_squares import pivots, short_squares
from nprl.shields.synthesis.views.quadratic import degree

Floats = npt.NDArray[np.float64]
EXACT_VARIABLES = 9
"""Up to here a form is decomposed exactly; its numbers grow with each variable."""


@dataclass(frozen=True, slots=True)
class Squares:
    """``goal = sum c prod h + sum d square^2``, exactly."""

    products: tuple[tuple[Fraction, tuple[int, ...]], ...]
    squares: tuple[tuple[Fraction, Term], ...]


def square_combination(
    goal: Polynomial,
    premises: Mapping[int, Polynomial],
    pairs: Sequence[tuple[int, int]],
    box: Mapping[str, Range],
    strict: bool = False,
    seconds: float = math.inf,
) -> Squares | None:
    """Multipliers and squares that close a goal of degree two at most; None where none is found.

    ``pairs`` are premises whose products may be used (opposite bounds of one affine form). Each solver
    gets at most the ``seconds``.
    """
    if degree(goal) > 2:
        return None
    found = _direct(goal, premises, pairs, box, strict, seconds)
    if found is not None:
        return found
    candidates: list[tuple[tuple[int, ...], Polynomial]] = [
        ((k,), h) for k, h in premises.items() if degree(h) <= 2
    ]
    candidates += [
        ((i, j), times(premises[i], premises[j]))
        for i, j in pairs
        if degree(premises[i]) <= 1 and degree(premises[j]) <= 1
    ]
    near = _related(set(names(goal)), [h for i, h in candidates if len(i) == 1 and degree(h) == 2])
    every = _related(set(names(goal)), [h for _, h in candidates])
    for wanted in (near, every) if near != every else (every,):
        usable = [(i, h) for i, h in candidates if names(h) and names(h) <= wanted]
        found = _solve(goal, usable, wanted, box, strict, seconds)
        if found is not None:
            return found
    return None


def _direct(
    goal: Polynomial,
    premises: Mapping[int, Polynomial],
    pairs: Sequence[tuple[int, int]],
    box: Mapping[str, Range],
    strict: bool,
    seconds: float,
) -> Squares | None:
    """By one quadratic premise, and the bounds of what it does not hold."""
    curved = [(k, h) for k, h in premises.items() if degree(h) == 2]
    bounds = [
        ((i, j), premises[i], premises[j])
        for i, j in pairs
        if degree(premises[i]) == degree(premises[j]) == 1
    ]
    for concave in curved:
        first = dict.fromkeys(n for m in concave[1] for n, _ in m)  # an ellipsoid's own order
        about = tied(set(first), set(names(goal)), bounds) if degree(goal) == 2 else names(goal)
        if not first.keys() & (about | _bounding(about, bounds)):
            continue
        order = [*first, *sorted(about - first.keys())]
        found = direct_squares(goal, concave, bounds, order, box, strict, seconds)
        if found is None:
            continue
        products, rows = found
        zero = dict.fromkeys(order, Fraction(0))
        squares = [(d, _linear_form([*r[1:], r[0]], [*order, ""], zero, 0)) for d, r in rows]
        return Squares(tuple(products), tuple(squares))
    return None


def _bounding(about: Set[str], bounds: Sequence[Pair]) -> set[str]:
    """The variables of the pairs that speak of these."""
    return {n for _, p, _ in bounds if names(p) & about for n in names(p)}


def _related(wanted: set[str], polynomials: Sequence[Polynomial]) -> set[str]:
    """The variables that are tied to the wanted ones by a chain of polynomials."""
    while True:
        related = {v for h in polynomials if names(h) & wanted for v in names(h)}
        if related <= wanted:
            return wanted
        wanted = wanted | related


def _solve(
    goal: Polynomial,
    candidates: Sequence[tuple[tuple[int, ...], Polynomial]],
    wanted: set[str],
    box: Mapping[str, Range],
    strict: bool,
    seconds: float,
) -> Squares | None:
    order = sorted(wanted)
    centre = {v: (box[v][0] + box[v][1]) / 2 if v in box else Fraction(0) for v in order}
    width = {v: float(box[v][1] - box[v][0]) / 2 if v in box else 1.0 for v in order}
    width = {v: w if w > 0 else 1.0 for v, w in width.items()}
    frame = np.diag([1.0, *(width[v] for v in order)])
    frame[1:, 0] = [float(centre[v]) for v in order]

    def scaled(p: Polynomial) -> Floats:
        result: Floats = frame.T @ floats(matrix(p, order)) @ frame
        return result

    forms = [scaled(h) for _, h in candidates]
    target = scaled(goal)
    values = _programmed(target, forms, seconds)
    if values is None:
        return None
    chosen: list[tuple[Fraction, tuple[int, ...]]] = []
    rest = goal
    for value, (index, h) in zip(values, candidates, strict=True):
        if value > 0:
            exact = short(value)
            chosen.append((exact, index))
            rest = add(rest, h, -exact)
    squares = _squares(_shifted(rest, centre), order, centre, width)
    if squares is None:
        return None
    used = [s for s in squares if not (strict and isinstance(s[1], Num))]
    if strict and len(used) == len(squares):
        return None  # all of it is squares, which may be 0: no number stays
    return Squares(tuple(chosen), tuple(used))


def _programmed(target: Floats, forms: Sequence[Floats], seconds: float) -> list[float] | None:
    """The multipliers of all candidates, by two semidefinite programs."""
    sizes = [max(float(np.abs(f).max()), 1e-300) for f in forms]
    unit = max(float(np.abs(target).max()), 1e-300)
    c = cp.Variable(len(forms), nonneg=True)
    margin = cp.Variable()
    total = target / unit
    if forms:
        flat = np.stack([(f / s).ravel() for f, s in zip(forms, sizes, strict=True)])
        total = total - cp.reshape(flat.T @ c, target.shape, order="C")
    n = len(target)
    form = (total + total.T) / 2 >> margin * np.eye(n)
    try:
        _solved(cp.Problem(cp.Maximize(margin), [form, margin <= 1, c <= 1e7]), seconds)
        if margin.value is None or float(margin.value) < -1e-6:
            return None
        best = float(margin.value)  # then the smallest multipliers that leave half of it
        enough = margin >= (best / 2 if best > 0 else best - 1e-7)
        _solved(cp.Problem(cp.Minimize(cp.sum(c)), [form, enough]), seconds)
    except cp.SolverError:
        return None
    if c.value is None:
        return None
    return [
        float(v) * unit / size if v > 1e-12 else 0.0
        for v, size in zip(np.atleast_1d(c.value), sizes, strict=True)
    ]


def _squares(
    p: Polynomial, order: Sequence[str], centre: Mapping[str, Fraction], width: Mapping[str, float]
) -> list[tuple[Fraction, Term]] | None:
    """``p`` (in v - centre) as squares: exactly in few variables, in short numbers in many."""
    if len(order) <= EXACT_VARIABLES:
        return ldl(p, order, centre)
    found = short_squares(matrix(p, order), [1.0, *(width[v] for v in order)])
    if found is None:
        return None
    last = [*order, ""]
    return [(d, _linear_form([*row[1:], row[0]], last, centre, 0)) for d, row in found]


def _solved(problem: cp.Problem, seconds: float) -> None:
    with warnings.catch_warnings():  # an inaccurate solution is rounded and checked, like any other
        warnings.simplefilter("ignore", UserWarning)
        problem.solve(solver=cp.CLARABEL, **limited(seconds))


def _shifted(p: Polynomial, centre: Mapping[str, Fraction]) -> Polynomial:
    """``p``, of degree two at most, in the variables v - centre(v), under the same names."""
    result: dict[Monomial, Fraction] = {}

    def put(m: Monomial, c: Fraction) -> None:
        if c:
            result[m] = result.get(m, Fraction(0)) + c

    for m, c in p.items():
        flat = [n for n, k in m for _ in range(k)]
        put(m, c)
        if len(flat) == 1:
            put((), c * centre[flat[0]])
        elif len(flat) == 2:
            put(((flat[0], 1),), c * centre[flat[1]])
            put(((flat[1], 1),), c * centre[flat[0]])
            put((), c * centre[flat[0]] * centre[flat[1]])
    return {m: c for m, c in result.items() if c}


def ldl(
    p: Polynomial, order: Sequence[str], centre: Mapping[str, Fraction]
) -> list[tuple[Fraction, Term]] | None:
    """``p`` (in v - centre) as a sum of d * square^2 with d > 0, exactly; None if it is none."""
    keys = [*order, ""]
    result: list[tuple[Fraction, Term]] = []
    for k, (d, row) in enumerate(pivots(matrix(p, order))):
        if d < 0 or (d == 0 and any(row[k + 1 :])):
            return None
        if d:
            result.append((d, _linear_form([v / d for v in row], keys, centre, k)))
    return result


def _linear_form(
    row: Sequence[Fraction], keys: Sequence[str], centre: Mapping[str, Fraction], start: int
) -> Term:
    offset = Fraction(0)
    total: Term | None = None
    for j in range(start, len(keys)):
        if not row[j]:
            continue
        if keys[j] == "":
            offset += row[j]
            continue
        offset -= row[j] * centre[keys[j]]
        part = Var(keys[j]) if row[j] == 1 else Num(row[j]) * Var(keys[j])
        total = part if total is None else total + part
    if total is None:
        return Num(offset)
    return total + Num(offset) if offset else total
