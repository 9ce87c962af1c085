"""Both bounds of an affine form at once: one quadratic cut instead of two sums of squares.

Of ``low <= l <= high`` on an ellipsoid each side needs squares in every variable. The product ``q =
(l - low) (high - l)`` needs them once, by the S-procedure without loss; then ``(high - low) (l -
low) = q + (l - low)^2``, and the other side alike. Nothing here is trusted.
"""

from __future__ import annotations

from fractions import Fraction

from nprl.lang.serial import number_to_json, to_json
from nprl.lang.terms import Term
from nprl.shields.polynomial import NotPolynomial, Polynomial, add, polynomial
from nprl.shields.sequent import Conclusion, Sequent
from nprl.shields.synthesis.prove import prove
from nprl.shields.synthesis.quadratic import degree
from nprl.shields.synthesis.search import NotProved, Search, Tree


def prove_pairs(s: Sequent, search: Search) -> Tree:
    """A proof of a sequent of one alternative; each two neighbours that sum to a constant by one cut.

    Raises:
        NotProved: as `prove`; also where there is no such pair.
    """
    conclusions = s.alternatives[0]
    if len(s.alternatives) > 1 or len(conclusions) % 2 or not any(map(_is_curved, s.premises)):
        raise NotProved("no pairs")
    now, hints, cuts = s, [], list[tuple[Term, Tree]]()
    for first, second in zip(conclusions[::2], conclusions[1::2], strict=True):
        width = _width(first, second)
        q = first.term * second.term
        cuts.append((q, prove(s.concluding(q), search)))
        now = now.given(q)
        for c in (first, second):
            factor = number_to_json(1 / width)
            hints.append(
                {
                    "products": [[factor, [len(now.premises) - 1]]],
                    "squares": [[factor, to_json(c.term), []]],
                }
            )
    tree: Tree = ["leaf", hints]
    for q, proof in reversed(cuts):
        tree = ["cut", to_json(q), proof, tree]
    return tree


def _is_curved(t: Term) -> bool:
    try:
        return degree(polynomial(t)) == 2
    except NotPolynomial:
        return False


def _width(first: Conclusion, second: Conclusion) -> Fraction:
    """What two affine conclusions sum to, a positive constant."""
    try:
        p, q = polynomial(first.term), polynomial(second.term)
    except NotPolynomial as error:
        raise NotProved(str(error)) from None
    total: Polynomial = add(p, q)
    if degree(p) != 1 or total.keys() != {()} or not total[()] > 0 or first.strict or second.strict:
        raise NotProved("not two bounds of an affine form")
    return total[()]
