"""Size and time of a program against the network it came from: ``python -m experiments.bench_decisions``.

Microseconds for one decision, all taken in turn in one process: the program as it is deployed (a call
with floats) and by ``predict``; the network by ``predict`` (torch), and, as a control, its bare matrices
in NumPy, without any check. The best of some passes counts.
"""

from __future__ import annotations

import functools
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from experiments.options import Parser
from experiments.programs import path_of
from experiments.targets import REPORT
from experiments.teachers import ORACLES, oracles, teacher_of
from nprl.distill.rollout import Floats, Rollouts, act_of
from nprl.env.task import load_task
from nprl.loops import from_data
from nprl.report.tables import markdown_table, text_table

COLUMNS = (
    *("environment", "program: nodes", "constants", "us", "us by predict"),
    *("network: numbers", "us by predict", "us bare", "times smaller", "times faster than bare"),
)
STATES, PASSES = 200, 15
Call = Callable[[Any], Any]


def bare(path: str) -> tuple[Call, int]:
    """The network's matrices in NumPy, and how many numbers they are, the normaliser's included."""
    with np.load(path, allow_pickle=False) as file:
        data = {k: np.asarray(file[k]) for k in file.files}
    count = sum(v.size for k, v in data.items() if k[0] in "wb" or k.startswith("obs_"))
    last = max(int(k[1:]) for k in data if k[0] == "w")
    layers = [(data[f"w{k}"], data[f"b{k}"]) for k in range(last + 1)]
    mean, scale = np.float32(0), np.float32(1)
    if "obs_mean" in data:
        mean = data["obs_mean"].astype(np.float32)
        scale = np.sqrt(data["obs_var"] + data["epsilon"]).astype(np.float32)
    squash = np.tanh if str(data["activation"]) == "tanh" else functools.partial(np.maximum, 0)

    def call(x: Floats) -> Any:
        y = (x - mean) / scale
        for w, b in layers[:-1]:
            y = squash(w @ y + b)
        w, b = layers[-1]
        return w @ y + b

    return call, count


def fastest(calls: Sequence[tuple[Call, list[Any]]]) -> list[float]:
    """Microseconds for one decision of each, taken in turn: the best pass."""
    best = [math.inf] * len(calls)
    for _ in range(PASSES):
        for k, (call, rows) in enumerate(calls):
            began = time.perf_counter()
            for row in rows:
                call(row)
            best[k] = min(best[k], time.perf_counter() - began)
    return [1e6 * b / len(rows) for b, (_, rows) in zip(best, calls, strict=True)]


def cells(env: str) -> list[str | int | float | None]:
    """A row of the table."""
    task = load_task(env).unbound()
    named = teacher_of(f"ppo-{env}", task)
    assert named is not None
    frozen = json.loads(path_of(env).read_text(encoding="utf-8"))
    program = from_data(max(frozen, key=lambda r: float(r["return"])))
    rollouts = Rollouts(task, [REPORT])
    seen = rollouts.run(act_of(program), record=True).observations
    rollouts.close()
    assert seen is not None
    rows = list(seen[:STATES])
    matrices, count = bare(str(ORACLES / f"{named.name}.npz"))
    told, single = [r.tolist() for r in rows], [r.astype(np.float32) for r in rows]
    us = fastest(
        [
            (program, told),
            (program.predict, rows),
            (named.policy.predict, rows),
            (matrices, single),
        ]
    )
    return [
        *(env, program.nodes, program.constants, us[0], us[1], count, us[2], us[3]),
        *(count / max(1, program.constants), us[3] / us[0]),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 2 for bad input."""
    parser = Parser(prog="python -m experiments.bench_decisions", allow_abbrev=False)
    names = [name.removeprefix("ppo-") for name in oracles()]
    known = [e for e in names if path_of(e).exists()]
    parser.add_argument("--env", nargs="+", choices=known, default=known, metavar="ID")
    parser.add_argument("--markdown", action="store_true", help="print the table of the docs")
    args = parser.parse_args(argv)
    table = markdown_table if args.markdown else text_table
    print(table(COLUMNS, [cells(env) for env in args.env]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
