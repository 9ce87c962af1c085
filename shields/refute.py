"""Look for what refutes a certificate: points that break a goal, traces that leave the safe set.

Floats propose; nothing is called a counterexample before it is confirmed in exact arithmetic: every
premise of the goal holds at the point, the conclusion certainly fails, and the model's own step
says so, too. What is not found proves nothing. Seeds are fixed; counts end the search, no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction

import numpy as np

from nprl.lang import exact
from nprl.lang.floats import compile_batch
from nprl.lang.terms import nodes, variables
from nprl.shields.certificate import Certificate
from nprl.shields.counterexample import (
    Counterexample,
    Moment,
    Values,
    middle,
    next_state,
    point_text,
)
from nprl.shields.goals import goals, test_terms, witnesses
from nprl.shields.sampling import Floats, Part, bounds_of, corners, float_ends, part_of
from nprl.shields.sequent import Sequent
from nprl.shields.traces import leaving_trace

POINTS = 3_000
ROUNDS = 12
CLIMBERS = 40
NEAR = 12
CONFIRMED = 12
"""So many of the worst points are held against exact arithmetic."""
NUDGES = (0.0, 1e-12, 1e-9, 1e-6)
"""Steps towards the inner point: a float on the boundary may lie outside by its rounding."""


def refute(
    certificate: Certificate,
    open_goals: Iterable[str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[Counterexample, ...]:
    """At most one confirmed counterexample for each of ``open_goals`` (all, if None), and a trace.

    The trace, under the goal ``theorem``, starts in the initial box and leaves the safe set while
    the shield of the certificate is in charge.
    """
    built = goals(certificate)
    wanted = [*built, "witness"] if open_goals is None else list(open_goals)
    found = []
    if any(g.startswith("witness") for g in wanted):
        found += _witnesses(certificate)
    regions: dict[int, Part | None] = {}
    for goal in wanted:
        if goal not in built:
            continue
        if progress is not None:
            progress(goal)
        search = _Search(certificate, goal, built[goal], regions)
        counterexample = search.run()
        if counterexample is not None:
            found.append(counterexample)
    if wanted:
        if progress is not None:
            progress("theorem")
        trace = leaving_trace(certificate)
        if trace is not None:
            found.append(trace)
    return tuple(found)


def _witnesses(certificate: Certificate) -> list[Counterexample]:
    found = []
    for goal, reason in witnesses(certificate).items():
        what = goal.split("/")[1]
        if not reason or (what == "test" and not _test_fails(certificate)):
            continue
        point = certificate.witness["invariant" if what == "test" else what]
        row = Moment(
            0,
            {} if what in ("action", "disturbance") else point,
            certificate.witness["action"] if what in ("action", "test") else {},
            point if what == "disturbance" else {},
        )
        text = "the action given does not pass the test" if what == "test" else reason
        found.append(Counterexample(goal, "witness", (row,), text))
    return found


def _test_fails(certificate: Certificate) -> bool:
    """Whether the witness of the test certainly fails it, in every part."""
    shield, points = certificate.shield, certificate.witness
    at = {**points["invariant"], **points["action"]}
    return all(
        any(
            exact.enclose(t, at).hi < m
            for t, m in zip(
                test_terms(certificate.model, rows, certificate.model.steps), margins, strict=True
            )
        )
        for rows, margins in zip(shield.invariant, shield.margins, strict=True)
    )


class _Search:
    """One goal: its sequent in floats, a climb to where it is worst, and the exact confirmation."""

    def __init__(
        self,
        certificate: Certificate,
        goal: str,
        sequent: Sequent,
        regions: dict[int, Part | None],
    ) -> None:
        self.certificate, self.goal, self.sequent = certificate, goal, sequent
        self.kind, _, rest = goal.partition("/")
        self.q = int(rest.split("/")[0]) if rest else 0
        model = certificate.model
        self.names = [*model.state_names, *model.action_names, *model.disturbance_names]
        self.dim, self.inputs = len(model.state), len(model.action)
        ends = {**model.box(), **(model.init if self.kind == "init" else {})}
        self.ends = [ends[n] for n in self.names]
        free = () if self.kind in ("init", "test") else model.state_names
        self.clamped = frozenset(self.names) - frozenset(free)
        terms = [*sequent.premises, *(c.term for a in sequent.alternatives for c in a)]
        every = {v for t in terms for v in variables(t)}
        self.free = sorted(every - set(self.names))  # roundings: 0 in every witness
        self.terms = compile_batch(terms, [[*self.names, *self.free]])
        self.backup = compile_batch(certificate.shield.backup, [model.state_names])
        self.count = max(300, min(POINTS, 3_000_000 // (1 + sum(map(nodes, terms)))))
        self.u_low, self.u_high = bounds_of(model.action)
        self.x_low, self.x_high = bounds_of(model.state)
        self.rng = np.random.default_rng(0)
        self.w = corners(*bounds_of(model.disturbance), self.rng)
        if self.q not in regions:
            inside = certificate.witness["invariant"]
            start = np.array([float(inside[n]) for n in model.state_names])
            regions[self.q] = part_of(model, certificate.shield.invariant[self.q], start)
        self.part = regions[self.q]
        self.scale: Floats | None = None

    def run(self) -> Counterexample | None:
        """The worst points that were found, the first that is confirmed."""
        z = self.starts()
        if z is None or not len(z):
            return None
        z, value = self.worst(z, CLIMBERS)
        size = np.concatenate([self.x_high - self.x_low, self.u_high - self.u_low])
        size = np.concatenate([size, np.zeros(z.shape[1] - len(size))]) / 4
        for k in range(ROUNDS if len(z) else 0):
            if value[0] < 0 and k >= 2:
                break
            near = np.repeat(z, NEAR, axis=0)
            near = near + size * 0.55**k * self.rng.normal(size=near.shape)
            z, value = self.worst(np.vstack([z, self.completed(near)]), CLIMBERS)
        for point in z[value < 0][:CONFIRMED]:
            confirmed = self.confirmed(point)
            if confirmed is not None:
                return confirmed
        return None

    def starts(self) -> Floats | None:
        """Points (x, u, w) to begin with, shape (N, k)."""
        low, high = self.x_low, self.x_high
        if self.kind == "init":
            low, high = float_ends(self.ends[: self.dim])
            x = np.vstack(
                [
                    corners(low, high, self.rng),
                    low + (high - low) * self.rng.random((self.count, self.dim)),
                ]
            )
        elif self.part is None:
            return None
        else:
            x = self.part.points(self.count, self.rng)
        if self.kind == "test":
            spread = low + (high - low) * self.rng.random((self.count, self.dim))
            return self.tested(np.vstack([np.clip(x, low, high), spread]))
        return self.completed(np.hstack([x, np.zeros((len(x), len(self.names) - self.dim))]))

    def completed(self, z: Floats) -> Floats:
        """The points made whole: inside, with the backup's action, a corner of the disturbance."""
        x, u = z[:, : self.dim], z[:, self.dim : self.dim + self.inputs]
        if self.kind not in ("init", "test") and self.part is not None:
            x = self.part.pulled(x)
        if self.kind == "init":
            x = np.clip(x, *float_ends(self.ends[: self.dim]))
        if self.kind == "test":
            x = np.clip(x, self.x_low, self.x_high)
        if self.kind in ("backup", "test"):
            u = np.stack(self.backup(x), axis=1) if self.kind == "backup" else u
            u = np.clip(u, self.u_low, self.u_high)
        w = self.w[self.rng.integers(0, len(self.w), len(z))]
        return np.hstack([x, u, w])

    def tested(self, x: Floats) -> Floats:
        """Points where the test is just passed: between one that passes and one that does not."""
        some = self.rng.random((len(x), self.inputs)) < 0.5
        ends = np.where(self.rng.random(some.shape) < 0.5, self.u_low, self.u_high)
        inner = self.u_low + (self.u_high - self.u_low) * self.rng.random(some.shape)
        w = self.w[self.rng.integers(0, len(self.w), len(x))]
        z = np.hstack([x, np.where(some, ends, inner), w])
        feasible = self.values(z)[0] >= 0
        good, bad = z[feasible], z[~feasible]
        if not len(good) or not len(bad):
            return z
        a = good[self.rng.integers(0, len(good), len(z))]
        b = bad[self.rng.integers(0, len(bad), len(z))]
        b[:, self.dim + self.inputs :] = a[:, self.dim + self.inputs :]
        low, high = np.zeros(len(z)), np.ones(len(z))
        for _ in range(40):
            middle = (low + high) / 2
            fine = self.values(a + middle[:, None] * (b - a))[0] >= 0
            low, high = np.where(fine, middle, low), np.where(fine, high, middle)
        return np.vstack([z, a + low[:, None] * (b - a)])

    def values(self, z: Floats) -> tuple[Floats, Floats]:
        """The least premise; the least conclusion of the best alternative (below 0: broken)."""
        padded = np.hstack([z, np.zeros((len(z), len(self.free)))])
        columns = np.stack(self.terms(padded), axis=1)
        columns = np.where(np.isnan(columns), 0.0, columns)
        first = len(self.sequent.premises)
        premises = columns[:, :first].min(axis=1) if first else np.zeros(len(z))
        if self.scale is None:
            size = np.abs(columns[:, first:]).max(axis=0)
            self.scale = np.where(size > 0, size, 1.0)
        scaled = columns[:, first:] / self.scale
        best = np.full(len(z), -np.inf)
        k = 0
        for alternative in self.sequent.alternatives:
            part = scaled[:, k : k + len(alternative)]
            strict = [c.strict for c in alternative]
            part = np.where(np.array(strict) & (part == 0), -1e-300, part)
            best = np.maximum(best, part.min(axis=1, initial=np.inf))
            k += len(alternative)
        return premises, best

    def worst(self, z: Floats, count: int) -> tuple[Floats, Floats]:
        """The points that satisfy the premises (nearly) and break the conclusion most."""
        premises, value = self.values(z)
        near = premises >= -1e-9
        z, value = z[near], value[near]
        order = np.argsort(value, kind="stable")[:count]
        return z[order], value[order]

    def confirmed(self, z: Floats) -> Counterexample | None:
        """The point in exact numbers, if the goal certainly fails there."""
        centre = z if self.part is None else np.concatenate([self.part.centre, z[self.dim :]])
        for nudge in NUDGES if self.kind not in ("init", "test") else NUDGES[:1]:
            point = z + nudge * (centre - z)
            if self.kind == "backup":
                point[self.dim :] = self.completed(point[None])[0][self.dim :]
                point[self.dim + self.inputs :] = z[self.dim + self.inputs :]
            at = {
                n: min(max(Fraction(float(v)), low), high) if n in self.clamped else Fraction(v)
                for n, v, (low, high) in zip(self.names, point.tolist(), self.ends, strict=True)
            }
            if violated(self.sequent, {**at, **dict.fromkeys(self.free, Fraction(0))}):
                return self.described(at)
        return None

    def described(self, at: Values) -> Counterexample | None:
        model = self.certificate.model
        x, u, w = (
            {n: at[n] for n in names}
            for names in (model.state_names, model.action_names, model.disturbance_names)
        )
        where = point_text(x)
        if self.kind not in ("backup", "test"):
            text = {
                "init": f"an initial state outside the invariant: {where}",
                "safe": f"a state of the invariant that is not safe: {where}",
                "ranges": f"a state of the invariant outside the model's ranges: {where}",
                "action": f"a state of the invariant where the backup is no action: {where}",
            }[self.kind]
            return Counterexample(self.goal, "point", (Moment(0, x, {}, {}),), text)
        after = next_state(model, x, u, w)
        parts = self.certificate.shield.invariant
        if self.kind == "test":
            parts = (parts[self.q],)
        if not all(any(exact.enclose(g, after).hi < 0 for g in part) for part in parts):
            return None  # the true step does not confirm it
        shown = {n: middle(i) for n, i in after.items()}
        what = "the backup's action" if self.kind == "backup" else "an action that passes the test"
        text = (
            f"{what} leads out of the invariant: at {where} with {point_text({**u, **w})} "
            f"to {point_text(shown)}"
        )
        rows = (Moment(0, x, u, w), Moment(1, shown, {}, {}))
        return Counterexample(self.goal, "step", rows, text)


def violated(sequent: Sequent, at: Values) -> bool:
    """Whether, exactly, every premise holds at the point and every alternative certainly fails."""
    if not all(exact.enclose(t, at).lo >= 0 for t in sequent.premises):
        return False
    for alternative in sequent.alternatives:
        for c in alternative:
            high = exact.enclose(c.term, at).hi
            if high < 0 or (c.strict and high <= 0):
                break
        else:
            return False
    return True
