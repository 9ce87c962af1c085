"""Functions and quotients in a sequent: named, bounded by cuts, and gone.

Sine, cosine, root and pi get their bounds by a rule; a quotient is compared with an affine form,
and its denominator multiplied away.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any

import numpy as np

from nprl.lang import exact
from nprl.lang.floats import compile_batch
from nprl.lang.ranges import Interval
from nprl.lang.serial import to_json
from nprl.lang.terms import (
    Binary,
    BinaryOp,
    Num,
    Pi,
    Term,
    Unary,
    UnaryOp,
    Var,
    Where,
    subterms,
    variables,
)
from nprl.shields.sequent import MAX_ORDER, Sequent, expand
from nprl.shields.synthesis.proofs import smooth, waves
from nprl.shields.synthesis.proofs.cleared import clear_name
from nprl.shields.synthesis.proofs.search import NotProved, Search, Tree, box_of, outward

FUNCTIONS = (UnaryOp.SIN, UnaryOp.COS, *smooth.SMOOTH)
SAMPLES = 10_000
TAYLOR_ERROR = Fraction(1, 10**7)


def innermost_functions(t: Term) -> Iterator[Term]:
    """The functions and quotients in ``t`` whose arguments hold none."""
    for s in subterms(t):
        match s:
            case Pi():
                yield s
            case Unary(op, a) if op in FUNCTIONS and not _has_functions(a):
                yield s
            case Binary(BinaryOp.DIV, n, d) if not isinstance(d, Num):
                if not _has_functions(n) and not _has_functions(d):
                    yield s
            case _:
                pass


def innermost_pieces(t: Term) -> Iterator[Term]:
    """The abs, min and max in ``t`` whose arguments hold no function, quotient or piece."""
    for s in subterms(t):
        match s:
            case Unary(UnaryOp.ABS, a) if not _has_functions(a):
                yield s
            case Binary(BinaryOp.MIN | BinaryOp.MAX, a, b):
                if not _has_functions(a) and not _has_functions(b):
                    yield s
            case _:
                pass


def _has_functions(t: Term) -> bool:
    return any(
        isinstance(s, Pi)
        or (isinstance(s, Unary) and s.op is not UnaryOp.NEG)
        or (isinstance(s, Binary) and s.op in (BinaryOp.MIN, BinaryOp.MAX))
        or (isinstance(s, Binary) and s.op is BinaryOp.DIV and not isinstance(s.right, Num))
        or isinstance(s, Where)
        for s in subterms(t)
    )


def eliminate(t: Term, s: Sequent, search: Search, depth: int) -> Tree:
    """Name a function, state what is known of it, and bound the name by cuts."""
    box = box_of(s, search)
    at = {v: Interval(low, high) for v, (low, high) in box.items()}
    match t:
        case Pi():
            node: Tree = ["function", to_json(t), 1]
            return [*node, search.close(expand([*node, None], s)[0], search, depth)]
        case Unary(UnaryOp.SIN | UnaryOp.COS, a):
            order = taylor_order(a, at)
            near = waves.near_wave(t, s, search, order)
            if near is not None:
                leaves = search.leaves
                with suppress(
                    NotProved
                ):  # where the polynomial is too far off, Taylor's sum may do
                    return waves.eliminate_wave(t, near, s, search, depth)
                search.leaves = leaves
            node = ["function", to_json(t), order]
            after = expand([*node, None], s)[0]
            return [*node, _bounded(t, at, s, after, search, depth)]
        case _ if (argument := smooth.argument(t)) is not None and _inside(t, argument, at, search):
            return smooth.eliminate_smooth(t, argument, s, search, depth)
        case Unary(UnaryOp.SQRT, a):
            node = ["root", to_json(t)]
            inside, after = expand([*node, None, None], s)
            proof = search.lemma(inside, depth)
            return [*node, proof, _bounded(t, at, s, after, search, depth)]
        case Binary(BinaryOp.DIV, _, d):
            sign = "+" if exact.enclose(d, at).hi > 0 else "-"
            node = ["divide", to_json(t), sign]
            positive, after = expand([*node, None, None], s)
            proof = search.lemma(positive, depth)
            return [*node, proof, _bounded(t, at, s, after, search, depth)]
        case _:
            raise NotProved(f"no rule for {str(t)[:60]}")


def _inside(t: Term, a: Term, at: dict[str, Interval], search: Search) -> bool:
    """Whether a polynomial is to be near: for a root or a quotient, away from 0, where the rule alone did not do."""
    if search.near == math.inf and not (isinstance(t, Unary) and t.op is not UnaryOp.SQRT):
        return False
    match t:
        case Unary(UnaryOp.SQRT):
            return variables(a) <= at.keys() and exact.enclose(a, at).lo > 0
        case Binary(_, _, d):
            return variables(d) <= at.keys() and not exact.enclose(d, at).contains(0)
        case _:
            return True


def taylor_order(a: Term, at: dict[str, Interval]) -> int:
    """The Taylor order that makes the remainder small for the argument ``a`` on a box."""
    size = _magnitude(a, at)
    rest, k = Fraction(1), 0
    while k < MAX_ORDER and (k == 0 or rest > TAYLOR_ERROR):
        k += 1
        rest *= size * size / ((2 * k - 1) * (2 * k))
    return k


def _magnitude(t: Term, at: dict[str, Interval]) -> Fraction:
    try:
        value = exact.enclose(t, at)
    except KeyError as error:
        raise NotProved(f"{t}: no bounds for {error}") from None
    ends: list[Any] = [abs(value.lo), abs(value.hi)]
    size = max(ends)
    if not isinstance(size, Fraction):
        raise NotProved(f"{t} is not bounded")
    return size


def _bounded(
    t: Term,
    at: dict[str, Interval],
    before: Sequent,
    after: Sequent,
    search: Search,
    depth: int,
) -> Tree:
    """Cuts that bound the fresh name, then the rest of the proof."""
    name = Var(f"a:{before.names}")
    cuts: list[tuple[Term, Tree]] = []
    s = after
    value = exact.enclose(t, at)
    if isinstance(t, Binary):
        fitted = _quotient_cuts(t, name, at, s, search, depth)
        if fitted is not None:
            form, radius, cuts = fitted
            s = s.given(*(lemma for lemma, _ in cuts))
            around = exact.enclose(form, at)
            value = Interval(around.lo - radius, around.hi + radius)
    slack = Fraction(min(1, value.hi - value.lo) + Fraction(1, 2**12)) / 2**10
    for bound, upper in ((value.lo, False), (value.hi, True)):
        if not isinstance(bound, Fraction):
            continue
        edge = Num(outward(bound, upper, slack))
        lemma = edge - name if upper else name - edge
        try:
            cuts.append((lemma, search.lemma(s.concluding(lemma), depth)))
        except NotProved:
            continue
        s = s.given(lemma)
    tree = search.close(s, search, depth)
    for lemma, proof in reversed(cuts):
        tree = ["cut", to_json(lemma), proof, tree]
    return tree


def _quotient_cuts(
    t: Binary, name: Var, at: dict[str, Interval], s: Sequent, search: Search, depth: int
) -> tuple[Term, Fraction, list[tuple[Term, Tree]]] | None:
    """An affine form near a quotient, its distance, and the two cuts that say so."""
    for spare in (1.2, 1.6, 2.5, 4.0):
        form, radius = affine_fit(t, at, spare)
        cuts: list[tuple[Term, Tree]] = []
        now = s
        for lemma in (radius - (name - form), radius + (name - form)):
            proof = clear_name(now.concluding(lemma), name, search)
            if proof is None:
                break
            cuts.append((lemma, proof))
            now = now.given(lemma)
        else:
            return form, radius.value, cuts
    return None


def affine_fit(t: Term, at: dict[str, Interval], spare: float = 1.2) -> tuple[Term, Num]:
    """An affine form near ``t`` on a box, and a number that the distance should stay below.

    By least squares at random points and corners; the number is the distance found there, times
    ``spare``: a guess, to be proved.
    """
    used = sorted(v for v in variables(t) if v in at)
    rng = np.random.default_rng(0)
    low = np.array([float(at[v].lo) for v in used])
    high = np.array([float(at[v].hi) for v in used])
    inner = low + (high - low) * rng.random((SAMPLES, len(used)))
    corners = np.where(rng.integers(0, 2, (SAMPLES // 2, len(used))) == 1, high, low)
    x = np.vstack([inner, corners])
    y = np.asarray(compile_batch([t], [used])(x)[0])
    design = np.hstack([x, np.ones((len(x), 1))])
    slopes = np.linalg.lstsq(design, y, rcond=None)[0]
    reach = np.append(np.maximum(np.abs(low), np.abs(high)), 1.0)
    rest = y - design @ slopes
    step = max(float(rest.max() - rest.min()), 1e-6) / 64 / len(reach)
    slopes = np.array(
        [float(_short(v, step / max(r, 1e-9))) for v, r in zip(slopes, reach, strict=True)]
    )
    rest = y - design @ slopes
    form: Term = Num(_short(slopes[-1] + float(rest.max() + rest.min()) / 2, step))
    for v, slope in zip(used, slopes[:-1], strict=True):
        if slope:
            form = form + Num(Fraction(slope)) * Var(v)
    radius = spare * float(rest.max() - rest.min()) / 2 + step + 1e-6
    return form, Num(_short(radius, step))


def _short(value: float, error: float) -> Fraction:
    """A number of few binary digits, at most ``error`` away."""
    unit = Fraction(2) ** math.frexp(error)[1]
    return round(Fraction(value) / unit) * unit
