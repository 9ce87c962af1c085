"""Programs played in environments that are stepped one by one, over several processes.

A process makes each task's environment once and keeps it; an episode is begun by its seed alone, so
what is played where makes no difference.
"""

from __future__ import annotations

from collections.abc import Sequence

import joblib
import numpy as np

from nprl.env.binding import Env
from nprl.env.task import Task
from nprl.program import Program

_MADE: dict[str, Env] = {}
"""This process's environments, by `Task.key`."""


def play(task: Task, program: Program, seeds: Sequence[int]) -> list[tuple[float, int]]:
    """Return and length of an episode from each seed."""
    env = _MADE.get(task.key)
    if env is None:
        env = _MADE[task.key] = task.make()
    return [_episode(env, program, seed) for seed in seeds]


def _episode(env: Env, program: Program, seed: int) -> tuple[float, int]:
    obs, total, steps, done = env.reset(seed=seed)[0], 0.0, 0, False
    memory = program.initial
    while not done:
        action, memory = program.decide(np.asarray(obs, dtype=np.float64).tolist(), memory)
        obs, reward, terminated, truncated, _ = env.step(action)
        total, steps, done = total + float(reward), steps + 1, terminated or truncated
    return total, steps


def play_all(
    task: Task, programs: Sequence[Program], seeds: Sequence[int], jobs: int
) -> list[list[tuple[float, int]]]:
    """`play` for each program, over ``jobs`` processes; the results do not depend on how many."""
    if jobs == 1 or len(programs) * len(seeds) == 1:
        return [play(task, p, seeds) for p in programs]
    parts = 1 if len(programs) >= 2 * jobs else min(len(seeds), 2 * jobs)
    pieces = [list(seeds[k::parts]) for k in range(parts)]
    work = [joblib.delayed(play)(task, p, piece) for p in programs for piece in pieces]
    played = joblib.Parallel(jobs)(work)
    result = []
    for at in range(0, len(played), parts):
        row: list[tuple[float, int]] = [(0.0, 0)] * len(seeds)
        for k in range(parts):
            row[k::parts] = played[at + k]
        result.append(row)
    return result
