"""What of a model stands in the way of a shield, where sample points show it: for the reason of an unknown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nprl.lang.floats import compile_batch
from nprl.model import Model
from nprl.shields.synthesis.views.equilibrium import equilibria
from nprl.shields.synthesis.views.numeric import Array, values
from nprl.shields.synthesis.views.pieces import pieces
from nprl.shields.synthesis.views.problem import Unsuitable, problem_of

POINTS = 2_000
SETTLED = 1e-5
"""Of the ranges: an equilibrium moves no more than that in a step."""


def advice(model: Model) -> str:
    """One line; "" where nothing was seen."""
    found = [_drift(model), _equilibrium(model)]
    return "; ".join(filter(None, found))


def _drift(model: Model) -> str:
    """Coordinates that change in one direction whatever is done: they leave their ranges."""
    rng = np.random.default_rng(0)
    names = [*model.state_names, *model.action_names, *model.disturbance_names]
    box = [*model.state, *model.action, *model.disturbance]
    low, high = (np.array([float(getattr(c, e)) for c in box]) for e in ("low", "high"))
    x = low + (high - low) * rng.random((POINTS, len(box)))
    state = np.ascontiguousarray(x[:, : len(model.state)])
    x = x[np.asarray(compile_batch([model.safe], [model.state_names])(state)[0], dtype=bool)]
    if not len(x):
        return ""
    change: Array = values(model.steps, names, x) - x[:, : len(model.state)]
    words = []
    for c, moved in zip(model.state, change.T, strict=True):
        if (moved > 0).all() or (moved < 0).all():
            least = float(np.abs(moved).min())
            count = float(c.high - c.low) / max(least, 1e-300)
            way = "grows" if moved[0] > 0 else "falls"
            words.append(
                f"{c.name} {way} at every step whatever is done, and leaves its range "
                + (f"in {count:.3g} steps at most" if count < 1e9 else "in the end")
            )
    if not words:
        return ""
    return "; ".join(words) + "; leave it out if nothing needs it, or let the model end there"


def _equilibrium(model: Model) -> str:
    """Whether some input was found that keeps some state where it is."""
    try:
        for piece in pieces(model):
            problem = problem_of(replace(piece, choices=None))
            half = np.array([float(c.high - c.low) / 2 for c in model.state])
            if any((np.abs(p.residual) <= SETTLED * half).all() for p in equilibria(problem)):
                return ""
    except Unsuitable:
        return ""
    return (
        "no state of the safe set was found that some allowed input keeps where it is: "
        "ellipsoids and polytopes are sought about such states only"
    )


__all__ = ["advice"]
