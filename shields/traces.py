"""Traces in floats: what the plant does under a policy, batched, with disturbances that do harm.

A trace that leaves the safe set is replayed step by step: each next state must lie within the
derived rounding of the model's exact step, and the last one must certainly be unsafe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from nprl.lang import exact
from nprl.lang.floats import compile_batch
from nprl.lang.ranges import DomainError
from nprl.lang.terms import Num
from nprl.model import Model
from nprl.shields.certificate import Certificate
from nprl.shields.counterexample import Counterexample, Moment, next_state, point_text, values_at
from nprl.shields.goals import rounding_of, test_terms
from nprl.shields.sampling import Floats, bounds_of, corners, float_ends

LANES = 64
MAX_STEPS = 120
GRID = 5
Act = Callable[[Floats, np.random.Generator], Floats]
"""From states (N, n) to actions in units (N, m)."""


@dataclass(frozen=True)
class Plant:
    """A model in floats, with the rows that say how far a state is from the boundary of a set."""

    model: Model
    step: Callable[..., list[Floats]]
    safe: Callable[..., list[npt.NDArray[np.bool_]]]
    terminal: Callable[..., list[npt.NDArray[np.bool_]]]
    rows: Callable[[Floats], Floats]
    disturbances: Floats

    @classmethod
    def of(cls, model: Model, rows: Callable[[Floats], Floats]) -> Plant:
        """The plant; ``rows`` gives each state's least row, (N, n) -> (N,)."""
        names = (model.state_names, model.action_names, model.disturbance_names)
        return cls(
            model,
            compile_batch(model.steps, names),
            compile_batch([model.safe], names[:1]),
            compile_batch([model.terminal], names[:1]),
            rows,
            corners(*bounds_of(model.disturbance), np.random.default_rng(0)),
        )

    def next(self, x: Floats, u: Floats, w: Floats) -> Floats:
        """Next states, as the plant stores them."""
        after = np.stack(self.step(x, u, w), axis=1)
        if self.model.arithmetic.state == "float32":
            after = after.astype(np.float32).astype(np.float64)
        return after

    def worst(
        self, x: Floats, u: Floats, greedy: npt.NDArray[np.bool_], rng: np.random.Generator
    ) -> Floats:
        """Disturbances (N, p): the corner with the worst next state in greedy lanes, else any."""
        w = self.disturbances[rng.integers(0, len(self.disturbances), len(x))]
        if len(self.disturbances) == 1 or not greedy.any():
            return w
        value = [self.rows(self.next(x, u, np.broadcast_to(d, w.shape))) for d in self.disturbances]
        chosen = self.disturbances[np.argmin(np.stack(value), axis=0)]
        return np.where(greedy[:, None], chosen, w)

    def run(self, x: Floats, act: Act, steps: int, seed: int = 0) -> tuple[Floats, ...] | None:
        """States, actions, disturbances of the first lane that becomes unsafe; None without one."""
        rng = np.random.default_rng(seed)
        greedy = np.arange(len(x)) % 2 == 0
        states, actions, disturbances = [x], list[Floats](), list[Floats]()
        alive = self.safe(x)[0] & ~self.terminal(x)[0]
        for _ in range(steps):
            if not alive.any():
                return None
            u = act(x, rng)
            w = self.worst(x, u, greedy, rng)
            x = self.next(x, u, w)
            for kept, new in ((states, x), (actions, u), (disturbances, w)):
                kept.append(new)
            unsafe = np.flatnonzero(alive & ~self.safe(x)[0] & np.isfinite(x).all(axis=1))
            if len(unsafe):
                lane = int(unsafe[0])
                return tuple(
                    np.array([s[lane] for s in kept]) for kept in (states, actions, disturbances)
                )
            alive &= self.safe(x)[0] & ~self.terminal(x)[0]
            x = np.where(alive[:, None], x, states[0])  # a lane that has ended must not overflow
        return None


