"""The union of several invariant sets, each kept by a backup of its own: modes on all sides of a hole.

Next to a hole in the safe set no convex set is large. Each convex piece of the safe set gets a set
and a backup; the invariant is their union, and where several hold the state, the first one's backup
acts. The fallback asks for the mode by its rows, each with a slack that covers rounding: it may
act for a set that the state has left by a hair, and its margin must make up for that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np

from nprl.lang.build import all_of, where
from nprl.lang.terms import Num, Term
from nprl.model import Coordinate, Model
from nprl.shields.synthesis.budget import OutOfTime
from nprl.shields.synthesis.proposal import Candidate
from nprl.shields.synthesis.views.equilibrium import equilibria
from nprl.shields.synthesis.views.numeric import Array, Mask, values
from nprl.shields.synthesis.views.polytope import nearest
from nprl.shields.synthesis.views.problem import Problem, Unsuitable, problem_of, safe_rows

METHOD = "union of modes"
SLACK = Fraction(1, 2**30)
"""By how much a state may miss a row of a mode whose backup acts."""
HALF = Fraction(1, 2)
MOST = 16
"""Modes."""
MOST_ROWS = 130
"""Of all modes together: each is asked for at run time, and proved once for every later mode."""
SPARE = Fraction(1, 2**16)
"""The part of the inputs' range that modes leave at each end, for the slack."""
SAMPLES = 20_000
WORTH = 0.03
"""A mode that adds less than this part of what the others hold is left out, and none is looked for after it."""
Find = Callable[[Problem], Iterator[Candidate]]


def union(model: Model, split: Sequence[Model], find: Find, seed: int = 0) -> Iterator[Candidate]:
    """The union of what ``find`` gives for each piece of the safe set, if it is more than one mode.

    The first mode holds the starts; the others are taken by what they add, at sample points of
    the ranges. Pieces whose faces join the fewest coordinates are looked at first.
    """
    modes: list[Candidate] = []
    x = _points(model, seed)
    covered = np.zeros(len(x), dtype=bool)
    for piece in sorted(split[:MOST], key=_joined):
        try:
            problem = problem_of(_spared(piece))
            if (problem.h @ problem.init_vertices().T > problem.b[:, None]).any():
                problem = problem_of(_inner(piece))
            found = next(find(problem), None)
        except (Unsuitable, OutOfTime):
            continue
        if found is None:
            continue
        modes.append(found)
        inside = _inside(model, found, x)
        little = (inside & ~covered).sum() < WORTH * covered.sum()
        if little and any(_inside(model, c, _start(model)).all() for c in modes):
            break
        covered |= inside
    yield from joined(model, modes, seed)


def joined(model: Model, modes: Sequence[Candidate], seed: int = 0) -> Iterator[Candidate]:
    """The union of the modes that are worth their rows, if it is more than one and holds the starts."""
    chosen = _chosen(model, modes, _points(model, seed))
    if len(chosen) > 1:
        notes = {"method": METHOD, "modes": [str(c.notes.get("method")) for c in chosen]}
        rows = tuple(c.invariant[0] for c in chosen)
        yield Candidate("union", rows, backup_of([c.backup for c in chosen], rows), notes)


def _spared(piece: Model) -> Model:
    """The piece with a hair less of each input."""
    spare = [(c, (c.high - c.low) * SPARE) for c in piece.action]
    return replace(
        piece, action=tuple(Coordinate(c.name, c.unit, c.low + s, c.high - s) for c, s in spare)
    )


def _inner(piece: Model) -> Model:
    """The piece with a start well inside of it."""
    piece = _spared(piece)
    point = equilibria(problem_of(piece))[0]
    widths = [float(c.high - c.low) for c in piece.state]
    at = [nearest(float(v), w * 2.0**-20) for v, w in zip(point.x, widths, strict=True)]
    return replace(piece, init={n: (v, v) for n, v in zip(piece.state_names, at, strict=True)})


def _joined(piece: Model) -> int:
    """The most coordinates that one face of the piece joins."""
    try:
        return max((sum(map(bool, a)) for a, _ in safe_rows(piece)), default=0)
    except Unsuitable:
        return len(piece.state)


def _points(model: Model, seed: int) -> Array:
    """Sample points of the ranges; (SAMPLES, n), in units."""
    low = np.array([float(c.low) for c in model.state])
    high = np.array([float(c.high) for c in model.state])
    x: Array = low + (high - low) * np.random.default_rng(seed).random((SAMPLES, len(low)))
    return x


def _start(model: Model) -> Array:
    """The middle of the starts; (1, n)."""
    ends = np.array([[float(v) for v in model.init[n]] for n in model.state_names])
    return np.asarray(ends.mean(axis=1)[None, :])


def _corners(model: Model) -> Array:
    """The corners of the starts' box; (2^k, n), k the number of coordinates that vary."""
    ends = [sorted({float(v) for v in model.init[n]}) for n in model.state_names]
    return np.array(list(product(*ends)))


def _inside(model: Model, mode: Candidate, x: Array) -> Mask:
    return np.asarray((values(mode.invariant[0], model.state_names, x) >= 0).all(axis=1))


def _chosen(model: Model, modes: Sequence[Candidate], x: Array) -> list[Candidate]:
    """The modes that are worth their rows, the one that holds the starts first."""
    holds = [bool(_inside(model, c, _start(model)).all()) for c in modes]
    corners = [int(_inside(model, c, _corners(model)).sum()) for c in modes]
    inside = [_inside(model, c, x) for c in modes]
    left = sorted(
        range(len(modes)), key=lambda i: (not holds[i], -corners[i], -int(inside[i].sum()))
    )
    if not left or not holds[left[0]]:
        return []
    chosen, rows = [left.pop(0)], 0
    covered = inside[chosen[0]].copy()
    while left:
        best = max(left, key=lambda i: int((inside[i] & ~covered).sum()))
        rows = sum(len(modes[i].invariant[0]) for i in (*chosen, best))
        if (inside[best] & ~covered).sum() < WORTH * covered.sum() or rows > MOST_ROWS:
            break
        covered |= inside[best]
        chosen.append(best)
        left.remove(best)
    return [modes[i] for i in chosen]


def backup_of(
    backups: Sequence[tuple[Term, ...]], parts: Sequence[tuple[Term, ...]]
) -> tuple[Term, ...]:
    """The backup of the first part that holds the state, of the last one else.

    Membership is a number, 1 or 0; the number of the part is chosen by it, and each input by that
    number: so one branch decides for all inputs, and no branch is written twice.
    """
    number: Term = Num(Fraction(len(parts) - 1))
    for k in range(len(parts) - 2, -1, -1):
        member = where(all_of(*(g + SLACK >= 0 for g in parts[k])), 1, 0)
        number = where(member - HALF >= 0, k, number)
    result: list[Term] = []
    for inputs in zip(*backups, strict=True):
        chosen = inputs[-1]
        for k in range(len(inputs) - 2, -1, -1):
            chosen = where((k + HALF) - number >= 0, inputs[k], chosen)
        result.append(chosen)
    return tuple(result)
