"""A convex set that some input keeps, grown: hulls with runs that lead into it, and rows that it can spare.

Cutting states off, from the outside, loses much where what can be kept is curved inwards. Growing
goes the other way. From far states runs are followed, each input taken so that the next state is
as deep as possible in the set; where a run ends in it, the hull of both is the next set, if samples say
that it is kept. In between, rows are dropped that are not needed. Floats, in up to three dimensions.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from nprl.shields.synthesis.budget import Budget
from nprl.shields.synthesis.linearise import Inclusion
from nprl.shields.synthesis.numeric import Array
from nprl.shields.synthesis.polytope import irredundant, samples, vertices, volume
from nprl.shields.synthesis.problem import Problem
from nprl.shields.synthesis.tangent_cuts import DEPTHS, Hurried
from nprl.shields.synthesis.trial import alive

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
        for ray in rays:
            for part in PARTS:
                if budget.left() <= 0:
                    break
                wider = growth.with_run(h, ray, part)
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
        z = z[alive(self.problem, self.maps.centre + self.maps.unit * z)]
        return bool((self.step.values(h, z)[0] <= 1 - (1 - SPARE) * self.margin).all())

    def with_run(self, h: Array, ray: Array, part: float) -> Array | None:
        """The hull of the set and a run from so far out, if the run ends in the set and the hull is kept."""
        inner, outer = 1 / max(float((h @ ray).max()), 1e-12), 1 / float((self.maps.h @ ray).max())
        if outer < (1 + 1e-3) * inner:
            return None
        run = self.run(h, ray * (inner + part * (outer - inner)))
        corners = vertices(h)
        if run is None or corners is None:
            return None
        wider = _hull(np.vstack([corners, run]))
        if wider is None:
            return None
        if len(wider) > MOST_ROWS:
            wider = _coarser(wider, self.maps.h)
        return wider if self.kept(wider) else None

    def run(self, h: Array, z: Array) -> Array | None:
        """The states from ``z`` until the set (or the end of the episode); None if it leaves what is safe."""
        problem, maps = self.problem, self.maps
        run = [z]
        for _ in range(MOST_STEPS):
            x = maps.centre + maps.unit * z
            if (h @ z).max() <= 1 - self.margin or not alive(problem, x[None])[0]:
                return np.array(run)
            u = self.step.values(h, z[None])[1]
            z = (problem.next(x[None], u, problem.w[0])[0] - maps.centre) / maps.unit
            if (maps.h @ z).max() > 1:
                return None
            run.append(z)
        return None

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
