"""Find impossibility certificates: initial states from which no controller keeps the model safe.

Three ways, from the cheapest: an initial state that is not safe; half-spaces pulled back from the
faces of the safe set, a part of L for each step; half-spaces through an initial state that no
action leaves, with a rank that falls at each step, affine or the greater of two affine functions.
The last two hold the disturbance at one point and need dynamics that are then affine; they leave out
starts from which a run was found that stays safe for ever. Nothing here is trusted: what is found is
proved, goal by goal.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from nprl.lang import exact
from nprl.lang.terms import Binary, BinaryOp, Num, Term
from nprl.model import Model
from nprl.shields.losing import Impossible, Part, losing_goals
from nprl.shields.sequent import Sequent, conjunctive, disjunctive, expand
from nprl.shields.synthesis.impossible.losing_affine import (
    Affine,
    Floats,
    Polyhedron,
    Programme,
    Row,
    Vector,
    affine,
    after,
    dot,
    kept,
    linear_term,
    pushed,
    rows_of,
    vertices,
)
from nprl.shields.synthesis.impossible.steady import stay
from nprl.shields.synthesis.proofs.prove import prove
from nprl.shields.synthesis.proofs.search import NotProved, Search, Tree, seconds_left

MAX_CHAIN = 64
MAX_STARTS = 8
DOUBLINGS = 40
DECREASE, SPARE = Fraction(3, 4), Fraction(1, 1000)
"""Of a rank that falls by 1 before it is rounded; what is added to it, as a share of its value."""


def impossible(model: Model, seconds: float = 60.0) -> Impossible | None:
    """A proved impossibility certificate of the model, or None where none is found in time."""
    end = time.monotonic() + seconds
    for draft in _drafts(model, end):
        try:
            return proved(draft, end - time.monotonic())
        except NotProved:
            continue
    return None


def proved(draft: Impossible, seconds: float = 60.0) -> Impossible:
    """The claim with a proof tree for every goal.

    Raises:
        NotProved: naming the goal that could not be proved.
    """
    end = time.monotonic() + seconds
    proofs: dict[str, Any] = {}
    for goal, sequent in losing_goals(draft).items():
        try:
            proofs[goal] = _tree(sequent, end)
        except NotProved as error:
            raise NotProved(f"{goal}: {error}") from None
    return replace(draft, proofs=proofs)


def _tree(sequent: Sequent, end: float) -> Tree:
    """A proof by one of the alternatives; the next ones first where there are many."""
    problem = "there is no alternative"
    for k in range(len(sequent.alternatives)):
        left = seconds_left(end)
        head: Tree = ["part", k, None]
        chosen = expand(head, sequent)[0]
        try:
            found = prove(chosen, Search(seconds=min(10.0, left)))
        except NotProved as error:
            problem = str(error)
        else:
            return found if len(sequent.alternatives) == 1 else ["part", k, found]
    raise NotProved(problem)


def _drafts(model: Model, end: float) -> Iterator[Impossible]:
    """Claims without proofs, the simplest first, until the time is over."""
    yield from _unsafe_starts(model)
    faces = [rows_of(model, literals) for literals in disjunctive(model.safe, False)]
    flat = [face for face in faces if face]
    if all(c.low == c.high for c in model.disturbance):  # cheap, and most models end here
        held = affine(model, model.nominal())
        if held is None or _kept(model, held, _starts(model)):
            return
    for ways in (_chain, _falling):
        for face in flat:
            if time.monotonic() > end:
                return
            yield from ways(model, face, end)


def _claim(
    model: Model, parts: Sequence[Part], decrease: Fraction, start: Vector, method: str
) -> Impossible:
    witness = {"init": dict(zip(model.state_names, start, strict=True))}
    return Impossible(model, tuple(parts), decrease, witness, info={"method": method})


def _part(model: Model, rows: Sequence[Row], rank: Term, w: Mapping[str, Fraction]) -> Part:
    terms = tuple(linear_term(a, -b, model.state_names) for a, b in rows)
    return Part(terms, rank, {n: Num(v) for n, v in w.items()})


def _kept(model: Model, held: Affine, starts: Sequence[Vector]) -> bool:
    """Whether runs from all starts were found that stay safe for ever, or end: then none is lost."""
    safe, over = (
        [[row for row, _ in face] for face in map(partial(rows_of, model), disjunctive(f)) if face]
        for f in (model.safe, model.terminal)
    )
    return model.choices is None and stay(held, safe, over, starts)


def _starts(model: Model) -> tuple[Vector, ...]:
    return vertices([model.init[n] for n in model.state_names])


def _unsafe_starts(model: Model) -> Iterator[Impossible]:
    """The corners of the initial box that are not safe, each a set of its own."""
    for x in _starts(model):
        if exact.holds(model.safe, dict(zip(model.state_names, x, strict=True))) is False:
            rows = []
            for i in range(len(x)):
                unit = tuple(Fraction(int(i == j)) for j in range(len(x)))
                rows += [(unit, x[i]), (tuple(-v for v in unit), -x[i])]
            part = _part(model, rows, Num(Fraction(0)), model.nominal())
            yield _claim(model, [part], Fraction(1), x, "an initial state that is not safe")


def _chain(model: Model, face: Sequence[tuple[Row, bool]], end: float) -> Iterator[Impossible]:
    """The states that are lost in 1, 2, ... steps whatever the actions, until one is initial."""
    rows = [row for row, _ in face]
    open_rows = [strict for _, strict in face]
    centre = tuple((low + high) / 2 for low, high in model.init.values())
    found: list[tuple[list[Row], dict[str, Fraction]]] = []
    while len(found) < MAX_CHAIN and time.monotonic() < end:
        w = pushed(model, rows[0][0], centre, 1)
        held = affine(model, w)
        if held is None:
            return
        rows = [held.pulled(row) for row in rows]
        found.append((rows, w))
        for x in _starts(model):
            spare = [dot(a, x) - b for a, b in rows]
            if all(v > 0 if strict else v >= 0 for v, strict in zip(spare, open_rows, strict=True)):
                least = min(
                    (v for v, strict in zip(spare, open_rows, strict=True) if strict), default=0
                )
                inner = [Fraction(least) / 2 * strict for strict in open_rows]
                parts = [
                    _part(
                        model,
                        [(a, b + v) for (a, b), v in zip(lost, inner, strict=True)],
                        Num(Fraction(k)),
                        answer,
                    )
                    for k, (lost, answer) in enumerate(found)
                ]
                yield _claim(model, parts, Fraction(1), x, f"half-spaces, {len(found)} steps back")
                return


def _falling(model: Model, face: Sequence[tuple[Row, bool]], end: float) -> Iterator[Impossible]:
    """Rows through an initial state that no action leaves, and a rank that falls on them."""
    h = face[0][0][0]
    safe = [
        [row for row, _ in rows_of(model, literals) or []] for literals in disjunctive(model.safe)
    ]
    starts = sorted(_starts(model), key=lambda x: dot(h, x), reverse=True)
    for x in starts[:MAX_STARTS]:
        w = pushed(model, h, x, len(x) + 1)
        held = affine(model, w)
        if held is None or time.monotonic() > end:
            return
        if _kept(model, held, [x]):
            continue
        rows = kept(held, [(d, dot(d, x)) for d in _directions(held, h)], safe, end)
        rank = _rank(model, held, rows, safe, x) if _alive(model, held, rows) else None
        if rank is None:
            continue
        for row in list(rows):  # those that are not needed
            fewer = [r for r in rows if r is not row]
            if fewer and kept(held, fewer, safe, end) == fewer:
                simpler = _rank(model, held, fewer, safe, x) if _alive(model, held, fewer) else None
                rows, rank = (fewer, simpler) if simpler is not None else (rows, rank)
        method = "half-spaces that no action leaves, a rank that falls"
        yield _claim(model, [_part(model, rows, rank, w)], Fraction(1), x, method)
        first = exact.evaluate(rank, dict(zip(model.state_names, x, strict=True)))
        more = _part(model, rows, rank + SPARE * (1 + abs(first)), w)  # for what rounding took
        yield _claim(model, [more], DECREASE, x, method)


def _directions(held: Affine, h: Vector) -> list[Vector]:
    """The face's normal, what it becomes steps before, its rates of change, the axes; both signs."""
    n = len(h)
    found = [tuple(Fraction(int(i == j)) for j in range(n)) for i in range(n)]
    power, rate = h, h
    for _ in range(n):
        found += [power, rate]
        power = held.pulled((power, Fraction(0)))[0]
        moved = held.pulled((rate, Fraction(0)))[0]
        rate = tuple(a - b for a, b in zip(moved, rate, strict=True))
    unit = [tuple(v / max(map(abs, d)) for v in d) for d in found if any(d)]
    return list(dict.fromkeys(s for d in unit for s in (d, tuple(-v for v in d))))


