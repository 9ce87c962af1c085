"""Proposals for the nearest allowed action: heuristics, trusted in nothing.

What is proposed here is applied only if it passes the one proved test; a poor proposal costs
permissiveness, never safety. Along a line of actions the rows of a polytope are affine and those of
a quadratic are quadratic (where the step is affine in the action), so three evaluations give the
allowed interval in closed form. With one input the line is the whole range; with several it runs
from the action to the backup. Where that finds nothing: bisection towards the backup.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nprl.lang.floats import compile_batch, compile_scalar
from nprl.lang.terms import (
    Binary,
    BinaryOp,
    Clip,
    Num,
    Pi,
    Power,
    Term,
    Unary,
    UnaryOp,
    Var,
    variables,
)
from nprl.model import Model
from nprl.shields.rows import Tests

Floats = NDArray[np.float64]
Action = tuple[float, ...]
INWARD = (2.0**-44, 2.0**-30, 2.0**-12, 1.0)
"""How far from the nearest point towards the middle of the allowed interval; 0 would not pass."""
HALVINGS = 40


class Nearest:
    """Proposals for one certificate."""

    def __init__(self, model: Model, tests: Tests, choices: Sequence[Action] | None) -> None:
        """Compile the values of the test's rows."""
        names = (model.state_names, model.action_names)
        us = frozenset(model.action_names)
        self.low = [tests.box[n][0] for n in model.action_names]
        self.high = [tests.box[n][1] for n in model.action_names]
        self.choices = choices
        self.scalar = [compile_scalar(part, names, tests.box) for part in tests.values]
        self.array = [compile_batch(part, names, tests.box) for part in tests.values]
        most = max(degree(t, us) for part in tests.values for t in part)
        self.closed = most <= 2
        self.points = (0.0, 1.0) if most <= 1 else (0.0, 0.5, 1.0)

    def one(
        self, x: Action, u: Action, backup: Action, passes: Callable[[Action], bool]
    ) -> Iterator[Action]:
        """Actions to try for a finite one that does not pass, the nearest first."""
        if self.choices is not None:
            yield from sorted(self.choices, key=lambda c: _distance(c, u))
            return
        wanted = u
        u = tuple(min(max(v, lo), hi) for v, lo, hi in zip(u, self.low, self.high, strict=True))
        if u != wanted:
            yield u
        if self.closed:
            start, end, target = self._line(u, backup)
            found = []
            for rows in self.scalar:
                span = _interval([rows(x, _between(start, end, t)) for t in self.points])
                if span is not None:
                    found.append((min(max(target, span[0]), span[1]), sum(span) / 2))
            for t, middle in sorted(found, key=lambda f: abs(f[0] - target)):
                for share in INWARD:
                    yield _between(start, end, t + (middle - t) * share)
        elif passes(backup):
            good, bad = backup, u
            for _ in range(HALVINGS):
                middle_point = _between(bad, good, 0.5)
                if passes(middle_point):
                    good = middle_point
                else:
                    bad = middle_point
            yield good

    def batch(
        self, x: Floats, u: Floats, backup: Floats, passes: Callable[[Floats], NDArray[np.bool_]]
    ) -> Iterator[Floats]:
        """The same for rows (n, m), row by row."""
        if self.choices is not None:
            table = np.array(self.choices)
            order = np.argsort(((table[None] - u[:, None]) ** 2).sum(axis=2), axis=1)
            for column in order.T:
                yield table[column]
            return
        wanted = u
        u = np.minimum(np.maximum(u, self.low), self.high)
        if (u != wanted).any():
            yield u
        if self.closed:
            start, end = (u, backup)
            target: Any = np.zeros(len(u))
            if u.shape[1] == 1:
                start, end = np.full_like(u, self.low[0]), np.full_like(u, self.high[0])
                target = (u[:, 0] - start[:, 0]) / (end[:, 0] - start[:, 0])
            best = np.full(len(u), math.inf)
            nearest, middle = target.copy(), target.copy()
            count = len(self.points)
            along = np.concatenate([start + (end - start) * t for t in self.points])
            states = np.concatenate([x] * count)
            for rows in self.array:
                low, high = _intervals(np.split(np.array(rows(states, along)), count, axis=1))
                t = np.minimum(np.maximum(target, low), high)
                better = (low <= high) & (abs(t - target) < best)
                best = np.where(better, abs(t - target), best)
                nearest = np.where(better, t, nearest)
                middle = np.where(better, (low + high) / 2, middle)
            for share in INWARD:
                t = (nearest + (middle - nearest) * share)[:, None]
                yield start + (end - start) * t
        elif passes(backup).any():
            good, bad = backup, u
            for _ in range(HALVINGS):
                half = (good + bad) / 2
                allowed = passes(half)[:, None]
                good, bad = np.where(allowed, half, good), np.where(allowed, bad, half)
            yield good

    def _line(self, u: Action, backup: Action) -> tuple[Action, Action, float]:
        """The ends of the line to look on, and where on it (0 to 1) the wanted action lies."""
        if len(u) > 1:
            return u, backup, 0.0
        low, high = self.low[0], self.high[0]
        return (low,), (high,), (u[0] - low) / (high - low)


