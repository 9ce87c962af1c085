"""A convex set that some input keeps, grown: hulls with runs that lead into it, and rows that it can spare.

Cutting states off, from the outside, loses much where what can be kept is curved inwards. Growing
goes the other way. From far states runs are followed, each input taken so that the next state is
as deep as possible in the set; where a run ends in it, the hull of both is the next set, if samples say
that it is kept. In between, rows are dropped that are not needed. Floats, in up to three dimensions.
"""

from __future__ import annotations

from itertools import chain

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from nprl.lang.floats import compile_batch
from nprl.shields.synthesis.budget import Budget
from nprl.shields.synthesis.sets.tangent_cuts import DEPTHS, Hurried
from nprl.shields.synthesis.views.linearise import Inclusion
from nprl.shields.synthesis.views.numeric import Array, Mask
from nprl.shields.synthesis.views.polytope import irredundant, samples, vertices, volume
from nprl.shields.synthesis.views.problem import Problem

MARGINS = (3e-4, 1e-4, 2e-5)
"""How far inside the next states are to lie, as a part of each row's range: the first with which ``h`` is kept."""
SPARE = 0.25
SAMPLES = 1_200
RAYS = {1: 2, 2: 48, 3: 120}
PARTS = (1.0, 0.85, 0.6, 0.3, 0.1)
"""Of the way from the set to the edge of what is safe."""
MOST_STEPS = 250
MOST_ROWS = 40
WORTH = 0.003
"""A round that adds less than this part of the volume is the last."""


def grown(
    problem: Problem, maps: Inclusion, h: Array, budget: Budget | None = None, seed: int = 0
) -> Array | None:
    """Rows ``h z <= 1`` of a larger set that some input keeps; None where none was found.

    ``h`` is kept already, in the coordinates of ``maps``, whose rows are those of the safe set. For
    models of at most three state coordinates and one input.

    The budget's time ends the growing; what was found until then is returned.
    """
    if problem.n not in RAYS or problem.m > 1 or vertices(h) is None:
        return None
    budget = budget or Budget()
    growths = (_Growth(problem, maps, m, np.random.default_rng(seed)) for m in MARGINS)
    growth = next((g for g in growths if g.kept(h)), None)
    if growth is None:
        return None
    first = size = volume(h)
    rays = growth.rays()
    while budget.left() > 0:
        for runs in growth.runs(h, rays, budget):
            for run in runs:
                wider = growth.with_run(h, run) if budget.left() > 0 else None
                if wider is not None:
                    h = wider
                    break
        h = growth.thinned(h, budget)
        before, size = size, volume(h)
        if size < (1 + WORTH) * before:
            break
    return h if size > (1 + WORTH) * first else None


