"""What the numeric methods see of a model: S within the ranges as rows, the inputs, the starts, batch functions.

Only a safe set that is a conjunction of affine comparisons is taken (also ``abs(affine) <= c``); a
row ``(a, b)`` means ``b - a.x >= 0`` with exact rationals. A strict comparison is kept by a row a
little inside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import numpy as np

from nprl.lang.terms import (
    And,
    Compare,
    Formula,
    Not,
    Num,
    Pi,
    Relation,
    Term,
    Truth,
    Unary,
    UnaryOp,
    replace,
    subterms,
)
from nprl.model import Model
from nprl.shields.polynomial import NotPolynomial, polynomial
from nprl.shields.synthesis.views.numeric import Array, jacobian, values
from nprl.shields.synthesis.views.quadratic import degree

Row = tuple[tuple[Fraction, ...], Fraction]
PI = Fraction(math.pi)
INSIDE = Fraction(1, 2**13)
"""How far inside an open face the row that stands for it lies, relative to half the row's range."""
MAX_DISTURBANCE_VERTICES = 64


class Unsuitable(ValueError):
    """A model that a method does not apply to; the portfolio goes on to the next."""


@dataclass(frozen=True)
class Problem:
    """A model as numbers. ``rows`` are S and the ranges; the arrays ``h``, ``b`` are the same rows."""

    model: Model
    rows: tuple[Row, ...]
    h: Array
    b: Array
    u_low: Array
    u_high: Array
    init_low: Array
    init_high: Array
    w: Array
    """The vertices of the disturbance box, and its centre in front; shape (q, p)."""

    @property
    def n(self) -> int:
        """The number of state coordinates."""
        return len(self.model.state)

    @property
    def m(self) -> int:
        """The number of inputs."""
        return len(self.model.action)

    def next(self, x: Array, u: Array, w: Array) -> Array:
        """The next states, shape (N, n), of states (N, n) under inputs (N, m) and one disturbance (p,)."""
        return values(self.model.steps, self._names, self._join(x, u, w))

    def linearised(self, x: Array, u: Array, w: Array) -> tuple[Array, Array, Array]:
        """Next states (N, n) with their derivatives by the state (N, n, n) and by the inputs (N, n, m)."""
        by = [*self.model.state_names, *self.model.action_names]
        f, j = jacobian(self.model.steps, self._names, self._join(x, u, w), by)
        return f, j[:, :, : self.n], j[:, :, self.n :]

    def disturbed(self, x: Array, u: Array, w: Array) -> Array:
        """Derivatives of the next states by the disturbance, shape (N, n, p)."""
        by = self.model.disturbance_names
        return jacobian(self.model.steps, self._names, self._join(x, u, w), by)[1]

    def sway(self, x: Array, u: Array, h: Array) -> Array:
        """How much the disturbance can add to rows h (r, n) of the next states of x (N, n) under u (N, m); (N, r).

        Exact for a step that is affine in the disturbance; else to first order.
        """
        half = np.array([float(c.high - c.low) / 2 for c in self.model.disturbance])
        if not half.any():
            return np.zeros((len(x), len(h)))
        by_w = np.einsum("rn,knp->krp", h, self.disturbed(x, u, self.w[0]))
        return np.asarray(np.abs(by_w) @ half)

    @property
    def _names(self) -> list[str]:
        model = self.model
        return [*model.state_names, *model.action_names, *model.disturbance_names]

    def _join(self, x: Array, u: Array, w: Array) -> Array:
        return np.hstack([x, u, np.broadcast_to(w, (len(x), len(w)))])

    def init_vertices(self) -> Array:
        """The corners of the initial box, shape (2^k, n), k the number of coordinates that vary."""
        ends = [
            [a] if a == b else [a, b] for a, b in zip(self.init_low, self.init_high, strict=True)
        ]
        return np.array(list(product(*ends)), dtype=np.float64)


def problem_of(model: Model) -> Problem:
    """The numeric view of ``model``.

    Raises:
        Unsuitable: for finitely many actions, or a safe set that is no conjunction of affine
        comparisons.
    """
    if model.choices is not None:
        raise Unsuitable("an action set of finitely many values")
    rows = _merge(model, [*_formula_rows(model.safe, model), *_range_rows(model)])
    disturbance = [(float(c.low), float(c.high)) for c in model.disturbance]
    varying = sum(low < high for low, high in disturbance)
    centre = np.array([(low + high) / 2 for low, high in disturbance])
    if 2**varying <= MAX_DISTURBANCE_VERTICES:
        corners = list(product(*([a] if a == b else [a, b] for a, b in disturbance)))
    else:  # each row of an additive disturbance has its worst corner among many; sample them
        signs = np.random.default_rng(0).integers(0, 2, (MAX_DISTURBANCE_VERTICES, len(centre)))
        corners = [tuple(d[s] for d, s in zip(disturbance, row, strict=True)) for row in signs]
    points = np.array(corners, dtype=np.float64).reshape(len(corners), len(centre))
    w = np.vstack([centre[None, :], points]) if varying else centre[None, :]

    def ends(pairs: list[tuple[Fraction, Fraction]]) -> tuple[Array, Array]:
        return np.array([float(a) for a, _ in pairs]), np.array([float(b) for _, b in pairs])

    u_low, u_high = ends([(c.low, c.high) for c in model.action])
    init_low, init_high = ends([model.init[c.name] for c in model.state])
    h = np.array([[float(v) for v in a] for a, _ in rows])
    b = np.array([float(v) for _, v in rows])
    return Problem(model, rows, h, b, u_low, u_high, init_low, init_high, w)


