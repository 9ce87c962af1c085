"""What a search on the return can play: ``python -m experiments.bench_programs``.

For each environment, on one core: environment steps and programs a second, in machine code and in
Gymnasium's own environment with the program as generated Python. The programs are random affine
ones, the same for both, over 8 episodes each. Seconds are of the processor, so that what else runs
makes little difference.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from nprl.distill.rollout import Rollouts, blank, with_terms
from nprl.distill.workers import play
from nprl.env.task import Task, load_task
from nprl.lang.terms import Var
from nprl.program import Program
from nprl.report.tables import text_table
from nprl.search.constants import decimal, linear

ENVS = ("CartPole-v1", "Pendulum-v1", "Swimmer-v5", "Hopper-v5", "HalfCheetah-v5", "Walker2d-v5")
EPISODES, PROGRAMS = 8, 50


@dataclass(frozen=True, slots=True)
class Speed:
    """Steps and programs a second of one environment."""

    env: str
    native_steps: float
    native_programs: float
    python_steps: float
    python_programs: float


def some_programs(task: Task) -> list[Program]:
    """Random affine programs."""
    template, rng = blank(task), np.random.default_rng(0)
    features = [Var(i.name) for i in template.inputs]
    return [
        with_terms(
            template,
            [
                linear([decimal(v, 4) for v in 0.3 * rng.normal(size=len(features))], features)
                for _ in template.outputs
            ],
        )
        for _ in range(PROGRAMS)
    ]


def rates(
    run: Callable[[Program], int], programs: Sequence[Program], seconds: float
) -> list[float]:
    """Steps and programs a second, over so many seconds or all programs; ``run`` counts steps."""
    run(programs[0])  # compiles, makes what is kept
    steps = done = 0
    began = spent = time.process_time()
    while spent - began < seconds:
        steps += run(programs[done % len(programs)])
        done += 1
        spent = time.process_time()
    return [steps / (spent - began), done / (spent - began)]


def measure(env: str, seconds: float) -> Speed:
    """Both ways, on the same episodes.

    Raises:
        ValueError: where no machine code can be made.
    """
    task = load_task(env).unbound()
    programs, seeds = some_programs(task), range(EPISODES)
    rollouts = Rollouts(task, seeds)
    if not rollouts.compiled:
        raise ValueError(
            f"{env}: no machine code here; a C compiler and a known environment are needed"
        )

    def native(program: Program) -> int:
        return int(rollouts.run_many([program])[0].lengths.sum())

    def python(program: Program) -> int:
        return sum(length for _, length in play(task, program, seeds))

    return Speed(env, *rates(native, programs, seconds), *rates(python, programs, seconds))


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 0, or 2 where nothing can be measured."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.bench_programs", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--env", nargs="+", default=list(ENVS), help="ids of environments")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each measurement")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(argv)
    try:
        speeds = [measure(env, args.seconds) for env in args.env]
    except ValueError as error:
        print(f"bench_programs: {error}", file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps([asdict(s) for s in speeds], indent=1))
        return 0
    heads = ("environment", "steps/s", "programs/s", "Python: steps/s", "programs/s", "faster")
    rows = [
        [
            s.env,
            *(round(v, 1) for v in (s.native_steps, s.native_programs)),
            *(round(v, 1) for v in (s.python_steps, s.python_programs)),
            f"{s.native_steps / s.python_steps:.1f}",
        ]
        for s in speeds
    ]
    print(text_table(heads, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
