"""Larger sets than the first that was proved: the shield should act as rarely as the truth allows.

A portfolio stops at its first proof. Here the search goes on: the proved set is grown
(`nprl.shields.synthesis.sets.hulls`), then the other methods' candidates are looked at, each proved only if
it is larger, and grown again. Every certificate that is given is proved, goal by goal, and larger
than the one before; as with all synthesis it counts once a checker has read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain

import numpy as np

from nprl.lang.ranges import DomainError
from nprl.model import Model
from nprl.shields.certificate import Certificate, CertificateError
from nprl.shields.polynomial import NotPolynomial, polynomial
from nprl.shields.synthesis.budget import Budget, OutOfTime
from nprl.shields.synthesis.candidate import Candidate, candidates
from nprl.shields.synthesis.certify import certify
from nprl.shields.synthesis.proofs.search import NotProved
from nprl.shields.synthesis.proposal import kept_polytope
from nprl.shields.synthesis.sets.hulls import grown
from nprl.shields.synthesis.views.equilibrium import equilibria
from nprl.shields.synthesis.views.linearise import inclusion
from nprl.shields.synthesis.views.pieces import pieces
from nprl.shields.synthesis.views.polytope import HULL_DIMENSIONS
from nprl.shields.synthesis.views.problem import Unsuitable, problem_of
from nprl.shields.synthesis.views.volume import polytope_volume, row_of, volume

GROWN = "polytope, grown"
LEAST = 0.02
"""A set is worth a proof if it is larger by this part."""
SHARE = 0.4
"""Of the time that is left, for one growing, and for one proof of another method's candidate."""


def size(certificate: Certificate) -> float:
    """The share of the safe states, within the ranges, that the set holds (plans left out); for a report.

    By formula, or by sampling the ranges, with the same points for all sets of a model. Where the
    safe set is no polytope of at most six dimensions it is the share of the ranges.
    """
    shield = certificate.shield
    own = Candidate(shield.family, shield.invariant, shield.backup)
    return volume(certificate.model, own).value / _whole(certificate.model)


def larger(
    certificate: Certificate,
    seconds: float = 60.0,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Iterator[Certificate]:
    """Certificates of the same model, each of a larger set than the one before; none where none was found.

    ``seconds`` limits candidates and proofs together. Plans of the given certificate are kept.

    Raises:
        ValueError: for a time that is not positive.
    """
    if not seconds > 0:
        raise ValueError(f"seconds is positive; got {seconds}")
    say = progress or (lambda _: None)
    budget, best, model = Budget(seconds), certificate, certificate.model
    most = size(certificate)
    if (1 + LEAST) * most > 1:  # next to nothing is left
        return
    found = chain(_grown(best, budget, seed), _others(model, budget, seed))
    while (candidate := _next(found)) is not None and budget.left() > 0:
        share = volume(model, candidate).value / _whole(model)
        if share < (1 + LEAST) * most:
            continue
        method = str(candidate.notes.get("method", candidate.family))
        say(f"larger: {method}, {100 * share:.1f} % instead of {100 * most:.1f} %")
        part = budget.left() if method == GROWN else SHARE * budget.left()
        try:
            proved = certify(model, candidate, part)
        except (NotProved, DomainError, CertificateError) as error:
            say(f"not proved: {' '.join(str(error).split())[:200]}")
            continue
        best, most = (
            replace(proved, shield=replace(proved.shield, plans=certificate.shield.plans)),
            share,
        )
        yield best
        found = chain(_grown(best, budget, seed), found)


def _next(found: Iterator[Candidate]) -> Candidate | None:
    try:
        return next(found, None)
    except OutOfTime:
        return None


def _others(model: Model, budget: Budget, seed: int) -> Iterator[Candidate]:
    """Those of the whole portfolio."""
    try:
        yield from candidates(model, seed, budget)
    except Unsuitable:
        return


def _grown(certificate: Certificate, budget: Budget, seed: int) -> Iterator[Candidate]:
    """The set grown, where it is one polytope that growing is made for."""
    model, invariant = certificate.model, certificate.shield.invariant
    if model.choices is not None or len(invariant) > 1:
        return
    try:
        rows = [row_of(polynomial(g), model.state_names) for g in invariant[0]]
        split = pieces(model)
    except (NotPolynomial, Unsuitable):
        return
    a = np.array([[float(v) for v in row[0]] for row in rows if row is not None])
    b = np.array([float(row[1]) for row in rows if row is not None])
    if len(a) < len(rows):
        return
    for piece in split:
        try:
            problem = problem_of(piece)
            maps = inclusion(problem, equilibria(problem)[0], seed=seed)
        except Unsuitable:
            continue
        level = b - a @ maps.centre
        if (level <= 0).any():
            continue
        h = grown(problem, maps, a * maps.unit / level[:, None], budget.part(SHARE), seed)
        if h is not None:
            yield from kept_polytope(problem, maps, h, GROWN, seed, budget)


def _whole(model: Model) -> float:
    """The volume of the safe states within the ranges; of the ranges, where that is not known."""
    try:
        if len(model.state) <= HULL_DIMENSIONS:
            return polytope_volume(problem_of(replace(model, choices=None)).rows)
    except Unsuitable:
        pass
    return float(np.prod([float(c.high - c.low) for c in model.state]))


__all__ = ["larger", "size"]
