"""A model measured from a simulator: its known step, a fitted correction, the rest a disturbance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from nprl.discover.fit import combination, evaluated, sparse_fit
from nprl.discover.residual import Residual, bound_residual
from nprl.discover.sampling import Simulator, transitions
from nprl.lang.terms import Term, Var
from nprl.model import Coordinate, Model

DISTURBANCE = "rest_"
"""The prefix of the disturbance that stands for a coordinate's residual."""


@dataclass(frozen=True)
class Settings:
    """How a model is measured."""

    train: int = 20_000
    """Transitions that the fit sees."""
    held_out: int = 200_000
    """Transitions that bound the residual."""
    tolerance: float = 1e-4
    """The worst error to be aimed at, relative to half the range of each coordinate."""
    beta: float = 1e-6
    inflation: float = 1.5
    seed: int = 0


@dataclass(frozen=True)
class Measured:
    """A model with what its residual rests on."""

    model: Model
    residual: Residual
    terms: tuple[int, ...]
    """How many terms of the dictionary each coordinate took."""


def measure(
    simulator: Simulator, known: Model, dictionary: Sequence[Term], settings: Settings, source: str
) -> Measured:
    """``known`` with a step that was measured: its own plus a fitted sum plus a bounded rest.

    ``known.step`` is what is known without data (at least ``next = now``); its box is sampled;
    ``dictionary`` has terms over state and action; ``source`` names the simulator, for the
    provenance. A coordinate whose known step is exact to rounding gets no correction, and a rest
    all the same.

    Raises:
        ValueError: for a known model with a disturbance or with choices, or a simulator that
            returns no number.
    """
    if known.disturbance or known.choices is not None:
        raise ValueError(f"{known.name}: measured are models without disturbance and choices")
    rng = np.random.default_rng(settings.seed)
    data = transitions(simulator, known, settings.train, rng)
    if not np.isfinite(data.after).all():
        raise ValueError(
            f"{source} left the finite numbers; make the box of analysis of {known.name} smaller"
        )
    names = [*known.state_names, *known.action_names]
    features = evaluated(dictionary, names, data.points)
    before = evaluated(known.steps, names, data.points)
    step: dict[str, Term] = {}
    counts, rest = [], []
    for i, (c, t) in enumerate(zip(known.state, known.steps, strict=True)):
        tolerance = settings.tolerance * float(c.high - c.low) / 2
        chosen, coefficients = sparse_fit(data.after[:, i] - before[:, i], features, tolerance)
        correction = combination([dictionary[k] for k in chosen], coefficients)
        counts.append(len(chosen))
        name = DISTURBANCE + c.name
        step[c.name] = (t if correction is None else t + correction) + Var(name)
        rest.append(Coordinate(name, c.unit, Fraction(0), Fraction(0)))
    model = replace(known, step=step, disturbance=tuple(rest))
    held_out = transitions(simulator, known, settings.held_out, rng)
    residual = bound_residual(model, simulator, held_out, rng, settings.beta, settings.inflation)
    sized = tuple(replace(c, low=-b, high=b) for c, b in zip(rest, residual.bound, strict=True))
    provenance = (
        f"measured: {source}; fitted to {settings.train} transitions over the box of analysis "
        f"(seed {settings.seed}), a further one exceeds the greatest of {settings.held_out} "
        f"held-out errors with probability <= {residual.eps:.2g} (confidence 1 - "
        f"{settings.beta:.2g}); the bounds of {DISTURBANCE}* are {settings.inflation:g} times the "
        "greatest error found"
    )
    return Measured(
        replace(model, disturbance=sized, provenance=provenance), residual, tuple(counts)
    )
