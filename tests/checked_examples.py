"""A one-dimensional system, proved in milliseconds, and certificates of it that are wrong."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction as F

from nprl.lang.terms import Term, Var
from nprl.model import Coordinate, Model
from nprl.shields.certificate import Certificate
from nprl.shields.synthesis.candidate import Candidate
from nprl.shields.synthesis.certify import certify, claim

X, U, W = Var("x"), Var("u"), Var("w")


def cart(name: str = "test/Cart-v0", wind: F = F(1, 100), **changes: object) -> Model:
    """A position pushed by a speed and by the wind: x' = x + u / 10 + w, safe within 1 m."""
    model = Model(
        name=name,
        state=(Coordinate("x", "m", F(-2), F(2)),),
        action=(Coordinate("u", "m/s", F(-1), F(1)),),
        disturbance=(Coordinate("w", "m", -wind, wind),),
        step={X: X + U * F(1, 10) + W},
        init={X: (F(-1, 2), F(1, 2))},
        safe=(X <= 1) & (X >= -1),
        dt=F(1, 10),
        integrator="Euler",
        horizon=100,
    )
    return replace(model, **changes) if changes else model


def claimed(
    rows: Sequence[Term], backup: Term, model: Model | None = None, family: str = "polytope"
) -> Certificate:
    """A certificate without proofs, right or wrong."""
    return claim(model or cart(), Candidate(family, (tuple(rows),), (backup,), {}))


@functools.cache
def proved() -> Certificate:
    """I is S itself, kept by u = -x."""
    return certify(cart(), Candidate("polytope", ((1 - X, 1 + X),), (-X,), {}))


def broken() -> dict[str, tuple[Certificate, str, str]]:
    """Certificates that are wrong, each with the goal that is refuted, and how."""
    good = claimed([1 - X, 1 + X], -X)
    no_margin = replace(good.shield, margins=((F(0), F(0)),))
    disc = [F(9, 10) - X * X]
    return {
        "a start outside": (claimed([F(1, 4) - X, F(1, 4) + X], -X), "init", "point"),
        "an unsafe state inside": (
            claimed([F(5, 4) - X, F(5, 4) + X], -X / 2),
            "safe/0/0",
            "point",
        ),
        "outside the ranges": (claimed([5 - X, 5 + X], -X / 5), "ranges/0", "point"),
        "a backup that is no action": (claimed([1 - X, 1 + X], -3 * X), "action/0", "point"),
        "the wrong sign": (claimed([1 - X, 1 + X], X), "backup/0/0", "step"),
        "the wrong sign in a disc": (claimed(disc, X, family="ellipsoid"), "backup/0/0", "step"),
        "too much wind": (claimed([1 - X, 1 + X], -X, cart(wind=F(1, 2))), "backup/0/0", "step"),
        "no margins": (replace(good, shield=no_margin), "test/0", "step"),
        "a facet dropped": (claimed([1 - X], -X), "safe/0/1", "point"),
        "an empty set": (claimed([-1 - X, -1 + X], -X), "witness/invariant", "witness"),
    }
