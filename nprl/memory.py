"""Memory of programs: registers, and what is written shorter as some of them.

A register holds one number between its bounds. At each step the outputs and the updates read the
registers as they are; then every register takes the value of its update, clipped to its bounds. It
reads what the program sees and never what was applied, so that a shield which replaces an action
does not disturb it. An episode starts from the initial values.

`previous`, `integral` and `fold` make registers; the text of a program names these forms where a
register has them (see `nprl.program_text`). `pid` is a controller made of them.

Source: Verma et al., "Programmatically interpretable reinforcement learning", ICML 2018: peek, fold
and PID over the history of observations.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from nprl.lang.build import maximum, minimum
from nprl.lang.terms import RESERVED, Binary, BinaryOp, Clip, Num, Term, Var, variables
from nprl.lang.text import parse, to_text
from nprl.model import Coordinate

FOLDS = ("sum", "mean", "min", "max")
LONGEST = 64
"""Steps that a fold looks back at most."""


@dataclass(frozen=True, slots=True)
class Register:
    """A number that is kept from step to step: closed bounds, the first value, and the next one.

    Raises:
        ValueError: for a name that no term can hold, or low < high, low <= initial <= high not met.
    """

    name: str
    unit: str
    low: Fraction
    high: Fraction
    initial: Fraction
    update: Term

    def __post_init__(self) -> None:
        """Refuse what is not well formed."""
        place = Coordinate(self.name, self.unit, self.low, self.high)
        if self.name in RESERVED:
            raise ValueError(f"register {self.name}: the word means something else in terms")
        if not place.low < place.high or not place.low <= self.initial <= place.high:
            raise ValueError(
                f"register {self.name}: low < high, and an initial value between them, are needed; "
                f"got {self.low} .. {self.high} from {self.initial}"
            )

    @property
    def coordinate(self) -> Coordinate:
        """The register's name, unit and bounds."""
        return Coordinate(self.name, self.unit, self.low, self.high)

    def clipped(self, update: Term) -> Term:
        """An update, such as its own, as it is executed."""
        return Clip(update, Num(self.low), Num(self.high))


def previous(place: Coordinate, of: Term, initial: Fraction = Fraction(0)) -> Register:
    """What ``of`` was one step ago, within the bounds of ``place``."""
    return Register(place.name, place.unit, place.low, place.high, initial, of)


def integral(place: Coordinate, of: Term, initial: Fraction = Fraction(0)) -> Register:
    """The sum of ``of`` over all steps before, stopped at the bounds of ``place``."""
    return previous(place, Var(place.name) + of, initial)


def fold(
    kind: str, place: Coordinate, of: Term, over: int, initial: Fraction = Fraction(0)
) -> tuple[Register, ...]:
    """The ``sum``, ``mean``, ``min`` or ``max`` of ``of`` over the last ``over`` steps before this.

    The first register holds it; ``name_1``, ``name_2``, ... hold the window within the same bounds,
    filled at first so that the value is ``initial``.

    Raises:
        ValueError: for another kind, or other than 2 to 64 steps.
    """
    if kind not in FOLDS or not 2 <= over <= LONGEST:
        raise ValueError(
            f"a fold is one of {', '.join(FOLDS)} over 2 to {LONGEST} steps; got {kind} over {over}"
        )
    names = [f"{place.name}_{k}" for k in range(1, over)]
    window = [of, *map(Var, names)]
    total = window[0]
    for held in window[1:]:
        total = total + held
    value = {"sum": total, "mean": total / over}.get(kind)
    if value is None:
        value = (minimum if kind == "min" else maximum)(*window)
    filled = initial / over if kind == "sum" else initial
    shifted = (
        previous(Coordinate(n, place.unit, place.low, place.high), t, filled)
        for n, t in zip(names, window, strict=False)
    )
    return (previous(place, value, initial), *shifted)


