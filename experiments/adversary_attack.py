"""One attack: many lanes of a system stepped at once, the shield asked, each state judged exactly.

Some lanes play random actions, some one extreme for ever, some the worst action of a grid, some the
very last action that the shield's test lets pass, as float32 or float64, a few of them NaN. The
disturbance is mostly the corner that harms most. A rotating share of the lanes is decided and
stepped one at a time. The same actions on the plant without the shield are the control.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from experiments.adversary_starts import Starts
from experiments.recheck import Bools, Floats, Referee
from nprl.env.plant import Plant
from nprl.env.sampling import Uniform
from nprl.shields import Filter, load_certificate
from nprl.shields.plans import Coverage, Lanes

LANES = 1000
SEGMENT = 25
"""Steps from a start to the next: attacks go on at the boundary, where they begin."""
LONGEST = 400
"""A slow plant needs longer to violate: segments are doubled up to this, until one does."""
SINGLE = 21
"""One in so many lanes is decided and stepped by the scalar filter and plant."""
GRID, GRID_POINTS = 7, 49
"""Points per axis of the grid of actions, and at most so many in all (but all corners)."""
CORNERS = 64
SECTIONS, ROUNDS = 8, 19
"""The last action that passes is sought to 1 / SECTIONS ** ROUNDS of an interval."""
KEPT_FAULTS = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attack on one system found."""

    name: str
    steps: int
    violations: int
    exits: int
    overrides: int
    fallbacks: int
    smallest_margin: float
    smallest_margin_exact: str
    starts_on_vertices: int
    starts_on_facets: int
    decided_exactly: int
    bare_runs: int
    bare_violations: int
    longest_run: int
    on_plans: int
    """Steps after which the state was outside I, on a committed plan."""
    seconds: float
    faults: list[str] = field(default_factory=list)
    """The first steps that left I or S: every number of them, to repeat them."""

    @property
    def passed(self) -> bool:
        """Whether the shield held."""
        return not self.violations and not self.exits


