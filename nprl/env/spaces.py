"""The Gymnasium spaces of a model: what its environments, single and batched, say of themselves."""

from __future__ import annotations

import math

import numpy as np
from gymnasium import spaces

from nprl.lang.interval import float_interval
from nprl.lang.terms import And, Compare, Formula, Num, Relation, Var
from nprl.model import Model

ROOM = 10
"""How much wider than the box of analysis an observation may be before it is clipped."""
MOST = float(np.finfo(np.float32).max)
"""The bound of an observation that has no smaller one."""

Limits = tuple[float | None, float | None]


def observation_space(model: Model) -> spaces.Box:
    """A float64 box, finite, around the observations of the box of analysis and its successors.

    The box is widened `ROOM`-fold about its centre first, because a state may leave it without
    being unsafe; an environment clips what lies even further out.
    """
    exact = {name: (float(low), float(high)) for name, (low, high) in model.box().items()}
    reached = {}
    for name, step in zip(model.state_names, model.steps, strict=True):
        low, high = exact[name]
        centre, half = (low + high) / 2, (high - low) / 2 * ROOM
        after, start = float_interval(step, exact), model.init[name]
        reached[name] = (
            min(centre - half, after[0], float(start[0])),
            max(centre + half, after[1], float(start[1])),
        )
    seen = [float_interval(o.value, reached) for o in model.observation]
    return spaces.Box(
        np.array([_finite(low) for low, _ in seen], dtype=np.float64),
        np.array([_finite(high) for _, high in seen], dtype=np.float64),
        dtype=np.float64,
    )


def action_space(model: Model) -> spaces.Box | spaces.Discrete:
    """The learner's actions: an index, [-1, 1], or units, as the model says; boxes are float32."""
    if model.choices is not None:
        return spaces.Discrete(len(model.choices))
    if model.arithmetic.scaled:
        return spaces.Box(-1.0, 1.0, shape=(len(model.action),), dtype=np.float32)
    return spaces.Box(
        np.array([float(c.low) for c in model.action], dtype=np.float32),
        np.array([float(c.high) for c in model.action], dtype=np.float32),
        dtype=np.float32,
    )


def limits(model: Model) -> dict[str, Limits]:
    """The numbers between which `safe` keeps each coordinate, where it says so directly."""
    found: dict[str, Limits] = {name: (None, None) for name in model.state_names}

    def visit(f: Formula) -> None:
        match f:
            case And(parts):
                for part in parts:
                    visit(part)
            case Compare(Relation.LE | Relation.LT, Var(name), Num(value)):
                found[name] = (found[name][0], float(value))
            case Compare(Relation.GE | Relation.GT, Var(name), Num(value)):
                found[name] = (float(value), found[name][1])
            case _:
                pass

    visit(model.safe)
    return found


def stays_inside(model: Model) -> bool:
    """Whether every observation up to the end of an episode is inside `observation_space`.

    So it is where the state is observed as it is, and `safe` bounds each coordinate within the box
    of analysis: then an episode ends on the first step that leaves the box, and the space holds
    what one step reaches.
    """
    if [o.value for o in model.observation] != [Var(name) for name in model.state_names]:
        return False
    found = limits(model)
    return all(
        low is not None and high is not None and float(c.low) <= low and high <= float(c.high)
        for c, (low, high) in ((c, found[c.name]) for c in model.state)
    )


def _finite(end: float) -> float:
    return math.copysign(MOST, end) if abs(end) > MOST else end
