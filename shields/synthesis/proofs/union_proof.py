"""Proofs for a union of modes: which mode's backup acts, and that it keeps its own set.

In a goal of part q the backup is taken apart by the numbers it is written with
(`nprl.shields.synthesis.sets.union`): where mode p < q acts, the guards say that its rows hold, up to a
slack; where none of the earlier ones does, q's own guards cannot fail. That p's backup keeps p's
rows is proved once, of rows with twice the slack, and copied: the goals differ in the numbers of
their premises alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from fractions import Fraction
from typing import Any

from nprl.lang.serial import number_to_json, to_json
from nprl.lang.terms import Binary, BinaryOp, Compare, Formula, Term, Where, children, variables
from nprl.shields.certificate import Certificate
from nprl.shields.polynomial import NotPolynomial, bound_of, polynomial
from nprl.shields.sequent import Sequent, expand, expanded
from nprl.shields.synthesis.proofs.prove import prove
from nprl.shields.synthesis.proofs.search import NotProved, Search, Tree, seconds_left
from nprl.shields.synthesis.proofs.sliced import by_slices
from nprl.shields.synthesis.sets.union import SLACK


class UnionProof:
    """The proofs of one certificate's goals `action` and `backup`; what was proved of a mode is kept."""

    def __init__(self, draft: Certificate) -> None:
        self.rows = [[expanded(g) for g in part] for part in draft.shield.invariant]
        self.known: dict[tuple[str, int, int], Tree] = {}

    def prove(self, goal: str, sequent: Sequent, seconds: float) -> Tree:
        """A proof of the goal ``action/q`` or ``backup/q/k``.

        Raises:
            NotProved: where a mode's backup does not keep its rows.
        """
        kind, *numbers = goal.split("/")
        if kind == "action":
            with suppress(NotProved):
                return _whichever(sequent, seconds)
        walk = _Walk(self, kind, int(numbers[0]), int(numbers[-1]), sequent, seconds)
        return walk.number(sequent, 0)


