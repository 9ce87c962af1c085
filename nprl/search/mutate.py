"""Random terms of a grammar, and small changes to terms: what evolution proposes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from nprl.lang.terms import (
    Binary,
    Compare,
    Formula,
    Num,
    Relation,
    Term,
    Unary,
    Var,
    Where,
    children,
    nodes,
    rebuilt,
    subterms,
)
from nprl.search.constants import decimal
from nprl.search.grammar import Grammar, values

CONSTANT = 0.35
"""How often a leaf is a number."""
DIGITS = 4
"""Significant digits of numbers that are drawn."""
TEST = 6
"""Nodes of the smallest ``where``."""


class Mutator:
    """Draws terms of ``grammar``; the same generator gives the same terms."""

    def __init__(self, grammar: Grammar, rng: np.random.Generator) -> None:
        """Draw from ``rng``."""
        self._grammar, self._rng = grammar, rng
        self._changes = (self._point, self._grow, self._hoist, self._fresh)

    def term(self, size: int) -> Term:
        """A random term of at most ``size`` nodes."""
        rng, grammar = self._rng, self._grammar
        if size <= 1 or (size == 2 and not grammar.unary):
            return self._leaf()
        if grammar.conditions and size >= TEST and rng.random() < 0.15:
            parts = [self.term(s) for s in self._split(size - 2, 4)]
            return Where(Compare(Relation.LE, parts[0], parts[1]), parts[2], parts[3])
        if size == 2 or (grammar.unary and rng.random() < 0.15):
            return Unary(self._one(grammar.unary), self.term(size - 1))
        left, right = self._split(size - 1, 2)
        return Binary(self._one(grammar.binary), self.term(left), self.term(right))

    def mutated(self, t: Term, size: int) -> Term:
        """``t`` with one change, of at most ``size`` nodes; ``t`` itself where none fits."""
        for _ in range(8):
            change = self._changes[int(self._rng.choice(4, p=(0.35, 0.25, 0.15, 0.25)))]
            new = change(t, size)
            if new != t and nodes(new) <= size:
                return new
        return t

    def crossed(self, t: Term, other: Term, size: int) -> Term:
        """``t`` with a part of ``other`` in it, of at most ``size`` nodes, or ``t``."""
        parts = [s for s in subterms(other) if isinstance(s, Term)]
        new = self._at(t, lambda old: self._one(parts))
        return new if nodes(new) <= size else t

    def _leaf(self) -> Term:
        if self._grammar.max_holes and self._rng.random() < CONSTANT:
            return self.number()
        return Var(self._one(self._grammar.variables))

    def number(self) -> Num:
        """A number of any sign, between 0.1 and 30 in size."""
        size = float(np.exp(self._rng.uniform(np.log(0.1), np.log(30.0))))
        return Num(decimal(size if self._rng.random() < 0.5 else -size, DIGITS))

    def _one(self, some: Any) -> Any:
        return some[int(self._rng.integers(len(some)))]

    def _split(self, total: int, parts: int) -> list[int]:
        cuts = np.sort(self._rng.choice(np.arange(1, total), parts - 1, replace=False))
        ends = [0, *cuts.tolist(), total]
        return [b - a for a, b in itertools.pairwise(ends)]

    def _at(self, t: Term, change: Callable[[Term], Term]) -> Term:
        """``t`` with a part of it, drawn uniformly, changed."""
        places = sum(isinstance(s, Term) for s in subterms(t))
        return changed_at(t, int(self._rng.integers(places)), change)

    def _point(self, t: Term, size: int) -> Term:
        """Another leaf, operator or relation in one place."""

        def other(old: Term) -> Term:
            match old:
                case Num():
                    return self.number() if self._rng.random() < 0.5 else self._leaf()
                case Unary(_, arg):
                    return Unary(self._one(self._grammar.unary), arg)
                case Binary(_, left, right):
                    swapped = (right, left) if self._rng.random() < 0.3 else (left, right)
                    return Binary(self._one(self._grammar.binary), *swapped)
                case Where(condition, then, otherwise):
                    return Where(condition, otherwise, then)
                case _:
                    return self._leaf()

        return self._at(t, other)

    def _grow(self, t: Term, size: int) -> Term:
        """An operator above one place, with a small new term beside it."""
        room = size - nodes(t) - 1

        def above(old: Term) -> Term:
            if room < 1 or (self._grammar.unary and self._rng.random() < 0.2):
                return Unary(self._one(self._grammar.unary), old) if self._grammar.unary else old
            new = self.term(min(room, int(self._rng.integers(1, 4))))
            pair = (old, new) if self._rng.random() < 0.5 else (new, old)
            return Binary(self._one(self._grammar.binary), *pair)

        return self._at(t, above)

    def _hoist(self, t: Term, size: int) -> Term:
        """One place replaced by a part of itself."""

        def inner(old: Term) -> Term:
            parts = [s for s in subterms(old) if isinstance(s, Term) and s is not old]
            chosen: Term = self._one(parts) if parts else old
            return chosen

        return self._at(t, inner)

    def _fresh(self, t: Term, size: int) -> Term:
        """One place replaced by a new random term."""
        return self._at(t, lambda old: self.term(int(self._rng.integers(1, 2 + nodes(old)))))


def computed(t: Term) -> Term:
    """``t`` with each part that reads no variable as one number, a decimal of few digits.

    For a search that fits its numbers again: what it means is only near to what it meant.
    """

    def visit(node: Term | Formula) -> Term | Formula:
        new = rebuilt(node, visit)
        parts = children(new)
        if not isinstance(new, Term) or not parts or not all(isinstance(p, Num) for p in parts):
            return new
        with np.errstate(all="ignore"):
            value = float(values(new, {}))
        return Num(decimal(value, DIGITS)) if np.isfinite(value) else new

    result = visit(t)
    assert isinstance(result, Term)
    return result


def changed_at(t: Term, index: int, change: Callable[[Term], Term]) -> Term:
    """``t`` with its part number ``index`` changed; parents are numbered before their parts."""
    counter = itertools.count()

    def visit(node: Term | Formula) -> Term | Formula:
        if isinstance(node, Term) and next(counter) == index:
            return change(node)
        return rebuilt(node, visit)

    result = visit(t)
    assert isinstance(result, Term)
    return result


def near(
    values: tuple[Fraction, ...], count: int, rng: np.random.Generator
) -> np.ndarray[Any, Any]:
    """Settings (count, k) of constants about ``values`` (k,): as they are, nearby, and anywhere."""
    first = np.asarray([float(v) for v in values])
    scale = np.where(first == 0, 0.1, np.abs(first))
    spread = np.exp(rng.uniform(np.log(0.02), np.log(1.0), (count, 1)))
    settings = first + scale * spread * rng.standard_normal((count, len(first)))
    wild = rng.random((count, len(first))) < 0.1
    size = np.exp(rng.uniform(np.log(0.03), np.log(30.0), settings.shape))
    settings = np.where(wild, size * rng.choice([-1.0, 1.0], settings.shape), settings)
    settings[0] = first
    return settings