def safe_rows(model: Model) -> list[Row]:
    """The rows of S alone, each face closed.

    Raises:
        Unsuitable: for a safe set that is no conjunction of affine comparisons.
    """
    return [row for row, _ in _formula_rows(model.safe, model)]


def _range_rows(model: Model) -> list[tuple[Row, bool]]:
    rows: list[tuple[Row, bool]] = []
    for i, c in enumerate(model.state):
        unit = tuple(Fraction(int(i == j)) for j in range(len(model.state)))
        rows.append(((unit, c.high), False))
        rows.append(((tuple(-v for v in unit), -c.low), False))
    return rows


def _formula_rows(f: Formula, model: Model, negated: bool = False) -> list[tuple[Row, bool]]:
    """The rows of a conjunction, each with whether it is strict."""
    match f:
        case Truth(value) if value != negated:
            return []
        case And(parts) if not negated:
            return [row for part in parts for row in _formula_rows(part, model)]
        case Not(part):
            return _formula_rows(part, model, not negated)
        case Compare(relation, left, right):
            strict = (relation in (Relation.LT, Relation.GT)) != negated
            if (relation in (Relation.GE, Relation.GT)) != negated:
                left, right = right, left  # now left <= right or left < right
            near: dict[Term, Term] = {Pi(): Num(PI)}  # a hair off: such a row is moved inside, too
            strict = strict or any(isinstance(s, Pi) for s in (*subterms(left), *subterms(right)))
            left, right = replace(left, near), replace(right, near)
            return [(row, strict) for row in _difference_rows(left, right, model)]
        case _:
            raise Unsuitable("a safe set that is no conjunction of comparisons")


def _difference_rows(left: Term, right: Term, model: Model) -> list[Row]:
    """The rows of ``left <= right``."""
    match left:
        case Unary(UnaryOp.ABS, arg):
            return [*_difference_rows(arg, right, model), *_difference_rows(-arg, right, model)]
    try:
        p = polynomial(right - left)
    except NotPolynomial as error:
        raise Unsuitable(str(error)) from None
    if degree(p) > 1:
        raise Unsuitable("a safe set with a curved face")
    b = p.get((), Fraction(0))
    a = tuple(-p.get(((name, 1),), Fraction(0)) for name in model.state_names)
    if any(a):
        return [(a, b)]
    if b >= 0:
        return []
    raise Unsuitable("a safe set that is empty")


def _merge(model: Model, rows: list[tuple[Row, bool]]) -> tuple[Row, ...]:
    """The tightest row of each direction, open faces moved inside, in the order of first occurrence."""
    best: dict[tuple[Fraction, ...], Row] = {}
    for (a, b), strict in rows:
        size = max(abs(v) for v in a)
        direction = tuple(v / size for v in a)
        low, high = _row_range(a, model)
        if strict:
            b = _dyadic_below(b - INSIDE * (min(b, high) - low) / 2, (high - low) * INSIDE / 32)
        old = best.get(direction)
        if old is None or b / size < old[1] / max(abs(v) for v in old[0]):
            best[direction] = (a, b)
    return tuple(best.values())


def _row_range(a: tuple[Fraction, ...], model: Model) -> tuple[Fraction, Fraction]:
    """The least and greatest value of ``a.x`` on the ranges."""
    ends = [(v * c.low, v * c.high) for v, c in zip(a, model.state, strict=True)]
    return sum((min(e) for e in ends), Fraction(0)), sum((max(e) for e in ends), Fraction(0))


def _dyadic_below(value: Fraction, quantum: Fraction) -> Fraction:
    """The greatest multiple of a power of two (at most ``quantum``) at or below ``value``."""
    step = power_of_two(float(quantum))
    return (value // step) * step


def power_of_two(value: float) -> Fraction:
    """The greatest power of two at or below ``value > 0``, exactly."""
    exponent = math.frexp(value)[1] - 1
    return Fraction(2) ** exponent
