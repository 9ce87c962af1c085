"""States that a backup seems to keep safe for ever, by simulation of sample points in any dimension.

Samples of the ranges run under the backup and the corners of the disturbance, each held, and one
that switches. What leaves the safe set is lost; where little is left, samples are taken anew near
what is. Nothing here is trusted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from nprl.lang.build import clip
from nprl.lang.terms import Num, Term, Var
from nprl.shields.synthesis.budget import Budget
from nprl.shields.synthesis.sets.lqr import lqr_gain
from nprl.shields.synthesis.sets.section_guess import closed
from nprl.shields.synthesis.views.equilibrium import Point
from nprl.shields.synthesis.views.numeric import Array, Mask
from nprl.shields.synthesis.views.problem import Problem

BY_SIMULATION = "states that stay safe, by simulation"
COUNT = {1: 1_000, 2: 4_000, 3: 8_000}
MANY = 12_000
FIRST, LAST = 100, 1_600
"""Steps: after the first ones they are doubled while states are lost."""
FEW_LOST = 0.005
ZOOMS, ROOM, SMALL = 2, 1.15, 0.7
"""Samples are taken anew in the survivors' box, with this room, where it is so small a part of the last one."""
HELD_CORNERS = 8
EFFORTS = (0.1, 10.0, 0.001)


@dataclass(frozen=True)
class Survivors:
    """Samples of S in a box, and which of them seem to stay safe under the backup."""

    problem: Problem
    backup: tuple[Term, ...]
    x: Array
    """Shape (N, n)."""
    stays: Mask
    low: Array
    high: Array

    @property
    def size(self) -> float:
        """An estimate of the volume of what stays."""
        return float(self.stays.mean() * np.prod(self.high - self.low))

    def next(self, x: Array, w: Array) -> Array:
        """The next states (N, n) under the backup."""
        return closed(self.problem, self.backup, x, w)


def laws(problem: Problem, point: Point) -> Iterator[tuple[Term, ...]]:
    """No law without inputs; else clipped gains about the point, each optimal for a quadratic cost."""
    if problem.m == 0:
        yield ()
        return
    box = np.array([float(c.high - c.low) / 2 for c in problem.model.state])
    reach = (problem.u_high - problem.u_low) / 2
    _, a, b = problem.linearised(point.x[None], point.u[None], problem.w[0])
    a, b = a[0] * box / box[:, None], b[0] * reach / box[:, None]
    for effort in EFFORTS:
        gain = lqr_gain(a, b, np.ones(problem.n), effort * np.ones(problem.m))
        if gain is not None:
            yield _clipped(problem, gain * reach[:, None] / box, point)


def _clipped(problem: Problem, gain: Array, point: Point) -> tuple[Term, ...]:
    law = []
    for row, at, c in zip(gain, point.u, problem.model.action, strict=True):
        term: Term = Num(Fraction(f"{at:.4g}"))
        for k, state, here in zip(row, problem.model.state, point.x, strict=True):
            slope = Fraction(f"{k:.3g}")
            if slope:
                term = term + Num(slope) * (Var(state.name) - Num(Fraction(f"{here:.4g}")))
        law.append(clip(term, c.low, c.high))
    return tuple(law)


def survivors(
    problem: Problem, backup: tuple[Term, ...], seed: int, budget: Budget
) -> Survivors | None:
    """The samples and which of them stay; None where none does.

    Raises:
        OutOfTime: where the budget's time is over.
    """
    rng = np.random.default_rng(seed)
    low, high = (
        np.array([float(e) for e in ends])
        for ends in zip(*((c.low, c.high) for c in problem.model.state), strict=True)
    )
    count = COUNT.get(problem.n, MANY)
    for zoom in range(ZOOMS + 1):
        x = low + (high - low) * rng.random((count, problem.n))
        x = x[(x @ problem.h.T <= problem.b).all(axis=1)]
        stays = _stays(problem, backup, x, rng, budget)
        if not stays.any():
            return None
        left = x[stays]
        first = np.maximum(_inflated(left.min(axis=0), left.max(axis=0), -1), low)
        last = np.minimum(_inflated(left.min(axis=0), left.max(axis=0), 1), high)
        if zoom == ZOOMS or np.prod((last - first) / (high - low)) > SMALL:
            return Survivors(problem, backup, x, stays, low, high)
        low, high = first, last
    return None


def _inflated(low: Array, high: Array, sign: int) -> Array:
    return np.asarray((low + high) / 2 + sign * ROOM * (high - low) / 2)


def _stays(
    problem: Problem,
    backup: tuple[Term, ...],
    start: Array,
    rng: np.random.Generator,
    budget: Budget,
) -> Mask:
    stays = np.ones(len(start), dtype=np.bool_)
    corners = problem.w[min(1, len(problem.w) - 1) :]
    held = corners[:: max(1, len(corners) // HELD_CORNERS)]
    runs: list[Array | None] = [*held, *([None] if len(corners) > 1 else [])]
    for w in runs:
        left = np.flatnonzero(stays)
        x, lost, until = start[left], 0, FIRST
        for k in range(LAST):
            budget.check(BY_SIMULATION)
            inside = (x @ problem.h.T <= problem.b + 1e-12).all(axis=1)
            if not inside.all():
                lost += int((~inside).sum())
                stays[left[~inside]] = False
                left, x = left[inside], x[inside]
            if not len(left):
                return stays
            if k == until:
                if lost < FEW_LOST * len(left):
                    break
                lost, until = 0, 2 * until
            x = closed(problem, backup, x, corners[rng.integers(len(corners))] if w is None else w)
    return stays


__all__ = ["BY_SIMULATION", "Survivors", "laws", "survivors"]
