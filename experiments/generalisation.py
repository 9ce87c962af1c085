"""What is left of a return where the world is another: ``python -m experiments.generalisation``.

The best frozen program of an environment and the public network that it came from play the same
episodes in worlds that neither has seen: other masses, friction, damping and gravity in MuJoCo,
gravity and wind for the lander. Nothing is fitted here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import joblib
import numpy as np
from matplotlib.figure import Figure

from experiments.options import Parser
from experiments.programs import path_of
from experiments.targets import REPORT
from experiments.teachers import oracles, teacher_of
from nprl.distill.rollout import Floats
from nprl.env.policy import Policy
from nprl.env.task import Task, load_task
from nprl.evaluate import paired_ci95
from nprl.files import write_atomic
from nprl.loops import from_data
from nprl.report.picture import BLUE, ORANGE, PALE, figure, png
from nprl.report.tables import markdown_table, text_table

ENVS = ("LunarLander-v3", "LunarLanderContinuous-v3", "Hopper-v5", "HalfCheetah-v5")
FACTORS = (0.7, 0.85, 1.0, 1.15, 1.3)
GRAVITIES = (-7.0, -8.5, -10.0, -11.0, -11.9)
WINDS = (0.0, 5.0, 10.0, 15.0, 20.0)
COLUMNS = ("environment", "what", "times, or to", "program", "network", "difference, 95 %")


@dataclass(frozen=True, slots=True)
class World:
    """What is changed, to which value or by which factor; how an environment is made so."""

    what: str
    value: float
    kwargs: Mapping[str, Any]
    change: Callable[[gym.Env[Any, Any]], None]


@dataclass(frozen=True, slots=True)
class Row:
    """Mean returns in one world, and the paired interval of program less network."""

    env: str
    what: str
    value: float
    program: float
    network: float
    difference: tuple[float, float]


def worlds(env: str) -> Iterator[World]:
    """All that are tried."""
    if env.startswith("LunarLander"):
        for g in GRAVITIES:
            yield World("gravity", g, {"gravity": g}, _nothing)
        for w in WINDS:
            yield World("wind", w, {"enable_wind": w > 0, "wind_power": w}, _nothing)
        return
    for factor in FACTORS:
        for what, arrays in (
            ("mass", ("body_mass", "body_inertia")),
            ("friction", ("geom_friction",)),
            ("damping", ("dof_damping",)),
        ):
            yield World(what, factor, {}, _scaled(arrays, factor))


def _nothing(env: gym.Env[Any, Any]) -> None:
    pass


def _scaled(arrays: Sequence[str], factor: float) -> Callable[[gym.Env[Any, Any]], None]:
    def change(env: gym.Env[Any, Any]) -> None:
        model: Any = env.unwrapped.model  # type: ignore[attr-defined]
        for name in arrays:
            getattr(model, name)[:] *= factor

    return change


def returns(task: Task, world: World, policy: Policy, episodes: int) -> Floats:
    """What ``policy`` returns there, an episode for each seed of the report."""
    env = replace(task, kwargs={**task.kwargs, **world.kwargs}).make()
    world.change(env)
    result = []
    for seed in range(REPORT, REPORT + episodes):
        observation, _ = env.reset(seed=seed)
        total, done = 0.0, False
        while not done:
            action, _ = policy.predict(observation, deterministic=True)
            observation, reward, ended, cut, _ = env.step(action)
            total, done = total + float(reward), ended or cut
        result.append(total)
    env.close()
    return np.asarray(result)


def measured(env: str, number: int, episodes: int) -> Row:
    """One world of one environment."""
    world = list(worlds(env))[number]
    task = load_task(env).unbound()
    named = teacher_of(f"ppo-{env}", task)
    assert named is not None
    rows = json.loads(path_of(env).read_text(encoding="utf-8"))
    program = from_data(max(rows, key=lambda r: float(r["return"])))
    ours, its = (returns(task, world, p, episodes) for p in (program, named.policy))
    return Row(
        *(env, world.what, world.value, float(ours.mean()), float(its.mean())),
        paired_ci95(ours, its),
    )


def draw(rows: Sequence[Row]) -> Figure:
    """Returns by what was changed, a panel for each environment and change."""
    kinds = list(dict.fromkeys((r.env, r.what) for r in rows))
    drawn, axes = figure(3.1 * len(kinds), 3.2, len(kinds))
    for ax, kind in zip(axes, kinds, strict=True):
        some = [r for r in rows if (r.env, r.what) == kind]
        x = [r.value for r in some]
        ax.plot(x, [r.program for r in some], "o-", color=BLUE, ms=4, lw=1.4, label="program")
        ax.plot(x, [r.network for r in some], "o-", color=ORANGE, ms=4, lw=1.4, label="network")
        ax.set_title(f"{kind[0]}\n{kind[1]}", fontsize=9)
        ax.grid(color=PALE, lw=0.8)
    axes[0].set_ylabel("mean return", fontsize=9)
    axes[0].legend(fontsize=9)
    return drawn


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 2 for bad input."""
    parser = Parser(prog="python -m experiments.generalisation", allow_abbrev=False)
    known = [e for e in ENVS if f"ppo-{e}" in oracles() and path_of(e).exists()]
    parser.add_argument("--env", nargs="+", choices=known, default=known, metavar="ID")
    parser.add_argument("--episodes", type=int, default=30)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/generalisation"))
    parser.add_argument("--markdown", action="store_true", help="print the table of the docs")
    args = parser.parse_args(argv)
    if args.episodes < 2:
        parser.error("--episodes: 2 or more, for an interval")
    cells = [(e, k) for e in args.env for k in range(len(list(worlds(e))))]
    work = (joblib.delayed(measured)(e, k, args.episodes) for e, k in cells)
    rows: list[Row] = []
    for row in joblib.Parallel(args.jobs, return_as="generator")(work):
        rows.append(row)
        print(f"{row.env}, {row.what} {row.value:g}: done", file=sys.stderr, flush=True)
    rows.sort(key=lambda r: (args.env.index(r.env), r.what, r.value))
    write_atomic(args.out / "rows.json", json.dumps([asdict(r) for r in rows], indent=1))
    table = markdown_table if args.markdown else text_table
    print(table(COLUMNS, [_cells(r) for r in rows]))
    (args.out / "generalisation.png").write_bytes(png(draw(rows)))
    return 0


def _cells(r: Row) -> list[str | int | float | None]:
    low, high = r.difference
    return [r.env, r.what, r.value, r.program, r.network, f"[{low:.4g}, {high:.4g}]"]


if __name__ == "__main__":
    sys.exit(main())
