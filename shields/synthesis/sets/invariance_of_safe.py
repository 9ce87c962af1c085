"""Is S itself, within the ranges, invariant under one affine gain? In many dimensions, for linear systems.

One linear program decides: Farkas multipliers show, row by row, that the image of S lies in S.
(In few dimensions `nprl.shields.synthesis.sets.gain` is asked at sample points, and knows clipped gains,
too.)

Source: G. Bitsoris, On the positive invariance of polyhedral sets for discrete-time systems, 1988.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_matrix

from nprl.shields.synthesis.budget import Budget
from nprl.shields.synthesis.sets.gain import GOOD
from nprl.shields.synthesis.views.linearise import Inclusion
from nprl.shields.synthesis.views.numeric import Array

INPUT_SLACK = 1e-3
LEAST = 1e-5


def farkas_gain(
    inclusion: Inclusion, h: Array, budget: Budget | None = None
) -> tuple[Array, Array, float] | None:
    """K (m, n), c (m,), margin: ``v = K z + c`` keeps ``h z <= 1`` under every map; None if none.

    Raises:
        OutOfTime: where the budget's time is over.
    """
    r, n = h.shape
    m, maps = inclusion.b.shape[2], len(inclusion.a)
    gains = m * n
    images, inputs = maps * r * r, 2 * m * r
    size = gains + m + images + inputs + 1  # K, c, multipliers of the images, of the inputs, t
    first, second = gains + m, gains + m + images
    entries: list[tuple[int, int, float]] = []
    equal: list[float] = []
    bounded: list[tuple[dict[int, float], float]] = []
    support = inclusion.support(h)
    for k in range(maps):
        ha, hb = h @ inclusion.a[k], h @ inclusion.b[k]
        for i in range(r):
            own = first + (k * r + i) * r
            for j in range(n):  # sum_l Lambda_il h_lj - sum_p hb_ip K_pj = ha_ij
                entries += [(len(equal), own + s, h[s, j]) for s in range(r) if h[s, j]]
                entries += [(len(equal), p * n + j, -hb[i, p]) for p in range(m) if hb[i, p]]
                equal.append(ha[i, j])
            row = {own + s: 1.0 for s in range(r)} | {gains + p: hb[i, p] for p in range(m)}
            bounded.append((row | {size - 1: 1.0}, 1.0 - support[i]))
    for p in range(m):
        for side, sign in enumerate((1.0, -1.0)):
            own = second + (2 * p + side) * r
            for j in range(n):
                entries += [(len(equal), own + s, h[s, j]) for s in range(r) if h[s, j]]
                entries.append((len(equal), p * n + j, -sign))
                equal.append(0.0)
            limit = inclusion.highs[p] if sign > 0 else -inclusion.lows[p]
            row = {own + s: 1.0 for s in range(r)} | {gains + p: sign}
            bounded.append((row, limit - INPUT_SLACK))
    rows, columns, data = zip(*entries, strict=True)
    left = coo_matrix((data, (rows, columns)), shape=(len(equal), size)).tocsr()
    triples = [(i, c, v) for i, (row, _) in enumerate(bounded) for c, v in row.items()]
    rows, columns, data = zip(*triples, strict=True)
    upper = coo_matrix((data, (rows, columns)), shape=(len(bounded), size)).tocsr()
    free = [(None, None)] * first + [(0, None)] * (images + inputs) + [(None, GOOD)]
    cost = np.zeros(size)
    cost[-1] = -1.0
    result = linprog(
        cost,
        A_ub=upper,
        b_ub=[v for _, v in bounded],
        A_eq=left,
        b_eq=equal,
        bounds=free,
        method="highs",
        options=(budget or Budget()).options("safe set itself"),
    )
    if result.status != 0 or result.x[-1] < LEAST:
        return None
    return result.x[:gains].reshape(m, n), result.x[gains:first], float(result.x[-1])
