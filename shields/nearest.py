"""Proposals for the nearest allowed action: heuristics, trusted in nothing.

What is proposed here is applied only if it passes the one proved test; a poor proposal costs
permissiveness, never safety. Along a line of actions the rows of a polytope are affine and those of
a quadratic are quadratic (where the step is affine in the action), so the allowed interval has a
closed form (`nprl.shields.span`). With one input the line is the whole range; with several it runs
from the action to the backup. Where there is no closed form: bisection towards the backup.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

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
from nprl.shields.line import Line
from nprl.shields.rows import Tests
from nprl.shields.sequent import assign
from nprl.shields.span import span

Floats = NDArray[np.float64]
Action = tuple[float, ...]
INWARD = (2.0**-44, 2.0**-30, 2.0**-12, 1.0)
"""How far from an end towards the middle of the allowed interval; 0 would not pass."""
HALVINGS = 40
ALONG = "line:t"
"""Where on the line from the action (0) to the backup (1) one is."""


class Nearest:
    """Proposals for one certificate."""

    def __init__(self, model: Model, tests: Tests, choices: Sequence[Action] | None) -> None:
        """Compile the ends of the allowed interval of each part."""
        x, u = model.state_names, model.action_names
        self.low = [tests.box[n][0] for n in u]
        self.high = [tests.box[n][1] for n in u]
        self.choices = choices
        self.single = len(u) == 1
        groups, box, values = [x], dict(tests.box), tests.values
        line = u[0]
        if not self.single:
            line = ALONG
            ends = {n: Var(f"line:{n}") for n in u}
            groups += [u, tuple(b.name for b in ends.values())]
            box |= {line: (0.0, 1.0)} | {f"line:{n}": box[n] for n in u}
            at: dict[str, Term] = {n: Var(n) + Var(line) * (b - Var(n)) for n, b in ends.items()}
            values = tuple(tuple(assign(t, at) for t in part) for part in values)
        found = [] if choices is not None else [span(part, line, box) for part in values]
        spans = [s for s in found if s is not None]
        self.closed = len(spans) == len(values)
        if self.closed:
            self._line = Line(spans, groups, box, box[line])

    @property
    def asks_backup(self) -> bool:
        """Whether the proposals depend on the backup."""
        return self.choices is None and not (self.single and self.closed)

    def one(
        self, x: Action, u: Action, backup: Action, passes: Callable[[Action], bool]
    ) -> Iterator[Action]:
        """Actions to try for a finite one that does not pass, the nearest first."""
        if self.choices is not None:
            yield from sorted(self.choices, key=lambda c: _distance(c, u))
            return
        wanted = u
        u = tuple([min(max(v, lo), hi) for v, lo, hi in zip(u, self.low, self.high, strict=True)])
        if self.closed:
            target = u[0] if self.single else 0.0
            for low, high in self._nearest_first(x, u, backup, target):
                for share in INWARD:
                    step = (high - low) / 2 * share
                    t = min(max(target, low + step), high - step)
                    yield (t,) if self.single else _between(u, backup, t)
            return
        if u != wanted:
            yield u
        if passes(backup):
            good, bad = backup, u
            for _ in range(HALVINGS):
                middle_point = _between(bad, good, 0.5)
                if passes(middle_point):
                    good = middle_point
                else:
                    bad = middle_point
            yield good

    def _nearest_first(
        self, x: Action, u: Action, backup: Action, target: float
    ) -> list[tuple[float, float]]:
        """The parts' intervals, that nearest to the target first."""
        found = self._line.one(x) if self.single else self._line.one(x, u, backup)
        if len(found) > 1:
            found.sort(key=lambda ends: max(ends[0] - target, target - ends[1], 0.0))
        return found

    def batch(
        self, x: Floats, u: Floats, backup: Floats, passes: Callable[[Floats], NDArray[np.bool_]]
    ) -> Iterator[Floats]:
        """The same for rows (n, m); NaN where there is nothing more to try.

        ``backup`` is read only where the proposals `asks_backup`.
        """
        if self.choices is not None:
            table = np.array(self.choices)
            order = np.argsort(((table[None] - u[:, None]) ** 2).sum(axis=2), axis=1)
            for column in order.T:
                yield table[column]
            return
        wanted = u
        u = np.minimum(np.maximum(u, self.low), self.high)
        if self.closed:
            target = u[:, 0] if self.single else np.zeros(len(u))
            low, high = self._nearest_batch(x, u, backup, target)
            for share in INWARD:
                step = (high - low) * (share / 2)
                t = np.minimum(np.maximum(target, low + step), high - step)[:, None]
                yield t if self.single else u + (backup - u) * t
                low = np.where(low <= high, low, math.nan)  # for a row without an interval: no more
            return
        if (u != wanted).any():
            yield u
        if passes(backup).any():
            good, bad = backup, u
            for _ in range(HALVINGS):
                half = (good + bad) / 2
                allowed = passes(half)[:, None]
                good, bad = np.where(allowed, half, good), np.where(allowed, bad, half)
            yield good

    def _nearest_batch(
        self, x: Floats, u: Floats, backup: Floats, target: Floats
    ) -> tuple[Floats, Floats]:
        """Each row's interval nearest to its target, (n,) both; what it is where there is none."""
        found = self._line.batch(x) if self.single else self._line.batch(x, u, backup)
        low, high, _ = found[0]
        if len(found) > 1:
            best = np.full(len(x), math.inf)
            for first, last, slack in found:
                away = np.maximum(np.maximum(first - target, target - last), 0.0)
                better = (first <= last) & (slack >= 0) & (away < best)
                best = np.where(better, away, best)
                low, high = np.where(better, first, low), np.where(better, last, high)
        return low, high


def _between(a: Action, b: Action, t: float) -> Action:
    return tuple([p + (q - p) * t for p, q in zip(a, b, strict=True)])


def _distance(a: Action, b: Action) -> float:
    return sum((p - q) ** 2 for p, q in zip(a, b, strict=True))


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
