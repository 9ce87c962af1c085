"""Search for the combination that closes a polynomial leaf: a linear program, then exact arithmetic.

Given polynomial premises and a conclusion p on a box, it looks for multipliers c >= 0 with the
remainder ``p - sum c h`` nonnegative on the box: at sample points of the variables that occur
nonlinearly, with the others at their worst ends (both linear in c). What the linear program
proposes is rounded and then checked exactly, by a bound that is a combination itself;
nothing here is trusted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog

from nprl.shields.polynomial import (
    Polynomial,
    Range,
    add,
    names,
)
from nprl.shields.synthesis.proofs import bernstein

Floats = npt.NDArray[np.float64]
MAX_MULTIPLIER = 1e6
MAX_SAMPLES, MAX_CORNERS = 800, 2**14
MANY = 5
"""Variables of products beyond which products are first bounded apart, not sampled."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Multipliers by premise number, and the exact lower bound of the remainder that they leave."""

    multipliers: dict[int, Fraction]
    slack: Fraction
    remainder: Polynomial


def nonlinear_variables(polynomials: Sequence[Polynomial]) -> list[str]:
    """The variables of monomials of degree two or more."""
    return sorted({n for p in polynomials for m in p if sum(k for _, k in m) > 1 for n, _ in m})


def remainder_bound(r: Polynomial, box: Mapping[str, Range]) -> Fraction | None:
    """A bound of a remainder that products of bounds prove; None where there is none.

    A bound that is negative may be one in floats: it only says how far off the remainder is.
    """
    if any(v not in box for v in names(r)):
        return None
    if not nonlinear_variables([r]):
        return bernstein.lower_bound(r, box)
    guess = float_bound(r, box)
    return Fraction(guess) if -math.inf < guess < 0 else bernstein.bound(r, box)


def _float_lower_bound(r: Polynomial, box: Mapping[str, Range]) -> float:
    total = 0.0
    for m, c in r.items():
        low, high = 1.0, 1.0
        for n, k in m:
            a, b = float(box[n][0]), float(box[n][1])
            ends = sorted((a**k, b**k))
            if k % 2 == 0 and a < 0 < b:
                ends[0] = 0.0
            corners = [p * q for p in (low, high) for q in ends]
            low, high = min(corners), max(corners)
        total += float(c) * (low if c > 0 else high)
    return total


def float_bound(r: Polynomial, box: Mapping[str, Range]) -> float:
    """`bernstein.bound` in floats, for the search; minus infinity where a form is too large."""
    rest, parts = bernstein.components(r)
    total = _float_lower_bound(rest, box)
    return total + sum(max(_float_form(p, box), _float_lower_bound(p, box)) for p in parts)


def _float_form(part: Polynomial, box: Mapping[str, Range]) -> float:
    """The least Bernstein coefficient."""
    order = sorted(names(part))
    degrees = [max(dict(m).get(v, 0) for m in part) for v in order]
    size = math.prod(d + 1 for d in degrees)
    if len(order) > bernstein.MAX_VARIABLES or size > bernstein.MAX_COEFFICIENTS:
        return -math.inf
    table = np.zeros([d + 1 for d in degrees])
    for m, c in part.items():
        table[tuple(dict(m).get(v, 0) for v in order)] = float(c)
    for axis, (v, n) in enumerate(zip(order, degrees, strict=True)):
        low, high = float(box[v][0]), float(box[v][1])
        change = bernstein_matrix(n, low, high - low)
        table = np.moveaxis(np.tensordot(table, change, axes=([axis], [0])), -1, axis)
    return float(table.min())


def bernstein_matrix(n: int, low: float, width: float) -> Floats:
    """Row k: the Bernstein coefficients of degree n of ``(low + width s)^k``."""
    result = np.zeros((n + 1, n + 1))
    for k in range(n + 1):
        for j in range(k + 1):
            part = math.comb(k, j) * low ** (k - j) * width**j
            for i in range(j, n + 1):
                result[k, i] += part * math.comb(i, j) / math.comb(n, j)
    return result


def combine(
    goal: Polynomial,
    premises: Mapping[int, Polynomial],
    box: Mapping[str, Range],
) -> Proposal | None:
    """Multipliers that close ``goal`` (>= 0, or > 0), or the best found (slack < 0); None: no candidate.

    ``premises`` are the polynomials that may be used, by number.
    """
    used = {
        k: h
        for k, h in premises.items()
        if all(v in box for m in h if len(m) > 1 or (m and m[0][1] > 1) for v, _ in m)
    }
    if not all(v in box for v in nonlinear_variables([goal])):
        return None
    polynomials = [goal, *used.values()]
    everything = {v for p in polynomials for v in names(p)}
    bounded = {v: box[v] for v in everything if v in box}
    mixed = [v for v in nonlinear_variables(polynomials) if v in bounded]
    if len(mixed) > MANY and all(v in box for v in nonlinear_variables([goal])):
        found = _apart(goal, used, box)
        if closes(found, True):
            return found
    free = sorted(everything - set(mixed))
    points = _samples([bounded[v] for v in mixed])
    return _proposal(goal, used, box, _solve(goal, used, bounded, mixed, free, points))


