"""Sets beside a face of the safe set that one coordinate drives: how far away is far enough.

The distance to a face, ``s = b - a.x``, may change by what a single coordinate z decides (a heading,
a speed), whose next value depends on itself and the inputs alone. Then ``{s >= g(z)}`` is kept by a
backup that takes z to where s grows fastest: g is the least function with ``g(z) >= g(z') - (s' - s)``
under it, found on a grid, and put between chords, which are rows. Where s can grow in several places
(a heading that is counted on), there is a set for each. All other coordinates have only to stay in
their ranges, which is true until a terminal state is met, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from nprl.lang.build import clip
from nprl.lang.terms import Num, Term, Var
from nprl.model import Model
from nprl.shields.synthesis.budget import Budget
from nprl.shields.synthesis.proposal import Candidate
from nprl.shields.synthesis.sets.union import joined
from nprl.shields.synthesis.trial import MARGIN, trial
from nprl.shields.synthesis.views.numeric import Array, jacobian
from nprl.shields.synthesis.views.polytope import nearest, row_term
from nprl.shields.synthesis.views.problem import Problem, Row, Unsuitable, problem_of, safe_rows

METHOD = "distance to a face, driven by one coordinate"
NODES = 1601
"""Of the grid of z."""
CHORDS = 2
"""To each side of a centre."""
ROUNDS = 2_000
HASTE = 0.3
"""The part of the way to a centre that one step goes, where the inputs' bounds let it."""
INSIDE = 2.0**-6
"""How far from the ends of z's interval a centre is, as a part of it."""
SPARE = 2.0**-7
"""What each step leaves to the proof, relative to the greatest change of s in a step."""
TINY = 1e-9
SAMPLES = 4_000


@dataclass(frozen=True)
class _Drive:
    """A face's distance and its driver: the coordinate's number, and the input that moves it."""

    problem: Problem
    face: Row
    z: int
    u: int

    def ends(self) -> tuple[Fraction, Fraction]:
        """The interval of z within S and the ranges."""
        coordinate = self.problem.model.state[self.z]
        low, high = coordinate.low, coordinate.high
        for a, b in self.problem.rows:
            if [i for i, v in enumerate(a) if v] == [self.z]:
                end = b / a[self.z]
                low, high = (low, min(high, end)) if a[self.z] > 0 else (max(low, end), high)
        return low, high

    def moves(self, z: Array, u: Array) -> tuple[Array, Array]:
        """The next z and the change of s for each disturbance, (q, N), under the driving input (N,)."""
        problem = self.problem
        x = np.tile([float((c.low + c.high) / 2) for c in problem.model.state], (len(z), 1))
        x[:, self.z] = z
        inputs = np.tile((problem.u_low + problem.u_high) / 2, (len(z), 1))
        inputs[:, self.u] = u
        a = np.array([float(v) for v in self.face[0]])
        after = [problem.next(x, inputs, w) for w in problem.w]
        return np.array([n[:, self.z] for n in after]), np.array([(x - n) @ a for n in after])


def driven(problem: Problem, seed: int, budget: Budget) -> Iterator[Candidate]:
    """The sets beside faces of the safe set that one coordinate drives, held against sample points."""
    for face in safe_rows(problem.model):
        drive = _drive(problem, face, seed)
        if drive is None:
            continue
        for centre in _places(drive):
            budget.check(METHOD)
            found = _kept(drive, centre)
            if found is not None:
                yield from _tried(drive, *found, seed)


def union_of_driven(
    model: Model, split: Sequence[Model], seed: int, budget: Budget
) -> Iterator[Candidate]:
    """The union of such sets for the pieces ``split`` of a safe set."""
    modes: list[Candidate] = []
    for piece in split:
        with suppress(Unsuitable):
            modes += driven(problem_of(piece), seed, budget)
    yield from joined(model, modes, seed)


def _drive(problem: Problem, face: Row, seed: int) -> _Drive | None:
    """What drives a face's distance, if one coordinate does; seen at sample points."""
    model = problem.model
    names = [c.name for c in (*model.state, *model.action, *model.disturbance)]
    low, high = (
        np.array([float(e) for e in ends]) for ends in zip(*model.box().values(), strict=True)
    )
    x = low + (high - low) * np.random.default_rng(seed).random((64, len(names)))
    a = np.array([float(v) for v in face[0]])
    _, slopes = jacobian(model.steps, names, x)
    by = np.abs(a @ slopes - np.concatenate([a, np.zeros(len(names) - problem.n)])).max(axis=0)
    used = np.flatnonzero(by[: problem.n] > TINY)
    if len(used) != 1 or not problem.m:
        return None
    z = int(used[0])
    own = np.abs(slopes[:, z, :]).max(axis=0)
    inputs = own[problem.n : problem.n + problem.m]
    others = np.delete(own[: problem.n], z)
    if (
        (others > TINY).any()
        or not (inputs > TINY).any()
        or not any(v for i, v in enumerate(face[0]) if i != z)
    ):
        return None
    return _Drive(problem, face, z, int(inputs.argmax()))


def _places(drive: _Drive) -> list[float]:
    """Where s grows, and nowhere near faster; the fastest first."""
    low, high = map(float, drive.ends())
    z = np.linspace(low, high, NODES)
    middle = float(drive.problem.u_low[drive.u] + drive.problem.u_high[drive.u]) / 2
    gain = drive.moves(z, np.full(NODES, middle))[1].min(axis=0)
    ends = np.concatenate([[-np.inf], gain, [-np.inf]])
    tops = np.flatnonzero((gain >= ends[:-2]) & (gain > ends[2:]) & (gain > 0))
    hair = INSIDE * (z[-1] - z[0])
    inner = np.clip(z, z[0] + hair, z[-1] - hair)
    return [float(inner[i]) for i in sorted(tops, key=lambda i: -gain[i])]


