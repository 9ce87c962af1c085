"""Backups that keep a polytope: one affine gain, clipped or not, found by a linear program over sample points.

At a state x each row of the polytope allows the inputs u with ``alpha(x) - beta(x).u >= 0``, at the
worst corner of the disturbance. A gain that satisfies all of them at vertices, facets and inside is
proposed; the proof is later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_matrix

from nprl.lang.build import clip
from nprl.lang.terms import Term
from nprl.shields.synthesis.budget import Budget
from nprl.shields.synthesis.views.linearise import Inclusion
from nprl.shields.synthesis.views.numeric import Array
from nprl.shields.synthesis.views.polytope import Polytope, affine_term
from nprl.shields.synthesis.views.problem import Problem

GOOD = 0.02
"""A margin that is as good as any larger one, relative to the row's range over the set."""
LEAST = 4e-6
"""The least margin with which a gain is proposed."""
BATCH = 400
NEAR_ZERO = 0.02


@dataclass(frozen=True)
class Responses:
    """How each row of a polytope (its next value, over its range) responds to the input at sample points.

    The row's next value is ``scale * (alpha - beta.u)``; shapes: x (N, n), alpha (N, r), beta (N,
    r, m), scale (r,).
    """

    x: Array
    alpha: Array
    beta: Array
    scale: Array

    def margin(self, u: Array) -> Array:
        """The least row at each point under inputs u (N, m); shape (N,)."""
        return np.asarray((self.alpha - np.einsum("krm,km->kr", self.beta, u)).min(axis=1))


def responses(problem: Problem, polytope: Polytope, x: Array) -> Responses | None:
    """The responses at points x (N, n) of the polytope; None for a step that is not affine in the input."""
    h, b = polytope.arrays()
    scale = row_scales(polytope, x)
    middle = np.broadcast_to((problem.u_low + problem.u_high) / 2, (len(x), problem.m))
    alphas, betas = [], []
    for w in problem.w:
        f, _, by_u = problem.linearised(x, middle, w)
        for corner in (problem.u_low, problem.u_high):
            u = np.broadcast_to(corner, middle.shape)
            straight = f + np.einsum("knm,km->kn", by_u, u - middle)
            off = np.abs(problem.next(x, u, w) - straight).max(axis=0)
            if (off > 1e-9 * np.maximum(np.abs(straight).max(axis=0), 1e-9)).any():
                return None
        free = f - np.einsum("knm,km->kn", by_u, middle)
        alphas.append((b - free @ h.T) / scale)
        betas.append(np.einsum("rn,knm->krm", h, by_u) / scale[:, None])
    if all(np.allclose(beta, betas[0], rtol=0, atol=1e-12) for beta in betas):
        return Responses(x, np.minimum.reduce(alphas), betas[0], scale)
    return Responses(
        np.concatenate([x] * len(alphas)), np.concatenate(alphas), np.concatenate(betas), scale
    )


def hopeless(problem: Problem, seen: Responses) -> bool:
    """Whether at some point no input keeps all rows by `LEAST` (told for one input only)."""
    if problem.m == 0:
        return bool((seen.alpha < LEAST).any())
    if problem.m != 1:
        return False
    beta, room = seen.beta[:, :, 0], seen.alpha - LEAST
    at = room / np.where(beta == 0, 1.0, beta)
    low = np.where(beta < 0, at, problem.u_low[0]).max(axis=1)
    high = np.where(beta > 0, at, problem.u_high[0]).min(axis=1)
    flat = np.where(beta == 0, room, 0.0).min(axis=1)
    low, high = np.maximum(low, problem.u_low[0]), np.minimum(high, problem.u_high[0])
    return bool(((low > high) | (flat < 0)).any())


def row_scales(polytope: Polytope, x: Array) -> Array:
    """How far each row reaches over the points."""
    h, b = polytope.arrays()
    return np.asarray(np.maximum((b - x @ h.T).max(axis=0), 1e-12))


def gain_backup(
    problem: Problem,
    seen: Responses,
    *,
    saturated: bool,
    digits: Sequence[int] = (2, 3, 4, 6, 9),
    budget: Budget | None = None,
) -> tuple[Term, ...] | None:
    """A gain under which all rows keep a margin, as terms in units; None if none was found.

    ``saturated`` clips to the inputs' bounds (one input only); otherwise the bounds are rows, too.
    ``digits`` are the significant digits to try.

    Raises:
        OutOfTime: where the budget's time is over.
    """
    if problem.m == 0:  # whether the system keeps itself
        return None if hopeless(problem, seen) else ()
    if saturated and problem.m > 1:
        return None
    middle = seen.x.mean(axis=0)
    unit = np.maximum(np.abs(seen.x - middle).max(axis=0), 1e-12)
    found = _program(problem, seen, (seen.x - middle) / unit, saturated, budget or Budget())
    if found is None:
        return None
    k, c, target = found
    reach = (problem.u_high - problem.u_low) / 2
    gain = k / unit
    shift = c - gain @ middle
    full = np.clip(seen.x @ gain.T + shift, problem.u_low, problem.u_high)
    least = max(min(target / 4, float(seen.margin(full).min()) / 2), LEAST)
    for count in digits:
        exact = [
            [_decimal(v, count, r / unit[i]) for i, v in enumerate(row)]
            for row, r in zip(gain, reach, strict=True)
        ]
        short = np.array([[float(v) for v in row] for row in exact]).reshape(gain.shape)
        for keep in (NEAR_ZERO, 0.0):  # without a small constant, if that will do
            constant = [
                _decimal(v if abs(v) > keep * r else 0.0, count, r)
                for v, r in zip(shift, reach, strict=True)
            ]
            u = seen.x @ short.T + np.array([float(v) for v in constant])
            if not saturated and ((u < problem.u_low) | (u > problem.u_high)).any():
                continue
            margin = float(seen.margin(np.clip(u, problem.u_low, problem.u_high)).min())
            if margin >= least:
                return _terms(problem, exact, constant, saturated)
    return None


