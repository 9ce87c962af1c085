"""The nominal step: what is computed along a plan, in place of the model's own step.

The step in a quick form (`nprl.shields.forms.hurried`), and sine, cosine and the exponential
replaced by polynomials. How far that is from the step over the reals is bounded here, exactly, and
is part of the tube (`nprl.shields.tube`): of a plan's states only what they enclose is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from nprl.lang.ranges import DomainError, Interval, enclose
from nprl.lang.terms import Term, Unary, Var, rebuilt, replace
from nprl.shields.hurried import hurried
from nprl.shields.rates import rates
from nprl.shields.series import KNOWN, series

Box = Mapping[str, Interval]


def nominal(steps: Sequence[Term], box: Box) -> tuple[tuple[Term, Fraction], ...]:
    """Of each term what is computed of it, and how far the two are over the reals, all over ``box``.

    A `where` in a term keeps its functions: there is no rate beyond its jump.
    """
    found = []
    for t in steps:
        try:
            making = _Making(box)
            found.append(making.of(t))
        except DomainError:
            found.append((hurried(t), Fraction(0)))
    return tuple(found)


class _Making:
    """One term: each function in it has a name, for its value; innermost first."""

    def __init__(self, box: Box) -> None:
        self.box = dict(box)
        self.names: dict[Term, Var] = {}
        self.computed: dict[Term, Term] = {}
        self.off: dict[str, Fraction] = {}

    def of(self, t: Term) -> tuple[Term, Fraction]:
        """What is computed, and how far off that is."""
        named = self._change(t)
        return hurried(self._polynomials(named)), self._moved(named)

    def _polynomials(self, named: Term) -> Term:
        return replace(named, self.computed)

    def _moved(self, named: Term) -> Fraction:
        """By the mean value theorem: both values of each name, and all between, are in its range."""
        change = rates(named, self.off, self.box)
        return sum((change[n] * e for n, e in self.off.items()), Fraction(0))

    def _change(self, node: Term) -> Term:
        inner = rebuilt(node, self._change)
        if not isinstance(inner, Unary) or inner.op not in KNOWN:
            return inner
        if inner not in self.names:
            argument = enclose(inner.arg, self.box)
            found = series(inner.op, argument)
            if found is None:
                return inner
            poly, remainder = found
            off = remainder + self._moved(inner)
            value = enclose(inner, self.box)
            name = Var(f"f:{len(self.names)}")
            self.box[name.name] = Interval(value.lo - off, value.hi + off)
            self.off[name.name] = off
            self.names[inner] = name
            self.computed[name] = poly.at(self._polynomials(inner.arg))
        return self.names[inner]