def leaving_trace(certificate: Certificate) -> Counterexample | None:
    """A confirmed trace from an initial state that leaves S under the certificate's shield."""
    model, shield = certificate.model, certificate.shield
    names = (model.state_names, model.action_names)
    tests = [
        compile_batch(test_terms(model, part, model.steps), names) for part in shield.invariant
    ]
    margins = [np.array([float(m) for m in part]) for part in shield.margins]
    part_rows = [compile_batch(list(part), names[:1]) for part in shield.invariant]
    backup = compile_batch(shield.backup, names[:1])
    low, high = bounds_of(model.action)
    table = None if model.choices is None else np.array(model.choices, dtype=np.float64)

    def least(x: Floats) -> Floats:
        return np.asarray(np.max([np.min(f(x), axis=0) for f in part_rows], axis=0))

    def passes(x: Floats, u: Floats) -> npt.NDArray[np.bool_]:
        good = [
            (np.stack(f(x, u), axis=1) >= m).all(axis=1)
            for f, m in zip(tests, margins, strict=True)
        ]
        return np.asarray(np.logical_or.reduce(good))

    def fall_back(x: Floats, rng: np.random.Generator) -> Floats:
        u = np.clip(np.stack(backup(x), axis=1), low, high)
        return np.asarray(u if table is None else table[_nearest(table, u)])

    def random_allowed(x: Floats, rng: np.random.Generator) -> Floats:
        u = low + (high - low) * rng.random((len(x), len(low)))
        u = np.where(rng.random(u.shape) < 0.5, np.where(u > (low + high) / 2, high, low), u)
        u = u if table is None else table[rng.integers(0, len(table), len(x))]
        return np.where(passes(x, u)[:, None], u, fall_back(x, rng))

    def worst_allowed(x: Floats, rng: np.random.Generator) -> Floats:
        best, value = fall_back(x, rng), np.full(len(x), np.inf)
        for t in np.linspace(0, 1, GRID):
            mix = np.where(rng.random(best.shape) < 0.5, t, 1 - t)
            u = (
                low + (high - low) * mix
                if table is None
                else table[_nearest(table, low + (high - low) * mix)]
            )
            w = np.broadcast_to(plant.disturbances[0], (len(x), len(model.disturbance)))
            worth = np.where(passes(x, u), least(plant.next(x, u, w)), np.inf)
            best, value = np.where((worth < value)[:, None], u, best), np.minimum(worth, value)
        return best

    plant = Plant.of(model, least)
    for seed, act in enumerate((fall_back, random_allowed, worst_allowed)):
        run = plant.run(starts(model, seed), act, min(model.horizon, MAX_STEPS), seed)
        text = "under the certificate's shield, a trace from an initial state leaves the safe set"
        found = None if run is None else confirmed_trace(model, *run, goal="theorem", text=text)
        if found is not None:
            return found
    return None


def starts(model: Model, seed: int) -> Floats:
    """Initial states: corners, and random ones; shape (LANES, n)."""
    rng = np.random.default_rng(seed)
    low, high = float_ends([model.init[n] for n in model.state_names])
    ends = corners(low, high, rng)[: LANES // 2]
    return np.vstack([ends, low + (high - low) * rng.random((LANES - len(ends), len(low)))])


def moments(
    model: Model, states: Floats, actions: Floats, disturbances: Floats
) -> tuple[Moment, ...] | None:
    """A run in exact numbers; None where a step is not within the derived rounding of the model's."""
    try:
        rounding = rounding_of(model, [], [Num(Fraction(0))] * len(model.action))
    except (DomainError, ValueError):
        return None
    rows = []
    for k, x in enumerate(states):
        now = values_at(model.state_names, x)
        last = k == len(states) - 1
        u = {} if last else values_at(model.action_names, actions[k])
        w = {} if last else values_at(model.disturbance_names, disturbances[k])
        rows.append(Moment(k, now, u, w))
        if last:
            break
        after = next_state(model, now, u, w)
        for i, e, v in zip(after.values(), rounding.plant.values(), states[k + 1], strict=True):
            if not i.lo - e <= Fraction(float(v)) <= i.hi + e:
                return None
    return tuple(rows)


def confirmed_trace(
    model: Model, states: Floats, actions: Floats, disturbances: Floats, *, goal: str, text: str
) -> Counterexample | None:
    """The trace as a counterexample, if its exact replay agrees; None otherwise."""
    rows = moments(model, states, actions, disturbances)
    if rows is None or exact.holds(model.safe, rows[-1].state) is not False:
        return None
    reached = point_text(rows[-1].state)
    return Counterexample(goal, "trace", rows, f"{text}, at step {len(rows) - 1}: {reached}")


def _nearest(table: Floats, u: Floats) -> npt.NDArray[np.intp]:
    return np.asarray(((u[:, None, :] - table[None]) ** 2).sum(axis=2).argmin(axis=1))
