"""A quadratic invariant of a curved step: the step as polynomials of the state, then squares.

What is no polynomial is enclosed by one (`nprl.shields.synthesis.proofs.step_view`). What the rounding of backup
and plant, products of the disturbance, and the enclosures add is bounded once for each coordinate.
What remains is a question about polynomials, for `nprl.shields.synthesis.proofs.step_squares`. Nothing here
is trusted.
"""

from __future__ import annotations

import math
import time
from fractions import Fraction

from nprl.lang.terms import Num, Term, Var, Where, replace, subterms
from nprl.shields.certificate import Certificate
from nprl.shields.goals import tolerant
from nprl.shields.leaf import Premises
from nprl.shields.polynomial import (
    Monomial,
    NotPolynomial,
    Polynomial,
    add,
    names,
    polynomial,
)
from nprl.shields.sequent import Sequent, expanded
from nprl.shields.synthesis.proofs.nonlinear import (
    extent,
    proved_cut,
    set_box,
    time_left,
    undisturbed,
)
from nprl.shields.synthesis.proofs.search import NotProved, Tree
from nprl.shields.synthesis.proofs.step_squares import Frame, Noise, step_squares, substituted
from nprl.shields.synthesis.proofs.step_view import View, enclosed, rounded
from nprl.shields.synthesis.views.quadratic import degree

MOST_STATES, FEW_STATES = 7, 4
"""Coordinates up to which squares have degree two, and three."""
LEAST_RADIUS = 2.0**-20
"""Of a coordinate's reach: less is not worth a distinction."""
LEAST_SIZE = 2.0**-10
"""Of a noise in the program for squares."""


def suits(draft: Certificate) -> bool:
    """Whether the step is curved, of few coordinates, without ``where``, and the backup affine."""
    model, shield = draft.model, draft.shield
    if len(shield.invariant) != 1 or len(shield.invariant[0]) != 1:
        return False
    if len(model.state) > MOST_STATES or model.choices is not None:
        return False
    steps = tolerant(model.steps, "plant", draft.rounding.guard)[0]
    backup = [expanded(b) for b in shield.backup]
    if any(isinstance(s, Where) for t in steps for s in subterms(t)):
        return False
    return any(_degree(t) != 1 for t in steps) and all(_degree(b) == 1 for b in backup)


def _degree(t: Term) -> int | None:
    """Of a polynomial, at least 1; None where it is none."""
    try:
        return max(degree(polynomial(t)), 1)
    except NotPolynomial:
        return None


def prove_by_squares(sequent: Sequent, draft: Certificate, seconds: float) -> Tree:
    """A proof of the kept goal of an ellipsoid.

    Raises:
        NotProved: where an enclosure or the squares are not found.
    """
    end = time.monotonic() + seconds
    model = draft.model
    most = 3 if len(model.state) <= FEW_STATES else 2
    view = View(sequent, _law(draft), model.state_names, most, end)
    inside = next(
        k for k, t in enumerate(sequent.premises) if t == expanded(draft.shield.invariant[0][0])
    )
    for name, edge in set_box(sequent, draft):
        view.cut(edge, proved_cut(view.s, edge, end, f"the box in {name}")[1])
    steps = enclosed(view, tolerant(model.steps, "plant", draft.rounding.guard)[0])
    forms: list[tuple[Polynomial, Fraction, tuple[int, int]]] = []
    wholes = [t + Var(f"e:{n}") for t, n in zip(steps, model.state_names, strict=True)]
    noise = _shift(draft, -1)
    for whole, half in zip(wholes, view.frame.half, strict=True):
        unit = float(half) * LEAST_RADIUS
        ideal = view.reduced(polynomial(whole), unit, set(noise))
        raw = substituted(ideal, noise)
        place = len(view.s.premises)
        radius = view.within(whole, raw, unit)
        forms.append((raw, radius, (place, place + 1)))
    fresh = [view.name(whole).name for whole in wholes]
    noises = _disturbances(draft, view.s, view.frame, [raw for raw, _, _ in forms])
    for name, (raw, radius, numbers), half in zip(fresh, forms, view.frame.half, strict=True):
        size = max(math.sqrt(float(radius / half)), LEAST_SIZE)
        form = add({((name, 1),): Fraction(1)}, raw, Fraction(-1))
        noises.append(Noise(name, form, radius, numbers, size))
    goal = polynomial(view.s.alternatives[0][0].term)
    row = polynomial(view.s.premises[inside])
    by = {name: raw for name, (raw, _, _) in zip(fresh, forms, strict=True)}
    found = step_squares(goal, (inside, row), by, noises, view.frame, most, time_left(end))
    if found is None:
        raise NotProved(f"no squares of degree {most} for the step")
    return view.tree(["leaf", [found]])


