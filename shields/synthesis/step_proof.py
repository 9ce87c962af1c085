"""A quadratic invariant of a curved step: the step as polynomials of the state, then squares.

What is no polynomial of low degree is enclosed by one on the set's box, and gets a name. What the
rounding of backup and plant, products of the disturbance, and the enclosure add is bounded once for
each coordinate. What remains is a question about polynomials, for
`nprl.shields.synthesis.step_squares`. Nothing here is trusted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from fractions import Fraction
from itertools import combinations_with_replacement, product

import numpy as np

from nprl.lang.floats import compile_batch
from nprl.lang.serial import to_json
from nprl.lang.terms import Num, Term, Var, variables
from nprl.shields.certificate import Certificate
from nprl.shields.goals import tolerant
from nprl.shields.leaf import Premises
from nprl.shields.polynomial import (
    Monomial,
    NotPolynomial,
    Polynomial,
    Range,
    add,
    bound_of,
    names,
    polynomial,
)
from nprl.shields.sequent import Sequent, expand, expanded
from nprl.shields.synthesis.bernstein import bound, from_polynomial
from nprl.shields.synthesis.nonlinear import input_box, proved_cut, set_box, time_left
from nprl.shields.synthesis.prove import has_pieces, prove
from nprl.shields.synthesis.quadratic import degree
from nprl.shields.synthesis.search import NotProved, Search, Tree, hint, outward
from nprl.shields.synthesis.step_squares import Frame, Noise, step_squares, substituted

MOST_STATES, FEW_STATES = 7, 3
"""Coordinates up to which squares have degree two, and three."""
SAMPLES, CORNERS = 4_000, 10
SPARE = (1.1, 1.5, 2.5)
"""How much more than the sampled distance is claimed of a polynomial, in this order."""
SPLITS = 8
LEAST_RADIUS = 2.0**-20
"""Of a coordinate's reach: less is not worth a distinction."""
BITS = 24
"""Of coefficients, beside the reach of what they belong to."""
LEAST_SIZE = 2.0**-10
"""Of a noise in the program for squares."""


class _Chain:
    """A sequent, and the cuts and names that led to it."""

    def __init__(self, s: Sequent) -> None:
        self.s = s
        self._links: list[tuple[Tree, Tree | None]] = []

    def cut(self, lemma: Term, tree: Tree) -> None:
        """Go on with a lemma that was proved."""
        self._links.append((["cut", to_json(lemma)], tree))
        self.s = self.s.given(lemma)

    def name(self, t: Term) -> Var:
        """Go on with a name for a term."""
        head: Tree = ["name", to_json(t)]
        fresh = Var(f"a:{self.s.names}")
        self.s = expand([*head, None], self.s)[0]
        self._links.append((head, None))
        return fresh

    def tree(self, last: Tree) -> Tree:
        """The whole tree, with the proof of what the sequent is now."""
        for head, proof in reversed(self._links):
            last = [*head, last] if proof is None else [*head, proof, last]
        return last


def suits(draft: Certificate) -> bool:
    """Whether the step is curved, of few coordinates, without pieces, and the backup affine."""
    model, shield = draft.model, draft.shield
    if len(shield.invariant) != 1 or len(shield.invariant[0]) != 1:
        return False
    if len(model.state) > MOST_STATES or model.choices is not None:
        return False
    steps = tolerant(model.steps, "plant", draft.rounding.guard)[0]
    backup = [expanded(b) for b in shield.backup]
    if any(has_pieces(t) for t in (*steps, *backup)):
        return False
    return any(_degree(t) != 1 for t in steps) and all(_degree(b) == 1 for b in backup)


def _degree(t: Term) -> int | None:
    """Of a polynomial, at least 1; None where it is none."""
    try:
        return max(degree(polynomial(t)), 1)
    except NotPolynomial:
        return None


