"""From a candidate to a certificate: claims on rounding, margins, witnesses, and a proof of every goal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from typing import Any

import numpy as np

from nprl.lang import exact
from nprl.lang.floats import compile_scalar
from nprl.lang.ranges import Interval
from nprl.lang.terms import Num, Term, Var
from nprl.lang.terms import replace as substitute
from nprl.model import Model
from nprl.shields.certificate import Certificate, Rounding, ShieldData
from nprl.shields.goals import goals, rounding_of
from nprl.shields.polynomial import Polynomial, add, polynomial
from nprl.shields.sequent import Sequent, assign, expand, expanded
from nprl.shields.synthesis.candidate import SEVERAL, Candidate
from nprl.shields.synthesis.proofs import enclosed_rows, step_proof
from nprl.shields.synthesis.proofs.bernstein import from_polynomial, lower_bound
from nprl.shields.synthesis.proofs.cell_proof import CellProof
from nprl.shields.synthesis.proofs.curved import prove_curved
from nprl.shields.synthesis.proofs.nonlinear import enclose_steps
from nprl.shields.synthesis.proofs.prove import prove
from nprl.shields.synthesis.proofs.search import NotProved, Search, Tree
from nprl.shields.synthesis.proofs.section_proof import SectionProof
from nprl.shields.synthesis.proofs.sliced import by_names
from nprl.shields.synthesis.proofs.union_proof import UnionProof
from nprl.shields.synthesis.sets.cell_map import FAMILY as CELLS
from nprl.shields.synthesis.sets.fitted import METHOD as FITTED
from nprl.shields.synthesis.sets.grown import METHOD as GROWN
from nprl.shields.synthesis.sets.sections import FAMILY as SECTIONS
from nprl.shields.synthesis.views.quadratic import degree

Rows = Sequence[Sequence[Term]]
SHORT, FIRST_SHARE = 12.0, 0.75
"""Seconds, and the part of the time, for a proof by one map and a remainder before squares are tried."""


def dyadic_up(value: Fraction, bits: int = 12) -> Fraction:
    """A dyadic number at or above ``value`` (>= 0) with a short mantissa: exactly a float64."""
    if value <= 0:
        return Fraction(0)
    exponent = 0
    scaled = value
    while scaled >= 2**bits:
        scaled /= 2
        exponent += 1
    while scaled < 2 ** (bits - 1):
        scaled *= 2
        exponent -= 1
    mantissa = -((-scaled.numerator) // scaled.denominator)
    return Fraction(mantissa) * Fraction(2) ** exponent


def certify(
    model: Model,
    candidate: Candidate,
    seconds: float = 60.0,
    progress: Callable[[str], None] | None = None,
) -> Certificate:
    """A certificate with a proof tree for every goal.

    Raises:
        NotProved: naming the goal that could not be proved.
        DomainError: where the model's step or the backup meets the edge of an operator's domain.
    """
    start = time.monotonic()
    draft = claim(model, candidate)
    most = degree_of(draft)
    parts: UnionProof | CellProof | SectionProof | None = None
    if draft.shield.family == CELLS:
        parts = CellProof(draft)
    elif draft.shield.family == SECTIONS:
        parts = SectionProof(draft)
    elif len(draft.shield.invariant) > 1:
        parts = UnionProof(draft)
    proofs: dict[str, Tree] = {}
    curved = candidate.notes.get("method") in (GROWN, FITTED, SEVERAL)
    for goal, sequent in goals(draft).items():
        if progress is not None:
            progress(goal)
        left = seconds - (time.monotonic() - start)
        try:
            proofs[goal] = prove_goal(goal, sequent, draft, most, left, parts, curved)
        except NotProved as error:
            raise NotProved(f"{goal}: {error}") from None
    info: dict[str, Any] = {"proof_s": round(time.monotonic() - start, 3), **candidate.notes}
    return Certificate(model, draft.shield, draft.rounding, draft.witness, proofs, info)


def claim(model: Model, candidate: Candidate) -> Certificate:
    """The certificate without its proofs."""
    derived = rounding_of(model, candidate.invariant, candidate.backup)

    def spare(values: Iterable[Fraction]) -> tuple[Fraction, ...]:
        return tuple(dyadic_up(2 * v) for v in values)

    rounding = Rounding(
        plant=dict(zip(derived.plant, spare(derived.plant.values()), strict=True)),
        backup=spare(derived.backup),
        test=tuple(map(spare, derived.test)),
        guard=dyadic_up(2 * derived.guard),
    )
    spread = _spread(model, rounding)
    margins = tuple(
        tuple(
            dyadic_up(_margin(expanded(g), model, spread, r) + r)
            for g, r in zip(part, errors, strict=True)
        )
        for part, errors in zip(candidate.invariant, rounding.test, strict=True)
    )
    shield = ShieldData(candidate.family, candidate.invariant, margins, candidate.backup)
    return Certificate(model, shield, rounding, _witness(model, candidate))


def _spread(model: Model, rounding: Rounding) -> dict[str, Fraction]:
    """How far each next coordinate may be from the nominal one: disturbance and rounding."""
    box = {n: Interval(*ends) for n, ends in model.box().items()}
    centre = {n: Num(v) for n, v in model.nominal().items()}
    result = {}
    for n, t in zip(model.state_names, model.steps, strict=True):
        atoms: dict[Term, Term] = {}
        here, there = expanded(t), expanded(assign(t, centre))
        if here == there:
            result[n] = rounding.plant[n]
            continue
        try:
            difference = add(_atomic(here, atoms), _atomic(there, atoms), Fraction(-1))
            limits: dict[str, Any] = {v: (i.lo, i.hi) for v, i in box.items()}
            for old, new in atoms.items():
                value = exact.enclose(old, box)
                assert isinstance(new, Var)
                limits[new.name] = (Fraction(value.lo), Fraction(value.hi))
            low = lower_bound(difference, limits)
            high = -lower_bound({m: -c for m, c in difference.items()}, limits)
        except (ValueError, TypeError):
            value = exact.enclose(here - there, box)
            low, high = Fraction(value.lo), Fraction(value.hi)
        result[n] = max(abs(low), abs(high)) + rounding.plant[n]
    return result


def _atomic(t: Term, atoms: dict[Term, Term]) -> Polynomial:
    """``t`` as a polynomial, whatever is none inside it as a name of its own."""
    from nprl.lang.terms import Binary, BinaryOp, Power, Unary, UnaryOp

    def walk(s: Term) -> Term:
        match s:
            case Num() | Var():
                return s
            case Unary(UnaryOp.NEG, a):
                return -walk(a)
            case Binary(BinaryOp.ADD | BinaryOp.SUB | BinaryOp.MUL as op, a, b):
                return Binary(op, walk(a), walk(b))
            case Binary(BinaryOp.DIV, a, Num() as b):
                return Binary(BinaryOp.DIV, walk(a), b)
            case Power(a, k):
                return Power(walk(a), k)
            case _:
                return atoms.setdefault(s, Var(f"f:{len(atoms)}"))

    return polynomial(walk(t))


def _margin(g: Term, model: Model, spread: dict[str, Fraction], rounding: Fraction) -> Fraction:
    """How much of ``g`` the worst disturbance and rounding can take away, bounded."""
    p = polynomial(g)
    limits = {n: ends for n, ends in model.box().items() if n in spread}
    if degree(p) <= 1:
        slopes = {n: abs(p.get(((n, 1),), Fraction(0))) for n in spread}
        return sum((slopes[n] * spread[n] for n in spread), Fraction(0)) + Fraction(1, 2**40)
    if degree(p) > 2:
        return _moved_margin(p, model, spread) + 2 * rounding
    # quadratic 1 - V: 1 - V(y + d) >= 0 follows from 1 - V(y) >= 2 sqrt(D) + D, D = max V(d)
    from nprl.shields.polynomial import names

    d = {m: c for m, c in p.items() if sum(k for _, k in m) == 2}
    limits = {n: (-spread[n], spread[n]) for n in names(d)}
    worst = -lower_bound(d, limits)
    size = Fraction(float(worst) ** 0.5).limit_denominator(10**12) + Fraction(1, 10**9)
    return 2 * size + 2 * worst + 2 * rounding + Fraction(1, 2**14)


def _moved_margin(p: Polynomial, model: Model, spread: Mapping[str, Fraction]) -> Fraction:
    """How much ``p`` can fall where each next coordinate moves by its spread, with some to spare."""
    box = {n: Interval(*ends) for n, ends in model.box().items()}
    limits = {n: (-d, d) for n, d in ((f"d:{n}", d) for n, d in spread.items())}
    moved: dict[Term, Term] = {}
    for n, t in zip(model.state_names, model.steps, strict=True):
        value = exact.enclose(expanded(t), box)
        limits[n] = (Fraction(value.lo), Fraction(value.hi))
        moved[Var(n)] = Var(n) + Var(f"d:{n}")
    there = polynomial(substitute(from_polynomial(p), moved))
    fall = -lower_bound(add(there, p, Fraction(-1)), limits)
    return 2 * max(fall, Fraction(0)) + Fraction(1, 2**40)


def _witness(model: Model, candidate: Candidate) -> dict[str, dict[str, Fraction]]:
    """Points that show that no premise is empty: the centre of the initial box, and the backup there."""
    x = {n: (low + high) / 2 for n, (low, high) in model.init.items()}
    f = compile_scalar(candidate.backup, [model.state_names])
    u = f([float(v) for v in x.values()])
    action = {
        c.name: min(max(Fraction(v).limit_denominator(10**6), c.low), c.high)
        for c, v in zip(model.action, u, strict=True)
    }
    if model.choices is not None:
        table = np.array([[float(v) for v in c] for c in model.choices])
        nearest = int(np.abs(table - np.array(u)).sum(axis=1).argmin())
        action = dict(zip(model.action_names, model.choices[nearest], strict=True))
    return {"init": x, "invariant": x, "action": action, "disturbance": model.nominal()}


def degree_of(draft: Certificate) -> int:
    """The greatest degree of a row of the invariant."""
    return max(degree(polynomial(expanded(g))) for p in draft.shield.invariant for g in p)


def prove_goal(
    goal: str,
    sequent: Sequent,
    draft: Certificate,
    most: int,
    seconds: float,
    parts: UnionProof | CellProof | SectionProof | None = None,
    curved: bool = False,
) -> Tree:
    """A tree of one goal of a claim whose rows have at most the degree ``most``.

    ``parts`` knows the parts of a set of several, and keeps what was proved of them. With ``curved``
    an ellipsoid was not found for one affine map and a remainder, and is not proved by them.

    Raises:
        NotProved: with what stopped the search.
    """
    if seconds <= 0:
        raise NotProved("the time is over")
    if isinstance(parts, CellProof | SectionProof):
        return parts.prove(goal, sequent, seconds)
    if parts is not None and goal.split("/")[0] in ("action", "backup"):
        return parts.prove(goal, sequent, seconds)
    if parts is not None and goal.startswith("test/"):
        with suppress(NotProved):
            return by_names(sequent, seconds)
    if most > 2:
        return prove_curved(goal, sequent, draft, seconds)
    if most == 2 and goal.startswith("backup") and step_proof.suits(draft):
        return _kept_ellipsoid(sequent, draft, seconds, curved)
    if most == 2 and goal.startswith("test") and step_proof.suits(draft):
        return _tested_ellipsoid(sequent, draft, seconds)
    if most == 2 and goal.startswith("backup"):
        return enclose_steps(sequent, draft, seconds)
    if most == 2 and goal.startswith("test"):
        return _tested(sequent, draft, seconds)
    if goal.split("/")[0] in ("backup", "test") and enclosed_rows.suits(draft):
        by = enclosed_rows.enclose_rows if goal.startswith("backup") else enclose_steps
        return by(sequent, draft, seconds)
    search = Search(seconds=seconds)
    return prove(sequent, search)


def _kept_ellipsoid(s: Sequent, draft: Certificate, seconds: float, curved: bool) -> Tree:
    """By an affine map and a remainder, unless ``curved``; then by polynomials and squares."""
    if curved:
        return step_proof.prove_by_squares(s, draft, seconds)
    start = time.monotonic()
    try:
        return enclose_steps(s, draft, max(FIRST_SHARE * seconds, min(seconds, SHORT)))
    except NotProved as error:
        try:
            left = seconds - (time.monotonic() - start)
            return step_proof.prove_by_squares(s, draft, left)
        except NotProved as other:
            raise NotProved(f"{error}; {other}") from None


def _tested(s: Sequent, draft: Certificate, seconds: float) -> Tree:
    """About the state and the input; else, where their ranges say too little, about the next state."""
    start = time.monotonic()
    try:
        return enclose_steps(s, draft, FIRST_SHARE * seconds)
    except NotProved:
        if draft.model.disturbance:
            raise  # it has no one next state
        return enclose_steps(s, draft, seconds - (time.monotonic() - start), every=True)


def _tested_ellipsoid(s: Sequent, draft: Certificate, seconds: float) -> Tree:
    """About the nominal next state alone; else about all that it is made of."""
    start = time.monotonic()
    try:
        return step_proof.prove_tested(s, draft, seconds)
    except NotProved:
        return enclose_steps(s, draft, seconds - (time.monotonic() - start))


__all__ = ["certify", "claim", "degree_of", "dyadic_up", "expand", "prove_goal"]
