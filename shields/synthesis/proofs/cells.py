"""Polynomial conclusions on a box, cell by cell: multipliers of rows and Bernstein bounds.

On a cell a conclusion p is closed by ``p - sum c row > 0`` with c >= 0, where the c are the solution
of a small linear program in Bernstein coefficients; a cell on which some row is negative is absurd;
any other is halved. Near the edge of an invariant the multiplier that is found is near 1, so that
what is left, like the step itself, is small with the time step: cells need not be tiny.
Nothing here is trusted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog

from nprl.lang.serial import to_json
from nprl.lang.terms import Num, Term, Var
from nprl.shields.polynomial import Polynomial, Range, add, constant, names
from nprl.shields.sequent import Sequent, expand
from nprl.shields.synthesis.proofs.bernstein import MAX_COEFFICIENTS, bound
from nprl.shields.synthesis.proofs.combine import bernstein_matrix, float_bound, values
from nprl.shields.synthesis.proofs.search import NotProved, Search, Tree, box_of, hint, polynomials
from nprl.shields.synthesis.views.quadratic import degree

Floats = npt.NDArray[np.float64]
SAMPLES = 4_000
SURE = 1e-9
"""A bound in floats counts from here on, relative to the polynomial's size."""
MOST_MULTIPLIER = 1e9


class TooFar(NotProved):
    """A conclusion that fails at a sample point: it is false, or was weakened too much before."""


@dataclass(frozen=True, slots=True)
class Target:
    """A conclusion: ``p`` over the cell's variables, which the premise ``lemma`` takes to the real one."""

    p: Polynomial
    strict: bool = False
    lemma: int | None = None


