"""Both sides of a box from one quadratic premise: a lemma for each variable serves its two bounds.

That a variable of an ellipsoid stays within r of its middle, ``r^2 - (v - m)^2 >= 0``, takes as
many squares as the ellipsoid has variables; either bound follows from it by one square more.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from nprl.lang.serial import number_to_json, to_json
from nprl.lang.terms import Num, Term, Var
from nprl.shields.polynomial import NotPolynomial, Polynomial, bound_of, polynomial
from nprl.shields.sequent import Sequent
from nprl.shields.synthesis.prove import prove
from nprl.shields.synthesis.quadratic import concave_form
from nprl.shields.synthesis.search import NotProved, Search, Tree
from nprl.shields.synthesis.squares import degree

FEWEST = 4
"""Variables of the ellipsoid below which each bound is proved by itself."""


def prove_sides(s: Sequent, search: Search) -> Tree | None:
    """A proof of bounds of single variables, two for each, from one quadratic premise; None if it is no such goal.

    Raises:
        NotProved: where a lemma is not proved.
    """
    premises = [_polynomial(t) for t in s.premises]
    curved = [p for p in premises if p is not None and degree(p) == 2]
    if len(s.alternatives) != 1 or len(curved) != 1:
        return None
    names = tuple(sorted({n for m in curved[0] for n, _ in m}))
    wanted = _bounds(s)
    if wanted is None or len(names) < FEWEST or not set(wanted) <= set(names):
        return None
    if any(len(sides) != 2 for sides in wanted.values()):
        return None
    lemmas: dict[str, tuple[int, Fraction, Fraction]] = {}
    cuts: list[tuple[Term, Tree]] = []
    reach = _extent(curved[0], names)
    now = s
    for v, sides in wanted.items():
        middle, half = reach[v]
        m = _nearest(middle, half * 2.0**-12)
        r = _between(
            half * (1 + 2.0**-30) + abs(middle - float(m)), min(sides[1] - m, m - sides[-1])
        )
        if r is None:
            return None
        lemma = Num(r * r) - (Var(v) - m if m > 0 else Var(v) + -m if m else Var(v)) ** 2
        search.step(f"the bounds of {v}")
        inner = Search(seconds=max(search.end - time.monotonic(), 0.1))
        cuts.append((lemma, prove(s.concluding(lemma), inner)))
        lemmas[v] = len(now.premises), m, r
        now = now.given(lemma)
    tree: Tree = ["leaf", [_hint(c.term, lemmas) for c in s.alternatives[0]]]
    for lemma, proof in reversed(cuts):
        tree = ["cut", to_json(lemma), proof, tree]
    return tree


def _polynomial(t: Term) -> Polynomial | None:
    try:
        return polynomial(t)
    except NotPolynomial:
        return None


def _bounds(s: Sequent) -> dict[str, dict[int, Fraction]] | None:
    """The lower (-1) and upper (1) bound of each variable that the conclusions state; None if they state more."""
    wanted: dict[str, dict[int, Fraction]] = {}
    for c in s.alternatives[0]:
        p = _polynomial(c.term)
        found = bound_of(p) if p is not None else None
        if found is None or c.strict or -found[1] in wanted.get(found[0], {}):
            return None
        wanted.setdefault(found[0], {})[-found[1]] = found[2]
    return wanted


def _hint(t: Term, lemmas: Mapping[str, tuple[int, Fraction, Fraction]]) -> dict[str, Any]:
    """``slope (b - v) = slope (c (r^2 - (v - m)^2) + c (v - m - r)^2 + b - m - r)``, c = 1 / (2 r)."""
    p = polynomial(t)
    ((v, slope),) = [(m[0][0], c) for m, c in p.items() if m]
    k, m, r = lemmas[v]
    edge = m + r if slope < 0 else m - r
    c = number_to_json(abs(slope) / (2 * r))
    return {
        "products": [[c, [k]]],
        "squares": [[c, to_json(Var(v) - edge if edge > 0 else Var(v) + -edge), []]],
    }


def _extent(p: Polynomial, names: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Middle and reach of each variable on ``p >= 0``."""
    q, b, c0 = concave_form(p, names)
    inverse = np.linalg.inv(q)
    centre = inverse @ b / 2
    half = np.sqrt(np.diag(inverse) * (c0 + float(centre @ q @ centre)))
    return {n: (float(c), float(h)) for n, c, h in zip(names, centre, half, strict=True)}


def _nearest(value: float, error: float) -> Fraction:
    unit = Fraction(2) ** math.floor(math.log2(error))
    return round(Fraction(value) / unit) * unit


def _between(low: float, high: Fraction) -> Fraction | None:
    """A number of few digits in the middle of a range; None where the range is empty."""
    gap = float(high) - low
    if gap <= 0:
        return None
    found = _nearest((low + float(high)) / 2, gap / 8)
    return found if found > 0 else None


__all__ = ["NotProved", "prove_sides"]