def gain_terms(
    problem: Problem, maps: Inclusion, k: Array, c: Array, digits: int
) -> tuple[Term, ...]:
    """The backup ``v = K z + c`` of an inclusion's coordinates, as terms in units, in short decimals."""
    gain = maps.reach[:, None] * k / maps.unit
    shift = maps.input_centre + maps.reach * c - gain @ maps.centre
    exact = [
        [_decimal(v, digits, r / unit) for v, unit in zip(row, maps.unit, strict=True)]
        for row, r in zip(gain, maps.reach, strict=True)
    ]
    constant = [_decimal(v, digits, r) for v, r in zip(shift, maps.reach, strict=True)]
    return _terms(problem, exact, constant, saturated=False)


def _decimal(value: float, digits: int, unit: float) -> Fraction:
    """``value`` with some significant digits; 0 where it is next to nothing beside ``unit``."""
    if abs(value) < 1e-5 * unit:
        return Fraction(0)
    return Fraction(f"{value:.{digits - 1}e}")


def _terms(
    problem: Problem, gain: list[list[Fraction]], constant: list[Fraction], saturated: bool
) -> tuple[Term, ...]:
    names = problem.model.state_names
    terms: list[Term] = []
    for row, c, coordinate in zip(gain, constant, problem.model.action, strict=True):
        t = affine_term(list(zip(row, names, strict=True)), c)
        terms.append(clip(t, coordinate.low, coordinate.high) if saturated else t)
    return tuple(terms)


def _program(
    problem: Problem, seen: Responses, z: Array, saturated: bool, budget: Budget
) -> tuple[Array, Array, float] | None:
    """The gain (m, n) and constant (m,) on z with the largest margin up to `GOOD`, of least size; and the margin."""
    count, rows = seen.alpha.shape
    m, n = problem.m, z.shape[1]
    needed = np.ones((count, rows), dtype=bool)
    if saturated:
        beta, alpha = seen.beta[:, :, 0], seen.alpha
        low, high = alpha - beta * problem.u_low[0], alpha - beta * problem.u_high[0]
        if (np.maximum(low, high) < LEAST).any():
            return None
        # an upper bound on u at or above the largest input, or a lower one at or below the least,
        # says nothing
        needed = np.minimum(low, high) < LEAST
    k_index, r_index = np.nonzero(needed)
    if not len(k_index):
        return np.zeros((m, n)), (problem.u_low + problem.u_high) / 2, GOOD
    beta = seen.beta[k_index, r_index]
    one = np.hstack([z, np.ones((count, 1))])
    flat = (beta[:, :, None] * one[k_index][:, None, :]).reshape(len(k_index), m * (n + 1))
    left = np.hstack([flat, np.ones((len(flat), 1))])  # beta.(K z + c) + t <= alpha
    right = seen.alpha[k_index, r_index]
    if not saturated:
        reach = (problem.u_high - problem.u_low) / 2
        for j in range(m):
            block = np.zeros((count, m * (n + 1) + 1))
            block[:, j * (n + 1) : (j + 1) * (n + 1)] = one / reach[j]
            left = np.vstack([left, block, -block])
            slack = 1e-3
            right = np.concatenate(
                [
                    right,
                    np.full(count, problem.u_high[j] / reach[j] - slack),
                    np.full(count, -problem.u_low[j] / reach[j] - slack),
                ]
            )
    size = np.repeat((problem.u_high - problem.u_low) / 2, n + 1)
    best = _cutting(
        left, right, np.concatenate([np.zeros(m * (n + 1)), [-1.0]]), size, None, budget
    )
    if best is None or best[-1] < 2 * LEAST:
        return None
    margin = float(best[-1])
    short = _cutting(left, right, np.zeros(m * (n + 1) + 1), size, margin / 2, budget)
    if short is not None:
        best, margin = short, margin / 2
    matrix = best[:-1].reshape(m, n + 1)
    return matrix[:, :n], matrix[:, n], margin


def _cutting(
    left: Array, right: Array, cost: Array, size: Array, least: float | None, budget: Budget
) -> Array | None:
    """Solve with few of the many rows, adding the violated ones; the last variable is the margin.

    Without a cost the sum of |entries| / size is least, with the margin at ``least``.
    """
    k = len(size)
    used = np.unique(np.linspace(0, len(left) - 1, min(BATCH, len(left))).astype(int))
    norms = np.vstack(
        [
            np.hstack([np.diag(1 / size), np.zeros((k, 1)), -np.eye(k)]),
            np.hstack([-np.diag(1 / size), np.zeros((k, 1)), -np.eye(k)]),
        ]
    )
    bounds = [(-1e4 * s, 1e4 * s) for s in size]
    bounds.append((None, GOOD) if least is None else (least, least))
    bounds += [(0, None)] * k
    weights = np.concatenate([cost, np.full(k, 0.0 if least is None else 1.0)])
    for _ in range(60):
        padded = np.hstack([left[used], np.zeros((len(used), k))])
        result = linprog(
            weights,
            A_ub=csr_matrix(np.vstack([padded, norms])),
            b_ub=np.concatenate([right[used], np.zeros(2 * k)]),
            bounds=bounds,
            method="highs",
            options=budget.options("gain over sample points"),
        )
        if result.status != 0:
            return None
        x = np.asarray(result.x[: k + 1])
        over = left @ x - right
        worst = np.argsort(-over)[:BATCH]
        more = np.union1d(used, worst[over[worst] > 1e-7])
        if len(more) == len(used):
            return x
        used = more
    return None
