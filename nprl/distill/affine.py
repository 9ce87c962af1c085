"""Affine forms and polynomials fitted to a teacher, then made smaller one coefficient at a time.

Backward elimination from the full fit: the coefficient whose removal costs least is dropped and the
rest fitted again, down to one; every step of the way is an answer, because which size is best is
decided by return. Where there are too many monomials to begin with all of them, those that a forward
search takes first are begun with.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from nprl.distill.censored import Target, fit
from nprl.distill.dataset import Dataset
from nprl.distill.fitter import Column, Fit, evaluate, obeys, passed, per_output
from nprl.distill.scores import fit_scores
from nprl.lang.terms import Term, Var
from nprl.program import Program
from nprl.search.constants import ONE, linear, shortest_decimals
from nprl.search.grammar import Grammar
from nprl.search.holes import ROOM

Floats = NDArray[np.float64]
MOST = 60
"""Elimination begins with at most so many monomials."""
TOO_MANY = 1_000_000
"""More numbers (rows times monomials) than this are not made."""


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


def forward(values: Floats, goal: Target, most: int) -> tuple[int, ...]:
    """The columns of ``values`` (n, k) that a forward search takes first, at most so many.

    Source: Pati, Rezaiifar, Krishnaprasad, "Orthogonal matching pursuit", Asilomar 1993; a tenth of
    the columns is taken at a time.
    """
    scale = np.sqrt(np.mean(values * values, axis=0)) + 1e-300
    chosen: list[int] = [values.shape[1] - 1]
    step = max(1, most // 10)
    while len(chosen) < min(most, values.shape[1]):
        c, _ = fit(values[:, chosen], goal)
        match = np.abs(goal.residuals(values[:, chosen] @ c) @ values) / scale
        match[chosen] = -1.0
        chosen += np.argsort(-match, kind="stable")[: min(step, most - len(chosen))].tolist()
    return tuple(sorted(chosen))


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
    if len(features) > MOST:
        first = forward(values, goal, MOST)
        features, values = [features[k] for k in first], values[:, first]
    wanted = None if sizes is None else set(sizes)
    result = []
    for kept, c, _ in eliminate(values, goal):
        if wanted is not None and len(kept) not in wanted:
            continue
        chosen = [features[k] for k in kept]
        constants, loss = short(chosen, values[:, kept], c, goal)
        result.append(Fit(linear(constants, chosen), loss, kept))
    return result


@dataclass(frozen=True, slots=True)
class Polynomials:
    """Fits sums of monomials up to each of ``degrees``; (1,) is affine forms.

    Of the grammar it needs sums, differences and products; a higher degree is left out where its
    monomials are too many for the data (`TOO_MANY`). Where it asks for scores, those are sums of
    monomials; else answers out of finitely many are treated as numbers, of which the nearest action
    is meant.
    """

    degrees: tuple[int, ...] = (1,)
    summands: int = MOST

    def __call__(
        self,
        template: Program,
        data: Dataset,
        grammar: Grammar,
        seed: int = 0,
        deadline: float | None = None,
    ) -> list[Program]:
        """See `Fitter`; nothing here is drawn."""
        affordable = [
            d
            for d in self.degrees
            if d == 1 or math.comb(len(grammar.variables) + d, d) * len(data) <= TOO_MANY
        ]
        if template.scores:
            names = grammar.variables
            of_each = (
                fit_scores(template, data, names, monomials(names, d), deadline) for d in affordable
            )
            return [p for programs in of_each for p in programs if obeys(grammar, p)]

        def fits(c: Column) -> list[Fit]:
            found: list[Fit] = []
            for degree in affordable:
                if found and passed(deadline):
                    break
                sizes = range(1, self.summands + 1)
                found += fit_affine(c.names, c.observations, c.goal, degree, sizes)
            return found

        return per_output(template, data, grammar, fits)
