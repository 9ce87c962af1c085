"""Coordinates in which a system comes apart: a product of small sets along a face of the safe set.

A face in several coordinates, ``d.x <= b``, joins them all, and no small set is left. But what
drives ``d.x``, namely ``d A``, ``d A A``, may be few combinations, and so may be what drives the
directions across: then the system is a product in these. The ranges of the new coordinates, and of
the inputs that drive them, are the largest boxes inside the old ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import numpy as np
from scipy.optimize import linprog, minimize

from nprl.lang.build import all_of
from nprl.lang.terms import Formula, Num, Term, Truth
from nprl.model import Coordinate, Model
from nprl.shields.polynomial import NotPolynomial, polynomial
from nprl.shields.sequent import assign
from nprl.shields.synthesis.proposal import Candidate
from nprl.shields.synthesis.views.numeric import Array
from nprl.shields.synthesis.views.polytope import affine_term, nearest
from nprl.shields.synthesis.views.problem import Problem, problem_of, safe_rows
from nprl.shields.synthesis.views.quadratic import degree

METHOD = "product of small sets in turned coordinates"
Vector = tuple[Fraction, ...]
ZERO, ONE = Fraction(0), Fraction(1)
ROOM = 1e-6
"""What a box leaves to the bounds around it, relative to their width."""


def turned(problem: Problem, find: Callable[[Problem], Iterator[Candidate]]) -> Iterator[Candidate]:
    """What ``find`` gives in coordinates along a face of several coordinates, written in the old ones.

    For an affine step, with as many inputs as there are directions that inputs drive.
    """
    model = problem.model
    maps = _affine(model)
    faces = [a for a, _ in safe_rows(model) if sum(map(bool, a)) > 1]
    if maps is None or not faces:
        return
    by_state, by_input, by_rest = maps
    turn = _directions(faces[0], by_state)
    drive = None if turn is None else _drives(turn, by_input)
    if turn is None or drive is None:
        return
    back, back_inputs = _inverse([r for c in turn for r in c]), _inverse(drive)
    if back is None or back_inputs is None:
        return
    rows = [r for c in turn for r in c]
    ends = [sorted(model.init[n]) for n in model.state_names]
    starts = [_reach(row, ends) for row in rows]
    box = _largest_box(problem.h, problem.b, back, np.array(starts, dtype=np.float64))
    sides = np.vstack([np.eye(problem.m), -np.eye(problem.m)])
    limits = np.concatenate([problem.u_high, -problem.u_low])
    inputs = _largest_box(sides, limits, back_inputs, None)
    if box is None or inputs is None:
        return
    names, drives = [f"z{i}" for i in range(problem.n)], [f"v{i}" for i in range(problem.m)]
    new_states = _product(_product(rows, by_state), back)
    new_inputs = _product(_product(rows, by_input), back_inputs)
    rest = _product(rows, by_rest)
    step: dict[str, Term] = {}
    for i, name in enumerate(names):
        parts = [*zip(new_states[i], names, strict=True), *zip(new_inputs[i], drives, strict=True)]
        parts += list(zip(rest[i][:-1], model.disturbance_names, strict=True))
        step[name] = affine_term(parts, rest[i][-1])
    safe: list[Formula] = []
    for a, b in safe_rows(model):
        (turned_row,) = _product([a], back)
        if sum(map(bool, turned_row)) == 1:
            safe.append(affine_term(list(zip(turned_row, names, strict=True)), ZERO) <= b)
    other = Model(
        name=model.name,
        state=tuple(Coordinate(n, "1", *ends) for n, ends in zip(names, box, strict=True)),
        action=tuple(Coordinate(n, "1", *ends) for n, ends in zip(drives, inputs, strict=True)),
        disturbance=model.disturbance,
        step=step,
        init=dict(zip(names, starts, strict=True)),
        safe=all_of(*safe) if safe else Truth(True),
    )
    at = {
        name: affine_term(list(zip(row, model.state_names, strict=True)), ZERO)
        for name, row in zip(names, rows, strict=True)
    }
    for found in find(problem_of(other)):
        invariant = tuple(_plain(assign(g, at), model) for g in found.invariant[0])
        driven = [assign(b, at) for b in found.backup]
        backup = tuple(_weighted(row, driven) for row in back_inputs)
        yield Candidate(found.family, (invariant,), backup, {**found.notes, "method": METHOD})


def _reach(row: Vector, ends: Sequence[Sequence[Fraction]]) -> tuple[Fraction, Fraction]:
    """The least and the greatest value of ``row.x`` on a box."""
    pairs = [sorted((v * low, v * high)) for v, (low, high) in zip(row, ends, strict=True)]
    return sum((a for a, _ in pairs), ZERO), sum((b for _, b in pairs), ZERO)


def _weighted(weights: Sequence[Fraction], terms: Sequence[Term]) -> Term:
    used = [t if w == 1 else w * t for w, t in zip(weights, terms, strict=True) if w]
    total = used[0] if used else Num(ZERO)
    for t in used[1:]:
        total = total + t
    return total


def _plain(g: Term, model: Model) -> Term:
    """An affine row in few nodes."""
    p = polynomial(g)
    names = model.state_names
    return affine_term([(p.get(((n, 1),), ZERO), n) for n in names], p.get((), ZERO), front=True)


def _affine(model: Model) -> tuple[list[Vector], list[Vector], list[Vector]] | None:
    """The step's factors: of the states, of the inputs, of the disturbances and, last, its constants."""
    result: tuple[list[Vector], list[Vector], list[Vector]] = ([], [], [])
    groups = (model.state_names, model.action_names, model.disturbance_names)
    for t in model.steps:
        try:
            p = polynomial(t)
        except NotPolynomial:
            return None
        if degree(p) > 1:
            return None
        for names, into in zip(groups, result, strict=True):
            into.append(tuple(p.get(((n, 1),), ZERO) for n in names))
        result[2][-1] += (p.get((), ZERO),)
    return result


