"""The maps of explicit integrators as terms, and terms made shorter.

A right-hand side is a mapping from each state coordinate's name to its derivative, a term; inputs
and disturbances are constant over the step.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from nprl.lang.terms import (
    Binary,
    BinaryOp,
    Num,
    Power,
    Term,
    Unary,
    UnaryOp,
    Var,
    rebuilt,
    replace,
)
from nprl.shields.forms import nested
from nprl.shields.span import ZERO, plus, times

Field = Mapping[str, Term]
"""The derivative of each state coordinate."""


def euler(field: Field, dt: Fraction) -> dict[str, Term]:
    """Euler's method: ``x + dt f(x)``."""
    return {n: Var(n) + dt * f for n, f in field.items()}


def semi_implicit_euler(field: Field, dt: Fraction) -> dict[str, Term]:
    """Euler's method, coordinate by coordinate in the order of ``field``, each with the new others."""
    done: dict[Term, Term] = {}
    for n, f in field.items():
        done[Var(n)] = Var(n) + dt * replace(f, done)
    return {n: done[Var(n)] for n in field}


def runge_kutta(field: Field, dt: Fraction) -> dict[str, Term]:
    """The classical method of order 4: ``x + dt/6 (k1 + 2 k2 + 2 k3 + k4)``.

    Source: Hairer, Norsett, Wanner, "Solving Ordinary Differential Equations I", II.1, table 1.2.
    """

    def slope(factor: Fraction, k: Field) -> dict[str, Term]:
        at: dict[Term, Term] = {Var(n): plus(Var(n), times(Num(factor), t)) for n, t in k.items()}
        return {n: tidy(replace(f, at)) for n, f in field.items()}

    k1 = {n: tidy(f) for n, f in field.items()}
    k2 = slope(dt / 2, k1)
    k3 = slope(dt / 2, k2)
    k4 = slope(dt, k3)
    two, sixth = Num(Fraction(2)), Num(dt / 6)
    return {
        n: tidy(
            Var(n)
            + times(sixth, plus(plus(k1[n], times(two, k2[n])), plus(times(two, k3[n]), k4[n])))
        )
        for n in field
    }


def tidy(t: Term) -> Term:
    """``t`` with its polynomials in Horner's form where that is shorter; equal over the reals."""
    parts: dict[Term, Term] = {}
    form = nested(_skeleton(t, parts))
    return replace(form, {name: part for part, name in parts.items()})


def _skeleton(t: Term, parts: dict[Term, Term]) -> Term:
    """``t`` with a name in place of each part that is no polynomial's; ``parts`` gets them."""
    match t:
        case Num() | Var():
            return t
        case Unary(UnaryOp.NEG, _) | Power():
            return rebuilt(t, lambda part: _skeleton(part, parts))
        case Binary(BinaryOp.ADD | BinaryOp.SUB | BinaryOp.MUL, _, _):
            return rebuilt(t, lambda part: _skeleton(part, parts))
        case Binary(BinaryOp.DIV, left, Num(value)) if value:
            return times(_skeleton(left, parts), Num(1 / value))
    inner = rebuilt(t, lambda part: tidy(part) if isinstance(part, Term) else part)
    return parts.setdefault(inner, Var(f"part:{len(parts)}"))


def lie(t: Term, along: Field, slopes: Mapping[str, Term]) -> Term:
    """The derivative of ``t`` in time: the sum of its ``slopes`` times what each coordinate does."""
    total: Term = ZERO
    for n, f in along.items():
        total = plus(total, times(slopes[n], f))
    return tidy(total)
