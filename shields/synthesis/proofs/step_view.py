"""A sequent seen from the state alone: what is near to a polynomial of it counts as that, plus a little.

Under an affine backup an input is ``slope.x + constant`` plus its rounding; a function, once it is
enclosed, is a polynomial of the state plus an error. So inputs and functions' names are replaced by
those, and go on as names of what is added; the premises about them become bounds of a box. Replacing
variables by polynomials keeps identities, so that a combination which closes a goal seen so closes
it as it stands. Nothing here is trusted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations_with_replacement, product
from typing import Any

import numpy as np

from nprl.lang.ranges import Interval
from nprl.lang.serial import number_to_json, to_json
from nprl.lang.terms import Binary, BinaryOp, Num, Pi, Term, Unary, UnaryOp, Var
from nprl.lang.terms import replace as substitute
from nprl.shields.leaf import Premises, Reading
from nprl.shields.polynomial import (
    Monomial,
    Polynomial,
    Range,
    add,
    bound_of,
    names,
    polynomial,
    times,
)
from nprl.shields.sequent import Sequent, expand
from nprl.shields.synthesis.proofs import bernstein
from nprl.shields.synthesis.proofs.bernstein import from_polynomial
from nprl.shields.synthesis.proofs.cleared import absurd
from nprl.shields.synthesis.proofs.combine import values
from nprl.shields.synthesis.proofs.functions import (
    innermost_functions,
    innermost_pieces,
    taylor_order,
)
from nprl.shields.synthesis.proofs.nonlinear import time_left
from nprl.shields.synthesis.proofs.search import NotProved, Search, Tree, outward
from nprl.shields.synthesis.proofs.smooth import SMOOTH, near_cuts, near_form
from nprl.shields.synthesis.proofs.step_pieces import named_piece
from nprl.shields.synthesis.proofs.step_squares import Frame, substituted
from nprl.shields.synthesis.views.numeric import Array

SAMPLES, CORNERS = 3_000, 10
BITS = 24
"""Of coefficients, beside the reach of what they belong to."""
FINE = 2.0**-12
"""How far a polynomial may be from a function of one argument, as a part of its range."""
FLOOR = 2.0**-24
"""Of a function's size: a distance that is not worth a distinction."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A lower bound of a polynomial on a box, and what is taken from it to leave something affine with that bound."""

    least: Fraction
    products: list[Any]
    squares: list[Any]

    def leaf(self, used: Mapping[int, Fraction] | None = None) -> Tree:
        """A leaf for the polynomial, where the bound (with a constant added, perhaps) is at least 0.

        ``used`` are factors of premises, by number, that were taken from it before.
        """
        first = [[number_to_json(c), [k]] for k, c in (used or {}).items()]
        entries = {"products": first + self.products, "squares": self.squares}
        return ["leaf", [{k: v for k, v in entries.items() if v}]]