@dataclass(slots=True)
class Cells:
    """The conclusions of each alternative over some variables; premises ``rows`` may be used."""

    targets: Sequence[Sequence[Target]]
    split: Sequence[str]
    """The variables whose ranges are halved."""
    search: Search
    order: list[str] = field(init=False)
    rows: dict[int, Polynomial] = field(init=False)
    _forms: dict[int, Floats] = field(init=False)
    _goals: list[list[Floats]] = field(init=False)
    _whole: dict[str, Range] = field(init=False)

    def prove(self, s: Sequent) -> Tree:
        """A tree that closes the sequent.

        Raises:
            NotProved: with the place at which the search ended.
        """
        premises, box = polynomials(s, self.search), box_of(s, self.search)
        used = {v for goals in self.targets for t in goals for v in names(t.p)} | set(self.split)
        if not used <= box.keys():
            raise NotProved(f"no bounds for {min(used - box.keys())}")
        self.rows = {
            k: p
            for k, p in premises.items()
            if names(p) and names(p) <= used and (len(names(p)) > 1 or degree(p) > 1)
        }
        self.order, self._whole = sorted(used), dict(box)
        self._sampled(box)
        every = [*self.rows.values(), *(t.p for goals in self.targets for t in goals)]
        top = [max((dict(m).get(v, 0) for p in every for m in p), default=0) for v in self.order]
        if math.prod(d + 1 for d in top) > MAX_COEFFICIENTS:
            raise NotProved(f"polynomials of degrees {top} are too large for Bernstein's form")
        self._forms = {k: self._dense(p, top) for k, p in self.rows.items()}
        self._goals = [[self._dense(t.p, top) for t in goals] for goals in self.targets]
        return self._cell(s, box, 0, {})

    def _sampled(self, box: Mapping[str, Range]) -> None:
        """Give up at once where a conclusion fails at a sample point of the rows."""
        low, high = np.array([[float(e) for e in box[v]] for v in self.order]).T
        x = low + (high - low) * np.random.default_rng(0).random((SAMPLES, len(low)))
        inside = np.ones(len(x), dtype=np.bool_)
        for p in self.rows.values():
            inside &= values(p, self.order, x) >= 0
        x = x[inside]
        if not len(x):
            return
        best = np.full(len(x), -np.inf)
        for goals in self.targets:
            each = [values(t.p, self.order, x) for t in goals]
            best = np.maximum(best, np.min(each, axis=0) if each else np.inf)
        k = int(best.argmin())
        if best[k] < 0:
            where = ", ".join(f"{v} = {x[k, i]:.6g}" for i, v in enumerate(self.order))
            raise TooFar(f"it fails, or what is lost to enclosures is too much, at {where}")

    def _dense(self, p: Polynomial, top: Sequence[int]) -> Floats:
        table = np.zeros([d + 1 for d in top])
        for m, c in p.items():
            table[tuple(dict(m).get(v, 0) for v in self.order)] = float(c)
        return table

    def _form(self, table: Floats, box: Mapping[str, Range]) -> Floats:
        """The Bernstein coefficients on a cell."""
        for axis, v in enumerate(self.order):
            low, high = float(box[v][0]), float(box[v][1])
            change = bernstein_matrix(table.shape[axis] - 1, low, high - low)
            table = np.moveaxis(np.tensordot(table, change, axes=([axis], [0])), -1, axis)
        return table

    def _cell(
        self, s: Sequent, box: Mapping[str, Range], depth: int, closed: Mapping[int, int]
    ) -> Tree:
        """``closed`` are the conclusions of the only alternative that a premise states already."""
        self.search.step(self._where(box))
        rows = {k: self._form(table, box) for k, table in self._forms.items()}
        for k, form in rows.items():
            if form.max() < -SURE * max(1e-300, float(np.abs(form).max())):
                tree = self._absurd(s, box, k, float(form.max()))
                if tree is not None:
                    return tree
        best: tuple[int, dict[int, dict[str, object]], Floats] | None = None
        for a, goals in enumerate(self.targets):
            found: dict[int, dict[str, object]] = {}
            worst: Floats | None = None
            for i, target in enumerate(goals):
                if i in closed:
                    continue
                form = self._form(self._goals[a][i], box)
                closing, left = self._closing(s, box, target, form, rows)
                if closing is not None:
                    found[i] = closing
                else:
                    worst = left if worst is None else worst
                    if len(self.targets) > 1:
                        break
            if worst is None:
                self.search.leaves += 1
                every = [
                    {"products": [["1", [closed[i]]]]} if i in closed else found[i]
                    for i in range(len(goals))
                ]
                leaf: Tree = ["leaf", every]
                return ["part", a, leaf] if len(self.targets) > 1 else leaf
            best = best or (a, found, worst)
        assert best is not None
        if depth >= self.search.max_depth:
            raise NotProved(f"{self._where(box)}: halved {depth} times")
        return self._halved(s, box, depth, closed, best, list(rows.values()))

    def _halved(
        self,
        s: Sequent,
        box: Mapping[str, Range],
        depth: int,
        closed: Mapping[int, int],
        best: tuple[int, dict[int, dict[str, object]], Floats],
        rows: Sequence[Floats],
    ) -> Tree:
        cuts: list[tuple[Term, Tree]] = []
        known = dict(closed)
        for i, found in best[1].items() if len(self.targets) == 1 else ():
            conclusion = s.alternatives[0][i]
            if not conclusion.strict:
                cuts.append((conclusion.term, ["leaf", [found]]))
                known[i] = len(s.premises)
                s = s.given(conclusion.term)
                self.search.leaves += 1
        v = self._axis(best[2], rows, box)
        low, high = box[v]
        middle = (low + high) / 2
        head: Tree = ["split", to_json(Var(v) - Num(middle))]
        above, below = expand([*head, None, None], s)
        tree = [
            *head,
            self._cell(above, {**box, v: (middle, high)}, depth + 1, known),
            self._cell(below, {**box, v: (low, middle)}, depth + 1, known),
        ]
        for term, proof in reversed(cuts):
            tree = ["cut", to_json(term), proof, tree]
        return tree

    def _axis(self, form: Floats, rows: Sequence[Floats], box: Mapping[str, Range]) -> str:
        """Of the variables that are halved least, the one along which the polynomials bend most."""
        size = {v: float((box[v][1] - box[v][0]) / _width(self._whole[v])) for v in self.split}
        wide = [v for v in self.split if 4 * size[v] >= max(size.values())]

        def bend(v: str) -> float:
            axis, total = self.order.index(v), 0.0
            for f in (form, *rows):
                if f.shape[axis] > 2:
                    second = float(np.abs(np.diff(f, n=2, axis=axis)).max())
                    total += second / max(float(np.abs(f).max()), 1e-300)
            return total

        return max(wide, key=lambda v: (round(bend(v), 6), size[v]))

    def _absurd(self, s: Sequent, box: Mapping[str, Range], k: int, most: float) -> Tree | None:
        """A row is negative on the cell."""
        c = Fraction(2.0 ** math.ceil(math.log2(2 / -most)))
        rest = add(constant(Fraction(-1)), self.rows[k], -c)
        if not _positive(rest, box, False):
            return None
        self.search.leaves += 1
        return [
            "absurd",
            hint(rest, {k: c}, s, polynomials(s, self.search), box_of(s, self.search)),
        ]

    def _closing(
        self,
        s: Sequent,
        box: Mapping[str, Range],
        target: Target,
        form: Floats,
        rows: Mapping[int, Floats],
    ) -> tuple[dict[str, object] | None, Floats]:
        """The combination that closes a target on a cell, or None; and the nearest form."""
        chosen: dict[int, Fraction] = {}
        left = form
        if form.min() <= 0 and rows:
            found = _multipliers(form, list(rows.values()))
            for k, c in zip(rows, found, strict=True):
                if c > 0:
                    chosen[k] = Fraction(round(c * 2**24), 2**24) if c < 2**40 else Fraction(c)
            for k, exact in chosen.items():
                left = left - float(exact) * rows[k]
        if left.min() < -SURE * float(np.abs(form).max()):
            return None, left
        rest = target.p
        for k, exact in chosen.items():
            rest = add(rest, self.rows[k], -exact)
        well = float_bound(rest, box) > SURE * float(
            np.abs(form).max()
        )  # then the exact one is, too
        if not well and not _positive(rest, box, target.strict):
            return None, left
        if target.lemma is not None:
            chosen[target.lemma] = Fraction(1)
        premises, stated = polynomials(s, self.search), box_of(s, self.search)
        return hint(rest, {k: c for k, c in chosen.items() if c}, s, premises, stated), left

    def _where(self, box: Mapping[str, Range]) -> str:
        ends = ", ".join(
            f"{v} in [{float(box[v][0]):.4g}, {float(box[v][1]):.4g}]" for v in self.split
        )
        return f"the cell {ends}"


