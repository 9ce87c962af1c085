"""The shadow of an invariant: its projection onto two coordinates, for pictures only.

In more than two dimensions a trajectory that stays inside leaves the *slice* that a picture shows;
it never leaves the shadow.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog, minimize

from nprl.lang.floats import compile_batch
from nprl.shields.certificate import Certificate

Floats = NDArray[np.float64]
DIRECTIONS = 60
TINY = 1e-9


def shadow(certificate: Certificate, i: int, j: int) -> Floats | None:
    """Extreme points (n, 2) of the projection onto coordinates i and j, counter-clockwise.

    Computed in floats for an invariant of one part, which is convex; None where it has several, or
    an extreme point is not found.
    """
    model, parts = certificate.model, certificate.shield.invariant
    if len(parts) != 1:
        return None
    run = compile_batch(list(parts[0]), [model.state_names])
    size = np.array([float(max(abs(c.low), abs(c.high))) for c in model.state])

    def rows(x: Floats) -> Floats:
        """The rows (k, n) at points (n, d), in units of the coordinates' ranges."""
        return np.stack([np.broadcast_to(v, (len(x),)) for v in run(x * size)])

    d = len(size)
    centre = np.array([float(sum(model.init[n])) / 2 for n in model.state_names]) / size

    def slopes(x: Floats) -> Floats:
        step = 1e-6 * np.eye(d)
        return (rows(x + step) - rows(x - step)) / 2e-6

    at, slope = rows(centre[None])[:, 0], slopes(centre[None])
    weights = 1 / np.maximum(np.maximum(np.abs(slope).max(axis=1), np.abs(at)), TINY)
    affine = np.allclose(slope, slopes(centre[None] + 0.37), rtol=1e-5, atol=1e-7)
    found = []
    for angle in np.linspace(0, 2 * np.pi, DIRECTIONS, endpoint=False):
        goal = np.zeros(d)
        goal[i], goal[j] = -np.cos(angle), -np.sin(angle)
        if affine:
            far = linprog(goal, -slope, at - slope @ centre, bounds=[(-2, 2)] * d)
        else:
            far = minimize(
                lambda x, goal=goal: float(goal @ x),
                centre,
                jac=lambda x, goal=goal: goal,
                method="SLSQP",
                constraints={
                    "type": "ineq",
                    "fun": lambda x: weights * rows(x[None])[:, 0],
                    "jac": lambda x: weights[:, None] * slopes(x[None]),
                },
                options={"maxiter": 200, "ftol": 1e-9},
            )
        if not far.success:
            return None
        found.append((far.x * size)[[i, j]])
    return np.array(found)