def prove_by_squares(sequent: Sequent, draft: Certificate, seconds: float) -> Tree:
    """A proof of the kept goal of an ellipsoid.

    Raises:
        NotProved: where an enclosure or the squares are not found.
    """
    end = time.monotonic() + seconds
    model = draft.model
    most = 3 if len(model.state) <= FEW_STATES else 2
    chain = _Chain(sequent)
    inside = next(
        k for k, t in enumerate(sequent.premises) if t == expanded(draft.shield.invariant[0][0])
    )
    for name, edge in set_box(sequent, draft):
        _, tree = proved_cut(chain.s, edge, end, f"the box in {name}")
        chain.cut(edge, tree)
    steps = list(tolerant(model.steps, "plant", draft.rounding.guard)[0])
    curved = [i for i, t in enumerate(steps) if (_degree(t) or most + 1) > most]
    for name, edge in input_box(sequent, draft) if curved else ():
        try:  # a smaller box makes a smaller distance, but the inputs' own may do
            _, tree = proved_cut(chain.s, edge, end, f"the box in {name}")
        except NotProved:
            break
        chain.cut(edge, tree)
    near: dict[int, Polynomial] = {}
    for i in curved:
        near[i] = _enclosed(steps[i], chain, most, end)
    for i in curved:
        steps[i] = chain.name(steps[i])
    law = _law(draft)
    premises, box = _seen(chain.s, law)
    frame = _frame(model.state_names, box)
    wholes: list[Term] = []
    forms: list[tuple[Polynomial, Fraction, tuple[int, int]]] = []
    for i, t in enumerate(steps):
        whole = t + Var(f"e:{model.state_names[i]}")
        ideal = _ideal(_put(near.get(i) or polynomial(t), law), draft, frame, box, i, most)
        raw = substituted(ideal, _shift(draft, -1))
        away = _put(add(polynomial(whole), raw, Fraction(-1)), law)
        losses = [_loss(add({}, away, Fraction(-sign)), t, i in near, premises, box) for sign in (1, -1)]
        least = float(frame.half[i]) * LEAST_RADIUS
        radius = outward(max(Fraction(least), *(r for r, _, _ in losses)), True, Fraction(least))
        numbers = (len(chain.s.premises), len(chain.s.premises) + 1)
        for sign, (_, rest, used) in zip((1, -1), losses, strict=True):
            distance = whole - from_polynomial(raw)
            lemma = Num(radius) - distance if sign > 0 else Num(radius) + distance
            rest = add(rest, {(): radius})
            chain.cut(lemma, ["leaf", [hint(rest, used, chain.s, premises, box)]])
        wholes.append(whole)
        forms.append((raw, radius, numbers))
    fresh = [chain.name(whole).name for whole in wholes]
    noises = _disturbances(draft, chain.s, frame, [raw for raw, _, _ in forms])
    for name, (raw, radius, numbers), half in zip(fresh, forms, frame.half, strict=True):
        size = max(math.sqrt(float(radius / half)), LEAST_SIZE)
        form = add({((name, 1),): Fraction(1)}, raw, Fraction(-1))
        noises.append(Noise(name, form, radius, numbers, size))
    goal = polynomial(chain.s.alternatives[0][0].term)
    row = polynomial(chain.s.premises[inside])
    by = {name: raw for name, (raw, _, _) in zip(fresh, forms, strict=True)}
    found = step_squares(goal, (inside, row), by, noises, frame, most, time_left(end))
    if found is None:
        raise NotProved(f"no squares of degree {most} for the step")
    return chain.tree(["leaf", [found]])


def _enclosed(t: Term, chain: _Chain, most: int, end: float) -> Polynomial:
    """A polynomial near ``t`` on the box, its distance stated by two cuts.

    Raises:
        NotProved: where no distance is proved.
    """
    box = Premises(chain.s.premises).box()
    unbounded = variables(t) - box.keys()
    if unbounded:
        raise NotProved(f"{str(t)[:40]}: no bounds for {min(unbounded)}")
    used = sorted(variables(t))
    centre, distance = _fitted(t, used, box, most)
    form, problem = from_polynomial(centre), ""
    for spare in SPARE:
        unit = 2.0 ** (math.frexp(distance)[1] - 10)
        radius = Num(Fraction(math.ceil(spare * distance / unit)) * Fraction(unit))
        proved: list[tuple[Term, Tree]] = []
        s = chain.s
        try:
            for lemma in (radius - (t - form), radius + (t - form)):
                search = Search(seconds=time_left(end), max_depth=SPLITS, scan=False)
                proved.append((lemma, prove(s.concluding(lemma), search)))
                s = s.given(lemma)
        except NotProved as error:
            problem = str(error)
            continue
        for lemma, tree in proved:
            chain.cut(lemma, tree)
        return centre
    raise NotProved(f"a polynomial near {str(t)[:40]}: {problem}")


