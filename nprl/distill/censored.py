"""Least squares that knows that the action is clipped.

A label at a bound tells only that the unclipped action lies there or beyond: it costs nothing
beyond, and the squared distance inside. The loss ``sum r^2`` with such one-sided residuals is
convex, and its minimum is found by Newton's method: least squares over the labels that bind, until
their set no longer changes. For two choices it is the squared hinge loss.

Everything here works on a batch of problems at once. Predictions are in the output's unit, losses
in squares of half its range. Source: the idea is the Tobit model's (Tobin 1958, Econometrica 26),
with a squared loss instead of a likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
TOUCH = 1e-6
"""A label within this part of half the range counts as lying at the bound."""
RIDGE = 1e-11


@dataclass(frozen=True, slots=True)
class Target:
    """Labels (n,) of one output, scaled so that its bounds ``centre -+ half`` are -1 and 1.

    ``at_low`` labels bound the action from above only, ``at_high`` ones from below only.
    """

    labels: Floats
    at_low: Mask
    at_high: Mask
    centre: float
    half: float

    def take(self, rows: NDArray[np.int64] | Mask) -> Target:
        """The target at some of the observations."""
        return Target(
            self.labels[rows], self.at_low[rows], self.at_high[rows], self.centre, self.half
        )

    def residuals(self, predicted: Floats) -> Floats:
        """The one-sided residuals of unclipped predictions (..., n), in halves of the range."""
        r = (predicted - self.centre) / self.half - self.labels
        r = np.where(self.at_low, np.maximum(r, 0.0), r)
        return np.where(self.at_high, np.minimum(r, 0.0), r)

    def loss(self, predicted: Floats) -> Floats:
        """The imitation loss (...,): the mean square of clipped prediction minus label."""
        scaled = (predicted - self.centre) / self.half
        difference = np.clip(scaled, -1.0, 1.0) - self.labels
        return np.asarray(np.mean(difference * difference, axis=-1))


def target(labels: Floats, low: float, high: float) -> Target:
    """The target of labels (n,) in units, of an output with these bounds."""
    centre, half = (low + high) / 2, (high - low) / 2
    y = np.clip((labels - centre) / half, -1.0, 1.0)
    return Target(y, y <= -1 + TOUCH, y >= 1 - TOUCH, centre, half)


def fit_families(
    basis: Floats, offset: Floats, goal: Target, iterations: int = 12, rows: Mask | None = None
) -> tuple[Floats, Floats]:
    """The coefficients (b, h) of least one-sided loss of ``offset + c @ basis``, and that loss.

    ``basis`` is (b, h, n) and ``offset`` (b, n), in the output's unit; h may be 0. A direction that
    the data do not determine gets a coefficient near 0. With ``rows`` (b, n) each problem looks at
    its rows only, and the loss is still a mean over all n.
    """
    b, h, _ = basis.shape
    c = np.zeros((b, h))
    if h == 0:
        return c, _loss(basis, offset, c, goal, rows)
    scale = np.sqrt(np.mean(basis * basis, axis=2)) + 1e-300
    a = basis / scale[:, :, None]
    one_sided = goal.at_low | goal.at_high
    active = np.broadcast_to(~one_sided, offset.shape)
    wanted = goal.labels * goal.half + goal.centre - offset
    few = (active if rows is None else active & rows).sum(axis=1) < h
    active = active | few[:, None]
    if rows is not None:
        active = active & rows
    best = np.full(b, np.inf)
    best_c = c
    for step in range(iterations):
        weighted = a * active[:, None, :]
        gram = weighted @ a.transpose(0, 2, 1)
        trace = np.trace(gram, axis1=1, axis2=2)[:, None, None] / h + 1e-300
        gram = gram + RIDGE * trace * np.eye(h)
        right = weighted @ wanted[:, :, None]
        new = np.linalg.solve(gram, right)[:, :, 0]
        if step > 0:  # half way back wherever the full step made it worse
            loss = _loss(a, offset, new, goal, rows)
            for _ in range(6):
                worse = loss > best * (1 + 1e-12)
                if not worse.any():
                    break
                new = np.where(worse[:, None], (new + best_c) / 2, new)
                loss = _loss(a, offset, new, goal, rows)
        else:
            loss = _loss(a, offset, new, goal, rows)
        better = loss < best
        best_c = np.where(better[:, None], new, best_c)
        gain = np.where(np.isfinite(best), best - loss, np.inf)
        best = np.where(better, loss, best)
        c = best_c
        r = goal.residuals(offset + (c[:, None, :] @ a)[:, 0, :])
        following = ~one_sided | (r != 0)
        if rows is not None:
            following = following & rows
        if step > 0 and (np.array_equal(following, active) or not (gain > 1e-15).any()):
            break
        active = following
    return c / scale, best


def _loss(a: Floats, offset: Floats, c: Floats, goal: Target, rows: Mask | None) -> Floats:
    r = goal.residuals(offset + (c[:, None, :] @ a)[:, 0, :]) ** 2
    return np.asarray(np.mean(r if rows is None else r * rows, axis=-1))


def fit(features: Floats, goal: Target, iterations: int = 40) -> tuple[Floats, float]:
    """The coefficients (h,) of ``features`` (n, h) of least one-sided loss, and that loss."""
    c, loss = fit_families(features.T[None], np.zeros((1, len(features))), goal, iterations)
    return c[0], float(loss[0])
