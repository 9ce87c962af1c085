"""A program as a picture: each term a tree of its operators, with its constants in the leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from nprl.lang.terms import Binary, Compare, Formula, Num, Power, Term, Unary, Var, children
from nprl.model import Coordinate
from nprl.program import Program
from nprl.report.picture import BLUE, GREY, INK, ORANGE, PALE, figure

MOST_NODES = 120
"""A larger program is not drawn; its text says more."""


@dataclass(frozen=True, slots=True)
class Place:
    """A node of the picture: its label, where it stands, and its parent's number (-1: none)."""

    label: str
    x: float
    depth: int
    parent: int
    leaf: bool


def layout(t: Term) -> list[Place]:
    """The nodes of a term, parents first; leaves stand at 0, 1, 2, ... from left to right."""
    places: list[Place] = []
    free = 0.0

    def put(node: Term | Formula, label: str, depth: int, parent: int) -> float:
        nonlocal free
        number = len(places)
        below = _below(node)
        places.append(Place(label, 0.0, depth, parent, not below))
        if below:
            spots = [put(c, _label(c), depth + 1, number) for c in below]
            x = (spots[0] + spots[-1]) / 2
        else:
            x, free = free, free + 1
        places[number] = Place(label, x, depth, parent, not below)
        return x

    put(t, _label(t), 0, -1)
    return places


def draw_program(program: Program) -> Figure | None:
    """The program's tree; None for one of more than `MOST_NODES` nodes."""
    if program.nodes > MOST_NODES:
        return None
    trees = [layout(t) for t in program.terms]
    leaves = [max(p.x for p in places) + 1 for places in trees]
    depth = max(p.depth for places in trees for p in places) + 1
    width = min(13.0, max(3.2, 0.95 * (sum(leaves) + len(leaves))))
    drawn, (ax,) = figure(width, max(1.8, 0.72 * (depth + 1)))
    ax.axis("off")
    left = 0.0
    for heading, places, span in zip(_headings(program), trees, leaves, strict=True):
        root = places[0]
        ax.plot([left + root.x] * 2, [0, 1], color=GREY, lw=1.2, zorder=1)
        ax.text(left + root.x, 1, heading, **_box(PALE, INK))
        for p in places:
            if p.parent >= 0:
                above = places[p.parent]
                ends = [left + above.x, left + p.x], [-above.depth, -p.depth]
                ax.plot(*ends, color=GREY, lw=1.2, zorder=1)
        for p in places:
            number = p.leaf and not (p.label[0].isalpha() or p.label[0] == "_")
            colour = ORANGE if number else BLUE if p.leaf else INK
            ax.text(left + p.x, -p.depth, p.label, **_box("white", colour))
        left += span + 1
    ax.set_xlim(-0.8, left - 1.2)
    ax.set_ylim(-depth + 0.4, 1.5)
    return drawn


def _headings(program: Program) -> list[str]:
    def clipped(name: str, c: Coordinate) -> str:
        return f"{name}  clipped to {float(c.low):g} .. {float(c.high):g} {c.unit}".strip()

    held = [clipped(f"next {r.name}", r.coordinate) for r in program.registers]
    if program.scores:
        return [*program.labels, *held]
    return [*(clipped(c.name, c) for c in program.outputs), *held]


def _box(fill: str, colour: str) -> dict[str, Any]:
    box = {"boxstyle": "round,pad=0.35", "facecolor": fill, "edgecolor": colour, "linewidth": 1.2}
    return {
        "ha": "center",
        "va": "center",
        "fontsize": 10,
        "color": colour,
        "bbox": box,
        "zorder": 2,
    }


def _below(t: Term | Formula) -> tuple[Term | Formula, ...]:
    return () if isinstance(t, Num) else children(t)


def _label(t: Term | Formula) -> str:
    match t:
        case Num() | Var():
            return str(t)
        case Unary(op, _) | Binary(op, _, _):
            return str(op.value)
        case Power(_, exponent):
            return f"power {exponent}"
        case Compare(relation, _, _):
            return str(relation.value)
        case _:
            return type(t).__name__.lower()
