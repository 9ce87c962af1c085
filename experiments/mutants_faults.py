"""Exact witnesses that a certificate claims what is false, found without any checker.

Points are sampled in floats, on the vertices and facets of the invariant and about them; the worst
are held against rational arithmetic, and what is then certain is a fault: a state of I that is not
safe, a step out of I, a rounding above its bound, a state that a proof's own series let out of I.
The goals, the rules and the provers are not used. What is not found may be there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace as changed
from fractions import Fraction
from math import factorial
from typing import Any

import numpy as np

from experiments.adversary_starts import Starts
from experiments.mutants_made import Json, series_used
from experiments.recheck import Floats, Referee
from nprl.env.plant import Plant
from nprl.lang import exact
from nprl.lang.floats import compile_batch
from nprl.lang.terms import Clip, Num, Term, Unary, UnaryOp, Var, replace, subterms
from nprl.model import Coordinate, Model
from nprl.shields.certificate import Certificate, certificate_from_json

Point = Mapping[str, Fraction]
STATES = 600
WORST = 4
"""So many of the worst points are held against exact arithmetic."""
ROUNDED = 60
SERIES = {UnaryOp.SIN: 1, UnaryOp.COS: 0}


def fault(data: Json, seed: int = 0) -> str:
    """An exact witness that the claim of a certificate's JSON is false, in words; "" if none.

    None is found where no float of the plant's kind lies in its initial set: it cannot be run.
    """
    try:
        return next(_Search(data, seed).faults(), "")
    except ValueError:
        return ""


class _Search:
    """One certificate, in floats for looking and in rational numbers for saying."""

    def __init__(self, data: Json, seed: int) -> None:
        self.data = data
        self.certificate: Certificate = certificate_from_json(data)
        self.model: Model = self.certificate.model
        self.parts = self.certificate.shield.invariant
        self.referee = Referee(data)
        self.rng = np.random.default_rng(seed)

    def faults(self) -> Iterator[str]:
        """What is found, the cheapest first."""
        model = self.model
        for what in ("invariant", "init"):
            at = {n: self.certificate.witness[what][n] for n in model.state_names}
            if self.outside(at):
                yield f"the witness {_shown(at)} is not in I"
                return
        for corner in itertools.product(*(model.init[n] for n in model.state_names)):
            at = dict(zip(model.state_names, corner, strict=True))
            if self.outside(at):
                yield f"the initial state {_shown(at)} is not in I"
        x, plant = self.states(), Plant(model)
        yield from self.of_states(x)
        picks = list(itertools.product(*((float(c.low), float(c.high)) for c in model.disturbance)))
        corners = np.array(picks).reshape(len(picks), len(model.disturbance))
        yield from self.of_backup(x, corners, plant)
        yield from self.of_test(x, corners, plant)
        yield from self.of_rounding(plant)
        yield from self.of_series(x)

    def outside(self, at: Point) -> bool:
        """Whether a point is certainly not in I."""
        return all(any(exact.enclose(g, at).hi < 0 for g in part) for part in self.parts)

    def states(self) -> Floats:
        """Float states that lie in I, exactly."""
        starts = Starts(
            self.model, self.certificate.witness["invariant"], self.referee, self.rng, STATES
        )
        inner = starts.centre + self.rng.random((len(starts.facets), 1)) * (
            starts.facets - starts.centre
        )
        inner = inner[self.referee.inside(inner)]
        return np.concatenate([starts.vertices[:STATES], starts.facets, inner])

    def point(self, names: Sequence[str], values: Any) -> dict[str, Fraction]:
        """Floats as exact numbers, by their names."""
        return {n: Fraction(v) for n, v in zip(names, np.asarray(values).tolist(), strict=True)}

    def of_states(self, x: Floats) -> Iterator[str]:
        """States of I that are not safe, or outside the ranges."""
        names, box = self.model.state_names, self.model.box()
        low, high = (np.array([float(box[n][e]) for n in names]) for e in (0, 1))
        for row in x[~((x > low) & (x < high)).all(axis=1)]:
            at = self.point(names, row)
            if any(not box[n][0] <= v <= box[n][1] for n, v in at.items()):
                yield f"the state {_shown(at)} of I is outside the ranges"
        for row in x[~self.referee.safely(x)][:1]:
            yield f"the state {_shown(self.point(names, row))} of I is unsafe"

    def of_backup(self, x: Floats, corners: Floats, plant: Plant) -> Iterator[str]:
        """States from which the backup is no action, or leads out of I."""
        model, backup = self.model, self.certificate.shield.backup
        u = np.stack(compile_batch(backup, [model.state_names])(x), axis=1)
        low, high = plant.actions.low, plant.actions.high
        for k in np.argsort(np.minimum(u - low, high - u).min(axis=1))[:WORST]:
            at = self.point(model.state_names, x[k])
            for c, b in zip(model.action, backup, strict=True):
                value = exact.enclose(b, at)
                if value.hi < c.low or value.lo > c.high:
                    yield f"the backup is no action at {_shown(at)}"
        live = ~plant.verdict_batch(x)[1]  # a terminal state has no next one
        x, u = x[live], u[live]
        for k, w in self.leaving(x, np.clip(u, low, high), corners, plant):
            at = self.point(model.state_names, x[k])
            action = self.backup(at)
            if self.leaves(at, action, w):
                yield f"the backup's action {_shown(action)} leads out of I from {_shown(at)}"

    def backup(self, state: Point) -> dict[str, Fraction]:
        """The backup's action, in the middle of its exact bounds."""
        action = {}
        for c, b in zip(self.model.action, self.certificate.shield.backup, strict=True):
            value = exact.enclose(Clip(b, Num(c.low), Num(c.high)), state)
            action[c.name] = (Fraction(value.lo) + Fraction(value.hi)) / 2
        return action

    def of_test(self, x: Floats, corners: Floats, plant: Plant) -> Iterator[str]:
        """Actions that pass the test, though they lead out of I; all states of the ranges count."""
        model = self.model
        names, box = model.state_names, model.box()
        low, high = (np.array([float(box[n][e]) for n in names]) for e in (0, 1))
        x = x[((x >= low) & (x <= high)).all(axis=1)]
        x = np.concatenate([x, low + (high - low) * self.rng.random((STATES, len(low)))])
        ends = np.stack([plant.actions.low, plant.actions.high])
        for extreme in (True, True, True, False, False, False):
            share = self.rng.random((len(x), len(ends[0])))
            u = ends[0] + (ends[1] - ends[0]) * (np.round(share) if extreme else share)
            at = np.concatenate([x, u], axis=1)
            passes = self.nominal(plant, at)
            for k, w in self.leaving(x[passes], u[passes], corners, plant):
                state = self.point(names, x[passes][k])
                action = self.point(model.action_names, u[passes][k])
                if self.passes(state, action) and self.leaves(state, action, w):
                    yield f"the test passes {_shown(action)} at {_shown(state)}, which leads out of I"

    def nominal(self, plant: Plant, at: Floats) -> Any:
        """About which actions pass the test."""
        n = len(self.model.state)
        w = np.array([float((c.low + c.high) / 2) for c in self.model.disturbance])
        after = plant.step_batch(at[:, :n], at[:, n:], np.tile(w, (len(at), 1)))
        values, margins = self.referee.rows.values(after), self.certificate.shield.margins
        passed = [
            (values[rows] >= np.array([float(m) for m in part])[:, None]).all(axis=0)
            for rows, part in zip(self.referee.parts, margins, strict=True)
        ]
        return np.any(passed, axis=0)

    def passes(self, state: Point, action: Point) -> bool:
        """Whether an action certainly passes the test."""
        after = self.after({**state, **action, **self.model.nominal()})
        parts = zip(self.parts, self.certificate.shield.margins, strict=True)
        return any(
            all(exact.enclose(g, after).lo >= m for g, m in zip(rows, margins, strict=True))
            for rows, margins in parts
        )

    def leaving(
        self, x: Floats, u: Floats, corners: Floats, plant: Plant
    ) -> Iterator[tuple[int, dict[str, Fraction]]]:
        """The rows that lead furthest out of I in floats, each with its disturbance, exact."""
        if not len(x):
            return
        values = np.array(
            [
                self.referee.about(plant.step_batch(x, u, np.broadcast_to(w, (len(x), len(w)))))
                for w in corners
            ]
        )
        for k in np.argsort(values.min(axis=0))[:WORST].tolist():
            ends = itertools.product(*((c.low, c.high) for c in self.model.disturbance))
            w = list(ends)[int(values[:, k].argmin())]
            if values[:, k].min() < 0:
                yield k, dict(zip(self.model.disturbance_names, w, strict=True))

    def leaves(self, state: Point, action: Point, w: Point) -> bool:
        """Whether the model's step certainly leads out of I."""
        return self.outside(self.after({**state, **action, **w}))

    def after(self, at: Point) -> dict[str, Any]:
        """Bounds of the next state's coordinates."""
        steps = zip(self.model.state_names, self.model.steps, strict=True)
        return {n: exact.enclose(t, at) for n, t in steps}

    def of_rounding(self, plant: Plant) -> Iterator[str]:
        """Steps whose floats are further from the real ones than was claimed."""
        model = self.model
        sizes = (len(model.state), len(model.action), len(model.disturbance))
        names = (*model.state_names, *model.action_names, *model.disturbance_names)
        box = model.box()
        low, high = (np.array([float(box[n][e]) for n in names]) for e in (0, 1))
        points = low + (high - low) * self.rng.random((ROUNDED, len(names)))
        x, u, w = np.split(points, np.cumsum(sizes)[:-1], axis=1)
        floats = plant.step_batch(x, u, w)
        for point, results in zip(points, floats, strict=True):
            at = self.point(names, point)
            for (name, true), value in zip(self.after(at).items(), results.tolist(), strict=True):
                off = max(true.lo - Fraction(value), Fraction(value) - true.hi)
                if off > self.certificate.rounding.plant[name]:
                    yield f"next {name} is rounded by more than is claimed at {_shown(at)}"

    def of_series(self, x: Floats) -> Iterator[str]:
        """States that leave I by the backup's action, as far as a proof's own series can tell.

        A proof may replace sin and cos by anything that its shortened series allow. At a value
        that all of them allow and that leads out of I, no rule but a longer series can help.
        """
        used, model = series_used(self.data["proofs"]), self.model
        found = {t for step in model.steps for t in subterms(step) if isinstance(t, Unary)}
        waves = sorted((t for t in found if t.op in SERIES), key=str)
        if model.disturbance or not waves or any(str(t.op.value) not in used for t in waves):
            return
        values = [f"wave{k}" for k in range(len(waves))]
        at: dict[Term, Term] = {t: Var(v) for t, v in zip(waves, values, strict=True)}
        steps = [replace(t, at) for t in model.steps]
        loose = changed(
            model,
            step={n: t for n, t in zip(model.state_names, steps, strict=True)},
            disturbance=tuple(Coordinate(v, "", Fraction(-1), Fraction(1)) for v in values),
        )
        u = np.stack(compile_batch(self.certificate.shield.backup, [model.state_names])(x), axis=1)
        plant = Plant(loose)
        u = np.clip(u, plant.actions.low, plant.actions.high)
        arguments = compile_batch([t.arg for t in waves], [model.state_names])(x)
        bounds = [
            _allowed(t.op, used[t.op.value], a) for t, a in zip(waves, arguments, strict=True)
        ]
        for picks in itertools.product((0, 1), repeat=len(waves)):
            v = np.stack([b[pick] for b, pick in zip(bounds, picks, strict=True)], axis=1)
            margins = self.referee.about(plant.step_batch(x, u, v))
            for k in np.argsort(margins)[:WORST].tolist():
                if margins[k] >= 0:
                    break
                state = self.point(model.state_names, x[k])
                action = self.backup(state)
                some = {}
                for t, name, pick in zip(waves, values, picks, strict=True):
                    ends = _allowed(t.op, used[t.op.value], exact.evaluate(t.arg, state))
                    some[name] = ends[pick]
                after: dict[str, Any] = {
                    n: exact.enclose(t, {**state, **action, **some})
                    for n, t in zip(model.state_names, steps, strict=True)
                }
                if self.outside(after):
                    said = ", ".join(f"{t} = {some[v]}" for t, v in zip(waves, values, strict=True))
                    yield (
                        f"where {_shown(state)} the proof's series allow {said}, with which the "
                        f"backup's action leads out of I"
                    )


def _allowed(op: UnaryOp, counts: set[int], a: Any) -> tuple[Any, Any]:
    """What the series of sin or cos with so many summands allow at ``a``: floats, or a fraction."""
    first = SERIES[op]
    lows, highs = [-1 + 0 * a], [1 + 0 * a]
    for k in sorted(counts):
        powers = [first + 2 * j for j in range(k)]
        total = sum((-1) ** j * a**n / factorial(n) for j, n in enumerate(powers))
        rest = a ** (2 * k) / factorial(2 * k)
        lows.append(total - rest)
        highs.append(total + rest)
    if isinstance(a, Fraction):
        return max(lows), min(highs)
    return np.max(lows, axis=0), np.min(highs, axis=0)


def _shown(at: Point) -> str:
    return ", ".join(f"{n} = {v}" for n, v in at.items())
