"""Enumerate terms by size, fit their constants to a teacher, keep the nearest.

Bottom-up: terms of n nodes are made of smaller ones, each function once (see `families`). While a size has few
enough, all of its terms are made; beyond that, those whose parts imitate best (a beam), which `Enumeration.complete_to`
tells. Every skeleton is fitted on a small batch of observations, the best of each size and number of constants again on
many. The work is counted in skeletons, not in seconds, so the same seed gives the same answer; the deadline, if
it is met, cuts it short and `Enumeration.finished` says so.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from nprl.distill.censored import Target, fit_families
from nprl.lang.terms import Binary, BinaryOp, Compare, Relation, Term, Unary, Var, Where
from nprl.search.constants import fill, hole, number_holes, shortest_decimals, simplify
from nprl.search.families import Candidates, Conditions, Floats, General, Linear, Seen
from nprl.search.grammar import Grammar, apply_binary, apply_unary
from nprl.search.holes import fit_general, fit_linear, polish, predictions, starts

BATCH = 96
"""Observations on which terms are told apart and fitted first."""
KEPT = 4
"""How many skeletons of each size and number of holes are fitted again."""
SCREENED_STEPS = 3
ROOM = 0.02
"""Short decimals may cost this part of the loss."""
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is tried at each size."""

    linear: int = 6000
    """Skeletons that are affine in their holes, about 50 microseconds each."""
    general: int = 250
    """Others, about a millisecond each."""

    def times(self, factor: float) -> Effort:
        """This effort, scaled."""
        return Effort(max(100, int(self.linear * factor)), max(10, int(self.general * factor)))


@dataclass(frozen=True, slots=True)
class Found:
    """A term of one output with its constants, and its imitation loss."""

    term: Term
    loss: float
    nodes: int
    """Size of the skeleton."""
    holes: int


@dataclass(frozen=True, slots=True)
class Enumeration:
    """What was found, per output, the nearest to the teacher first."""

    found: tuple[tuple[Found, ...], ...]
    skeletons: int
    """How many different functions (families) were fitted."""
    complete_to: int
    """Up to this size every term of the grammar was considered."""
    finished: bool
    """Whether all sizes were searched before the deadline."""


@dataclass(slots=True)
class _Tops:
    """The best few of each size and number of holes, for one output."""

    best: dict[tuple[int, int, bool], list[tuple[float, int, Term, Floats]]] = field(default_factory=dict)
    count: int = 0

    def add(self, key: tuple[int, int, bool], loss: float, term: Callable[[], Term], holes: Floats) -> None:
        """Keep this one if it is among the best."""
        heap = self.best.setdefault(key, [])
        self.count += 1
        if len(heap) < KEPT:
            heapq.heappush(heap, (-loss, -self.count, term(), holes))
        elif -loss > heap[0][0]:
            heapq.heapreplace(heap, (-loss, -self.count, term(), holes))


def enumerate_terms(
    grammar: Grammar,
    observations: Floats,
    goals: Sequence[Target],
    seed: int = 0,
    effort: Effort | None = None,
    deadline: float | None = None,
    progress: Progress | None = None,
) -> Enumeration:
    """The terms nearest to the labels of each of ``goals``.

    ``observations`` is (n, variables). ``deadline`` is a value of ``time.monotonic()``.

    Raises:
        ValueError: for observations of another width.
    """
    if observations.ndim != 2 or observations.shape[1] != len(grammar.variables):
        raise ValueError(
            f"observations have {len(grammar.variables)} columns, one for each variable; got shape {observations.shape}"
        )
    with np.errstate(all="ignore"):
        search = _Search(grammar, observations, goals, seed, effort or Effort(), deadline)
        for size in range(1, grammar.max_nodes + 1):
            search.level(size)
            if progress is not None:
                progress(f"{size} nodes: {search.skeletons} programs, loss {search.least():.4g}")
            if search.late():
                break
        return search.result()


