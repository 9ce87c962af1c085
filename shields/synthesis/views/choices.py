"""Finitely many actions, as a box of requests that the nearest choice answers, with a bounded error.

A controller asks for v in a box; what is applied is the choice u nearest to v, and ``q = u - v``
lies in a box of its own. So every set that is kept for all requests' errors q, chosen by an
adversary, is kept by the choices, and the methods for boxes of inputs apply. Requests may lie
beyond the outermost choices by as much as the error between choices: with the actions -10 and 10
they reach from -20 to 20, and ``|q| <= 10``.

The backup is then "the choice nearest to an affine request": a ``where`` over the state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise, product

import numpy as np

from nprl.lang.build import all_of, where
from nprl.lang.terms import Clip, Num, Term, Var
from nprl.lang.terms import replace as substitute
from nprl.model import Coordinate, Model
from nprl.shields.polynomial import NotPolynomial, polynomial
from nprl.shields.synthesis.views.polytope import affine_term

SHRUNK = (Fraction(1), Fraction(3, 4), Fraction(1, 2), Fraction(1, 4))
"""The parts of the choices' bounding box that are tried as requests, where they are no grid."""
PER_AXIS = 33
MOST_POINTS = 40_000
NEAR = 0.02
"""Choices that are farther by so much (in the box's squared widths) than the nearest may be it at points between."""


@dataclass(frozen=True, slots=True)
class Requests:
    """The box of requests, and bounds on ``|u - v|`` for the choice u nearest to a request v; one per input."""

    low: tuple[Fraction, ...]
    high: tuple[Fraction, ...]
    error: tuple[Fraction, ...]


def levels(model: Model) -> list[list[Fraction]] | None:
    """The values of each input, ascending, if the choices are all their combinations; else None."""
    assert model.choices is not None
    values = [sorted({c[j] for c in model.choices}) for j in range(len(model.action))]
    return values if set(product(*values)) == set(model.choices) else None


def requests(model: Model) -> list[Requests]:
    """Boxes of requests to try: one for a grid of choices, several sizes for other sets."""
    grid = levels(model)
    if grid is None:
        return [_around(model, part) for part in SHRUNK]
    gaps = [max((b - a for a, b in pairwise(v)), default=Fraction(0)) for v in grid]
    return [
        Requests(
            tuple(v[0] - g / 2 for v, g in zip(grid, gaps, strict=True)),
            tuple(v[-1] + g / 2 for v, g in zip(grid, gaps, strict=True)),
            tuple(g / 2 for g in gaps),
        )
    ]


def _around(model: Model, part: Fraction) -> Requests:
    """A part of the choices' bounding box, with the errors seen at many points of it."""
    low, high = _bounding(model)
    middle = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
    half = [(b - a) / 2 * part for a, b in zip(low, high, strict=True)]
    m = len(middle)
    rng = np.random.default_rng(0)
    if PER_AXIS**m <= MOST_POINTS:
        points = np.array(list(product(np.linspace(-1, 1, PER_AXIS), repeat=m)))
    else:
        points = np.vstack([rng.uniform(-1, 1, (MOST_POINTS, m)), np.eye(m), -np.eye(m)])
    v = np.array([float(c) for c in middle]) + points * np.array([float(h) for h in half])
    size = np.array([float(b - a) or 1.0 for a, b in zip(low, high, strict=True)])
    table = np.array([[float(c) for c in u] for u in model.choices or ()])
    away = (((v[:, None] - table) / size) ** 2).sum(axis=2)
    close = away <= away.min(axis=1, keepdims=True) + NEAR
    off = np.abs(v[:, None] - table) * close[:, :, None]
    error = off.max(axis=(0, 1))
    return Requests(
        tuple(c - h for c, h in zip(middle, half, strict=True)),
        tuple(c + h for c, h in zip(middle, half, strict=True)),
        tuple(Fraction(float(e)).limit_denominator(10**6) for e in error),
    )