class _Walk:
    """One goal: of part q; ``case`` tells goals of the same kind and part apart."""

    def __init__(
        self, of: UnionProof, kind: str, q: int, case: int, goal: Sequent, seconds: float
    ) -> None:
        self.of, self.kind, self.q, self.goal = of, kind, q, goal
        self.case = case if kind == "backup" else 0
        self.end = time.monotonic() + seconds
        self.last = len(of.rows) - 1
        self.before = len(of.rows[q])
        off = sum(
            any(map(_tolerance, variables(h))) and len(variables(h)) == 1 for h in goal.premises
        )
        self.common = len(goal.premises) - self.before - off

    def first(self, s: Sequent) -> Where | None:
        """The first outermost choice that the backup still makes."""
        terms = [c.term for c in s.alternatives[0]]
        if self.kind == "backup":
            terms = list(s.premises[self.before : self.before + self.common])
        return next((w for t in terms if (w := _choice(t)) is not None), None)

    def number(self, s: Sequent, p: int) -> Tree:
        """The sequent in which the modes before p do not act."""
        if p == self.last:
            return self.acting(s, p, [])
        t = self.first(s)
        t = t and _where_in(t.condition)  # where(member of p - 1/2, p, ...)
        member = t and _where_in(t.condition)
        assert t is not None
        assert member is not None
        head: Tree = ["pieces", to_json(t)]
        yes, no = expand([*head, None, None], s)
        choice: Tree = []
        if len(yes.alternatives) > 1:
            choice = ["part", p]
            (yes,) = expand([*choice, None], yes)
        if p == self.q:
            first = self.acting(yes, p, [])
            rest = t.other  # of later modes; by a name, it need not be read again and again
            (short,) = expand(["name", to_json(rest), None], no)
            first = [*choice, first] if choice else first
            return [*head, first, ["name", to_json(rest), self.absent(short, member)]]
        first = self.present(yes, member, p, [])
        first = [*choice, first] if choice else first
        (named,) = expand(["name", to_json(member), None], no)
        return [*head, first, ["name", to_json(member), self.number(named, p + 1)]]

    def present(self, s: Sequent, member: Term, p: int, found: list[int]) -> Tree:
        """The rows of mode p one after the other, as its membership counts."""
        if not isinstance(member, Where):
            return self.slack(s, p, found)
        head: Tree = ["pieces", to_json(member)]
        yes, no = expand([*head, None, None], s)
        rest = self.present(yes, member.then, p, [*found, len(s.premises)])
        return [*head, rest, _absurd(no)]

    def absent(self, s: Sequent, member: Term) -> Tree:
        """Own rows hold: that membership fails is absurd."""
        row = 0
        cut: Tree = ["cut", "-1"]  # of all conclusions the shortest
        s, after = expand([*cut, None, None], s)
        heads: list[Tree] = []
        while isinstance(member, Where):
            head: Tree = ["pieces", to_json(member)]
            s, no = expand([*head, None, None], s)
            heads.append([*head, _contradiction([len(no.premises) - 1, row], 2 / SLACK)])
            member, row = member.then, row + 1
        tree = _absurd(s)
        for *head, no_tree in reversed(heads):
            tree = [*head, tree, no_tree]
        return [*cut, tree, _contradiction([len(after.premises) - 1], Fraction(1))]

    def slack(self, s: Sequent, p: int, found: list[int]) -> Tree:
        """Each row with twice the slack in place of a guard's tolerance."""
        cuts: list[Tree] = []
        places = []
        for k, row in zip(found, self.of.rows[p], strict=True):
            lemma = row + 2 * SLACK
            leaf = ["leaf", [{"products": [["1", [k]]]}]]
            cuts.append(["cut", to_json(lemma), leaf])
            places.append(len(s.premises))
            s = s.given(expanded(lemma))
        tree = _empty(s) or self.acting(s, p, places)  # modes may be apart
        for cut in reversed(cuts):
            tree = [*cut, tree]
        return tree

    def acting(self, s: Sequent, p: int, places: list[int]) -> Tree:
        """Mode p acts; its rows are the premises at ``places`` (the first ones, if it is q)."""
        heads: list[Tree] = []
        while (choice := self.first(s)) is not None:
            head: Tree = ["pieces", to_json(choice)]
            yes, no = expand([*head, None, None], s)
            number = choice.condition
            assert isinstance(number, Compare)
            holds = polynomial(number.left).get((), Fraction(0)) >= 0
            s = yes if holds else no
            absurd = _absurd(no if holds else yes)
            heads.append([*head, holds, absurd])
        places = places or list(range(len(self.of.rows[p])))
        tree = self.kept(s, p, places)
        for *head, holds, absurd in reversed(heads):
            tree = [*head, tree, absurd] if holds else [*head, absurd, tree]
        return tree

    def kept(self, s: Sequent, p: int, places: Sequence[int]) -> Tree:
        """Mode p's own proof, with the premises of this goal."""
        alternative = p if len(s.alternatives) > 1 else 0
        own = [g + 2 * SLACK for g in self.of.rows[p]]
        own = [expanded(g) for g in own]
        before, common = self.before, self.common
        key = (self.kind, p, self.case)
        if key not in self.of.known:
            premises = (*own, *s.premises[before : before + common])
            goal = Sequent(premises, (s.alternatives[alternative],))
            sliced = by_slices(goal, len(own), seconds_left(self.end))
            self.of.known[key] = sliced or _one_by_one(goal, self.end)
        size = len(own)

        def moved(k: int) -> int:
            if k < size:
                return places[k]
            if k < size + common:
                return before + k - size
            return len(s.premises) + k - size - common

        tree = _renumbered(self.of.known[key], moved, s.names)
        return ["part", alternative, tree] if len(s.alternatives) > 1 else tree


def _whichever(s: Sequent, seconds: float) -> Tree:
    """That the inputs are within their bounds, whichever mode acts: inputs that are clipped."""
    choice = next((w for c in s.alternatives[0] if (w := _choice(c.term)) is not None), None)
    number = choice and _where_in(choice.condition)
    if number is None or len(s.alternatives) > 1:
        raise NotProved("no number of a mode, or a choice of inputs")
    head: Tree = ["name", to_json(number)]
    (named,) = expand([*head, None], s)
    return [*head, prove(named, Search(seconds=seconds, max_depth=0))]


def _tolerance(name: str) -> bool:
    return name.startswith("t:backup")


def _choice(t: Term | Formula) -> Where | None:
    """The first outermost ``where`` of the backup in a term."""
    if isinstance(t, Where) and any(map(_tolerance, variables(t.condition))):
        return t
    return next((w for c in children(t) if (w := _choice(c)) is not None), None)


def _where_in(f: Term | Formula) -> Where | None:
    if isinstance(f, Where):
        return f
    return next((w for c in children(f) if (w := _where_in(c)) is not None), None)


