"""Polytopes of nonlinear systems whose backup has branches: proofs, branch by branch.

On each branch of the backup (with finitely many actions the input is then a number) and on the box
of the polytope, each next coordinate that is no affine term is enclosed: two cuts say that it stays
within a constant of an affine form. It gets a name, and every row follows from the rows, the
branch's own guard and the enclosures, linearly. Where one enclosure is too coarse the box is
halved.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from scipy.optimize import linprog

from nprl.lang.ranges import Interval
from nprl.lang.serial import to_json
from nprl.lang.terms import Num, Term, Var, Where, subterms, variables
from nprl.shields.certificate import Certificate
from nprl.shields.goals import tolerant
from nprl.shields.leaf import Premises, Reading
from nprl.shields.polynomial import NotPolynomial, Range, polynomial
from nprl.shields.sequent import Sequent, expand
from nprl.shields.synthesis.proofs.functions import affine_fit
from nprl.shields.synthesis.proofs.nonlinear import proved_cut, time_left
from nprl.shields.synthesis.proofs.prove import first_piece, has_pieces, prove
from nprl.shields.synthesis.proofs.search import NotProved, Search, Tree, outward, polynomials
from nprl.shields.synthesis.views.quadratic import degree

MOST_HALVINGS = 4
FEW_ROWS = 40
"""So many can be proved one by one, each with slices of its own."""
SPARE = ((1.3, 3), (2.0, 4))
"""How much more than the sampled remainder is claimed, with how many halvings, in this order."""


def enclose_rows(sequent: Sequent, draft: Certificate, seconds: float) -> Tree:
    """A proof of a kept goal of a polytope.

    Raises:
        NotProved: where an enclosure or a row is not found.
    """
    end = time.monotonic() + seconds
    cuts: list[tuple[Term, Tree]] = []
    s = sequent
    for lemma in tight_box(s, draft.model.state_names):
        s, tree = proved_cut(s, lemma, end, "the polytope's box")
        cuts.append((lemma, tree))
    steps = tolerant(draft.model.steps, "plant", draft.rounding.guard)[0]
    rows = len(draft.shield.invariant[0])
    curved = [t for t in steps if not _is_affine(t)]
    result = Enclosing(curved, rows, len(sequent.premises), end).branch(s)
    for lemma, tree in reversed(cuts):
        result = ["cut", to_json(lemma), tree, result]
    return result


def suits(draft: Certificate) -> bool:
    """Whether this is the way: many rows, a backup with branches, a smooth nonlinear step."""
    steps = draft.model.steps
    return (
        len(draft.shield.invariant[0]) > FEW_ROWS
        and any(isinstance(s, Where) for t in draft.shield.backup for s in subterms(t))
        and not all(map(_is_affine, steps))
        and not any(map(has_pieces, steps))
    )


def _is_affine(t: Term) -> bool:
    try:
        return degree(polynomial(t)) <= 1
    except NotPolynomial:
        return False


def tight_box(s: Sequent, names: tuple[str, ...]) -> list[Term]:
    """Bounds of the states, a little outside of what the affine premises allow, where tighter than stated."""
    search = Search()
    rows = [p for p in polynomials(s, search).values() if degree(p) == 1]
    rows = [p for p in rows if {m[0][0] for m in p if m} <= set(names)]
    h = np.array([[float(-p.get(((n, 1),), Fraction(0))) for n in names] for p in rows])
    b = np.array([float(p.get((), Fraction(0))) for p in rows])
    box = Premises(s.premises).box()
    result: list[Term] = []
    for j, n in enumerate(names):
        cost = np.eye(len(names))[j]
        low, high = box[n]
        for sign in (1, -1):
            found = linprog(-sign * cost, A_ub=h, b_ub=b, bounds=(None, None), method="highs")
            if found.status != 0:
                continue
            slack = Fraction(2) ** math.floor(math.log2(float(high - low))) / 2**8
            edge = outward(Fraction(float(sign * -found.fun)), sign > 0, slack)
            if sign > 0 and edge < high:
                result.append(Num(edge) - Var(n))
            elif sign < 0 and edge > low:
                result.append(Var(n) - Num(edge))
    return result


@dataclass(frozen=True, slots=True)
class Enclosing:
    """What stays the same in one proof."""

    steps: list[Term]
    """The next coordinates that are to be enclosed."""
    rows: int
    """The first premises are the polytope's rows."""
    original: int
    """How many premises the goal has."""
    end: float
    cache: dict[Term, Reading] = field(default_factory=dict)

    def search(self, first: int = 0) -> Search:
        """A search that only combines premises from the number ``first`` on."""
        left = time_left(self.end)
        return Search(seconds=left, max_depth=0, scan=False, first=first, cache=self.cache)

    def branch(self, s: Sequent, halvings: int = 0) -> Tree:
        """Take the backup apart, then enclose the steps; halve the box where that is too coarse."""
        piece = first_piece(s, self.original)
        if piece is not None:
            head = ["pieces", to_json(piece)]
            return [*head, *(self.branch(p, halvings) for p in expand([*head, None, None], s))]
        try:
            return self.enclosed(s)
        except NotProved:
            q = halving(s, self.steps) if halvings < MOST_HALVINGS else None
            if q is None:
                raise
        head = ["split", to_json(q)]
        return [*head, *(self.branch(p, halvings + 1) for p in expand([*head, None, None], s))]

    def enclosed(self, s: Sequent) -> Tree:
        """Every row, from one enclosure of each step."""
        cuts: list[tuple[Term, Tree]] = []
        for t in self.steps:
            for lemma, tree in self.remainder(t, s):
                s = s.given(lemma)
                cuts.append((lemma, tree))
        heads: list[Tree] = []
        for t in self.steps:
            head: Tree = ["name", to_json(t)]
            s = expand([*head, None], s)[0]
            heads.append(head)
        result = prove(s, self.search())
        for head in reversed(heads):
            result = [*head, result]
        for lemma, tree in reversed(cuts):
            result = ["cut", to_json(lemma), tree, result]
        return result

    def remainder(self, t: Term, s: Sequent) -> list[tuple[Term, Tree]]:
        """``R - (t - affine) >= 0`` and ``R + (t - affine) >= 0`` for an R near the sampled remainder."""
        box = Premises(s.premises, self.cache).box()
        at = {n: Interval(*box[n]) for n in variables(t)}
        problem = ""
        for spare, slices in SPARE:
            affine, bound = affine_fit(t, at, spare)
            result, now = [], s
            try:
                for lemma in (bound - (t - affine), bound + (t - affine)):
                    result.append((lemma, self.sliced(now.concluding(lemma), t, slices)))
                    now = now.given(lemma)
            except NotProved as error:
                problem = str(error)
                continue
            return result
        raise NotProved(f"the remainder of {str(t)[:40]}: {problem}")

    def sliced(self, s: Sequent, t: Term, slices: int) -> Tree:
        """A proof of a bound on ``t``, its box halved before functions are named."""
        try:
            return prove(s, self.search(self.rows))
        except NotProved:
            q = halving(s, [t]) if slices else None
            if q is None:
                raise
        head = ["split", to_json(q)]
        return [*head, *(self.sliced(p, t, slices - 1) for p in expand([*head, None, None], s))]


def halving(s: Sequent, steps: list[Term]) -> Term | None:
    """The coordinate, and its middle, whose halves have the least remainders, as ``v - middle``."""
    box = Premises(s.premises).box()
    best: tuple[float, Term] | None = None
    for v in sorted({v for t in steps for v in variables(t)} & box.keys()):
        low, high = box[v]
        if not high - low > Fraction(1, 2**20):
            continue
        middle = outward((low + high) / 2, False, (high - low) / 2**8)
        halves = [{**box, v: (low, middle)}, {**box, v: (middle, high)}]
        left = sum(_coarseness(t, half) for t in steps for half in halves)
        if best is None or left < best[0]:
            best = left, Var(v) - Num(middle)
    return None if best is None else best[1]


def _coarseness(t: Term, box: Mapping[str, Range]) -> float:
    at = {n: Interval(*box[n]) for n in variables(t)}
    return float(affine_fit(t, at, 1.0)[1].value)
