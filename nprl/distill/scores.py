"""Sums of features as scores, one for each action, fitted by multinomial logistic regression.

The action of the highest score is meant, so scores may be shifted and scaled together: the last action's
score is 0, and in the end all are divided by one number. Coefficients are eliminated by what
their removal costs, several at first and then one at a time, and the rest fitted again.

Source: the saliency of a coefficient is that of LeCun, Denker, Solla, "Optimal brain damage", NIPS 1989.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from nprl.distill.dataset import Dataset
from nprl.distill.fitter import evaluate, passed
from nprl.distill.rollout import with_terms
from nprl.lang.terms import Term
from nprl.program import Program
from nprl.search.constants import decimal, linear

Floats = NDArray[np.float64]
RIDGE = 1e-4
"""Weight of the squared coefficients of features of size 1: what parts perfectly has no best fit."""
DIGITS = 3
"""Significant digits of the coefficients."""
AT_ONCE = 10
"""This part of the coefficients is eliminated in a step, one at least."""


def fit_scores(
    template: Program,
    data: Dataset,
    names: Sequence[str],
    features: Sequence[Term],
    deadline: float | None = None,
) -> list[Program]:
    """Programs of scores that are sums of ``features``, from all coefficients down to one.

    ``names`` are the inputs that the features read.
    """
    choices = np.asarray([[float(v) for v in c] for c in template.choices or ()])
    chosen = ((data.actions[:, None, :] - choices[None]) ** 2).sum(axis=2).argmin(axis=1)
    inputs = [i.name for i in template.inputs]
    x = evaluate(features, names, data.observations[:, [inputs.index(n) for n in names]])
    scale = np.sqrt(np.mean(x * x, axis=0))
    scale = np.where(scale < 1e-9, 1.0, scale)
    weights = np.ones(len(x)) if data.weights is None else data.weights
    weights = weights / max(1e-12, float(weights.mean()))
    kept = np.ones((len(choices), len(features)), dtype=np.bool_)
    kept[-1] = False
    w = np.zeros(kept.shape)
    found: list[Program] = []
    while kept.any() and not (found and passed(deadline)):
        w, saliency = _fit(x / scale, chosen, weights, kept, w * kept)
        raw = w / scale
        raw = raw / (float(np.abs(raw).max()) or 1.0)
        terms = [linear([decimal(v, DIGITS) for v in row], features) for row in raw.tolist()]
        found.append(with_terms(template, terms))
        order = np.argsort(np.where(kept, saliency, np.inf), axis=None, kind="stable")
        kept.flat[order[: max(1, int(kept.sum()) // AT_ONCE)]] = False
    return list(dict.fromkeys(found))


def _fit(
    z: Floats, chosen: NDArray[np.int64], weights: Floats, kept: NDArray[np.bool_], start: Floats
) -> tuple[Floats, Floats]:
    """The coefficients (actions, features) of least loss, 0 where not kept, and their saliency."""
    n, rows = len(z), np.arange(len(z))

    def shares(w: Floats) -> tuple[Floats, Floats]:
        scores = z @ w.T
        scores -= scores.max(axis=1, keepdims=True)
        p = np.exp(scores)
        total = p.sum(axis=1)
        return p / total[:, None], np.log(total) - scores[rows, chosen]

    def loss(free: Floats) -> tuple[float, Floats]:
        w = np.zeros(kept.shape)
        w[kept] = free
        p, surprise = shares(w)
        p[rows, chosen] -= 1.0
        slope = (p * weights[:, None]).T @ z / n + RIDGE * w
        return float(weights @ surprise) / n + RIDGE / 2 * float(free @ free), slope[kept]

    found = minimize(loss, start[kept], jac=True, method="L-BFGS-B", options={"maxiter": 300})
    w = np.zeros(kept.shape)
    w[kept] = found.x
    p, _ = shares(w)
    curvature = (p * (1 - p) * weights[:, None]).T @ (z * z) / n + RIDGE
    return w, w * w * curvature
