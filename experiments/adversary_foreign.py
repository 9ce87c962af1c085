"""Attack a shield in the foreign simulator itself: ``python -m experiments.adversary_foreign``.

    python -m experiments.adversary_foreign --env InvertedPendulum-v5 --steps 200000

Not the model runs here but Gymnasium's own environment, behind the `Shield` that users put around
it. Starts are its own resets, and states put on the boundary of the invariant; actions are random,
one extreme for a while, the worst of a grid for the model, or the worst that the shield lets pass.
Counted are violations of S and exits from I, judged exactly, steps at which the guarantee ended,
and how much of each disturbance's bound the plant used.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from tqdm import tqdm

from experiments.adversary_starts import Starts
from experiments.prove import PROVED, STEMS
from experiments.recheck import Floats, Referee
from nprl.env.binding import id_of
from nprl.env.plant import Plant
from nprl.shields.wrapper import Shield, ShieldWarning

SEGMENT = 40
"""Steps from a start to the next."""
BARE = 300
"""Steps of a run without the shield, at most; about one for four shielded."""
GRID = 17
FACETS = 1000
POLICIES = ("random", "bang-bang", "worst facet", "worst allowed")


@dataclass(slots=True)
class Outcome:
    """What an attack found."""

    env: str
    steps: int = 0
    violations: int = 0
    exits: int = 0
    unexplained: int = 0
    """Steps whose outcome is not the model's: the residual left its bound."""
    overrides: int = 0
    fallbacks: int = 0
    bare_violations: int = 0
    bare_runs: int = 0
    seconds: float = 0.0
    used: dict[str, float] = field(default_factory=dict)
    """The greatest part of each disturbance's bound that a step needed, where the step is its sum."""

    @property
    def passed(self) -> bool:
        """Whether the shield held, and the same policies without it did harm."""
        return not (self.violations or self.exits or self.unexplained) and bool(
            self.bare_violations
        )


