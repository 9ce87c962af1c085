"""Proofs for sets of cells: where each leaf of the backup takes its part of a box, box by box.

In a goal of one box the backup's questions are answered one after the other; each answer narrows the
box, and some are contradictory. At a leaf the input is a number, and each next coordinate lies
between two numbers, so that the next state lies in a box; where that is in no single part, it is cut
along faces of parts until each piece is. Nothing here is trusted.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from nprl.lang.exact import enclose
from nprl.lang.ranges import Interval
from nprl.lang.serial import number_to_json, to_json
from nprl.lang.terms import Term, Var, Where, children, variables
from nprl.lang.terms import replace as substitute
from nprl.model import Box
from nprl.shields.certificate import Certificate
from nprl.shields.goals import tolerant
from nprl.shields.leaf import Premises
from nprl.shields.polynomial import NotPolynomial, add, bound_of, names, polynomial
from nprl.shields.sequent import Sequent, expand, expanded
from nprl.shields.synthesis.proofs.bernstein import lower_bound
from nprl.shields.synthesis.proofs.curved import branches
from nprl.shields.synthesis.proofs.prove import contradiction, outermost, prove
from nprl.shields.synthesis.proofs.search import NotProved, Search, Tree, outward, seconds_left
from nprl.shields.synthesis.views.quadratic import degree

MOST_CUTS = 16
"""Of a next box along faces of parts, one inside the other."""
MOST_HALVINGS = 6
"""Of the starts' box."""
Side = tuple[Fraction, int | None]
"""An end of a next coordinate, and the premise that says so; None for the box of the premises."""


@dataclass(frozen=True)
class _Next:
    """A sequent with what is known of the next state: a term for each coordinate, and both its ends."""

    s: Sequent
    terms: tuple[Term, ...]
    ends: tuple[tuple[Side, Side], ...] = ()