def _between(a: Action, b: Action, t: float) -> Action:
    return tuple(p + (q - p) * t for p, q in zip(a, b, strict=True))


def _distance(a: Action, b: Action) -> float:
    return sum((p - q) ** 2 for p, q in zip(a, b, strict=True))


def _interval(ends: Sequence[Sequence[float]]) -> tuple[float, float] | None:
    """Where in [0, 1] all rows are >= 0, from their values at 0, (1/2,) 1; None if nowhere."""
    low, high = 0.0, 1.0
    for r0, *rm, r1 in zip(*ends, strict=True):
        a = 2 * (r0 - 2 * rm[0] + r1) if rm else 0.0
        if not a < -1e-9 * (abs(r0) + abs(r1)):  # affine (or convex: by its chord)
            slope = r1 - r0
            if slope > 0:
                low = max(low, -r0 / slope)
            elif slope < 0:
                high = min(high, -r0 / slope)
            elif r0 < 0:
                return None
            continue
        b = r1 - r0 - a
        under = b * b - 4 * a * r0
        if not under >= 0:
            return None
        root = math.sqrt(under)
        low, high = max(low, (-b + root) / (2 * a)), min(high, (-b - root) / (2 * a))
    return (low, high) if low <= high else None


def _intervals(ends: Sequence[Floats]) -> tuple[Floats, Floats]:
    """`_interval` for values of shape (rows, n): both ends, crossed where there is none."""
    r0, *rm, r1 = ends
    with np.errstate(all="ignore"):
        a: Any = 2 * (r0 - 2 * rm[0] + r1) if rm else 0.0
        slope = r1 - r0
        zero = -r0 / slope
        never = (slope == 0) & (r0 < 0)
        low = np.where(slope > 0, zero, np.where(never, math.inf, 0.0))
        high = np.where(slope < 0, zero, np.where(never, -math.inf, 1.0))
        curved = a < -1e-9 * (abs(r0) + abs(r1))
        if rm and curved.any():
            b = slope - a
            under = b * b - 4 * a * r0
            root = np.sqrt(under)
            none = ~(under >= 0)
            low = np.where(curved, np.where(none, math.inf, (-b + root) / (2 * a)), low)
            high = np.where(curved, np.where(none, -math.inf, (-b - root) / (2 * a)), high)
    return np.maximum(low.max(axis=0), 0.0), np.minimum(high.min(axis=0), 1.0)


def degree(t: Term, names: frozenset[str]) -> float:
    """The degree of ``t`` in these variables, or inf. A clip counts as its argument."""
    match t:
        case Num() | Pi():
            return 0
        case Var(name):
            return 1 if name in names else 0
        case Binary(BinaryOp.ADD | BinaryOp.SUB, left, right):
            return max(degree(left, names), degree(right, names))
        case Binary(BinaryOp.MUL, left, right):
            return degree(left, names) + degree(right, names)
        case Binary(BinaryOp.DIV, left, right) if not variables(right) & names:
            return degree(left, names)
        case Power(base, exponent):
            return degree(base, names) * exponent if exponent else 0
        case Unary(UnaryOp.NEG, arg) | Clip(arg, _, _):
            return degree(arg, names)
        case _:
            return math.inf if variables(t) & names else 0
