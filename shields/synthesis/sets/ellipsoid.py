"""Invariant ellipsoids with a linear gain, by semidefinite programming.

In the inclusion's coordinates: ``E = {z: z' P z <= 1}``, ``v = K z``, with Q = P^-1 and Y = K Q
linear matrix inequalities say that every map and every corner of the disturbance takes E into E
with some slack, that E lies in S and in the box of the inclusion, that its inputs are allowed, and
that it holds the initial box. The volume is maximised.

Source: S. Boyd et al., Linear Matrix Inequalities in System and Control Theory, 1994, chapters 3
and 5.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import cvxpy as cp
import numpy as np

from nprl.lang.terms import Num, Term, Var
from nprl.shields.synthesis.budget import Budget
from nprl.shields.synthesis.views.linearise import Inclusion
from nprl.shields.synthesis.views.numeric import Array
from nprl.shields.synthesis.views.polytope import nearest

BITS = 2.0**-20
INSIDE = 0.9995
"""The part of the distance to a face of S, or to an input's bound, that may be used."""
SLACK = 0.05
"""The part of ``1 - rate`` that a disturbed step leaves free."""
ENOUGH = 0.85
FEW_DIMENSIONS = 10
"""Up to here all rates are tried; beyond, the first that is feasible is taken."""
MANY_RATES = (0.99, 0.999, 0.95, 0.9999)
FEW_GENERATORS = 5
"""Up to here each corner of the disturbance has its own matrix inequality."""
MAX_CORNERS = 128
MAX_CONSTRAINTS = 256


@dataclass(frozen=True)
class Ellipsoid:
    """``sum weight (row.(x - centre))^2 <= 1`` in exact numbers, with its gain in the inclusion's coordinates.

    The rows are triangular with ones on the diagonal: the set's own LDL^T decomposition is short,
    and so are the proofs that are made of it.
    """

    centre: tuple[Fraction, ...]
    weights: tuple[Fraction, ...]
    rows: tuple[tuple[Fraction, ...], ...]
    gain: Array
    """K, shape (m, n): ``v = K z``."""
    half: Array
    """How far it reaches along each coordinate, shape (n,)."""
    input_half: Array
    """How far v reaches, shape (m,)."""
    rate: float
    """The multiplier: the value of the next state is at most ``rate * value + 1 - rate - slack``."""
    slack: float

    @property
    def shape(self) -> Array:
        """The matrix, in floats, shape (n, n)."""
        rows = np.array([[float(v) for v in row] for row in self.rows])
        return np.asarray(rows.T @ np.diag([float(d) for d in self.weights]) @ rows)

    def term(self, names: Sequence[str]) -> Term:
        """``1 - sum weight (row.(x - centre))^2``."""
        away: list[Term] = [
            Var(name) if not c else Var(name) - c if c > 0 else Var(name) + -c
            for name, c in zip(names, self.centre, strict=True)
        ]
        total: Term = Num(Fraction(1))
        for d, row in zip(self.weights, self.rows, strict=True):
            form: Term | None = None
            for c, other in zip(row, away, strict=True):
                if c:
                    size = other if abs(c) == 1 else abs(c) * other
                    form = size if form is None else form + size if c > 0 else form - size
            assert form is not None
            total = total - d * form**2
        return total


