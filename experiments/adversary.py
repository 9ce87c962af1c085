"""Attack every shipped shield: ``python -m experiments.adversary``.

A million shielded steps for each system. Starts lie on the facets and vertices of the invariant I
too; disturbances are the worst corners; actions are random, constantly extreme, the worst of a
grid, or the very last that the test lets pass, as float32 and as float64, some of them NaN. Batches
and single states take turns. Each state after a step is judged exactly, by `recheck`, which shares
no code with the shield: the counts of exits from I and of violations of S must be 0. The same
actions without the shield must violate, or the attack was none.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linprog
from scipy.spatial import HalfspaceIntersection, QhullError

from experiments.recheck import Floats, Referee, running
from nprl.env.plant import Plant
from nprl.shields import Filter, load_certificate

LANES = 1000
SEGMENT = 25
"""Steps from a start to the next: attacks go on at the boundary, where they begin."""
FACETS = 4000
SINGLE = 20
"""One in so many lanes is stepped by the scalar filter and plant."""
GRID = 7


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
    decided_in_fractions: int
    bare_runs: int
    bare_violations: int
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether the shield held and the attack was one."""
        return not self.violations and not self.exits and self.bare_violations > 0


class Attack:
    """One system under attack."""

    def __init__(self, path: str | Path, seed: int, proved: bool = True) -> None:
        """Load the certificate and find the starts on the boundary of its invariant."""
        self.filter = (
            Filter.from_file(path) if proved else Filter(load_certificate(path), trusted=True)
        )
        self.model = self.filter.model
        self.plant = Plant(self.model)
        self.referee = Referee(path)
        self.rng = np.random.default_rng(seed)
        centre = self.filter.certificate.witness["invariant"]
        self.centre = np.array([float(centre[n]) for n in self.model.state_names])
        self.vertices = self.pushed_inside(self._vertices())
        self.facets = self.pushed_inside(self._rays(FACETS))
        self.referee.smallest = None
        box = [(float(c.low), float(c.high)) for c in self.model.disturbance]
        self.corners = np.array(list(itertools.product(*box))).reshape(2 ** len(box), len(box))
        self.grid = self._grid()

    def _grid(self) -> Any:
        """Learner's actions: a grid with its corners, or every choice."""
        if self.model.choices is not None:
            return np.arange(len(self.model.choices))
        low, high = self._action_box()
        axes = [np.linspace(a, b, GRID) for a, b in zip(low, high, strict=True)]
        return np.array(list(itertools.product(*axes)))

    def _action_box(self) -> tuple[Floats, Floats]:
        actions = self.plant.actions
        one = np.ones(actions.dim)
        return (-one, one) if actions.scaled else (actions.low, actions.high)

    def _rays(self, count: int) -> Floats:
        """Points just outside I on random rays from the witness: all over the boundary."""
        d = self.rng.normal(size=(count, len(self.centre)))
        size = np.array([float(c.high - c.low) for c in self.model.state])
        d *= size / np.linalg.norm(d, axis=1)[:, None]
        inner, outer = np.zeros(count), np.ones(count)
        for _ in range(60):
            middle = (inner + outer) / 2
            inside = self._about_inside(self.centre + middle[:, None] * d)
            inner, outer = np.where(inside, middle, inner), np.where(inside, outer, middle)
        return self.centre + outer[:, None] * d

    def _about_inside(self, x: Floats) -> Any:
        columns = dict(zip(self.referee.names, x.T, strict=True))
        parts = [[running(g, columns)[0] for g in part] for part in self.referee.parts]
        return np.any([np.min(rows, axis=0) >= 0 for rows in parts], axis=0)

    def _vertices(self) -> Floats:
        """The vertices of the parts that are polytopes, up to rounding."""
        n, found = len(self.centre), []
        points = np.concatenate([np.zeros((1, n)), np.eye(n), 2 * np.eye(n), np.ones((1, n))])
        columns = dict(zip(self.referee.names, points.T, strict=True))
        for part in self.referee.parts:
            values = np.array([np.broadcast_to(running(g, columns)[0], len(points)) for g in part])
            c, h = values[:, 0], values[:, 1 : n + 1] - values[:, :1]
            again = np.concatenate([c[:, None] + 2 * h, (c + h.sum(axis=1))[:, None]], axis=1)
            if not np.allclose(again, values[:, n + 1 :], rtol=1e-9, atol=1e-9):
                continue  # not affine
            norms = np.linalg.norm(h, axis=1)
            best = linprog(
                np.r_[np.zeros(n), -1], np.c_[-h, norms], c, bounds=[(None, None)] * (n + 1)
            )
            try:
                corners = HalfspaceIntersection(np.c_[-h, -c], best.x[:n]).intersections
            except (QhullError, ValueError, TypeError):
                continue
            found.append(np.unique(corners, axis=0))
        return np.concatenate(found) if found else np.zeros((0, n))

    def pushed_inside(self, x: Floats) -> Floats:
        """The points, drawn towards the witness until they lie in I, exactly; or left out."""
        result, kept = x.copy(), np.zeros(len(x), dtype=np.bool_)
        for k in (60, *range(53, 10, -3)):
            trial = self.centre + (x - self.centre) * (1 - 2.0**-k)
            if self.model.arithmetic.state == "float32":
                trial = trial.astype(np.float32).astype(np.float64)
            inside = np.zeros(len(x), dtype=np.bool_)
            inside[~kept] = self.referee.inside(trial[~kept])
            result[inside] = trial[inside]
            kept |= inside
        return result[kept]

    def starts(self, n: int) -> tuple[Floats, int, int]:
        """``n`` starts: vertices, facets, the initial box; with how many of the first two."""
        kinds = self.rng.integers(3, size=n)
        init = np.array([[float(v) for v in self.model.init[s]] for s in self.model.state_names])
        x = self.rng.uniform(init[:, 0], init[:, 1], (n, len(init)))
        for kind, points in ((0, self.vertices), (1, self.facets)):
            rows = np.flatnonzero(kinds == kind)
            if len(points):
                x[rows] = points[self.rng.integers(len(points), size=len(rows))]
        smallest = (
            self.referee.smallest
        )  # of states after a step; starts lie on the boundary anyway
        inside = self.referee.inside(x)
        self.referee.smallest = smallest
        if not inside.all():
            raise ValueError(f"{self.model.name}: a start is not in I; the certificate is wrong")
        vertices = int(np.count_nonzero(kinds == 0)) if len(self.vertices) else 0
        return x, vertices, int(np.count_nonzero(kinds == 1))

    def rows_after(self, x: Floats, units: Floats, w: Floats) -> Floats:
        """About how far inside I the state after a step is, for each row."""
        after = self.plant.step_batch(x, units, w)
        columns = dict(zip(self.referee.names, after.T, strict=True))
        parts = [np.min([running(g, columns)[0] for g in p], axis=0) for p in self.referee.parts]
        return np.asarray(np.max(parts, axis=0))

    def actions(self, x: Floats, constant: Floats, kind: Any) -> Any:
        """Learner's: random (0), constantly extreme (1), worst of a grid (2), worst allowed (3)."""
        n, size = len(x), len(self.grid)
        result = constant.copy()
        rows = np.flatnonzero(kind == 0)
        if self.model.choices is not None:
            result[rows] = self.rng.integers(size, size=len(rows))
        else:
            low, high = self._action_box()
            result[rows] = self.rng.uniform(low, high, (len(rows), len(low)))
            single = self.rng.random(n) < 0.5
            result[single] = result[single].astype(np.float32)
        rows = np.flatnonzero(kind >= 2)
        every = np.repeat(x[rows], size, axis=0)
        tiled = np.tile(self.grid, (len(rows),) + (1,) * (self.grid.ndim - 1))
        units = self.plant.actions.to_units_batch(tiled)
        w = np.broadcast_to(self.corners.mean(axis=0), (len(every), self.corners.shape[1]))
        value = self.rows_after(every, units, w).reshape(len(rows), size)
        allowed = self.filter.passes_batch(every, units).reshape(len(rows), size)
        worst = self.grid[np.argmin(value, axis=1)]
        mildest = self.grid[np.argmin(np.where(allowed, value, np.inf), axis=1)]
        edge = (kind[rows] == 3) & allowed.any(axis=1)
        result[rows] = worst
        result[rows[edge]] = self._edge(x[rows[edge]], mildest[edge], worst[edge])
        return result

    def _edge(self, x: Floats, allowed: Any, worst: Any) -> Any:
        """Between an allowed action and the worst: the last float64 that the test lets pass."""
        if self.model.choices is not None:
            return allowed
        for _ in range(56):
            middle = (allowed + worst) / 2
            ok = self.filter.passes_batch(x, self.plant.actions.to_units_batch(middle))[:, None]
            allowed, worst = np.where(ok, middle, allowed), np.where(ok, worst, middle)
        return allowed

    def disturbances(self, x: Floats, units: Floats) -> Floats:
        """The corner that harms most for one half of the rows, a random corner, or anything."""
        n, k = len(x), len(self.corners)
        if self.corners.shape[1] == 0:
            return np.zeros((n, 0))
        value = [self.rows_after(x, units, np.broadcast_to(c, (n, len(c)))) for c in self.corners]
        worst = self.corners[np.argmin(value, axis=0)]
        some = self.corners[self.rng.integers(k, size=n)]
        between = self.rng.uniform(self.corners.min(axis=0), self.corners.max(axis=0), worst.shape)
        choice = self.rng.random((n, 1))
        return np.where(choice < 0.5, worst, np.where(choice < 0.75, some, between))

    def decide(self, x: Floats, units: Floats) -> tuple[Floats, Any]:
        """The shield's actions: in one batch, and one by one for every ``SINGLE``-th row."""
        chosen, overridden = self.filter.filter_batch(x, units)
        for k in range(0, len(x), SINGLE):
            decision = self.filter.filter(x[k].tolist(), units[k].tolist())
            chosen[k], overridden[k] = decision.action, decision.overridden
        return chosen, overridden

    def step(self, x: Floats, units: Floats, w: Floats) -> Floats:
        """The plant's: in one batch, and one by one for every ``SINGLE``-th row."""
        after = self.plant.step_batch(x, units, w)
        for k in range(0, len(x), SINGLE):
            after[k] = self.plant.step(x[k].tolist(), units[k].tolist(), w[k].tolist())
        return after

    def run(self, steps: int) -> Outcome:
        """Attack for at least ``steps`` steps."""
        began, done = time.monotonic(), 0
        count = dict.fromkeys(("violations", "exits", "overrides", "fallbacks"), 0)
        count |= dict.fromkeys(("vertices", "facets", "runs", "bare"), 0)
        while done < steps:
            x, vertices, facets = self.starts(LANES)
            count["vertices"] += vertices
            count["facets"] += facets
            bare, fallen = x.copy(), np.zeros(LANES, dtype=np.bool_)
            kind = np.arange(LANES) % 4
            ends = self.grid[[0, -1]]
            constant = ends[self.rng.integers(2, size=LANES)]
            for _ in range(SEGMENT):
                wish = self.actions(x, constant, kind)
                units = self.plant.actions.to_units_batch(wish)
                w = self.disturbances(x, units)
                with np.errstate(all="ignore"):
                    bare = np.where(fallen[:, None], bare, self.plant.step_batch(bare, units, w))
                fallen |= ~self.plant.verdict_batch(bare)[0]
                if self.model.choices is None:
                    units[self.rng.random(LANES) < 0.01] = np.nan
                chosen, overridden = self.decide(x, units)
                w = np.where(overridden[:, None], self.disturbances(x, chosen), w)
                count["overrides"] += int(np.count_nonzero(overridden))
                tested = self.filter.passes_batch(x, chosen)
                count["fallbacks"] += int(np.count_nonzero(~tested))
                x = self.step(x, chosen, w)
                inside, safe = self.referee.inside(x), self.referee.safely(x)
                count["exits"] += int(np.count_nonzero(~inside))
                count["violations"] += int(np.count_nonzero(~safe))
                done += LANES
                over = ~inside | self.plant.verdict_batch(x)[1]
                if over.any():
                    x[over] = self.starts(int(np.count_nonzero(over)))[0]
            count["runs"] += LANES
            count["bare"] += int(np.count_nonzero(fallen))
        smallest = self.referee.smallest
        assert smallest is not None
        return Outcome(
            name=self.model.name,
            steps=done,
            violations=count["violations"],
            exits=count["exits"],
            overrides=count["overrides"],
            fallbacks=count["fallbacks"],
            smallest_margin=float(smallest),
            smallest_margin_exact=str(Fraction(smallest)),
            starts_on_vertices=count["vertices"],
            starts_on_facets=count["facets"],
            decided_in_fractions=self.referee.decided_exactly,
            bare_runs=count["runs"],
            bare_violations=count["bare"],
            seconds=round(time.monotonic() - began, 1),
        )


