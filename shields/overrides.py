"""Where a shield would act on a program: the share of its invariant, and runs without it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nprl.lang.floats import compile_batch
from nprl.shields.certificate import Certificate
from nprl.shields.counterexample import (
    Counterexample,
    Moment,
    middle,
    next_state,
    outside,
    point_text,
    values_at,
)
from nprl.shields.goals import test_terms
from nprl.shields.program_loop import ClosedLoop
from nprl.shields.sampling import Floats, Part, bounds_of, part_of
from nprl.shields.traces import MAX_STEPS, Plant, confirmed_trace

POINTS = 3_000
SHARE_SAMPLES = 20_000
MAX_DRAWS = 2_000_000
Z95 = 1.959964


@dataclass(frozen=True, slots=True)
class Share:
    """The share of an invariant where the shield would act: uniform samples, Wilson's interval."""

    acted: int
    samples: int

    @property
    def interval(self) -> tuple[float, float]:
        """The ends of the 95 % interval, between 0 and 1."""
        n, p = self.samples, self.acted / self.samples
        middle = (p + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
        half = Z95 * np.sqrt(p * (1 - p) / n + Z95**2 / (4 * n * n)) / (1 + Z95**2 / n)
        return max(0.0, float(middle - half)), min(1.0, float(middle + half))


class Overrides:
    """The shield's float test, and where in the invariant the program does not pass it."""

    def __init__(self, certificate: Certificate, loop: ClosedLoop) -> None:
        """Compile the test and the parts."""
        self.certificate, self.loop = certificate, loop
        model, shield = certificate.model, certificate.shield
        names = (model.state_names, model.action_names)
        self.tests = [
            compile_batch(test_terms(model, part, model.steps), names) for part in shield.invariant
        ]
        self.margins = [np.array([float(m) for m in part]) for part in shield.margins]
        self.terminal = compile_batch([model.terminal], names[:1])
        inside = np.array([float(certificate.witness["invariant"][n]) for n in names[0]])
        found = [part_of(model, part, inside) for part in shield.invariant]
        self.parts: list[Part] = [p for p in found if p is not None]

    def acts(self, x: Floats) -> npt.NDArray[np.bool_]:
        """Where the program's action fails the test, (N,); terminal states ask for no action."""
        u = self.loop.act(x)
        passed = [
            (np.stack(f(x, u), axis=1) >= m).all(axis=1)
            for f, m in zip(self.tests, self.margins, strict=True)
        ]
        return np.asarray(~np.logical_or.reduce(passed) & ~self.terminal(x)[0])

    def least(self, x: Floats) -> Floats:
        """The least row of the best part, (N,)."""
        return np.asarray(np.max([p.least(x) for p in self.parts], axis=0))

    def trace(self, x: Floats, where: str) -> Counterexample | None:
        """A run of the program alone, from one of the states x, that leaves S; confirmed."""
        model = self.loop.model
        if not self.parts:
            return None
        plant = Plant.of(model, self.least)
        run = plant.run(x, lambda y, _: self.loop.act(y), min(model.horizon, MAX_STEPS))
        text = f"without the shield, a run of the program from {where} leaves the safe set"
        return None if run is None else confirmed_trace(model, *run, goal="policy", text=text)

    def inside(self, x: Floats) -> npt.NDArray[np.bool_]:
        """Whether some part holds the state."""
        return np.asarray(self.least(x) >= 0)

    def acted(self) -> Floats:
        """States of the invariant where the shield acts: of its vertices, boundary, inside."""
        rng = np.random.default_rng(0)
        found = [p.points(POINTS, rng) for p in self.parts]
        x = np.vstack(found) if found else np.zeros((0, len(self.certificate.model.state)))
        x = x[self.inside(x)] if len(x) else x
        return x[self.acts(x)] if len(x) else x

    def share(self) -> Share | None:
        """The share of the invariant's volume where the shield acts; None for too few samples."""
        if not self.parts:
            return None
        rng = np.random.default_rng(1)
        edge = np.vstack([p.points(POINTS, rng) for p in self.parts])
        low, high = edge.min(axis=0), edge.max(axis=0)
        low, high = low - 0.02 * (high - low), high + 0.02 * (high - low)
        bounds = bounds_of(self.certificate.model.state)
        low, high = np.maximum(low, bounds[0]), np.minimum(high, bounds[1])
        hits, drawn = 0, 0
        acted = 0
        while hits < SHARE_SAMPLES and drawn < MAX_DRAWS:
            x = low + (high - low) * rng.random((SHARE_SAMPLES, len(low)))
            x = x[self.inside(x)][: SHARE_SAMPLES - hits]
            drawn += SHARE_SAMPLES
            hits += len(x)
            acted += int(self.acts(x).sum()) if len(x) else 0
        return Share(acted, hits) if hits >= 100 else None

    def refuted(self, x: Floats) -> Counterexample | None:
        """From states where the shield acts: a run that leaves S, or one step out of I."""
        model = self.certificate.model
        some = x[np.random.default_rng(2).permutation(len(x))[:96]]
        trace = self.trace(some, "a state of the invariant")
        if trace is not None and outside(self.certificate, trace.rows[0].state) is False:
            return trace
        plant = Plant.of(model, self.least)
        u = self.loop.act(some)
        for w in plant.disturbances:
            after = plant.next(some, u, np.broadcast_to(w, (len(some), len(w))))
            for k in np.flatnonzero(~self.inside(after)):
                found = self._step(some[k], u[k], w)
                if found is not None:
                    return found
        return None

    def _step(self, x: Floats, u: Floats, w: Floats) -> Counterexample | None:
        model = self.certificate.model
        state, action, noise = (
            values_at(names, numbers)
            for names, numbers in (
                (model.state_names, x),
                (model.action_names, u),
                (model.disturbance_names, w),
            )
        )
        after = next_state(model, state, action, noise)
        inside = outside(self.certificate, state) is False
        if not inside or outside(self.certificate, after) is not True:
            return None
        shown = {n: middle(i) for n, i in after.items()}
        rows = (Moment(0, state, action, noise), Moment(1, shown, {}, {}))
        text = f"without the shield, a step leaves the invariant: at {point_text(state)}"
        return Counterexample("policy", "step", rows, text)
