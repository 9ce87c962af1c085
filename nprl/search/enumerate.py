"""Enumerate terms by size, fit their constants to a teacher, keep the nearest.

Bottom-up: terms of n nodes are made of smaller ones, each function once (see `families`). While a
size has few enough, all of its terms are made; beyond that, those whose parts imitate best (a
beam), which `Enumeration.complete_to` tells. Every skeleton is fitted on a small batch of
observations, the best of each size and number of constants again on many. The work is counted in
skeletons, not in seconds, so the same seed gives the same answer; the deadline, if it is met, cuts
it short and `Enumeration.finished` says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nprl.distill.censored import Target, fit_families
from nprl.lang.terms import Term
from nprl.search.constants import number_holes
from nprl.search.families import Conditions, Floats, General, Linear, Seen
from nprl.search.grammar import Grammar
from nprl.search.growth import (
    GeneralCandidates,
    Store,
    condition_candidates,
    general_candidates,
    linear_candidates,
)
from nprl.search.holes import fit_general, fit_linear, polish, starts, with_decimals

BATCH = 96
"""Observations on which terms are told apart and fitted first."""
KEPT = 3
"""How many skeletons of each size and number of holes are fitted again."""
SCREENED_STEPS = 3
TRIED = 6
"""Combinations tried for each general skeleton that is fitted."""
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is tried at each size."""

    linear: int = 4000
    """Skeletons that are affine in their holes, some 50 microseconds each."""
    general: int = 150
    """Others, some milliseconds each."""

    def times(self, factor: float) -> Effort:
        """This effort, scaled."""
        return Effort(max(100, int(self.linear * factor)), max(10, int(self.general * factor)))