def _apart(
    goal: Polynomial, premises: Mapping[int, Polynomial], box: Mapping[str, Range]
) -> Proposal | None:
    """By affine premises alone, with the goal's products at their worst on the box."""
    curved = {m: c for m, c in goal.items() if sum(k for _, k in m) > 1}
    straight = {m: c for m, c in goal.items() if m not in curved}
    least = Fraction(_float_lower_bound(curved, box))
    flat = {k: h for k, h in premises.items() if all(sum(p for _, p in m) <= 1 for m in h)}
    lowered = add(straight, {(): least})
    everything = {v for p in (lowered, *flat.values()) for v in names(p)}
    bounded = {v: box[v] for v in everything if v in box}
    solution = _solve(lowered, flat, bounded, [], sorted(everything), np.zeros((1, 0)))
    found = _proposal(lowered, flat, box, solution)
    return None if found is None else _rated(goal, premises, found.multipliers, box)


def _proposal(
    goal: Polynomial,
    premises: Mapping[int, Polynomial],
    box: Mapping[str, Range],
    solution: Floats | None,
) -> Proposal | None:
    """What the linear program's solution comes to in exact numbers."""
    if solution is None:
        return None
    multipliers = {
        k: Fraction(round(c * 2**36), 2**36)
        for k, c in zip(premises, solution, strict=True)
        if c > 1e-9
    }
    multipliers = {k: c for k, c in multipliers.items() if c > 0}
    r = _rest(goal, premises, multipliers)
    if any(v not in box for v in names(r)):
        fixed = _balance(goal, premises, multipliers, box)
        if fixed is None:
            return None
        multipliers = fixed
    return _rated(goal, premises, multipliers, box)


def _rated(
    goal: Polynomial,
    premises: Mapping[int, Polynomial],
    multipliers: dict[int, Fraction],
    box: Mapping[str, Range],
) -> Proposal | None:
    """The multipliers with what they leave."""
    r = _rest(goal, premises, multipliers)
    slack = remainder_bound(r, box)
    return None if slack is None else Proposal(multipliers, slack, r)


def _rest(
    goal: Polynomial, premises: Mapping[int, Polynomial], multipliers: Mapping[int, Fraction]
) -> Polynomial:
    for k, c in multipliers.items():
        goal = add(goal, premises[k], -c)
    return goal


def _balance(
    goal: Polynomial,
    premises: Mapping[int, Polynomial],
    multipliers: Mapping[int, Fraction],
    box: Mapping[str, Range],
) -> dict[int, Fraction] | None:
    """Multipliers near these that cancel every unbounded variable exactly; None: there are none."""
    support = sorted(multipliers, key=lambda k: -multipliers[k])
    rows = sorted(
        {
            m
            for p in (goal, *(premises[k] for k in support))
            for m in p
            if any(n not in box for n, _ in m)
        }
    )
    zero = Fraction(0)
    table = [[*(premises[k].get(m, zero) for k in support), goal.get(m, zero)] for m in rows]
    pivots: list[int] = []
    for column in range(len(support)):
        row = next((i for i in range(len(pivots), len(table)) if table[i][column]), None)
        if row is None:
            continue
        at = len(pivots)
        table[at], table[row] = table[row], table[at]
        lead = table[at][column]
        table[at] = [v / lead for v in table[at]]
        for i, other in enumerate(table):
            if i != at and other[column]:
                f = other[column]
                table[i] = [v - f * w for v, w in zip(other, table[at], strict=True)]
        pivots.append(column)
    if any(row[-1] for row in table[len(pivots) :]):
        return None
    kept = [c for c in range(len(support)) if c not in pivots]
    solved = {support[c]: multipliers[support[c]] for c in kept}
    for line, pivot in zip(table, pivots, strict=False):
        rest = sum((line[c] * solved[support[c]] for c in kept), zero)
        solved[support[pivot]] = line[-1] - rest
    return solved if all(c >= 0 for c in solved.values()) else None


def closes(proposal: Proposal | None, strict: bool) -> bool:
    """Whether the proposal proves its goal."""
    return proposal is not None and (proposal.slack > 0 or (proposal.slack == 0 and not strict))


