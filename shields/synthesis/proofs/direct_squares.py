"""Squares for a quadratic leaf with few multipliers: one concave premise, and bounded noise.

``goal = c h + sum d_i (r_i^2 - (l_i - middle)^2) + squares``, where h is the only concave premise
that bears on the goal and the noises l_i are its other variables, in the coordinates of
`nprl.shields.synthesis.proofs.frame`. First the d_i are taken in proportion to how far each noise moves
the goal: two numbers are left, and the least eigenvalue is concave in them. Where none are good, a
small semidefinite program looks for every d_i. Nothing here is trusted.

Source: the S-procedure; the proportions are those of the least ellipsoid about a sum of an
ellipsoid and segments, F. L. Chernousko, State Estimation for Dynamic Systems, 1994, chapter 2.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

import cvxpy as cp
import numpy as np
import numpy.typing as npt

from nprl.shields.polynomial import Polynomial, Range, names
from nprl.shields.synthesis.budget import LEAST_SOLVER_TIME
from nprl.shields.synthesis.proofs.frame import Matrix, Pair, frame
from nprl.shields.synthesis.proofs.short_squares import exact_squares, short_squares
from nprl.shields.synthesis.views.quadratic import concave_form

Floats = npt.NDArray[np.float64]
Products = list[tuple[Fraction, tuple[int, ...]]]
Rows = list[tuple[Fraction, list[Fraction]]]
GOLDEN = (5**0.5 - 1) / 2
STEPS = 26
REGULAR = 1e-14
"""The least eigenvalue of a premise, as a part of its greatest, above which it is definite in floats."""
FINEST = 40
"""Bits of the premise's multiplier, at most."""
WIDE = 32
"""Reaches of a set in a range that says little of it."""
WELL = 1e-10
"""The least eigenvalue that is enough, relative to the goal."""


def direct_squares(
    goal: Polynomial,
    concave: tuple[int, Polynomial],
    pairs: Sequence[Pair],
    order: Sequence[str],
    box: Mapping[str, Range],
    strict: bool = False,
    seconds: float = math.inf,
) -> tuple[Products, Rows] | None:
    """Products of premises by number, and squares as (d, row over 1 and the variables); None if none.

    For a strict goal a positive constant remains.
    """
    own = set(names(concave[1]))
    view = frame(own, order, pairs, _narrowed(concave[1], sorted(own), box))
    if view is None:
        return None
    target, premise = view.form(matrix(goal, order)), view.form(matrix(concave[1], order))
    places = [i for i, _, _ in view.noise]
    found = _multipliers(floats(target), floats(premise), places, seconds)
    if found is None:
        return None
    heavy = found[0] * float(np.abs(floats(premise)).max()) / found[2]
    c = short(found[0], max(12, min(FINEST, math.ceil(math.log2(heavy)) + 3)))
    products: Products = [(c, (concave[0],))]
    rest = [
        [v - c * w for v, w in zip(one, other, strict=True)]
        for one, other in zip(target, premise, strict=True)
    ]
    for d, (i, numbers, radius) in zip(found[1], view.noise, strict=True):
        share = short(d)  # of 1 - s^2
        products.append((share / radius**2, numbers))
        rest[0][0] -= share
        rest[i][i] += share
    if strict:
        rest[0][0] -= short(found[2] / 4)
    squares = exact_squares(rest)
    if squares is None:
        squares = short_squares(rest, [1.0] * len(rest))
    if squares is None:
        return None
    return products, [(d, view.row(row)) for d, row in squares]


def _narrowed(p: Polynomial, own: Sequence[str], box: Mapping[str, Range]) -> Mapping[str, Range]:
    """The box, with the reach of ``p >= 0`` for what has a range that says little of it."""
    inner, slope, constant = concave_form(p, own)
    try:
        spread = np.linalg.inv(inner)
    except np.linalg.LinAlgError:
        return box
    centre = spread @ slope / 2
    level = constant + float(centre @ inner @ centre)
    half = np.sqrt(np.maximum(np.diag(spread) * level, 0.0))
    result = dict(box)
    for v, c, h in zip(own, centre, half, strict=True):
        if v in box and 0 < WIDE * h < float(box[v][1] - box[v][0]):
            unit = Fraction(2) ** math.floor(math.log2(h))
            middle = round(Fraction(float(c)) / unit) * unit
            result[v] = middle - unit, middle + unit
    return result


def matrix(p: Polynomial, order: Sequence[str]) -> Matrix:
    """The symmetric matrix of a polynomial of degree two at most, over 1 and the variables."""
    index = {v: i + 1 for i, v in enumerate(order)}
    a = [[Fraction(0)] * (len(order) + 1) for _ in range(len(order) + 1)]
    for m, c in p.items():
        flat = [index[v] for v, k in m for _ in range(k)]
        i, j = [*flat, 0, 0][:2]
        a[i][j] += c / 2
        a[j][i] += c / 2
    return a


