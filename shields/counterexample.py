"""Counterexamples: exact points and traces that refute a goal, and their CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from nprl.files import write_atomic
from nprl.lang import exact
from nprl.lang.ranges import Interval
from nprl.model import Model
from nprl.shields.certificate import Certificate

Values = Mapping[str, Fraction]


@dataclass(frozen=True, slots=True)
class Moment:
    """A state and what met it: empty action and disturbance where nothing has, yet."""

    time: int
    state: Values
    action: Values
    disturbance: Values


@dataclass(frozen=True, slots=True)
class Counterexample:
    """What refutes a goal: exact numbers, confirmed in exact arithmetic; ``rows`` can be replayed.

    ``kind`` is ``point`` (one state that breaks the goal), ``step`` (a state, an action, a
    disturbance, and the next state), ``witness`` (a witness in the file that is none) or ``trace``
    (from a start, as floats ran it).
    """

    goal: str
    kind: str
    rows: tuple[Moment, ...]
    text: str

    def csv(self, model: Model) -> str:
        """The rows as CSV: time, state, action, disturbance; decimals are float64, else ``n/d``."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        names = (model.state_names, model.action_names, model.disturbance_names)
        writer.writerow(["time", *(n for group in names for n in group)])
        for row in self.rows:
            cells: list[str] = [str(row.time)]
            for group, found in zip(names, (row.state, row.action, row.disturbance), strict=True):
                cells += [exact_text(found[n]) if n in found else "" for n in group]
            writer.writerow(cells)
        return out.getvalue()

    def save(self, path: str | Path, model: Model) -> Path:
        """Write the CSV, atomically."""
        return write_atomic(path, self.csv(model))


def exact_text(value: Fraction) -> str:
    """A text that is exactly ``value``: Python's shortest for a float64, else ``n/d``."""
    if abs(value) < 10**300 and Fraction(float(value)) == value:
        return repr(float(value))
    return str(value)


def next_state(model: Model, x: Values, u: Values, w: Values) -> dict[str, Interval]:
    """The true next state: exact, or intervals of a width of about 2^-128."""
    at = {**x, **u, **w}
    return {n: exact.enclose(t, at) for n, t in zip(model.state_names, model.steps, strict=True)}


def outside(certificate: Certificate, at: Mapping[str, Fraction | Interval]) -> bool | None:
    """True for a state that is certainly outside every part, False inside some part, else None."""
    sure = True
    for part in certificate.shield.invariant:
        rows = [exact.enclose(g, at) for g in part]
        if all(r.lo >= 0 for r in rows):
            return False
        sure &= any(r.hi < 0 for r in rows)
    return True if sure else None


def middle(i: Interval) -> Fraction:
    """A number in the interval: exactly it where it is a point, else a float near its middle."""
    if i.lo == i.hi:
        return Fraction(i.lo)
    return Fraction(float((Fraction(i.lo) + Fraction(i.hi)) / 2))


def values_at(names: Sequence[str], numbers: Iterable[float]) -> Values:
    """Floats as exact numbers, by name."""
    return {n: Fraction(float(v)) for n, v in zip(names, numbers, strict=True)}


def point_text(values: Values) -> str:
    """A point as a person reads it, each number to the nearest float."""
    return ", ".join(f"{n} = {float(v)!r}" for n, v in values.items())
