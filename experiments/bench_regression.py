"""Symbolic regression: our enumeration beside pyoperon and gplearn, on the same data for the same time.

    python -m experiments.bench_regression [--seconds 20] [--seed 0]

The data are what a teacher does (LunarLanderContinuous-v3's, its main engine; a known formula; a clipped
linear law). Each engine gets so many seconds of processor time, as near as it can be told, and one thread.
The table has the least mean square of what is executed, at most so many nodes large, and how many
different programs were evaluated in a second of processor time. gplearn is a yardstick only.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from experiments.options import Parser
from experiments.teachers import teacher_of
from nprl.distill.censored import target
from nprl.distill.dagger import label
from nprl.distill.fitter import Column
from nprl.distill.rollout import Rollouts, act_of, blank
from nprl.distill.symbolic import SymbolicRegression
from nprl.env.task import load_task
from nprl.lang.terms import Binary, BinaryOp, Num, Term, Unary, Var, nodes
from nprl.report.tables import text_table
from nprl.search.enumerate import Effort, enumerate_terms
from nprl.search.grammar import UNARY, Grammar, values

Floats = NDArray[np.float64]
ROWS = 1000
SIZES = (5, 9, 15, 25)
"""Nodes of the largest program in each column of losses."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one engine found on one set of data."""

    terms: tuple[Term, ...]
    evaluated: int
    seconds: float
    """Of processor time."""


def lander() -> Column:
    """What the public teacher of LunarLanderContinuous-v3 does with its main engine."""
    task = load_task("LunarLanderContinuous-v3").unbound()
    teacher = teacher_of("ppo-LunarLanderContinuous-v3", task)
    assert teacher is not None
    rollouts = Rollouts(task, range(6))
    seen = rollouts.run(act_of(teacher.policy), record=True).observations
    rollouts.close()
    assert seen is not None
    template = blank(task)
    data = label(template, teacher.policy, seen).sample(ROWS, 0)
    names = tuple(i.name for i in template.inputs)
    y = data.actions[:, 0]
    return Column(names, data.observations, target(y, -1, 1), y, None, False)


def formula() -> Column:
    """A known formula."""
    x = np.random.default_rng(0).uniform(-1, 1, (ROWS, 3))
    y = np.sin(3 * x[:, 0]) * x[:, 1] + np.maximum(x[:, 2], 0.3)
    return Column(("a", "b", "c"), x, target(y, -2, 2), y, None, False)


def law() -> Column:
    """A linear law that is clipped in most places."""
    x = np.random.default_rng(0).uniform(-1, 1, (ROWS, 3))
    y = np.clip(x @ [8.0, 3.0, -0.5], -1, 1)
    return Column(("a", "b", "c"), x, target(y, -1, 1), y, None, False)


def enumeration(c: Column, seconds: float, seed: int) -> Result:
    """Ours: the effort is doubled until the next would take too long."""
    began = time.process_time()
    found: tuple[Term, ...] = ()
    effort, evaluated, last = 0.05, 0, 0.0
    while time.process_time() - began + 2 * last < seconds:
        start = time.process_time()
        grammar = Grammar(c.names, max_nodes=11)
        some = enumerate_terms(grammar, c.observations, [c.goal], seed, Effort().times(effort))
        evaluated += some.skeletons
        found = tuple(f.term for f in some.found[0])
        last, effort = time.process_time() - start, 2 * effort
    return Result(found, evaluated, time.process_time() - began)


def operon(c: Column, seconds: float, seed: int) -> Result:
    """The engine of `nprl.distill.symbolic`, without our fit of its constants.

    It is stopped by the clock on the wall; where others use the processor too, it is begun again.
    """
    engine = SymbolicRegression(generations=10**6, population=500)
    grammar = Grammar(c.names, max_nodes=25, max_holes=25)
    began = time.process_time()
    evaluated: list[int] = []
    terms: list[Term] = []
    while (left := seconds - (time.process_time() - began)) >= 1 or not terms:
        run = seed + 1000 * len(evaluated)
        terms += engine.terms(c, grammar, run, time.monotonic() + left, evaluated.append)
    return Result(tuple(dict.fromkeys(terms)), sum(evaluated), time.process_time() - began)


def gplearn(c: Column, seconds: float, seed: int) -> Result:
    """Generations of 500, until the time is over."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from gplearn.functions import make_function
        from gplearn.genetic import SymbolicRegressor

        tanh = make_function(function=np.tanh, name="tanh", arity=1)
        began = time.process_time()
        engine = SymbolicRegressor(
            population_size=500,
            generations=1,
            function_set=(
                "add",
                "sub",
                "mul",
                "div",
                "min",
                "max",
                "neg",
                "abs",
                "sin",
                "cos",
                tanh,
            ),
            parsimony_coefficient=1e-3,
            const_range=(-10.0, 10.0),
            random_state=seed,
            warm_start=True,
        )
        evaluated, terms = 0, []
        while time.process_time() - began < seconds:
            engine.fit(c.observations, c.answers)
            evaluated += engine.population_size
            engine.generations += 1
            last = engine._programs[-1]
            best = sorted((p for p in last if p is not None), key=lambda p: p.raw_fitness_)[:20]
            terms += [_prefix(iter(p.program), c.names) for p in best]
    return Result(tuple(dict.fromkeys(terms)), evaluated, time.process_time() - began)


def _prefix(parts: Iterable[object], names: Sequence[str]) -> Term:
    """The term of gplearn's prefix list: functions, indices of inputs, numbers."""
    unary, binary = {o.value: o for o in UNARY}, {o.name.lower(): o for o in BinaryOp}
    it = iter(parts)

    def read() -> Term:
        part = next(it)
        if isinstance(part, int):
            return Var(names[part])
        if isinstance(part, float):
            return Num(Fraction(f"{part:.6e}"))
        name = part.name  # type: ignore[attr-defined]
        if name in unary:
            return Unary(unary[name], read())
        left = read()
        return Binary(binary[name], left, read())

    return read()


def losses(c: Column, terms: Sequence[Term]) -> list[float]:
    """The least loss of terms of at most each of `SIZES`."""
    columns = {n: c.observations[:, k] for k, n in enumerate(c.names)}
    found = []
    with np.errstate(all="ignore"):
        for t in terms:
            at = np.broadcast_to(values(t, columns), (len(c.observations),))
            loss = float(c.goal.loss(at))
            found.append((nodes(t), loss if np.isfinite(loss) else np.inf))
    return [min((v for n, v in found if n <= size), default=np.inf) for size in SIZES]


DATA: dict[str, Callable[[], Column]] = {"lander": lander, "formula": formula, "law": law}
ENGINES: dict[str, Callable[[Column, float, int], Result]] = {
    "enumeration": enumeration,
    "pyoperon": operon,
    "gplearn": gplearn,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 2 for bad input."""
    parser = Parser(prog="python -m experiments.bench_regression", allow_abbrev=False)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", nargs="+", choices=list(DATA), default=list(DATA))
    args = parser.parse_args(argv)
    rows: list[list[str | int | float | None]] = []
    for name in args.data:
        column = DATA[name]()
        for engine, run in ENGINES.items():
            found = run(column, args.seconds, args.seed)
            rate = found.evaluated / max(1e-9, found.seconds)
            rows.append([name, engine, *losses(column, found.terms), rate, found.seconds])
    sizes = (f"loss, {n} nodes" for n in SIZES)
    print(text_table(("data", "engine", *sizes, "programs/s", "seconds"), rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
