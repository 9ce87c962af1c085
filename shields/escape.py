"""Runs that leave a given set under a given policy: looked for in floats, confirmed exactly.

From points on the set's boundary, in its corners and inside it the plant is run for about a second
of its own time. A run counts if its first state certainly lies in the set, each step is within the
derived rounding of the model's exact step, and its last state certainly is outside, or unsafe.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from nprl.lang import exact
from nprl.lang.floats import compile_batch
from nprl.lang.terms import Term
from nprl.model import Model
from nprl.shields.counterexample import Counterexample, Values, point_text
from nprl.shields.sampling import Floats, Part, bounds_of, part_of
from nprl.shields.traces import Plant, moments, starts

Parts = Sequence[Sequence[Term]]
SECONDS = 1.0
LEAST_STEPS, MOST_STEPS = 60, 600
POINTS = 1_500
CONFIRMED = 8
"""So many of the runs that leave are held against exact arithmetic."""
NUDGE = (0.0, 1e-9, 1e-6)


def escape(
    model: Model, parts: Parts, policy: Callable[[Floats], Floats], seed: int = 0
) -> Counterexample | None:
    """A confirmed run from inside the set (from an initial state, if one is found) that leaves it.

    ``policy`` maps states (N, n) to the actions in units (N, m) that the plant applies. A run that
    ends in an unsafe state is preferred to one that only leaves the set.
    """
    rng = np.random.default_rng(seed)
    rows = [compile_batch(list(p), [model.state_names]) for p in parts]

    def least(x: Floats) -> Floats:
        every = [np.min(np.stack(f(x)), axis=0) for f in rows]
        return np.asarray(np.max(np.nan_to_num(np.stack(every), nan=-np.inf), axis=0))

    begin = starts(model, seed)
    inner = [p.points(POINTS, rng) for p in _regions(model, parts)]
    found: list[Counterexample] = []
    for x, text in ((begin, "an initial state"), (_pool(inner, model), "a state of the set")):
        x = x[least(x) >= 0]
        if len(x):
            found += _runs(model, parts, policy, least, x, text, seed)
        unsafe = [c for c in found if "unsafe" in c.text]
        if unsafe:
            return unsafe[0]
    return found[0] if found else None


def _regions(model: Model, parts: Parts) -> list[Part]:
    middle = np.array([float(low + high) / 2 for low, high in model.init.values()])
    regions = [part_of(model, list(p), middle) for p in parts]
    return [r for r in regions if r is not None]


def _pool(inner: Sequence[Floats], model: Model) -> Floats:
    if not inner:
        return np.zeros((0, len(model.state)))
    low, high = bounds_of(model.state)
    x = np.vstack(inner)
    return x[((x >= low) & (x <= high)).all(axis=1)]


def steps_of(model: Model) -> int:
    """How many steps are looked at: about a second."""
    wanted = LEAST_STEPS if not model.dt else math.ceil(SECONDS / float(model.dt))
    return min(max(wanted, LEAST_STEPS), MOST_STEPS)


def _runs(
    model: Model,
    parts: Parts,
    policy: Callable[[Floats], Floats],
    least: Callable[[Floats], Floats],
    x: Floats,
    text: str,
    seed: int,
) -> list[Counterexample]:
    plant = Plant.of(model, least)
    rng = np.random.default_rng(seed)
    greedy = np.arange(len(x)) % 2 == 0
    path, actions, noise = [x], list[Floats](), list[Floats]()
    left = np.zeros(len(x), dtype=np.intp)
    unsafe = np.zeros(len(x), dtype=np.intp)
    alive = ~plant.terminal(x)[0]
    for k in range(1, steps_of(model) + 1):
        u = policy(x)
        w = plant.worst(x, u, greedy, rng)
        x = plant.next(x, u, w)
        for kept, new in ((path, x), (actions, u), (noise, w)):
            kept.append(new)
        here = alive & np.isfinite(x).all(axis=1)
        out = here & (left == 0) & (least(x) < 0)
        left[out] = k
        bad = here & (left > 0) & (unsafe == 0) & ~plant.safe(x)[0]
        unsafe[bad] = k
        alive = here & (unsafe == 0) & ~plant.terminal(x)[0] & (np.abs(x) < 1e6).all(axis=1)
        x = np.where(alive[:, None], x, path[0])
        if not alive.any():
            break
    results: list[Counterexample] = []
    for until, what in ((unsafe, "is unsafe"), (left, "is outside the set")):
        lanes = np.flatnonzero(until)
        for lane in lanes[np.argsort(until[lanes], kind="stable")][:CONFIRMED]:
            end = int(until[lane]) + 1
            ran, applied, met = (
                np.array([v[lane] for v in kept[:end]]) for kept in (path, actions, noise)
            )
            shown = confirmed(model, parts, ran, applied, met, text, what)
            if shown is not None:
                results.append(shown)
                break
    return results


def confirmed(
    model: Model,
    parts: Parts,
    states: Floats,
    actions: Floats,
    disturbances: Floats,
    text: str,
    what: str,
) -> Counterexample | None:
    """The run as a counterexample, if exact arithmetic agrees with each of its steps."""
    rows = moments(model, states, actions, disturbances)
    if rows is None:
        return None
    if _inside(parts, rows[0].state) is not True:
        return None
    end = rows[-1].state
    gone = exact.holds(model.safe, end) is False if "unsafe" in what else not _maybe(parts, end)
    if not gone:
        return None
    return Counterexample(
        "inductive",
        "trace",
        rows,
        f"from {text}, {point_text(rows[0].state)}, the program's run {what} at step "
        f"{len(rows) - 1}: {point_text(end)}",
    )


def _inside(parts: Parts, at: Values) -> bool:
    return any(all(exact.enclose(g, at).lo >= 0 for g in part) for part in parts)


def _maybe(parts: Parts, at: Values) -> bool:
    """Whether the point may be in the set."""
    return any(all(exact.enclose(g, at).hi >= 0 for g in part) for part in parts)
