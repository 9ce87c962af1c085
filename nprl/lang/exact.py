"""The exact meaning: rational intervals that hold a term's real value, as narrow as is asked for.

`nprl.lang.ranges` computes them; here are the questions that are asked of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from nprl.lang.ranges import BITS, Enclosure, Interval, decide, enclose
from nprl.lang.terms import Formula, Pi, Term, Unary, UnaryOp, subterms

__all__ = ["enclose", "evaluate", "holds"]

_NO_RATIONALS = frozenset(UnaryOp) - {UnaryOp.NEG, UnaryOp.ABS}


def holds(f: Formula, at: Mapping[str, Interval | Fraction], bits: int = BITS) -> bool | None:
    """Whether ``f`` holds at every point of ``at``; None where ``bits`` bits cannot decide.

    Raises:
        KeyError: ``at`` misses a variable of ``f``.
    """
    return decide(f, Enclosure(at, bits).of)


def evaluate(t: Term, at: Mapping[str, Fraction]) -> Fraction:
    """The exact value of a term without pi, sin, cos, tan, tanh, exp, log, sqrt.

    Raises:
        ValueError: the term holds one of them; use `enclose`.
        KeyError: ``at`` misses a variable of ``t``.
    """
    for s in subterms(t):
        if isinstance(s, Pi) or (isinstance(s, Unary) and s.op in _NO_RATIONALS):
            name = "pi" if isinstance(s, Pi) else s.op.value
            raise ValueError(f"{name} has no exact rational value; use enclose")
    value = enclose(t, at)
    if isinstance(value.lo, float) or value.lo != value.hi:
        raise TypeError("evaluate reads points; use enclose for intervals")
    return value.lo
