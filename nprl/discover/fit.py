"""A short formula for a step: sparse least squares over a dictionary of terms.

Fitted is what the known step leaves. Of the whole dictionary the term that contributes least is
dropped, and the rest fitted anew, as long as the worst error stays below a tolerance; then the
coefficients are rounded to short decimals.

Source: S. Brunton, J. Proctor, J. Kutz, Discovering governing equations from data by sparse
identification of nonlinear dynamical systems, 2016 (the idea; here terms go one by one, and the
worst error decides, not the mean).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations_with_replacement

import numpy as np

from nprl.env.sampling import Floats
from nprl.lang.floats import compile_batch
from nprl.lang.terms import Num, Term, Var

ROUNDING = 0.02
"""What rounding the coefficients may add to the error, relative to the tolerance."""


def monomials(names: Sequence[str], degree: int) -> list[Term]:
    """All products of at most ``degree`` of the names, from low to high degree, 1 first.

    Raises:
        ValueError: for a degree below 0.
    """
    if degree < 0:
        raise ValueError(f"a degree is at least 0; got {degree}")
    result: list[Term] = []
    for d in range(degree + 1):
        for chosen in combinations_with_replacement(names, d):
            product: Term = Num(Fraction(1))
            for name in sorted(set(chosen), key=chosen.index):
                k = chosen.count(name)
                factor: Term = Var(name) ** k if k > 1 else Var(name)
                product = factor if product == Num(Fraction(1)) else product * factor
            result.append(product)
    return result


def sparse_fit(
    target: Floats, features: Floats, tolerance: float
) -> tuple[tuple[int, ...], tuple[Fraction, ...]]:
    """The columns of ``features`` (N, k) that are enough for ``target`` (N,), and their coefficients.

    As few as keep the worst error below ``tolerance`` (or below twice what all columns reach, if
    that is more), dropped from the least contribution on.

    Raises:
        ValueError: for a tolerance that is not positive.
    """
    if not tolerance > 0:
        raise ValueError(f"a tolerance is positive; got {tolerance}")
    size = np.maximum(np.abs(features).max(axis=0), 1e-300)
    scaled = features / size
    gram, right = scaled.T @ scaled, scaled.T @ target
    kept = list(range(features.shape[1]))
    found = _solved(gram, right, kept)
    worst = float(np.abs(target - scaled[:, kept] @ found).max())
    allowed = max(tolerance, 2 * worst)
    while kept:
        least = int(np.argmin(np.abs(found)))
        fewer = [*kept[:least], *kept[least + 1 :]]
        again = _solved(gram, right, fewer)
        if np.abs(target - scaled[:, fewer] @ again).max() > allowed:
            break
        kept, found = fewer, again
    places = [
        max(0, math.ceil(-math.log10(ROUNDING * tolerance / len(kept) / size[k]))) for k in kept
    ]
    short = (
        Fraction(round(c / size[k] * 10**p), 10**p)
        for c, k, p in zip(found.tolist(), kept, places, strict=True)
    )
    pairs = [(k, c) for k, c in zip(kept, short, strict=True) if c]
    return tuple(k for k, _ in pairs), tuple(c for _, c in pairs)


def _solved(gram: Floats, right: Floats, kept: list[int]) -> Floats:
    if not kept:
        return np.zeros(0)
    return np.asarray(np.linalg.lstsq(gram[np.ix_(kept, kept)], right[kept], rcond=1e-13)[0])


def evaluated(terms: Sequence[Term], names: Sequence[str], points: Floats) -> Floats:
    """The float values of terms at points (N, number of names), shape (N, number of terms)."""
    if not terms:
        return np.zeros((len(points), 0))
    columns = compile_batch(list(terms), [list(names)])(np.ascontiguousarray(points))
    return np.stack([np.broadcast_to(c, len(points)) for c in columns], axis=1)


def combination(terms: Sequence[Term], coefficients: Sequence[Fraction]) -> Term | None:
    """The sum of coefficients times terms; None where there is none."""
    total: Term | None = None
    for t, c in zip(terms, coefficients, strict=True):
        part: Term = Num(c) if t == Num(Fraction(1)) else Num(c) * t
        total = part if total is None else total + part
    return total
