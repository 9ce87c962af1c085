"""Proofs for a chain of sections: from each part the backup leads into one of its neighbours.

On a part everything of the step that is not affine is enclosed between two parallel affine forms. The cuts of the
chain say which part the next state is in; there each row follows from the rows and the enclosures, linearly, on
every branch of the backup. Where one enclosure is too coarse the part is halved. Nothing here is trusted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy.optimize import linprog

from nprl.lang.ranges import Interval
from nprl.lang.serial import to_json
from nprl.lang.terms import Num, Term, Unary, UnaryOp, Var, variables
from nprl.lang.terms import replace as substitute
from nprl.shields.certificate import Certificate
from nprl.shields.goals import tolerant
from nprl.shields.polynomial import NotPolynomial, Polynomial, Range, add, bound_of, polynomial
from nprl.shields.sequent import MAX_ORDER, Sequent, expand, expanded
from nprl.shields.synthesis.proofs.bernstein import bound, lower_bound
from nprl.shields.synthesis.proofs.enclosed_rows import Enclosing, halving, tight_box
from nprl.shields.synthesis.proofs.functions import affine_fit
from nprl.shields.synthesis.proofs.nonlinear import curved_parts, proved_cut, time_left, undisturbed
from nprl.shields.synthesis.proofs.prove import outermost, prove
from nprl.shields.synthesis.proofs.search import NotProved, Search, Tree, box_of, hint, polynomials
from nprl.shields.synthesis.views.quadratic import degree

MOST_HALVINGS = 5
STUCK, SHORT = 0.25, 5.0
"""A goal that takes more than this part of the time that is left, and more seconds, is stuck."""
SOME, SLOW = 2, 1.5
"""After so many parts a proof ends early that would take so many times what is left."""
SPARE = (1.15, 1.4, 2.0, 3.0)
"""How much more than what was sampled an enclosure of a sine claims, in this order."""


@dataclass(slots=True)
class SectionProof:
    """Proofs of one chain's goals, and how long its parts took so far."""

    draft: Certificate
    spent: float = 0.0
    done: int = 0

    def prove(self, goal: str, sequent: Sequent, seconds: float) -> Tree:
        """A tree of any goal, where the parts so far let expect that ``seconds`` are enough for all others.

        Raises:
            NotProved: where a next state is not shown to be in the chain, or time is too short.
        """
        began = time.monotonic()
        end = began + max(STUCK * seconds, min(seconds, SHORT))
        match goal.split("/")[0]:
            case "init":
                cuts = _cuts(self.draft)
                ends = box_of(sequent, Search())[cuts.along]
                return _in_parts(sequent, cuts, Var(cuts.along), ends, lambda s: _plain(s, end))
            case "backup":
                left = len(self.draft.shield.invariant) - self.done
                if self.done >= SOME and self.spent / self.done * left > SLOW * seconds:
                    raise NotProved("its proof is too slow for the time that is left")
                cuts = _cuts(self.draft)
                tree = _Kept(self.draft, cuts, len(sequent.premises), end).tree(sequent, 0)
                self.spent, self.done = self.spent + time.monotonic() - began, self.done + 1
                return tree
            case "test":
                return _tested(sequent, self.draft, end)
            case _:
                return _plain(sequent, end)


def _plain(s: Sequent, end: float) -> Tree:
    return prove(s, Search(seconds=time_left(end)))


def _tested(s: Sequent, draft: Certificate, end: float) -> Tree:
    """What passes the test is in its part: the same step, a little off, so that its curved parts need names only."""
    model = draft.model
    noise = set(model.disturbance_names)
    steps = tolerant(model.steps, "plant", draft.rounding.guard)[0]
    parts = [u for t in steps for c in curved_parts(t) for u in undisturbed(c, noise)]
    heads: list[Tree] = []
    for t in dict.fromkeys(parts):
        heads.append(["name", to_json(t)])
        s = expand([*heads[-1], None], s)[0]
    result = _plain(s, end)
    for head in reversed(heads):
        result = [*head, result]
    return result