class _Growth:
    """What growing needs to know: the step, and how far inside it is to lead."""

    def __init__(
        self, problem: Problem, maps: Inclusion, margin: float, rng: np.random.Generator
    ) -> None:
        self.problem, self.maps, self.margin, self.rng = problem, maps, margin, rng
        self.step = Hurried(problem, maps, 1.0)
        self.over = compile_batch([problem.model.terminal], [problem.model.state_names])

    def rays(self) -> Array:
        """Directions to the corners of what is safe, then all over the sphere."""
        n = self.problem.n
        corners = vertices(self.maps.h)
        spread = self.rng.normal(size=(RAYS[n], n))
        if n == 2:
            angle = np.arange(RAYS[2]) * 2 * np.pi / RAYS[2]
            spread = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        both = spread if corners is None else np.vstack([corners, spread])
        return np.asarray(both / np.linalg.norm(both, axis=1, keepdims=True))

    def kept(self, h: Array) -> bool:
        """Whether some input keeps the set, with the margin, at each sample point that owes it."""
        z = samples(h, SAMPLES, self.rng)
        z = np.vstack([z, *(depth * z[: SAMPLES // 4] for depth in DEPTHS)])
        z = z[self.alive(z)]
        return bool(self.step.allows(h, z, 1 - (1 - SPARE) * self.margin).all())

    def with_run(self, h: Array, run: Array) -> Array | None:
        """The hull of the set and a run (k, n), if it is larger and kept."""
        corners = vertices(h)
        if corners is None or (run @ h.T).max() <= 1 + 1e-3:
            return None
        wider = _hull(np.vstack([corners, run]))
        if wider is None:
            return None
        if len(wider) > MOST_ROWS:
            wider = _coarser(wider, self.maps.h)
        return wider if self.kept(wider) else None

    def runs(self, h: Array, rays: Array, budget: Budget) -> list[list[Array]]:
        """For each ray the runs (k, n) from along it that end in the set, or with the episode, the farthest first.

        A run that leaves what is safe is none.
        """
        problem, maps = self.problem, self.maps
        inner, outer = 1 / (rays @ h.T).max(axis=1), 1 / (rays @ maps.h.T).max(axis=1)
        reach = inner[:, None] + np.array(PARTS) * (outer - inner)[:, None]
        begin = (rays[:, None, :] * reach[:, :, None]).reshape(-1, problem.n)
        states = [begin]
        lengths = np.full(len(begin), -1)
        going = np.arange(len(begin))
        for k in range(MOST_STEPS):
            z = states[-1]
            over = (z[going] @ h.T).max(axis=1) <= 1 - self.margin
            over |= ~self.alive(z[going])
            lengths[going[over]] = k + 1
            going = going[~over]
            if not len(going) or budget.left() <= 0:
                break
            u = self.step.values(h, z[going])[1]
            x = maps.centre + maps.unit * z[going]
            after = z.copy()
            after[going] = (problem.next(x, u, problem.w[0]) - maps.centre) / maps.unit
            going = going[(after[going] @ maps.h.T).max(axis=1) <= 1]
            states.append(after)
        table = np.stack(states)
        each = [[] if n < 0 else [table[:n, i]] for i, n in enumerate(lengths)]
        return [list(chain(*each[i : i + len(PARTS)])) for i in range(0, len(each), len(PARTS))]

    def alive(self, z: Array) -> Mask:
        """Which of the points (N, n) are not terminal."""
        x = np.ascontiguousarray(self.maps.centre + self.maps.unit * z)
        over: Mask = self.over(x)[0]
        return np.logical_not(over)

    def thinned(self, h: Array, budget: Budget) -> Array:
        """Without the rows that can go, those that are missed least first."""
        waiting = True
        while waiting and budget.left() > 0:
            waiting = False
            for i in np.argsort(_missed(h)):
                if np.abs(self.maps.h - h[i]).max(axis=1).min() < 1e-9:
                    continue  # of the safe set
                fewer = irredundant(np.vstack([np.delete(h, i, axis=0), self.maps.h]))
                if len(fewer) < len(h) and self.kept(fewer):
                    h, waiting = fewer, True
                    break
        return h


def _hull(points: Array) -> Array | None:
    """The rows ``h z <= 1`` of the hull of points (N, n) around 0."""
    if points.shape[1] == 1:
        return np.array([[1 / points.max()], [1 / points.min()]])
    try:
        sides = ConvexHull(points).equations
    except QhullError:
        return None
    if (sides[:, -1] > -1e-9).any():
        return None
    return irredundant(sides[:, :-1] / -sides[:, -1:])


def _missed(h: Array) -> Array:
    """How much farther the set reaches without each row."""
    reach = np.full(len(h), np.inf)
    for i, row in enumerate(h):
        wider = vertices(np.delete(h, i, axis=0))
        if wider is not None:
            reach[i] = float((wider @ row).max())
    return reach


def _coarser(h: Array, safe: Array) -> Array:
    """A wider set of at most `MOST_ROWS` rows, within what is safe."""
    while len(h) > MOST_ROWS:
        missed = _missed(h)
        missed[[np.abs(safe - row).max(axis=1).min() < 1e-9 for row in h]] = np.inf
        h = irredundant(np.vstack([np.delete(h, int(np.argmin(missed)), axis=0), safe]))
    return h
