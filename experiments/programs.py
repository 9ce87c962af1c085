"""Learn programs for an environment: ``python -m experiments.programs --env ID``.

They are learned from its return alone, or from a teacher too (``--teacher FILE``). For each seed the
search finds a front of programs, the best of each size. ``--freeze`` writes the best within the size
of each target, with the return on the report's seeds, to ``experiments/results/ID.json``, which
``python -m experiments.replay`` runs again. Where a target asks for it, that is the best program that
is proved safe without a shield. With ``--also ID`` a loop is unrolled for another environment, too.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import joblib

from experiments.certified import certified
from experiments.grammars import add_options, grammar_of, said
from experiments.options import Parser
from experiments.targets import TARGETS, Target
from experiments.teachers import Named, beside, oracles, played, teacher_of
from nprl.distill.rollout import blank, with_terms
from nprl.env.task import Task, load_task
from nprl.evaluate import Evaluation, paired_ci95
from nprl.files import write_atomic
from nprl.lang.text import parse
from nprl.loops import Unrolled, from_data, to_data
from nprl.program import Program
from nprl.report.front import draw_front
from nprl.report.tables import text_table
from nprl.search.direct import AFFINE, CUBIC
from nprl.search.front import COLUMNS, Front, load_front
from nprl.search.grammar import Grammar
from nprl.search.learner import Taught
from nprl.search.methods import FROM_TEACHER, IMITATIONS, METHODS
from nprl.search.work import INTERRUPTED, Work

WHOLE, WIDE = (AFFINE, CUBIC, "ars", *IMITATIONS), 1000
"""Methods that find forms of many terms, and how many nodes these may have."""
TRIES = 6
"""Programs of a front, the best first, for which a proof is looked for."""
RESULTS = Path(__file__).parent / "results"


def main(argv: Sequence[str] | None = None) -> int:
    """Learn; 0 when it is done, 2 for bad input."""
    parser = Parser(prog="python -m experiments.programs", allow_abbrev=False)
    parser.add_argument("--env", required=True, help="an environment's id, such as Pendulum-v1")
    parser.add_argument("--method", choices=list(METHODS), default="evolution")
    parser.add_argument(
        "--teacher",
        metavar="FILE",
        help=f"a Stable-Baselines3 .zip, a .npz of weights, or a public one: {', '.join(oracles())}",
    )
    parser.add_argument(
        "--statistics", metavar="FILE", help="of its VecNormalize, if not beside the teacher"
    )
    parser.add_argument("--budget", type=float, default=2.0, metavar="MINUTES")
    parser.add_argument("--seed", type=int, nargs="+", default=[0], help="one run for each")
    parser.add_argument("--jobs", type=int, help="processes (all processors)")
    parser.add_argument("--out", type=Path, default=Path("runs/programs"))
    parser.add_argument(
        "--for-ever",
        action="store_true",
        help="play every other episode at its worst, and longer: for programs safe without a shield",
    )
    parser.add_argument("--also", metavar="ID", help="a larger one that a learned loop is tried in")
    parser.add_argument("--freeze", action="store_true", help="write experiments/results/ID.json")
    add_options(parser)
    args = parser.parse_args(argv)
    targets = TARGETS.get(args.env, ())
    if args.freeze and not targets:
        parser.error(f"--freeze: there is no target for {args.env}; there are {', '.join(TARGETS)}")
    if args.method in FROM_TEACHER and args.teacher is None:
        parser.error(f"--method {args.method} learns from a teacher: give one with --teacher")
    limits = [t.nodes for t in targets if t.nodes is not None]
    most = max((t.constants for t in targets if t.constants is not None), default=None)
    try:
        task = load_task(args.env).unbound()
        work = Work.of(task, args.budget, args.jobs)
        teacher = teacher_of(args.teacher, task, args.statistics)
        nodes = max(limits, default=15) if args.method not in WHOLE else WIDE
        grammar = grammar_of(args, task, blank(task, args.scores), nodes, most)
        search = task.for_ever() if args.for_ever else task
        tasks = [task, *([load_task(args.also)] if args.also else [])]
        if args.also and args.loop is None:
            raise ValueError("--also: only a loop can be unrolled; give one with --loop")
    except ValueError as error:
        print(f"programs: {error}", file=sys.stderr)
        return 2
    kind = hashlib.sha256(repr((grammar, args.teacher, search.key)).encode()).hexdigest()[:8]
    name = f"{args.method}-{args.budget:g}-{kind}"
    folders = {seed: args.out / args.env.replace("/", "_") / f"{name}-{seed}" for seed in args.seed}
    side = work.jobs if task.rolled is not None else 1  # else a search takes all processes itself
    learned = joblib.Parallel(side, return_as="generator")(
        joblib.delayed(learn)(search, teacher, grammar, work, args.method, *item)
        for item in folders.items()
    )
    runs: list[Run] = []
    try:
        for run in learned:
            print(f"{args.env}, seed {run.seed}, {run.wall_s:.0f} s:", flush=True)
            print(text_table(COLUMNS, run.front.rows()), flush=True)
            runs.append(run)
    except ValueError as error:  # what a search refuses, a saved state of another one too
        print(f"programs: {error}", file=sys.stderr)
        return 2
    command = f"python -m experiments.programs --env {args.env} --method {args.method}"
    for option in ("teacher", "statistics"):
        value = getattr(args, option)
        command += f" --{option} {shlex.quote(value)}" if value else ""
    command += " --for-ever" if args.for_ever else ""
    also = f"--also {shlex.quote(args.also)} " if args.also else ""
    command += f" --budget {args.budget:g} {said(args, grammar)} {also}--seed"
    for where in tasks:
        rows = [
            row
            for target in TARGETS.get(where.name, ())
            for row in reported(where, teacher, target, runs, args.method, command)
        ]
        if rows:
            print(text_table(ROW, [row_cells(r) for r in rows]))
        if args.freeze and rows:
            freeze(where.name, rows)
    return 0


def path_of(env: str) -> Path:
    """Where the rows of an environment stand."""
    return RESULTS / f"{env.replace('/', '_')}.json"


def freeze(env: str, rows: list[dict[str, Any]]) -> None:
    """Write the rows of one method and teacher; what others found stays."""

    def found_by(row: dict[str, Any]) -> tuple[str, str]:
        return row["method"], row["teacher"]["name"] if row["teacher"] else ""

    path = path_of(env)
    if path.exists():
        old = json.loads(path.read_text(encoding="utf-8"))
        rows = [*(r for r in old if found_by(r) != found_by(rows[0])), *rows]
    write_atomic(path, json.dumps(rows, indent=1) + "\n")
    print(f"frozen: {path}", file=sys.stderr)


@dataclass(frozen=True, slots=True)
class Run:
    """The front of one seed."""

    seed: int
    front: Front
    wall_s: float


def learn(
    task: Task,
    teacher: Named | None,
    grammar: Grammar,
    work: Work,
    method: str,
    seed: int,
    folder: Path,
) -> Run:
    """The front of one seed, left in ``folder``; a front that is there already is taken as it is."""
    told = folder / "wall_s.txt"
    if told.exists():
        return Run(seed, load_front(folder / "front.json"), float(told.read_text()))

    def say(text: str) -> None:
        print(f"{task.name}, seed {seed}: {text}", file=sys.stderr, flush=True)

    began = time.monotonic()
    front = METHODS[method](
        task if teacher is None else Taught(task, teacher.policy),
        grammar,
        replace(work, saved=folder / "state.json"),
        seed,
        progress=say,
    )
    wall = time.monotonic() - began
    front.save(folder / "front.json")
    if INTERRUPTED in front.cut:
        return Run(seed, front, wall)  # the same command goes on
    if len(front):
        draw_front(front, task.name).savefig(folder / "front.png")
    write_atomic(told, f"{wall:.1f}\n")
    return Run(seed, front, wall)


def reported(
    task: Task,
    teacher: Named | None,
    target: Target,
    runs: Sequence[Run],
    method: str,
    command: str,
) -> list[dict[str, Any]]:
    """The best program of each run within the target's size, on the report's seeds; the best first.

    Where the target asks for a proof, the best that has one.
    """
    rows = []
    taught = played(task, teacher.policy, target.episodes) if teacher is not None else None
    for run in runs:
        fits = [e for e in run.front if small(target, e.program)]
        fits = sorted(fits, key=lambda e: (-e.mean, e.nodes, e.constants))
        if not fits:
            continue
        entry = next((e for e in fits[:TRIES] if proved(task, target, e.program)), fits[0])
        program = there(task, entry.program)
        result = played(task, program, target.episodes)
        rows.append(
            {
                "env": task.name,
                **to_data(program),
                "method": method,
                "command": f"{command} {run.seed}",
                "wall_s": run.wall_s,
                "teacher": taught and teacher and beside(teacher.name, taught, result),
                "return": result.mean,
                "ci95": list(result.ci95),
                "episodes": target.episodes,
                "nodes": entry.nodes,
                "constants": entry.constants,
                "claim": claim(target),
                "holds": holds(task, target, program, result),
            }
        )
    return sorted(rows, key=lambda r: -float(r["return"]))


def there(task: Task, program: Program) -> Program:
    """The program as it runs in ``task``, for which a loop is unrolled anew.

    Raises:
        ValueError: for a loop that does not fit the task.
    """
    loop = program.loop if isinstance(program, Unrolled) else None
    return program if loop is None else loop.unroll(blank(task))


def small(target: Target, program: Program) -> bool:
    """Whether the program is as small as the target asks."""
    return (target.nodes is None or program.nodes <= target.nodes) and (
        target.constants is None or program.constants <= target.constants
    )


def proved(task: Task, target: Target, program: Program) -> bool:
    """Whether the program is proved safe alone, if the target asks for it."""
    return not target.certified or certified(task, there(task, program))


def claim(target: Target) -> dict[str, Any]:
    """The target as it stands in a row."""
    limits = {"return": target.mean, "nodes": target.nodes, "constants": target.constants}
    return limits | ({"certified": True} if target.certified else {})


def holds(task: Task, target: Target, program: Program, result: Evaluation) -> bool:
    """Whether the return is reached within the size, with the proof that the target asks for.

    A mean below the target still counts if the paired 95 % interval of the difference to the
    reference program, where that can be written down, excludes a loss.
    """
    if not small(target, program) or not proved(task, target, program):
        return False
    if result.mean >= target.mean or not target.reference:
        return result.mean >= target.mean
    reference = with_terms(blank(task), [parse(target.reference)])
    low, _ = paired_ci95(result, played(task, reference, target.episodes))
    return low >= 0


ROW = (
    *("program", "nodes", "constants", "return", "95 %", "claim", "holds", "seconds"),
    *("teacher", "its return", "difference, 95 %"),
)


def row_cells(row: dict[str, Any]) -> list[str | int | float | None]:
    """A row as cells of a table."""
    low, high = row["ci95"]
    limit = row["claim"]
    limits = [f"{limit[k]} {k}" for k in ("nodes", "constants") if limit[k]]
    limits += ["certified"] if limit.get("certified") else []
    return [
        from_data(row).formula,
        row["nodes"],
        row["constants"],
        row["return"],
        f"[{low:.5g}, {high:.5g}]",
        f"{limit['return']:g}" + (f" with {', '.join(limits)}" if limits else ""),
        "yes" if row["holds"] else "no",
        row["wall_s"],
        *_teacher_cells(row["teacher"]),
    ]


def _teacher_cells(teacher: dict[str, Any] | None) -> list[str | float]:
    if teacher is None:
        return ["none: the return alone", "", ""]
    low, high = teacher["difference"]
    return [Path(teacher["name"]).name, teacher["return"], f"[{low:.4g}, {high:.4g}]"]


if __name__ == "__main__":
    sys.exit(main())