def invariant_ellipsoid(
    maps: Inclusion, init: Array, rates: Sequence[float], budget: Budget | None = None
) -> Ellipsoid | None:
    """An ellipsoid for one of the ``rates``; None where none is feasible.

    The least rate whose ellipsoid has at least `ENOUGH` of the largest one's volume: it leaves the
    proof more slack. In many dimensions one of `MANY_RATES`, the first that is feasible. ``init``
    are the lower and the upper ends of the initial box, shape (2, n), in units.

    Raises:
        Impossible: where the solver has shown, for a linear step, that there is none.
        OutOfTime: where the budget's time is over.
    """
    program = _Program(maps, init)
    found: list[tuple[float, Array, Array, float]] = []
    many = maps.a.shape[1] > FEW_DIMENSIONS
    for rate in MANY_RATES if many else rates:
        if many and found:
            break
        if rate < max(program.impossible, default=0.0):
            continue
        solved = program.solve(rate, budget or Budget())
        if solved is None and found:
            break
        if solved is not None:
            found.append((float(np.linalg.slogdet(solved[0])[1]) / 2, *solved, rate))
    if not found and program.certain:
        raise Impossible("the program is infeasible for every rate")
    if not found:
        return None
    most = max(size for size, *_ in found)
    good = [one for one in found if one[0] >= most + np.log(ENOUGH)]
    _, q, y, rate = min(good, key=lambda one: one[-1])
    return exact_ellipsoid(maps, q, y, rate, SLACK * (1 - rate) if program.disturbed else 1 - rate)


class Impossible(Exception):
    """No ellipsoid in the box of analysis holds the initial set, nor does any in a smaller box."""


class _Program:
    """The semidefinite program, compiled once, solved for several rates."""

    def __init__(self, maps: Inclusion, init: Array) -> None:
        n, m = maps.a.shape[1], maps.b.shape[2]
        offset = np.abs(maps.offset).max() > 1e-6
        self.disturbed = bool(offset or maps.g.size)
        self._m = m
        self.impossible: list[float] = []
        """Rates at which the program is infeasible, and so at all lower ones."""
        self._q = cp.Variable((n, n), symmetric=True)
        self._y = cp.Variable((m, n)) if m else cp.Constant(np.zeros((1, n)))
        self._rate = cp.Parameter(nonneg=True)
        self._free = cp.Parameter(nonneg=True)  # 1 - rate, less the slack
        q, y = self._q, self._y
        constraints: list[cp.Constraint] = []
        for a, b in zip(maps.a, maps.b, strict=True):
            image = a @ q + b @ y if m else a @ q
            if not self.disturbed:
                constraints.append(cp.bmat([[self._rate * q, image.T], [image, q]]) >> 0)
                continue
            constraints += self._disturbed(maps, image)
        for row in maps.h:
            constraints.append(row @ q @ row <= INSIDE**2)
        limits = np.minimum(maps.highs, -maps.lows) * INSIDE
        for j in range(m):
            one = cp.reshape(y[j], (1, n), order="C")
            constraints.append(cp.bmat([[np.array([[limits[j] ** 2]]), one], [one.T, q]]) >> 0)
        constraints += self._holds(maps, init)
        self._problem = cp.Problem(cp.Maximize(cp.log_det(q)), constraints)
        self.feasible = len(constraints) <= MAX_CONSTRAINTS and (limits > 1e-9).all()

    def _disturbed(self, maps: Inclusion, image: cp.Expression) -> list[cp.Constraint]:
        """The image and the disturbance stay within: corner by corner, or by a share for each generator."""
        n = maps.a.shape[1]
        q = self._q
        if maps.g.shape[1] > FEW_GENERATORS:
            g = np.hstack([maps.g, maps.offset[:, None]])
            share = cp.Variable(g.shape[1], nonneg=True)
            zero = np.zeros((n, g.shape[1]))
            blocks = [
                [self._rate * q, zero, image.T],
                [zero.T, cp.diag(share), g.T],
                [image, g, q],
            ]
            return [cp.bmat(blocks) >> 0, cp.sum(share) <= self._free]
        constraints: list[cp.Constraint] = []
        for d in maps.disturbances():
            column = d[:, None]
            zero = np.zeros((n, 1))
            free = cp.reshape(self._free, (1, 1), order="C")
            blocks = [
                [self._rate * q, zero, image.T],
                [zero.T, free, column.T],
                [image, column, q],
            ]
            constraints.append(cp.bmat(blocks) >> 0)
        return constraints

    def _holds(self, maps: Inclusion, init: Array) -> list[cp.Constraint]:
        """The initial box lies in the ellipsoid: by its corners, or by a diagonal form above P."""
        n = maps.a.shape[1]
        z = (init - maps.centre) / maps.unit * (1 + 1e-4)
        ends = [sorted({low, high}) for low, high in z.T.tolist()]
        if np.prod([len(e) for e in ends]) <= 2 * MAX_CORNERS:
            corners = _up_to_sign(np.array(list(product(*ends))))
            return [
                cp.bmat([[np.ones((1, 1)), v[None, :]], [v[:, None], self._q]]) >> 0
                for v in corners
                if np.abs(v).max() > 1e-12
            ]
        far = np.abs(z).max(axis=0)
        d = cp.Variable(n, nonneg=True)
        return [cp.bmat([[cp.diag(d), np.eye(n)], [np.eye(n), self._q]]) >> 0, far**2 @ d <= 1]

    @property
    def certain(self) -> bool:
        """Whether the highest rate of all was shown to be infeasible."""
        return max(self.impossible, default=0.0) >= 0.999

    def solve(self, rate: float, budget: Budget) -> tuple[Array, Array] | None:
        """Q and Y; None where the program is infeasible or the solver gives up."""
        if not self.feasible:
            return None
        self._rate.value = rate
        self._free.value = (1 - rate) * (1 - SLACK)
        limit = budget.options("ellipsoid")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                self._problem.solve(solver=cp.CLARABEL, max_threads=1, **limit)
            except (cp.SolverError, ArithmeticError, ValueError):
                return None
        if self._problem.status == "infeasible" and not self.disturbed:
            self.impossible.append(rate)
        q, y = self._q.value, self._y.value
        if self._problem.status not in ("optimal", "optimal_inaccurate") or q is None or y is None:
            return None
        q = (q + q.T) / 2
        if not np.isfinite(q).all() or np.linalg.eigvalsh(q).min() <= 1e-10:
            return None
        return q, np.asarray(y)[: self._m]


