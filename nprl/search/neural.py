"""Partial programs whose open places are small networks, trained by gradient to imitate.

The loss that remains says how near any program that fills these places can come: networks compute
nearly all that terms do, so it is (nearly) a lower bound of the loss of all completions. A network
has one hidden layer of fixed random weights; what is trained is the layer after it, and a straight
way past it. So the derivative of the term by the network's value, which torch computes, is all that
Gauss-Newton steps need, and a dozen of these do what a thousand of plain descent would. A condition
is a smooth mixture of its branches while it is trained.

Source: Shah et al., "Learning differentiable functions with admissible neural relaxations" (NEAR),
NeurIPS 2020, section 3; fixed random layers: Rahimi and Recht, "Random features for large-scale
kernel machines", NeurIPS 2007; damped steps: Marquardt 1963.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nprl.distill.censored import Target
from nprl.lang.terms import Compare, Relation, Term, Where
from nprl.search.constants import HOLE
from nprl.search.partial import OPEN, scales
from nprl.search.tensors import Tensors

Floats = NDArray[np.float64]
HIDDEN = 16
"""Units of the hidden layer of each network."""
STEPS = 7
"""Damped Gauss-Newton steps."""
ENOUGH = 0.02
"""Training ends with a step that gains less than this part of the loss."""
SOFT = 0.1
"""The width of a smooth condition, in standard deviations of the difference that is compared."""
RIDGE, DAMPING = 1e-7, 1e-2
LARGEST, TINY = 1e9, 1e-10


class SmoothTensors(Tensors):
    """Tensors in which ``where(a <= b, ...)`` mixes its branches, more where a is near b."""

    def _term(self, t: Term) -> Tensor:
        match t:
            case Where(Compare(Relation.LE | Relation.LT, low, high), then, other):
                apart = self.of(high) - self.of(low)
                width = SOFT * apart.detach().std(correction=0) + 1e-9
                weight = torch.sigmoid(apart / width)
                return weight * self.of(then) + (1 - weight) * self.of(other)
        return super()._term(t)


@dataclass(frozen=True, slots=True)
class Lesson:
    """The labels of one output, the observations, and the hidden layer that all networks share."""

    columns: dict[str, Tensor]
    """Observations by name, (n,)."""
    features: Tensor
    """The hidden layer's values, the observations and 1, (n, f)."""
    goal: Target
    levels: Floats | None = None
    """The actions, in halves of the range, where there are finitely many; the nearest is meant."""

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        observations: Floats,
        goal: Target,
        seed: int,
        levels: Sequence[float] | None = None,
    ) -> Lesson:
        """Of observations (n, d), the target there, and the only actions (in units), if any."""
        rng = np.random.default_rng(seed)
        deviation = observations.std(axis=0)
        x = (observations - observations.mean(axis=0)) / np.where(deviation > 1e-9, deviation, 1.0)
        d = x.shape[1]
        steep = np.exp(rng.uniform(np.log(0.3), np.log(3.0), HIDDEN))
        weights = rng.standard_normal((d, HIDDEN)) / np.sqrt(d) * steep
        hidden = np.tanh(x @ weights + rng.uniform(-2, 2, HIDDEN) * steep)
        features = np.concatenate([hidden, x, np.ones((len(x), 1))], axis=1)
        columns = {name: torch.as_tensor(observations[:, k]) for k, name in enumerate(names)}
        only = None if levels is None else (np.asarray(levels) - goal.centre) / goal.half
        return cls(columns, torch.as_tensor(features), goal, only)

    def loss(self, predicted: Floats) -> float:
        """The imitation loss of what is executed."""
        if self.levels is None:
            return float(self.goal.loss(predicted))
        scaled = (predicted - self.goal.centre) / self.goal.half
        nearest = np.abs(scaled[:, None] - self.levels).argmin(axis=1)
        return float(np.mean((self.levels[nearest] - self.goal.labels) ** 2))

    def values(self, t: Term, at: dict[str, Tensor], smooth: bool = True) -> Floats:
        """The values (n,) of ``t``, its places and holes given."""
        kind = SmoothTensors if smooth else Tensors
        with torch.no_grad():
            found = kind(self.columns | at).of(t).expand(len(self.features))
        return np.asarray(np.clip(found.numpy(), -LARGEST, LARGEST))


def trained_loss(t: Term, lesson: Lesson, seed: int) -> float:
    """The imitation loss of a partial program, its networks and constants trained."""
    size = scales(t, lesson.goal.half)
    ones = torch.ones_like(lesson.features[:, :1])
    basis = {n: s * (lesson.features if n.startswith(OPEN) else ones) for n, s in size.items()}
    rng = np.random.default_rng(seed)
    first = {
        n: torch.as_tensor(rng.standard_normal(b.shape[1]) * (1.0 if n.startswith(HOLE) else 0.3))
        for n, b in basis.items()
    }
    return _trained(t, lesson, basis, first)


def _trained(
    t: Term, lesson: Lesson, basis: dict[str, Tensor], weights: dict[str, Tensor]
) -> float:
    """The loss after the steps from these weights, by name."""
    goal, damping = lesson.goal, DAMPING

    def placed(w: dict[str, Tensor]) -> dict[str, Tensor]:
        return {n: basis[n] @ v for n, v in w.items()}

    at = placed(weights)
    r = goal.residuals(lesson.values(t, at))
    loss = float(np.mean(r * r))
    for _ in range(STEPS if basis else 0):
        leaves = {n: v.requires_grad_() for n, v in at.items()}
        whole = SmoothTensors(lesson.columns | leaves).of(t).sum()
        if not whole.requires_grad:
            break
        slopes = torch.autograd.grad(whole, list(leaves.values()), allow_unused=True)
        moved = torch.as_tensor(r != 0)
        parts = []
        for n, slope in zip(leaves, slopes, strict=True):
            known = torch.zeros_like(leaves[n]) if slope is None else slope
            known = torch.where(moved & known.isfinite() & (known.abs() < LARGEST), known, 0.0)
            parts.append(known[:, None] * basis[n] / goal.half)
        jacobian = torch.cat(parts, dim=1).numpy()
        gram, right = jacobian.T @ jacobian, jacobian.T @ r
        diagonal = np.diagonal(gram)
        ridge = damping * diagonal + RIDGE * (1e-9 + diagonal.max())
        step = np.linalg.solve(gram + np.diag(ridge), right)
        ends = np.cumsum([len(v) for v in weights.values()])[:-1]
        change = dict(zip(weights, np.split(step, ends), strict=True))
        new = {n: v - torch.as_tensor(change[n]) for n, v in weights.items()}
        new_at = placed(new)
        new_r = goal.residuals(lesson.values(t, new_at))
        new_loss = float(np.mean(new_r * new_r))
        better = new_loss < loss
        damping = damping / 5 if better else damping * 10
        gain = loss - new_loss
        if better:
            weights, at, r, loss = new, new_at, new_r, new_loss
            if gain < ENOUGH * (gain + loss) or loss < TINY:
                break
    at = {n: v.detach() for n, v in at.items()}
    smooth, hard = (lesson.loss(lesson.values(t, at, how)) for how in (True, False))
    return min(smooth, hard)
