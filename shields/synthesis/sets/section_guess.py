"""The edge of what a backup keeps, by simulation: a first guess of a set's sections, in two coordinates.

A saturated affine law is tried for each of several directions and sizes; those from which most states of a grid stay
safe are kept. Nothing here is trusted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import numpy as np

from nprl.lang.build import clip
from nprl.lang.terms import Num, Term, Var, variables
from nprl.shields.sequent import expanded
from nprl.shields.synthesis.budget import Budget
from nprl.shields.synthesis.proofs.nonlinear import curved_parts
from nprl.shields.synthesis.views.numeric import Array, Mask, values
from nprl.shields.synthesis.views.problem import Problem, power_of_two

BY_SIMULATION = "backups by simulation"
COARSE, FINE = (21, 60), (81, 300)
"""Points of the grid on each axis, and steps."""
NUDGE = 1e-3
"""Of the ranges: each step is pushed so far, one way or the other, so that what stays, stays surely."""
DIRECTIONS, SIZES = 16, (2.0, 8.0)
"""Of the laws, over coordinates scaled to the ranges and inputs to their bounds."""
RANDOM = 32
"""Laws of several inputs."""
KEPT = 3
BENT = 0.7
"""What an area counts where the step is not affine across: each section is one piece of the proof."""
LEAST = 3
"""Points of the grid that a section has."""


@dataclass(frozen=True)
class Loop:
    """A problem of two coordinates under a backup, and which states of a grid seem to stay safe."""

    problem: Problem
    backup: tuple[Term, ...]
    grid: tuple[Array, Array]
    stays: Mask

    @property
    def ranges(self) -> Array:
        """The width of each coordinate's range; (2,)."""
        return np.array([float(c.high - c.low) for c in self.problem.model.state])

    @property
    def order(self) -> list[int]:
        """The coordinates along which sections hold the starts, the better one first."""
        worth = {along: self.area(along) * self.weight(along) for along in (0, 1)}
        return sorted((along for along in worth if worth[along]), key=lambda along: -worth[along])

    def weight(self, along: int) -> float:
        """What an area counts: less where the step is not affine across."""
        model = self.problem.model
        curved = (c for t in model.steps for c in curved_parts(expanded(t)))
        across = model.state_names[1 - along]
        return BENT if any(across in variables(c) for c in curved) else 1.0

    def area(self, along: int) -> float:
        """Of the sections along a coordinate, in the coordinates' units."""
        found = self.sections(along)
        return 0.0 if found is None else float(np.trapezoid(found[:, 2] - found[:, 1], found[:, 0]))

    def next(self, along: int, s: Array, r: Array, w: Array) -> tuple[Array, Array]:
        """The next place along and across, of points (N,), under the backup and a disturbance."""
        y = self.closed(_joined(along, s, r), w)
        return y[:, along], y[:, 1 - along]

    def closed(self, x: Array, w: Array) -> Array:
        """The next states (N, 2) under the backup."""
        return closed(self.problem, self.backup, x, w)

    def sections(self, along: int) -> Array | None:
        """For each place in a row of places around the starts: the place, the least and the greatest that stay."""
        problem = self.problem
        middle = (problem.init_low + problem.init_high) / 2
        s, r = self.grid[along], self.grid[1 - along]
        stays = self.stays if along == 0 else self.stays.T
        found = np.full((len(s), 3), np.nan)
        for i, row in enumerate(stays):
            run = _run(row, int(np.abs(r - middle[1 - along]).argmin()))
            if run is not None and run[1] - run[0] >= LEAST:
                found[i] = s[i], r[run[0]], r[run[1]]
        run = _run(~np.isnan(found[:, 0]), int(np.abs(s - middle[along]).argmin()))
        if run is None or run[1] - run[0] < LEAST:
            return None
        held = found[run[0] : run[1] + 1]
        starts = problem.init_low[along], problem.init_high[along]
        return held if held[0, 0] <= starts[0] and held[-1, 0] >= starts[1] else None

    def guess(self, along: int, parts: int) -> tuple[Array, Array, Array] | None:
        """The cuts (parts + 1,) along, and the sections' ends there; None where no sections hold the starts."""
        found = self.sections(along)
        if found is None:
            return None
        part = (found[-1, 0] - found[0, 0]) / parts
        unit = float(power_of_two(part / 16))
        at = np.round(np.linspace(found[0, 0], found[-1, 0], parts + 1) / unit) * unit
        at[0], at[-1] = np.ceil(found[0, 0] / unit) * unit, np.floor(found[-1, 0] / unit) * unit
        middle = (self.problem.init_low[along] + self.problem.init_high[along]) / 2
        near = 1 + int(np.abs(at[1:-1] - middle).argmin())
        if abs(at[near] - middle) < part / 8:  # a witness is wanted there, well inside of a part
            at[near] += 4 * unit
        low, high = (np.interp(at, found[:, 0], found[:, k]) for k in (1, 2))
        return at, low, high

    def holds_start(self, at: Array, low: Array, high: Array, along: int) -> bool:
        """Whether the sections between the cuts hold the initial box."""
        first, last = self.problem.init_low, self.problem.init_high
        if at[0] > first[along] or at[-1] < last[along]:
            return False
        inner = at[(at > first[along]) & (at < last[along])]
        places = np.r_[first[along], last[along], inner]
        return bool(
            (np.interp(places, at, low) <= first[1 - along]).all()
            and (np.interp(places, at, high) >= last[1 - along]).all()
        )


