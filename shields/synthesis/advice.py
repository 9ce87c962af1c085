"""What of a model stands in the way of a shield, where sample points show it: for the reason of an unknown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nprl.model import Model
from nprl.shields.synthesis.views.equilibrium import equilibria
from nprl.shields.synthesis.views.numeric import Array, values
from nprl.shields.synthesis.views.pieces import pieces
from nprl.shields.synthesis.views.problem import Problem, Unsuitable, problem_of

POINTS = 2_000
FEW = 50
"""With fewer points of the safe set nothing is said."""
SETTLED = 1e-5
"""Of the ranges: an equilibrium moves no more than that in a step."""


def advice(model: Model) -> str:
    """One line; "" where nothing was seen."""
    found = [_drift(model), _equilibrium(model)]
    return "; ".join(filter(None, found))


def _drift(model: Model) -> str:
    """Coordinates that change in one direction whatever is done: they leave their ranges."""
    change: list[Array] = []
    try:
        for piece in pieces(model):
            x = _points(problem_of(replace(piece, choices=None)))
            change.append(values(model.steps, _names(model), x) - x[:, : len(model.state)])
    except Unsuitable:
        return ""
    every = np.vstack(change)
    if len(every) < FEW:
        return ""
    words = []
    for c, moved in zip(model.state, every.T, strict=True):
        if (moved > 0).all() or (moved < 0).all():
            way = "grows" if moved[0] > 0 else "falls"
            count = float(c.high - c.low) / float(np.abs(moved).min())
            words.append(
                f"{c.name} {way} at every step whatever is done, and leaves its range, "
                f"after {count:.2g} steps at most by sample points"
            )
    if not words:
        return ""
    return "; ".join(words) + "; leave it out if nothing needs it, or let the model end there"


def _names(model: Model) -> list[str]:
    return [*model.state_names, *model.action_names, *model.disturbance_names]


def _points(problem: Problem) -> Array:
    """Random points of the safe set, inputs and disturbances, side by side."""
    model, rng = problem.model, np.random.default_rng(0)
    box = [*model.state, *model.action, *model.disturbance]
    low, high = (np.array([float(getattr(c, e)) for c in box]) for e in ("low", "high"))
    for row, bound in zip(problem.h, problem.b, strict=True):
        (places,) = np.nonzero(row)
        if len(places) == 1:  # a bound of one coordinate
            i, end = places[0], bound / row[places[0]]
            low[i], high[i] = (
                (low[i], min(high[i], end)) if row[i] > 0 else (max(low[i], end), high[i])
            )
    x = low + (high - low) * rng.random((POINTS, len(box)))
    return np.asarray(x[(x[:, : problem.n] @ problem.h.T <= problem.b).all(axis=1)])


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
