"""Trees with constant leaves and questions about one observation, grown by scikit-learn.

Rows are weighed as in VIPER, by what a wrong answer costs. There that is ``max_a Q - min_a Q``; DQN
has that Q, and SAC, TD3 and DDPG have it too (over the corners of the box). PPO and A2C have no Q: for
finitely many actions its place is taken by the logits, whose differences are those of ``log pi`` (a soft
policy's Q is ``log pi`` plus a number); for a box, where nothing takes its place, all rows weigh
alike. The weights are the teacher's (see `nprl.distill.dagger.Weighing`).

Source: Bastani, Pu, Solar-Lezama, "Verifiable reinforcement learning via policy extraction",
NeurIPS 2018, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nprl.distill.dataset import Dataset
from nprl.distill.fitter import Column, Fit, passed, per_output
from nprl.distill.tree import Branch, Split, assemble
from nprl.lang.terms import Num, Term
from nprl.program import Program
from nprl.search.constants import shortest_between, shortest_decimals, simplify
from nprl.search.grammar import Grammar
from nprl.search.holes import ROOM

LEAVES = (2, 3, 4, 5, 6, 8, 11, 16, 23, 32, 45, 64)
"""Sizes of the trees."""
LEAST = 4
"""A leaf has at least so many rows."""


class TreeError(ImportError):
    """scikit-learn is not installed; one line."""


@dataclass(frozen=True, slots=True)
class ConstantTrees:
    """Fits trees of constant leaves, one of each number of leaves that the grammar has room for.

    Of the grammar it needs conditions. Classes are grown where the actions are finitely many, means
    else.
    """

    leaves: tuple[int, ...] = LEAVES

    def __call__(
        self,
        template: Program,
        data: Dataset,
        grammar: Grammar,
        seed: int = 0,
        deadline: float | None = None,
    ) -> list[Program]:
        """See `Fitter`; larger trees are left out after the deadline.

        Raises:
            TreeError: without scikit-learn.
        """
        if not grammar.conditions:
            return []

        def fits(c: Column) -> list[Fit]:
            found: list[Fit] = []
            most = grammar.max_constants
            for leaves in self.leaves:
                if (most is not None and leaves > most) or (found and passed(deadline)):
                    break
                found.append(fit_constant_tree(c, leaves, seed))
            return found

        return per_output(template, data, grammar, fits)


def fit_constant_tree(c: Column, leaves: int, seed: int = 0) -> Fit:
    """The tree of at most so many leaves.

    Raises:
        TreeError: without scikit-learn.
    """
    try:
        from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
    except ImportError:
        raise TreeError(
            'trees with constant leaves are grown by scikit-learn: pip install "nprl[search]"'
        ) from None
    options = {"max_leaf_nodes": leaves, "min_samples_leaf": LEAST, "random_state": seed}
    kind = DecisionTreeClassifier if c.finite else DecisionTreeRegressor
    grown = kind(**options).fit(c.observations, c.answers, c.weights)
    return constant_leaves(c, _branches(grown.tree_, c))


def constant_leaves(c: Column, branches: Sequence[Branch]) -> Fit:
    """The tree of these branches whose leaves are constants: the class of most weight, or the mean."""
    answers, order = np.unique(c.answers, return_inverse=True)
    values = [_answer(c, b, answers, order) for b in branches]
    predicted = np.empty(len(c.answers))
    for branch, value in zip(branches, values, strict=True):
        predicted[branch.rows] = float(value)
    terms: list[Term] = [Num(v) for v in values]
    return Fit(simplify(assemble(c.names, branches, terms)), float(c.goal.loss(predicted)))


def _branches(tree: Any, c: Column) -> list[Branch]:
    """The leaves of scikit-learn's tree, its thresholds the shortest that part the data alike."""
    found: list[Branch] = []

    def visit(node: int, answers: tuple[tuple[Split, bool], ...], rows: NDArray[np.bool_]) -> None:
        left, right = int(tree.children_left[node]), int(tree.children_right[node])
        if left < 0:
            found.append(Branch(answers, rows))
            return
        k = int(tree.feature[node])
        signs = tuple(int(i == k) for i in range(len(c.names)))
        along = c.observations[:, k]
        yes = along.astype(np.float32) <= tree.threshold[node]  # as scikit-learn reads them
        low, high = float(along[rows & yes].max()), float(along[rows & ~yes].min())
        split = Split(signs, shortest_between(low, high))
        visit(left, (*answers, (split, True)), rows & yes)
        visit(right, (*answers, (split, False)), rows & ~yes)

    visit(0, (), np.ones(len(c.answers), dtype=np.bool_))
    return found


def _answer(
    c: Column, branch: Branch, answers: NDArray[np.float64], order: NDArray[np.int64]
) -> Fraction:
    """A leaf's answer: the class of most weight, or a short decimal near the mean."""
    weights = np.ones(len(order)) if c.weights is None else c.weights
    inside = weights[branch.rows]
    if c.finite:
        votes = np.bincount(order[branch.rows], inside, len(answers))
        return Fraction(float(answers[int(np.argmax(votes))]))
    part, labels = c.goal.take(branch.rows), c.answers[branch.rows]
    mean = float(np.average(labels, weights=inside if inside.sum() > 0 else None))

    def losses(trials: Sequence[tuple[Fraction, ...]]) -> list[float]:
        return [float(part.loss(np.full(len(labels), float(t[0])))) for t in trials]

    limit = losses([(Fraction(mean),)])[0] * (1 + ROOM) + 1e-12
    return shortest_decimals([mean], losses, limit)[0]