@dataclass(frozen=True, slots=True)
class _Cuts:
    """The coordinate along a chain, and where its parts meet."""

    along: str
    at: tuple[Fraction, ...]


def _cuts(draft: Certificate) -> _Cuts:
    """As the first two rows of each part say."""
    ends = [
        [bound_of(polynomial(expanded(g))) for g in part[:2]] for part in draft.shield.invariant
    ]
    found = [(a[0], a[2], b[2]) for a, b in ends if a is not None and b is not None]
    assert len(found) == len(ends)
    return _Cuts(found[0][0], (*(low for _, low, _ in found), found[-1][2]))


def _in_parts(
    s: Sequent, cuts: _Cuts, place: Term, ends: Range, then: Callable[[Sequent], Tree]
) -> Tree:
    """Which part a place between ``ends`` is in, by splits; then the rest, for each."""
    last = len(cuts.at) - 2
    first = max(k for k, a in enumerate(cuts.at[:-1]) if k == 0 or a <= ends[0])
    final = min(k for k, a in enumerate(cuts.at[1:]) if k == last or a >= ends[1])

    def within(now: Sequent, low: int, high: int) -> Tree:
        if low >= high:
            head: Tree = ["part", low]
            return [*head, then(expand([*head, None], now)[0])] if last else then(now)
        middle = (low + high + 1) // 2
        head = ["split", to_json(place - Num(cuts.at[middle]))]
        above, below = expand([*head, None, None], now)
        return [*head, within(above, middle, high), within(below, low, middle - 1)]

    return within(s, first, final)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What stays the same in the proof of one goal ``backup``."""

    draft: Certificate
    cuts: _Cuts
    original: int
    end: float

    def tree(self, s: Sequent, halvings: int) -> Tree:
        """A proof; on both halves of the part where one enclosure is too coarse."""
        model, guard = self.draft.model, self.draft.rounding.guard
        steps = tolerant(model.steps, "plant", guard)[0]
        curved = list(dict.fromkeys(c for t in steps for c in curved_parts(t)))
        cuts: list[tuple[Term, Tree]] = []
        for lemma in tight_box(s, model.state_names):
            s, tree = proved_cut(s, lemma, self.end, "the part's box")
            cuts.append((lemma, tree))
        try:
            result = self.enclosed(s, steps, curved)
        except NotProved:
            q = halving(s, curved) if halvings < MOST_HALVINGS else None
            if q is None:
                raise
            head: Tree = ["split", to_json(q)]
            sides = expand([*head, None, None], s)
            result = [*head, *(self.tree(side, halvings + 1) for side in sides)]
        for lemma, tree in reversed(cuts):
            result = ["cut", to_json(lemma), tree, result]
        return result

    def enclosed(self, s: Sequent, steps: Sequence[Term], curved: list[Term]) -> Tree:
        """A proof from one enclosure of each part of the step that is not affine."""
        rows = len(self.draft.shield.invariant[0])
        enclosing = Enclosing(curved, rows, self.original, self.end)
        cuts: list[tuple[Term, Tree]] = []
        for t in curved:
            for lemma, tree in wave_cuts(t, s) or _unbranched_cuts(t, s, enclosing):
                s = s.given(lemma)
                cuts.append((lemma, tree))
        index = self.draft.model.state_names.index(self.cuts.along)
        place = steps[index] + Var(f"e:{self.cuts.along}")

        def close(now: Sequent) -> Tree:
            heads: list[Tree] = []
            for t in curved:
                heads.append(["name", to_json(t)])
                now = expand([*heads[-1], None], now)[0]
            result = prove(now, enclosing.search())
            for head in reversed(heads):
                result = [*head, result]
            return result

        result = _in_parts(s, self.cuts, place, _ends(s, place, curved), close)
        for lemma, tree in reversed(cuts):
            result = ["cut", to_json(lemma), tree, result]
        return result


def wave_cuts(t: Term, s: Sequent) -> list[tuple[Term, Tree]]:
    """Cuts that enclose a sine or cosine between parallel lines, a leaf each; none for other terms."""
    if not isinstance(t, Unary) or t.op not in (UnaryOp.SIN, UnaryOp.COS):
        return []
    search = Search()
    box = box_of(s, search)
    if not variables(t) <= box.keys():
        return []
    at = {v: Interval(*box[v]) for v in variables(t)}
    found = (_line_cuts(t, s, search, *affine_fit(t, at, spare)) for spare in SPARE)
    return next((cuts for cuts in found if cuts), [])


def _line_cuts(
    t: Unary, s: Sequent, search: Search, line: Term, radius: Num
) -> list[tuple[Term, Tree]]:
    """The cuts for one line and radius; none where Bernstein's bound does not show them."""
    box = box_of(s, search)
    size = _reach(t.arg, box)
    order = next((k for k in range(1, MAX_ORDER) if _rest(size, k) <= radius.value / 16), MAX_ORDER)
    head: Tree = ["function", to_json(t), order]
    cuts: list[tuple[Term, Tree]] = []
    for side, lemma in ((1, radius - (t - line)), (0, radius + (t - line))):
        (now,) = expand([*head, None], s.concluding(lemma))
        premises, known = polynomials(now, search), len(s.premises) + side
        rest = add(polynomial(now.alternatives[0][0].term), premises[known], Fraction(-1))
        least = bound(rest, box)
        if least is None or least < 0:
            return []
        leaf = hint(rest, {known: Fraction(1)}, now, premises, box)
        cuts.append((lemma, [*head, ["leaf", [leaf]]]))
        s = s.given(lemma)
    return cuts