def _alive(model: Model, held: Affine, rows: Sequence[Row]) -> bool:
    """Whether the rows seem to exclude every terminal state."""
    space = Polyhedron.of(held, rows)
    for clause in conjunctive(model.terminal, False):
        faces = rows_of(model, clause)
        if faces is None or len(faces) != 1:
            return False
        (a, b), strict = faces[0]
        direction = np.array([*map(float, a), *[0.0] * len(held.inputs[0])])
        spare = space.least(direction) - float(b)
        if spare < 0 or (strict and spare == 0):
            return False
    return True


def _rank(
    model: Model, held: Affine, rows: Sequence[Row], safe: Sequence[Sequence[Row]], x: Vector
) -> Term | None:
    """A rank that falls on the rows: affine, or that with a term for a coordinate that must grow first."""
    names = model.state_names
    spaces = [Polyhedron.of(held, [*rows, *part]) for part in safe]
    slopes = _affine_rank(held, spaces, spaces, x)
    if slopes is not None:
        return linear_term(slopes[:-1], slopes[-1], names)
    for d, bound in rows:
        direction, constant = after(held, d)
        growth = direction - np.array([*map(float, d), *[0.0] * len(held.inputs[0])])
        if not min((s.least(growth) for s in spaces), default=0.0) + constant > 0:
            continue
        for doubling in range(DOUBLINGS):
            target = bound + max(Fraction(1), abs(bound)) * 2**doubling
            late = [Polyhedron.of(held, [*rows, (d, target), *part]) for part in safe]
            slopes = _affine_rank(held, spaces, late, x)
            if slopes is None:
                continue
            negative = (tuple(-v for v in d), -target)
            early = [Polyhedron.of(held, [*rows, negative, *part]) for part in safe]
            factor = _factor(held, early, slopes, d, target)
            if factor is None:
                break
            first = linear_term(tuple(-v for v in d), target, names)
            more = Num(factor) * Binary(BinaryOp.MAX, Num(Fraction(0)), first)
            return linear_term(slopes[:-1], slopes[-1], names) + more
    return None