class Attack:
    """One environment and certificate under attack."""

    def __init__(self, env_id: str, certificate: Path, seed: int) -> None:
        """Make the environment, prove or look up the certificate, find starts."""
        self.shield = Shield(gym.make(id_of(env_id), max_episode_steps=10**9), certificate)
        self.binding, self.filter = self.shield.binding, self.shield.filter
        self.model = self.filter.model
        self.plant, self.referee = Plant(self.model), Referee(certificate)
        self.rng = np.random.default_rng(seed)
        witness = self.filter.certificate.witness["invariant"]
        self.starts = Starts(self.model, witness, self.referee, self.rng, FACETS)
        low, high = self.plant.actions.low, self.plant.actions.high
        axes = [
            np.linspace(a, b, max(2, round(GRID ** (1 / len(low)))))
            for a, b in zip(low, high, strict=True)
        ]
        self.grid = np.stack([g.ravel() for g in np.meshgrid(*axes)], axis=1)
        self.extremes = self.grid[((self.grid == low) | (self.grid == high)).all(axis=1)]
        self.centre = np.array([[float(v) for v in self.model.nominal().values()]])
        self.outcome = Outcome(env_id)

    def run(self, steps: int, quiet: bool) -> Outcome:
        """Attack for at least ``steps`` steps."""
        began = time.process_time()
        o = self.outcome
        with (
            tqdm(total=steps, disable=quiet or None, leave=False) as bar,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore", ShieldWarning)  # they are counted
            warnings.filterwarnings("ignore", module="gymnasium")
            while o.steps < steps:
                for policy in POLICIES:
                    self._segment(policy)
                    self._bare(policy)
                bar.update(o.steps - bar.n)
        o.seconds = round(time.process_time() - began, 1)
        return o

    def _start(self) -> None:
        options = dict(self.binding.reset_options)
        self.shield.reset(seed=int(self.rng.integers(2**31)), options=options or None)
        if self.rng.random() < 0.75:
            self.binding.write_state(self.shield.env, self.starts.draw(1)[0][0])

    def _segment(self, policy: str) -> None:
        """One run behind the shield."""
        o = self.outcome
        self._start()
        held = self.extremes[self.rng.integers(len(self.extremes))]
        before, states = np.array(self.binding.read_state(self.shield.env)), []
        for _ in range(SEGMENT):
            if self.rng.random() < 0.1:
                held = self.extremes[self.rng.integers(len(self.extremes))]
            units = self._action(policy, before, held)
            _, _, ended, _, info = self.shield.step(self.binding.from_units(units))
            after = np.array(self.binding.read_state(self.shield.env))
            states.append(after)
            o.overrides += info["shield/overridden"]
            o.fallbacks += info["shield/fallback"]
            if not info["shield/guaranteed"]:
                o.unexplained += 1
                break
            if not info["shield/overridden"]:
                self._used(before, units, after)
            if ended or self.plant.terminal(after.tolist()):
                break
            before = after
        points = np.array(states)
        o.steps += len(points)
        o.exits += int(np.count_nonzero(~self.referee.inside(points, keep=True)))
        o.violations += int(np.count_nonzero(~self.referee.safely(points)))

    def _used(self, before: Floats, units: Floats, after: Floats) -> None:
        """What of each bound the step needed, where next states are sums with one disturbance each."""
        if len(self.model.disturbance) != len(self.model.state):
            return
        nominal = self.plant.step_batch(before[None], units[None], self.centre)[0]
        for c, off in zip(self.model.disturbance, (after - nominal).tolist(), strict=True):
            part = abs(off - float(c.low + c.high) / 2) / (float(c.high - c.low) / 2)
            self.outcome.used[c.name] = max(self.outcome.used.get(c.name, 0.0), part)

    def _bare(self, policy: str) -> None:
        """The same kind of run without the shield: an attack that never harms is none."""
        o = self.outcome
        if o.bare_runs * 4 * BARE > o.steps:
            return
        self._start()
        o.bare_runs += 1
        held = self.extremes[self.rng.integers(len(self.extremes))]
        inner = self.shield.env.unwrapped
        for _ in range(BARE):
            state = np.array(self.binding.read_state(self.shield.env))
            name = "worst facet" if policy == "worst allowed" else policy
            inner.step(self.binding.from_units(self._action(name, state, held)))
            now = np.array([self.binding.read_state(self.shield.env)])
            if not self.referee.safely(now)[0]:
                o.bare_violations += 1
                return
            if self.plant.terminal(now[0].tolist()):
                return

    def _action(self, policy: str, state: Floats, held: Floats) -> Floats:
        """The next proposed action, in units."""
        if policy == "random":
            low, high = self.plant.actions.low, self.plant.actions.high
            return np.asarray(self.rng.uniform(low, high))
        if policy == "bang-bang":
            return held
        x = np.repeat(state[None], len(self.grid), axis=0)
        w = np.repeat(self.centre, len(self.grid), axis=0)
        value = self.referee.about(self.plant.step_batch(x, self.grid, w))
        if policy == "worst allowed":
            allowed = self.filter.passes_batch(x, self.grid)
            value = np.where(allowed, value, np.inf)
            if not allowed.any():
                return held
        return np.asarray(self.grid[int(np.argmin(value))])


def report(o: Outcome) -> str:
    """The outcome in a few lines."""
    used = ", ".join(f"{name} {part:.3f}" for name, part in o.used.items())
    return (
        f"{o.env}: {o.steps:,} shielded steps in the simulator, {o.seconds} s: {o.violations} "
        f"violations, {o.exits} exits from I, {o.unexplained} steps that are not the model's; "
        f"{o.overrides:,} overrides, {o.fallbacks:,} by the backup untested\n"
        f"  bare: {o.bare_violations:,} of {o.bare_runs:,} runs of up to {BARE} steps violate"
        + (f"\n  part of each bound used: {used}" if used else "")
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the attack; 0 if the shield held and the attack was one, 1 if not, 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.adversary_foreign",
        description=__doc__.split("\n")[0],
        allow_abbrev=False,
    )
    parser.add_argument("--env", required=True, help="the environment's id")
    parser.add_argument("--certificate", type=Path, help="default: the shipped one")
    parser.add_argument("--steps", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON, and no progress")
    args = parser.parse_args(argv)
    if args.steps < 1:
        parser.error(f"--steps is at least 1; got {args.steps}")
    if args.certificate is None and args.env not in STEMS:
        parser.error(f"no shipped certificate for {args.env}; name one by --certificate")
    path = args.certificate or PROVED / f"{STEMS[args.env]}.json"
    try:
        outcome: Any = Attack(args.env, path, args.seed).run(args.steps, args.json)
    except (ValueError, OSError) as error:
        print(f"adversary: {error}", file=sys.stderr)
        return 2
    print(json.dumps(asdict(outcome), indent=1) if args.json else report(outcome))
    return 0 if outcome.passed else 1


if __name__ == "__main__":
    sys.exit(main())
