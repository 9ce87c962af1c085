"""How many steps per second the batched environment makes, beside SB3's `DummyVecEnv` of eight.

    python -m experiments.bench_env [--seconds 2] [--env ID]

The baseline is what `stable_baselines3.common.env_util.make_vec_env(id, 8)` makes: eight single
environments, each in a Monitor. Both write ``info["episode"]`` and reset in the same step, and both
get the same law of actions: uniform in the action box (the hardest for a batch, because episodes
then end soonest), or a tenth of that. Processor time of this process is counted, the best of many
windows of 128 steps, so that other load on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv

import nprl.envs
from nprl.env.task import load_task

BATCHES = (64, 256, 1024)
WINDOW = 4
"""How often a window goes through the 32 actions: long enough to hold what is done now and then."""


def steps_per_second(venv: VecEnv, size: float, seconds: float) -> tuple[float, float]:
    """Steps per second of processor time, and the share of steps that end an episode."""
    rng = np.random.default_rng(0)
    shape = (32, venv.num_envs, *(venv.action_space.shape or ()))
    actions = (size * rng.uniform(-1.0, 1.0, shape)).astype(np.float32)
    venv.seed(0)
    venv.reset()
    for action in actions:
        venv.step(action)
    best, ended, stepped = 0.0, 0, 0
    end = time.process_time() + seconds
    while (began := time.process_time()) < end:
        for _ in range(WINDOW):
            for action in actions:
                ended += int(np.count_nonzero(venv.step(action)[2]))
        count = WINDOW * len(actions) * venv.num_envs
        best = max(best, count / (time.process_time() - began))
        stepped += count
    return best, ended / stepped


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(allow_abbrev=False, description="Steps per second.")
    parser.add_argument("--seconds", type=float, default=2.0, help="processor time per entry")
    parser.add_argument("--env", choices=nprl.envs.IDS, help="this id only")
    args = parser.parse_args(argv)
    head = "".join(f"{f'x{n}':>10}{'ratio':>7}" for n in BATCHES)
    print(f"{'':<24}{'actions':>8}{'end/1000':>9}{'dummy(8)':>10}{head}")
    for env_id in [args.env] if args.env else nprl.envs.IDS:
        for size in (1.0, 0.1):
            base, _ = steps_per_second(make_vec_env(env_id, 8), size, args.seconds)
            row, ends = "", 0.0
            for n in BATCHES:
                rate, ends = steps_per_second(load_task(env_id).make_vec(n), size, args.seconds)
                row += f"{rate:>10,.0f}{rate / base:>6.1f}x"
            print(f"{env_id:<24}{size:>8}{1000 * ends:>9.1f}{base:>10,.0f}{row}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