def loops(problem: Problem, seed: int, budget: Budget) -> Iterator[Loop]:
    """The backups that keep most, the best first; those whose sections hold the starts."""
    found = []
    for backup in _laws(problem, seed):
        budget.check(BY_SIMULATION)
        loop = simulated(problem, backup, *COARSE)
        size = max(loop.area(0), loop.area(1))
        if size:
            found.append((size, loop))
    found.sort(key=lambda pair: -pair[0])
    for _, loop in found[:KEPT]:
        budget.check(BY_SIMULATION)
        yield simulated(problem, loop.backup, *FINE)


def closed(problem: Problem, backup: tuple[Term, ...], x: Array, w: Array) -> Array:
    """The next states (N, 2) under a backup."""
    u = np.clip(values(backup, problem.model.state_names, x), problem.u_low, problem.u_high)
    return problem.next(x, u, w)


def _laws(problem: Problem, seed: int) -> Iterator[tuple[Term, ...]]:
    """Saturated affine laws about the middle of the starts."""
    model, m = problem.model, problem.m
    if m == 0:
        yield ()
        return
    if m == 1:
        turns = [
            np.array([[np.cos(a), np.sin(a)]])
            for a in 2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
        ]
        gains = [size * turn for size, turn in product(SIZES, turns)]
    else:
        rng = np.random.default_rng(seed)
        gains = [
            s * rng.normal(size=(m, 2)) for s, _ in product(SIZES, range(RANDOM // len(SIZES)))
        ]
    middle = (problem.init_low + problem.init_high) / 2
    for gain in gains:
        law = []
        for row, c in zip(gain, model.action, strict=True):
            term: Term = Num((c.low + c.high) / 2)
            for k, state, at in zip(row, model.state, middle, strict=True):
                slope = Fraction(f"{k * float((c.high - c.low) / (state.high - state.low)):.2g}")
                if abs(k) > 1e-9 and slope:
                    term = term + Num(slope) * (Var(state.name) - Num(Fraction(f"{at:.3g}")))
            law.append(clip(term, c.low, c.high))
        yield tuple(law)


def simulated(problem: Problem, backup: tuple[Term, ...], count: int, steps: int) -> Loop:
    """The loop with a grid of ``count`` points on each axis."""
    low, high = (
        [float(v) for v in e]
        for e in zip(*((c.low, c.high) for c in problem.model.state), strict=True)
    )
    grid = np.linspace(low[0], high[0], count), np.linspace(low[1], high[1], count)
    start = np.stack([g.ravel() for g in np.meshgrid(*grid, indexing="ij")], axis=1)
    stays = np.ones(len(start), dtype=np.bool_)
    nudge = NUDGE * (np.array(high) - np.array(low))
    for w in problem.w[min(1, len(problem.w) - 1) :]:
        left = np.tile(np.flatnonzero(stays), 2)
        x, push = start[left], np.repeat([nudge, -nudge], len(left) // 2, axis=0)
        for _ in range(steps):
            inside = (x @ problem.h.T <= problem.b + 1e-12).all(axis=1)
            stays[left[~inside]] = False
            inside &= stays[left]
            if not inside.all():
                left, x, push = left[inside], x[inside], push[inside]
            if not len(left):
                break
            x = closed(problem, backup, x, w) + push
    return Loop(problem, backup, grid, stays.reshape(count, count))


def _run(row: Mask, centre: int) -> tuple[int, int] | None:
    """The run of true entries that is nearest to ``centre``: its first and last index."""
    true = np.flatnonzero(row)
    if not len(true):
        return None
    start = true[np.abs(true - centre).argmin()]
    false = np.flatnonzero(~row)
    before, after = false[false < start], false[false > start]
    first = before[-1] + 1 if len(before) else 0
    last = after[0] - 1 if len(after) else len(row) - 1
    return int(first), int(last)


def _joined(along: int, s: Array, r: Array) -> Array:
    return np.stack([s, r] if along == 0 else [r, s], axis=1)


__all__ = ["Loop", "loops", "simulated"]