class Attack:
    """One system under attack."""

    def __init__(self, path: str | Path, seed: int, proved: bool = True) -> None:
        """Load the certificate and find the starts on the boundary of its invariant."""
        self.began = time.monotonic()
        self.filter = (
            Filter.from_file(path) if proved else Filter(load_certificate(path), trusted=True)
        )
        self.model = self.filter.model
        self.lanes: Lanes | None = None
        if self.filter.certificate.shield.plans is not None:
            self.lanes = Lanes(Coverage(self.filter), LANES)
        self.plant = Plant(self.model)
        self.referee = Referee(path)
        self.rng = np.random.default_rng(seed)
        self.starts = Starts(
            self.model, self.filter.certificate.witness["invariant"], self.referee, self.rng
        )
        self.gusts = Uniform([(c.low, c.high) for c in self.model.disturbance])
        ends = np.stack([self.gusts.low, self.gusts.high])
        self.corners = self._corners(ends)
        self.grid, self.extremes = self._grid()
        self.segment = SEGMENT
        self.count: Counter[str] = Counter()
        self.faults: list[str] = []

    def _corners(self, ends: Floats) -> Floats:
        """The corners of the disturbance's box, or many of them, drawn."""
        k = ends.shape[1]
        if 2**k <= CORNERS:
            picks = np.array(list(itertools.product((0, 1), repeat=k)), dtype=np.int64)
        else:
            picks = self.rng.integers(2, size=(CORNERS, k))
        return np.asarray(ends[picks, np.arange(k)])

    def _grid(self) -> tuple[Any, Any]:
        """Learner's actions: a grid with its corners, or every choice; and the extreme ones."""
        if self.model.choices is not None:
            every = np.arange(len(self.model.choices))
            return every, every[[0, -1]]
        low, high = self._action_box()
        points = next(k for k in range(GRID, 1, -1) if k == 2 or k ** len(low) <= GRID_POINTS)
        axes = [np.linspace(a, b, points) for a, b in zip(low, high, strict=True)]
        grid = np.array(list(itertools.product(*axes)))
        return grid, grid[((grid == low) | (grid == high)).all(axis=1)]

    def _action_box(self) -> tuple[Floats, Floats]:
        actions = self.plant.actions
        one = np.ones(actions.dim)
        return (-one, one) if actions.scaled else (actions.low, actions.high)

    def run(self, steps: int, tell: Callable[[int, str], object] | None = None) -> Outcome:
        """Attack for at least ``steps`` steps; ``tell`` hears of each so many, with the news."""
        while self.count["steps"] < steps:
            self._segment(tell)
            if not self.count["bare"]:
                self.segment = min(2 * self.segment, LONGEST)
        smallest, count = self.referee.smallest, self.count
        assert smallest is not None
        return Outcome(
            name=self.model.name,
            steps=count["steps"],
            violations=count["violations"],
            exits=count["exits"],
            overrides=count["overrides"],
            fallbacks=count["fallbacks"],
            smallest_margin=float(smallest),
            smallest_margin_exact=str(smallest),
            starts_on_vertices=count["vertices"],
            starts_on_facets=count["facets"],
            decided_exactly=self.referee.decided_exactly,
            bare_runs=count["runs"],
            bare_violations=count["bare"],
            longest_run=self.segment,
            on_plans=count["on_plans"],
            seconds=round(time.monotonic() - self.began, 1),
            faults=self.faults,
        )

    def _segment(self, tell: Callable[[int, str], object] | None) -> None:
        """``segment`` steps of every lane, from fresh starts."""
        count = self.count
        x, vertices, facets = self.starts.draw(LANES)
        count.update(vertices=vertices, facets=facets, runs=LANES)
        self._forget(np.ones(LANES, dtype=np.bool_))
        bare, fallen = x.copy(), np.zeros(LANES, dtype=np.bool_)
        kind = np.arange(LANES) % 4
        constant = self.extremes[self.rng.integers(len(self.extremes), size=LANES)]
        for k in range(self.segment):
            single = np.arange(k % SINGLE, LANES, SINGLE)
            units = self._units(x, constant, kind, single)
            w = self._disturbances(x, units)
            with np.errstate(all="ignore"):
                bare = np.where(fallen[:, None], bare, self.plant.step_batch(bare, units, w))
            fallen |= ~self.plant.verdict_batch(bare)[0]
            if self.model.choices is None:
                units[self.rng.random(LANES) < 0.01] = np.nan
            chosen, overridden, planned = self._decide(x, units, single)
            rows = np.flatnonzero(overridden)
            w[rows] = self._disturbances(x[rows], chosen[rows])
            tested = planned[rows] | self.filter.passes_batch(x[rows], chosen[rows])
            after = self._step(x, chosen, w, single)
            inside, safe = self.referee.inside(after, keep=True), self.referee.safely(after)
            if self.lanes is not None:
                count.update(on_plans=int(np.count_nonzero(~inside)))
                inside |= self.lanes.holds(after, np.zeros(LANES, dtype=np.bool_))
            for row in np.flatnonzero(~inside | ~safe)[: KEPT_FAULTS - len(self.faults)].tolist():
                self.faults.append(self._fault(x, units, chosen, w, after, row, row in single))
            count.update(
                steps=LANES,
                overrides=len(rows),
                fallbacks=int(np.count_nonzero(~tested)),
                exits=int(np.count_nonzero(~inside)),
                violations=int(np.count_nonzero(~safe)),
            )
            x = after
            over = ~inside | self.plant.verdict_batch(x)[1]
            if over.any():
                x[over] = self.starts.draw(int(np.count_nonzero(over)))[0]
                self._forget(over)
            if tell is not None:
                tell(LANES, f"{count['violations']} violations, {count['exits']} exits")
        count.update(bare=int(np.count_nonzero(fallen)))

    def _forget(self, lanes: Bools) -> None:
        """Reset the plans of lanes that begin anew."""
        if self.lanes is not None:
            for lane in np.flatnonzero(lanes):
                self.lanes.planners[lane].reset()

    def _units(self, x: Floats, constant: Any, kind: Any, single: Any) -> Floats:
        """What is proposed, in units: by the batch's map from learner's actions, or the scalar."""
        wish = self._wishes(x, constant, kind)
        units = self.plant.actions.to_units_batch(wish)
        if self.model.choices is not None:
            for k in single:
                units[k] = self.plant.to_units(wish[k])
            return units
        narrow = (self.rng.random(len(x)) < 0.5) & (kind != 3)
        units[narrow] = self.plant.actions.to_units_batch(wish[narrow].astype(np.float32))
        for k in single:
            units[k] = self.plant.to_units(wish[k].astype(np.float32) if narrow[k] else wish[k])
        return units

    def _wishes(self, x: Floats, constant: Any, kind: Any) -> Any:
        """Learner's: random (0), constantly extreme (1), worst of a grid (2), worst allowed (3)."""
        result = constant.copy()
        rows = np.flatnonzero(kind == 0)
        if self.model.choices is not None:
            result[rows] = self.rng.integers(len(self.grid), size=len(rows))
        else:
            low, high = self._action_box()
            result[rows] = self.rng.uniform(low, high, (len(rows), len(low)))
        rows = np.flatnonzero(kind >= 2)
        every, units = self._on_grid(x[rows])
        w = np.broadcast_to(self.corners.mean(axis=0), (len(every), self.corners.shape[1]))
        value = self._about_after(every, units, w).reshape(len(rows), -1)
        worst = self.grid[np.argmin(value, axis=1)]
        result[rows] = worst
        edge = kind[rows] == 3
        rows, value, worst = rows[edge], value[edge], worst[edge]
        allowed = self.filter.passes_batch(*self._on_grid(x[rows])).reshape(value.shape)
        mildest = self.grid[np.argmin(np.where(allowed, value, np.inf), axis=1)]
        some = allowed.any(axis=1)
        result[rows[some]] = self._edge(x[rows[some]], mildest[some], worst[some])
        return result

    def _on_grid(self, x: Floats) -> tuple[Floats, Floats]:
        """Each state with each action of the grid, in units."""
        tiled = np.tile(self.grid, (len(x),) + (1,) * (self.grid.ndim - 1))
        return np.repeat(x, len(self.grid), axis=0), self.plant.actions.to_units_batch(tiled)

    def _about_after(self, x: Floats, units: Floats, w: Floats) -> Floats:
        """About how far inside I the state after a step is, for each row."""
        return self.referee.about(self.plant.step_batch(x, units, w))

    def _edge(self, x: Floats, allowed: Any, worst: Any) -> Any:
        """Between an allowed action and the worst: the last float64 that the test lets pass."""
        if self.model.choices is not None or not len(x):
            return allowed
        n, m = allowed.shape
        share = np.arange(1, SECTIONS)[None, :, None] / SECTIONS
        many, rows = np.repeat(x, SECTIONS - 1, axis=0), np.arange(n)
        for _ in range(ROUNDS):
            between = allowed[:, None] + (worst - allowed)[:, None] * share
            units = self.plant.actions.to_units_batch(between.reshape(-1, m))
            passes = self.filter.passes_batch(many, units).reshape(n, -1)
            first = np.where(passes.all(axis=1), SECTIONS - 1, np.argmin(passes, axis=1))
            ends = np.concatenate([allowed[:, None], between, worst[:, None]], axis=1)
            allowed, worst = ends[rows, first], ends[rows, first + 1]
        return allowed

    def _disturbances(self, x: Floats, units: Floats) -> Floats:
        """The corner that harms most for one half of the rows, a random corner, or anything."""
        n, k = len(x), len(self.corners)
        if self.corners.shape[1] == 0:
            return np.zeros((n, 0))
        value = [self._about_after(x, units, np.broadcast_to(c, (n, len(c)))) for c in self.corners]
        worst = self.corners[np.argmin(value, axis=0)]
        some = self.corners[self.rng.integers(k, size=n)]
        between = self.gusts.place(self.rng.random(worst.shape))
        choice = self.rng.random((n, 1))
        return np.where(choice < 0.5, worst, np.where(choice < 0.75, some, between))

    def _decide(self, x: Floats, units: Floats, single: Any) -> tuple[Floats, Bools, Bools]:
        """The shield's actions: in one batch, and one by one for the rows ``single``.

        With them which rows were replaced, and which of the actions are allowed by a plan.
        """
        if self.lanes is not None:
            found = self.lanes.decide(x, units)
            replaced, untested = np.array([[d.overridden, d.fallback] for d in found]).T
            return np.array([d.action for d in found]), replaced, ~untested
        chosen, overridden = self.filter.filter_batch(x, units)
        for k in single:
            decision = self.filter.filter(x[k].tolist(), units[k].tolist())
            chosen[k], overridden[k] = decision.action, decision.overridden
        return chosen, overridden, np.zeros(len(x), dtype=np.bool_)

    def _step(self, x: Floats, units: Floats, w: Floats, single: Any) -> Floats:
        """The plant's: in one batch, and one by one for the rows ``single``."""
        after = self.plant.step_batch(x, units, w)
        for k in single:
            after[k] = self.plant.step(x[k].tolist(), units[k].tolist(), w[k].tolist())
        return after

    def _fault(
        self, x: Floats, units: Floats, chosen: Floats, w: Floats, after: Floats, k: int, one: bool
    ) -> str:
        """A step that left I or S, in numbers that repeat it."""
        margin: Fraction | None = None
        if np.isfinite(after[k]).all():
            (whole,), unit = self.referee.margins(after[[k]])
            margin = Fraction(whole, unit)
        return (
            f"{'scalar' if one else 'batch'}: state {x[k].tolist()}, proposed {units[k].tolist()}, "
            f"applied {chosen[k].tolist()}, disturbance {w[k].tolist()}, after {after[k].tolist()}, "
            f"exact margin {margin}"
        )