def _width(ends: Range) -> Fraction:
    return ends[1] - ends[0] or Fraction(1)


def _positive(p: Polynomial, box: Mapping[str, Range], strict: bool) -> bool:
    least = bound(p, box)
    return least is not None and (least > 0 or (least == 0 and not strict))


def _multipliers(form: Floats, rows: Sequence[Floats]) -> list[float]:
    """C >= 0 that make the least coefficient of ``form - sum c row`` greatest."""
    goal = form.ravel()
    size = max(float(np.abs(goal).max()), 1e-300)
    scale = [max(float(np.abs(r).max()), 1e-300) for r in rows]
    columns = np.stack([r.ravel() / q for r, q in zip(rows, scale, strict=True)], axis=1)
    cost = np.full(len(rows) + 1, 1e-9)
    cost[-1] = -1.0
    answer = linprog(
        cost,
        A_ub=np.hstack([columns, np.ones((len(goal), 1))]),
        b_ub=goal / size,
        bounds=[(0, MOST_MULTIPLIER)] * len(rows) + [(None, 1.0)],
        method="highs",
    )
    if answer.status != 0:
        return [0.0] * len(rows)
    return [float(v) * size / q for v, q in zip(answer.x[:-1], scale, strict=True)]


__all__ = ["Cells", "Target", "TooFar"]
