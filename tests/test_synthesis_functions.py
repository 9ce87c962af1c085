"""Models with exp, log, tanh and roots, proved without a hint, in both checkers."""

from __future__ import annotations

import json
from fractions import Fraction as F
from typing import Any

import pytest

from nprl.lang.build import exp, log, sqrt, tanh
from nprl.lang.terms import Formula, Operand, Var
from nprl.model import Coordinate, Model
from nprl.shields import exact
from nprl.shields.checker import Verdict, check
from nprl.shields.synthesis.synthesize import synthesize

U, V, X, H1, H2, C, T = map(Var, ("u", "v", "x", "h1", "h2", "c", "T"))
STEP = F(1, 10)
Ends = tuple[str, str]


def model(step: dict[str, Operand], box: dict[str, Ends], init: dict[str, Ends], u: Ends) -> Model:
    safe: Formula | None = None
    for n, (low, high) in box.items():
        inside = (Var(n) >= F(low)) & (Var(n) <= F(high))
        safe = inside if safe is None else safe & inside
    assert safe is not None
    return Model(
        name="test",
        state=tuple(Coordinate(n, "1", F(low), F(high)) for n, (low, high) in box.items()),
        action=(Coordinate("u", "1", F(u[0]), F(u[1])),),
        step=step,
        init={n: (F(low), F(high)) for n, (low, high) in init.items()},
        safe=safe,
        dt=STEP,
    )


def tanks() -> Model:
    """Two tanks, the first filled by a pump, each with an outflow by Torricelli's law."""
    out = sqrt(H1) / 2
    return model(
        {"h1": H1 + STEP * (U - out), "h2": H2 + STEP * (out - sqrt(H2) / 2)},
        {"h1": ("1/5", "2"), "h2": ("1/5", "2")},
        {"h1": ("4/5", "6/5"), "h2": ("4/5", "6/5")},
        ("0", "1"),
    )


def reactor() -> Model:
    """A stirred tank with a reaction whose rate grows with the temperature as Arrhenius says."""
    rate = C * exp(2 - 2 / T)
    return model(
        {
            "c": C + STEP * ((1 - C) - rate),
            "T": T + STEP * ((1 - T) + rate / 2 - F(1, 4) + U / 2),
        },
        {"c": ("1/10", "9/10"), "T": ("7/10", "3/2")},
        {"c": ("2/5", "3/5"), "T": ("19/20", "21/20")},
        ("-1", "1"),
    )


def harvest() -> Model:
    """Gompertz' growth of a population that is harvested."""
    return model(
        {"x": X + STEP * (X * log(F(3, 2) / X) - U * X)},
        {"x": ("1/5", "7/5")},
        {"x": ("1/2", "1")},
        ("0", "1"),
    )


def friction() -> Model:
    """A mass with dry friction, smoothed."""
    return model(
        {"v": V + STEP * (U - tanh(10 * V))},
        {"v": ("-1", "1")},
        {"v": ("-1/5", "1/5")},
        ("-2", "2"),
    )


def vehicle() -> Model:
    """The same in two dimensions."""
    return model(
        {"x": X + STEP * V, "v": V + STEP * (U - tanh(4 * V) / 2)},
        {"x": ("-1", "1"), "v": ("-1", "1")},
        {"x": ("-1/5", "1/5"), "v": ("-1/5", "1/5")},
        ("-2", "2"),
    )


def diode() -> Model:
    """A diode across a capacitor, charged through a coil."""
    return model(
        {"v": V + STEP * (X - (exp(3 * V) - 1) / 20), "x": X + STEP * (U - X - V)},
        {"v": ("0", "1"), "x": ("-1", "1")},
        {"v": ("2/5", "3/5"), "x": ("0", "1/5")},
        ("-1", "2"),
    )


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "made",
    [reactor, tanks, harvest, *(pytest.param(m, marks=SLOW) for m in (friction, vehicle, diode))],
)
def test_it_is_proved_with_its_initial_set_inside(made: Any) -> None:
    found = synthesize(made(), seconds=200.0)
    assert found.certificate is not None, found.reason
    assert check(found.certificate).verdict is Verdict.VERIFIED
    data = json.dumps(found.certificate.to_json()).encode()
    assert not [goal for goal, why in exact.check(data).items() if why]
