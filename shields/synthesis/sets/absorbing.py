"""Sets that need to hold only until an absorbing goal is met: progress pays for drift.

Where the terminal states are a half-space ``g.x >= c``, states beyond it owe nothing. A bound of
the ranges, ``r.x <= b``, is tilted: ``r.x + slope (c - g.x) <= b`` gives way as the goal comes
nearer. With it a coordinate may drift that no input can hold for ever. The sets themselves are cut
out of these rows by `nprl.shields.synthesis.sets.tangent_cuts`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nprl.lang.terms import Compare, Relation, variables
from nprl.shields.polynomial import NotPolynomial, polynomial
from nprl.shields.synthesis.views.equilibrium import Point
from nprl.shields.synthesis.views.linearise import Inclusion, inclusion
from nprl.shields.synthesis.views.numeric import Array
from nprl.shields.synthesis.views.problem import Problem, Unsuitable
from nprl.shields.synthesis.views.quadratic import degree

SCALES = (1.0, 0.3, 0.1)
SLOPES = (0.3, 0.1, 0.03, 0.01, 1.0)
"""Of a tilt, relative to the units of both coordinates."""
ROOM = 0.02
"""What a tilted bound leaves to the bound itself, at the goal."""


def goal_row(problem: Problem, maps: Inclusion) -> Array | None:
    """The row g, over the inclusion's coordinates, of a terminal half-space ``g z >= 1``; else None."""
    f = problem.model.terminal
    if not isinstance(f, Compare):
        return None
    left, right = (
        (f.left, f.right) if f.relation in (Relation.GE, Relation.GT) else (f.right, f.left)
    )
    try:
        p = polynomial(left - right)
    except NotPolynomial:
        return None
    if degree(p) > 1:
        return None
    slope = np.array([float(p.get(((n, 1),), 0)) for n in problem.model.state_names])
    level = -float(p.get((), 0)) - slope @ maps.centre
    return None if level <= 0 else np.asarray(slope * maps.unit / level)


def until_goal(
    problem: Problem, point: Point, whole: Inclusion
) -> Iterator[tuple[Inclusion, Array, Array]]:
    """Maps, first rows ``h z <= 1``, and the row g of the goal, for sets that are kept only until ``g z >= 1``.

    In the whole box of analysis, then where the coordinates that the safe set speaks of, and the
    goal does not, are kept smaller.
    """
    held = variables(problem.model.safe) - variables(problem.model.terminal)
    box = np.array([float(c.high - c.low) / 2 for c in problem.model.state])
    shrunk = np.array([n in held for n in problem.model.state_names])
    for scale in SCALES:
        try:
            half = np.where(shrunk, scale * box, 2 * box)
            maps = whole if scale == 1 else inclusion(problem, point, half)
        except Unsuitable:
            continue
        g = goal_row(problem, maps)
        if g is None:
            return
        starts = (problem.init_vertices() - maps.centre) / maps.unit
        for slope in SLOPES:
            first = np.vstack([maps.h, _tilted(problem, maps, g, slope)])
            if (first @ starts.T).max() <= 1:
                yield maps, first, g


def _tilted(problem: Problem, maps: Inclusion, g: Array, slope: float) -> Array:
    """The bounds of coordinates that neither the goal nor the safe set speaks of, tilted."""
    model = problem.model
    spoken = variables(model.terminal) | variables(model.safe)
    rows = []
    for i, name in enumerate(model.state_names):
        for row in maps.h:
            if name not in spoken and np.flatnonzero(row).tolist() == [i]:
                bound = 1 - ROOM - slope * abs(row[i])
                rows.append((row - slope * abs(row[i]) * g) / max(bound, 1e-9))
    return np.array(rows).reshape(-1, problem.n)
