"""The nominal step: what is computed along a plan, in place of the model's own step.

The step in a quick form (`nprl.shields.hurried`), with polynomials in place of sine, cosine and the
exponential (`nprl.shields.series`). How far the float64 value is from the step's real value is
bounded here, exactly, and the tube has room for it (`nprl.shields.tube`): a plan asks for an
enclosure of the plant's states, not for the digits of the C library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from nprl.lang.bounds import analyse
from nprl.lang.ranges import DomainError, Interval, enclose
from nprl.lang.terms import Term, Unary, Var, rebuilt, replace
from nprl.shields.hurried import hurried
from nprl.shields.rates import rates
from nprl.shields.series import KNOWN, series

Box = Mapping[str, Interval]
WORSE = 4
"""A form with polynomials may have so many times the error of that with the C library's functions."""


@dataclass(frozen=True, slots=True)
class Nominal:
    """What is computed of a term."""

    form: Term
    error: Fraction
    """At least how far its float64 value is from the term's real one, at any float point of the box."""


def nominal(t: Term, box: Box, ulps: int) -> Nominal:
    """What is computed of ``t`` in ``box``, where the C library's functions are off by ``ulps``.

    Raises:
        DomainError: where there is no bound on the rounding.
    """
    plain = hurried(t)
    try:
        least = Nominal(plain, analyse(plain, box, ulps).error)
    except DomainError:
        least = Nominal(t, analyse(t, box, ulps).error)
    found = _replaced(t, box, ulps)
    return found if found is not None and found.error <= WORSE * least.error else least


def _replaced(t: Term, box: Box, ulps: int) -> Nominal | None:
    """The form with polynomials; None where there is no bound on how far it is off."""
    replacing = _Replacing(box)
    try:
        named = replacing.change(t)
        form = hurried(replacing.computed(named))
        return Nominal(form, analyse(form, box, ulps).error + replacing.moved(named))
    except DomainError:
        return None


class _Replacing:
    """Each function of one term gets a name for its value, the innermost first.

    The polynomial's value is off the function's by ``off`` of the name at most, and both are in
    ``box`` of the name: so the mean value theorem says how far a term of names is off.
    """

    def __init__(self, box: Box) -> None:
        self.box = dict(box)
        self.off: dict[str, Fraction] = {}
        self.names: dict[Term, Term] = {}
        self.polynomials: dict[Term, Term] = {}

    def change(self, node: Term) -> Term:
        """The term with names for its functions, where there are polynomials for them."""
        inner = rebuilt(node, self.change)
        if isinstance(inner, Unary) and inner.op in KNOWN and inner not in self.names:
            self.names[inner] = self._named(inner)
        return self.names.get(inner, inner)

    def _named(self, inner: Unary) -> Term:
        found = series(inner.op, enclose(inner.arg, self.box))
        if found is None:
            return inner
        polynomial, remainder = found
        value = enclose(inner, self.box)
        off = remainder + self.moved(inner)
        name = Var(f"f:{len(self.off)}")
        self.box[name.name] = Interval(value.lo - off, value.hi + off)
        self.off[name.name] = off
        self.polynomials[name] = polynomial.at(self.computed(inner.arg))
        return name

    def computed(self, named: Term) -> Term:
        """The term with polynomials for its names."""
        return replace(named, self.polynomials)

    def moved(self, named: Term) -> Fraction:
        """At least how far the term of names is off."""
        change = rates(named, self.off, self.box)
        return sum((change[n] * e for n, e in self.off.items()), Fraction(0))
