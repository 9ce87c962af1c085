"""Trees with affine leaves, fitted to a teacher: few leaves, simple questions, chosen by loss.

A split asks ``x <= t``, or compares two inputs (``x - y <= t``, ``x + y <= t``). The tree grows at
the leaf and by the split that lower the loss most; then coefficients of all leaves are eliminated
one by one. The questions are chosen on a sample, thresholds and leaves on all of the data. Constant
leaves are the case of a leaf whose slopes were eliminated.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from nprl.distill.affine import eliminate, monomials
from nprl.distill.censored import Mask, Target, fit_families
from nprl.distill.dataset import Dataset
from nprl.distill.fitter import Column, Fit, evaluate, passed, per_output
from nprl.lang.terms import Compare, Formula, Num, Relation, Term, Var, Where
from nprl.program import Program
from nprl.search.constants import linear, shortest_between, shortest_decimals, simplify
from nprl.search.grammar import Grammar
from nprl.search.holes import ROOM

Floats = NDArray[np.float64]
SAMPLE = 800
"""Rows on which questions are compared."""
QUANTILES = 9
MOST_PAIRED = 6
"""Up to this many inputs, pairs of them are compared too."""
LEAST = 0.02
"""A split leaves at least this part of the rows on either side."""


@dataclass(frozen=True, slots=True)
class Split:
    """The question ``sum_k signs_k x_k <= threshold``; with whole signs, the first is 1 (or 0)."""

    signs: tuple[int | Fraction, ...]
    threshold: Fraction

    def holds(self, observations: Floats) -> Mask:
        """Which rows answer yes."""
        along = observations @ np.asarray([float(s) for s in self.signs])
        return np.asarray(along <= float(self.threshold))

    def formula(self, names: Sequence[str]) -> Formula:
        """The question as text; a comparison with 0 of two inputs needs no number."""
        parts = [(s, Var(n)) for s, n in zip(self.signs, names, strict=True) if s]
        if len(parts) == 2 and self.threshold == 0 and parts[0][0] == 1 and abs(parts[1][0]) == 1:
            (_, first), (sign, second) = parts
            return Compare(Relation.LE, first, second if sign < 0 else -second)
        left = linear([Fraction(s) for s, _ in parts], [v for _, v in parts])
        return Compare(Relation.LE, left, Num(self.threshold))


@dataclass(frozen=True, slots=True)
class Branch:
    """A leaf by the answers that lead to it, and the rows there."""

    answers: tuple[tuple[Split, bool], ...]
    rows: Mask


def fit_tree(
    names: Sequence[str], observations: Floats, goal: Target, leaves: int, seed: int = 0
) -> list[Fit]:
    """Trees with at most so many affine leaves, from all coefficients down to one per leaf.

    Raises:
        ValueError: for fewer than two leaves.
    """
    if leaves < 2:
        raise ValueError(f"a tree has two leaves or more; got {leaves}; one leaf is fit_affine")
    features = monomials(names)
    values = evaluate(features, names, observations)
    rng = np.random.default_rng(seed)
    branches = [Branch((), np.ones(len(observations), dtype=np.bool_))]
    while len(branches) < leaves:
        found = [
            (_best_split(observations, values, goal, b.rows, rng), k)
            for k, b in enumerate(branches)
        ]
        gains = [(gain, -k, split) for (gain, split), k in found if split is not None]
        if not gains or max(g[0] for g in gains) <= 0:
            break
        _, minus, split = max(gains, key=lambda g: g[:2])
        old = branches[-minus]
        yes = split.holds(observations)
        branches[-minus : 1 - minus or None] = [
            Branch((*old.answers, (split, True)), old.rows & yes),
            Branch((*old.answers, (split, False)), old.rows & ~yes),
        ]
    return shrink(names, observations, goal, branches)


def _directions(d: int) -> list[tuple[int, ...]]:
    result = [tuple(int(i == k) for i in range(d)) for k in range(d)]
    if d <= MOST_PAIRED:
        for i, j in itertools.combinations(range(d), 2):
            for sign in (1, -1):
                result.append(tuple(1 if k == i else sign if k == j else 0 for k in range(d)))
    return result


def _best_split(
    observations: Floats, values: Floats, goal: Target, inside: Mask, rng: np.random.Generator
) -> tuple[float, Split | None]:
    """The lowered loss (a sum over rows) and the split of the rows ``inside``."""
    rows = np.flatnonzero(inside)
    k = values.shape[1]
    if len(rows) < 4 * k:
        return 0.0, None
    sample = rows if len(rows) <= SAMPLE else np.sort(rng.choice(rows, SAMPLE, replace=False))
    candidates: list[tuple[tuple[int, ...], float]] = []
    for signs in _directions(observations.shape[1]):
        along = observations[sample] @ np.asarray(signs)
        cuts = np.quantile(along, np.linspace(0, 1, QUANTILES + 2)[1:-1]).tolist()
        if along.min() < 0 < along.max():
            cuts.append(0.0)
        candidates += [(signs, cut) for cut in dict.fromkeys(cuts)]
    losses = _split_losses(observations[sample], values[sample], goal.take(sample), candidates)
    best = int(np.argmin(losses))
    signs, cut = candidates[best]
    if not np.isfinite(losses[best]):
        return 0.0, None
    several = sorted(c for s, c in candidates if s == signs)
    at = several.index(cut)
    sample = (
        rows if len(rows) <= 5 * SAMPLE else np.sort(rng.choice(rows, 5 * SAMPLE, replace=False))
    )
    along = observations[sample] @ np.asarray(signs)
    low = several[at - 1] if at else float(along.min())
    high = several[at + 1] if at + 1 < len(several) else float(along.max())
    x, v, g = observations[sample], values[sample], goal.take(sample)
    points = np.unique(along)
    while True:  # zoom until neighbouring data tell no thresholds apart
        within = points[(points >= low) & (points <= high)]
        spaced = np.linspace(0, len(within) - 2, 12) if len(within) > 1 else np.empty(0)
        gaps: list[int] = np.unique(spaced.round().astype(int)).tolist()
        cuts = [float((within[i] + within[i + 1]) / 2) for i in gaps] or [cut]
        losses = _split_losses(x, v, g, [(signs, c) for c in cuts])
        at = int(np.argmin(losses))
        cut = cuts[at]
        if len(gaps) < 2 or gaps[-1] - gaps[0] == len(gaps) - 1:
            break
        low = float(within[gaps[max(0, at - 1)]])
        high = float(within[gaps[min(len(gaps) - 1, at + 1)] + 1])
    if not np.isfinite(losses[at]):
        return 0.0, None
    below, above = points[points <= cut], points[points > cut]
    exact = (
        shortest_between(float(below[-1]), float(above[0]))
        if len(below) and len(above)
        else Fraction(cut)
    )
    whole = float(fit_families(v.T[None], np.zeros((1, len(v))), g)[1][0])
    return (whole - float(losses[at])) * len(rows), Split(signs, exact)


def _split_losses(
    observations: Floats,
    values: Floats,
    goal: Target,
    candidates: Sequence[tuple[tuple[int, ...], float]],
) -> Floats:
    """The mean loss of two affine leaves for each candidate; infinite for a nearly empty side."""
    n = len(values)
    yes = np.stack([observations @ np.asarray(s) <= cut for s, cut in candidates])
    result = np.zeros(len(candidates))
    block = max(1, 4_000_000 // values.size)
    for first in range(0, len(candidates), block):
        part = slice(first, first + block)
        for rows in (yes[part], ~yes[part]):
            basis = np.broadcast_to(values.T, (len(rows), *values.T.shape))
            loss = fit_families(basis, np.zeros((len(rows), n)), goal, 6, rows)[1]
            few = rows.sum(axis=1) < max(LEAST * n, values.shape[1])
            result[part] += np.where(few, np.inf, loss)
    return result


def shrink(
    names: Sequence[str], observations: Floats, goal: Target, branches: Sequence[Branch]
) -> list[Fit]:
    """Affine leaves for these branches, down to one coefficient each; a fit for each number of them.

    Coefficients are eliminated over all leaves, the cheapest first.
    """
    features = monomials(names)
    values = evaluate(features, names, observations)
    paths = []
    for branch in branches:
        part = goal.take(branch.rows)
        paths.append(
            [
                (*step[:2], step[2] * len(part.labels))
                for step in eliminate(values[branch.rows], part)
            ]
        )
    at = [0] * len(branches)
    result = []
    while True:
        chosen = [path[i] for path, i in zip(paths, at, strict=True)]
        result.append(_tree(names, features, values, goal, branches, chosen))
        costs = [
            (path[i + 1][2] - path[i][2], k)
            for k, (path, i) in enumerate(zip(paths, at, strict=True))
            if i + 1 < len(path)
        ]
        if not costs:
            return result
        at[min(costs)[1]] += 1


def _tree(
    names: Sequence[str],
    features: Sequence[Term],
    values: Floats,
    goal: Target,
    branches: Sequence[Branch],
    leaves: Sequence[tuple[tuple[int, ...], Floats, float]],
) -> Fit:
    """The tree with these leaves, its coefficients rounded leaf by leaf."""
    predicted = np.empty(len(values))
    terms = []
    for branch, (kept, c, _) in zip(branches, leaves, strict=True):
        part, a = goal.take(branch.rows), values[branch.rows][:, kept]

        def losses(
            trials: Sequence[tuple[Fraction, ...]], a: Floats = a, part: Target = part
        ) -> list[float]:
            return [float(part.loss(a @ np.asarray([float(v) for v in t]))) for t in trials]

        limit = float(part.loss(a @ c)) * (1 + ROOM) + 1e-12
        constants = shortest_decimals(c.tolist(), losses, limit)
        predicted[branch.rows] = a @ np.asarray([float(v) for v in constants])
        terms.append(linear(constants, [features[k] for k in kept]))
    return Fit(simplify(assemble(names, branches, terms)), float(goal.loss(predicted)))


def assemble(names: Sequence[str], branches: Sequence[Branch], terms: Sequence[Term]) -> Term:
    """The tree of these branches with a term for each."""
    if len(branches) == 1:
        return terms[0]
    split = branches[0].answers[0][0]
    sides: list[Term] = []
    for answer in (True, False):
        some = [k for k, b in enumerate(branches) if b.answers[0][1] is answer]
        rest = [replace(branches[k], answers=branches[k].answers[1:]) for k in some]
        sides.append(assemble(names, rest, [terms[k] for k in some]))
    return Where(split.formula(names), sides[0], sides[1])


@dataclass(frozen=True, slots=True)
class AffineTrees:
    """Fits trees of ``least`` to ``leaves`` affine leaves.

    Of the grammar it needs conditions, sums, differences and products. Answers out of finitely many
    are treated as numbers, of which the nearest action is meant.
    """

    leaves: int = 4
    least: int = 2

    def __call__(
        self,
        template: Program,
        data: Dataset,
        grammar: Grammar,
        seed: int = 0,
        deadline: float | None = None,
    ) -> list[Program]:
        """See `Fitter`; larger trees are left out after the deadline."""
        if not grammar.conditions:
            return []

        def fits(c: Column) -> list[Fit]:
            found: list[Fit] = []
            for leaves in range(self.least, self.leaves + 1):
                if found and passed(deadline):
                    break
                found += fit_tree(c.names, c.observations, c.goal, leaves, seed)
            return found

        return per_output(template, data, grammar, fits)
