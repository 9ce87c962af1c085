"""How the models of published benchmarks are written down: formulas and numbers as text."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from nprl.flow.formulas import euler as by_euler
from nprl.lang.build import all_of
from nprl.lang.terms import Term, Var
from nprl.lang.text import parse, parse_formula
from nprl.model import Coordinate, Model

Ends = tuple[str, str] | str
"""Both ends of an interval, or the one that bounds it on both sides."""

CLIPPED = (
    "Choices: the source's decimals as exact rationals; each input clipped to its bounds (the "
    "source clips when all inputs leave theirs at once, or never); reward of the state after the "
    "step, replaced on the step that leaves the safe set, and the length of a training episode, as "
    "in the source. "
)
OPEN = "The safe box is open, as the source says strict. "


def benchmark(
    name: str,
    *,
    state: Mapping[str, Ends],
    action: Mapping[str, Ends],
    step: Mapping[str, str],
    init: Mapping[str, Ends],
    reward: str,
    horizon: int,
    euler: str | None = None,
    units: Mapping[str, str] | None = None,
    disturbance: Mapping[str, Ends] | None = None,
    safe: str | None = None,
    terminal: str = "false",
    unsafe_reward: str = "-900",
    notes: str = CLIPPED,
) -> Model:
    """A model from text.

    ``step`` has the next values, or the derivatives where ``euler`` is the step of an explicit
    Euler integrator, in seconds. Without ``safe`` it is the open box of the state's bounds. Units
    are 1 where ``units`` does not name them.
    """
    dt = None if euler is None else Fraction(euler)

    def coordinates(of: Mapping[str, Ends]) -> tuple[Coordinate, ...]:
        return tuple(Coordinate(n, (units or {}).get(n, "1"), *ends(e)) for n, e in of.items())

    given: dict[str, Term] = {n: parse(step[n]) for n in state}
    box = {n: ends(e) for n, e in state.items()}
    inside = [f for n, (low, high) in box.items() for f in (Var(n) > low, Var(n) < high)]
    return Model(
        name=name,
        state=coordinates(state),
        action=coordinates(action),
        disturbance=coordinates(disturbance or {}),
        step=given if dt is None else by_euler(given, dt),
        init={n: ends(e) for n, e in init.items()},
        safe=all_of(*inside) if safe is None else parse_formula(safe),
        terminal=parse_formula(terminal),
        reward=parse(reward),
        unsafe_reward=Fraction(unsafe_reward),
        horizon=horizon,
        dt=dt,
        integrator="map" if euler is None else "Euler",
        notes=notes.strip(),
    )


def ends(given: Ends) -> tuple[Fraction, Fraction]:
    """The interval that is meant."""
    if isinstance(given, str):
        return -Fraction(given), Fraction(given)
    return Fraction(given[0]), Fraction(given[1])


def size(state: str, action: str, weight: str) -> str:
    """``-(|next_x| + ... + weight (|u| + ...))``: what the linear benchmarks of VRL reward."""
    parts = [f"abs(next_{n})" for n in state.split()]
    return f"-({' + '.join([*parts, *(f'{weight} * abs({n})' for n in action.split())])})"
