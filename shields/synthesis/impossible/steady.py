"""Runs that stay safe for ever: a start with one is not lost, and no certificate need be looked for.

With the disturbance held at one point and dynamics that are then affine, a linear program finds
inputs that lead a start, inside one convex piece of the safe set, to a state that they keep (or
that is terminal). Floats, a hint for the search alone: nothing here is trusted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_matrix, eye_array, hstack, kron, vstack

from nprl.shields.synthesis.impossible.losing_affine import Affine, Floats, Row, Vector

HORIZONS = (8, 16, 32, 64, 128)
INSIDE = 1e-6
"""How far inside the faces such a run stays, relative to their bounds."""


def stay(
    held: Affine,
    pieces: Sequence[Sequence[Row]],
    ends: Sequence[Sequence[Row]],
    starts: Sequence[Vector],
) -> bool:
    """Whether inputs were found that lead all starts to rest, or into one of ``ends``, in one of the pieces.

    Inputs are taken from the box around ``held.inputs``: with finitely many that says too much.
    """
    return any(
        _feasible(held, piece, end, starts, horizon)
        for horizon in HORIZONS
        for piece in pieces
        for end in (None, *ends)
    )


def _feasible(
    held: Affine,
    piece: Sequence[Row],
    end: Sequence[Row] | None,
    starts: Sequence[Vector],
    horizon: int,
) -> bool:
    """One linear program over the states x_1 .. x_T and the inputs u_0 .. u_(T-1) of each start."""
    n, m, count = len(held.c), len(held.inputs[0]), len(starts)
    a, b = _array(held.a, n), _array(held.b, m)
    c = np.array([float(v) for v in held.c])
    moved = eye_array(horizon * n) - kron(eye_array(horizon, k=-1), a)
    equal = hstack([moved, -kron(eye_array(horizon), b)]) if m else moved
    right = np.tile(c, (count, horizon))
    right[:, :n] += _array(starts, n) @ a.T
    h, level = _rows(piece, n)
    none = csr_matrix((horizon * len(h), horizon * m))
    walls, bounds = hstack([kron(eye_array(horizon), -h), none]), np.tile(-level, horizon)
    last = np.zeros((n, horizon * (n + m)))
    last[:, (horizon - 1) * n : horizon * n] = np.eye(n)
    if end is None:
        before = np.roll(last, -n, axis=1)
        equal = vstack([equal, csr_matrix(last - before)])
        right = np.hstack([right, np.zeros((count, n))])
    else:
        rows, least = _rows(end, n)
        walls = vstack([walls, csr_matrix(-rows @ last)])
        bounds = np.concatenate([bounds, -least])
    u = _array(held.inputs, m)
    inputs = list(zip(u.min(axis=0), u.max(axis=0), strict=True)) * horizon
    each = eye_array(count)
    found = linprog(
        np.zeros(count * horizon * (n + m)),
        A_ub=kron(each, walls, format="csr"),
        b_ub=np.tile(bounds, count),
        A_eq=kron(each, equal, format="csr"),
        b_eq=right.ravel(),
        bounds=([(None, None)] * (horizon * n) + inputs) * count,
        method="highs",
    )
    return bool(found.status == 0)


def _array(rows: Sequence[Vector], width: int) -> Floats:
    return np.array([[float(v) for v in row] for row in rows]).reshape(len(rows), width)


def _rows(piece: Sequence[Row], n: int) -> tuple[Floats, Floats]:
    """``h x >= level``, a little inside the rows."""
    h = np.array([[float(v) for v in a] for a, _ in piece]).reshape(len(piece), n)
    level = np.array([float(b) for _, b in piece])
    return h, level + INSIDE * (1 + np.abs(level))