def shipped() -> dict[str, Path]:
    """The certificates of this package, by the name of their model."""
    folder = Path(str(resources.files("nprl.shields.proved")))
    found = {}
    for path in sorted(folder.glob("*.json")):
        data = json.loads(path.read_bytes())
        if "model" in data:
            found[data["model"]["name"]] = path
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the attacks; 0 if every shield held and every attack was one, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.adversary", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--env", help="only this system, by its id (default: all that are shipped)")
    parser.add_argument("--certificate", type=Path, help="only this certificate's file")
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(argv)
    if args.certificate is not None:
        paths = [args.certificate]
    else:
        known = shipped()
        names = [n for n in known if args.env in (None, n, n.rpartition("/")[2])]
        if not names:
            wanted = args.env or "any system"
            parser.error(
                f"no shipped certificate for {wanted}; there are: {', '.join(known) or 'none'}"
            )
        paths = [known[n] for n in names]
    outcomes = []
    for path in paths:
        try:
            outcome = Attack(path, args.seed).run(args.steps)
        except ValueError as error:
            print(f"adversary: {error}", file=sys.stderr)
            return 2
        outcomes.append(outcome)
        if not args.json:
            print(report(outcome), flush=True)
    if args.json:
        print(json.dumps([asdict(o) for o in outcomes], indent=1))
    return 0 if all(o.passed for o in outcomes) else 1


def report(o: Outcome) -> str:
    """The outcome in a few lines."""
    return (
        f"{o.name}: {o.steps:,} shielded steps in {o.seconds} s: {o.violations} violations, "
        f"{o.exits} exits from I; smallest exact margin {o.smallest_margin:.3g}\n"
        f"  {o.overrides:,} overrides, {o.fallbacks:,} of them by the backup untested; starts: "
        f"{o.starts_on_vertices:,} on vertices, {o.starts_on_facets:,} on facets; "
        f"{o.decided_in_fractions:,} states decided in fractions\n"
        f"  bare, the same actions: {o.bare_violations:,} of {o.bare_runs:,} runs of {SEGMENT} "
        "steps violate"
    )


if __name__ == "__main__":
    sys.exit(main())
