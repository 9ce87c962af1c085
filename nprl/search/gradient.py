"""Policy gradient through the relaxation: structure and constants follow the return, no teacher.

Soft derivation trees (`nprl.search.relaxation`) are policies; proximal policy optimisation trains
several at once, which pay different prices for size. In the end choices are made, constants are
thinned out by imitation of the trained program itself, and the return decides.

Source: Qiu and Zhu, "Programmatic reinforcement learning without oracles" (pi-PRL), ICLR 2022, which
has trust regions where this has clipped likelihoods.
"""

from __future__ import annotations

import numpy as np
import torch
from stable_baselines3.common.vec_env import VecEnv

from nprl.distill.censored import target
from nprl.distill.rollout import Floats, blank
from nprl.env.task import Task
from nprl.program import Program
from nprl.search.actor import Actors, Batch, lanes_of
from nprl.search.finish import Pool, finished, steps_of
from nprl.search.front import Front
from nprl.search.grammar import Grammar
from nprl.search.learner import Progress, Source, task_of
from nprl.search.relaxation import Relaxation, spread_of
from nprl.search.sparse import thinned
from nprl.search.tensors import finite_gradients, one_thread
from nprl.search.work import INTERRUPTED, Clock, Work

METHOD = "policy gradient"
LEVELS = (1, 2)
"""Depths of the trees, one training for each."""
POLICIES = 4
"""Policies that are trained together."""
PRICES = (1e-5, 3e-3)
"""The least and the most of a node, beside advantages of deviation 1."""
LANES, STEPS = {True: 64, False: 8}, {True: 64, False: 512}
"""Environments that are stepped together, in batches and one by one, and steps between updates."""
EPOCHS, BATCH, RATE = 4, 1024, 0.01
CLIP = 0.2
WEIGHT = 0.5
"""Of the critics' loss."""
LONGEST = 1.0
"""Of the gradient."""
LEAST = 10
"""Updates of each training."""
SECONDS = 0.4
"""What one update counts as, besides its steps."""
THINNED_ROWS = 1000
FIRST = 50_000_000
"""Where the seeds of the search's own episodes begin."""


