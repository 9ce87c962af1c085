"""Kept goals of sets whose rows change by functions of one coordinate: slices of that coordinate.

Beside a face that one coordinate z drives (`nprl.shields.synthesis.sets.driven`) the next rows hold
functions of z alone, in one combination ``D(z)``. On a slice of z a polynomial below D is
proved once, by Taylor's sum and Bernstein's form; the functions then get names of which nothing
else is known, and each row follows from the row that is active there. Cells end where another row
becomes active. What needs no D gets no polynomial. Nothing here is trusted.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from nprl.lang.serial import to_json
from nprl.lang.terms import Term, Unary, UnaryOp, Var
from nprl.lang.terms import replace as substitute
from nprl.model import Box
from nprl.shields.leaf import Premises, Reading
from nprl.shields.polynomial import (
    NotPolynomial,
    Polynomial,
    polynomial,
)
from nprl.shields.sequent import Sequent, expand
from nprl.shields.synthesis.proofs.below import POINTS, Below, curve, tight_lines
from nprl.shields.synthesis.proofs.bernstein import from_polynomial
from nprl.shields.synthesis.proofs.functions import innermost_functions
from nprl.shields.synthesis.proofs.prove import contradiction, first_piece, prove
from nprl.shields.synthesis.proofs.search import NotProved, Search, Tree, polynomials, seconds_left
from nprl.shields.synthesis.views.polytope import nearest

WIDEST, NARROWEST = Fraction(4), Fraction(1, 2)
"""Of slices: a slice that does not do is halved."""


def by_slices(goal: Sequent, rows: int, seconds: float) -> Tree | None:
    """A proof of a kept goal of one alternative; None where its conclusions are of another kind.

    The first ``rows`` premises are the set's; a multiple of one may be used, but no product with it, so
    that the proof holds for rows with a slack, too.

    Raises:
        NotProved: where it is of that kind, and no slices do.
    """
    (own,) = goal.alternatives
    functions = list(dict.fromkeys(f for c in own for f in innermost_functions(c.term)))
    waves = [f for f in functions if isinstance(f, Unary) and f.op in (UnaryOp.SIN, UnaryOp.COS)]
    arguments = {f.arg for f in waves}
    if not waves or len(waves) < len(functions) or len(arguments) != 1:
        return None
    z = arguments.pop()
    if not isinstance(z, Var) or z.name not in Premises(goal.premises).box():
        return None
    return _Slices(waves, z, rows, time.monotonic() + seconds).bounded(goal)


def by_names(goal: Sequent, seconds: float) -> Tree:
    """A proof in which nothing is known of functions; of a test's goal, whose premises hold the same ones.

    Raises:
        NotProved: where more must be known.
    """
    heads: list[Tree] = []
    own = (c.term for a in goal.alternatives for c in a)
    for f in dict.fromkeys(f for t in own for f in innermost_functions(t)):
        heads.append(["name", to_json(f)])
        goal = goal.naming(f)[1]
    tree = prove(goal, Search(seconds=seconds, max_depth=0))
    for head in reversed(heads):
        tree = [*head, tree]
    return tree


class _Slices:
    """One proof."""

    def __init__(self, waves: Sequence[Unary], z: Var, rows: int, end: float) -> None:
        self.waves, self.z, self.rows, self.end = waves, z, rows, end
        self.names = {f: Var(f"f:{k}") for k, f in enumerate(waves)}
        self.cache: dict[Term, Reading] = {}

    def search(self, depth: int = 0) -> Search:
        left = seconds_left(self.end)
        return Search(seconds=left, max_depth=depth, scan=False, cache=self.cache)

    def box(self, s: Sequent) -> Box:
        return Premises(s.premises, self.cache).box()

    def bounded(self, s: Sequent) -> Tree:
        """That functions are at most 1 either way; which of their combinations matter; then slices."""
        cuts: list[tuple[Term, Tree]] = []
        for f in self.waves:
            for k, lemma in ((2, 1 - f), (3, 1 + f)):
                leaf = ["leaf", [{"products": [["1", [len(s.premises) + k]]]}]]
                cuts.append((lemma, ["function", to_json(f), 1, leaf]))
                s = s.given(lemma)
        forms: list[Polynomial] = []
        for c in s.alternatives[0]:
            form = self.form(c.term)
            if form and form not in forms and not self.easy(s.concluding(c.term)):
                forms.append(form)
        return _cut(cuts, self.slices(s, forms))

    def easy(self, s: Sequent) -> bool:
        """Whether it is enough that functions are at most 1."""
        for f in self.waves:
            s = s.naming(f)[1]
        try:
            prove(s, self.search())
        except NotProved:
            return False
        return True

    def form(self, t: Term) -> Polynomial:
        """What functions do in a conclusion: their combination, over names."""
        at: dict[Term, Term] = dict(self.names.items())
        try:
            p = polynomial(substitute(t, at))
        except NotPolynomial as error:
            raise NotProved(str(error)) from None
        own = {v.name for v in self.names.values()}
        found = {m: c for m, c in p.items() if any(n in own for n, _ in m)}
        if any(len(m) > 1 or m[0][1] > 1 for m in found):
            raise NotProved("functions in a product")
        return found

    def slices(self, s: Sequent, forms: list[Polynomial]) -> Tree:
        """Slices of z: cut at multiples of the greatest width, and halved at those of smaller ones."""
        low, high = self.box(s)[self.z.name]
        width = WIDEST
        while True:
            first, last = low // width + 1, -(-high // width) - 1
            if first <= last:
                head: Tree = ["split", to_json(self.z - (first + last) // 2 * width)]
                return [*head, *(self.slices(t, forms) for t in expand([*head, None, None], s))]
            try:
                return self.slice(s, forms)
            except NotProved:
                if width <= NARROWEST:
                    raise
            width /= 2

    def slice(self, s: Sequent, forms: list[Polynomial]) -> Tree:
        """One slice: lemmas on what functions do, which then get names; the clips, and cells."""
        cuts: list[tuple[Term, Tree]] = []
        below: list[Below] = []
        for form in forms:
            total, q, tree = curve(s, form, self.names, self.z, self.rows, self.search())
            below.append(Below(total, q, len(s.premises)))
            lemma = total - from_polynomial(q)
            cuts.append((lemma, tree))
            s = s.given(lemma)
        heads: list[Tree] = []
        for f in self.waves:
            heads.append(["name", to_json(f)])
            name, s = s.naming(f)
            below = [replace(b, total=substitute(b.total, {f: name})) for b in below]
        tree = self.pieces(s, below, len(s.premises))
        for head in reversed(heads):
            tree = [*head, tree]
        return _cut(cuts, tree)

    def pieces(self, s: Sequent, below: list[Below], first: int) -> Tree:
        """Clips of the backup apart."""
        if len(s.premises) > first or self.z.name not in self.box(s):
            absurd = contradiction(s, self.search())
            if absurd is not None:
                return absurd
        piece = first_piece(s, first)
        if piece is None:
            return self.cells(s, below, self.kinks(s))
        head: Tree = ["pieces", to_json(piece)]
        sides = expand([*head, None, None], s)
        return [*head, *(self.pieces(t, below, first) for t in sides)]

    def kinks(self, s: Sequent) -> list[Fraction]:
        """Where, on a slice, another one of several rows is the one that binds."""
        low, high = self.box(s)[self.z.name]
        groups: dict[tuple[object, ...], list[tuple[float, float]]] = {}
        for p in polynomials(s, self.search()).values():
            slope = p.get(((self.z.name, 1),), Fraction(0))
            other = {m: c for m, c in p.items() if m not in ((), ((self.z.name, 1),))}
            if other and all(sum(k for _, k in m) == 1 for m in other):
                key = tuple(sorted(other.items()))
                groups.setdefault(key, []).append((float(slope), float(p.get((), Fraction(0)))))
        x = np.linspace(float(low), float(high), POINTS)
        found: set[Fraction] = set()
        for lines in groups.values():
            if len(lines) > 1:
                active = np.argmin([m * x + c for m, c in lines], axis=0)
                for i in np.flatnonzero(np.diff(active)):
                    found.add(nearest(float(x[i] + x[i + 1]) / 2, float(high - low) * 2.0**-8))
        return sorted(k for k in found if low < k < high)

    def cells(self, s: Sequent, below: list[Below], kinks: list[Fraction]) -> Tree:
        """The rows, cell by cell, each by a line below D that is tight at one end of the cell."""
        if kinks:
            middle = len(kinks) // 2
            head: Tree = ["split", to_json(self.z - kinks[middle])]
            above, under = expand([*head, None, None], s)
            return [
                *head,
                self.cells(above, below, kinks[middle + 1 :]),
                self.cells(under, below, kinks[:middle]),
            ]
        cuts: list[tuple[Term, Tree]] = []
        for b in below:
            for lemma, tree in tight_lines(s, b, self.z, self.rows, self.search()):
                cuts.append((lemma, tree))
                s = s.given(lemma)
        return _cut(cuts, prove(s, self.search()))


def _cut(cuts: Sequence[tuple[Term, Tree]], tree: Tree) -> Tree:
    for lemma, proof in reversed(cuts):
        tree = ["cut", to_json(lemma), proof, tree]
    return tree
