"""The modes that a union is made of: sets of few rows, in the model's coordinates or in turned ones."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from nprl.model import Model
from nprl.shields.synthesis.budget import Budget
from nprl.shields.synthesis.proposal import Candidate, kept_polytope
from nprl.shields.synthesis.sets.decoupled import decoupled
from nprl.shields.synthesis.sets.few_rows import few_rows
from nprl.shields.synthesis.sets.turned import turned
from nprl.shields.synthesis.sets.union import union
from nprl.shields.synthesis.views.equilibrium import equilibria
from nprl.shields.synthesis.views.linearise import inclusion
from nprl.shields.synthesis.views.polytope import irredundant
from nprl.shields.synthesis.views.problem import Problem

SAFE, FEW = "safe set itself", "control-invariant polytope of few rows"
SHARE = 0.4
"""Of the time that is left, for the modes of a union."""


def union_of_few_rows(
    model: Model, split: list[Model], seed: int, budget: Budget
) -> Iterator[Candidate]:
    """The union of modes for the pieces ``split`` of the safe set, within a share of the time."""
    part = budget.part(SHARE)
    yield from union(model, split, partial(_mode, seed=seed, budget=part), seed)


def _mode(problem: Problem, seed: int, budget: Budget) -> Iterator[Candidate]:
    find = partial(_of_few_rows, budget=budget)
    if problem.n <= 2:
        yield from find(problem, seed)
    yield from decoupled(problem, find, seed)
    yield from turned(problem, lambda other: decoupled(other, find, seed))


def _of_few_rows(problem: Problem, seed: int, budget: Budget) -> Iterator[Candidate]:
    """Of a group of at most three coordinates."""
    maps = inclusion(problem, equilibria(problem)[0], seed=seed)
    yield from kept_polytope(problem, maps, irredundant(maps.h), SAFE, seed, budget)
    h = few_rows(maps, budget)
    if h is not None:
        yield from kept_polytope(problem, maps, h, FEW, seed, budget)
