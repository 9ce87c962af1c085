"""Boxes around trajectories, and bounds of terms on them; exact rational arithmetic, outward."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from nprl.flow.fixed import Ends, Layout, Unbounded, fractions, whole
from nprl.flow.formulas import Field
from nprl.lang.ranges import Interval, enclose, hull, shorten, wave
from nprl.lang.terms import Binary, BinaryOp, Formula, Term, Unary, UnaryOp, children, variables

BITS = 32
"""Functions are bounded to about this many binary digits."""
DIGITS = 14
"""Binary digits of a bound that stands in a model."""
SPLITS = 80
"""How often a box is bisected for the bound of one term."""
ROUNDS, SHARPER = 60, 3
WIDER = Fraction(9, 8)
"""How much further than computed the next guess of an enclosure reaches."""
At = Mapping[str, Interval]


class FlowError(ValueError):
    """A differential equation of which there is no enclosure: one line, with the remedy."""


def trajectories(field: Field, dt: Fraction, start: At) -> dict[str, Interval]:
    """A box that holds every solution that starts in the box ``start``, for the time ``dt``.

    ``start`` also bounds what is no coordinate of ``field``: inputs and disturbances, which may be
    any measurable functions of time. A box B with ``start + [0, dt] f(B)`` in B has the property
    (Picard's operator maps the functions with values in B into themselves); it is sought by
    widening, then made smaller by the same map.

    Raises:
        FlowError: where none is found.
    """
    box = dict(start)
    for _ in range(ROUNDS):
        reached = _reached(field, dt, start, box)
        if any(isinstance(width(v), float) for v in reached.values()):
            break
        if all(_holds(box[n], reached[n]) for n in field):
            for _ in range(SHARPER):
                box |= _reached(field, dt, start, box)
            return box
        box |= {n: hull(box[n], _wider(start[n], reached[n])) for n in field}
    raise FlowError(
        f"no box was found that holds all solutions for {dt} s from the whole range of the state; "
        "take a shorter dt, or smaller bounds of the state"
    )


def _reached(field: Field, dt: Fraction, start: At, box: At) -> dict[str, Interval]:
    return {n: _moved(start[n], _times_to(dt, enclose(f, box, BITS))) for n, f in field.items()}


def _times_to(dt: Fraction, rate: Interval) -> Interval:
    """What a rate does within a time from 0 to ``dt``."""
    zero = Fraction(0)
    low, high = min(zero, rate.lo), max(zero, rate.hi)
    return Interval(
        low if isinstance(low, float) else low * dt, high if isinstance(high, float) else high * dt
    )


def _moved(start: Interval, by: Interval) -> Interval:
    return shorten(Interval(_sum(start.lo, by.lo), _sum(start.hi, by.hi)), 4 * BITS)


def _sum(a: Fraction | float, b: Fraction | float) -> Fraction | float:
    return b if isinstance(b, float) else a if isinstance(a, float) else a + b


def _wider(start: Interval, reached: Interval) -> Interval:
    low, high = reached.lo - start.lo, reached.hi - start.hi
    return shorten(Interval(start.lo + low * WIDER, start.hi + high * WIDER), BITS)


def _holds(outer: Interval, inner: Interval) -> bool:
    return bool(outer.lo <= inner.lo and inner.hi <= outer.hi)


def width(x: Interval) -> Fraction | float:
    """``hi - lo``; infinite where an end is."""
    return _sum(x.hi, -x.lo)


def bound(t: Term, box: At, splits: int = SPLITS) -> Interval:
    """An interval that holds ``t`` on all of ``box``, which is bisected where it matters most.

    Raises:
        FlowError: where there is none.
    """
    layout = Layout(t)
    names = sorted(n for n in variables(t) if width(box[n]))
    whole_box = {n: whole(box[n]) for n in variables(t)}
    try:
        cells = [(layout.bound(whole_box), whole_box)]
        gains = {n: _gain(layout, whole_box, n, cells[0][0]) for n in names}
        for k in range(splits if names else 0):
            lower = k % 2
            worst = min(cells, key=lambda c: c[0][0]) if lower else max(cells, key=_top)
            cell = worst[1]
            n = max(names, key=lambda n: gains[n] * _width(cell[n]) / _width(whole_box[n]))
            cells.remove(worst)
            for half in _halves(cell[n]):
                part = {**cell, n: half}
                cells.append((layout.bound(part), part))
    except Unbounded:
        raise FlowError(f"{str(t)[:80]}: no bound over the box of the trajectories") from None
    return fractions((min(found[0] for found, _ in cells), max(found[1] for found, _ in cells)))


def _top(cell: tuple[Ends, dict[str, Ends]]) -> int:
    return cell[0][1]


def _width(x: Ends) -> int:
    return x[1] - x[0]


def _gain(layout: Layout, box: Mapping[str, Ends], name: str, first: Ends) -> float:
    """How much narrower the halves' bounds are, as a part of the whole's; more than 0."""
    widths = sum(_width(layout.bound({**box, name: half})) for half in _halves(box[name]))
    return max(0.0, 2 - widths / (_width(first) or 1)) + 2.0**-20


def _halves(x: Ends) -> tuple[Ends, Ends]:
    middle = (x[0] + x[1]) // 2
    return (x[0], middle), (middle, x[1])


def check_domain(t: Term | Formula, box: At, moving: frozenset[str]) -> None:
    """Refuse what has an edge on ``box``: a quotient, root, logarithm or tangent of what moves.

    Raises:
        FlowError: saying which.
    """
    for part in children(t):
        check_domain(part, box, moving)
    if not isinstance(t, Term) or not variables(t) & moving:
        return
    match t:
        case Binary(BinaryOp.DIV, _, right):
            good = not enclose(right, box, BITS).contains(0)
        case Unary(UnaryOp.SQRT | UnaryOp.LOG, arg):
            good = enclose(arg, box, BITS).lo > 0
        case Unary(UnaryOp.TAN, arg):
            good = not wave(enclose(arg, box, BITS), UnaryOp.COS, BITS).contains(0)
        case _:
            return
    if not good:
        raise FlowError(
            f"{str(t)[:80]}: its domain ends within the box of the trajectories, where nothing is "
            "known of the flow; take smaller bounds of the state, or a shorter dt"
        )
