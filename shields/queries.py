"""What a solver must refute for a leaf to hold: SMT-LIB2 texts of linear real arithmetic.

The text that is exported is the text that Z3 is given. Each monomial is a real of its own, so that
every query is linear; what connects the monomials is said by the facts that the premises give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from nprl.shields.leaf import Premises, combination
from nprl.shields.polynomial import Polynomial, polynomial, whole
from nprl.shields.sequent import Conclusion, ProofError


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

    def linear(self, p: Polynomial, factor: Fraction = Fraction(1)) -> str:
        """``factor * p`` with each monomial a real of its own, and whole numbers before them."""
        terms, scale = whole(p)
        parts = [f"(* {number(c)} {self.real(m)})" if m else number(c) for m, c in sorted(terms)]
        return f"(* {number(factor / scale)} {total(parts)})"

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

    That the conclusion is not the sum of the named combination and the remainder; or that this sum
    is negative though each product is not, and the remainder is as the box says.

    Raises:
        ProofError, NotPolynomial, ValueError: for a hint that does not fit.
    """
    goal = polynomial(conclusion.term)
    c = combination(hint, goal, premises)
    w = _Writer()
    named = [w.real(("h", k)) for k in range(len(c.parts))]
    rest = w.linear(c.remainder)
    for m in filter(None, c.remainder):
        if len(m) > 1 or m[0][1] > 1:
            raise ProofError(f"the combination leaves the product {m}, which has no bounds")
        box = premises.box()
        if m[0][0] not in box:
            raise ProofError(f"the combination leaves {m[0][0]}, which the premises do not bound")
        low, high = box[m[0][0]]
        w.say(">=", w.real(m), number(low))
        w.say("<=", w.real(m), number(high))
    for h in named:
        w.say(">=", h, "0.0")
    sides = [w.linear(p, f) for f, p in c.parts]
    parts = [f"(* {number(f)} {h})" for (f, _), h in zip(c.parts, named, strict=True)]
    differs = f"(not (= {w.linear(goal)} {total([*sides, rest])}))"
    fails = f"({'<=' if conclusion.strict else '<'} {total([*parts, rest])} 0.0)"
    w.assertions.append(f"(assert (or {differs} {fails}))")
    return Query(w.text(), c.engine)