class View:
    """A sequent, the cuts and names that led to it, and what its variables stand for."""

    def __init__(
        self,
        s: Sequent,
        law: Mapping[str, Polynomial],
        states: tuple[str, ...],
        most: int,
        end: float,
    ) -> None:
        self.s = s
        self.end = end
        self._law = dict(law)
        self._states = states
        self._most = most
        self._links: list[tuple[Tree, Tree | None]] = []
        self._frame: Frame | None = None
        self._readings: dict[Term, Reading] = {}
        self._seen: dict[Term, Polynomial] = {}

    def cut(self, lemma: Term, tree: Tree) -> None:
        """Go on with a lemma that was proved."""
        self._links.append((["cut", to_json(lemma)], tree))
        self.s = self.s.given(lemma)

    def rule(self, head: Tree, *sides: Tree) -> Var:
        """Go on after a rule that names something; ``sides`` prove what it asks for first."""
        fresh = Var(f"a:{self.s.names}")
        self.s = expand([*head, *([None] * (len(sides) + 1))], self.s)[-1]
        self._links.append(([*head, *sides], None))
        return fresh

    def name(self, t: Term) -> Var:
        """Go on with a name for a term."""
        return self.rule(["name", to_json(t)])

    def tree(self, last: Tree) -> Tree:
        """The whole tree, with the proof of what the sequent is now."""
        for head, proof in reversed(self._links):
            last = [*head, last] if proof is None else [*head, proof, last]
        return last

    def stands(self, name: Var, centre: Polynomial) -> None:
        """From now on a name goes for what it is more than a polynomial of the state."""
        self._law[name.name] = add(centre, {((name.name, 1),): Fraction(1)})
        self._seen = {t: p for t, p in self._seen.items() if name.name not in names(p)}

    def seen(self, p: Polynomial) -> Polynomial:
        """``p`` with what its variables stand for."""
        return substituted(p, self._law) if names(p) & self._law.keys() else p

    def _meant(self, p: Polynomial) -> Polynomial:
        """The opposite of `seen`: ``p`` of what is added, as a polynomial of the variables themselves."""
        some = names(p) & self._law.keys()
        own: dict[str, Polynomial] = {n: {((n, 1),): Fraction(2)} for n in some}
        return substituted(p, {n: add(own[n], self._law[n], Fraction(-1)) for n in some})

    def _stated(self) -> tuple[dict[int, Polynomial], dict[str, Range]]:
        """The premises that are polynomials, as seen, and the box that they state."""
        terms = Premises(self.s.premises, self._readings)
        premises: dict[int, Polynomial] = {}
        low: dict[str, Fraction] = {}
        high: dict[str, Fraction] = {}
        for k, t in enumerate(self.s.premises):
            p = terms.reading(k)[0]
            if p is None:
                continue
            if t not in self._seen:
                self._seen[t] = self.seen(p)
            premises[k] = self._seen[t]
            found = bound_of(premises[k])
            if found is not None and found[1] > 0:
                low[found[0]] = max(found[2], low.get(found[0], found[2]))
            elif found is not None:
                high[found[0]] = min(found[2], high.get(found[0], found[2]))
        return premises, {v: (low[v], high[v]) for v in low if v in high and low[v] <= high[v]}

    @property
    def box(self) -> dict[str, Range]:
        """The ranges of states, and of what is added elsewhere."""
        return self._stated()[1]

    @property
    def frame(self) -> Frame:
        """Short numbers near the middle and the half width of the states' box, when it is first asked for."""
        if self._frame is None:
            box, centre, half = self.box, [], []
            for n in self._states:
                if n not in box:
                    raise NotProved(f"no bounds for {n}")
                low, high = box[n]
                h = Fraction(2) ** round(math.log2(float(high - low) / 2))
                half.append(h)
                centre.append(rounded((low + high) / 2, float(h) * 2.0**-10))
            self._frame = Frame(self._states, tuple(centre), tuple(half))
        return self._frame

    def bound(self, p: Polynomial) -> Bound:
        """A lower bound of ``p``, which is as seen, with what proves it.

        Raises:
            NotProved: where a variable has no bounds, or the time is over.
        """
        time_left(self.end)
        premises, box = self._stated()
        if not names(p) <= box.keys():
            raise NotProved(f"no bounds for {min(names(p) - box.keys())}")
        rest, parts = bernstein.components(p)
        least = bernstein.lower_bound(rest, box)
        products: list[Any] = []
        squares: list[Any] = []
        ends = [  # an error is a sum of variables of the model: a checker would bound each alone
            (abs(c), ((m[0][0], int(c > 0), int(c < 0)),)) for m, c in rest.items() if m
        ]
        for c, numbers in bernstein.numbered(ends, box, premises):
            products.append([number_to_json(c), list(numbers)])
        for part in parts:
            own = {m: c for m, c in part.items() if {n for n, _ in m} <= set(self._states)}
            small = {m: c for m, c in part.items() if m not in own}  # errors times something
            for one, every in ((own, True), (small, False)):
                found = [bernstein.form_on(one, box)] if every else []
                form = max(
                    (f for f in (*found, bernstein.apart(one, box)) if f),
                    key=lambda f: f.least,
                    default=None,
                )
                if form is None:
                    raise NotProved("a polynomial is too large to be bounded")
                least += form.least
                for c, numbers in bernstein.numbered(form.products, box, premises):
                    products.append([number_to_json(c), list(numbers)])
                for c, m in form.squares:
                    term = to_json(from_polynomial(self._meant({m: Fraction(1)})))
                    squares.append([number_to_json(c), term, []])
        return Bound(least, products, squares)

    def least(self, p: Polynomial) -> Fraction:
        """A lower bound of ``p``, which is as seen.

        Raises:
            NotProved: where a variable has no bounds.
        """
        return self.bound(p).least

    def within(
        self, t: Term, centre: Polynomial, unit: float, sides: tuple[int, int] | None = None
    ) -> Fraction:
        """Go on with two cuts, that ``t`` is within a number of a polynomial; that number.

        ``sides`` are premises ``t - low >= 0`` and ``high - t >= 0`` to be used, if ``t`` is a name.
        """
        away = add(polynomial(t), centre, Fraction(-1))
        premises = self._stated()[0]
        losses = []
        for sign, k in ((1, 1), (-1, 0)):
            rest, used = self.seen(add({}, away, Fraction(-sign))), dict[int, Fraction]()
            if sides is not None:
                used = {sides[k]: Fraction(1)}
                rest = add(rest, premises[sides[k]], Fraction(-1))
            losses.append((self.bound(rest), used))
        least = Fraction(unit)
        radius = outward(max(least, *(-found.least for found, _ in losses)), True, least)
        form = from_polynomial(centre)
        for sign, (found, used) in zip((1, -1), losses, strict=True):
            lemma = Num(radius) - (t - form) if sign > 0 else Num(radius) + (t - form)
            self.cut(lemma, found.leaf(used))
        return radius

    def reduced(self, p: Polynomial, unit: float, noise: Set[str] = frozenset()) -> Polynomial:
        """A polynomial of the state of low degree near ``p``, linear in the ``noise``, in short numbers."""
        frame = self.frame
        away = frame.scaled(self.seen(p))
        own = {m: c for m, c in away.items() if {n for n, _ in m} <= set(self._states)}
        if max((sum(k for _, k in m) for m in own), default=0) > self._most:
            points = self._points(frame)
            y = values(own, list(self._states), points)
            own = self._fitted(y, points, names(own))
        box = self.box
        for m, c in away.items():
            if len(m) == 1 and m[0][1] == 1 and m[0][0] in noise:
                own[m] = c
        kept: Polynomial = {}
        for m, c in own.items():
            reach = max((float(box[n][1]) for n, _ in m if n in noise), default=1.0)
            value = rounded(c, unit * 2.0**-4 / reach) if reach else Fraction(0)
            if value:
                kept[m] = value
        return frame.units(kept)

    def quotient(self, n: Polynomial, d: Polynomial) -> Polynomial:
        """A polynomial of the state of low degree near ``n / d``, in short numbers."""
        frame = self.frame
        points = self._points(frame)
        ratio, used = [], set[str]()
        for p in (n, d):
            away = frame.scaled(self.seen(p))
            own = {m: c for m, c in away.items() if {v for v, _ in m} <= set(self._states)}
            used |= names(own)
            ratio.append(values(own, list(self._states), points))
        y = ratio[0] / ratio[1]
        unit = max(float(np.ptp(y)), 1e-9) * 2.0**-BITS
        kept = {m: rounded(c, unit) for m, c in self._fitted(y, points, used).items()}
        return frame.units({m: c for m, c in kept.items() if c})

    def _points(self, frame: Frame) -> Array:
        """Random points and corners of the states' box, in the frame's coordinates."""
        box, rng, n = self.box, np.random.default_rng(0), len(self._states)
        low, high = (
            np.array(
                [
                    float((box[v][side] - c) / h)
                    for v, c, h in zip(frame.names, frame.centre, frame.half, strict=True)
                ]
            )
            for side in (0, 1)
        )
        z = rng.uniform(0, 1, (SAMPLES, n))
        corners = rng.integers(0, 2, (SAMPLES, n)).astype(np.float64)
        if n <= CORNERS:
            corners = np.array(list(product((0.0, 1.0), repeat=n)))
        return np.asarray(low + (high - low) * np.vstack([z, corners]))

    def _fitted(self, y: Array, points: Array, used: Set[str]) -> Polynomial:
        """The polynomial of low degree in the used states with the least squares of its distance."""
        places = [i for i, n in enumerate(self._states) if n in used]
        powers = [
            c for d in range(self._most + 1) for c in combinations_with_replacement(places, d)
        ]
        design = np.column_stack([points[:, list(c)].prod(axis=1) for c in powers])
        slopes = np.linalg.lstsq(design, y, rcond=None)[0]
        found: Polynomial = {}
        for c, slope in zip(powers, slopes, strict=True):
            m: Monomial = tuple(sorted((self._states[i], c.count(i)) for i in set(c)))
            found[m] = Fraction(float(slope))
        return found


