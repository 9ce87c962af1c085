"""Sets that a given program may keep alone: candidates from its closed loop.

Polytopes round the orbits of the starts, in few dimensions or as products of such, where the program
leaves groups of coordinates that do not act on each other; the invariant of the shield, shrunk; the
maximal admissible polytope of the program's gain at the equilibrium; Lyapunov ellipsoids.
Each is held against sample points, with the program in the place of the backup; the proof is later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction

import numpy as np
from scipy.linalg import LinAlgError, solve_discrete_lyapunov

from nprl.lang.terms import Clip, Num, Term, Var
from nprl.shields.certificate import Certificate
from nprl.shields.polynomial import NotPolynomial, Polynomial, polynomial
from nprl.shields.sequent import assign, expanded
from nprl.shields.synthesis.candidate import Candidate
from nprl.shields.synthesis.sets.decoupled import METHOD as PRODUCT
from nprl.shields.synthesis.sets.decoupled import decoupled, groups
from nprl.shields.synthesis.sets.lqr import admissible_set
from nprl.shields.synthesis.sets.orbits import MOST, round_orbits
from nprl.shields.synthesis.trial import rays, trial
from nprl.shields.synthesis.views.linearise import Inclusion, Point, equilibria, inclusion
from nprl.shields.synthesis.views.numeric import Array, jacobian, values
from nprl.shields.synthesis.views.polytope import (
    affine_term,
    exact_polytope,
    nearest,
    row_term,
)
from nprl.shields.synthesis.views.problem import Problem, Unsuitable, problem_of
from nprl.shields.synthesis.views.quadratic import concave_form, degree

FACTORS = (1.0, 0.99, 0.97, 0.94, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5)
LEVELS = 8
WEIGHTS = 12
RAYS = 1_500
RESTING = 2_000
BITS = 2.0**-20


def closed_loop_candidates(
    certificate: Certificate, policy: Sequence[Term], seed: int = 0
) -> Iterator[Candidate]:
    """Candidates with the policy as their backup, whose set holds the initial box at sample points.

    ``policy`` are terms over the state, in units, within the action's bounds. None come for a model
    that no method fits.
    """
    try:
        problem = problem_of(certificate.model)
        point = _rest(problem, policy) or equilibria(problem)[0]
        maps = inclusion(problem, point, seed=seed)
    except Unsuitable:
        return
    for method, rows in _sets(certificate, problem, point, maps, tuple(policy), seed):
        found = _tried(problem, maps, rows, tuple(policy), method, seed)
        if found is not None:
            yield found


def _rest(problem: Problem, policy: Sequence[Term]) -> Point | None:
    """Where the closed loop rests, from the middle of the starts; None if not well inside S."""
    names = problem.model.state_names
    x = ((problem.init_low + problem.init_high) / 2)[None]
    for _ in range(RESTING):
        u = values(policy, names, x)
        x, before = problem.next(x, u, problem.w[0]), x
        if not (np.isfinite(x).all() and (problem.h @ x[0] <= problem.b).all()):
            return None
    span = np.abs(problem.h) @ np.maximum(np.abs(x[0]), 1.0)
    margin = float(((problem.b - problem.h @ x[0]) / span).min())
    if margin < 1e-3 or np.abs(x - before).max() > 1e-6:
        return None
    x = np.round(x * 2.0**24) / 2.0**24
    u = values(policy, names, x)
    reach = (problem.u_high - problem.u_low) / 2
    if (np.minimum(u[0] - problem.u_low, problem.u_high - u[0]) < 1e-3 * reach).any():
        return None
    return Point(x[0], u[0], problem.next(x, u, problem.w[0])[0] - x[0], margin)


def _sets(
    certificate: Certificate,
    problem: Problem,
    point: Point,
    maps: Inclusion,
    policy: tuple[Term, ...],
    seed: int,
) -> Iterator[tuple[str, tuple[Term, ...]]]:
    names = problem.model.state_names
    for backup in dict.fromkeys((_bare(policy), policy)):
        with suppress(Unsuitable):
            yield from _round(_closed(problem, backup), seed)
    for factor in FACTORS:
        rows = _shrunk(certificate, problem, point.x, Fraction(factor).limit_denominator(100))
        if rows is not None:
            yield f"the shield's invariant times {factor:g}", rows
    _, slopes = jacobian(policy, names, point.x[None])
    gain = slopes[0] * maps.unit / maps.reach[:, None]
    init = (np.vstack([problem.init_low, problem.init_high]) - maps.centre) / maps.unit
    h = admissible_set(maps, gain, init) if np.isfinite(gain).all() else None
    if h is not None:
        polytope = exact_polytope(h, maps.centre, maps.unit, problem)
        yield "admissible polytope of the program's gain", polytope.terms(names)
    for row in _ellipsoids(problem, maps, gain, seed):
        yield "Lyapunov ellipsoid of the program's gain", (row,)


def _round(alone: Problem, seed: int) -> Iterator[tuple[str, tuple[Term, ...]]]:
    """Polytopes round the orbits of a closed loop, or products of such."""
    if len(groups(alone, seed)) > 1:
        for found in decoupled(alone, round_orbits, seed):
            yield f"{PRODUCT}, each round its orbits", found.invariant[0]
    elif alone.n <= MOST:
        for found in round_orbits(alone, seed):
            yield str(found.notes["method"]), found.invariant[0]


def _tried(
    problem: Problem,
    maps: Inclusion,
    rows: tuple[Term, ...],
    policy: tuple[Term, ...],
    method: str,
    seed: int,
) -> Candidate | None:
    """The candidate, if the closed loop keeps it at sample points, with the initial box inside.

    Where the clips of the policy do nothing at these points it is proved without them.
    """
    names = problem.model.state_names
    if not (values(rows, names, maps.centre[None]) > 0).all():
        return None
    x = rays(rows, names, maps.centre, maps.unit, RAYS, seed)
    for backup in dict.fromkeys((_bare(policy), policy)):
        result = trial(problem, rows, backup, x)
        if result.good:
            curved = any(degree(polynomial(g)) > 1 for g in rows)
            notes = {"method": method, "kept": result.kept, "init": result.init}
            return Candidate("ellipsoid" if curved else "polytope", (rows,), backup, notes)
    return None


def _bare(policy: tuple[Term, ...]) -> tuple[Term, ...]:
    """The policy before it is clipped."""
    return tuple(t.arg if isinstance(t, Clip) else t for t in policy)


def _shrunk(
    certificate: Certificate, problem: Problem, centre: Array, factor: Fraction
) -> tuple[Term, ...] | None:
    """The one part of the invariant, shrunk about a centre; None for other shapes."""
    if len(certificate.shield.invariant) != 1:
        return None
    part = certificate.shield.invariant[0]
    if factor == 1:
        return part
    forms = [polynomial(expanded(g)) for g in part]
    if len(forms) == 1 and degree(forms[0]) == 2:
        top = _greatest(forms[0], problem)
        return None if top is None else (part[0] - (1 - factor**2) * top,)
    if any(degree(p) > 1 for p in forms):
        return None
    names = problem.model.state_names
    middle = [Fraction(float(v)) for v in centre]
    rows = []
    for p in forms:
        a = tuple(-p.get(((n, 1),), Fraction(0)) for n in names)
        b = p.get((), Fraction(0))
        at = sum((v * c for v, c in zip(a, middle, strict=True)), Fraction(0))
        room = b - at
        if room <= 0:
            return None
        rows.append((a, nearest(float(at + factor * room), float(room) * BITS)))
    return tuple(row_term(row, names) for row in rows)


def _greatest(p: Polynomial, problem: Problem) -> Fraction | None:
    """A short number at the greatest value of a concave quadratic polynomial."""
    names = problem.model.state_names
    q, b, c0 = concave_form(p, names)
    try:
        top = c0 + float(b @ np.linalg.solve(q, b)) / 4
    except LinAlgError:
        return None
    return nearest(top, top * BITS) if top > 0 else None


def _ellipsoids(problem: Problem, maps: Inclusion, gain: Array, seed: int) -> Iterator[Term]:
    """``level - z' P z``: from the largest level within S to the least that holds the starts."""
    closed = (maps.a + maps.b @ gain).mean(axis=0)
    if not np.abs(np.linalg.eigvals(closed)).max() < 1:
        return
    rng = np.random.default_rng(seed)
    starts = (problem.init_vertices() - maps.centre) / maps.unit
    for i in range(WEIGHTS):
        weights = np.exp(rng.uniform(-3.0, 3.0, problem.n)) if i else np.ones(problem.n)
        try:
            p = solve_discrete_lyapunov(closed.T, np.diag(weights))
            most = 1 / np.einsum("ri,ij,rj->r", maps.h, np.linalg.inv(p), maps.h).max()
        except (LinAlgError, ValueError):
            continue
        least = np.einsum("ki,ij,kj->k", starts, p, starts).max() * 1.0005
        if not 0 < least <= most * 0.999:
            continue
        for level in np.geomspace(most * 0.999, least, LEVELS):
            yield _quadratic(problem, maps, p / level)