@one_thread()
def policy_gradient(
    source: Source,
    grammar: Grammar,
    work: Work,
    seed: int = 0,
    progress: Progress | None = None,
) -> Front:
    """The front of what trained soft programs turn into; a teacher is not asked.

    ``grammar.max_nodes`` limits whole programs, over all outputs. Interrupted, or late, it goes on
    with the programs trained so far.

    Raises:
        ValueError: for spaces that programs do not know (see `blank`), or what `Grammar.refuse`
            refuses.
    """
    grammar.refuse(METHOD)
    task, say = task_of(source), progress or (lambda text: None)
    clock = Clock(work, say)
    found: list[Program] = []
    updates = max(LEAST, work.search_steps // (_price(task) * len(LEVELS)))
    try:
        for levels in LEVELS:
            if found and (clock.cut or clock.late("a training")):
                break
            first = FIRST + 10_000 * seed + 1000 * levels
            found += _trained(task, grammar, levels, updates, first, clock, say)
    except KeyboardInterrupt:
        clock.tell(INTERRUPTED)
    return finished(task, found, grammar, METHOD, work, seed, clock, say)


def _price(task: Task) -> int:
    batched = task.rolled is not None
    return LANES[batched] * STEPS[batched] + steps_of(task, SECONDS)


def _trained(
    task: Task,
    grammar: Grammar,
    levels: int,
    updates: int,
    seed: int,
    clock: Clock,
    say: Progress,
) -> list[Program]:
    """Programs of all policies of one training, thinned out."""
    template, batched = blank(task), task.rolled is not None
    names = [i.name for i in template.inputs]
    used = [names.index(v) for v in grammar.variables]
    env = lanes_of(task, LANES[batched], seed)
    rng = np.random.default_rng(seed)
    batch: Batch | None = None
    try:
        met = _watched(env, template, seed)
        half = np.asarray([float(c.high - c.low) / 2 for c in template.outputs])
        soft = Relaxation(grammar, spread_of(met[:, used]), np.tile(half, POLICIES), levels, seed)
        normal = (met.mean(axis=0), np.where(met.std(axis=0) > 1e-6, met.std(axis=0), 1.0))
        actors = Actors(soft, template, used, normal, POLICIES, seed)
        price = torch.as_tensor(np.repeat(np.geomspace(*PRICES, POLICIES), len(half)))
        adam = torch.optim.Adam(actors.parameters, lr=RATE)
        scale, seen = 1.0, env.reset()
        for number in range(updates):
            if batch is not None and clock.late("a training"):
                break
            soft.cool(number / updates)
            batch, seen = actors.collect(env, seen, STEPS[batched], scale)
            if number == 0:  # from now on returns are about 1
                scale = max(1e-3, float(batch.returns.abs().mean()))
                continue
            for group in adam.param_groups:
                group["lr"] = RATE * (1 - 0.9 * number / updates)
            _update(actors, adam, batch, price, rng)
            if number % 20 == 0:
                say(f"depth {levels}, update {number}: reward {np.round(batch.mean, 4).tolist()}")
    except KeyboardInterrupt:
        if batch is None:
            raise
        clock.tell(INTERRUPTED)
    finally:
        env.close()
    assert batch is not None
    soft.cool(1.0)
    return _programs(actors, template, grammar, batch, rng)


def _watched(env: VecEnv, template: Program, seed: int) -> Floats:
    """Observations (n, d) where actions are drawn at random."""
    rng = np.random.default_rng(seed)
    low = np.asarray([float(c.low) for c in template.outputs])
    high = np.asarray([float(c.high) for c in template.outputs])
    met = [np.asarray(env.reset(), dtype=np.float64)]
    for _ in range(100):
        units = rng.uniform(low, high, (env.num_envs, len(low)))
        met.append(np.asarray(env.step(template.to_action(units))[0], dtype=np.float64))
    return np.concatenate(met)


def _update(
    actors: Actors,
    adam: torch.optim.Adam,
    batch: Batch,
    price: torch.Tensor,
    rng: np.random.Generator,
) -> None:
    """Some epochs of clipped steps."""
    for _ in range(EPOCHS):
        order = torch.as_tensor(rng.permutation(len(batch.policy)))
        for rows in torch.split(order, BATCH):
            policy, x = batch.policy[rows], batch.observations[rows]
            means = actors.means(x, policy)
            likelihood = actors.likelihood(means, batch.actions[rows], policy)
            ratio = torch.exp(torch.clamp(likelihood - batch.likelihood[rows], -10.0, 10.0))
            gains = batch.advantages[rows]
            clipped = torch.clamp(ratio, 1 - CLIP, 1 + CLIP)
            gained = torch.minimum(ratio * gains, clipped * gains).mean()
            wrong = ((actors.critics(x, policy) - batch.returns[rows]) ** 2).mean()
            size = (price * actors.soft.sizes()).sum() / POLICIES
            adam.zero_grad()
            torch.autograd.backward([WEIGHT * wrong + size - gained])
            finite_gradients(actors.parameters)
            torch.nn.utils.clip_grad_norm_(actors.parameters, LONGEST)
            adam.step()


def _programs(
    actors: Actors, template: Program, grammar: Grammar, batch: Batch, rng: np.random.Generator
) -> list[Program]:
    """The policies' programs, each thinned out where its own lanes went."""
    names = [i.name for i in template.inputs]
    used = [names.index(v) for v in grammar.variables]
    terms, m = actors.soft.terms(), len(template.outputs)
    result: list[Program] = []
    for k in range(actors.count):
        x = batch.observations[batch.policy == k].numpy()
        x = x[rng.choice(len(x), min(THINNED_ROWS, len(x)), replace=False)][:, used]
        with torch.no_grad():
            values = actors.soft.values(torch.as_tensor(x)).numpy()
        pool = Pool(template, grammar)
        for j, c in enumerate(template.outputs):
            goal = target(values[:, k * m + j], float(c.low), float(c.high))
            for t, loss in thinned(terms[k * m + j], grammar.variables, x, goal):
                pool.add(j, t, loss)
        result += pool.programs()
    return result
