"""Oblique trees: their questions are affine, ``where(w . x <= t, ...)``, found by gradients.

A soft tree asks each question by a sigmoid, so that a row reaches every leaf with some share, and each
leaf answers for itself: the loss is the mean of the leaves' own losses by these shares. The sigmoids get
steeper, in the end the questions are hardened and the leaves fitted again as in the other trees. Then
each question keeps its heaviest coefficients only, and training goes on: trees of many sizes.

Source: Frosst and Hinton, "Distilling a neural network into a soft decision tree", 2017; Jordan and
Jacobs, "Hierarchical mixtures of experts and the EM algorithm", Neural Computation 6, 1994.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray

from nprl.distill.constant_tree import constant_leaves
from nprl.distill.dataset import Dataset
from nprl.distill.fitter import Column, Fit, passed, per_output
from nprl.distill.tree import Branch, Split, shrink
from nprl.program import Program
from nprl.search.constants import decimal
from nprl.search.grammar import Grammar

STARTS = 4
"""Trees that are begun with a quarter of the steps each; the nearest is trained on."""
BATCH = 256
RATE = 0.03
STEEP = (1.0, 12.0)
"""The factor inside the sigmoids, at first and in the end; inputs have deviation 1."""
DIGITS = 3
"""Significant digits of the coefficients."""
LEAST = 0.005
"""A question that leaves less than this part of the rows on a side is not asked."""


@dataclass(frozen=True, slots=True)
class ObliqueTrees:
    """Fits oblique trees of each of these depths.

    Leaves are affine, or constant where the actions are finitely many; limits of size are
    obeyed by leaving out what is larger. Of the grammar it needs conditions, sums, differences and products.
    """

    depths: tuple[int, ...] = (1, 2)
    steps: int = 600
    """Of training; a third as many after coefficients were taken away."""

    def __call__(
        self,
        template: Program,
        data: Dataset,
        grammar: Grammar,
        seed: int = 0,
        deadline: float | None = None,
    ) -> list[Program]:
        """See `Fitter`; deeper trees are left out after the deadline."""
        if not grammar.conditions:
            return []

        def fits(c: Column) -> list[Fit]:
            found: list[Fit] = []
            with _one_thread():
                for depth in self.depths:
                    if found and passed(deadline):
                        break
                    for branches in soft_trees(c, depth, seed, self.steps):
                        if c.finite:
                            found.append(constant_leaves(c, branches))
                        else:
                            found += shrink(c.names, c.observations, c.goal, branches)
            return found

        return per_output(template, data, grammar, fits)


@contextmanager
def _one_thread() -> Iterator[None]:
    """While it lasts torch adds in one order, whatever else runs on the machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _Soft(torch.nn.Module):
    """A complete tree: questions (2^depth - 1, d + 1), leaves (2^depth, answers, d + 1)."""

    def __init__(self, depth: int, d: int, answers: int, generator: torch.Generator) -> None:
        super().__init__()
        self.depth = depth
        gates, leaves = 2**depth - 1, 2**depth

        def drawn(*shape: int) -> torch.nn.Parameter:
            return torch.nn.Parameter(torch.randn(*shape, generator=generator) / d**0.5)

        self.gates, self.leaves = drawn(gates, d + 1), drawn(leaves, answers, d + 1)
        self.mask = torch.ones(gates, d + 1)

    def shares(self, x: torch.Tensor, steep: float) -> torch.Tensor:
        """The share (n, leaves) of each row that reaches each leaf; yes is to the left."""
        yes = torch.sigmoid(-steep * (x @ (self.gates * self.mask).T))
        result = torch.ones(len(x), 1)
        for level in range(self.depth):
            first = 2**level - 1
            part = yes[:, first : 2 * first + 1]
            result = torch.stack([result * part, result * (1 - part)], dim=2).flatten(1)
        return result

    def answers(self, x: torch.Tensor) -> torch.Tensor:
        """What each leaf answers, (n, leaves, answers)."""
        return torch.einsum("nd,lad->nla", x, self.leaves)


