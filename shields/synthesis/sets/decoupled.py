"""A product of small invariant sets, for systems whose coordinates hardly act on each other.

The coordinates are grouped by who acts on whom. An action on a coordinate that its own input
dominates does not join groups: there the other coordinate is a disturbance, as large as its range.
Each group of few dimensions gets a set and a backup of its own; their product is a candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

import numpy as np

from nprl.lang.build import all_of
from nprl.lang.terms import And, Formula, Num, Term, Truth, variables
from nprl.model import Model
from nprl.shields.sequent import assign
from nprl.shields.synthesis.proposal import Candidate
from nprl.shields.synthesis.trial import rays, trial
from nprl.shields.synthesis.views.numeric import Array
from nprl.shields.synthesis.views.problem import Problem, problem_of

METHOD = "product of small sets"
DOMINATED = 0.5
"""An action on a coordinate below this share of its input's is left to the input."""
MOST = 3
"""Dimensions of a group."""
SAMPLES, POINTS = 256, 8_000
Find = Callable[[Problem, int], Iterator[Candidate]]


def decoupled(problem: Problem, find: Find, seed: int = 0) -> Iterator[Candidate]:
    """The product of what ``find`` gives for each group of coordinates, if it is kept at sample points."""
    model = problem.model
    parts = groups(problem, seed)
    if len(parts) < 2 or max(len(states) for states, _ in parts) > MOST:
        return
    rows: list[Term] = []
    backup: dict[str, Term | None] = dict.fromkeys(model.action_names)
    for states, inputs in parts:
        found = next(find(problem_of(_part(model, states, inputs)), seed), None)
        if found is None:
            return
        rows += found.invariant[0]
        backup |= dict(zip(inputs, found.backup, strict=True))
    free = {c.name: Num((c.low + c.high) / 2) for c in model.action}
    terms = tuple(free[n] if t is None else t for n, t in backup.items())
    middle = np.array([float(sum(model.init[n]) / 2) for n in model.state_names])
    unit = np.array([float(c.high - c.low) / 2 for c in model.state])
    x = rays(rows, model.state_names, middle, unit, POINTS, seed)
    result = trial(problem, rows, terms, x)
    if result.good:
        notes = {"method": METHOD, "kept": result.kept, "init": result.init}
        notes |= {"groups": [list(states) for states, _ in parts]}
        yield Candidate("polytope", (tuple(rows),), terms, notes)


def groups(problem: Problem, seed: int = 0) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """The coordinates, and the inputs, of each group; inputs that act on none are in no group."""
    model = problem.model
    by_state, by_input = _actions(problem, seed)
    n, m = problem.n, problem.m
    owner = [{j for j in range(m) if by_input[i, j] > 1e-12} for i in range(n)]
    label = list(range(n))

    def join(i: int, k: int) -> None:
        old, new = label[i], label[k]
        label[:] = [new if v == old else v for v in label]

    for i in range(n):
        strongest = by_input[i].max(initial=0.0)
        for k in range(n):
            if owner[i] and owner[k] & owner[i]:
                join(i, k)
            if i != k and by_state[i, k] > max(1e-12, DOMINATED * strongest):
                join(i, k)
    for formula in _conjuncts(model.safe):
        used = [i for i, name in enumerate(model.state_names) if name in variables(formula)]
        for k in used[1:]:
            join(used[0], k)
    result = []
    for root in dict.fromkeys(label):
        members = [i for i in range(n) if label[i] == root]
        inputs = sorted(set().union(*(owner[i] for i in members)))
        names = tuple(model.state_names[i] for i in members)
        result.append((names, tuple(model.action_names[j] for j in inputs)))
    return result


def _actions(problem: Problem, seed: int) -> tuple[Array, Array]:
    """How far one step moves coordinate i by coordinate k's range, and by input j's; over the ranges."""
    model, rng = problem.model, np.random.default_rng(seed)
    low = np.array([float(c.low) for c in model.state])
    high = np.array([float(c.high) for c in model.state])
    x = low + (high - low) * rng.random((SAMPLES, problem.n))
    u = problem.u_low + (problem.u_high - problem.u_low) * rng.random((SAMPLES, problem.m))
    _, a, b = problem.linearised(x, u, problem.w[0])
    by_state = np.abs(a).max(axis=0) * (high - low) / 2
    by_input = np.abs(b).max(axis=0) * (problem.u_high - problem.u_low) / 2
    return np.asarray(by_state), np.asarray(by_input)


def _part(model: Model, states: tuple[str, ...], inputs: tuple[str, ...]) -> Model:
    """A group as a model: the other coordinates are disturbances, and other inputs in the middle."""
    coordinates = {c.name: c for c in (*model.state, *model.action)}
    steps = dict(zip(model.state_names, model.steps, strict=True))
    idle = {c.name: Num((c.low + c.high) / 2) for c in model.action if c.name not in inputs}
    own = {n: assign(steps[n], idle) for n in states}
    read = {name for t in own.values() for name in variables(t)}
    others = [c for c in model.state if c.name in read and c.name not in states]
    parts = [f for f in _conjuncts(model.safe) if variables(f) <= set(states)]
    return Model(
        name=model.name,
        state=tuple(coordinates[n] for n in states),
        action=tuple(coordinates[n] for n in inputs),
        disturbance=(*others, *(c for c in model.disturbance if c.name in read)),
        step=own,
        init={n: model.init[n] for n in states},
        safe=all_of(*parts) if parts else Truth(True),
    )


def _conjuncts(f: Formula) -> list[Formula]:
    if isinstance(f, And):
        return list(chain.from_iterable(map(_conjuncts, f.parts)))
    return [f]
