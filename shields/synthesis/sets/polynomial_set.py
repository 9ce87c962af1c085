"""Sets ``g >= 0`` for a polynomial g, within the safe set and a box: where ellipsoids and polytopes are small.

From the states that stay safe under a backup (`survivors`), by linear programs over samples
(`polynomial_fit`), rounded to short exact coefficients. The rows of S are rows of the set, too, so
that it may reach a face of S where the step leads inward. Nothing here is trusted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from nprl.lang.terms import Num, Term, Var, replace
from nprl.shields.polynomial import Polynomial
from nprl.shields.synthesis.budget import Budget
from nprl.shields.synthesis.proofs.bernstein import from_polynomial
from nprl.shields.synthesis.proofs.curved_functions import short
from nprl.shields.synthesis.proposal import Candidate
from nprl.shields.synthesis.sets.polynomial_fit import METHOD, Basis, Fit, hull_basis
from nprl.shields.synthesis.sets.survivors import Survivors, laws, survivors
from nprl.shields.synthesis.trial import trial
from nprl.shields.synthesis.views.equilibrium import Point
from nprl.shields.synthesis.views.numeric import Array, values
from nprl.shields.synthesis.views.polytope import row_term
from nprl.shields.synthesis.views.problem import Problem, Row

FAMILY = "polynomial"
DEGREES = {2: (4, 6), 3: (4, 6), 4: (4,)}
"""By the number of coordinates; a set in one is an interval, and more are too many for its proof."""
ROUNDS = 14
ENOUGH = 0.5
"""The least room, in margins, of a set that is kept; half of it, where it is looked at a second time."""
BITS = 20
"""Of a coefficient."""
LEVELS = (0.0, 0.5, 1.0, 2.0, 4.0)
"""By how many margins a set is shrunk where the last program's is not kept."""
BOX_ROOM = Fraction(1, 64)
"""Between the set and the box that is stated, of the box."""
SAMPLES = 100_000


def polynomial_sets(
    problem: Problem, points: Sequence[Point], seed: int, budget: Budget
) -> Iterator[Candidate]:
    """Candidates of rising degree, for the backup from which most sample states stay safe.

    Raises:
        OutOfTime: where the budget's time is over.
    """
    degrees = DEGREES.get(problem.n, ())
    if not degrees:
        return
    found = [
        s
        for point in points
        for law in laws(problem, point)
        if (s := survivors(problem, law, seed, budget)) is not None
    ]
    if not found:
        return
    best = max(found, key=lambda s: s.size)
    for degree in degrees:
        yield from _of_degree(best, degree, seed, budget)


def _of_degree(s: Survivors, degree: int, seed: int, budget: Budget) -> Iterator[Candidate]:
    fit = Fit(s, hull_basis(s.x[s.stays], degree), np.random.default_rng(seed))
    last: Array | None = None
    best: tuple[float, Array] | None = None
    for _ in range(ROUNDS):
        last = fit.solve(last, budget)
        if last is None:
            break
        faults, room = fit.faults(last)
        if best is None or room > best[0]:
            best = room, last
        if room >= ENOUGH:
            break
        fit.add(faults)
    if best is None:
        return
    constant = fit.basis.powers.index((0,) * s.problem.n)
    for level in LEVELS:
        lowered = best[1].copy()
        lowered[constant] -= level * fit.margin
        if fit.faults(lowered)[1] >= ENOUGH / 2:
            yield from _candidate(s, fit.basis, lowered, degree, seed)
            return


def _candidate(
    s: Survivors, basis: Basis, coefficients: Array, degree: int, seed: int
) -> Iterator[Candidate]:
    """The set in exact numbers, if it is kept at sample points."""
    problem = s.problem
    g = term_of(basis, coefficients, problem.model.state_names)
    low, high = np.array([[float(c.low), float(c.high)] for c in problem.model.state]).T
    x = low + (high - low) * np.random.default_rng(seed).random((SAMPLES, problem.n))
    x = x[(x @ problem.h.T <= problem.b).all(axis=1)]
    x = x[values((g,), problem.model.state_names, x)[:, 0] >= 0]
    if not len(x):
        return
    rows = (g, *(row_term(r, problem.model.state_names) for r in _stated(problem, x)))
    result = trial(problem, rows, s.backup, x)
    if result.good:
        notes = {"method": METHOD, "degree": degree, "kept": result.kept, "init": result.init}
        yield Candidate(FAMILY, (rows,), s.backup, notes)


def term_of(basis: Basis, coefficients: Array, names: Sequence[str]) -> Term:
    """The polynomial, its coefficients rounded, as a term."""
    p: Polynomial = {}
    for powers, c in zip(basis.powers, coefficients, strict=True):
        if abs(c) > 2.0**-BITS:
            size = float(np.prod(basis.unit ** np.array(powers)))
            p[tuple((v, k) for v, k in zip(names, powers, strict=True) if k)] = short(
                float(c) / size, BITS
            )
    away: dict[Term, Term] = {
        Var(v): Var(v) - Num(Fraction(float(c)))
        for v, c in zip(names, basis.centre, strict=True)
        if c
    }
    return replace(from_polynomial(p), away)


def _stated(problem: Problem, x: Array) -> list[Row]:
    """The rows of S that the set comes near to, and for each coordinate the ends of a box about it."""
    rows: list[Row] = []
    for i, c in enumerate(problem.model.state):
        for sign, end in ((1, c.high), (-1, c.low)):
            unit = tuple(Fraction(sign * int(i == j)) for j in range(problem.n))
            own = [
                b / abs(a[i])
                for a, b in problem.rows
                if a[i] * sign > 0 and not any(v for j, v in enumerate(a) if j != i)
            ]
            most = min([sign * end, *own])
            width = c.high - c.low
            near = Fraction(float((sign * x[:, i]).max())) + BOX_ROOM * width
            quantum = Fraction(2) ** (int(np.floor(np.log2(float(width)))) - 8)
            near = -(-near // quantum) * quantum
            rows.append((unit, min(most, near)))
    for a, b in problem.rows:
        if sum(v != 0 for v in a) > 1:
            reach = x @ np.array([float(v) for v in a])
            if float(b) - reach.max() < float(BOX_ROOM) * float(np.abs(reach).max()):
                rows.append((a, b))
    return rows


__all__ = ["FAMILY", "METHOD", "polynomial_sets"]
