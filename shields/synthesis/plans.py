"""Plans for a proved shield: programs that lead many safe states into its set within some steps.

Each is an LQR gain of its own weights, its request clipped to the inputs or answered by the nearest
choice (so that two choices are bang-bang control). From many gains those are picked that together
bring the most sample states of S into the set, one after the other, by the very rollouts that the
shield runs (`nprl.shields.rollout`). A plan is a guess, and need not be proved: it is looked at when
it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nprl.env.plant import Plant
from nprl.lang.build import clip
from nprl.lang.terms import Term
from nprl.model import Model
from nprl.shields.certificate import Certificate, CertificateError
from nprl.shields.plans import with_plans
from nprl.shields.rollout import Rollouts
from nprl.shields.synthesis.sets.gain import gain_terms
from nprl.shields.synthesis.sets.lqr import lqr_gain
from nprl.shields.synthesis.views.choices import answer, boxed
from nprl.shields.synthesis.views.equilibrium import equilibria
from nprl.shields.synthesis.views.linearise import inclusion
from nprl.shields.synthesis.views.numeric import Array
from nprl.shields.synthesis.views.pieces import pieces
from nprl.shields.synthesis.views.problem import Unsuitable, problem_of

Policy = tuple[Term, ...]
GAINS = 40
SAMPLES = 4_000
STEPS = 80
DIGITS = 3
LEAST = 0.03
"""Of the sampled states of S, plans must add so many to those in the set, to be of use."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Programs for plans, and what they give."""

    policies: tuple[Policy, ...]
    """The widest first: one term per action over the state, in units."""
    alone: float
    """The share of S that the set holds, by samples."""
    share: float
    """The share of S from which a plan of these programs leads into the set, or that it holds."""


def enlarged(
    certificate: Certificate, n: int = 6, steps: int = STEPS, seed: int = 0, least: float = LEAST
) -> Certificate:
    """The certificate with plans, where they add at least ``least`` of S; else as it is.

    Its proofs stay: plans need none. ``n``, ``steps`` and ``seed`` as `propose_plans` has them.
    """
    found = propose_plans(certificate, n, steps, seed)
    if not found.policies or found.share - found.alone < least:
        return certificate
    return with_plans(certificate, found.policies, steps)


def propose_plans(
    certificate: Certificate, n: int = 6, steps: int = STEPS, seed: int = 0
) -> Proposal:
    """At most ``n`` programs for plans of at most ``steps`` steps (1 to 200).

    Their values lie in the action's bounds, and are choices where the model has any. Fewer are
    found where no further one brings any more states into the set; none for a model that no linear
    method fits, or that plans cannot speak of (`nprl.shields.tube`). States are sampled in S within
    the ranges.
    """
    model = certificate.model
    x = _states(model, np.random.default_rng(seed + 1))
    policies = list(_policies(model, np.random.default_rng(seed)))
    try:
        rollouts = Rollouts(with_plans(certificate, policies or [certificate.shield.backup], steps))
    except CertificateError:
        return Proposal((), 0.0, 0.0)
    if not len(x):
        return Proposal((), 0.0, 0.0)
    lengths = np.array([rollouts.reach_batch(x, k) for k in range(rollouts.programs)])
    inside = (lengths == 0).any(axis=0)
    reached, covered = lengths >= 0, inside.copy()
    picked: list[Policy] = []
    while len(picked) < min(n, len(policies)):
        best = int(np.argmax((reached & ~covered).sum(axis=1)))
        if not (reached[best] & ~covered).any():
            break
        covered |= reached[best]
        picked.append(policies[best])
    return Proposal(tuple(picked), float(inside.mean()), float(covered.mean()))


def _states(model: Model, rng: np.random.Generator) -> Array:
    """Safe states, uniformly in the ranges; shape (N, d)."""
    low, high = (np.array([float(getattr(c, k)) for c in model.state]) for k in ("low", "high"))
    x = rng.uniform(low, high, (SAMPLES, len(low)))
    return x[Plant(model).verdict_batch(x)[0]]


def _policies(model: Model, rng: np.random.Generator) -> Iterator[Policy]:
    smooth = model if model.choices is None else boxed(model)
    for piece in pieces(smooth):
        try:
            problem = problem_of(piece)
            maps = inclusion(problem, equilibria(problem)[0], remainder=True)
        except Unsuitable:
            continue
        a, b = maps.a[0], maps.b[0]
        k, m = b.shape
        for _ in range(GAINS if m else 0):
            state = np.exp(rng.uniform(-4.0, 4.0, k))
            effort = np.exp(rng.uniform(-8.0, 1.0)) * np.exp(rng.uniform(-1.0, 1.0, m))
            gain = lqr_gain(a, b, state, effort)
            if gain is None:
                continue
            request = gain_terms(problem, maps, gain, np.zeros(m), DIGITS)
            if model.choices is not None:
                yield answer(model, request)
            else:
                bounds = zip(request, model.action, strict=True)
                yield tuple(clip(t, c.low, c.high) for t, c in bounds)
