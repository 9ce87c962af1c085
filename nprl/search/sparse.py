"""Smaller programs from a large one: constants are left out, the least missed first.

What is learned by gradient is dense: every affine form reads every observation. Each constant in
turn is tried as 0; the one that is missed least goes, with all that it was a factor of, and the
others are fitted again. Each step is one more program, smaller than the last. What the others can
make up for is estimated from the slopes.

Source: Hassibi and Stork, "Second order derivatives for network pruning: optimal brain surgeon",
NeurIPS 1992.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nprl.distill.censored import Target
from nprl.distill.rollout import Floats
from nprl.lang.terms import Term, nodes
from nprl.search.constants import decimal, fill, lift, simplify
from nprl.search.holes import HUGE, fit_general, predictions
from nprl.search.mutate import DIGITS

FITTED = 4
"""Damped steps of each fit."""


def thinned(
    t: Term, names: Sequence[str], observations: Floats, goal: Target
) -> list[tuple[Term, float]]:
    """``t`` and ever smaller programs, each with its imitation loss."""
    result = []
    with np.errstate(all="ignore"):
        while True:
            (skeleton,), values = lift([t])
            if values:
                first = np.asarray([[float(v) for v in values]])
                c, _ = fit_general(skeleton, names, observations, goal, first, FITTED)
                t = simplify(fill(skeleton, [decimal(v, DIGITS) for v in c.tolist()]))
            at = predictions(t, names, observations, np.empty((1, 0)))
            result.append((t, float(goal.loss(at)[0])))
            smaller = _without_one(t, names, observations, goal)
            if smaller is None:
                return result
            t = smaller


def _without_one(t: Term, names: Sequence[str], observations: Floats, goal: Target) -> Term | None:
    """``t`` with the constant that is missed least as 0; None where that makes nothing smaller."""
    (skeleton,), values = lift([t])
    if not values:
        return None
    c = np.asarray([float(v) for v in values])
    plain = np.repeat(c[None], len(c), axis=0)
    np.fill_diagonal(plain, 0.0)
    made_up = _made_up(skeleton, c, names, observations, goal)
    losses = np.full(len(c), np.inf)
    for trials in (plain, made_up):
        losses = np.fmin(losses, goal.loss(predictions(skeleton, names, observations, trials)))
    for k in np.argsort(losses, kind="stable"):
        rest = [decimal(v, DIGITS) for v in made_up[k].tolist()]
        smaller = simplify(fill(skeleton, rest))
        if nodes(smaller) < nodes(t):
            return smaller
    return None


def _made_up(
    skeleton: Term, c: Floats, names: Sequence[str], observations: Floats, goal: Target
) -> Floats:
    """Settings (h, h): in row k constant k is 0, and the others make up for it as they can."""
    h = len(c)
    step = 1e-6 * np.maximum(np.abs(c), 1e-3)
    at = predictions(skeleton, names, observations, np.concatenate([c[None], c + np.diag(step)]))
    slopes = (at[1:] - at[0]) / step[:, None] * (goal.residuals(at[0]) != 0)
    slopes = np.where(np.isfinite(slopes) & (np.abs(slopes) < HUGE), slopes, 0.0)
    gram = slopes @ slopes.T
    inverse = np.linalg.inv(gram + (1e-9 * np.trace(gram) + 1e-12) * np.eye(h))
    settings = c - (c / np.diagonal(inverse))[:, None] * inverse
    np.fill_diagonal(settings, 0.0)
    return np.where(np.isfinite(settings), settings, c)
