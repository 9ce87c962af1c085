"""What a solver must refute for a leaf to hold: SMT-LIB2 texts of linear real arithmetic.

The text that is exported is the text that Z3 is given. Each monomial is a real of its own, so that
every query is linear; what connects the monomials is said by the facts that the premises give.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from nprl.shields.leaf import Premises, combination
from nprl.shields.polynomial import Monomial, polynomial, whole
from nprl.shields.sequent import Conclusion, ProofError

MAX_COMMON = 4_096
"""Of the common denominator that a query is multiplied by, in bits; a larger one is left in it."""


@dataclass(frozen=True, slots=True)
class Query:
    """A text that must be unsatisfiable, and the kind of leaf that it comes from."""

    text: str
    engine: str


@dataclass(slots=True)
class _Writer:
    """Assertions over reals that are declared as they come up."""

    reals: dict[object, str] = field(default_factory=dict)
    assertions: list[str] = field(default_factory=list)

    def real(self, key: object) -> str:
        return self.reals.setdefault(key, f"r{len(self.reals)}")

    def linear(self, factor: Fraction, terms: Sequence[tuple[Monomial, int]]) -> str:
        """``factor`` times a polynomial with each monomial a real of its own."""
        parts = [f"(* {number(c)} {self.real(m)})" if m else number(c) for m, c in sorted(terms)]
        return f"(* {number(factor)} {total(parts)})"

    def say(self, relation: str, left: str, right: str) -> None:
        self.assertions.append(f"(assert ({relation} {left} {right}))")

    def text(self) -> str:
        declared = [f"(declare-fun {r} () Real)" for r in self.reals.values()]
        return "\n".join(["(set-logic QF_LRA)", *declared, *self.assertions, "(check-sat)\n"])


def number(value: Fraction | int) -> str:
    """A rational in SMT-LIB2."""
    size = f"{abs(value.numerator)}.0"
    if value.denominator != 1:
        size = f"(/ {size} {value.denominator}.0)"
    return f"(- {size})" if value < 0 else size


def total(parts: Sequence[str]) -> str:
    """A sum; never the unary one, which solvers refuse."""
    if not parts:
        return "0.0"
    return parts[0] if len(parts) == 1 else f"(+ {' '.join(parts)})"


def query(conclusion: Conclusion, hint: Any, premises: Premises) -> Query:
    """What must be refuted so that the conclusion follows from the premises.

    That the conclusion is negative when each polynomial that the combination names is no longer
    itself, but any number >= 0, while what is left without a name is as the box says.

    Raises:
        ProofError, NotPolynomial, ValueError: for a hint that does not fit.
    """
    goal = polynomial(conclusion.term)
    c = combination(hint, goal, premises)
    w = _Writer()
    for m in filter(None, c.remainder):
        name, power = m[0]
        if len(m) > 1 or power > 1:
            raise ProofError(f"the combination leaves the product {m}, which has no bounds")
        if name not in premises.box():
            raise ProofError(f"the combination leaves {name}, which the premises do not bound")
        for relation, end in zip((">=", "<="), premises.box()[name], strict=True):
            w.say(relation, w.real(m), number(end))
    parts = [(-f, *whole(p)) for f, p in ((Fraction(-1), goal), *c.parts)]
    common = math.lcm(*(f.denominator * scale for f, _, scale in parts))
    common = common if common.bit_length() <= MAX_COMMON else 1
    sides = [w.linear(f * common / scale, terms) for f, terms, scale in parts]
    for k, (f, _) in enumerate(c.parts):
        w.say(">=", w.real(k), "0.0")
        sides.append(f"(* {number(f * common)} {w.real(k)})")
    w.say("<=" if conclusion.strict else "<", total(sides), "0.0")
    return Query(w.text(), c.engine)