def prove_tested(sequent: Sequent, draft: Certificate, seconds: float) -> Tree:
    """A proof of the test's goal of an ellipsoid, about the nominal next state and what the disturbance adds.

    Raises:
        NotProved: where the disturbance is multiplied by something, or the squares are not found.
    """
    end = time.monotonic() + seconds
    model, disturbed = draft.model, set(draft.model.disturbance_names)
    view = View(sequent, {}, (), 1, end)
    steps = list(tolerant(model.steps, "plant", draft.rounding.guard)[0])
    for part in dict.fromkeys(u for t in steps for u in undisturbed(t, disturbed)):
        name = view.name(part)
        steps = [replace(t, {part: name}) for t in steps]
    centre: dict[Term, Term] = {Var(n): Num(v) for n, v in model.nominal().items()}
    nominal = [replace(t, centre) for t in steps]
    added = [
        add(polynomial(t), polynomial(c), Fraction(-1)) for t, c in zip(steps, nominal, strict=True)
    ]
    if any(names(p) - disturbed or degree(p) > 1 for p in added):
        raise NotProved("the disturbance does not merely add to the step")
    row = polynomial(expanded(draft.shield.invariant[0][0]))
    places = {f"next:{n}": n for n in model.state_names}
    now: dict[str, Polynomial] = {n: {((f"next:{n}", 1),): Fraction(1)} for n in model.state_names}
    known = Premises(view.s.premises)
    passed = {k: known.reading(k)[0] for k in range(len(view.s.premises))}
    there = substituted(row, dict(zip(model.state_names, map(polynomial, nominal), strict=True)))
    inside = next(
        (k, add(there, p, Fraction(-1)).get((), Fraction(0)))
        for k, p in passed.items()
        if p is not None and add(there, p, Fraction(-1)).keys() <= {()} and len(p) > 1
    )
    premise = add(row, {(): -inside[1]})
    middle, spread = extent(row, model.state_names)
    half = [Fraction(2) ** round(math.log2(math.sqrt(spread[i, i]))) for i in range(len(middle))]
    near = [rounded(float(c), float(h) * 2.0**-10) for c, h in zip(middle, half, strict=True)]
    frame = Frame(model.state_names, tuple(near), tuple(half))
    by = {
        new: add({((n, 1),): Fraction(1)}, p)
        for (new, n), p in zip(places.items(), added, strict=True)
    }
    noises = _disturbances(draft, view.s, frame, list(by.values()))
    for new, n in places.items():
        radius = draft.rounding.plant[n]
        own: Monomial = ((f"e:{n}", 1),)
        sides = {
            sign: next(k for k, p in passed.items() if p == {own: Fraction(sign), (): radius})
            for sign in (1, -1)
        }
        noises.append(Noise(new, {own: Fraction(1)}, radius, (sides[1], sides[-1]), LEAST_SIZE))
    meaning: dict[Term, Term] = {Var(n): t for n, t in zip(model.state_names, nominal, strict=True)}
    left = time_left(end)
    goal = substituted(row, now)
    found = step_squares(goal, (inside[0], premise), by, noises, frame, 1, left, meaning)
    if found is None:
        raise NotProved("no squares for what the disturbance adds")
    return view.tree(["leaf", [found]])


def _law(draft: Certificate) -> dict[str, Polynomial]:
    """What inputs and disturbances are: the backup plus its rounding, the middle plus the rest.

    The rounding and the rest go by the names of the input and of the disturbance.
    """
    result = _shift(draft, 1)
    for c, b in zip(draft.model.action, draft.shield.backup, strict=True):
        result[c.name] = add(polynomial(expanded(b)), {((c.name, 1),): Fraction(1)})
    return result


def _shift(draft: Certificate, sign: int) -> dict[str, Polynomial]:
    """The disturbance more (less) than its middle."""
    result: dict[str, Polynomial] = {}
    for c in draft.model.disturbance:
        middle = (c.low + c.high) / 2 * sign
        result[c.name] = {m: v for m, v in ((((c.name, 1),), Fraction(1)), ((), middle)) if v}
    return result


def _disturbances(
    draft: Certificate, s: Sequent, frame: Frame, steps: list[Polynomial]
) -> list[Noise]:
    """Those of some width, with the premises that bound them."""
    stated = Premises(s.premises)
    result = []
    for c in draft.model.disturbance:
        radius = (c.high - c.low) / 2
        if not radius:
            continue
        sides: dict[int, int] = {}
        for k in range(len(s.premises)):
            p, found = stated.reading(k)
            if p is None or found not in ((c.name, 1, c.low), (c.name, -1, c.high)):
                continue
            if abs(p[((c.name, 1),)]) == 1:
                sides[found[1]] = k
        own: Monomial = ((c.name, 1),)
        form = add({own: Fraction(1)}, {(): -(c.low + c.high) / 2})
        moved = max(
            float(abs(p.get(own, Fraction(0))) * radius / h)
            for p, h in zip(steps, frame.half, strict=True)
        )
        size = min(max(math.sqrt(moved), LEAST_SIZE), 1.0)
        result.append(Noise(c.name, form, radius, (sides[1], sides[-1]), size))
    return result


__all__ = ["prove_by_squares", "prove_tested", "suits"]