@dataclass(frozen=True, slots=True)
class Found:
    """A term of one output, and its imitation loss; ``nodes`` and ``holes`` are the skeleton's."""

    term: Term
    loss: float
    nodes: int
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
    """The best few skeletons of each size, number of holes and kind, for one output."""

    best: dict[tuple[int, int, bool], list[tuple[float, Term, Floats]]] = field(
        default_factory=dict
    )

    def add(
        self, key: tuple[int, int, bool], loss: Floats, terms: Sequence[Term], holes: Floats
    ) -> None:
        """Keep the best of these, the earlier of equals."""
        rows = np.argsort(loss, kind="stable")[:KEPT].tolist()
        some = self.best.get(key, []) + [(float(loss[i]), terms[i], holes[i]) for i in rows]
        self.best[key] = sorted(some, key=lambda entry: entry[0])[:KEPT]

    def least(self) -> float:
        """The least loss of all."""
        return min(
            (entry[0] for entries in self.best.values() for entry in entries), default=np.inf
        )


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
            f"observations have {len(grammar.variables)} columns, one for each variable; "
            f"got shape {observations.shape}"
        )
    with np.errstate(all="ignore"):
        search = _Search(grammar, observations, goals, seed, effort or Effort(), deadline)
        size = 0
        while size < grammar.max_nodes and not search.late():
            size += 1
            search.level(size)
            if progress is not None:
                progress(f"{size} nodes: {search.skeletons} programs, loss {search.least():.4g}")
        return search.result(size)


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
        rng = np.random.default_rng(seed)
        rows = _batch(len(observations), self.goals, rng)
        x = observations[rows]
        self.small = tuple(g.take(rows) for g in self.goals)
        holes = max(1, grammar.max_holes)
        self.first = starts(holes, x, seed)
        shape = (holes, 1, len(rows))
        sizes = np.exp(rng.uniform(np.log(0.1), np.log(10.0), shape)) * rng.choice([-1, 1], shape)
        mixed = np.where(rng.random(shape) < 0.5, rng.choice(x.ravel(), shape), sizes)
        same = np.broadcast_to(self.first.T[:, :, None], (holes, len(self.first), len(rows)))
        self.store = Store(grammar, x, np.concatenate([mixed, same], axis=1))
        self.seen = Seen(len(rows), seed)
        self.seen_general = Seen(len(rows) * (1 + len(self.first)), seed)
        self.tops = [_Tops() for _ in self.goals]
        self.skeletons, self.complete_to, self.cut_short = 0, grammar.max_nodes, False

    def late(self) -> bool:
        """Whether the deadline is over."""
        return self.deadline is not None and time.monotonic() > self.deadline

    def least(self) -> float:
        """The least loss on the small batch, of the worst output."""
        return max(tops.least() for tops in self.tops)

    def level(self, size: int) -> None:
        """Make, tell apart, fit and store the terms of this size."""
        self.store.cut = False
        linear, general, conditions = (
            self._linear(size),
            self._general(size),
            self._conditions(size),
        )
        self.store.linear |= {(size, b.holes): b for b in linear}
        self.store.general |= {(size, b.holes): b for b in general}
        self.store.conditions |= {(size, b.holes): b for b in conditions}
        if self.store.cut:
            self.complete_to = min(self.complete_to, size - 1)

    def result(self, size: int) -> Enumeration:
        """Fit the best again, on all observations."""
        finished = size >= self.grammar.max_nodes and not self.cut_short
        found = tuple(self._refit(t, g) for t, g in zip(self.tops, self.goals, strict=True))
        return Enumeration(found, self.skeletons, min(self.complete_to, size), finished)

    def _late(self) -> bool:
        """Whether the deadline is over; then this size is not complete."""
        if self.late():
            self.cut_short = self.store.cut = True
        return self.cut_short

    def _linear(self, size: int) -> list[Linear]:
        parts: dict[int, list[tuple[list[Term], Floats, Floats, Floats]]] = {}
        for candidates in linear_candidates(self.store, size, self.effort.linear):
            if self._late():
                break
            keys, valid = self.seen.family_key(candidates.offset, candidates.basis)
            new = self.seen.new(("linear", candidates.basis.shape[1]), keys, valid)
            if new:
                terms = [candidates.make(i) for i in new]
                offset, basis = candidates.offset[new], candidates.basis[new]
                rank = self._screen(size, terms, offset, basis)
                parts.setdefault(basis.shape[1], []).append((terms, offset, basis, rank))
        blocks = []
        for h, some in sorted(parts.items()):
            rank = np.concatenate([p[3] for p in some])
            order = np.argsort(rank, kind="stable")
            terms = [t for p in some for t in p[0]]
            offset, basis = (np.concatenate([p[k] for p in some])[order] for k in (1, 2))
            blocks.append(Linear(h, [terms[i] for i in order.tolist()], offset, basis, rank[order]))
        return blocks

    def _screen(self, size: int, terms: list[Term], offset: Floats, basis: Floats) -> Floats:
        """Fit families on the small batch, remember the best; the rank of each."""
        self.skeletons += len(terms)
        n, h = basis.shape[:2]
        rank = np.full(n, np.inf)
        for tops, goal in zip(self.tops, self.small, strict=True):
            c, _ = fit_families(basis, offset, goal, SCREENED_STEPS)
            loss = goal.loss(offset + (c[:, None, :] @ basis)[:, 0, :])
            tops.add((size, h, False), loss, terms, c)
            if h == 0:  # a part of something larger: what it is worth with a factor
                loss = fit_families(offset[:, None, :], np.zeros_like(offset), goal, 2)[1]
            rank = np.minimum(rank, loss)
        return rank

    def _general(self, size: int) -> list[General]:
        candidates = general_candidates(self.store, size, TRIED * self.effort.general)
        parts = self._collect(candidates, "general")
        promise = {h: self._promise(shifted[0]) for h, (_, shifted, _) in parts.items()}
        every = np.sort(np.concatenate([np.empty(0), *promise.values()]))
        enough = every[self.effort.general] if len(every) > self.effort.general else np.inf
        blocks = []
        for h, (terms, shifted, _) in sorted(parts.items()):
            rows = np.flatnonzero(promise[h] < enough).tolist()
            self.store.cut |= len(rows) < len(terms)
            if rows:
                terms, shifted = [terms[i] for i in rows], shifted[:, rows]
                rank = self._screen_general(size, h, terms)
                blocks.append(General(h, *_ranked(terms, shifted, rank)))
        return blocks

    def _promise(self, at: Floats) -> Floats:
        """The least loss (n,) that one factor gives to the values (n, s m) at fixed holes."""
        m = len(self.store.x)
        v = at.reshape(len(at), -1, m)[:, 1:]
        least = np.full(len(at), np.inf)
        for goal in self.small:
            free = ~(goal.at_low | goal.at_high)
            free = free if free.any() else np.ones_like(free)
            y = (goal.labels * goal.half + goal.centre)[free]
            part = v[:, :, free]
            factor = (part @ y) / ((part * part).sum(axis=2) + 1e-300)
            loss = np.minimum(goal.loss(v * factor[:, :, None]), goal.loss(v)).min(axis=1)
            least = np.minimum(least, np.where(np.isfinite(loss), loss, np.inf))
        return least

    def _conditions(self, size: int) -> list[Conditions]:
        candidates = condition_candidates(self.store, size, TRIED * self.effort.general)
        parts = self._collect(candidates, "condition")
        return [
            Conditions(h, *_ranked(terms, shifted, rank))
            for h, (terms, shifted, rank) in sorted(parts.items())
        ]

    def _collect(
        self, candidates: Iterable[GeneralCandidates], kind: str
    ) -> dict[int, tuple[list[Any], Any, Floats]]:
        """The new ones by number of holes: terms, values and ranks."""
        parts: dict[int, list[tuple[list[Any], Any, Floats]]] = {}
        seen = self.seen_general
        for c in candidates:
            if self._late():
                break
            at = c.shifted[0]
            keys, valid = seen.bits_key(at) if kind == "condition" else seen.values_key(at)
            new = seen.new((kind, c.holes), keys, valid)
            if new:
                some = ([c.terms[i] for i in new], c.shifted[:, new], c.rank[new])
                parts.setdefault(c.holes, []).append(some)
        return {
            h: (
                [t for p in some for t in p[0]],
                np.concatenate([p[1] for p in some], axis=1),
                np.concatenate([p[2] for p in some]),
            )
            for h, some in parts.items()
        }

    def _screen_general(self, size: int, h: int, terms: list[Term]) -> Floats:
        """Fit general skeletons on the small batch, remember the best; the rank of each."""
        self.skeletons += len(terms)
        rank = np.full(len(terms), np.inf)
        for tops, goal in zip(self.tops, self.small, strict=True):
            first = self.first[:, :h]
            c, loss = np.zeros((len(terms), h)), np.full(len(terms), np.inf)
            for i, t in enumerate(terms):
                if self._late():
                    break
                numbered, _ = number_holes(t)
                c[i], loss[i] = fit_general(
                    numbered, self.grammar.variables, self.store.x, goal, first
                )
            tops.add((size, h, True), loss, terms, c)
            rank = np.minimum(rank, loss)
        return rank

    def _refit(self, tops: _Tops, goal: Target) -> tuple[Found, ...]:
        found: dict[Term, Found] = {}
        for (size, h, general), entries in sorted(tops.best.items()):
            for screened, t, holes in entries:
                if not np.isfinite(screened):
                    continue
                skeleton, _ = number_holes(t)
                if not general:
                    holes, _ = fit_linear(
                        skeleton, h, self.grammar.variables, self.observations, goal
                    )
                elif not self.late():
                    holes, _ = polish(
                        skeleton, self.grammar.variables, self.observations, goal, holes
                    )
                term, loss = with_decimals(
                    skeleton, self.grammar.variables, self.observations, goal, holes
                )
                if term not in found or loss < found[term].loss:
                    found[term] = Found(term, loss, size, h)
        return tuple(sorted(found.values(), key=lambda f: (f.loss, f.nodes, str(f.term))))


def _batch(n: int, goals: Sequence[Target], rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows for the small batch: half of them, if there are so many, where no action is clipped."""
    if n <= BATCH:
        return np.arange(n)
    between = np.flatnonzero(np.logical_and.reduce([~(g.at_low | g.at_high) for g in goals]))
    some = rng.choice(between, min(len(between), BATCH // 2), replace=False)
    rest = np.setdiff1d(np.arange(n), some)
    more = rng.choice(rest, BATCH - len(some), replace=False)
    return np.sort(np.concatenate([some, more]))


def _ranked(terms: list[Any], shifted: Any, rank: Floats) -> tuple[list[Any], Any, Floats]:
    order = np.argsort(rank, kind="stable")
    return [terms[i] for i in order.tolist()], shifted[:, order], rank[order]