def rounded(value: float | Fraction, unit: float) -> Fraction:
    """A multiple of a power of two near ``unit``, near ``value``."""
    step = Fraction(2) ** round(math.log2(unit))
    return round(Fraction(value) / step) * step


def enclosed(view: View, steps: Sequence[Term]) -> list[Term]:
    """The steps with names for all functions, quotients, abs, min and max, each enclosed by a polynomial of the state.

    Raises:
        NotProved: where one has no rule, or is not enclosed.
    """
    now = list(steps)
    while True:
        found = next(
            (f for t in now for f in (*innermost_functions(t), *innermost_pieces(t))), None
        )
        if found is None:
            return now
        name = _named(view, found)
        now = [substitute(t, {found: name}) for t in now]


def _named(view: View, t: Term) -> Var:
    """A name for one function, of which the view knows what it is near to."""
    match t:
        case Unary(UnaryOp.ABS) | Binary(BinaryOp.MIN | BinaryOp.MAX):
            name, first = named_piece(view, t)
        case Binary():
            return _divided(view, t)
        case Pi():
            name = view.rule(["function", to_json(t), 1])
            first = len(view.s.premises) - 2
        case Unary(UnaryOp.SIN | UnaryOp.COS, a):
            low, high = _ends(view, a)
            order = taylor_order(Var("x"), {"x": Interval(low, high)})
            name = view.rule(["function", to_json(t), order])
            first = len(view.s.premises) - 4
        case Unary(op, a) if op in SMOOTH:
            name = _smooth(view, t, a)
            first = len(view.s.premises) - 2
        case _:
            raise NotProved(f"no rule for {str(t)[:60]}")
    below, above = (polynomial(view.s.premises[k]) for k in (first, first + 1))
    own: Polynomial = {((name.name, 1),): Fraction(1)}
    middle = add(add(above, below, Fraction(-1)), own, Fraction(2))
    middle = {m: c / 2 for m, c in middle.items()}
    centre = view.reduced(middle, FLOOR)
    view.within(name, centre, FLOOR, (first, first + 1))
    view.stands(name, centre)
    return name


