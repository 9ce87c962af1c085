"""What fits programs to labelled observations: one interface, programs of many sizes.

Each kind of program has a file of its own (`affine`, `tree`, `constant_tree`, `oblique`, `scores`,
`enumerated`, `symbolic`); `fitters` lists them by name. Most fit one output at a time: `per_output`
joins their terms to programs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nprl.distill.censored import Target
from nprl.distill.dataset import Dataset
from nprl.distill.rollout import with_terms
from nprl.lang.floats import compile_batch
from nprl.lang.terms import (
    Binary,
    BinaryOp,
    Clip,
    Compare,
    Formula,
    Not,
    Power,
    Term,
    Unary,
    UnaryOp,
    Var,
    Where,
    constants,
    nodes,
    subterms,
)
from nprl.program import Program
from nprl.search.grammar import Grammar

Floats = NDArray[np.float64]
PRICE = 2
"""A constant counts as so many nodes more, so that ``x + x + x`` is no way to save one."""


class Fitter(Protocol):
    """From observations and answers to programs, each obeying the grammar; none is no error.

    The same data and seed give the same programs, unless the deadline cut it short.
    """

    def __call__(
        self,
        template: Program,
        data: Dataset,
        grammar: Grammar,
        seed: int = 0,
        deadline: float | None = None,
    ) -> list[Program]:
        """Programs like ``template`` with other terms; ``deadline`` is of ``time.monotonic()``."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted term of one output, its constants short decimals, and its imitation loss."""

    term: Term
    loss: float
    kept: tuple[int, ...] = ()
    """Which features it uses, where it is a sum of features."""

    @property
    def size(self) -> int:
        """Nodes, and `PRICE` for each constant."""
        return nodes(self.term) + PRICE * constants(self.term)


@dataclass(frozen=True, slots=True)
class Column:
    """What one output is fitted to."""

    names: tuple[str, ...]
    """The variables that the grammar allows."""
    observations: Floats
    """A column (n, k) for each of them."""
    goal: Target
    answers: Floats
    """The labels (n,) in the output's unit."""
    weights: Floats | None
    """How much each row matters, (n,); None for all alike."""
    finite: bool
    """Whether the answers are some of finitely many."""


def evaluate(features: Sequence[Term], names: Sequence[str], observations: Floats) -> Floats:
    """The values (n, k) of terms over named columns of observations (n, d)."""
    return np.stack(compile_batch(features, [names])(observations), axis=1)


def passed(deadline: float | None) -> bool:
    """Whether a deadline, a value of ``time.monotonic()``, is over."""
    return deadline is not None and time.monotonic() > deadline


def columns(template: Program, data: Dataset, grammar: Grammar) -> list[Column]:
    """What each output is fitted to.

    Raises:
        ValueError: for variables that are no inputs of ``template``, or a template of scores.
    """
    if template.scores:
        raise ValueError(
            "scores are fitted as affine forms or polynomials; these terms are no scores"
        )
    names = [i.name for i in template.inputs]
    strange = sorted(set(grammar.variables) - set(names))
    if strange:
        raise ValueError(
            f"the grammar's variables are inputs, {', '.join(names)}; got {', '.join(strange)}"
        )
    used = data.observations[:, [names.index(v) for v in grammar.variables]]
    return [
        Column(grammar.variables, used, g, y, data.weights, template.choices is not None)
        for g, y in zip(data.targets(template), data.actions.T, strict=True)
    ]


def per_output(
    template: Program,
    data: Dataset,
    grammar: Grammar,
    fit: Callable[[Column], Iterable[Fit]],
) -> list[Program]:
    """The programs of what ``fit`` finds for each output (see `joined`).

    Raises:
        ValueError: for a template of scores.
    """
    return joined(template, grammar, [list(fit(c)) for c in columns(template, data, grammar)])


def joined(template: Program, grammar: Grammar, found: Sequence[Sequence[Fit]]) -> list[Program]:
    """Programs of the fits of each output, as far as they obey the grammar.

    With several outputs these are the best for each price of size: from the nearest fit of each,
    the step to a smaller one that costs least for what it saves.
    """
    if not all(found):
        return []
    rows = [(f,) for f in found[0]] if len(found) == 1 else _joined([_hull(f) for f in found])
    programs = (with_terms(template, [f.term for f in row]) for row in rows)
    return [p for p in dict.fromkeys(programs) if obeys(grammar, p)]


def _hull(fits: Sequence[Fit]) -> list[Fit]:
    """The fits that are best at some price, the largest first."""
    front: list[Fit] = []
    for f in sorted(fits, key=lambda f: (f.size, f.loss, str(f.term))):
        if front and f.loss >= front[-1].loss:
            continue
        while len(front) > 1 and _slope(front[-1], f) > _slope(front[-2], front[-1]):
            front.pop()
        if front and f.size == front[-1].size:
            front.pop()
        front.append(f)
    return front[::-1]


def _slope(small: Fit, large: Fit) -> float:
    """What the loss gains for each unit of size."""
    return (small.loss - large.loss) / max(1, large.size - small.size)


def _joined(hulls: Sequence[Sequence[Fit]]) -> list[tuple[Fit, ...]]:
    at = [0] * len(hulls)
    rows = [tuple(h[0] for h in hulls)]
    while True:
        steps = [
            (_slope(h[i + 1], h[i]), k)
            for k, (h, i) in enumerate(zip(hulls, at, strict=True))
            if i + 1 < len(h)
        ]
        if not steps:
            return rows
        at[min(steps)[1]] += 1
        rows.append(tuple(h[i] for h, i in zip(hulls, at, strict=True)))


def obeys(grammar: Grammar, program: Program) -> bool:
    """Whether the whole program keeps to the grammar.

    A power is a product, and a clip a minimum and a maximum. ``max_holes`` is of terms that are
    enumerated; it says nothing here.
    """
    if not grammar.is_small(program):
        return False
    if not all(_allowed(s, grammar) for t in program.output for s in subterms(t)):
        return False
    return grammar.admits(program)


def _allowed(t: Term | Formula, grammar: Grammar) -> bool:
    match t:
        case Var(name):
            return name in grammar.variables
        case Unary(op, _):
            known = op in grammar.unary
            return known or (op is UnaryOp.NEG and BinaryOp.SUB in grammar.binary)
        case Binary(op, _, _):
            return op in grammar.binary
        case Power():
            return BinaryOp.MUL in grammar.binary
        case Clip():
            return {BinaryOp.MIN, BinaryOp.MAX} <= set(grammar.binary)
        case Where() | Compare() | Not():
            return grammar.conditions
        case _:
            return True