class _Search:
    """The state of one enumeration."""

    def __init__(
        self,
        grammar: Grammar,
        observations: Floats,
        goals: Sequence[Target],
        seed: int,
        effort: Effort,
        deadline: float | None,
    ) -> None:
        self.grammar, self.seed, self.effort, self.deadline = grammar, seed, effort, deadline
        self.observations, self.goals = observations, tuple(goals)
        rows = _batch(observations, self.goals, np.random.default_rng(seed))
        self.x = observations[rows]
        self.small = tuple(g.take(rows) for g in self.goals)
        rng = np.random.default_rng([seed, 1])
        shape = (max(1, grammar.max_holes), len(rows))
        sizes = np.exp(rng.uniform(np.log(0.1), np.log(10.0), shape)) * rng.choice([-1.0, 1.0], shape)
        drawn = rng.choice(self.x.ravel(), shape)
        self.table = np.where(rng.random(shape) < 0.5, drawn, sizes)
        self.seen = Seen(len(rows), seed)
        self.linear: dict[tuple[int, int], Linear] = {}
        self.general: dict[tuple[int, int], General] = {}
        self.conditions: dict[tuple[int, int], Conditions] = {}
        self.tops = [_Tops() for _ in self.goals]
        self.skeletons, self.complete_to, self.size = 0, grammar.max_nodes, 0

    def late(self) -> bool:
        """Whether the deadline is over."""
        return self.deadline is not None and time.monotonic() > self.deadline

    def least(self) -> float:
        """The least loss on the small batch, of the worst output."""
        return max(
            min((-loss for heap in t.best.values() for loss, *_ in heap), default=np.inf) for t in self.tops
        )

    def level(self, size: int) -> None:
        """Make, tell apart, fit and store the terms of this size."""
        self.size = size
        collected: dict[int, list[tuple[list[Term], Floats, Floats, Floats]]] = {}
        counts: dict[int, int] = {}
        for candidates in self._linear(size):
            h = candidates.basis.shape[1]
            room = self.effort.linear - sum(counts.values())
            if room <= 0 or self.late():
                self._incomplete()
                break
            keys, valid = self.seen.family_key(candidates.offset, candidates.basis)
            new = self.seen.new(h, keys, valid)
            if len(new) > room:
                self._incomplete()
                new = new[:room]
            if new:
                terms = [candidates.make(i) for i in new]
                offset, basis = candidates.offset[new], candidates.basis[new]
                rank = self._screen(size, terms, offset, basis)
                collected.setdefault(h, []).append((terms, offset, basis, rank))
                counts[h] = counts.get(h, 0) + len(new)
        for h, parts in collected.items():
            rank = np.concatenate([p[3] for p in parts])
            order = np.argsort(rank, kind="stable")
            terms = [t for p in parts for t in p[0]]
            self.linear[size, h] = Linear(
                h,
                [terms[i] for i in order.tolist()],
                np.concatenate([p[1] for p in parts])[order],
                np.concatenate([p[2] for p in parts])[order],
                rank[order],
            )
        self._store_general(size)
        self._store_conditions(size)

    def result(self) -> Enumeration:
        """Fit the best again, on all observations."""
        finished = self.size >= self.grammar.max_nodes and not self.late()
        complete = min(self.complete_to, self.size)
        found = tuple(self._refit(t, g) for t, g in zip(self.tops, self.goals, strict=True))
        return Enumeration(found, self.skeletons, complete, finished)

    def _incomplete(self) -> None:
        self.complete_to = min(self.complete_to, self.size - 1)

    def _screen(self, size: int, terms: list[Term], offset: Floats, basis: Floats) -> Floats:
        """Fit families on the small batch, remember the best; the rank of each."""
        self.skeletons += len(terms)
        n, h = basis.shape[:2]
        rank = np.full(n, np.inf)
        for tops, goal in zip(self.tops, self.small, strict=True):
            c, _ = fit_families(basis, offset, goal, SCREENED_STEPS)
            loss = goal.loss(offset + (c[:, None, :] @ basis)[:, 0, :])
            for i in np.argsort(loss, kind="stable")[:KEPT].tolist():
                tops.add((size, h, False), float(loss[i]), lambda i=i: terms[i], c[i])  # type: ignore[misc]
            if h == 0:  # a part of something larger: what it is worth with a factor
                loss = fit_families(offset[:, None, :], np.zeros_like(offset), goal, 2)[1]
            rank = np.minimum(rank, loss)
        return rank

    def _linear(self, size: int) -> Iterator[Candidates]:
        """All families affine in their holes of this size, in blocks."""
        m = len(self.x)
        if size == 1:
            names = self.grammar.variables
            yield Candidates(self.x.T.copy(), np.empty((len(names), 0, m)), lambda i: Var(names[i]))
            if self.grammar.max_holes:
                yield Candidates(np.zeros((1, m)), np.ones((1, 1, m)), lambda i: hole())
            return
        for op in self.grammar.unary:
            block = self.linear.get((size - 1, 0))
            if block is not None:
                offset = apply_unary(op, block.offset)
                yield Candidates(offset, block.basis, lambda i, op=op, b=block: Unary(op, b.terms[i]))  # type: ignore[misc]
        combined = [
            (op, a, b)
            for op in self.grammar.binary
            for left in range(1, size - 1)
            for a in self._sized(self.linear, left)
            for b in self._sized(self.linear, size - 1 - left)
            if a.holes + b.holes <= self.grammar.max_holes and _stays_linear(op, a, b, left, size - 1 - left)
        ]
        wheres = list(self._where_blocks(size, self.linear, self.linear)) if self.grammar.conditions else []
        limit = max(64, 2 * self.effort.linear // max(1, len(combined) + len(wheres)))
        for op, a, b in combined:
            ka, kb = self._cut(len(a), len(b), limit)
            yield _combine(op, a, b, ka, kb)
        for test, a, b in wheres:
            if test.holes == 0:
                yield self._choose(test, a, b, limit)

    def _choose(self, test: Conditions, a: Linear, b: Linear, limit: int) -> Candidates:
        kt, ka, kb = self._cut3(len(test), len(a), len(b), limit)
        yes = test.at(self.table, 0, kt)[:, None, None, :]
        m, h = len(self.x), a.holes + b.holes
        offset = np.where(yes, a.offset[None, :ka, None], b.offset[None, None, :kb])
        basis = np.zeros((kt, ka, kb, h, m))
        basis[..., : a.holes, :] = a.basis[None, :ka, None] * yes[..., None, :]
        basis[..., a.holes :, :] = b.basis[None, None, :kb] * ~yes[..., None, :]

        def make(i: int) -> Term:
            t, rest = divmod(i, ka * kb)
            return Where(test.terms[t], a.terms[rest // kb], b.terms[rest % kb])

        return Candidates(offset.reshape(-1, m), basis.reshape(-1, h, m), make)

    def _where_blocks[A: (Linear, General), B: (Linear, General)](
        self, size: int, first: dict[tuple[int, int], A], second: dict[tuple[int, int], B]
    ) -> Iterator[tuple[Conditions, A, B]]:
        for (test_size, _), test in sorted(self.conditions.items(), key=lambda item: item[0]):
            for left in range(1, size - 1 - test_size):
                for a in self._sized(first, left):
                    for b in self._sized(second, size - 1 - test_size - left):
                        if test.holes + a.holes + b.holes <= self.grammar.max_holes:
                            yield test, a, b

    def _sized[T](self, blocks: dict[tuple[int, int], T], size: int) -> list[T]:
        return [blocks[size, h] for h in range(self.grammar.max_holes + 1) if (size, h) in blocks]

    def _cut(self, na: int, nb: int, limit: int) -> tuple[int, int]:
        if na * nb <= limit:
            return na, nb
        self._incomplete()
        ka = min(na, max(1, round((limit * na / nb) ** 0.5)))
        return ka, min(nb, max(1, limit // ka))

    def _cut3(self, nt: int, na: int, nb: int, limit: int) -> tuple[int, int, int]:
        if nt * na * nb <= limit:
            return nt, na, nb
        self._incomplete()
        kt = min(nt, max(1, round(limit ** (1 / 3))))
        ka = min(na, max(1, round((limit / kt) ** 0.5)))
        return kt, ka, min(nb, max(1, limit // (kt * ka)))
