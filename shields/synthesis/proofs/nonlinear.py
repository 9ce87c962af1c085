"""Quadratic invariants of nonlinear systems: the step as a linear map and a bounded remainder.

For each coordinate whose next value is no polynomial of degree one, two cuts say that it stays
within a constant of its linearisation on the set's box; then it gets a name, and what remains is
quadratic.
"""

from __future__ import annotations

import math
import time
from fractions import Fraction

import numpy as np

from nprl.lang.ranges import Interval
from nprl.lang.serial import to_json
from nprl.lang.terms import Binary, BinaryOp, Num, Term, Unary, UnaryOp, Var, children, variables
from nprl.shields.certificate import Certificate
from nprl.shields.goals import tolerant
from nprl.shields.leaf import Premises
from nprl.shields.polynomial import NotPolynomial, Polynomial, polynomial
from nprl.shields.sequent import Sequent, expand, expanded
from nprl.shields.synthesis.proofs.functions import affine_fit
from nprl.shields.synthesis.proofs.prove import prove
from nprl.shields.synthesis.proofs.search import NotProved, Search, Tree, seconds_left
from nprl.shields.synthesis.views.numeric import Array
from nprl.shields.synthesis.views.quadratic import concave_form, degree

SPARE = (1.2, 1.6, 2.5, 4.0)
"""How much more than the sampled remainder is claimed, in this order."""
MAX_SPLITS = 12


def enclose_steps(
    sequent: Sequent, draft: Certificate, seconds: float, every: bool = False
) -> Tree:
    """A proof of a kept or test goal of a quadratic invariant.

    With ``every`` affine steps have names, too: a test's goal is then about these alone.

    Raises:
        NotProved: where a bound on the remainder, or the quadratic rest, is not found.
    """
    end = time.monotonic() + seconds
    model = draft.model
    terms = []
    for t in tolerant(model.steps, "plant", draft.rounding.guard)[0]:
        try:
            if degree(polynomial(t)) <= 1 and not every:
                continue
        except NotPolynomial:
            pass
        terms.append(t)
    s = sequent
    cuts: list[tuple[Term, Tree]] = []
    kept = set_box(s, draft)
    if not kept:  # the test's goal: the premises speak of the same steps, so their names are enough
        noise = set(model.disturbance_names)
        whole = [t for t in terms if every and not variables(t) & noise]
        terms = whole + [u for t in terms if t not in whole for u in undisturbed(t, noise)]
    for name, edge in kept if terms else ():
        s, tree = proved_cut(s, edge, end, f"the box in {name}")
        cuts.append((edge, tree))
    for name, edge in input_box(s, draft) if kept and terms else ():
        try:  # a smaller box makes a smaller remainder, but the inputs' own may do
            s, tree = proved_cut(s, edge, end, f"the box in {name}")
        except NotProved:
            break
        cuts.append((edge, tree))
    for t in terms if kept else ():
        for lemma, tree in _remainder(t, s, end):
            s = s.given(lemma)
            cuts.append((lemma, tree))
    heads: list[Tree] = []
    for t in terms:
        head: Tree = ["name", to_json(t)]
        s = expand([*head, None], s)[0]
        heads.append(head)
    result = prove(s, Search(seconds=time_left(end)))
    for head in reversed(heads):
        result = [*head, result]
    for lemma, tree in reversed(cuts):
        result = ["cut", to_json(lemma), tree, result]
    return result


def time_left(end: float) -> float:
    """Seconds until the end.

    Raises:
        NotProved: where there are none.
    """
    left = seconds_left(end)
    return left


def curved_parts(t: Term) -> list[Term]:
    """The parts of a term that are not affine; the term is an affine form of them and of variables."""
    try:
        if degree(polynomial(t)) <= 1:
            return []
    except NotPolynomial:
        pass
    match t:
        case Binary(BinaryOp.ADD | BinaryOp.SUB, a, b):
            return [*curved_parts(a), *curved_parts(b)]
        case Unary(UnaryOp.NEG, a):
            return curved_parts(a)
        case Binary(BinaryOp.MUL, Num(), a) | Binary(BinaryOp.MUL | BinaryOp.DIV, a, Num()):
            return curved_parts(a)
        case _:
            return [t]


def undisturbed(t: Term, disturbance: set[str]) -> list[Term]:
    """The largest parts of a step that are not affine and hold no disturbance."""
    try:
        if degree(polynomial(t)) <= 1:
            return []
    except NotPolynomial:
        pass
    if not variables(t) & disturbance:
        return [t]
    return [u for c in children(t) if isinstance(c, Term) for u in undisturbed(c, disturbance)]