def _quadratic(problem: Problem, maps: Inclusion, p: Array) -> Term:
    """``1 - z' p z`` in units, in short numbers."""
    shape = p / np.outer(maps.unit, maps.unit)
    half = np.sqrt(np.diag(np.linalg.inv(shape)))
    names = problem.model.state_names
    away: list[Term] = [
        Var(n) - Fraction(float(c)) if c else Var(n)
        for n, c in zip(names, maps.centre, strict=True)
    ]
    total: Term = Num(Fraction(1))
    for i, one in enumerate(away):
        for j in range(i, len(away)):
            value = float(shape[i, j]) * (1 if i == j else 2)
            c = nearest(value, BITS / float(half[i] * half[j]))
            if c:
                total = total - c * (one**2 if i == j else one * away[j])
    return total


def _closed(problem: Problem, policy: tuple[Term, ...]) -> Problem:
    """The closed loop as a problem of its own, without inputs."""
    model = problem.model
    acts = dict(zip(model.action_names, policy, strict=True))
    named = zip(model.state_names, model.steps, strict=True)
    steps = {n: _short(assign(t, acts)) for n, t in named}
    return problem_of(replace(model, action=(), step=steps, reward=Num(Fraction(0))))


def _short(t: Term) -> Term:
    """Without what cancels, if it is affine: what is not read ties no coordinates together."""
    try:
        p = polynomial(t)
    except NotPolynomial:
        return t
    if degree(p) > 1:
        return t
    return affine_term([(c, m[0][0]) for m, c in p.items() if m], p.get((), Fraction(0)))