def _affine_rank(
    held: Affine, spaces: Sequence[Polyhedron], falls: Sequence[Polyhedron], x: Vector
) -> Vector | None:
    """``(g, g0)``: ``g.x + g0`` is >= 0 on ``spaces`` and falls by 1 in each step from ``falls``."""
    n, m = len(held.c), len(held.inputs[0])
    a, b = (
        np.array([[float(v) for v in row] for row in t]).reshape(n, -1) for t in (held.a, held.b)
    )
    value = np.vstack([np.hstack([np.eye(n), np.zeros((n, 2))]), np.zeros((m, n + 2))])
    change = np.zeros((n + m, n + 2))
    change[:n, :n] = np.eye(n) - a.T
    change[n:, :n] = -b.T
    last = np.array([*[0.0] * n, 1.0, 0.0])
    fall = np.array([*(-float(v) for v in held.c), 0.0, -1.0])
    programme = Programme(n + 1)
    for s in spaces:
        programme.nonnegative(s, value, last)
    for s in falls:
        programme.nonnegative(s, change, fall)
    found = programme.solve([*map(float, x), 1.0], n + 1)
    if found is None:
        return None
    return tuple(map(_short, found))


def _factor(
    held: Affine, early: Sequence[Polyhedron], slopes: Vector, d: Vector, target: Fraction
) -> Fraction | None:
    """K so that ``r + K max(0, target - d.x)`` falls, too, where ``d.x`` is below the target."""
    still = [0.0] * len(held.inputs[0])
    now, later = np.array([*map(float, d), *still]), after(held, d)
    rank = np.array([*map(float, slopes[:-1]), *still])
    change, constant = after(held, slopes[:-1])
    falling: Floats = rank - change
    least = -constant - 1.0
    programme = Programme(1)
    for s in early:
        programme.nonnegative(
            s, np.stack([later[0] - now, falling], axis=1), np.array([later[1], least])
        )
        across = Polyhedron(
            np.vstack([s.rows, later[0]]), np.append(s.bounds, float(target) - later[1])
        )
        programme.nonnegative(
            across, np.stack([-now, falling], axis=1), np.array([float(target), least])
        )
    found = programme.solve([1.0], 0)
    return None if found is None else _short(1.001 * float(found[0]))


def _short(value: float) -> Fraction:
    """A rational of few digits nearby; 0 for what is noise."""
    if abs(value) < 1e-9:
        return Fraction(0)
    return Fraction(f"{value:.6g}")