def pid(
    error: Term,
    gains: tuple[Fraction, Fraction, Fraction],
    dt: Fraction,
    bound: Fraction,
    largest: Fraction,
    name: str = "error",
) -> tuple[Term, tuple[Register, ...]]:
    """A PID controller: the output's term, and the registers that it needs.

    ``gains`` are of the error, of its integral over time (kept in -bound .. bound, so that it does
    not wind up), and of its derivative: the difference to the error one step ago (kept in -largest
    .. largest, 0 at first) over ``dt``. A gain of 0 needs no register.
    """
    kp, ki, kd = gains
    result = Num(kp) * error
    registers: list[Register] = []
    if ki:
        place = Coordinate(f"{name}_integral", "", -bound, bound)
        registers.append(integral(place, Num(dt) * error))
        result = result + Num(ki) * Var(place.name)
    if kd:
        place = Coordinate(f"{name}_before", "", -largest, largest)
        registers.append(previous(place, error))
        result = result + Num(kd / dt) * (error - Var(place.name))
    return result, tuple(registers)


def to_lines(registers: Sequence[Register]) -> list[str]:
    """The registers as a person reads them; a fold with its window is one line."""
    lines, rest = [], list(registers)
    while rest:
        held = rest[0]
        said, used = _fold_of(rest) or (_said(held), 1)
        ends = f"{to_text(Num(held.low))} .. {to_text(Num(held.high))}"
        start = to_text(Num(held.initial))
        lines.append(f"memory {held.name} [{held.unit}] in {ends} from {start}: {said}")
        rest = rest[used:]
    return lines


def _said(held: Register) -> str:
    if held.name not in variables(held.update):
        return f"previous {held.update}"
    match held.update:
        case Binary(BinaryOp.ADD, Var(name), of) if name == held.name not in variables(of):
            return f"integral of {of}"
        case _:
            return f"next {held.update}"


def _fold_of(registers: Sequence[Register]) -> tuple[str, int] | None:
    """The fold that these registers begin with, in words, and how many it takes."""
    held, longest = registers[0], 1
    while longest < len(registers) and registers[longest].name == f"{held.name}_{longest}":
        longest += 1
    for over in range(min(longest, LONGEST), 1, -1):
        of = registers[1].update
        for kind in FOLDS:
            if fold(kind, held.coordinate, of, over, held.initial) == (*registers[:over],):
                return f"{kind} of {of} over {over}", over
    return None


def needed(terms: Sequence[Term], registers: Sequence[Register]) -> tuple[Register, ...]:
    """The registers that ``terms`` read, or that these read in turn, in their order."""
    names = {n for t in terms for n in variables(t)}
    before = -1
    while before != len(names):
        before = len(names)
        names |= {n for r in registers if r.name in names for n in variables(r.update)}
    return tuple(r for r in registers if r.name in names)


_LINE = re.compile(r"(?:memory )?(\w+) \[(.*)\] in (\S+) \.\. (\S+) from (\S+): (.*)")
_FOLD = re.compile(rf"({'|'.join(FOLDS)}) of (.*) over (\d+)")
_FORM = re.compile(r"(previous|integral of|next) (.*)")


def from_line(line: str) -> tuple[Register, ...]:
    """The registers that a line of a program's text stands for; its first word may be left out.

    Raises:
        ValueError: for what is no such line.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError("accepted is: memory NAME [unit] in LOW .. HIGH from INITIAL: previous X")
    low, high, initial = (literal(match[k]) for k in (3, 4, 5))
    place, said = Coordinate(match[1], match[2], low, high), match[6]
    if window := _FOLD.fullmatch(said):
        return fold(window[1], place, parse(window[2]), int(window[3]), initial)
    form = _FORM.fullmatch(said)
    if form is None:
        raise ValueError(
            "a memory is previous X, integral of X, next X, or sum, mean, min or max of X over N"
        )
    made = integral if form[1] == "integral of" else previous
    return (made(place, parse(form[2]), initial),)


def literal(source: str) -> Fraction:
    """The number that a text is, exactly.

    Raises:
        ValueError: for another term, or what is none.
    """
    value = parse(source.strip())
    if not isinstance(value, Num):
        raise ValueError(f"a number is accepted; got {source!r}")
    return value.value
