"""Sines and cosines in a sequent: a short polynomial near them, proved once, instead of Taylor's sum.

Taylor's sum about 0 has a high degree where the argument is large, and every leaf would multiply it
out. So two cuts say how far the function is from a polynomial of a low degree and with short
numbers; they are proved by the rule for the function, and the function gets a name.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from nprl.lang.serial import to_json
from nprl.lang.terms import Num, Term, Unary, UnaryOp, Var, variables
from nprl.shields.polynomial import NotPolynomial, polynomial
from nprl.shields.sequent import MAX_ORDER, Sequent, expand
from nprl.shields.synthesis.proofs import bernstein
from nprl.shields.synthesis.proofs.search import (
    NotProved,
    Search,
    Tree,
    box_of,
    hint,
    outward,
    polynomials,
)
from nprl.shields.synthesis.proofs.smooth import Ends, named

NEAR = 2.0**-16
"""How far the polynomial may be from the function, as a part of its range."""
LEAST_ORDER = 6
"""Of Taylor's sum; a lower one is short enough, and near a small argument nearer."""
SPARE = 1.5
"""How much more than the sampled distance is claimed."""
MAX_SLICES = 5
"""How often the argument's range is halved to prove a cut."""


def near_wave(
    t: Unary, s: Sequent, search: Search, order: int
) -> tuple[Ends, Term, Fraction] | None:
    """The argument's range, a polynomial of it near ``t``, and a number above their distance.

    None: the argument has no bounds, or Taylor's sum of this order is short enough.
    """
    a, box = t.arg, box_of(s, search)
    if order < LEAST_ORDER:
        return None
    try:
        p = polynomial(a)
    except NotPolynomial:
        return None
    if not variables(a) <= box.keys() or any(sum(k for _, k in m) > 1 for m in p):
        return None
    low = bernstein.lower_bound(p, box)
    high = -bernstein.lower_bound({m: -c for m, c in p.items()}, box)
    if not high - low > Fraction(1, 2**20):
        return None
    if not isinstance(a, Var):
        slack = (high - low) / 2**10
        low, high = outward(low, False, slack), outward(high, True, slack)
    form, radius, degree = _fit(t.op, a, (low, high), 2 * order - 2)
    return ((low, high), form, radius) if degree else None


def eliminate_wave(
    t: Unary, near: tuple[Ends, Term, Fraction], s: Sequent, search: Search, depth: int
) -> Tree:
    """The tree that names ``t``, with the cuts that `near_wave` found.

    Raises:
        NotProved: where they, or what comes after, are not proved.
    """
    ends, form, radius = near
    return named(t, t.arg, ends, (form, Num(radius)), s, search, depth, _proof)


def _fit(op: UnaryOp, a: Term, ends: Ends, most: int) -> tuple[Term, Fraction, int]:
    """The polynomial of the least degree that is near enough, its distance, its degree; 0: none below ``most``."""
    low, high = map(float, ends)
    middle = outward(sum(ends, Fraction(0)) / 2, False, (ends[1] - ends[0]) / 2**3)
    half = Fraction(2) ** math.frexp((high - low) / 2)[1]
    x = low + (high - low) * (np.cos(np.linspace(0.0, np.pi, 801)) + 1) / 2
    y = np.sin(x) if op is UnaryOp.SIN else np.cos(x)
    z = (x - float(middle)) / float(half)
    bound = NEAR * float(np.ptp(y))
    unit = Fraction(2) ** (math.frexp(bound)[1] - 6)
    for degree in range(2, most):
        found = np.polynomial.chebyshev.Chebyshev.fit(z, y, degree).convert(
            kind=np.polynomial.Polynomial
        )
        numbers = [round(Fraction(float(c)) / unit) * unit for c in found.coef]
        away = float(
            np.abs(y - np.polynomial.polynomial.polyval(z, list(map(float, numbers)))).max()
        )
        if SPARE * away <= bound:
            form: Term = Num(numbers[-1])
            for c in reversed(numbers[:-1]):
                form = form * (a - Num(middle)) / half + Num(c)
            return form, outward(Fraction(SPARE * away), True, unit * 2), degree
    return Num(Fraction(0)), Fraction(0), 0


def _proof(t: Term, b: Var, ends: Ends, radius: Fraction, goal: Sequent, search: Search) -> Tree:
    """A proof of a cut: by Taylor's sum, on slices of the argument ``b`` where one leaf does not do."""
    assert isinstance(t, Unary)
    size, rest, order = max(map(abs, ends)), Fraction(1), 0
    while order < MAX_ORDER and (not order or rest > radius / 2**5):
        order += 1
        rest *= size * size / ((2 * order - 1) * (2 * order))
    node: Tree = ["function", to_json(t), order]
    return [*node, _sliced(b, ends, expand([*node, None], goal)[0], search, 0)]


def _sliced(b: Var, ends: Ends, goal: Sequent, search: Search, halved: int) -> Tree:
    search.step("a polynomial near a wave")
    q = polynomial(goal.alternatives[0][0].term)
    v = ((f"a:{goal.names - 1}", 1),)
    premises, box = polynomials(goal, search), box_of(goal, search)
    for k, h in premises.items():
        if q[v] != h.get(v) or len(h) < 3:
            continue
        left = {m: q.get(m, Fraction(0)) - h.get(m, Fraction(0)) for m in q.keys() | h.keys()}
        left = {m: c for m, c in left.items() if c}
        least = bernstein.bound(left, box)
        if least is not None and least >= 0:
            search.leaves += 1
            return ["leaf", [hint(left, {k: Fraction(1)}, goal, premises, box)]]
    if halved == MAX_SLICES:
        raise NotProved(f"a polynomial near a wave: its argument was halved {halved} times")
    middle = outward(sum(ends, Fraction(0)) / 2, False, (ends[1] - ends[0]) / 2**4)
    head = ["split", to_json(b - Num(middle))]
    above, below = expand([*head, None, None], goal)
    return [
        *head,
        _sliced(b, (middle, ends[1]), above, search, halved + 1),
        _sliced(b, (ends[0], middle), below, search, halved + 1),
    ]
