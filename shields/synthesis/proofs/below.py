"""Polynomials and lines below what functions of one coordinate do, with their proofs: lemmas of slices.

Below the combination ``D(z)`` on a slice a polynomial is fitted, and shown to be below by Taylor's sums and
Bernstein's form; below it, on a cell, lines. Nothing here is trusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce

import numpy as np

from nprl.lang.floats import compile_batch
from nprl.lang.ranges import Interval
from nprl.lang.serial import to_json
from nprl.lang.terms import Num, Term, Unary, Var
from nprl.lang.terms import replace as substitute
from nprl.model import Box
from nprl.shields.polynomial import Polynomial, add, bound_of, constant, polynomial
from nprl.shields.sequent import Sequent, expand
from nprl.shields.synthesis.proofs.bernstein import bound, from_polynomial
from nprl.shields.synthesis.proofs.functions import taylor_order
from nprl.shields.synthesis.proofs.search import NotProved, Search, Tree, box_of, hint, polynomials
from nprl.shields.synthesis.views.polytope import nearest
from nprl.shields.synthesis.views.problem import power_of_two

DEGREE = 4
"""Of the polynomial below D on a slice."""
POINTS = 257
BITS = 2.0**-12
"""The precision of coefficients of a lemma, and of the ends of cells."""


@dataclass(frozen=True)
class Below:
    """That D, the term ``total``, is at least a polynomial q: ``D - q`` is the premise at ``place``."""

    total: Term
    q: Polynomial
    place: int


def curve(
    s: Sequent, form: Polynomial, names: Mapping[Unary, Var], z: Var, rows: int, search: Search
) -> tuple[Term, Polynomial, Tree]:
    """The combination, a polynomial that it is never below on a slice, and the proof of that."""
    plain, (low, high) = _plain(s, z, rows, search)
    parts = [(c, f) for f, v in names.items() if (c := form.get(((v.name, 1),)))]
    total: Term = reduce(lambda a, b: a + b, (Num(c) * f for c, f in parts))
    x = np.linspace(float(low), float(high), POINTS)
    y = np.asarray(compile_batch([total], [[z.name]])(x[:, None])[0])
    reach, scale = max(1.0, abs(float(low)), abs(float(high))), float(np.abs(y).max())
    fit = np.polynomial.Polynomial.fit(x, y, DEGREE).convert().coef
    q: Polynomial = {(): Fraction(0)}
    for k, v in enumerate(fit):
        q[((z.name, k),) if k else ()] = nearest(float(v), BITS * scale / reach**k)
    here = np.asarray(sum(float(v) * x ** (m[0][1] if m else 0) for m, v in q.items()))
    q[()] += nearest(float((y - here).min()), BITS * scale)
    now, heads, multipliers = s, list[Tree](), dict[int, Fraction]()
    for c, f in parts:
        order = taylor_order(f.arg, {z.name: Interval(low, high)})
        heads.append(["function", to_json(f), order])
        place = len(now.premises) + (0 if c > 0 else 1)
        (now,) = expand([*heads[-1], None], now)
        multipliers[place] = abs(c)
    named: dict[Term, Term] = {f: Var(f"a:{s.names + k}") for k, (_, f) in enumerate(parts)}
    under = polynomial(substitute(total, named))
    premises, box = polynomials(now, search), {z.name: (low, high)}
    for place, c in multipliers.items():
        under = add(under, premises[place], -c)
    q = _lowered(q, under, box, BITS * scale / 4)
    rest = add(under, q, Fraction(-1))
    premises = {k: premises[k] for k in plain}
    tree: Tree = ["leaf", [hint(rest, multipliers, now, premises, box)]]
    for head in reversed(heads):
        tree = [*head, tree]
    return total, q, tree


def tight_lines(
    s: Sequent, below: Below, z: Var, rows: int, search: Search
) -> list[tuple[Term, Tree]]:
    """Lines below D on a cell: from its polynomial, one for each end."""
    plain, ends = _plain(s, z, rows, search)
    premises = polynomials(s, search)
    premises = {k: premises[k] for k in plain}
    x = np.linspace(float(ends[0]), float(ends[1]), POINTS)
    y = np.asarray(sum(float(c) * x ** (m[0][1] if m else 0) for m, c in below.q.items()))
    scale = float(np.abs(y).max())
    result = []
    for at in (0, -1):
        away = np.delete(x - x[at], at), np.delete(y - y[at], at)
        slopes = away[1] / away[0]
        m = float(slopes.min() if at == 0 else slopes.max())
        slope = nearest(m, BITS * scale / max(1.0, abs(x[0]), abs(x[-1])))
        c = nearest(float((y - float(slope) * x).min()), BITS * scale)
        line: Polynomial = {((z.name, 1),): slope, (): c}
        line = _lowered(line, below.q, {z.name: ends}, BITS * scale / 4)
        rest = add(below.q, line, Fraction(-1))
        box = {z.name: ends}
        leaf = hint(rest, {below.place: Fraction(1)}, s, premises, box)
        lemma = below.total - from_polynomial(line)
        result.append((lemma, ["leaf", [leaf]]))
        s = s.given(lemma)
    return result


def _plain(
    s: Sequent, z: Var, rows: int, search: Search
) -> tuple[list[int], tuple[Fraction, Fraction]]:
    """Of the bounds of z a low and a high one, not far from the tightest, of few digits: their places, the ends."""
    found: dict[bool, list[tuple[Fraction, int]]] = {True: [], False: []}
    for k, p in polynomials(s, search).items():
        end = bound_of(p)
        if k >= rows and end is not None and end[0] == z.name:
            found[p[((z.name, 1),)] > 0].append((end[2], k))
    low, high = box_of(s, search)[z.name]
    near = (high - low) / 16
    ends = []
    for up, tightest in ((True, low), (False, high)):
        usable = [e for e in found[up] if abs(e[0] - tightest) <= near]
        usable = usable or [min(found[up], key=lambda e: abs(e[0] - tightest))]
        ends.append(min(usable, key=lambda e: (e[0].denominator, abs(e[0] - tightest))))
    return [k for _, k in ends], (ends[0][0], ends[1][0])


def _lowered(q: Polynomial, p: Polynomial, box: Box, unit: float) -> Polynomial:
    """``q``, its constant lowered as far as Bernstein's form needs to show ``p >= q`` on a box."""
    least = bound(add(p, q, Fraction(-1)), box)
    if least is None:
        raise NotProved("a polynomial below a function is of too high a degree")
    step = power_of_two(unit)
    return add(q, constant(min(least, Fraction(0)) // step * step))


__all__ = ["POINTS", "Below", "curve", "tight_lines"]