def _ends(view: View, a: Term) -> tuple[Fraction, Fraction]:
    """Bounds of a polynomial of what is seen."""
    p = view.seen(polynomial(a))
    return view.least(p), -view.least(add({}, p, Fraction(-1)))


def _smooth(view: View, t: Unary, a: Term) -> Var:
    """A name with two cuts that say how near the function is to a polynomial of its argument."""
    low, high = _ends(view, a)
    slack = max(high - low, Fraction(1, 2**20)) / 2**10
    if t.op in (UnaryOp.LOG, UnaryOp.SQRT):
        slack = min(slack, low / 4)
        if low <= 0:
            raise NotProved(f"the argument of {str(t)[:60]} is not proved positive")
    ends = outward(low, False, slack), outward(high, True, slack)
    p = view.seen(polynomial(a))
    for edge, rest in (
        (a - Num(ends[0]), add(p, {(): -ends[0]})),
        (Num(ends[1]) - a, add({(): ends[1]}, p, Fraction(-1))),
    ):
        view.cut(edge, view.bound(rest).leaf())
    search = Search(seconds=time_left(view.end))
    for lemma, tree in near_cuts(t, a, ends, near_form(t, a, ends, FINE), view.s, search):
        view.cut(lemma, tree)
    return view.name(t)


def _divided(view: View, t: Binary) -> Var:
    """A name for a quotient: how near it is to a polynomial follows when its denominator is multiplied away."""
    above, below = polynomial(t.left), polynomial(t.right)
    low, high = _ends(view, t.right)
    if low <= 0 <= high:
        raise NotProved(f"the denominator of {str(t)[:60]} is not proved to have a sign")
    sign = Fraction(1 if low > 0 else -1)
    size = add({}, below, sign)
    name = view.rule(
        ["divide", to_json(t), "+" if low > 0 else "-"], view.bound(view.seen(size)).leaf()
    )
    first = len(view.s.premises) - 2  # name d - n >= 0, then n - name d >= 0
    centre = view.quotient(above, below)
    away = add(add({}, above, sign), times(size, centre), Fraction(-1))
    least = view.least(view.seen(size))
    loss = max(-view.least(view.seen(add({}, away, Fraction(s)))) for s in (1, -1))
    spare = max(loss / 2**8, least * Fraction(FLOOR))
    radius = outward((loss + spare) / least, True, spare / least)
    for side in (1, -1):
        lemma = Num(radius) - (name - from_polynomial(centre))
        if side < 0:
            lemma = Num(radius) + (name - from_polynomial(centre))
        cleared = add({m: radius * c for m, c in size.items()}, away, Fraction(-side))
        used = first + int(side * sign > 0), Fraction(1)
        seen = [(p, view.least(view.seen(p))) for p in (size, cleared)]
        tree = absurd(
            view.s.concluding(lemma),
            used,
            (seen[0], seen[1]),
            lambda p, _: view.bound(view.seen(p)).leaf(),
        )
        view.cut(lemma, tree)
    view.stands(name, centre)
    return name


__all__ = ["View", "enclosed", "rounded"]
