"""The maximal control-invariant polytope of a linear inclusion, in up to three dimensions.

``P <- S and {z: some input takes z into lam P, whatever map and disturbance}``, by Fourier and
Motzkin, until P hardly shrinks. No controller is fixed: at each state some input will do. Where the
input enters all maps of the inclusion alike, it may differ from map to map: the right one for the
true dynamics is their mean.

Source: F. Blanchini, S. Miani, Set-Theoretic Methods in Control, 2nd ed., 2015, section 5.3.
"""

from __future__ import annotations

import numpy as np

from nprl.shields.synthesis.budget import Budget
from nprl.shields.synthesis.views.linearise import Inclusion
from nprl.shields.synthesis.views.numeric import Array
from nprl.shields.synthesis.views.polytope import eliminate, irredundant, normalised, vertices

METHOD = "control-invariant polytope"
MAX_ROUNDS = 400
MAX_ROWS = 160
MAX_PAIRS = 40_000
"""Rows of one elimination, most of which are implied by others."""
CONTRACTIONS = (0.9999, 0.999, 0.99)
SLACK = 0.25
"""The part of the contraction that the last round may use up."""


def control_invariant(inclusion: Inclusion, budget: Budget | None = None) -> Array | None:
    """A control-invariant polytope as rows ``h z <= 1``, nearly the largest; None where none was found.

    Raises:
        OutOfTime: where the budget's time is over.
    """
    for contraction in CONTRACTIONS:
        found = _iterate(inclusion, contraction, budget or Budget())
        if found is not None:
            return found
    return None


def _iterate(inclusion: Inclusion, contraction: float, budget: Budget) -> Array | None:
    allowed = 1 + SLACK * (1 - contraction)
    try:
        current = irredundant(inclusion.h)
        for _ in range(MAX_ROUNDS):
            budget.check(METHOD)
            before = predecessor(inclusion, current, contraction, budget)
            if before is None or len(before) > MAX_PAIRS:
                return None
            new = irredundant(np.vstack([inclusion.h, before]))
            if len(new) > MAX_ROWS:
                return None
            corners = vertices(current)
            if corners is None:
                return None
            if (new @ corners.T).max() <= allowed:
                return _thin(new, 1 + SLACK * (1 - contraction) / 4, budget)
            current = new
    except ValueError:
        return None
    return None


def predecessor(
    inclusion: Inclusion, h: Array, contraction: float, budget: Budget | None = None
) -> Array | None:
    """The rows of the states that some input takes into ``h z <= contraction``; None where 0 is not among them."""
    n, m = inclusion.a.shape[1], inclusion.b.shape[2]
    room = contraction - inclusion.support(h)
    if (room <= 0).any():
        return None
    maps = list(zip(inclusion.a, inclusion.b, strict=True))
    groups = [[one] for one in maps] if inclusion.same_inputs else [maps]
    eye = np.hstack([np.zeros((m, n)), np.eye(m)])
    result: list[Array] = []
    for group in groups:
        rows = np.vstack([np.hstack([h @ a, h @ b]) for a, b in group] + [eye, -eye])
        bounds = np.concatenate([room] * len(group) + [inclusion.highs, -inclusion.lows])
        if not m:
            alone = normalised(rows, bounds)
            if alone is None:
                return None
            rows = alone
        for left in range(m, 0, -1):
            if budget is not None:
                budget.check(METHOD)
            rows, bounds = eliminate(rows, bounds)
            reduced = normalised(rows, bounds)
            if reduced is None:
                return None
            if (
                left > 1
            ):  # keep the intermediate ones few: bounded by S and the inputs, they have a hull
                sides = np.hstack([inclusion.h, np.zeros((len(inclusion.h), left - 1))])
                inputs = eye[: left - 1, : n + left - 1]
                low, high = inclusion.lows[: left - 1, None], inclusion.highs[: left - 1, None]
                reduced = irredundant(np.vstack([reduced, sides, inputs / high, inputs / low]))
            rows, bounds = reduced, np.ones(len(reduced))
        result.append(rows)
    return np.vstack(result)


def _thin(h: Array, allowed: float, budget: Budget) -> Array:
    """Without the rows that cut off next to nothing, the least missed first."""
    while len(h) > h.shape[1] + 1:
        reach = []
        for i in range(len(h)):
            budget.check(METHOD)
            rest = np.delete(h, i, axis=0)
            corners = vertices(rest)
            reach.append(np.inf if corners is None else float((corners @ h[i]).max()))
        best = int(np.argmin(reach))
        if reach[best] > allowed:
            return h
        h = np.delete(h, best, axis=0)
    return h
