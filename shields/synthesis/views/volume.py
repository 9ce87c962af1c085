"""Volumes: of a candidate's set, and its share of the safe set.

By formula for one polytope in up to six dimensions and for one ellipsoid; else by sampling the
ranges, with the standard error. Numeric: for reports, not for proofs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.optimize import linprog

from nprl.lang.terms import Term
from nprl.model import Model
from nprl.shields.polynomial import NotPolynomial, Polynomial, polynomial
from nprl.shields.synthesis.proposal import Candidate
from nprl.shields.synthesis.views.numeric import Array, values
from nprl.shields.synthesis.views.polytope import HULL_DIMENSIONS, vertices
from nprl.shields.synthesis.views.polytope import volume as normalised_volume
from nprl.shields.synthesis.views.problem import Row, Unsuitable, safe_rows
from nprl.shields.synthesis.views.quadratic import concave_form, degree

SAMPLES = 400_000


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume in the state's units multiplied, with the standard error of its estimate (0: by formula)."""

    value: float
    error: float = 0.0


def volume(model: Model, candidate: Candidate, seed: int = 0) -> Volume:
    """The volume of a candidate's set."""
    names = model.state_names
    if len(candidate.invariant) == 1:
        try:
            forms = [polynomial(g) for g in candidate.invariant[0]]
        except NotPolynomial:
            forms = []
        rows = [row_of(p, names) for p in forms]
        affine = [row for row in rows if row is not None]
        if forms and len(affine) == len(rows) and len(names) <= HULL_DIMENSIONS:
            return Volume(polytope_volume(affine))
        if len(forms) == 1:
            value = _ellipsoid_volume(forms[0], names)
            if value is not None:
                return Volume(value)
    return _sampled(model, candidate.invariant, seed)


def share_of_safe(model: Model, candidate: Candidate, seed: int = 0) -> Volume | None:
    """The volume over that of S; None where S is not a bounded polytope in up to six dimensions."""
    whole = safe_volume(model)
    if whole is None:
        return None
    part = volume(model, candidate, seed)
    return Volume(part.value / whole, part.error / whole)


def safe_volume(model: Model) -> float | None:
    """The volume of S; None where S is not a bounded polytope in up to six dimensions."""
    try:
        rows = safe_rows(model)
    except Unsuitable:
        return None
    if len(model.state) > HULL_DIMENSIONS or len(rows) <= len(model.state):
        return None
    value = polytope_volume(rows)
    return value if np.isfinite(value) else None


def polytope_volume(rows: Sequence[Row]) -> float:
    """The volume of ``{x: b - a.x >= 0}``; 0 without an inside, infinite if not bounded."""
    h = np.array([[float(v) for v in a] for a, _ in rows])
    b = np.array([float(v) for _, v in rows])
    size = np.linalg.norm(h, axis=1)
    n = h.shape[1]
    cost = np.concatenate([np.zeros(n), [-1.0]])
    bounds = [(None, None)] * n + [(0, 1e6)]
    inner = linprog(cost, np.hstack([h, size[:, None]]), b, bounds=bounds, method="highs")
    if inner.status != 0 or inner.x[-1] <= 1e-12:
        return 0.0
    if inner.x[-1] > 1e5:
        return math.inf
    normal = h / (b - h @ inner.x[:n])[:, None]
    return math.inf if vertices(normal) is None else normalised_volume(normal)


def row_of(p: Polynomial, names: Sequence[str]) -> Row | None:
    """The row ``(a, b)`` of ``p = b - a.x``; None where p is not affine."""
    if degree(p) > 1:
        return None
    zero = Fraction(0)
    return tuple(-p.get(((n, 1),), zero) for n in names), p.get((), zero)


def _ellipsoid_volume(p: Polynomial, names: Sequence[str]) -> float | None:
    """The volume of ``p >= 0`` for a concave quadratic p; None for another."""
    if degree(p) > 2:
        return None
    n = len(names)
    quadratic, linear, c = concave_form(p, names)
    if np.linalg.eigvalsh(quadratic).min() <= 0:
        return None
    # p = c + l.x - x'Mx has its greatest value c + l'M^-1 l / 4
    top = c + float(linear @ np.linalg.solve(quadratic, linear)) / 4
    ball = math.pi ** (n / 2) / math.gamma(n / 2 + 1)
    scale = math.sqrt(float(np.linalg.det(quadratic)))
    return float(ball * max(top, 0.0) ** (n / 2) / scale)


def _sampled(model: Model, parts: Sequence[Sequence[Term]], seed: int) -> Volume:
    rng = np.random.default_rng(seed)
    low = np.array([float(c.low) for c in model.state])
    high = np.array([float(c.high) for c in model.state])
    x: Array = low + rng.random((SAMPLES, len(low))) * (high - low)
    inside = np.zeros(SAMPLES, dtype=bool)
    for rows in parts:
        inside |= (values(rows, model.state_names, x) >= 0).all(axis=1)
    share, whole = float(inside.mean()), float(np.prod(high - low))
    return Volume(share * whole, whole * math.sqrt(share * (1 - share) / SAMPLES))
