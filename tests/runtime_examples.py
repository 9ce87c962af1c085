"""Small systems with shields made by hand, checked by eye: for tests of what runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from nprl.lang.build import clip
from nprl.lang.interval import above
from nprl.lang.terms import Num, Term, Var
from nprl.model import Arithmetic, Coordinate, Model
from nprl.shields.certificate import Certificate, ShieldData
from nprl.shields.goals import rounding_of

X, Y, U, V, W = (Var(n) for n in ("x", "y", "u", "v", "w"))
F = Fraction


def box_model(*, inputs: int = 1, choices: bool = False, scaled: bool = True) -> Model:
    """A stable pair that strong inputs throw out of |x| <= 1, |y| <= 1, with a disturbance on x.

    Under the backup ``u = -x / 3``: ``x' = 2/5 x + w``, so the box is kept with room.
    """
    actions = [Coordinate("u", "N", F(-4), F(4))]
    step_y = F(1, 2) * Y + F(1, 5) * X
    if inputs == 2:
        actions.append(Coordinate("v", "N", F(-3), F(3)))
        step_y = step_y + F(3, 10) * V
    return Model(
        name="test/Box-v0",
        state=(Coordinate("x", "m", F(-2), F(2)), Coordinate("y", "m", F(-2), F(2))),
        action=tuple(actions),
        choices=tuple((F(c),) for c in (-4, -1, 0, 1, 4)) if choices else None,
        disturbance=(Coordinate("w", "m", F(-1, 10), F(1, 10)),),
        step={X: F(1, 2) * X + F(3, 10) * U + W, Y: step_y},
        init={X: (F(-1, 2), F(1, 2)), Y: (F(-1, 2), F(1, 2))},
        safe=(X >= -1) & (X <= 1) & (Y >= -1) & (Y <= 1),
        reward=-(X**2),
        unsafe_reward=F(-10),
        horizon=50,
        arithmetic=Arithmetic(scaled=scaled),
    )


def box_certificate(**options) -> Certificate:
    """The box |x| <= 1, |y| <= 1 with the backup above; right, but without proofs."""
    model = box_model(**options)
    rows = [F(1) - X, F(1) + X, F(1) - Y, F(1) + Y]
    backup: list[Term] = [-(X / 3)] if model.choices is None else [F(0) * X]
    backup += [F(0) * X] * (len(model.action) - 1)
    spread = [F(1, 10), F(1, 10), F(0), F(0)]
    return by_hand(model, [rows], backup, [spread])


def ellipse_certificate() -> Certificate:
    """The disc x^2 + y^2 <= 1 as one quadratic row (test's margin chosen by eye, wide)."""
    model = box_model()
    return by_hand(model, [[F(1) - X**2 - Y**2]], [-(X / 3)], [[F(1, 4)]])


def union_certificate() -> Certificate:
    """The box as two overlapping halves, of which each alone is a part."""
    model = box_model()
    left = [F(1) + X, F(1, 2) - X, F(1) - Y, F(1) + Y]
    right = [F(1) - X, F(1, 2) + X, F(1) - Y, F(1) + Y]
    spread = [F(1, 10), F(1, 10), F(0), F(0)]
    return by_hand(model, [left, right], [-(X / 3)], [spread, spread])


def by_hand(
    model: Model,
    parts: Sequence[Sequence[Term]],
    backup: Sequence[Term],
    spreads: Sequence[Sequence[Fraction]],
) -> Certificate:
    """A certificate without proofs; its margins: the disturbance, and room for rounding."""
    found = rounding_of(model, parts, backup)
    room = 8 * (max(found.plant.values()) + max(v for part in found.test for v in part))
    centre = {c.name: (c.low + c.high) / 2 for c in (*model.state, *model.action)}
    return Certificate(
        model=model,
        shield=ShieldData(
            family="polytope",
            invariant=tuple(tuple(part) for part in parts),
            margins=tuple(tuple(F(above(s + room)) for s in part) for part in spreads),
            backup=tuple(backup),
        ),
        rounding=found,
        witness={
            "init": {n: F(0) for n in model.state_names},
            "invariant": {n: F(0) for n in model.state_names},
            "action": {n: centre[n] for n in model.action_names},
            "disturbance": {n: F(0) for n in model.disturbance_names},
        },
    )


def floats_near(value: float, count: int = 3) -> list[float]:
    """``value`` and its neighbours, ``count`` to each side."""
    result, low, high = [value], value, value
    for _ in range(count):
        low, high = math.nextafter(low, -math.inf), math.nextafter(high, math.inf)
        result += [low, high]
    return result


def pendulum_certificate() -> Certificate:
    """The set |theta| <= 3/10, |omega + 2 theta| <= 3/5 of the stock pendulum, by hand.

    With s' = omega' + 2 theta', theta' = (theta + dt s') / (1 + 2 dt): where |s'| <= 3/5, theta
    stays. At the worst corner (theta = 3/10, omega = 0) the full torque gives s' = 0.52.
    """
    from nprl.envs.pendulum_v1 import MODEL, OMEGA, THETA

    rows = [
        F(3, 10) - THETA,
        F(3, 10) + THETA,
        F(3, 5) - OMEGA - 2 * THETA,
        F(3, 5) + OMEGA + 2 * THETA,
    ]
    push = clip(F(-20, 3) * (OMEGA + Num(F(20, 11) + F(3, 4)) * THETA), -2, 2)
    return by_hand(MODEL, [rows], [push], [[F(0)] * 4])