class CellProof:
    """The proofs of a certificate whose parts are boxes: rows ``x - low``, ``high - x``, in the state's order."""

    def __init__(self, draft: Certificate) -> None:
        self.model, self.end = draft.model, 0.0
        self.parts: list[list[tuple[Fraction, Fraction]]] = []
        for part in draft.shield.invariant:
            ends = [bound_of(polynomial(expanded(g))) for g in part]
            assert all(e is not None for e in ends)
            numbers = [e[2] for e in ends if e is not None]
            self.parts.append(list(zip(numbers[::2], numbers[1::2], strict=True)))
        steps = tolerant(draft.model.steps, "plant", draft.rounding.guard)[0]
        self.after = tuple(
            t + Var(f"e:{n}") for n, t in zip(draft.model.state_names, steps, strict=True)
        )
        self.cache: dict[Term, Any] = {}

    def prove(self, goal: str, s: Sequent, seconds: float) -> Tree:
        """A proof of any goal.

        Raises:
            NotProved: with what stopped the search.
        """
        self.end = time.monotonic() + seconds
        match goal.split("/")[0]:
            case "init":
                return self.start(s, MOST_HALVINGS)
            case "action":
                return self.walk(_Next(s, ()))
            case "backup":
                return self.walk(_Next(s, self.after))
            case "test":
                return self.tested(s) or prove(s, self.search())
            case _:
                return prove(s, self.search())

    def search(self, depth: int = 40) -> Search:
        """A search with the time that is left."""
        left = seconds_left(self.end)
        return Search(seconds=left, max_depth=depth, scan=False, cache=self.cache)

    def box(self, s: Sequent) -> Box:
        """The box that the premises state."""
        return Premises(s.premises, self.cache).box()

    def tested(self, s: Sequent) -> Tree | None:
        """Each next row by the same row of the nominal next state; None where that is not enough."""
        model = self.model
        boxes = (*model.state, *model.action, *model.disturbance, *model.state)
        box, hints = self.box(s), []
        for k, c in enumerate(s.alternatives[0], start=2 * len(boxes)):
            try:
                rest = add(polynomial(c.term), polynomial(s.premises[k]), Fraction(-1))
            except NotPolynomial:
                return None
            if degree(rest) > 1 or not names(rest) <= box.keys() or lower_bound(rest, box) < 0:
                return None
            hints.append({"products": [["1", [k]]]})
        return ["leaf", hints]

    def start(self, s: Sequent, halvings: int) -> Tree:
        """The starts, halved until each piece is in one part."""
        box = self.box(s)
        ends = [box[n] for n in self.model.state_names]
        for k, part in enumerate(self.parts):
            if all(a <= low and high <= b for (low, high), (a, b) in zip(ends, part, strict=True)):
                leaf: Tree = ["leaf", [{} for _ in range(2 * len(part))]]
                return ["part", k, leaf] if len(self.parts) > 1 else leaf
        cuts = [
            (b - a, i, v)
            for part in self.parts
            for i, ((a, b), (low, high)) in enumerate(zip(part, ends, strict=True))
            for v in (a, b)
            if low < v < high
        ]
        if not cuts or not halvings:
            raise NotProved("a start is in no part")
        _, i, v = max(cuts)
        head: Tree = ["split", to_json(Var(self.model.state_names[i]) - v)]
        return [*head, *(self.start(t, halvings - 1) for t in expand([*head, None, None], s))]

    def walk(self, now: _Next) -> Tree:
        """The next question of the backup, or of the step; then the leaf."""
        s = now.s
        looked = s.premises if now.terms else [c.term for a in s.alternatives for c in a]
        piece: Term | None = next((w for t in looked if (w := _question(t)) is not None), None)
        if piece is None:
            piece = next((p for t in now.terms if (p := outermost(t)) is not None), None)
        if piece is None:
            return self.moved(now) if now.terms else self.acted(s)
        head: Tree = ["pieces", to_json(piece)]
        sides = expand([*head, None, None], s)
        trees = []
        for side, new in zip(sides, branches(piece), strict=True):
            terms = tuple(substitute(t, {piece: new}) for t in now.terms)
            trees.append(self.answered(_Next(side, terms)))
        return [*head, *trees]

    def answered(self, now: _Next) -> Tree:
        """The last premise is an answer: it may be impossible, or bound a coordinate."""
        s, last = now.s, len(now.s.premises) - 1
        try:
            p = polynomial(s.premises[last])
        except NotPolynomial:
            return self.walk(now)
        box = self.box(s)
        if degree(p) <= 1 and all(v in box for m in p for v, _ in m):
            most = -lower_bound({m: -c for m, c in p.items()}, box)
            if most < 0:
                return ["absurd", {"products": [[number_to_json(-1 / most), [last]]]}]
        else:
            absurd = contradiction(s, self.search())
            if absurd is not None:
                return absurd
        own = [v for m in p for v, _ in m if not v.startswith("t:")]
        if degree(p) > 1 or len(own) != 1 or any(v not in box for m in p for v, _ in m):
            return self.walk(now)
        rest = {m: c for m, c in p.items() if m != ((own[0], 1),)}
        slope = p[((own[0], 1),)]
        most = -lower_bound({m: -c for m, c in rest.items()}, box)  # slope x + most >= 0
        lemma = Var(own[0]) - (-most / slope) if slope > 0 else (-most / slope) - Var(own[0])
        leaf = {"products": [[number_to_json(1 / abs(slope)), [last]]]}
        return [
            "cut",
            to_json(lemma),
            ["leaf", [leaf]],
            self.walk(replace(now, s=s.given(expanded(lemma)))),
        ]

    def acted(self, s: Sequent) -> Tree:
        """The inputs are numbers: within their bounds, or one of the choices."""
        for k in range(len(s.alternatives)):
            (one,) = expand(["part", k, None], s) if len(s.alternatives) > 1 else (s,)
            values = [polynomial(c.term).get((), Fraction(0)) for c in one.alternatives[0]]
            if min(values) >= 0:
                tree: Tree = ["leaf", [{} for _ in values]]
                return ["part", k, tree] if len(s.alternatives) > 1 else tree
        raise NotProved("an input of the backup is out of bounds")

    def moved(self, now: _Next) -> Tree:
        """At a leaf: the ends of each next coordinate, then the parts that hold it."""
        s, cuts = now.s, list[tuple[Term, Tree | None]]()
        ends, terms = list[tuple[Side, Side]](), list[Term]()
        for t in now.terms:
            box = self.box(s)
            try:
                p = polynomial(t)
                low, high = lower_bound(p, box), -lower_bound({m: -c for m, c in p.items()}, box)
                affine = degree(p) <= 1
            except NotPolynomial:
                low, high, affine = *self.enclosed(t, box), False
            if affine:
                terms.append(t)
                ends.append(((low, None), (high, None)))
                continue
            spare = (high - low) / 2**20 + Fraction(1, 2**40)
            for lemma in (t - outward(low, False, spare), outward(high, True, spare) - t):
                cuts.append((lemma, prove(s.concluding(expanded(lemma)), self.search(6))))
                s = s.given(expanded(lemma))
            cuts.append((t, None))
            name, s = s.naming(t)
            terms.append(name)
            found = self.box(s)[name.name]
            ends.append(((found[0], None), (found[1], None)))
        tree = self.covered(_Next(s, tuple(terms), tuple(ends)), 0)
        for t, proof in reversed(cuts):
            tree = ["cut", to_json(t), proof, tree] if proof else ["name", to_json(t), tree]
        return tree

    def enclosed(self, t: Term, box: Box) -> tuple[Fraction, Fraction]:
        """Bounds of a term that is no polynomial."""
        value = enclose(t, {v: Interval(*ends) for v, ends in box.items()})
        return Fraction(value.lo), Fraction(value.hi)

    def covered(self, now: _Next, depth: int) -> Tree:
        """The part that the next state is in, by cuts along the parts' faces."""
        ends = [(low[0], high[0]) for low, high in now.ends]
        for k, part in enumerate(self.parts):
            if all(a <= low and high <= b for (low, high), (a, b) in zip(ends, part, strict=True)):
                hints = [
                    {} if side[1] is None else {"products": [["1", [side[1]]]]}
                    for pair in now.ends
                    for side in pair
                ]
                leaf: Tree = ["leaf", hints]
                return ["part", k, leaf] if len(self.parts) > 1 else leaf
        best = max(range(len(self.parts)), key=lambda k: _overlap(ends, self.parts[k]))
        if _overlap(ends, self.parts[best]) <= 0 or depth == MOST_CUTS:
            at = ", ".join(f"[{float(a):.6g}, {float(b):.6g}]" for a, b in ends)
            raise NotProved(f"a next state is in no part: {at}")
        i, v = next(
            (i, v)
            for i, ((a, b), (low, high)) in enumerate(zip(self.parts[best], ends, strict=True))
            for v in (a, b)
            if low < v < high
        )
        head: Tree = ["split", to_json(now.terms[i] - v)]
        place = len(now.s.premises)
        trees = []
        for k, s in enumerate(expand([*head, None, None], now.s)):
            side: Side = (v, place)
            pair = (side, now.ends[i][1]) if k == 0 else (now.ends[i][0], side)
            narrowed = (*now.ends[:i], pair, *now.ends[i + 1 :])
            trees.append(self.covered(replace(now, s=s, ends=narrowed), depth + 1))
        return [*head, *trees]


def _overlap(
    ends: Sequence[tuple[Fraction, Fraction]], part: Sequence[tuple[Fraction, Fraction]]
) -> float:
    """The size of what a box and a part share; 0 where they only touch."""
    size = 1.0
    for (low, high), (a, b) in zip(ends, part, strict=True):
        shared = float(min(high, b) - max(low, a))
        if shared < 0 or (shared == 0 and low < high):
            return 0.0
        size *= shared / float(high - low) if high > low else 1.0
    return size


def _question(t: Any) -> Where | None:
    """The first ``where`` of the backup whose condition holds none."""
    if isinstance(t, Where) and any(v.startswith("t:backup") for v in variables(t.condition)):
        return _question(t.condition) or t
    return next((w for c in children(t) if (w := _question(c)) is not None), None)


__all__ = ["CellProof"]
