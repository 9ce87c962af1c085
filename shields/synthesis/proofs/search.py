"""One search for a proof: its limits, and what it knows of a sequent's premises."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from nprl.lang.serial import number_to_json
from nprl.lang.terms import Term
from nprl.shields.leaf import Premises, Reading
from nprl.shields.polynomial import (
    Polynomial,
    Range,
)
from nprl.shields.sequent import Sequent
from nprl.shields.synthesis.proofs import bernstein

Tree = list[Any]


class NotProved(Exception):
    """The search ended without a proof; says where."""


def seconds_left(end: float) -> float:
    """Seconds until `time.monotonic` is at ``end``, above 0.

    Raises:
        NotProved: if it is.
    """
    left = end - time.monotonic()
    if left <= 0:
        raise NotProved("the time is over")
    return left


@dataclass(slots=True)
class Search:
    """Limits of one search, and what it counts."""

    seconds: float = 60.0
    max_leaves: int = 4000
    max_depth: int = 40
    scan: bool = True
    """Whether functions are named that occur in premises only; lemmas do without."""
    near: float = 2.0**-10
    """How far a polynomial may be from a function, as a part of the function's range."""
    first: int = 0
    """Premises before this number are used for the box only: rows that bear on no lemma."""
    original: int = 0
    leaves: int = 0
    close: Callable[[Sequent, Search, int], Tree] = field(init=False)
    """Proves a sequent at a depth; set by `nprl.shields.synthesis.proofs.prove`."""
    end: float = field(init=False)
    cache: dict[Term, Reading] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.end = time.monotonic() + self.seconds

    def step(self, where: str) -> None:
        """Count; stop where a limit is met."""
        if time.monotonic() > self.end:
            raise NotProved(f"{where}: {self.seconds:g} s are over, after {self.leaves} leaves")
        if self.leaves > self.max_leaves:
            raise NotProved(f"{where}: more than {self.max_leaves} leaves")

    def lemma(self, s: Sequent, depth: int) -> Tree:
        """A proof of an auxiliary conclusion, that does not look for functions in the premises."""
        before, self.scan = self.scan, False
        try:
            return self.close(s, self, depth)
        finally:
            self.scan = before


def box_of(s: Sequent, search: Search) -> dict[str, Range]:
    """The box that the premises state."""
    return Premises(s.premises, search.cache).box()


def polynomials(s: Sequent, search: Search) -> dict[int, Polynomial]:
    """The premises that are polynomials, by number."""
    premises = Premises(s.premises, search.cache)
    found = ((k, premises.reading(k)[0]) for k in range(len(s.premises)))
    return {k: p for k, p in found if p is not None and (k >= search.first or _is_bound(p))}


def _is_bound(p: Polynomial) -> bool:
    """Whether it bounds one variable."""
    return len(p.keys() - {()}) == 1


def hint(
    remainder: Polynomial,
    multipliers: Mapping[int, Fraction],
    s: Sequent,
    premises: Mapping[int, Polynomial],
    box: Mapping[str, Range],
) -> dict[str, Any]:
    """A leaf's combination: the multipliers, and what makes the remainder affine.

    ``premises`` and ``box`` are those of ``s``.
    """
    try:
        found = bernstein.entries(remainder, box, premises)
        chosen = [[number_to_json(c), [k]] for k, c in sorted(multipliers.items())]
    except ValueError as error:
        raise NotProved(f"{place(s)}: {error}") from None
    products = chosen + found.get("products", [])
    return found | {"products": products} if products else found


def place(s: Sequent, i: int = 0) -> str:
    """The conclusion in question, for a message."""
    found = s.alternatives[0][i : i + 1]
    return f"conclusion {str(found[0].term)[:80]}" if found else "no conclusion"


def outward(value: Fraction, up: bool, slack: Fraction) -> Fraction:
    """A number of few digits above (below) ``value``, by at least a half and at most all of slack."""
    unit = Fraction(2) ** (math.frexp(slack)[1] - 2)  # slack is 2 to 4 units
    steps = (value + unit if up else value - unit) / unit
    return (math.ceil(steps) if up else math.floor(steps)) * unit