def _up_to_sign(points: Array) -> Array:
    """Without those whose opposite is there, too."""
    seen: dict[tuple[float, ...], Array] = {}
    for p in points:
        key = tuple(np.round(p, 12) + 0.0)
        if tuple(np.round(-p, 12) + 0.0) not in seen:
            seen.setdefault(key, p)
    return np.array(list(seen.values()))


def exact_ellipsoid(maps: Inclusion, q: Array, y: Array, rate: float, slack: float) -> Ellipsoid:
    """Rounded to few bits, in units."""
    inverse = np.linalg.inv(q)
    shape = inverse / np.outer(maps.unit, maps.unit)
    half = np.sqrt(np.diag(q)) * maps.unit
    n = len(q)
    # P = C C' from the first variable on: P = sum_k d_k r_k r_k', r_k = C[:, k] / C[k, k]
    factor = np.linalg.cholesky(shape * np.outer(half, half))
    rows, weights = [], []
    for k in range(n):
        lead = float(factor[k, k])
        row = [Fraction(0)] * k + [Fraction(1)]
        for j in range(k + 1, n):  # each entry to a part of the reach of what it multiplies
            value = float(factor[j, k]) / lead
            quantum = BITS / max(lead, 1.0) * half[k] / half[j]
            row.append(
                nearest(value * half[k] / half[j], float(quantum))
                if abs(value) > BITS / max(lead, 1.0)
                else Fraction(0)
            )
        rows.append(tuple(row))
        weight = (lead / float(half[k])) ** 2
        weights.append(nearest(weight, weight * BITS))
    return Ellipsoid(
        centre=tuple(Fraction(float(c)) for c in maps.centre),
        weights=tuple(weights),
        rows=tuple(rows),
        gain=y @ inverse,
        half=half,
        input_half=np.sqrt(np.einsum("mi,ij,mj->m", y, inverse, y)),
        rate=rate,
        slack=slack,
    )
