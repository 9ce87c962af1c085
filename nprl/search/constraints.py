"""What a user asks of every program: bounds, a direction, a symmetry, calm under noise.

Each constraint is a list of claims about what is executed (the clipped outputs, for finitely many
actions before the nearest is chosen): terms that are never negative on a box. Samples refute a
claim quickly, while a search runs. What is shown to the user is proved: by the form of the term, by
intervals or by Z3; unknown is not proved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import z3

from nprl.lang.build import where
from nprl.lang.floats import compile_batch
from nprl.lang.ranges import WHOLE, Interval, enclose
from nprl.lang.smt import number, to_z3
from nprl.lang.terms import Num, Term, Var, replace, variables
from nprl.program import Program
from nprl.search.forms import parity, rises

Box = Mapping[str, Interval]
"""The ranges of inputs; one that is missing has none."""
SAMPLES = 2000
TOLERANCE = 1e-7
"""A sample refutes below minus this; rounding is smaller."""
PIECES = 500
"""Boxes that interval arithmetic looks at, at most."""
TIMEOUT_MS = 5000
MORE, OFF = ":more", ":off"
"""What the names of a second value, and of a difference, end with."""


@dataclass(frozen=True, slots=True)
class Claim:
    """``value`` is not negative wherever its variables lie in ``box``; ``known`` by its form."""

    value: Term
    box: Box
    known: bool = False


@dataclass(frozen=True, slots=True)
class Within:
    """Each output lies between ``low`` and ``high``."""

    low: Fraction
    high: Fraction

    def claims(self, program: Program, box: Box) -> list[Claim]:
        """What has to hold."""
        return [
            Claim(t, box) for u in program.clipped for t in (u - Num(self.low), Num(self.high) - u)
        ]


@dataclass(frozen=True, slots=True)
class Monotone:
    """No output falls (``rising``), or none rises, where ``variable`` rises alone."""

    variable: str
    rising: bool = True

    def claims(self, program: Program, box: Box) -> list[Claim]:
        """What has to hold."""
        x, more = Var(self.variable), Var(self.variable + MORE)
        wide = {**box, more.name: box.get(self.variable, WHOLE)}
        found = []
        for u in program.clipped:
            gain = replace(u, {x: more}) - u
            value = where(more >= x, gain if self.rising else -gain, 0)
            way = rises(u, self.variable, box)
            found.append(Claim(value, wide, way in (0, 1 if self.rising else -1)))
        return found


@dataclass(frozen=True, slots=True)
class Symmetric:
    """Where ``flipped`` inputs change their sign, outputs change theirs (``odd``), or stay."""

    flipped: tuple[str, ...]
    odd: bool = True

    def claims(self, program: Program, box: Box) -> list[Claim]:
        """What has to hold."""
        at: dict[Term, Term] = {Var(name): -Var(name) for name in self.flipped}
        wanted = -1 if self.odd else 1
        found = []
        for u in program.clipped:
            apart = replace(u, at) + u if self.odd else replace(u, at) - u
            known = parity(u, frozenset(self.flipped)) in (0, wanted)
            found += [Claim(apart, box, known), Claim(-apart, box, known)]
        return found


@dataclass(frozen=True, slots=True)
class Steady:
    """No output moves by more than ``change`` where inputs are off by at most their ``noise``."""

    noise: tuple[tuple[str, Fraction], ...]
    change: Fraction

    def claims(self, program: Program, box: Box) -> list[Claim]:
        """What has to hold."""
        at: dict[Term, Term] = {Var(n): Var(n) + Var(n + OFF) for n, _ in self.noise}
        wide = {**box, **{n + OFF: Interval(-size, size) for n, size in self.noise}}
        moves = [replace(u, at) - u for u in program.clipped]
        return [Claim(Num(self.change) - s, wide) for m in moves for s in (m, -m)]


Constraint = Within | Monotone | Symmetric | Steady


def refuted(claim: Claim) -> bool:
    """Whether a sample shows that the claim is false."""
    if claim.known:
        return False
    names = sorted(variables(claim.value))
    if not names:
        names = ["none"]
    rng = np.random.default_rng(0)
    columns = [_draw(claim.box.get(name, WHOLE), rng) for name in names]
    values = compile_batch([claim.value], [names])(np.stack(columns, axis=1))[0]
    return bool(np.min(values) < -TOLERANCE)


def _draw(
    range_: Interval, rng: np.random.Generator
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Samples of a range, or numbers of any size where it has no end."""
    low, high = float(range_.lo), float(range_.hi)
    if np.isfinite([low, high]).all():
        return rng.uniform(low, high, SAMPLES)
    drawn = rng.standard_normal(SAMPLES) * np.exp(rng.uniform(-2.0, 3.0, SAMPLES))
    return np.clip(drawn, low, high)


def proved(claim: Claim) -> bool:
    """Whether the claim is shown to be true, for all real numbers in its box."""
    return claim.known or _by_intervals(claim) or _by_z3(claim)


def _by_intervals(claim: Claim) -> bool:
    """Intervals, halved along the widest side in turn; a range without an end is not halved."""
    names = sorted(variables(claim.value))
    queue = [{name: claim.box.get(name, WHOLE) for name in names}]
    for _ in range(PIECES):
        if not queue:
            return True
        box = queue.pop()
        if enclose(claim.value, box).lo >= 0:
            continue
        widths = {n: float(r.hi) - float(r.lo) for n, r in box.items()}
        finite = {n: w for n, w in widths.items() if 0 < w < np.inf}
        if not finite:
            return False
        name = max(finite, key=lambda n: finite[n])
        r = box[name]
        middle = (Fraction(r.lo) + Fraction(r.hi)) / 2
        queue += [
            {**box, name: Interval(r.lo, middle)},
            {**box, name: Interval(middle, r.hi)},
        ]
    return not queue


def _by_z3(claim: Claim) -> bool:
    names = sorted(variables(claim.value))
    at = {name: z3.Real(f"v{k}") for k, name in enumerate(names)}
    solver = z3.Solver()
    solver.set("timeout", TIMEOUT_MS)
    lemmas: list[object] = []
    try:
        value = to_z3(claim.value, at, lemmas)
    except ValueError:  # tanh and the like, which Z3 is told nothing of
        return False
    for name in names:
        r = claim.box.get(name, WHOLE)
        if isinstance(r.lo, Fraction):
            solver.add(at[name] >= number(r.lo))
        if isinstance(r.hi, Fraction):
            solver.add(at[name] <= number(r.hi))
    solver.add(*lemmas, value < 0)
    return bool(solver.check() == z3.unsat)
