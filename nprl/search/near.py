"""Search guided by networks (NEAR): the most promising partial program is expanded first.

Partial programs are nodes of a graph, productions its edges, size the cost of a path. What is still
to be lost is estimated by training networks in the open places (`nprl.search.neural`). The first to
be expanded is that of the least loss plus a price for each node of it. One price finds one size, so
several searches, each with a price of its own, take turns on one graph: what one of them expanded
the others need not. A partial program that loses more than a known complete one of its size is
dropped (branch and bound). The constants of complete programs are fitted by Gauss-Newton steps.

Source: Shah et al., "Learning differentiable functions with admissible neural relaxations" (NEAR),
NeurIPS 2020, algorithms 1 and 2.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from nprl.distill.dataset import Dataset
from nprl.distill.rollout import Floats
from nprl.lang.terms import Term, nodes
from nprl.program import Program
from nprl.search.constants import HOLE, decimal, fill, hole, simplify
from nprl.search.finish import Pool, demonstrated, finished, steps_of
from nprl.search.front import Front
from nprl.search.grammar import Grammar
from nprl.search.holes import fit_general, polish, predictions, starts
from nprl.search.learner import Progress, Source, task_of
from nprl.search.neural import Lesson, trained_loss
from nprl.search.partial import OPEN, count, expansions, key, numbered, open_place
from nprl.search.tensors import one_thread
from nprl.search.work import INTERRUPTED, Clock, Work

METHOD = "NEAR"
PRICES = (0.03, 0.01, 0.003, 0.001)
"""Of a node, in parts of what the best constant loses."""
EXPECTED = 4
"""Nodes that an open place is expected to become."""
SLACK = 0.7
"""How much of the estimated loss is believed: training does not find the least one."""
ROWS, POLISHED_ROWS = 256, 3000
"""Observations that programs are trained on, and that the best are fitted to in the end."""
KEPT = 4
"""Complete programs of each size and number of constants."""
SECONDS = 0.015
"""What a trained partial program counts as."""
DIGITS = 5


@dataclass(frozen=True, slots=True)
class Complete:
    """A program without open places: its holes' values, and its imitation loss."""

    skeleton: Term
    holes: Floats
    loss: float

    @property
    def term(self) -> Term:
        """The term, constants rounded."""
        return simplify(fill(self.skeleton, [decimal(v, DIGITS) for v in self.holes.tolist()]))