def floats(a: Matrix) -> Floats:
    """The matrix in floats."""
    return np.array([[float(v) for v in row] for row in a])


def short(value: float, bits: int = 30) -> Fraction:
    """A nearby rational with few significant bits."""
    mantissa, exponent = math.frexp(value)
    return Fraction(round(mantissa * 2**bits)) * Fraction(2) ** (exponent - bits)


def limited(seconds: float) -> dict[str, float]:
    """A solver's time limit, as its setting."""
    return {} if seconds == math.inf else {"time_limit": max(seconds, LEAST_SOLVER_TIME)}


def _multipliers(
    goal: Floats, premise: Floats, noise: Sequence[int], seconds: float
) -> tuple[float, list[float], float] | None:
    """c, the shares d_i of ``1 - s_i^2``, and the rest's least eigenvalue > 0; None where none was found."""
    own = [i for i in range(1, len(goal)) if i not in noise]
    inner = -premise[np.ix_(own, own)]
    sizes = np.linalg.eigvalsh(inner) if own else np.zeros(1)
    if sizes[0] <= REGULAR * sizes[-1]:
        return None
    peak = np.zeros(len(goal))  # where the premise is greatest: c of it is at most the goal there
    peak[0], peak[own] = 1.0, np.linalg.solve(inner, premise[own, 0])
    most, there = float(peak @ premise @ peak), float(peak @ goal @ peak)
    if most <= 0 or there <= 0:
        return None
    size = max(float(np.abs(goal).max()), 1e-300)
    moved = np.array(
        [np.sqrt(max(-goal[i, i], 0.0)) + float(np.abs(goal[i, [0, *own]]).max()) for i in noise]
    )
    moved = np.maximum(moved, 1e-9 * max(float(moved.max(initial=0.0)), 1e-9))
    share = moved / moved.sum() if len(noise) else moved
    spread = np.zeros_like(goal)
    spread[0, 0] = share.sum()
    spread[noise, noise] = -share

    def least(c: float, t: float) -> float:
        return float(np.linalg.eigvalsh(goal - c * premise - t * spread)[0])

    def best(c: float) -> tuple[float, float]:
        if not len(noise):
            return least(c, 0.0), 0.0
        value, e = _golden(lambda e: least(c, 10.0**e), -12.0, np.log10(size) + 1)
        return value, 10.0**e

    top = np.log10(there / most)
    value, e = _golden(lambda e: best(10.0**e)[0], top - 8, top)
    if value <= WELL * size:
        return _programmed(goal, premise, noise, seconds) if len(noise) > 1 else None
    c = 10.0**e
    value, t = best(c)
    return c, [float(t * s) for s in share], value


def _programmed(
    goal: Floats, premise: Floats, noise: Sequence[int], seconds: float
) -> tuple[float, list[float], float] | None:
    """The multipliers with the greatest least eigenvalue."""
    size = max(float(np.abs(goal).max()), 1e-300)
    c, shares, margin = (
        cp.Variable(nonneg=True),
        cp.Variable(len(noise), nonneg=True),
        cp.Variable(),
    )
    units = np.eye(len(goal))
    spread = sum(
        shares[k] * (np.outer(units[0], units[0]) - np.outer(units[i], units[i]))
        for k, i in enumerate(noise)
    )
    form = goal / size - c * (premise / size) - spread >> margin * units
    problem = cp.Problem(cp.Maximize(margin), [form, margin <= 1])
    with warnings.catch_warnings():  # an inaccurate solution is rounded and checked, like any other
        warnings.simplefilter("ignore", UserWarning)
        try:
            problem.solve(solver=cp.CLARABEL, max_threads=1, **limited(seconds))
        except cp.SolverError:
            return None
    if c.value is None or shares.value is None:
        return None
    factor, found = float(c.value), [max(float(d), 0.0) * size for d in shares.value]
    rest = goal - factor * premise
    rest[0, 0] -= sum(found)
    rest[noise, noise] += found
    value = float(np.linalg.eigvalsh(rest)[0])
    return (factor, found, value) if factor > 0 and value > WELL * size else None


def _golden(f: Callable[[float], float], low: float, high: float) -> tuple[float, float]:
    """The greatest value of a unimodal function on a range, and where."""
    a, b = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    fa, fb = f(a), f(b)
    for _ in range(STEPS):
        if fa >= fb:
            high, b, fb = b, a, fa
            a = high - GOLDEN * (high - low)
            fa = f(a)
        else:
            low, a, fa = a, b, fb
            b = low + GOLDEN * (high - low)
            fb = f(b)
    return (fa, a) if fa >= fb else (fb, b)
