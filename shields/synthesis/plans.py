"""Plans for rollouts: policies that lead many safe states into a proved set within some steps.

Each is an LQR gain of its own weights, its request clipped to the inputs or answered by the nearest
choice (so that two choices are bang-bang control). From many gains those are picked that together
bring the most sample states of S into the set, one after the other. A plan is a guess, and need not
be proved: a rollout is looked at when it is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.linalg import LinAlgError, solve_discrete_are

from nprl.lang.build import clip
from nprl.lang.floats import compile_batch
from nprl.lang.terms import Term
from nprl.model import Model
from nprl.shields.certificate import Certificate
from nprl.shields.synthesis.choices import answer, boxed
from nprl.shields.synthesis.equilibrium import equilibria
from nprl.shields.synthesis.gain import gain_terms
from nprl.shields.synthesis.linearise import inclusion
from nprl.shields.synthesis.numeric import Array, Mask, values
from nprl.shields.synthesis.pieces import pieces
from nprl.shields.synthesis.problem import Unsuitable, problem_of

Policy = tuple[Term, ...]
GAINS = 40
SAMPLES = 1_000
STEPS = 80
DIGITS = 3


def propose_plans(
    certificate: Certificate, n: int = 6, steps: int = STEPS, seed: int = 0
) -> tuple[Policy, ...]:
    """At most ``n`` policies, each one term per action over the state, in units; the widest first.

    A policy's values lie in the action's bounds, and are choices where the model has any. Fewer are
    returned where no further policy brings any more states into the set; none for a model that no
    linear method fits. States are sampled in S within the ranges, and disturbances are nominal.
    """
    model = certificate.model
    policies = list(_policies(model, np.random.default_rng(seed)))
    rollouts = Rollouts(certificate)
    x = rollouts.starts(np.random.default_rng(seed + 1))
    reached = [rollouts.led(policy, x, steps) for policy in policies]
    picked: list[Policy] = []
    covered = np.zeros(len(x), dtype=bool)
    for _ in range(min(n, len(policies))):
        gained = [int((r & ~covered).sum()) for r in reached]
        best = int(np.argmax(gained))
        if not gained[best]:
            break
        covered |= reached[best]
        picked.append(policies[best])
    return tuple(picked)


class Rollouts:
    """A certificate's model and set, compiled, for batches of rollouts in floats under nominal disturbances."""

    def __init__(self, certificate: Certificate) -> None:
        """Compile the step, the safe set and the rows."""
        self.certificate, model = certificate, certificate.model
        self.low = np.array([float(c.low) for c in model.state])
        self.high = np.array([float(c.high) for c in model.state])
        self._safe = compile_batch([model.safe], [model.state_names])
        self._names = (*model.state_names, *model.action_names, *model.disturbance_names)
        self._nominal = np.array([float(v) for v in model.nominal().values()])

    def led(self, policy: Sequence[Term], x: Array, steps: int) -> Mask:
        """From which states (N, k) a policy leads into the set within ``steps``, safe and in the ranges; (N,)."""
        model = self.certificate.model
        result = np.zeros(len(x), dtype=bool)
        index = np.arange(len(x))
        for turn in range(steps + 1):
            now = self.inside(x)
            result[index[now]] = True
            going = ~now & self.within(x)
            x, index = x[going], index[going]
            if turn == steps or not len(x):
                break
            u = values(policy, model.state_names, x)
            w = np.broadcast_to(self._nominal, (len(x), len(self._nominal)))
            x = values(model.steps, self._names, np.hstack([x, u, w]))
        return result

    def inside(self, x: Array) -> Mask:
        """Which states (N, k) lie in some part of the invariant; shape (N,)."""
        names = self.certificate.model.state_names
        parts = [(values(p, names, x) >= 0).all(axis=1) for p in self.certificate.shield.invariant]
        return np.asarray(np.any(parts, axis=0))

    def within(self, x: Array) -> Mask:
        """Which states (N, k) are safe and in the ranges; shape (N,)."""
        safe = self._safe(np.ascontiguousarray(x))[0]
        return np.asarray(((x >= self.low) & (x <= self.high)).all(axis=1) & safe)

    def starts(self, rng: np.random.Generator) -> Array:
        """Safe states outside of the set, uniformly in the ranges."""
        x = rng.uniform(self.low, self.high, (4 * SAMPLES, len(self.low)))
        return x[self.within(x) & ~self.inside(x)][:SAMPLES]


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
            try:
                p = solve_discrete_are(a, b, np.diag(state), np.diag(effort))
            except (LinAlgError, ValueError):
                continue
            gain = -np.linalg.solve(np.diag(effort) + b.T @ p @ b, b.T @ p @ a)
            request = gain_terms(problem, maps, gain, np.zeros(m), DIGITS)
            if model.choices is not None:
                yield answer(model, request)
            else:
                bounds = zip(request, model.action, strict=True)
                yield tuple(clip(t, c.low, c.high) for t, c in bounds)