def soft_trees(c: Column, depth: int, seed: int = 0, steps: int = 600) -> Iterator[list[Branch]]:
    """The branches of hardened trees, with fewer and fewer coefficients in their questions."""
    generator = torch.Generator().manual_seed(seed)
    mean, deviation = c.observations.mean(axis=0), c.observations.std(axis=0)
    deviation = np.where(deviation < 1e-9, 1.0, deviation)
    z = np.c_[(c.observations - mean) / deviation, np.ones(len(c.observations))]
    x = torch.from_numpy(z).float()
    classes, order = np.unique(c.answers, return_inverse=True)
    y = torch.from_numpy(order if c.finite else c.goal.labels.astype(np.float32))
    weights = torch.ones(len(x)) if c.weights is None else torch.from_numpy(c.weights).float()
    d = z.shape[1] - 1
    begun: list[tuple[float, int, _Soft]] = []
    for _ in range(STARTS):
        tree = _Soft(depth, d, len(classes) if c.finite else 1, generator)
        loss = _train(tree, x, y, weights, c.finite, STEEP[0], steps // STARTS, generator)
        begun.append((loss, len(begun), tree))
    tree = min(begun)[2]
    sizes = sorted({d, (d + 1) // 2, min(d, 3), min(d, 2), 1}, reverse=True)
    for number, size in enumerate(sizes):
        heaviest = (tree.gates.detach() * tree.mask)[:, :-1].abs().argsort(dim=1, descending=True)
        tree.mask[:, :-1] = 0.0
        tree.mask.scatter_(1, heaviest[:, :size], 1.0)
        some = steps // 3 if number else steps
        _train(tree, x, y, weights, c.finite, STEEP[1] / 2, some, generator)
        gates = (tree.gates * tree.mask).detach().double().numpy()
        slopes = gates[:, :-1] / deviation
        yield _hardened(c, slopes, slopes @ mean - gates[:, -1], depth)


def _train(
    tree: _Soft,
    x: torch.Tensor,
    y: torch.Tensor,
    weights: torch.Tensor,
    finite: bool,
    steep: float,
    steps: int,
    generator: torch.Generator,
) -> float:
    """Train, the questions getting steeper; the mean loss of the last tenth of the steps."""
    late = []
    optimiser = torch.optim.Adam(tree.parameters(), RATE)
    for step in range(steps):
        rows = torch.randint(len(x), (min(BATCH, len(x)),), generator=generator)
        shares = tree.shares(x[rows], steep + (STEEP[1] - steep) * step / steps)
        answers = tree.answers(x[rows])
        if finite:
            wanted = y[rows][:, None, None].expand(-1, answers.shape[1], 1)
            losses = -torch.log_softmax(answers, dim=2).gather(2, wanted)[:, :, 0]
        else:
            r = answers[:, :, 0] - y[rows][:, None]
            outside = (y[rows].abs()[:, None] > 1 - 1e-6) & (r * y[rows][:, None] > 0)
            losses = torch.where(outside, 0.0, r * r)  # beyond a bound the clip takes care of it
        loss = ((shares * losses).sum(dim=1) * weights[rows]).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if step >= steps - max(1, steps // 10):
            late.append(float(loss.detach()))
    return sum(late) / max(1, len(late))


def _hardened(
    c: Column, slopes: NDArray[np.float64], thresholds: NDArray[np.float64], depth: int
) -> list[Branch]:
    """The leaves of the tree that asks ``slopes @ x <= thresholds``, in short decimals."""
    found: list[Branch] = []

    def visit(node: int, level: int, branch: Branch) -> None:
        if level == depth:
            found.append(branch)
            return
        scale = float(slopes[node][int(np.argmax(np.abs(slopes[node])))]) or 1.0
        signs = tuple(
            decimal(v, DIGITS) if v else Fraction(0) for v in (slopes[node] / scale).tolist()
        )
        split = Split(signs, decimal(float(thresholds[node]) / scale, DIGITS))
        yes = split.holds(c.observations)
        sides = [(True, branch.rows & yes), (False, branch.rows & ~yes)]
        enough = [rows.sum() >= max(2, LEAST * len(rows)) for _, rows in sides]
        children = (2 * node + 1, 2 * node + 2)  # a negative scale turns the question round
        for (answer, rows), child in zip(sides, children[:: -1 if scale < 0 else 1], strict=True):
            if all(enough):
                visit(child, level + 1, Branch((*branch.answers, (split, answer)), rows))
            elif rows.sum() == max(r.sum() for _, r in sides):
                visit(child, level + 1, branch)
                return

    visit(0, 0, Branch((), np.ones(len(c.observations), dtype=np.bool_)))
    return found