def proved_cut(s: Sequent, lemma: Term, end: float, what: str) -> tuple[Sequent, Tree]:
    """The sequent with a lemma that is proved from it, and the proof.

    Raises:
        NotProved: saying what the lemma is, in the words of ``what``.
    """
    try:
        tree = prove(s.concluding(lemma), Search(seconds=time_left(end), scan=False))
    except NotProved as error:
        raise NotProved(f"{what}: {error}") from None
    return s.given(lemma), tree


def set_box(s: Sequent, draft: Certificate) -> list[tuple[str, Term]]:
    """Bounds of the set, tighter than the model's ranges: from the quadratic row itself."""
    p = _row(s, draft)
    if p is None:
        return []
    names = draft.model.state_names
    centre, spread = extent(p, names)
    half = np.sqrt(np.diag(spread))
    return [e for n, c, h in zip(names, centre, half, strict=True) for e in _edges(n, Var(n), c, h)]


def input_box(s: Sequent, draft: Certificate) -> list[tuple[str, Term]]:
    """Bounds of the inputs that an affine backup chooses on the set, where they are tighter than U."""
    p = _row(s, draft)
    result: list[tuple[str, Term]] = []
    if p is None:
        return result
    names = draft.model.state_names
    centre, spread = extent(p, names)
    for c, b in zip(draft.model.action, draft.shield.backup, strict=True):
        try:
            law = polynomial(expanded(b))
        except NotPolynomial:
            continue
        if degree(law) > 1:
            continue
        slope = np.array([float(law.get(((n, 1),), 0)) for n in names])
        middle = float(law.get((), 0)) + float(slope @ centre)
        half = float(np.sqrt(slope @ spread @ slope))
        if 0 < 1.02 * half < float(c.high - c.low) / 2:
            result += _edges(
                c.name, expanded(b), middle, half
            )  # first of the law, then of the input
            result += _edges(c.name, Var(c.name), middle, half * 1.002)
    return result


def _row(s: Sequent, draft: Certificate) -> Polynomial | None:
    """The quadratic row among the premises, if the state's is."""
    row = expanded(draft.shield.invariant[0][0])
    return polynomial(row) if row in s.premises else None


def _edges(name: str, t: Term, centre: float, half: float) -> list[tuple[str, Term]]:
    """Both bounds of a term that stands for a coordinate, in short numbers, a little outside."""
    unit = 2.0 ** round(math.log2(half) - 13)
    top = Fraction(round((centre + 1.01 * half) / unit)) * Fraction(unit)
    bottom = Fraction(round((centre - 1.01 * half) / unit)) * Fraction(unit)
    return [(name, Num(top) - t), (name, t - Num(bottom))]


def extent(p: Polynomial, names: tuple[str, ...]) -> tuple[Array, Array]:
    """Centre (n,) and spread (n, n) of the ellipsoid p >= 0: ``(x - centre)' spread^-1 (x - centre) <= 1``."""
    q, b, c0 = concave_form(p, names)
    inverse = np.linalg.inv(q)
    centre = inverse @ b / 2
    level = c0 + float(centre @ q @ centre)
    return centre, np.asarray(inverse * level, dtype=np.float64)


def _remainder(t: Term, s: Sequent, end: float) -> list[tuple[Term, Tree]]:
    """``R - (t - affine) >= 0`` and ``R + (t - affine) >= 0``, for the first R that is proved quickly."""
    box = Premises(s.premises).box()
    unbounded = variables(t) - box.keys()
    if unbounded:
        raise NotProved(f"the remainder of {str(t)[:40]}: no bounds for {min(unbounded)}")
    at = {n: Interval(*box[n]) for n in variables(t)}
    problem = ""
    for spare in SPARE:
        affine, bound = affine_fit(t, at, spare)
        lemmas = (bound - (t - affine), bound + (t - affine))
        splits = MAX_SPLITS if spare == SPARE[-1] else 0
        result, now = [], s
        try:
            for lemma in lemmas:
                search = Search(seconds=time_left(end), max_depth=splits, scan=False)
                result.append((lemma, prove(now.concluding(lemma), search)))
                now = now.given(lemma)
        except NotProved as error:
            problem = str(error)
            continue
        return result
    raise NotProved(f"the remainder of {str(t)[:40]}: {problem}")
