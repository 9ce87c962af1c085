"""Runs that an impossibility certificate speaks of, in exact arithmetic: they must leave S in time.

From the witness the disturbance plays as the certificate says, against a few controllers: inputs
held at their ends or choices, and a greedy one that keeps the rank as high as it can. Each step is
held against the goals; where one fails, that is a counterexample. A replay proves nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, product

from nprl.lang.ranges import BITS, Enclosure, Interval, decide
from nprl.lang.terms import Formula
from nprl.model import Model
from nprl.shields.counterexample import Counterexample, Moment, Values, middle, point_text
from nprl.shields.losing import Impossible, Part

LONGEST = 1_000
"""Steps that are replayed to the end; of a longer claim the first `SHORT` are."""
SHORT = 50
MAX_HELD = 4
MAX_GRID = 64


@dataclass(frozen=True, slots=True)
class Run:
    """One controller's run: its moments, whether it left S, and what speaks against the claim."""

    inputs: str
    moments: tuple[Moment, ...]
    left: bool
    fault: Counterexample | None = None

    @property
    def steps(self) -> int:
        """How many steps were taken."""
        return len(self.moments) - 1


def bound(claim: Impossible) -> int | None:
    """In how many steps S is left, at the most; None where the witness is not in L."""
    start = _Point(claim.witness["init"])
    part = start.inside(claim)
    if part is None or start.holds(claim.model.safe) is False:
        return None if part is None else 0
    rank = start.of(part.rank).hi
    return None if isinstance(rank, float) else max(0, math.floor(rank / claim.decrease) + 1)


def replay(claim: Impossible) -> tuple[Run, ...]:
    """Runs against the certificate's disturbance; none where the witness is not in L."""
    most = bound(claim)
    if most is None:
        return ()
    model = claim.model
    grid = _grid(model, 3)
    ends = [*dict.fromkeys((grid[0], grid[-1]))] if model.choices is None else grid
    steps = most if most <= LONGEST else SHORT
    points = [dict(zip(model.action_names, point, strict=True)) for point in grid]
    held = [dict(zip(model.action_names, point, strict=True)) for point in ends[:MAX_HELD]]
    runs = [_run(claim, f"held at {point_text(u) or 'nothing'}", [u], steps, most) for u in held]
    if len(grid) > 1:
        runs.append(_run(claim, "chosen to keep the rank high", points, steps, most))
    return tuple(runs)


def _grid(model: Model, per_axis: int) -> list[tuple[Fraction, ...]]:
    """The choices, or points of the action box, its corners first and last."""
    if model.choices is not None:
        return list(model.choices[:MAX_GRID])
    axes = [
        [c.low + (c.high - c.low) * Fraction(k, per_axis - 1) for k in range(per_axis)]
        for c in model.action
    ]
    points = list(islice(product(*axes), MAX_GRID))
    top = tuple(axis[-1] for axis in axes)
    return [*[p for p in points if p != top], top]


class _Point:
    """A state, and what has been computed there."""

    def __init__(self, at: Mapping[str, Interval | Fraction]) -> None:
        self.at = at
        self.of = Enclosure(at, BITS).of

    def holds(self, f: Formula) -> bool | None:
        """Whether the formula holds, if that is certain."""
        return decide(f, self.of)

    def inside(self, claim: Impossible) -> Part | None:
        """The part of L that holds the state for certain, with the least rank."""
        parts = [p for p in claim.losing if all(self.of(g).lo >= 0 for g in p.rows)]
        return min(parts, key=lambda p: self.of(p.rank).hi, default=None)

    def values(self) -> Values:
        """The state's numbers, or numbers in the intervals."""
        return {n: v if isinstance(v, Fraction) else middle(v) for n, v in self.at.items()}


@dataclass(frozen=True, slots=True)
class _Move:
    """An action, the disturbance that answers, and the next state."""

    action: Values
    disturbance: Values
    after: _Point


def _run(claim: Impossible, inputs: str, choices: Sequence[Values], steps: int, most: int) -> Run:
    safe, moments = claim.model.safe, list[Moment]()
    x = _Point(claim.witness["init"])

    def ended(k: int, left: bool, goal: str = "", why: str = "") -> Run:
        rows = (*moments, Moment(k, x.values(), {}, {}))
        text = f"{why}, at step {k} with inputs {inputs}: {point_text(x.values())}"
        fault = Counterexample(goal, "step" if goal != "theorem" else "trace", rows, text)
        return Run(inputs, rows, left, fault if goal else None)

    for k in range(steps):
        part = x.inside(claim)
        if x.holds(safe) is False:
            return ended(k, True)
        if part is None:  # intervals grow where functions are met: then nothing more is known
            return ended(k, False)
        moves = [_played(claim.model, part, x, u) for u in choices]
        chosen = max(moves, key=lambda move: _worth(claim, move.after))
        problem = _problem(claim, part, x, chosen)
        if problem is not None:
            return ended(k, False, *problem)
        moments.append(Moment(k, x.values(), chosen.action, chosen.disturbance))
        x = chosen.after
    if x.holds(safe) is True and steps == most:
        return ended(steps, False, "theorem", "the state is safe, and should not be")
    return ended(steps, x.holds(safe) is False)


def _played(model: Model, part: Part, x: _Point, u: Values) -> _Move:
    now = _Point({**x.at, **u})
    w = {n: middle(now.of(t)) for n, t in part.disturbance.items()}
    then = _Point({**x.at, **u, **w})
    after = {n: then.of(t) for n, t in zip(model.state_names, model.steps, strict=True)}
    return _Move(u, w, _Point({n: middle(v) if v.lo == v.hi else v for n, v in after.items()}))


def _worth(claim: Impossible, after: _Point) -> tuple[bool, float]:
    """How good a next state is for the controller: safe, then of a high rank."""
    part = after.inside(claim)
    rank = math.inf if part is None else float(after.of(part.rank).hi)
    return after.holds(claim.model.safe) is not False, rank


def _problem(claim: Impossible, part: Part, x: _Point, move: _Move) -> tuple[str, str] | None:
    """The goal that a step breaks for certain, and how; None where it breaks none."""
    model = claim.model
    if x.holds(model.terminal) is True:
        return "live", "a state of L is terminal"
    if any(not c.low <= move.disturbance[c.name] <= c.high for c in model.disturbance):
        return "strategy", "the disturbance leaves its bounds"
    rank, after = x.of(part.rank), move.after
    if x.holds(model.safe) is True and rank.hi < 0:
        return "rank", "the rank of a safe state of L is negative"
    if x.holds(model.safe) is not True or after.holds(model.safe) is not True:
        return None
    for other in claim.losing:
        fallen = after.of(other.rank).lo <= rank.hi - claim.decrease
        if fallen and all(after.of(g).hi >= 0 for g in other.rows):
            return None
    return "losing", "a next state is safe, and in no part of L with a rank that has fallen"


def replayed(claim: Impossible) -> Counterexample | None:
    """The last replayed run of a claim, from its witness; None where none can be replayed."""
    runs = replay(claim)
    if not runs:
        return None
    text = f"under inputs {runs[-1].inputs}, the run from the witness"
    return Counterexample("theorem", "trace", tuple(runs[-1].moments), text)
