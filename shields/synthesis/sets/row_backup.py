"""The backup of a polytope for one input where no single gain keeps it: the least input that every row allows.

Each row of the polytope that the input can raise gives a lower bound ``l_i(x)`` of the input, read
off the model's own step at input 0; the backup is ``clip(max(l_1, ..., l_p), low, high)``. Only the
bounds that are ever the greatest are written down.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import numpy as np

from nprl.lang.build import clip, maximum
from nprl.lang.terms import Binary, BinaryOp, Num, Power, Term, Unary, UnaryOp, Var, replace
from nprl.shields.polynomial import Monomial, NotPolynomial, Polynomial, add, polynomial
from nprl.shields.synthesis.sets.gain import LEAST, Responses
from nprl.shields.synthesis.views.numeric import Array, values
from nprl.shields.synthesis.views.polytope import BITS, Polytope, nearest
from nprl.shields.synthesis.views.problem import Problem

MARGINS = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 5e-5, 2e-5, 1e-5, LEAST)


def row_backup(problem: Problem, polytope: Polytope, seen: Responses) -> tuple[Term, ...] | None:
    """The backup that keeps each row by a margin wherever some input does; None where none does.

    It takes one input that enters every row with a constant factor.
    """
    if problem.m != 1 or np.abs(seen.beta - seen.beta[0]).max() > 1e-9:
        return None
    alpha, beta = seen.alpha, seen.beta[0, :, 0]
    raising = np.flatnonzero(beta < -1e-9)  # rows that a greater input raises
    low, high = float(problem.u_low[0]), float(problem.u_high[0])
    best = _bounds(alpha, beta, low, high)
    for margin in MARGINS:
        least = np.full(len(alpha), low)
        for i in raising:
            least = np.maximum(least, (margin - alpha[:, i]) / -beta[i])
        if (least <= high).all() and seen.margin(least[:, None]).min() >= min(margin, best / 2):
            break
    else:
        return None
    active = [
        int(i)
        for i in raising
        if ((margin - alpha[:, i]) / -beta[i] > least - 1e-6 * (high - low)).any()
        and ((margin - alpha[:, i]) / -beta[i]).max() > low
    ]
    coordinate = problem.model.action[0]
    if not active:
        return (Num(coordinate.low),)
    try:
        terms = [
            _bound(problem, polytope, seen, i, margin)
            for i in _cover(seen, active, margin, least, low)
        ]
    except NotPolynomial:
        return None
    return (clip(maximum(*terms), coordinate.low, coordinate.high),)


def _bounds(alpha: Array, beta: Array, low: float, high: float) -> float:
    """The least margin over all points under the best constant choice among many inputs."""
    inputs = np.linspace(low, high, 257)
    return float(np.max([(alpha - beta * u).min(axis=1) for u in inputs], axis=0).min())


def _cover(
    seen: Responses, active: list[int], margin: float, least: Array, low: float
) -> list[int]:
    """Few of the bounds that, at every point, keep all rows by half the margin."""
    chosen = list(active)
    for i in active:
        rest = [j for j in chosen if j != i]
        u = np.full(len(least), low)
        for j in rest:
            u = np.maximum(u, (margin - seen.alpha[:, j]) / -seen.beta[0, j, 0])
        if rest and seen.margin(u[:, None]).min() >= margin / 2:
            chosen = rest
    return chosen


def _bound(problem: Problem, polytope: Polytope, seen: Responses, i: int, margin: float) -> Term:
    """The least input with which row i has the margin, as a term in short numbers."""
    model = problem.model
    at: dict[Term, Term] = {Var(n): Num(v) for n, v in model.nominal().items()}
    at[Var(model.action_names[0])] = Num(Fraction(0))
    h, _ = polytope.rows[i]
    named: dict[Term, str] = {}
    total: Polynomial = {}
    for factor, step in zip(h, model.steps, strict=True):
        if factor:
            total = add(total, polynomial(_abstract(replace(step, at), named)), factor)
    back = {name: t for t, name in named.items()}
    reach = float(problem.u_high[0] - problem.u_low[0])
    weight = -1.0 / float(seen.beta[0, i, 0] * seen.scale[i])
    t = _term({m: c for m, c in total.items() if m}, total.get((), Fraction(0)), back)
    nominal = values([t], model.state_names, seen.x)[:, 0]
    goal = (margin - seen.alpha[:, i]) / -seen.beta[0, i, 0]  # the disturbance at its worst
    shift = float((goal - weight * nominal).max()) + weight * float(total.get((), Fraction(0)))
    exact = {m: nearest(float(c) * weight, reach * float(BITS)) for m, c in total.items() if m}
    return _term(exact, nearest(shift + reach * 1e-6, reach * float(BITS)), back)


def _abstract(t: Term, named: dict[Term, str]) -> Term:
    """``t`` with each greatest part that is no polynomial named."""
    match t:
        case Num() | Var():
            return t
        case Unary(UnaryOp.NEG, arg):
            return -_abstract(arg, named)
        case Binary(BinaryOp.ADD | BinaryOp.SUB | BinaryOp.MUL as op, left, right):
            return Binary(op, _abstract(left, named), _abstract(right, named))
        case Binary(BinaryOp.DIV, left, Num(value)) if value:
            return _abstract(left, named) / value
        case Power(base, exponent):
            return _abstract(base, named) ** exponent
        case _:
            return Var(named.setdefault(t, f"part:{len(named)}"))


def _term(p: Mapping[Monomial, Fraction], constant: Fraction, back: Mapping[str, Term]) -> Term:
    """The polynomial as a term, its named parts put back."""
    total: Term | None = None
    for monomial, c in sorted(p.items(), key=lambda item: (item[1] < 0, str(item[0]))):
        if not c:
            continue
        product: Term | None = None
        for name, power in monomial:
            factor = back.get(name, None) or Var(name)
            factor = factor if power == 1 else factor**power
            product = factor if product is None else product * factor
        assert product is not None
        size = product if abs(c) == 1 else abs(c) * product
        if total is None:
            total = size if c > 0 else -size if abs(c) == 1 else c * product
        else:
            total = total + size if c > 0 else total - size
    if total is None:
        return Num(constant)
    if not constant:
        return total
    return total + constant if constant > 0 else total - (-constant)