def _bounding(model: Model) -> tuple[list[Fraction], list[Fraction]]:
    columns = list(zip(*(model.choices or ()), strict=True))
    return [min(c) for c in columns], [max(c) for c in columns]


def relaxed(model: Model, asked: Requests) -> Model:
    """The model whose inputs are the requests, the errors of the answers among its disturbances."""
    known = {*model.state_names, *model.action_names, *model.disturbance_names}
    action: list[Coordinate] = []
    errors: list[Coordinate] = []
    at: dict[Term, Term] = {}
    for c, low, high, error in zip(model.action, asked.low, asked.high, asked.error, strict=True):
        spare = Fraction(0) if low < high else Fraction(1, 2**20)  # one choice only
        action.append(Coordinate(c.name, c.unit, low - spare, high + spare))
        name = f"error_{len(errors)}"
        while name in known:
            name += "_"
        errors.append(Coordinate(name, c.unit, -error - spare, error + spare))
        at[Var(c.name)] = Var(c.name) + Var(name)
    return replace(
        model,
        action=tuple(action),
        choices=None,
        disturbance=(*model.disturbance, *errors),
        step={n: substitute(t, at) for n, t in zip(model.state_names, model.steps, strict=True)},
    )


def boxed(model: Model) -> Model:
    """The model whose inputs are the whole bounding box of the choices."""
    low, high = _bounding(model)
    spare = [Fraction(0) if a < b else Fraction(1, 2**20) for a, b in zip(low, high, strict=True)]
    action = tuple(
        replace(c, low=a - s, high=b + s)
        for c, a, b, s in zip(model.action, low, high, spare, strict=True)
    )
    return replace(model, action=action, choices=None)


def answer(model: Model, request: Sequence[Term]) -> tuple[Term, ...]:
    """The choice nearest to a request over the state: one term for each input.

    Where two are equally near, the greater value of a grid, else the first in the model's order.
    """
    assert model.choices is not None
    asked = [r.arg if isinstance(r, Clip) else r for r in request]  # the ends answer what is beyond
    grid = levels(model)
    if grid is not None:
        return tuple(_step(v, r) for v, r in zip(grid, asked, strict=True))
    low, high = _bounding(model)
    weight = [1 / (b - a) ** 2 if a < b else Fraction(1) for a, b in zip(low, high, strict=True)]

    def nearness(c: Sequence[Fraction]) -> Term:
        """Half of ``|v|^2 - |v - c|^2``, in the weights."""
        total: Term = Num(
            -sum((w * v * v / 2 for w, v in zip(weight, c, strict=True)), Fraction(0))
        )
        for w, v, r in zip(weight, c, asked, strict=True):
            total = total + w * v * r if v else total
        return total

    result: tuple[Term, ...] = tuple(Num(v) for v in model.choices[-1])
    for k in range(len(model.choices) - 2, -1, -1):
        own = nearness(model.choices[k])
        condition = all_of(*(_affine(own - nearness(c)) >= 0 for c in model.choices[k + 1 :]))
        result = tuple(
            where(condition, v, other) for v, other in zip(model.choices[k], result, strict=True)
        )
    return result


def _step(values: Sequence[Fraction], request: Term) -> Term:
    """The value nearest to a request, by halving."""
    if len(values) == 1:
        return Num(values[0])
    k = len(values) // 2
    edge = (values[k - 1] + values[k]) / 2
    condition = _affine(request - edge) >= 0
    return where(condition, _step(values[k:], request), _step(values[:k], request))


def _affine(t: Term) -> Term:
    """``t`` in few nodes, if it is affine."""
    try:
        p = polynomial(t)
    except NotPolynomial:
        return t
    if any(sum(k for _, k in m) > 1 for m in p):
        return t
    return affine_term([(c, m[0][0]) for m, c in p.items() if m], p.get((), Fraction(0)))
