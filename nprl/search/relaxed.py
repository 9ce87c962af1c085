"""Imitation by differentiable relaxation: structure and constants are trained together by gradient.

Many soft derivation trees (`nprl.search.relaxation`) of several depths, each with a price of its own
for size, learn what the teacher does. What they have chosen in the end is thinned out, one constant
after the other; returns decide.

Source: Cui and Zhu, "Differentiable synthesis of program architectures" (dPads), NeurIPS 2021.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from nprl.distill.censored import Target
from nprl.distill.dataset import Dataset
from nprl.lang.terms import Term
from nprl.search.finish import Pool, demonstrated, finished, steps_of
from nprl.search.front import Front
from nprl.search.grammar import Grammar
from nprl.search.learner import Progress, Source, task_of
from nprl.search.relaxation import Relaxation, spread_of
from nprl.search.sparse import thinned
from nprl.search.tensors import finite_gradients, one_thread
from nprl.search.work import INTERRUPTED, Clock, Work

METHOD = "relaxation"
LEVELS = (1, 2, 3)
"""Depths that take turns."""
COPIES = 8
"""Trees of each output that are trained together, each with another price of size."""
PRICES = (1e-5, 3e-3)
"""The least and the most of a node, in parts of what the best constant loses."""
STEPS, BATCH, RATE = 300, 256, 0.05
THINNED_ROWS = 1000
"""Observations that programs are thinned on."""
LARGEST = 1e4
"""A residual counts as at most this many halves of the range."""
SECONDS = 4.0
"""What one training counts as."""


@one_thread()
def relaxed(
    source: Source,
    grammar: Grammar,
    work: Work,
    seed: int = 0,
    progress: Progress | None = None,
) -> Front:
    """The front of the programs that trained relaxations turn into, tuned on the return.

    ``grammar.max_nodes`` limits whole programs, over all outputs. Interrupted, it goes on with the
    programs found so far.

    Raises:
        ValueError: as `demonstrated`.
    """
    task, say = task_of(source), progress or (lambda text: None)
    clock = Clock(work, say)
    template, data = demonstrated(source, grammar, METHOD, work, seed, clock, say)
    rounds = max(1, work.search_steps // steps_of(task, SECONDS))
    pool = Pool(template, grammar)
    try:
        for number in range(rounds):
            if number and clock.late("the training of relaxations"):
                break
            levels = LEVELS[number % len(LEVELS)]
            goals = data.targets(template)
            trees = imitated(grammar, data, goals, levels, 1000 * seed + number)
            some = data.sample(THINNED_ROWS, seed + number)
            for j, goal in enumerate(some.targets(template)):
                for tree in trees[j :: len(goals)]:
                    for t, loss in thinned(tree, grammar.variables, some.observations, goal):
                        pool.add(j, t, loss)
            if number % 5 == 0:
                say(f"training {number + 1} of {rounds}: least loss {pool.least:.4g}")
    except KeyboardInterrupt:
        clock.tell(INTERRUPTED)
    return finished(task, pool.programs(), grammar, METHOD, work, seed, clock, say)


def imitated(
    grammar: Grammar, data: Dataset, goals: Sequence[Target], levels: int, seed: int
) -> list[Term]:
    """The terms that `COPIES` relaxations of each output turn into; tree k is of output k modulo.

    Columns of the observations are in the order of the grammar's variables.
    """
    half = np.asarray([g.half for g in goals])
    spread = spread_of(data.observations)
    relaxation = Relaxation(grammar, spread, np.tile(half, COPIES), levels, seed)
    variance = np.asarray([np.var(g.labels) + 1e-12 for g in goals])
    price = torch.as_tensor(np.outer(np.geomspace(*PRICES, COPIES), variance).ravel())
    x = torch.as_tensor(data.observations)
    labels, low, high = (
        torch.as_tensor(np.tile(np.stack(rows, axis=1), COPIES))
        for rows in zip(*((g.labels, g.at_low, g.at_high) for g in goals), strict=True)
    )
    centre = torch.as_tensor(np.tile([g.centre for g in goals], COPIES))
    sizes = torch.as_tensor(np.tile(half, COPIES))
    rng = np.random.default_rng(seed)
    adam = torch.optim.Adam(relaxation.parameters, lr=RATE)
    for step in range(STEPS):
        relaxation.cool(step / STEPS)
        rows = torch.as_tensor(rng.integers(len(x), size=BATCH))
        r = (relaxation.values(x[rows]) - centre) / sizes - labels[rows]
        r = torch.where(low[rows], torch.clamp(r, min=0.0), r)
        r = torch.where(high[rows], torch.clamp(r, max=0.0), r)
        lost = torch.mean(torch.clamp(r, -LARGEST, LARGEST) ** 2, dim=0)
        total = (lost + price * relaxation.sizes()).sum()
        adam.zero_grad()
        torch.autograd.backward([total])
        finite_gradients(relaxation.parameters)
        adam.step()
    relaxation.cool(1.0)
    return relaxation.terms()
