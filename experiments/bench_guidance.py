"""Guided search beside unguided: what networks and gradients find with the work of evolution.

``python -m experiments.bench_guidance --env Pendulum-v1 --budget 0.3`` lets evolution find a program,
which then is the teacher, and prints two tables. The first: imitation loss by size, of search
guided by networks (NEAR) and of plain enumeration, on the same data in the same processor time. The
second: return by size of every method with the same work. Work is counted, so the returns are those
of any machine; the clock's guard is off.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch

from experiments.options import Parser
from nprl.distill.rollout import blank, with_terms
from nprl.env.task import Task, load_task
from nprl.lang.terms import Term, nodes
from nprl.lang.text import parse
from nprl.program import Program
from nprl.report.tables import text_table
from nprl.search.enumerate import Effort, enumerate_terms
from nprl.search.evolve import evolve
from nprl.search.finish import Pool, demonstrated, finished
from nprl.search.front import Front
from nprl.search.gradient import policy_gradient
from nprl.search.grammar import Grammar
from nprl.search.learner import Progress, Source, Taught
from nprl.search.near import guided, lesson_of, near
from nprl.search.relaxed import relaxed
from nprl.search.work import Clock, Work

SIZES = (5, 9, 15)
ROWS = 1000
"""Observations that enumeration fits to."""
FOREVER = 1e6


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; 0 when it is done, 2 for bad input."""
    parser = Parser(prog="python -m experiments.bench_guidance", allow_abbrev=False)
    parser.add_argument("--env", nargs="+", required=True, help="environments' ids")
    parser.add_argument("--budget", type=float, default=0.3, metavar="MINUTES", help="of a method")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--teacher", help="a term, in place of what evolution finds")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    try:
        tasks = [load_task(env).unbound() for env in args.env]
        works = [replace(Work.of(t, args.budget), guard_s=FOREVER) for t in tasks]
        teachers = [
            with_terms(blank(t), [parse(args.teacher)]) if args.teacher else None for t in tasks
        ]
    except ValueError as error:
        print(f"bench_guidance: {error}", file=sys.stderr)
        return 2
    for task, work, teacher in zip(tasks, works, teachers, strict=True):
        measure(task, work, args.seed, args.methods, teacher)
    return 0


def measure(
    task: Task, work: Work, seed: int, methods: Sequence[str], teacher: Program | None
) -> None:
    """Print both tables of one task."""
    names = tuple(i.name for i in blank(task).inputs)
    grammar = Grammar(names, max_nodes=max(SIZES), max_holes=6)
    rows, known = [], {}
    if teacher is None:
        began = time.process_time()
        known["evolution"] = evolve(task, grammar, work, seed)
        teacher = known["evolution"].best(max(SIZES)).program
        rows.append(row("evolution", known["evolution"], time.process_time() - began))
    print(f"\n{task.name}: the teacher is {'; '.join(map(str, teacher.output))}\n", flush=True)
    source = Taught(task, teacher)
    if {"near", "enumeration"} <= set(methods):
        print(text_table(("method", "considered", *HEAD), losses(source, grammar, work, seed)))
        print(flush=True)
    for method in methods:
        if method in known:
            continue
        began = time.process_time()
        front = METHODS[method](source, grammar, work, seed)
        rows.append(row(method, front, time.process_time() - began))
    print(text_table(("method", *HEAD, "processor s"), rows), flush=True)


HEAD = tuple(f"at most {size} nodes" for size in SIZES)


def row(method: str, front: Front, seconds: float) -> list[str | int | float | None]:
    """The best return of each size."""
    cells: list[str | int | float | None] = [method]
    for size in SIZES:
        fits = [e.mean for e in front if e.nodes <= size]
        cells.append(max(fits, default=None))
    return [*cells, round(seconds, 1)]


def losses(
    source: Taught, grammar: Grammar, work: Work, seed: int
) -> list[list[str | int | float | None]]:
    """Imitation loss of the first output by size, in the processor time of plain enumeration."""
    clock = Clock(work, print)
    template, data = demonstrated(source, grammar, "", work, seed, clock, lambda text: None)
    some = data.sample(ROWS, seed)
    small = replace(grammar, max_nodes=11, max_holes=3)
    began = time.process_time()
    lesson = lesson_of(template, some, 0, small, seed)
    plain = enumerate_terms(small, some.observations, [lesson.goal], seed, Effort().times(0.5))
    spent = time.process_time() - began
    search = guided(template, data, 0, small, seed)
    began = time.process_time()
    search.run(lambda: time.process_time() - began > spent)

    def lost(terms: Iterable[Term]) -> list[tuple[int, float]]:
        found = []
        for t in terms:
            done = with_terms(template, [t, *template.output[1:]]).batch(some.observations)
            found.append((nodes(t), lesson.loss(done[:, 0])))
        return found

    complete = [c.term for kept in search.found.values() for c in kept]
    tables = [
        ("enumeration", plain.skeletons, lost(f.term for f in plain.found[0])),
        ("near", search.trained, lost(complete)),
    ]
    return [
        [name, count, *(min((x for n, x in pairs if n <= s), default=None) for s in SIZES)]
        for name, count, pairs in tables
    ]


def enumeration(
    source: Source,
    grammar: Grammar,
    work: Work,
    seed: int = 0,
    progress: Progress | None = None,
) -> Front:
    """Plain enumeration to a teacher, tuned and judged as the guided methods are."""
    assert isinstance(source, Taught)
    clock, say = Clock(work, print), progress or (lambda text: None)
    template, data = demonstrated(source, grammar, "enumeration", work, seed, clock, say)
    data = data.sample(ROWS, seed)
    small = replace(grammar, max_nodes=11, max_holes=3)
    found = enumerate_terms(
        small, data.observations, data.targets(template), seed, Effort().times(0.5)
    )
    pool = Pool(template, grammar)
    for j, some in enumerate(found.found):
        for f in some:
            pool.add(j, f.term, f.loss)
    return finished(source.task, pool.programs(), grammar, "enumeration", work, seed, clock, say)


METHODS = {
    "evolution": evolve,
    "gradient": policy_gradient,
    "near": near,
    "relaxation": relaxed,
    "enumeration": enumeration,
}

if __name__ == "__main__":
    sys.exit(main())