def _samples(box: Sequence[Range]) -> Floats:
    if not box:
        return np.zeros((1, 0))
    per_axis = 7 if len(box) == 1 else 4 if len(box) <= 3 else 3 if len(box) <= 5 else 2
    if 2 ** len(box) > MAX_CORNERS:
        ends = np.array([[float(low), float(high)] for low, high in box])
        sides = np.random.default_rng(0).integers(0, 2, (MAX_SAMPLES, len(box)))
        return np.asarray(ends[np.arange(len(box)), sides])
    axes = [np.linspace(float(low), float(high), per_axis) for low, high in box]
    grid = np.array(list(product(*axes)))
    return grid if len(grid) <= MAX_SAMPLES else grid[:: len(grid) // MAX_SAMPLES + 1]


def values(p: Polynomial, order: Sequence[str], points: Floats) -> Floats:
    """A polynomial at points, in floats."""
    column = {v: points[:, i] for i, v in enumerate(order)}
    total = np.zeros(len(points))
    for m, c in p.items():
        part = np.full(len(points), float(c))
        for n, k in m:
            part = part * column[n] ** k
        total += part
    return total


def _solve(
    goal: Polynomial,
    premises: Mapping[int, Polynomial],
    box: Mapping[str, Range],
    mixed: Sequence[str],
    free: Sequence[str],
    points: Floats,
) -> Floats | None:
    """Maximise t: goal(s) - sum c h(s) - (worst of the linear rest) >= t at every sample s."""
    ours = set(mixed)

    place = {((v, 1),): i for i, v in enumerate(free)}

    def split(p: Polynomial) -> tuple[Floats, Floats]:
        linear = np.zeros(len(free))
        inner: Polynomial = {}
        for m, c in p.items():
            if m in place:
                linear[place[m]] = float(c)
            elif all(n in ours for n, _ in m):
                inner[m] = c
        return values(inner, mixed, points), linear

    base, base_linear = split(goal)
    columns = [split(h) for h in premises.values()]
    k, f, s = len(columns), len(free), len(points)
    # unknowns: c (k), plus and minus parts of the linear rest (2 f), t
    scale = [
        max(1e-12, float(np.abs(v).max(initial=0) + np.abs(w).max(initial=0))) for v, w in columns
    ]
    inner = (
        np.stack([v / q for (v, _), q in zip(columns, scale, strict=True)], 1)
        if k
        else np.zeros((s, 0))
    )
    outer = (
        np.stack([w / q for (_, w), q in zip(columns, scale, strict=True)], 1)
        if k
        else np.zeros((f, 0))
    )
    low = np.array([float(box[v][0]) if v in box else 0.0 for v in free])
    high = np.array([float(box[v][1]) if v in box else 0.0 for v in free])
    at_most = np.hstack([inner, -np.tile(low, (s, 1)), np.tile(high, (s, 1)), np.ones((s, 1))])
    equal = np.hstack([outer, np.eye(f), -np.eye(f), np.zeros((f, 1))])
    size = max(1e-9, float(np.abs(base).max(initial=0)), float(np.abs(base_linear).max(initial=0)))
    cost = np.zeros(k + 2 * f + 1)
    cost[:k] = 1e-7
    cost[-1] = -1.0
    rest = [(0, None if v in box else 0) for v in free]
    bounds = [(0, MAX_MULTIPLIER)] * k + rest + rest + [(None, 1.0)]
    answer = linprog(
        cost,
        A_ub=at_most,
        b_ub=base / size,
        A_eq=equal if f else None,
        b_eq=base_linear / size if f else None,
        bounds=bounds,
        method="highs",
    )
    if answer.status != 0:
        return None
    result: Floats = answer.x[:k] * size / np.array(scale) if k else np.zeros(0)
    return result


def variables_to_split(
    r: Polynomial, box: Mapping[str, Range], allowed: Sequence[str]
) -> list[str]:
    """The allowed variables, those first in which the remainder is most curved on the box."""

    def curvature(v: str) -> float:
        low, high = box[v]
        width = float(high - low)
        total = 0.0
        for m, c in r.items():
            power = dict(m).get(v, 0)
            degree = sum(k for _, k in m)
            if power and degree > 1:
                size = abs(float(c))
                for n, k in m:
                    reach = max(abs(float(e)) for e in box.get(n, (Fraction(1),)))
                    size *= max(reach, 1e-9) ** (k - (1 if n == v else 0))
                total += size * power * width
        return total

    weights = {v: curvature(v) for v in allowed}
    return sorted((v for v in allowed if weights[v] > 0), key=lambda v: -weights[v])


__all__ = ["Proposal", "closes", "combine", "remainder_bound", "variables_to_split"]