def _fitted(
    t: Term, used: list[str], box: Mapping[str, Range], most: int
) -> tuple[Polynomial, float]:
    """By least squares at random points and corners, in short numbers; and how far it is at those."""
    rng = np.random.default_rng(0)
    middle = [(box[v][0] + box[v][1]) / 2 for v in used]
    half = np.array([float(box[v][1] - box[v][0]) / 2 for v in used])
    z = rng.uniform(-1, 1, (SAMPLES, len(used)))
    corners = rng.choice((-1.0, 1.0), (SAMPLES, len(used)))
    if len(used) <= CORNERS:
        corners = np.array(list(product((-1.0, 1.0), repeat=len(used))))
    z = np.vstack([z, corners])
    x = np.array([float(c) for c in middle]) + half * z
    y = np.asarray(compile_batch([t], [used])(x)[0])
    powers = [
        c for d in range(most + 1) for c in combinations_with_replacement(range(len(used)), d)
    ]
    unit = max(float(np.abs(y - y.mean()).max()), 1e-12) * 2.0**-BITS
    at: dict[str, Polynomial] = {}
    scales = [Fraction(2) ** round(math.log2(max(h, 1e-12))) for h in half]
    places = [_rounded(c, float(s) * 2.0**-10) for c, s in zip(middle, scales, strict=True)]
    shifted = (x - np.array([float(p) for p in places])) / np.array([float(s) for s in scales])
    design = np.column_stack([shifted[:, list(c)].prod(axis=1) for c in powers])
    slopes = np.linalg.lstsq(design, y, rcond=None)[0]
    for v, c, s in zip(used, places, scales, strict=True):
        at[v] = {m: k for m, k in ((((v, 1),), 1 / s), ((), -c / s)) if k}
    found: Polynomial = {}
    for c, slope in zip(powers, slopes, strict=True):
        value = _rounded(slope, unit)
        if value:
            found[_monomial(c, used)] = value
    exact = np.array([float(found.get(_monomial(c, used), Fraction(0))) for c in powers])
    distance = float(np.abs(y - design @ exact).max()) + unit
    return substituted(found, at), distance


def _monomial(c: tuple[int, ...], used: list[str]) -> Monomial:
    return tuple(sorted((used[i], c.count(i)) for i in set(c)))


def _rounded(value: float | Fraction, unit: float) -> Fraction:
    """A multiple of a power of two, near ``unit``."""
    step = Fraction(2) ** round(math.log2(unit))
    return round(Fraction(value) / step) * step


Law = Mapping[str, Polynomial]


def _law(draft: Certificate) -> Law:
    """What inputs and disturbances are: the backup plus its rounding, the middle plus the rest.

    The rounding and the rest go by the names of the input and of the disturbance.
    """
    result = _shift(draft, 1)
    for c, b in zip(draft.model.action, draft.shield.backup, strict=True):
        result[c.name] = add(polynomial(expanded(b)), {((c.name, 1),): Fraction(1)})
    return result


def _shift(draft: Certificate, sign: int) -> dict[str, Polynomial]:
    """The disturbance more (less) than its middle."""
    result: dict[str, Polynomial] = {}
    for c in draft.model.disturbance:
        middle = (c.low + c.high) / 2 * sign
        result[c.name] = {m: v for m, v in ((((c.name, 1),), Fraction(1)), ((), middle)) if v}
    return result


def _put(p: Polynomial, law: Law) -> Polynomial:
    """``p`` with what the law says of inputs and disturbances."""
    return substituted(p, law) if names(p) & law.keys() else p


