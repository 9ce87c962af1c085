"""Where attacks on a shield begin: on the vertices and facets of its invariant, and in init.

Every start lies in the invariant I, exactly: `recheck` has judged it. Polytopes have vertices;
facets are met by random rays from the certificate's witness, whatever the form of I.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import numpy as np
from scipy.optimize import linprog
from scipy.spatial import HalfspaceIntersection, QhullError

from experiments.recheck import Bools, Floats, Referee, Rows
from nprl.env.plant import Plant
from nprl.env.sampling import Uniform
from nprl.model import Model

FACETS = 4000
HALVINGS = 60


class Starts:
    """Draws states to begin at."""

    def __init__(
        self,
        model: Model,
        witness: Mapping[str, Fraction],
        referee: Referee,
        rng: np.random.Generator,
        facets: int | None = None,
    ) -> None:
        """Find vertices, and ``facets`` points of facets, of the invariant that ``referee`` judges."""
        self.referee, self.rng, self.name = referee, rng, model.name
        self._single = model.arithmetic.state == "float32"
        self._size = np.array([float(c.high - c.low) for c in model.state])
        self._init = Uniform([model.init[n] for n in model.state_names], model.arithmetic.state)
        self.centre: Floats = np.array([float(witness[n]) for n in model.state_names])
        self._ended = Plant(model).verdict_batch  # where nothing goes on, nothing is attacked
        self.vertices = self._going(self.pushed_inside(self._vertices()))
        rays = self._rays(FACETS if facets is None else facets)
        self.facets = self._going(self.pushed_inside(rays))

    def _going(self, x: Floats) -> Floats:
        """The states that are not terminal."""
        return x[~self._ended(x)[1]] if len(x) else x

    def draw(self, n: int) -> tuple[Floats, int, int]:
        """``n`` starts: vertices, facets, the initial box; with how many of the first two.

        Raises:
            ValueError: for a state of the initial box that is not in I.
        """
        kinds = self.rng.integers(3, size=n)
        x = self._init.place(self.rng.random((n, self._init.dim)))
        counts, drawn = [], np.zeros(n, dtype=np.bool_)
        for kind, points in ((0, self.vertices), (1, self.facets)):
            rows = np.flatnonzero(kinds == kind) if len(points) else np.zeros(0, dtype=np.int64)
            if len(rows):
                x[rows] = points[self.rng.integers(len(points), size=len(rows))]
            drawn[rows] = True
            counts.append(len(rows))
        if not self.referee.inside(x[~drawn]).all():
            raise ValueError(f"{self.name}: an initial state is not in I; the certificate is wrong")
        ended = self._ended(x)[1]
        if ended.any():
            x[ended] = self._going(x)[self.rng.integers(n - ended.sum(), size=ended.sum())]
        return x, counts[0], counts[1]

    def pushed_inside(self, x: Floats) -> Floats:
        """The points, drawn towards the witness until they lie in I, exactly; or left out."""
        result, kept = x.copy(), np.zeros(len(x), dtype=np.bool_)
        for k in (60, *range(53, 10, -3)):
            trial = self.centre + (x - self.centre) * (1 - 2.0**-k)
            if self._single:
                trial = trial.astype(np.float32).astype(np.float64)
            inside = np.zeros(len(x), dtype=np.bool_)
            inside[~kept] = self.referee.inside(trial[~kept])
            result[inside] = trial[inside]
            kept |= inside
            if kept.all():
                break
        return result[kept]

    def _rays(self, count: int) -> Floats:
        """Points just outside I on random rays from the witness: all over the boundary."""
        d = self.rng.normal(size=(count, len(self.centre)))
        d *= self._size / np.linalg.norm(d, axis=1)[:, None]
        inner, outer = np.zeros(count), np.ones(count)
        for _ in range(HALVINGS):
            middle = (inner + outer) / 2
            inside: Bools = self.referee.about(self.centre + middle[:, None] * d) >= 0
            inner, outer = np.where(inside, middle, inner), np.where(inside, outer, middle)
        return self.centre + outer[:, None] * d

    def _vertices(self) -> Floats:
        """The vertices of the parts that are polytopes, up to rounding."""
        found = [_corners(self.referee.rows, part) for part in self.referee.parts]
        return np.concatenate([np.zeros((0, len(self.centre))), *found])


def _corners(rows: Rows, part: slice) -> Floats:
    """The vertices of the polytope that a part's rows cut out; none where it is no such thing."""
    n = len(rows.monomials[0])
    none = np.zeros((0, n))
    if any(sum(m) > 1 for p in rows.polynomials[part] for m in p):
        return none
    columns = dict(zip(rows.monomials, rows.matrix[part].T, strict=True))
    zero = np.zeros(len(rows.polynomials[part]))
    c = columns[(0,) * n]
    h = np.stack([columns.get(tuple(map(int, e)), zero) for e in np.eye(n)], axis=1)
    norms = np.linalg.norm(h, axis=1)
    best = linprog(np.r_[np.zeros(n), -1], np.c_[-h, norms], c, bounds=[(None, None)] * (n + 1))
    if best.x is None or not best.x[n] > 0:
        return none
    try:
        with np.errstate(all="ignore"):  # of facets that meet nowhere; they are left out below
            corners = HalfspaceIntersection(np.c_[-h, -c], best.x[:n]).intersections
    except (QhullError, ValueError):
        return none
    return np.unique(corners[np.isfinite(corners).all(axis=1)], axis=0)
