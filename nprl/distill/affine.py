"""Affine forms (and polynomials) fitted to a teacher, then made smaller one coefficient at a time.

Backward elimination from the full fit: the coefficient whose removal costs least is dropped and the
rest fitted again, down to one; every step of the way is an answer, because which size is best is
decided by return.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from nprl.distill.censored import Target, fit
from nprl.lang.floats import compile_batch
from nprl.lang.terms import Term, Var
from nprl.search.constants import ONE, linear, shortest_decimals

Floats = NDArray[np.float64]
ROOM = 0.02
"""Short decimals may cost this part of the loss of the unrounded fit."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted term of one output, its constants short decimals, and its imitation loss."""

    term: Term
    loss: float
    kept: tuple[int, ...]
    """Which features it uses."""


def monomials(names: Sequence[str], degree: int = 1) -> list[Term]:
    """All products of the variables up to this degree, the lower ones first, and 1 at the end."""
    result: list[Term] = []
    for d in range(1, degree + 1):
        for chosen in itertools.combinations_with_replacement(range(len(names)), d):
            factors: list[Term] = []
            for k in sorted(set(chosen)):
                power = chosen.count(k)
                factors.append(Var(names[k]) if power == 1 else Var(names[k]) ** power)
            product = factors[0]
            for factor in factors[1:]:
                product = product * factor
            result.append(product)
    return [*result, ONE]


def evaluate(features: Sequence[Term], names: Sequence[str], observations: Floats) -> Floats:
    """The values (n, k) of terms over named columns of observations (n, d)."""
    return np.stack(compile_batch(features, [names])(observations), axis=1)


def eliminate(values: Floats, goal: Target) -> list[tuple[tuple[int, ...], Floats, float]]:
    """The kept columns of ``values`` (n, k), coefficients, one-sided loss; the full fit first."""
    kept = tuple(range(values.shape[1]))
    path = []
    while kept:
        a = values[:, kept]
        c, loss = fit(a, goal)
        path.append((kept, c, loss))
        binding = ~(goal.at_low | goal.at_high) | (goal.residuals(a @ c) != 0)
        scale = np.sqrt(np.mean(a * a, axis=0)) + 1e-300
        scaled = a[binding] / scale
        gram = scaled.T @ scaled + 1e-11 * max(1, len(scaled)) * np.eye(len(kept))
        cost = (c * scale) ** 2 / np.maximum(np.diag(np.linalg.inv(gram)), 1e-300)
        gone = int(np.argmin(cost))
        kept = kept[:gone] + kept[gone + 1 :]
    return path


def short(
    features: Sequence[Term], values: Floats, coefficients: Floats, goal: Target
) -> tuple[tuple[Fraction, ...], float]:
    """The coefficients as short decimals that cost next to nothing, and the loss with them."""

    def losses(trials: Sequence[tuple[Fraction, ...]]) -> Sequence[float]:
        c = np.asarray([[float(v) for v in t] for t in trials])
        return [float(goal.loss(values @ row)) for row in c]

    limit = float(goal.loss(values @ coefficients)) * (1 + ROOM) + 1e-12
    found = shortest_decimals(coefficients.tolist(), losses, limit)
    return found, losses([found])[0]


def fit_affine(
    names: Sequence[str],
    observations: Floats,
    goal: Target,
    degree: int = 1,
    sizes: Iterable[int] | None = None,
) -> list[Fit]:
    """The fits on the way from all monomials up to ``degree`` to one.

    ``sizes`` picks some of the numbers of summands.

    ``names`` are the columns of ``observations`` (n, d).
    """
    features = monomials(names, degree)
    values = evaluate(features, names, observations)
    wanted = None if sizes is None else set(sizes)
    result = []
    for kept, c, _ in eliminate(values, goal):
        if wanted is not None and len(kept) not in wanted:
            continue
        chosen = [features[k] for k in kept]
        constants, loss = short(chosen, values[:, kept], c, goal)
        result.append(Fit(linear(constants, chosen), loss, kept))
    return result
