"""A polynomial moved a little: what it loses at most where some variables are near to given forms.

If each z_k is within r_k of a polynomial c_k, then ``F(z) >= F(c) - eps``: the difference is the
sum of ``(z_k - c_k) Q_k`` with Q_k the divided differences, and with ``|Q_k| <= M_k`` each is at least
``-r_k M_k``, for ``2 (d Q + r M) = (r + d) (M + Q) + (r - d) (M - Q)``. Nothing here is trusted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from nprl.lang.serial import number_to_json, to_json
from nprl.lang.terms import Term
from nprl.shields.polynomial import Polynomial, Range, add, constant, names, times
from nprl.shields.sequent import Sequent
from nprl.shields.synthesis.proofs.bernstein import from_polynomial, lower_bound
from nprl.shields.synthesis.proofs.search import (
    NotProved,
    Search,
    Tree,
    box_of,
    hint,
    outward,
    polynomials,
)


@dataclass(frozen=True, slots=True)
class Move:
    """``name`` is within ``radius`` of ``centre``: premise ``above`` is ``radius + (name - centre)``."""

    name: str
    centre: Polynomial
    radius: Fraction
    above: int
    below: int


@dataclass(frozen=True, slots=True)
class Moved:
    """``F >= moved - loss``, as a term ``>= 0`` with its proof."""

    moved: Polynomial
    loss: Fraction
    lemma: Term
    proof: Tree


def move(f: Polynomial, moves: Sequence[Move], s: Sequent, search: Search) -> Moved:
    """The polynomial with each moved variable at its centre, and what that costs at most.

    Raises:
        NotProved: where a variable has no bounds.
    """
    box = box_of(s, search)
    products: list[list[object]] = []
    cuts: list[tuple[Term, Tree]] = []
    now, loss, moved = s, Fraction(0), f
    for one in moves:
        moved, slope = _divided(moved, one)
        if not slope:
            continue
        if not any(slope):
            c = slope[()]
            loss += abs(c) * one.radius
            products.append([number_to_json(abs(c)), [one.above if c > 0 else one.below]])
            continue
        most = _most(slope, box)
        loss += most * one.radius
        sides = [add(constant(most), slope, Fraction(sign)) for sign in (1, -1)]
        for side, premise in zip(sides, (one.above, one.below), strict=True):
            lemma = from_polynomial(side)
            leaf = hint(side, {}, now, polynomials(now, search), box)
            cuts.append((lemma, ["leaf", [leaf]]))
            products.append(["1/2", [premise, len(now.premises)]])
            now = now.given(lemma)
            search.leaves += 1
    tree: Tree = ["leaf", [{"products": products} if products else {}]]
    for term, proof in reversed(cuts):
        tree = ["cut", to_json(term), proof, tree]
    search.leaves += 1
    lemma = from_polynomial(add(add(f, moved, Fraction(-1)), constant(loss)))
    return Moved(moved, loss, lemma, tree)


def _divided(f: Polynomial, one: Move) -> tuple[Polynomial, Polynomial]:
    """``f`` at the centre, and Q with ``f = f(centre) + (name - centre) Q``."""
    most = max((dict(m).get(one.name, 0) for m in f), default=0)
    powers = [constant(Fraction(1))]
    for _ in range(most):
        powers.append(times(powers[-1], one.centre))
    at: Polynomial = {}
    slope: Polynomial = {}
    for m, c in f.items():
        k = dict(m).get(one.name, 0)
        rest: Polynomial = {tuple((n, p) for n, p in m if n != one.name): c}
        at = add(at, times(rest, powers[k]))
        for j in range(k):
            own: Polynomial = {((one.name, j),) if j else (): Fraction(1)}
            slope = add(slope, times(times(rest, own), powers[k - 1 - j]))
    return at, slope


def _most(p: Polynomial, box: Mapping[str, Range]) -> Fraction:
    """A short number above ``|p|`` on the box."""
    missing = sorted(names(p) - box.keys())
    if missing:
        raise NotProved(f"no bounds for {missing[0]}")
    size = max(-lower_bound(p, box), -lower_bound({m: -c for m, c in p.items()}, box))
    return outward(size, True, size / 64) if size > 0 else Fraction(1, 2**60)


__all__ = ["Move", "Moved", "move"]