def _policy(drive: _Drive, centre: float) -> tuple[float, float]:
    """The driving input as ``start + slope (z - centre)``, to be clipped."""
    problem, u = drive.problem, drive.u
    ends = np.array([problem.u_low[u], problem.u_high[u]])
    after = drive.moves(np.array([centre, centre]), ends)[0].mean(axis=0)
    by_input = (after[1] - after[0]) / (ends[1] - ends[0])
    start = float(np.clip(ends[0] + (centre - after[0]) / by_input, *ends))
    return start, float(-HASTE / by_input)


def _kept(
    drive: _Drive, centre: float
) -> tuple[list[tuple[Fraction, Fraction]], tuple[Term, ...], tuple[Fraction, Fraction]] | None:
    """Rows ``s >= m z + c`` that the policy keeps on an interval of z, on a grid; with the policy."""
    problem = drive.problem
    start, slope = (nearest(v, 2.0**-10 * max(1.0, abs(v))) for v in _policy(drive, centre))
    ends = drive.ends()
    low, high = map(float, ends)
    bottom, top = problem.model.action[drive.u].low, problem.model.action[drive.u].high
    z = np.linspace(low, high, NODES)
    u = np.clip(float(start) + float(slope) * (z - centre), float(bottom), float(top))
    after, change = drive.moves(z, u)
    if after.min() < low or after.max() > high:
        return None
    spare = SPARE * float(np.abs(change).max())

    def needed(g: Array) -> Array:
        each = [np.interp(a, z, g) - d for a, d in zip(after, change, strict=True)]
        return np.asarray(np.max(each, axis=0) + spare)

    g = np.zeros(NODES)
    for _ in range(ROUNDS):
        more = np.maximum(g, needed(g))
        if more.max() > 1e6 or not np.isfinite(more).all():
            return None
        if (more - g).max() <= spare / 16:
            break
        g = more
    else:
        return None
    rows = [(Fraction(0), Fraction(0))]
    for side in (1, -1):
        rows += _rows(side * z[::side], g[::side], side, centre, spare)
    border = np.max([float(m) * z + float(c) for m, c in rows], axis=0)
    if (needed(border) - spare / 2 > border).any():
        return None
    inputs: list[Term] = [Num((c.low + c.high) / 2) for c in problem.model.action]
    at = Var(problem.model.state_names[drive.z])
    short = nearest(centre, 2.0**-12 * max(1.0, abs(centre)))
    from_centre = slope * (at - short) if short else slope * at
    inputs[drive.u] = clip(start + from_centre if start else from_centre, bottom, top)
    return rows, tuple(inputs), ends


def _rows(
    z: Array, g: Array, side: int, centre: float, spare: float
) -> list[tuple[Fraction, Fraction]]:
    """Rows ``s >= m z + c`` to one side of the centre: convex, and nowhere less steep than g.

    ``z`` ascends away from the centre: it is the true one times ``side``.
    """
    away = z >= side * centre
    z, g = z[away], g[away]
    if len(z) < 2 or g.max() <= 0:
        return []
    steep = np.maximum.accumulate(np.diff(g) / np.diff(z))
    levels = steep[-1] * np.arange(1, CHORDS + 1) / CHORDS
    rows: list[tuple[Fraction, Fraction]] = []
    edge, height = float(z[int(np.argmax(steep > 0))]), 0.0
    reach = max(abs(float(z[0])), abs(float(z[-1])))
    for level in levels:
        m = nearest(float(level), spare / 16 / reach) + Fraction(
            nearest(spare / 8 / reach, spare / 16 / reach)
        )
        c = nearest(height - float(m) * edge + spare / 16, spare / 32)
        rows.append((side * m, c))
        last = float(z[np.searchsorted(steep, level, side="right")]) if level < steep[-1] else z[-1]
        height += float(m) * (last - edge)
        edge = last
    return rows


def _tried(
    drive: _Drive,
    rows: list[tuple[Fraction, Fraction]],
    backup: tuple[Term, ...],
    ends: tuple[Fraction, Fraction],
    seed: int,
) -> Iterator[Candidate]:
    """The set in the model's coordinates, if it is kept at sample points."""
    problem, model = drive.problem, drive.problem.model
    (a, b), z = drive.face, drive.z
    unit = tuple(Fraction(int(i == z)) for i in range(problem.n))
    parts: list[Row] = []
    for m, c in rows:
        parts.append((tuple(v + m * e for v, e in zip(a, unit, strict=True)), b - c))
    parts += [(unit, ends[1]), (tuple(-v for v in unit), -ends[0])]
    for i, other in enumerate(model.state):
        one = tuple(Fraction(int(i == j)) for j in range(problem.n))
        for row in (one, other.high), (tuple(-v for v in one), -other.low):
            if i != z and (row[0] != a or row[1] < b):
                parts.append(row)
    terms = tuple(row_term(row, model.state_names) for row in parts)
    rng = np.random.default_rng(seed)
    box = np.array([[float(c.low), float(c.high)] for c in model.state])
    x = box[:, 0] + (box[:, 1] - box[:, 0]) * rng.random((SAMPLES, problem.n))
    x[:, z] = float(ends[0]) + float(ends[1] - ends[0]) * rng.random(SAMPLES)
    result = trial(problem, terms, backup, x)
    if min(result.kept - MARGIN, result.safe, result.action) < -TINY:
        return
    yield Candidate("polytope", (terms,), backup, {"method": METHOD, "kept": result.kept})


__all__ = ["driven"]
