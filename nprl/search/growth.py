"""How terms are made of smaller ones: all of a size, or the best-ranked where they are too many."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from nprl.lang.terms import (
    Binary,
    BinaryOp,
    Compare,
    Formula,
    Relation,
    Term,
    Unary,
    UnaryOp,
    Var,
    Where,
    nodes,
    subterms,
)
from nprl.search.constants import hole, is_hole
from nprl.search.families import Candidates, Conditions, Floats, General, Linear
from nprl.search.grammar import Grammar, apply_binary, apply_unary

Real = Linear | General
A = TypeVar("A", bound=Real)
WASTE = 3
"""Combinations made for each new term that is wanted; most are old functions in other words."""
AT_ONCE = 4000
LARGEST_ARGUMENT = 5
"""Nodes inside a sine, an absolute value or the like."""
SUMS = (BinaryOp.ADD, BinaryOp.SUB)


@dataclass(slots=True)
class Store:
    """All terms so far, by size and number of holes, over the observations ``x`` (m, variables).

    ``table`` (max holes, m) are the random holes by which general terms are told apart. ``cut``
    says that combinations were left out since it was set to False.
    """

    grammar: Grammar
    x: Floats
    table: Floats
    linear: dict[tuple[int, int], Linear] = field(default_factory=dict)
    general: dict[tuple[int, int], General] = field(default_factory=dict)
    conditions: dict[tuple[int, int], Conditions] = field(default_factory=dict)
    cut: bool = False

    def reals(self, size: int) -> list[Real]:
        """The blocks of real terms of this size."""
        both: list[Real] = [b for (s, _), b in sorted(self.linear.items(), key=_key) if s == size]
        return both + [b for (s, _), b in sorted(self.general.items(), key=_key) if s == size]

    def shifts(self, holes: int) -> int:
        """At how many places of the table a term with so many holes may stand."""
        return self.grammar.max_holes - holes + 1 if holes else 1


def _key(item: tuple[tuple[int, int], object]) -> tuple[int, int]:
    return item[0]


@dataclass(slots=True)
class GeneralCandidates:
    """General terms (or conditions) not yet known to be new.

    ``shifted`` (shifts, n, m) are their values, ``rank`` (n,) the better rank of their parts.
    """

    holes: int
    shifted: NDArray[np.float64] | NDArray[np.bool_]
    terms: list[Term] | list[Formula]
    rank: Floats


def linear_candidates(store: Store, size: int, limit: int) -> Iterator[Candidates]:
    """The terms of ``size`` nodes that are affine in their holes, in blocks.

    Where there are many more than ``limit``, the best-ranked.
    """
    grammar, m = store.grammar, len(store.x)
    if size == 1:
        names = grammar.variables
        yield Candidates(store.x.T.copy(), np.empty((len(names), 0, m)), lambda i: Var(names[i]))
        if grammar.max_holes:
            yield Candidates(np.zeros((1, m)), np.ones((1, 1, m)), lambda i: hole())
        return
    block = store.linear.get((size - 1, 0))
    for unary in grammar.unary if block is not None and size <= 1 + LARGEST_ARGUMENT else ():
        assert block is not None
        kept = [i for i, t in enumerate(block.terms) if _readable(unary, t)]
        terms: list[Term] = [Unary(unary, block.terms[i]) for i in kept]
        if terms:
            values = apply_unary(unary, block.offset[kept])
            yield Candidates(values, block.basis[kept], terms.__getitem__)
    pairs = [
        (op, a, b)
        for a, b in _pairs(store, size - 1)
        if isinstance(a, Linear) and isinstance(b, Linear)
        for op in grammar.binary
        if _stays_linear(op, a, b)
    ]
    wheres = [
        (test, a, b)
        for test, a, b in _wheres(store, size)
        if test.holes == 0 and isinstance(a, Linear) and isinstance(b, Linear)
    ]
    lengths: list[tuple[int, ...]] = [(len(a), len(b)) for _, a, b in pairs]
    share = _share(limit, lengths + [(len(t), len(a), len(b)) for t, a, b in wheres])
    for op, a, b in _in_turn(pairs):
        ka, kb = _cut(store, share, len(a), len(b))
        rows = max(1, AT_ONCE // kb)
        for first in range(0, ka, rows):
            yield _combine(op, a, b, first, min(ka, first + rows), kb)
    for test, a, b in wheres:
        yield _choose(store, test, a, b, share)


def general_candidates(store: Store, size: int, limit: int) -> Iterator[GeneralCandidates]:
    """The other terms of ``size`` nodes, with one hole or more."""
    grammar = store.grammar
    singles = [
        (op, a)
        for op in grammar.unary
        for a in store.reals(size - 1)
        if a.holes and not _only_hole(a) and size <= 1 + LARGEST_ARGUMENT
    ]
    pairs = [
        (op, a, b)
        for a, b in _pairs(store, size - 1)
        for op in grammar.binary
        if a.holes + b.holes and not _linear_pair(op, a, b) and _worth_while(op, a, b)
    ]
    wheres = [
        (test, a, b)
        for test, a, b in _wheres(store, size)
        if test.holes or isinstance(a, General) or isinstance(b, General)
        if test.holes + a.holes + b.holes
    ]
    lengths: list[tuple[int, ...]] = [(len(a),) for _, a in singles]
    lengths += [(len(a), len(b)) for _, a, b in pairs]
    share = _share(limit, lengths + [(len(t), len(a), len(b)) for t, a, b in wheres])
    for unary, a in singles:
        (k,) = _cut(store, share, len(a))
        rows = [i for i, t in enumerate(a.terms[:k]) if _readable(unary, t)]
        if not rows:
            continue
        table, places = store.table, range(store.shifts(a.holes))
        values = [apply_unary(unary, a.at(table, s, k)[rows]) for s in places]
        made: list[Term] = [Unary(unary, a.terms[i]) for i in rows]
        yield GeneralCandidates(a.holes, np.stack(values), made, a.rank[rows])
    for op, a, b in _in_turn(pairs):
        ka, kb = _cut(store, share, len(a), len(b))
        h = a.holes + b.holes
        shifted = [
            apply_binary(
                op,
                a.at(store.table, s, ka)[:, None],
                b.at(store.table, s + a.holes, kb)[None],
            ).reshape(ka * kb, -1)
            for s in range(store.shifts(h))
        ]
        terms: list[Term] = [Binary(op, p, q) for p in a.terms[:ka] for q in b.terms[:kb]]
        rank = np.minimum(a.rank[:ka, None], b.rank[None, :kb]).ravel()
        yield GeneralCandidates(h, np.stack(shifted), terms, rank)
    for test, a, b in wheres:
        yield _general_where(store, test, a, b, share)


def condition_candidates(store: Store, size: int, limit: int) -> Iterator[GeneralCandidates]:
    """The comparisons ``a <= b`` of ``size`` nodes; swapped branches give the other relations."""
    if not store.grammar.conditions:
        return
    pairs = [
        (a, b)
        for a, b in _pairs(store, size - 1)
        if not (_only_hole(a) and _only_hole(b))
        and a.holes + b.holes < max(2, store.grammar.max_holes)
    ]
    share = _share(limit, [(len(a), len(b)) for a, b in pairs])
    for a, b in pairs:
        ka, kb = _cut(store, share, len(a), len(b))
        h = a.holes + b.holes
        shifted = [
            (a.at(store.table, s, ka)[:, None] <= b.at(store.table, s + a.holes, kb)[None]).reshape(
                ka * kb, -1
            )
            for s in range(store.shifts(h))
        ]
        terms: list[Formula] = [
            Compare(Relation.LE, p, q) for p in a.terms[:ka] for q in b.terms[:kb]
        ]
        rank = np.minimum(a.rank[:ka, None], b.rank[None, :kb]).ravel()
        yield GeneralCandidates(h, np.stack(shifted), terms, rank)


def _pairs(store: Store, total: int) -> Iterator[tuple[Real, Real]]:
    for left in range(1, total):
        for a in store.reals(left):
            for b in store.reals(total - left):
                if a.holes + b.holes <= store.grammar.max_holes:
                    yield a, b


def _wheres(store: Store, size: int) -> Iterator[tuple[Conditions, Real, Real]]:
    for (test_size, _), test in sorted(store.conditions.items(), key=_key):
        for a, b in _pairs(store, size - 1 - test_size):
            if test.holes + a.holes + b.holes <= store.grammar.max_holes:
                yield test, a, b


def _in_turn(pairs: list[tuple[BinaryOp, A, A]]) -> Iterator[tuple[BinaryOp, A, A]]:
    """The operators in turn, of each first the combinations whose best parts imitate well."""
    groups: dict[BinaryOp, list[tuple[BinaryOp, A, A]]] = {}
    for pair in sorted(pairs, key=lambda p: float(p[1].rank[0] + p[2].rank[0])):
        groups.setdefault(pair[0], []).append(pair)
    for some in itertools.zip_longest(*groups.values()):
        yield from (pair for pair in some if pair is not None)


def _readable(op: UnaryOp, arg: Term) -> bool:
    """Whether a person would write this: no sine of a sine, no sign that a constant can hold."""
    match op:
        case UnaryOp.NEG:
            return isinstance(arg, Var)
        case UnaryOp.ABS:
            return nodes(arg) <= LARGEST_ARGUMENT and not (
                isinstance(arg, Unary) and arg.op in (UnaryOp.ABS, UnaryOp.NEG)
            )
        case _:
            return nodes(arg) <= LARGEST_ARGUMENT and not any(
                (isinstance(s, Unary) and s.op not in (UnaryOp.ABS, UnaryOp.NEG))
                or (isinstance(s, Binary) and s.op is BinaryOp.DIV)
                for s in subterms(arg)
            )


def _only_hole(a: Real) -> bool:
    return len(a) == 1 and is_hole(a.terms[0])


def _stays_linear(op: BinaryOp, a: Linear, b: Linear) -> bool:
    match op:
        case BinaryOp.ADD | BinaryOp.SUB:
            return True
        case BinaryOp.MUL:
            return a.holes == 0 or b.holes == 0
        case BinaryOp.DIV:
            return b.holes == 0
        case BinaryOp.MIN | BinaryOp.MAX:
            return a.holes == 0 and b.holes == 0


def _linear_pair(op: BinaryOp, a: Real, b: Real) -> bool:
    return isinstance(a, Linear) and isinstance(b, Linear) and _stays_linear(op, a, b)


def _worth_while(op: BinaryOp, a: Real, b: Real) -> bool:
    """Whether the term is not another in more words: a hole swallows factors that are holes."""
    if op is BinaryOp.DIV and _only_hole(b):
        return False
    if op in (BinaryOp.MUL, BinaryOp.DIV, BinaryOp.MIN, BinaryOp.MAX):
        for p, q in ((a, b), (b, a)):
            if _only_hole(p) and (_only_hole(q) or (op is BinaryOp.MUL and isinstance(q, Linear))):
                return False
    return not (op is BinaryOp.SUB and _only_hole(b))


def _combine(op: BinaryOp, a: Linear, b: Linear, first: int, last: int, kb: int) -> Candidates:
    p, q = a.offset[first:last, None], b.offset[None, :kb]
    m = p.shape[-1]
    offset = apply_binary(op, p, q)
    basis = np.zeros((last - first, kb, a.holes + b.holes, m))
    left, right = a.basis[first:last, None], b.basis[None, :kb]
    if op in SUMS:
        basis[:, :, : a.holes] = left
        basis[:, :, a.holes :] = right if op is BinaryOp.ADD else -right
    elif a.holes:
        basis[:] = apply_binary(op, left, q[:, :, None])
    elif b.holes:
        basis[:] = apply_binary(op, p[:, :, None], right)

    def make(i: int) -> Term:
        return Binary(op, a.terms[first + i // kb], b.terms[i % kb])

    rows = (last - first) * kb
    return Candidates(offset.reshape(rows, m), basis.reshape(rows, a.holes + b.holes, m), make)


def _choose(store: Store, test: Conditions, a: Linear, b: Linear, share: int) -> Candidates:
    kt, ka, kb = _cut(store, share, len(test), len(a), len(b))
    m, h = len(store.x), a.holes + b.holes
    yes = test.at(store.table, 0, kt)[:, None, None, :m]
    offset = np.where(yes, a.offset[None, :ka, None], b.offset[None, None, :kb])
    basis = np.zeros((kt, ka, kb, h, m))
    basis[..., : a.holes, :] = a.basis[None, :ka, None] * yes[..., None, :]
    basis[..., a.holes :, :] = b.basis[None, None, :kb] * ~yes[..., None, :]

    def make(i: int) -> Term:
        t, rest = divmod(i, ka * kb)
        return Where(test.terms[t], a.terms[rest // kb], b.terms[rest % kb])

    return Candidates(offset.reshape(-1, m), basis.reshape(kt * ka * kb, h, m), make)


def _general_where(
    store: Store, test: Conditions, a: Real, b: Real, share: int
) -> GeneralCandidates:
    kt, ka, kb = _cut(store, share, len(test), len(a), len(b))
    n, h = kt * ka * kb, test.holes + a.holes + b.holes
    shifted = []
    for s in range(store.shifts(h)):
        yes = test.at(store.table, s, kt)[:, None, None]
        then = a.at(store.table, s + test.holes, ka)[None, :, None]
        other = b.at(store.table, s + test.holes + a.holes, kb)[None, None]
        shifted.append(np.where(yes, then, other).reshape(n, -1))
    terms: list[Term] = [
        Where(t, p, q) for t in test.terms[:kt] for p in a.terms[:ka] for q in b.terms[:kb]
    ]
    rank = np.minimum(a.rank[:ka, None], b.rank[None, :kb]).ravel()
    return GeneralCandidates(h, np.stack(shifted), terms, np.tile(rank, kt))


def _share(limit: int, lengths: list[tuple[int, ...]]) -> int:
    """How many combinations each block may make: all if that is not too many, else equal parts."""
    if sum(math.prod(some) for some in lengths) <= WASTE * limit:
        return WASTE * limit
    return max(4, WASTE * limit // len(lengths))


def _cut(store: Store, limit: int, *lengths: int) -> list[int]:
    """How many of each make a product of about ``limit`` at most; short lists are kept whole."""
    result: list[int] = list(lengths)
    if math.prod(lengths) <= limit:
        return result
    store.cut = True
    room = float(limit)
    for position, k in enumerate(sorted(range(len(lengths)), key=lambda k: (lengths[k], k))):
        result[k] = min(lengths[k], max(1, round(room ** (1 / (len(lengths) - position)))))
        room /= result[k]
    return result
