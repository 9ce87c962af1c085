"""What a solver must refute for a leaf to hold: SMT-LIB2 texts of linear real arithmetic.

The text that is exported is the text that Z3 is given. Each monomial is a real of its own, so that
every query is linear; what connects the monomials is said by the facts that the premises give.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from nprl.shields.leaf import Premises, basis, combination
from nprl.shields.polynomial import (
    Polynomial,
    bernstein,
    components,
    lower_bound,
    monomial_range,
    names,
    polynomial,
)
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

    def linear(self, p: Polynomial) -> str:
        """``p`` with each monomial a real of its own."""
        return total(
            [f"(* {number(c)} {self.real(m)})" if m else number(c) for m, c in sorted(p.items())]
        )

    def say(self, relation: str, left: str, right: str) -> None:
        self.assertions.append(f"(assert ({relation} {left} {right}))")

    def query(self, engine: str) -> Query:
        declared = [f"(declare-fun {r} () Real)" for r in self.reals.values()]
        return Query(
            "\n".join(["(set-logic QF_LRA)", *declared, *self.assertions, "(check-sat)\n"]), engine
        )


def number(value: Fraction) -> str:
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


def queries(conclusion: Conclusion, hint: Any, premises: Premises) -> Iterator[Query]:
    """What must be refuted so that the conclusion follows from the premises.

    First that the conclusion is not the sum of the named combination and the remainder; then, that
    sum at hand, that the conclusion fails though each product is nonnegative and the remainder is
    as the box says.

    Raises:
        ProofError, NotPolynomial, ValueError: for a hint that does not fit.
    """
    goal = polynomial(conclusion.term)
    c = combination(hint, goal, premises)
    engine = "squares" if c.squares else "linear"
    sides = list(zip(c.factors, c.lemmas, strict=True))
    yield _differs(goal, [*sides, (Fraction(1), c.remainder)], engine)
    box = premises.box()
    for v in names(c.remainder):
        if v not in box:
            raise ProofError(f"the remainder holds {v}, which the premises do not bound")
    affine = c.remainder
    forms: list[list[Fraction]] = []
    if max((sum(k for _, k in m) for m in affine), default=0) > 1:
        engine = "interval"
        if lower_bound(affine, box) < 0:
            engine = "bernstein"
            affine, mixed = components(c.remainder)
            for part in mixed:
                form = bernstein(part, box)
                if form is None:
                    raise ProofError("the remainder has too many variables or too high a degree")
                scaled, spanned = basis(form, box)
                yield _differs(scaled, spanned, engine)
                forms.append([f for f, _ in spanned])
    w = _Writer()
    parts = [f"(* {number(f)} {w.real(('h', k))})" for k, f in enumerate(c.factors)]
    for k in range(len(c.factors)):
        w.say(">=", w.real(("h", k)), "0.0")
    for i, coefficients in enumerate(forms):  # a mean of the coefficients, weighted by the basis
        weights = [w.real(("b", i, k)) for k in range(len(coefficients))]
        for weight in weights:
            w.say(">=", weight, "0.0")
        w.say("=", total(weights), "1.0")
        parts += [f"(* {number(f)} {b})" for f, b in zip(coefficients, weights, strict=True)]
    rest = w.linear(affine)
    for m in filter(None, affine):
        low, high = monomial_range(m, box)
        w.say(">=", w.real(m), number(low))
        w.say("<=", w.real(m), number(high))
    w.say("<=" if conclusion.strict else "<", total([*parts, rest]), "0.0")
    yield w.query(engine)


def _differs(p: Polynomial, parts: Sequence[tuple[Fraction, Polynomial]], engine: str) -> Query:
    """That ``p`` is not the sum of factor times polynomial."""
    w = _Writer()
    sides = [f"(* {number(f)} {w.linear(q)})" for f, q in parts]
    w.assertions.append(f"(assert (not (= {w.linear(p)} {total(sides)})))")
    return w.query(engine)
