"""A disturbed double integrator with a small proved core, and plans that lead into it."""

from __future__ import annotations

import functools
from fractions import Fraction as F

from nprl.lang.build import all_of, clip
from nprl.lang.terms import Term, Var
from nprl.model import Coordinate, Model
from nprl.shields.certificate import Certificate
from nprl.shields.plans import with_plans
from nprl.shields.synthesis.candidate import Candidate
from nprl.shields.synthesis.certify import certify

X, V, U, W = (Var(n) for n in ("x", "v", "u", "w"))
SLIDING = V + 2 * X
GUST = F(1, 20000)


def cart_model(name: str = "test/DoubleIntegrator-v0") -> Model:
    """A cart pushed by a force and by gusts: dt = 1/10, safe where |x| <= 1 and |v| <= 1."""
    return Model(
        name=name,
        state=(Coordinate("x", "m", F(-2), F(2)), Coordinate("v", "m/s", F(-2), F(2))),
        action=(Coordinate("u", "N", F(-1), F(1)),),
        disturbance=(Coordinate("w", "m/s", -GUST, GUST),),
        step={X: X + F(1, 10) * V, V: V + F(1, 10) * U + W},
        init={X: (F(-1, 100), F(1, 100)), V: (F(-1, 100), F(1, 100))},
        safe=all_of(X >= -1, X <= 1, V >= -1, V <= 1),
        unsafe_reward=F(-1),
        horizon=200,
        dt=F(1, 10),
        integrator="Euler",
    )


@functools.cache
def core() -> Certificate:
    """|x| <= 1/10, |v + 2 x| <= 1/20, proved: the force halves the sliding variable."""
    rows = (F(1, 10) - X, F(1, 10) + X, F(1, 20) - SLIDING, F(1, 20) + SLIDING)
    return certify(cart_model(), Candidate("polytope", (rows,), (-2 * V - 5 * SLIDING,), {}))


def drives() -> tuple[tuple[Term, ...], ...]:
    """Brakes and drives home, gently or not."""
    return tuple((clip(-a * X - b * V, -1, 1),) for a, b in ((1, 2), (3, 4), (F(1, 2), F(3, 2))))


@functools.cache
def planned() -> Certificate:
    """The core with plans of up to 60 steps."""
    return with_plans(core(), drives(), 60)