@dataclass(slots=True)
class Guided:
    """One search: what is open, by price, and what was found.

    ``observations`` are (n, d), columns in the order of the grammar's variables.
    """

    grammar: Grammar
    observations: Floats
    lesson: Lesson
    seed: int
    trained: int = 0
    """Partial programs that were trained."""
    expanded: int = 0
    found: dict[tuple[int, int], list[Complete]] = field(default_factory=dict)
    """The best complete programs, by nodes and holes."""
    _heaps: list[list[tuple[float, int, Term]]] = field(default_factory=list)
    _done: set[Term] = field(default_factory=set)
    _seen: set[Term] = field(default_factory=set)
    _order: itertools.count[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        """Begin with one open place."""
        self._heaps = [[(0.0, 0, open_place())] for _ in PRICES]

    @property
    def least(self) -> float:
        """The least loss so far."""
        return min((c.loss for some in self.found.values() for c in some), default=np.inf)

    def run(self, until: Callable[[], bool]) -> bool:
        """Expand until ``until`` says so; False where nothing is left to expand before that."""
        for turn in itertools.cycle(range(len(PRICES))):
            if not any(self._heaps):
                return False
            while self._heaps[turn]:
                t = heapq.heappop(self._heaps[turn])[2]
                if t not in self._done:
                    self._done.add(t)
                    self._expand(t)
                    break
            if until():
                return True
        return False

    def _expand(self, t: Term) -> None:
        self.expanded += 1
        for child in expansions(t, self.grammar):
            known = key(child)
            if known in self._seen:
                continue
            self._seen.add(known)
            if count(child, OPEN):
                self._train(child)
            else:
                self._complete(child)

    def _train(self, t: Term) -> None:
        self.trained += 1
        loss = SLACK * trained_loss(t, self.lesson, self.seed)
        if loss >= self._known(nodes(t)):
            return
        size = nodes(t) + (EXPECTED - 1) * count(t, OPEN)
        scale = float(np.var(self.lesson.goal.labels)) + 1e-12
        for price, heap in zip(PRICES, self._heaps, strict=True):
            heapq.heappush(heap, (loss + price * scale * size, next(self._order), t))

    def _known(self, size: int) -> float:
        """The least loss of a complete program of at most this size."""
        losses = (some[0].loss for (n, _), some in self.found.items() if n <= size)
        return min(losses, default=np.inf)

    def _complete(self, t: Term) -> None:
        found = fitted(t, self.grammar.variables, self.observations, self.lesson, self.seed)
        if found is not None:
            some = self.found.setdefault((nodes(t), len(found.holes)), [])
            some.append(found)
            some.sort(key=lambda entry: (entry.loss, str(entry.skeleton)))
            del some[KEPT:]


def fitted(
    t: Term,
    names: Sequence[str],
    observations: Floats,
    lesson: Lesson,
    seed: int,
    first: Floats | None = None,
) -> Complete | None:
    """``t`` with its holes fitted, from ``first`` (h,) or anywhere; None where no loss is finite.

    Of two actions about 0 only the sign counts: then a factor before ``t`` is fitted, and left out.
    """
    levels, goal = lesson.levels, lesson.goal
    free = levels is not None and len(levels) == 2 and goal.centre == 0
    whole = numbered(hole() * t) if free else t
    h = count(whole, HOLE)
    with np.errstate(all="ignore"):
        if first is None or not h:
            begin = starts(h, observations, seed)[: 8 if h else 1]
            c, _ = fit_general(whole, names, observations, goal, begin, 6 if h else 0)
        else:
            c, _ = polish(whole, names, observations, goal, np.append([1.0] if free else [], first))
        c = c[1:] if free else c
        loss = lesson.loss(predictions(t, names, observations, c[None])[0])
    return Complete(t, c, loss) if np.isfinite(loss) else None


@one_thread()
def near(
    source: Source,
    grammar: Grammar,
    work: Work,
    seed: int = 0,
    progress: Progress | None = None,
) -> Front:
    """The front of the programs that are nearest to the teacher, tuned on the return.

    ``grammar.max_nodes`` limits whole programs, over all outputs. Interrupted, it goes on with the
    programs found so far.

    Raises:
        ValueError: as `demonstrated`.
    """
    task, say = task_of(source), progress or (lambda text: None)
    clock = Clock(work, say)
    template, data = demonstrated(source, grammar, METHOD, work, seed, clock, say)
    most = work.search_steps // steps_of(task, SECONDS) // len(template.outputs)
    room = grammar.max_nodes - len(template.outputs) + 1
    pool = Pool(template, grammar)
    for j in range(len(template.outputs)):
        search = guided(template, data, j, replace(grammar, max_nodes=max(1, room)), seed)
        try:
            search.run(partial(_is_done, search, most, clock))
        except KeyboardInterrupt:
            clock.tell(INTERRUPTED)
        say(
            f"{template.outputs[j].name}: {search.expanded} partial programs expanded, "
            f"{search.trained} trained, least loss {search.least:.4g}"
        )
        for c in polished(search, data.sample(POLISHED_ROWS, seed), j, template):
            pool.add(j, c.term, c.loss)
    return finished(task, pool.programs(), grammar, METHOD, work, seed, clock, say)


def _is_done(search: Guided, most: int, clock: Clock) -> bool:
    return search.trained >= most or clock.late("the search")


def guided(template: Program, data: Dataset, output: int, grammar: Grammar, seed: int) -> Guided:
    """The search for one output of ``template``."""
    some = data.sample(ROWS, seed)
    return Guided(
        grammar, some.observations, lesson_of(template, some, output, grammar, seed), seed
    )


def lesson_of(template: Program, data: Dataset, output: int, grammar: Grammar, seed: int) -> Lesson:
    """What one output of ``template`` is to imitate, columns as the grammar's variables."""
    goal = data.targets(template)[output]
    single = template.choices is not None and len(template.outputs) == 1
    levels = [float(c[0]) for c in template.choices or ()] if single else None
    return Lesson.of(grammar.variables, data.observations, goal, seed, levels)


def polished(search: Guided, data: Dataset, output: int, template: Program) -> list[Complete]:
    """What was found, the nearest first, its constants fitted again to more of the data."""
    lesson = lesson_of(template, data, output, search.grammar, search.seed)
    names, x = search.grammar.variables, data.observations
    again = [
        fitted(c.skeleton, names, x, lesson, search.seed, c.holes)
        for _, some in sorted(search.found.items())
        for c in some[:2]
    ]
    return sorted((c for c in again if c is not None), key=lambda c: (c.loss, str(c.skeleton)))
