"""Differential equations that the tests of nprl.flow share, and their solutions in floats."""

from __future__ import annotations

from fractions import Fraction as F
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from nprl.flow import sampled
from nprl.lang.build import absolute, all_of, clip, cos, exp, sin, sqrt, tanh
from nprl.lang.floats import compile_batch
from nprl.lang.terms import Formula, Term, Var
from nprl.model import Coordinate, Model

Array = NDArray[np.float64]
X, Y, Z, V, U, W = map(Var, ("x", "y", "z", "v", "u", "w"))


def cube(**sides: str) -> Formula:
    """Each coordinate within its side of 0, closed."""
    return all_of(*(f for n, s in sides.items() for f in (Var(n) >= -F(s), Var(n) <= F(s))))


def coordinates(**sides: str) -> tuple[Coordinate, ...]:
    """Coordinates within their sides of 0."""
    return tuple(Coordinate(n, "1", -F(s), F(s)) for n, s in sides.items())


def arguments(
    ode: dict[Var, Term],
    state: dict[str, str],
    start: str,
    dt: str,
    disturbance: dict[str, str] | None = None,
    action: str = "1",
    **others: Any,
) -> dict[str, Any]:
    """What `sampled` takes, with one input ``u``, and all starts within ``start`` of 0."""
    return {
        "ode": ode,
        "name": "test",
        "state": coordinates(**state),
        "action": coordinates(u=action),
        "disturbance": coordinates(**(disturbance or {})),
        "dt": F(dt),
        "init": {n: (-F(start), F(start)) for n in state},
        "safe": cube(**state),
    } | others


TWO = {"x": "1.5", "y": "2"}
EQUATIONS: dict[str, dict[str, Any]] = {
    "pendulum": arguments(
        {X: Y, Y: 15 * sin(X) + 3 * U}, {"x": "0.6", "y": "2"}, "0.1", "0.05", action="2"
    ),
    "van der Pol": arguments(
        {X: Y, Y: (1 - X**2) * Y - X + U}, TWO, "0.5", "0.05", {"w": "0.1"}, "2", order=3
    )
    | {"ode": {X: Y, Y: (1 - X**2) * Y - X + U + W}},
    "Duffing": arguments(
        {X: Y, Y: -F(3, 5) * Y - X - X**3 + U}, {"x": "2", "y": "2"}, "1", "0.05", action="5"
    ),
    "bilinear": arguments(
        {X: -X + Y * U, Y: -2 * Y + Z + X * U, Z: -F(1, 2) * Z + U + F(1, 5) * X * Y},
        {"x": "1", "y": "1", "z": "1"},
        "0.2",
        "0.1",
    ),
    "linear": arguments(
        {X: Y, Y: Z - F(1, 2) * X, Z: V, V: U - F(1, 4) * Z + W},
        {"x": "2", "y": "2", "z": "2", "v": "3"},
        "0.1",
        "0.05",
        {"w": "0.1"},
        "8",
        order=3,
    ),
    "many functions": arguments(
        {X: sin(Y) * exp(X / 2) - tanh(3 * X), Y: U / (2 + X) - Y * sqrt(3 + Y) + cos(X * Y)},
        {"x": "1", "y": "1"},
        "0.1",
        "0.02",
        order=3,
    ),
    "a disturbance that multiplies": arguments(
        {X: -X + Y * (1 + W), Y: -Y * X + U + W * sin(X)}, TWO, "0.1", "0.05", {"w": "0.5"}
    ),
    "a disturbance that is squared": arguments(
        {X: -X + Y, Y: -Y * X + U + W**2 * cos(X)}, TWO, "0.1", "0.05", {"w": "0.5"}
    ),
    "kinks": arguments(
        {X: clip(Y, -1, 1) - absolute(X), Y: U - X + W}, TWO, "0.1", "0.05", {"w": "0.3"}, order=1
    ),
}


def example(name: str, **changes: Any) -> Model:
    """The model of one of them."""
    return sampled(**(EQUATIONS[name] | changes))


def moments(name: str, x: Array, u: Array, w: Array, times: Array, rtol: float = 1e-11) -> Array:
    """Solutions from states (N, n) under inputs (N, m) and disturbances (p, N, q); (N, n, len(times)).

    The disturbance is constant on each of p equal parts of the time until ``times[-1]``.
    """
    given = EQUATIONS[name]
    groups = [[c.name for c in given[g]] for g in ("state", "action", "disturbance")]
    ode = {k.name: t for k, t in given["ode"].items()}
    run = compile_batch([ode[n] for n in groups[0]], groups)
    shape, ends = x.shape, np.linspace(0.0, times[-1], len(w) + 1)
    found: list[Array] = []
    now = x
    for k, held in enumerate(w):

        def slope(_: float, flat: Array, held: Array = held) -> Array:
            return np.stack(run(flat.reshape(shape), u, held), axis=1).ravel()

        part = (ends[k], ends[k + 1])
        wanted = times[(times > part[0]) & (times <= part[1])]
        every = np.union1d(wanted, part[1:])
        done = solve_ivp(slope, part, now.ravel(), "DOP853", every, rtol=rtol, atol=1e-12)
        now = done.y[:, -1].reshape(shape)
        found += [done.y[:, j].reshape(shape) for j in range(len(wanted))]
    return np.stack(found, axis=2)


def drawn(rng: np.random.Generator, of: tuple[Coordinate, ...], *shape: int) -> Array:
    """Points of a box, half of them at the ends of each coordinate."""
    low = np.array([float(c.low) for c in of])
    high = np.array([float(c.high) for c in of])
    shares = rng.random((*shape, len(of)))
    ends = rng.random((*shape, len(of))) < 0.5
    return np.asarray(low + np.where(ends, np.round(shares), shares) * (high - low))