def _directions(face: Vector, by_state: list[Vector]) -> list[list[Vector]] | None:
    """Chains of rows, together a basis: the face and what drives it, then directions across it, then single ones."""
    n = len(face)
    unit = [tuple(ONE if i == j else ZERO for j in range(n)) for i in range(n)]
    across: list[Vector] = []
    for i in range(n):
        if face[i]:
            v = unit[i]
            for w in (face, *across):
                c = _dot(v, w) / _dot(w, w)
                v = tuple(a - c * b for a, b in zip(v, w, strict=True))
            if any(v):
                across.append(v)
    chains: list[list[Vector]] = []
    for start in (face, *across, *unit):
        chain: list[Vector] = []
        v = start
        while (short := _scaled(_reduced(v, chain))) is not None:
            chain.append(short)
            (v,) = _product([short], by_state)
        known = [r for c in chains for r in c]
        if len(_basis([*known, *chain])) == len(known) + len(chain):
            chains.append(chain)
        if sum(map(len, chains)) == n:
            return chains
    return None


def _drives(chains: list[list[Vector]], by_input: list[Vector]) -> list[Vector] | None:
    """The one direction of the inputs that drives each chain; None where a chain has more, or they are too few."""
    result: list[Vector] = []
    for chain in chains:
        driven = [v for r in _product(chain, by_input) if (v := _scaled(r)) is not None]
        basis = _basis(driven)
        if len(basis) > 1:
            return None
        result += driven[:1]
    return result if len(_basis(result)) == len(by_input[0]) == len(result) else None


def _dot(a: Vector, b: Vector) -> Fraction:
    return sum((x * y for x, y in zip(a, b, strict=True)), ZERO)


def _product(left: Sequence[Vector], right: Sequence[Vector]) -> list[Vector]:
    columns = list(zip(*right, strict=True))
    return [tuple(_dot(row, column) for column in columns) for row in left]


def _reduced(v: Vector, rows: Sequence[Vector]) -> Vector:
    """``v`` less its parts along ``rows`` in turn, by the greatest entry of each."""
    for r in rows:
        k = max(range(len(r)), key=lambda i: abs(r[i]))
        c = v[k] / r[k]
        v = tuple(a - c * b for a, b in zip(v, r, strict=True))
    return v


def _basis(rows: Sequence[Vector]) -> list[Vector]:
    """As many reduced rows as the rank."""
    result: list[Vector] = []
    for v in rows:
        short = _scaled(_reduced(v, result))
        if short is not None:
            result.append(short)
    return result


def _scaled(v: Vector) -> Vector | None:
    """With its greatest entry 1; None for 0."""
    size = max(v, key=abs)
    return tuple(a / size for a in v) if size else None


def _inverse(rows: Sequence[Vector]) -> list[Vector] | None:
    n = len(rows)
    work = [[*row, *(ONE if i == j else ZERO for j in range(n))] for i, row in enumerate(rows)]
    for k in range(n):
        pivot = next((i for i in range(k, n) if work[i][k]), None)
        if pivot is None:
            return None
        work[k], work[pivot] = work[pivot], work[k]
        work[k] = [v / work[k][k] for v in work[k]]
        for i in range(n):
            if i != k and work[i][k]:
                work[i] = [a - work[i][k] * b for a, b in zip(work[i], work[k], strict=True)]
    return [tuple(row[n:]) for row in work]


def _largest_box(
    h: Array, b: Array, back: list[Vector], holds: Array | None
) -> list[tuple[Fraction, Fraction]] | None:
    """The box of new coordinates z with ``h (back z) <= b`` of the largest volume; None where none holds ``holds``."""
    g = h @ np.array([[float(v) for v in row] for row in back])
    g, b = g / np.abs(g).max(axis=1)[:, None], b / np.abs(g).max(axis=1)
    n = g.shape[1]
    size = np.abs(g)
    wall, room = np.hstack([g, size]), b * np.ones(len(g))
    if holds is not None:
        eye = np.eye(n)
        wall = np.vstack([wall, np.hstack([eye, -eye]), np.hstack([-eye, -eye])])
        room = np.concatenate([room, holds[:, 0], -holds[:, 1]])
    start = linprog(  # the box with the largest least side
        np.concatenate([np.zeros(2 * n), [-1.0]]),
        np.vstack(
            [
                np.hstack([wall, np.zeros((len(wall), 1))]),
                np.hstack([np.zeros((n, n)), -np.eye(n), np.ones((n, 1))]),
            ]
        ),
        np.concatenate([room, np.zeros(n)]),
        bounds=[(None, None)] * n + [(0, None)] * (n + 1),
        method="highs",
    )
    if start.status != 0 or start.x[-1] <= 1e-6:
        return None
    found = minimize(
        lambda y: -np.log(np.maximum(y[n:], 1e-9)).sum(),
        start.x[:-1],
        jac=lambda y: np.concatenate([np.zeros(n), -1 / np.maximum(y[n:], 1e-9)]),
        bounds=[(None, None)] * n + [(1e-6, None)] * n,
        constraints={"type": "ineq", "fun": lambda y: room - wall @ y, "jac": lambda _: -wall},
        options={"maxiter": 300},
        method="SLSQP",
    )
    centre, half = found.x[:n], found.x[n:] * (1 - ROOM)
    if float((g @ centre + size @ half - b).max()) > 0 or (half <= 1e-6).any():
        return None
    return [
        (nearest(float(c - r), float(r) * 1e-7), nearest(float(c + r), float(r) * 1e-7))
        for c, r in zip(centre, half, strict=True)
    ]
