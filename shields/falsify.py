"""A system without inputs that is not safe: a run from an initial state, looked for before any proof.

Corners of the initial box and points in it are run under the worst corners of the disturbance for
the model's horizon, at most; a run counts if exact arithmetic confirms each step and the end.
With inputs there is somebody to choose them, and no run refutes anything: `impossible` proves that.
"""

from __future__ import annotations

import numpy as np

from nprl.lang.floats import compile_batch
from nprl.model import Model
from nprl.shields.counterexample import Counterexample
from nprl.shields.sampling import Floats
from nprl.shields.sequent import conjunctive
from nprl.shields.traces import Plant, confirmed_trace, starts

MOST_STEPS = 2_000
SEEDS = 3


def falsify(model: Model) -> Counterexample | None:
    """A confirmed run that leaves the safe set of a model without inputs; None where none is found."""
    if model.action:
        return None
    clauses = [
        compile_batch([t for t, _ in clause], [model.state_names])
        for clause in conjunctive(model.safe)
        if clause
    ]

    def least(x: Floats) -> Floats:
        each = [
            np.max(np.stack([np.broadcast_to(v, (len(x),)) for v in f(x)]), axis=0) for f in clauses
        ]
        return np.asarray(np.min(each, axis=0)) if each else np.ones(len(x))

    plant = Plant.of(model, least)
    for seed in range(SEEDS):
        run = plant.run(
            starts(model, seed),
            lambda x, _: np.zeros((len(x), 0)),
            min(model.horizon, MOST_STEPS),
            seed,
        )
        text = "without inputs, a run from an initial state leaves the safe set"
        found = None if run is None else confirmed_trace(model, *run, goal="theorem", text=text)
        if found is not None:
            return found
    return None


__all__ = ["falsify"]
