"""The derivation of a program as a tree of soft choices, which gradients train as a whole.

Each place of a binary tree holds all productions of the grammar at once: an affine form of the
observations, each operator on what stands below, and ``where`` with an affine condition. It is
their mixture by a softmax, colder and colder; then the choices are made for good from the root
downwards, while the constants go on learning. Many trees are computed together.

Without sums and products in the grammar a leaf is a soft choice between variables in place of the
affine form, and there is no ``where``.

Source: Cui and Zhu, "Differentiable synthesis of program architectures" (dPads), NeurIPS 2021,
whose places share their parts among productions as here; Qiu and Zhu, "Programmatic reinforcement
learning without oracles" (pi-PRL), ICLR 2022.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nprl.lang.terms import Binary, BinaryOp, Compare, Relation, Term, Unary, UnaryOp, Var, Where
from nprl.search.constants import ONE, decimal, linear, simplify
from nprl.search.grammar import Grammar
from nprl.search.tensors import binary, unary

Floats = NDArray[np.float64]
DIGITS = 5
COLD = 0.1
"""The last temperature of the choices; the first is 1."""
WIDTH = 0.3
"""Of a condition, at temperature 1, in units of a normalised observation."""
NEGLIGIBLE = 0.003
"""Summands of affine forms below this part of the largest are left out."""
POLE = 0.1
"""At temperature 1 a quotient is a b / (b^2 + POLE^2)."""


@dataclass(frozen=True, slots=True)
class _Productions:
    """What stands in a place, in the order of its logits: the leaf first."""

    unary: tuple[UnaryOp, ...]
    binary: tuple[BinaryOp, ...]
    conditions: bool

    def __len__(self) -> int:
        return 1 + len(self.unary) + len(self.binary) + self.conditions


class Relaxation:
    """``trees`` soft programs of the same observations, of so many levels below the root."""

    def __init__(
        self,
        grammar: Grammar,
        spread: Floats,
        half: Floats,
        levels: int,
        seed: int,
    ) -> None:
        """One tree for each of ``half`` (trees,), how large its values may be.

        ``spread`` (variables,) is how large the observations are.
        """
        generator = torch.Generator().manual_seed(seed)

        def drawn(size: float, *shape: int) -> Tensor:
            values = size * torch.randn(shape, generator=generator, dtype=torch.float64)
            return values.requires_grad_()

        self.grammar, self.levels, self.trees = grammar, levels, len(half)
        self.affine = {BinaryOp.ADD, BinaryOp.MUL} <= set(grammar.binary) and grammar.max_holes > 0
        conditions = grammar.conditions and self.affine
        self.productions = _Productions(grammar.unary, grammar.binary, conditions)
        self.spread = torch.as_tensor(np.where(spread > 1e-9, spread, 1.0))
        self._half = torch.as_tensor(half)
        d = len(self.spread) + 1
        self.leaves = [drawn(0.5, self.trees << k, d) for k in range(levels + 1)]
        self.tests = [drawn(1.0, self.trees << k, d) for k in range(levels)]
        self.logits = [drawn(0.1, self.trees << k, len(self.productions)) for k in range(levels)]
        self.heat = 1.0
        self._decided: list[Tensor | None] = [None] * levels

    @property
    def parameters(self) -> list[Tensor]:
        """What is trained."""
        return [*self.leaves, *self.tests, *self.logits]

    def cool(self, done: float) -> None:
        """Set the temperature for this part of the training, 0 to 1, and decide what is due.

        It falls over the first half; from then on level after level is decided.
        """
        self.heat = COLD ** min(1.0, 2 * done)
        for level in range(self.levels):
            if done >= 0.5 + 0.4 * level / self.levels and self._decided[level] is None:
                choice = self.logits[level].detach().argmax(dim=1)
                chosen = torch.nn.functional.one_hot(choice, len(self.productions))
                self._decided[level] = chosen.to(torch.float64)

    def choices(self, level: int) -> Tensor:
        """The weights (places, productions) of one level."""
        decided = self._decided[level]
        return torch.softmax(self.logits[level] / self.heat, dim=1) if decided is None else decided

    def values(self, x: Tensor) -> Tensor:
        """The trees' values (n, trees) for observations (n, variables), in their units."""
        z = torch.cat([x / self.spread, torch.ones_like(x[:, :1])], dim=1)
        value = self._leaf(z, self.levels)
        for level in reversed(range(self.levels)):
            left, right = value[:, 0::2], value[:, 1::2]
            ways = [self._leaf(z, level)]
            ways += [unary(op, left) for op in self.productions.unary]
            ways += [self._binary(op, left, right) for op in self.productions.binary]
            if self.productions.conditions:
                test = self.tests[level]
                apart = z @ (test / (test.norm(dim=1, keepdim=True) + 1e-9)).T
                weight = torch.sigmoid(-apart / (WIDTH * self.heat))
                ways.append(weight * left + (1 - weight) * right)
            value = (torch.stack(ways, dim=2) * self.choices(level)).sum(dim=2)
        return value

    def sizes(self) -> Tensor:
        """The expected number of nodes (trees,), an affine form counted by its weights."""
        below = self._leaf_sizes(self.levels)
        for level in reversed(range(self.levels)):
            left, right = below[0::2], below[1::2]
            ways = [self._leaf_sizes(level)]
            ways += [1 + left] * len(self.productions.unary)
            ways += [1 + left + right] * len(self.productions.binary)
            if self.productions.conditions:
                ways.append(4 + left + right)
            below = (torch.stack(ways, dim=1) * self.choices(level)).sum(dim=1)
        return below

    def _leaf(self, z: Tensor, level: int) -> Tensor:
        weights, half = self.leaves[level], self._half.repeat_interleave(1 << level)
        if self.affine:
            return z @ weights.T * half
        return (z * torch.cat([self.spread, self.spread.new_zeros(1)])) @ self._variables(level).T

    def _variables(self, level: int) -> Tensor:
        """The weights of variables as leaves; those of 1 are 0."""
        weights = torch.softmax(self.leaves[level][:, :-1] / (self.heat * self.heat), dim=1)
        return torch.cat([weights, torch.zeros_like(weights[:, :1])], dim=1)

    def _leaf_sizes(self, level: int) -> Tensor:
        weights = self.leaves[level]
        if not self.affine:
            return torch.ones_like(weights[:, 0])
        return 4 * torch.tanh(4 * weights.abs()).sum(dim=1)

    def _binary(self, op: BinaryOp, a: Tensor, b: Tensor) -> Tensor:
        if op is not BinaryOp.DIV:
            return binary(op, a, b)
        pole = POLE * self.heat
        return a * b / (b * b + pole * pole)

    def terms(self) -> list[Term]:
        """The programs that the likeliest choices make, constants as decimals."""
        return [simplify(self._term(0, tree)) for tree in range(self.trees)]

    def _term(self, level: int, place: int) -> Term:
        if level == self.levels:
            return self._leaf_term(level, place)
        choice = int(self.choices(level)[place].argmax())
        if choice == 0:
            return self._leaf_term(level, place)
        left = self._term(level + 1, 2 * place)
        known = self.productions
        if choice <= len(known.unary):
            return Unary(known.unary[choice - 1], left)
        right = self._term(level + 1, 2 * place + 1)
        if choice <= len(known.unary) + len(known.binary):
            return Binary(known.binary[choice - 1 - len(known.unary)], left, right)
        test = self._sum(self.tests[level][place], 1.0)
        return Where(Compare(Relation.LE, test, linear([], [])), left, right)

    def _leaf_term(self, level: int, place: int) -> Term:
        if not self.affine:
            return Var(self.grammar.variables[int(self._variables(level)[place].argmax())])
        return self._sum(self.leaves[level][place], float(self._half[place >> level]))

    def _sum(self, weights: Tensor, size: float) -> Term:
        with torch.no_grad():
            most = float(weights.abs().max())
            kept = torch.where(weights.abs() > NEGLIGIBLE * most, weights, 0.0)
            scaled = (kept[:-1] / self.spread * size).tolist()
        numbers: list[Fraction] = [decimal(v, DIGITS) for v in (*scaled, float(kept[-1]) * size)]
        return linear(numbers, [*map(Var, self.grammar.variables), ONE])


def spread_of(observations: Floats) -> Floats:
    """How large each observation is: the root of its mean square."""
    return np.asarray(np.sqrt(np.mean(observations**2, axis=0)))