def _one_by_one(s: Sequent, end: float) -> Tree:
    """A proof that shows one conclusion after the other, each by few of the inputs' bounds.

    A row that one input drives needs the clip of that input only; the others' are named away.
    """
    clips = list(dict.fromkeys(c for t in s.premises for c in _clips(t)))
    own = s.alternatives[0]
    if len(clips) < 2:
        return prove(s, Search(seconds=seconds_left(end)))
    first = len(s.premises)
    cuts: list[Tree] = []
    for j, conclusion in enumerate(own):
        tree, clips = _by_one_clip(s.concluding(conclusion.term), clips, end)
        later = _renumbered(tree, lambda k, j=j: k if k < first else k + j, 0)  # type: ignore[misc]
        cuts.append(["cut", to_json(conclusion.term), later])
    result: Tree = ["leaf", [{"products": [["1", [first + k]]]} for k in range(len(own))]]
    for cut in reversed(cuts):
        result = [*cut, result]
    return result


def _by_one_clip(goal: Sequent, clips: list[Term], end: float) -> tuple[Tree, list[Term]]:
    """A proof, by one clip if that will do; and the clips, the one that did in front."""
    for chosen in clips:
        heads: list[Tree] = []
        rest = goal
        for other in clips:
            if other != chosen:
                heads.append(["name", to_json(other)])
                (rest,) = expand([*heads[-1], None], rest)
        try:
            tree = prove(rest, Search(seconds=seconds_left(end)))
        except NotProved:
            continue
        for head in reversed(heads):
            tree = [*head, tree]
        return tree, [chosen, *(c for c in clips if c != chosen)]
    return prove(goal, Search(seconds=seconds_left(end))), clips


def _clips(t: Term | Formula) -> list[Term]:
    """The outermost least and greatest of two in a term."""
    if isinstance(t, Binary) and t.op in (BinaryOp.MIN, BinaryOp.MAX):
        return [t]
    return [found for c in children(t) for found in _clips(c)]


def _renumbered(tree: Any, moved: Callable[[int], int], names: int) -> Tree:
    """The tree with other numbers of premises; names that it gives begin at ``names``."""
    match tree:
        case ["leaf", hints]:
            return ["leaf", [_hint(h, moved, names) for h in hints]]
        case ["absurd", hint]:
            return ["absurd", _hint(hint, moved, names)]
        case ["part", k, below]:
            return ["part", k, _renumbered(below, moved, names)]
        case [rule, t, *rest]:
            return [rule, _shifted(t, names), *(_sub(r, moved, names) for r in rest)]
        case _:
            raise AssertionError(tree)


def _sub(node: Any, moved: Callable[[int], int], names: int) -> Any:
    return _renumbered(node, moved, names) if isinstance(node, list) else node


def _hint(hint: dict[str, Any], moved: Callable[[int], int], names: int) -> dict[str, Any]:
    result: dict[str, Any] = {}
    if "products" in hint:
        result["products"] = [[c, [moved(k) for k in ks]] for c, ks in hint["products"]]
    if "squares" in hint:
        squares = hint["squares"]
        result["squares"] = [
            [d, _shifted(t, names), [moved(k) for k in ks]] for d, t, ks in squares
        ]
    return result


def _shifted(t: Any, names: int) -> Any:
    """A term in JSON, its given names counted on from ``names``."""
    if isinstance(t, list):
        return [_shifted(part, names) for part in t]
    if isinstance(t, str) and t.startswith("a:"):
        return f"a:{int(t[2:]) + names}"
    return t


def _contradiction(places: Sequence[int], factor: Fraction) -> Tree:
    return ["absurd", {"products": [[number_to_json(factor), [k]] for k in places]}]


def _empty(s: Sequent) -> Tree | None:
    """That two premises bound a variable from both sides, the wrong way round; None if none do."""
    low: dict[str, tuple[Fraction, int, Fraction]] = {}
    high: dict[str, tuple[Fraction, int, Fraction]] = {}
    for k, h in enumerate(s.premises):
        try:
            p = polynomial(h)
        except NotPolynomial:
            continue
        found = bound_of(p)
        if found is None:
            continue
        name, _, end = found
        slope = p[((name, 1),)]
        if slope > 0 and (name not in low or end > low[name][0]):
            low[name] = (end, k, slope)
        if slope < 0 and (name not in high or end < high[name][0]):
            high[name] = (end, k, slope)
    for name in low.keys() & high.keys():
        (a, i, up), (b, j, down) = low[name], high[name]
        if a > b:
            parts = [(1 / (a - b) / up, i), (1 / (a - b) / -down, j)]
            return ["absurd", {"products": [[number_to_json(c), [k]] for c, k in parts]}]
    return None


def _absurd(s: Sequent) -> Tree:
    """An end of a branch that no number of a mode leads to."""
    found = _empty(s)
    if found is None:
        raise NotProved("a branch of the backup that should be empty")
    return found