def _seen(s: Sequent, law: Law) -> tuple[dict[int, Polynomial], dict[str, Range]]:
    """The premises that are polynomials, under the law, and the box that they state."""
    stated = Premises(s.premises)
    premises: dict[int, Polynomial] = {}
    low: dict[str, Fraction] = {}
    high: dict[str, Fraction] = {}
    for k in range(len(s.premises)):
        p = stated.polynomial(k)
        if p is None:
            continue
        premises[k] = _put(p, law)
        found = bound_of(premises[k])
        if found is not None and found[1] > 0:
            low[found[0]] = max(found[2], low.get(found[0], found[2]))
        elif found is not None:
            high[found[0]] = min(found[2], high.get(found[0], found[2]))
    return premises, {v: (low[v], high[v]) for v in low if v in high and low[v] <= high[v]}


def _frame(states: tuple[str, ...], box: Mapping[str, Range]) -> Frame:
    centre, half = [], []
    for n in states:
        low, high = box[n]
        h = Fraction(2) ** round(math.log2(float(high - low) / 2))
        half.append(h)
        centre.append(_rounded((low + high) / 2, float(h) * 2.0**-10))
    return Frame(states, tuple(centre), tuple(half))


def _ideal(
    p: Polynomial, draft: Certificate, frame: Frame, box: Mapping[str, Range], i: int, most: int
) -> Polynomial:
    """What of a step under the law the squares look at: in the state, and linear in the disturbance; short."""
    states, noise = set(frame.names), set(draft.model.disturbance_names)
    unit = float(frame.half[i]) * 2.0**-BITS
    away = frame.scaled(p)
    kept: Polynomial = {}
    for m, c in away.items():
        used = {n for n, _ in m}
        alone = len(m) == 1 and m[0][1] == 1 and used <= noise
        if (used <= states and sum(k for _, k in m) <= most) or alone:
            reach = float(box[m[0][0]][1]) if alone else 1.0
            value = _rounded(c, unit / reach) if reach else Fraction(0)
            if value:
                kept[m] = value
    back: dict[str, Polynomial] = {}
    for n, c, h in zip(frame.names, frame.centre, frame.half, strict=True):
        back[n] = {m: v for m, v in ((((n, 1),), 1 / h), ((), -c / h)) if v}
    return substituted(kept, back)


def _loss(
    p: Polynomial, t: Term, named: bool, premises: Mapping[int, Polynomial], box: Mapping[str, Range]
) -> tuple[Fraction, Polynomial, dict[int, Fraction]]:
    """How far below 0 ``p`` may be; ``p`` less the premise about its name, and that premise's factor.

    Raises:
        NotProved: where no bound is found.
    """
    used: dict[int, Fraction] = {}
    if named:
        own: Monomial = ((str(t), 1),)
        for k, h in premises.items():
            if len(h) > 1 and own in h and p[own] / h[own] > 0 and bound_of(h) is None:
                used = {k: p[own] / h[own]}
                p = add(p, h, -used[k])
                break
    least = bound(p, box) if names(p) <= box.keys() else None
    if least is None:
        raise NotProved(f"no bound for {str(t)[:40]}")
    return -least, p, used


def _disturbances(
    draft: Certificate, s: Sequent, frame: Frame, steps: list[Polynomial]
) -> list[Noise]:
    """Those of some width, with the premises that bound them."""
    stated = Premises(s.premises)
    result = []
    for c in draft.model.disturbance:
        radius = (c.high - c.low) / 2
        if not radius:
            continue
        sides: dict[int, int] = {}
        for k in range(len(s.premises)):
            p = stated.polynomial(k)
            found = bound_of(p) if p is not None else None
            if p is not None and found in ((c.name, 1, c.low), (c.name, -1, c.high)):
                if abs(p[((c.name, 1),)]) == 1:
                    sides[found[1]] = k
        own: Monomial = ((c.name, 1),)
        form = add({own: Fraction(1)}, {(): -(c.low + c.high) / 2})
        moved = max(
            float(abs(p.get(own, Fraction(0))) * radius / h)
            for p, h in zip(steps, frame.half, strict=True)
        )
        size = min(max(math.sqrt(moved), LEAST_SIZE), 1.0)
        result.append(Noise(c.name, form, radius, (sides[1], sides[-1]), size))
    return result


__all__ = ["prove_by_squares", "suits"]
