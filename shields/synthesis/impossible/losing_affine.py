"""Affine dynamics against the controller: pulled back half-spaces, kept rows, falling ranks.

With the disturbance held at one point many published systems are affine in state and action. Then
linear programs say which half-spaces no action leaves, and whether an affine function falls on
them at each step. Programs are solved in floats; nothing here is trusted.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog

from nprl.lang.terms import Num, Term, Var
from nprl.model import Model
from nprl.shields.polynomial import NotPolynomial, Polynomial, polynomial
from nprl.shields.sequent import Literals, assign, expanded
from nprl.shields.synthesis.views.quadratic import degree

Floats = npt.NDArray[np.float64]
Vector = tuple[Fraction, ...]
Row = tuple[Vector, Fraction]
"""``(a, b)``: the half-space ``a.x >= b``."""
ENOUGH = 1e-9
MAX_VERTICES = 256


@dataclass(frozen=True, slots=True)
class Affine:
    """``next = A x + B u + c``; ``inputs`` are the corners of the action set, or its choices."""

    a: tuple[Vector, ...]
    b: tuple[Vector, ...]
    c: Vector
    inputs: tuple[Vector, ...]

    def pulled(self, row: Row) -> Row:
        """The states from which every action leads into the half-space."""
        h, bound = row
        worst = min(dot(h, [dot(b, u) for b in self.b]) for u in self.inputs)
        columns = zip(*self.a, strict=True)
        return tuple(dot(h, column) for column in columns), bound - dot(h, self.c) - worst


def dot(a: Sequence[Fraction], b: Sequence[Fraction]) -> Fraction:
    """The inner product."""
    return sum((v * w for v, w in zip(a, b, strict=True)), Fraction(0))


def vertices(ends: Sequence[tuple[Fraction, Fraction]]) -> tuple[Vector, ...]:
    """The corners of a box, each once; the first `MAX_VERTICES` of them."""
    corners = product(*(dict.fromkeys(pair) for pair in ends))
    return tuple(v for v, _ in zip(corners, range(MAX_VERTICES), strict=False))


def inputs_of(model: Model) -> tuple[Vector, ...]:
    """The choices, or the corners of the action box."""
    return model.choices or vertices([(c.low, c.high) for c in model.action])


def affine(model: Model, w: Mapping[str, Fraction]) -> Affine | None:
    """The model with its disturbance held at ``w``, if that is affine in state and action."""
    found = _affine(tuple(model.steps), model.state_names, model.action_names, tuple(w.items()))
    return None if found is None else Affine(*found, inputs_of(model))


@lru_cache(maxsize=64)
def _affine(
    steps: tuple[Term, ...],
    states: tuple[str, ...],
    actions: tuple[str, ...],
    w: tuple[tuple[str, Fraction], ...],
) -> tuple[tuple[Vector, ...], tuple[Vector, ...], Vector] | None:
    at: dict[str, Term] = {n: Num(v) for n, v in w}
    try:
        polynomials = [polynomial(assign(expanded(t), at)) for t in steps]
    except ValueError:
        return None
    if any(degree(p) > 1 for p in polynomials):
        return None

    def part(names: Sequence[str]) -> tuple[Vector, ...]:
        return tuple(tuple(p.get(((n, 1),), Fraction(0)) for n in names) for p in polynomials)

    return part(states), part(actions), tuple(p.get((), Fraction(0)) for p in polynomials)


@lru_cache(maxsize=64)
def _polynomials(steps: tuple[Term, ...]) -> list[Polynomial] | None:
    """The steps as polynomials of everything; None where they are none."""
    try:
        return [polynomial(expanded(t)) for t in steps]
    except ValueError:
        return None


def rows_of(model: Model, literals: Literals) -> list[tuple[Row, bool]] | None:
    """The half-spaces of literals, each with whether it is open; None where one is not affine."""
    result = []
    for q, strict in literals:
        try:
            p = polynomial(q)
        except NotPolynomial:
            return None
        if degree(p) > 1:
            return None
        a = tuple(p.get(((n, 1),), Fraction(0)) for n in model.state_names)
        result.append(((a, -p.get((), Fraction(0))), strict))
    return result


def pushed(model: Model, h: Vector, x: Vector, levels: int) -> dict[str, Fraction]:
    """A disturbance that pushes ``h.x`` up at the state ``x``, whatever the action.

    Where one of its coordinates does not bear on the next state, it may on the one after, and so
    on; a coordinate whose best end depends on the action stays at the centre.
    """
    w, undecided = model.nominal(), {c.name: c for c in model.disturbance if c.low < c.high}
    steps = _polynomials(tuple(model.steps)) if undecided else None
    if steps is None:
        return w
    state = dict(zip(model.state_names, x, strict=True))
    for _ in range(levels):
        for name, c in list(undecided.items()):
            signs = set()
            for u in inputs_of(model):
                at = {**w, **state, **dict(zip(model.action_names, u, strict=True))}
                slope = sum(
                    (v * _slope(p, name, at) for v, p in zip(h, steps, strict=True)), Fraction(0)
                )
                signs.add((slope > 0) - (slope < 0))
            if signs in ({1}, {-1}):
                w[name] = c.high if signs == {1} else c.low
                del undecided[name]
        held = affine(model, w)
        if held is None:
            return w
        h = held.pulled((h, Fraction(0)))[0]
    return w


def _slope(p: Polynomial, name: str, at: Mapping[str, Fraction]) -> Fraction:
    """The derivative of ``p`` by a variable, at a point."""
    total = Fraction(0)
    for m, c in p.items():
        for n, k in m:
            if n == name:
                value = c * k * at[n] ** (k - 1)
                for other, power in m:
                    value *= at[other] ** power if other != n else 1
                total += value
    return total


@dataclass(frozen=True, slots=True)
class Polyhedron:
    """States and actions ``z = (x, u)`` with ``rows z >= bounds``."""

    rows: Floats
    bounds: Floats

    @classmethod
    def of(cls, held: Affine, rows: Sequence[Row]) -> Polyhedron:
        """The states in these half-spaces, with every action of the box around the inputs."""
        n, m = len(held.c), len(held.inputs[0])
        ends = [(min(column), max(column)) for column in zip(*held.inputs, strict=True)]
        table = [[*map(float, a), *[0.0] * m] for a, _ in rows]
        bounds = [float(b) for _, b in rows]
        for j, (low, high) in enumerate(ends):
            for sign, end in ((1.0, low), (-1.0, high)):
                table.append([*[0.0] * n, *(sign * (j == i) for i in range(m))])
                bounds.append(sign * float(end))
        return cls(np.array(table).reshape(-1, n + m), np.array(bounds))

    def least(self, direction: Floats) -> float:
        """The least value of ``direction.z``: inf on the empty set, -inf where there is none."""
        found = linprog(
            direction, A_ub=-self.rows, b_ub=-self.bounds, bounds=(None, None), method="highs"
        )
        if found.status == 2:
            return np.inf
        return float(found.fun) if found.status == 0 else -np.inf


def after(held: Affine, h: Vector) -> tuple[Floats, float]:
    """``h.next`` as a direction of ``z`` and a constant."""
    columns = [*zip(*held.a, strict=True), *zip(*held.b, strict=True)]
    return np.array([float(dot(h, c)) for c in columns]), float(dot(h, held.c))


def kept(held: Affine, rows: Sequence[Row], safe: Sequence[Sequence[Row]], end: float) -> list[Row]:
    """The most of the rows that hold again after every step from where they all hold, in ``safe``.

    None of them where the time is over (`time.monotonic` at ``end``).
    """
    rows = list(rows)
    while rows:
        spaces = [Polyhedron.of(held, [*rows, *part]) for part in safe]
        good = []
        for a, b in rows:
            if time.monotonic() > end:
                return []
            direction, constant = after(held, a)
            least = min((s.least(direction) for s in spaces), default=np.inf)
            if least + constant >= float(b) - ENOUGH * (1 + abs(float(b))):
                good.append((a, b))
        if len(good) == len(rows):
            return rows
        rows = good
    return rows


class Programme:
    """A linear program whose constraints say that affine functions are nonnegative on polyhedra."""

    def __init__(self, unknowns: int) -> None:
        self.unknowns, self.size = unknowns, unknowns
        self.equations: list[tuple[dict[int, float], float]] = []

    def nonnegative(self, space: Polyhedron, slopes: Floats, constants: Floats) -> None:
        """``slopes[i].y + constants`` combine, on ``space``: a function of z linear in the unknowns.

        ``slopes`` (z, unknowns + 1): the coefficient of each z, as a function of the unknowns and 1;
        ``constants`` (unknowns + 1): the same of the function's constant.
        """
        rows, first = len(space.bounds), self.size
        self.size += rows + 1  # a multiplier for each row, and what is left over
        for i, slope in enumerate(slopes):
            equation = {k: v for k, v in enumerate(slope[:-1]) if v}
            equation |= {first + r: -v for r, v in enumerate(space.rows[:, i]) if v}
            self.equations.append((equation, -slope[-1]))
        equation = {k: v for k, v in enumerate(constants[:-1]) if v}
        equation |= {first + r: v for r, v in enumerate(space.bounds) if v} | {first + rows: -1.0}
        self.equations.append((equation, -constants[-1]))

    def solve(self, cost: Sequence[float], free: int) -> Floats | None:
        """The unknowns of least cost; the first ``free`` of them may be negative."""
        table, right = np.zeros((len(self.equations), self.size)), np.zeros(len(self.equations))
        for i, (equation, value) in enumerate(self.equations):
            right[i] = value
            for k, v in equation.items():
                table[i, k] = v
        bounds = [(None, None)] * free + [(0, None)] * (self.size - free)
        whole = np.zeros(self.size)
        whole[: self.unknowns] = cost
        found = linprog(whole, A_eq=table, b_eq=right, bounds=bounds, method="highs")
        result: Floats | None = found.x[: self.unknowns] if found.status == 0 else None
        return result


def linear_term(a: Sequence[Fraction], constant: Fraction, names: Sequence[str]) -> Term:
    """``a.x + constant`` as a term."""
    result: Term = Num(constant)
    for c, n in zip(a, names, strict=True):
        if c:
            result = result + (Var(n) if c == 1 else Num(c) * Var(n))
    return result