def _reach(a: Term, box: Mapping[str, Range]) -> Fraction:
    p = polynomial(a)
    return max(-lower_bound(p, box), -lower_bound(add({}, p, Fraction(-1)), box))


def _rest(size: Fraction, k: int) -> Fraction:
    """What Taylor's sum of order k may be off, for arguments up to ``size``."""
    return size ** (2 * k) / math.factorial(2 * k)


def _unbranched_cuts(t: Term, s: Sequent, by: Enclosing) -> list[tuple[Term, Tree]]:
    """The cuts that enclose a term between parallel forms; the backup's branches are named away."""
    heads: list[Tree] = []
    while (
        piece := next((p for h in s.premises if (p := outermost(h)) is not None), None)
    ) is not None:
        heads.append(["name", to_json(piece)])
        s = expand([*heads[-1], None], s)[0]
    found = []
    for lemma, tree in by.remainder(t, s):
        for head in reversed(heads):
            tree = [*head, tree]
        found.append((lemma, tree))
    return found


def _ends(s: Sequent, place: Term, curved: Sequence[Term]) -> Range:
    """The least and greatest value of an affine form of variables and curved parts, by the affine premises."""
    named = {t: Var(f"f:{k}") for k, t in enumerate(curved)}
    goal = polynomial(substitute(place, named))
    premises = []
    for t in s.premises:
        with suppress(NotPolynomial):
            p = polynomial(substitute(t, named))
            if degree(p) == 1:
                premises.append(p)
    order = sorted({m[0][0] for p in (goal, *premises) for m in p if m})
    slopes = np.array([_slopes(p, order) for p in premises])
    room = [float(p.get((), 0)) for p in premises]
    ends = []
    for sign in (1, -1):
        cost = sign * np.array(_slopes(goal, order))
        answer = linprog(cost, A_ub=-slopes, b_ub=room, bounds=(None, None), method="highs")
        if answer.status != 0:
            raise NotProved("the next place along the chain is not bounded")
        ends.append(Fraction(float(sign * answer.fun)) + goal.get((), Fraction(0)))
    hair = (ends[1] - ends[0]) / 2**20
    return ends[0] - hair, ends[1] + hair


def _slopes(p: Polynomial, order: Sequence[str]) -> list[float]:
    return [float(p.get(((v, 1),), 0)) for v in order]


__all__ = ["SectionProof", "wave_cuts"]
