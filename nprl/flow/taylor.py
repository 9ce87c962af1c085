"""The exact flow over one step: a Taylor polynomial, and bounds of what it leaves out.

With ``x' = f(x, u, w(t))``, u held and w any measurable function with values in its box, let f0 be f
at the centre of that box (f itself where w is held), and ``g = f - f0``. With ``p0 = x_i`` and
``p(j+1) = Dp(j) f0``, integrating ``(p_j)' = p(j+1) + Dp_j g`` again and again gives

    x_i(h) = sum_{j<=k} h^j/j! p_j(x(0), u) + I^(k+1)[p(k+1)] + sum_{j<=k} I^(j+1)[Dp_j g]

where ``I^m`` is the integral taken m times: for values in [a, b] it lies in ``h^m/m! [a, b]``. What
is bounded is taken over a box that holds all trajectories. Where f_i is affine in w with the
slope G, the term j = 0 is ``h G(x(0), u)`` times the mean of w over the step, which lies in the box
of w, too, and a rest of order ``h^2``.

Source: Hairer, Norsett, Wanner, "Solving Ordinary Differential Equations I", II.2 and I.8;
Moore, Kearfott, Cloud, "Introduction to Interval Analysis", chapter 10.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import factorial

from nprl.flow.enclosure import (
    DIGITS,
    FlowError,
    bound,
    check_domain,
    trajectories,
    width,
)
from nprl.flow.formulas import lie, tidy
from nprl.lang.ranges import DomainError, Interval, enclose, shorten
from nprl.lang.terms import Num, Term, Var, replace, term, variables
from nprl.model import Coordinate, Model
from nprl.shields.rates import derivative
from nprl.shields.span import ZERO, plus, times

A, B, C = Var("a"), Var("b"), Var("c")
_ZERO = Interval(Fraction(0), Fraction(0))


class Flow:
    """A right-hand side over one step, split into its nominal part and what a moving disturbance adds."""

    def __init__(self, draft: Model, dt: Fraction, held: bool) -> None:
        """Take a model whose ``step`` is the right-hand side; ``held``: w is constant over a step.

        Raises:
            FlowError: where no box holds the trajectories, or f has the edge of a domain in it.
        """
        self.draft, self.dt = draft, dt
        self.moving = {} if held else {c.name: c for c in draft.disturbance}
        middle: dict[Term, Term] = {
            Var(n): Num((c.low + c.high) / 2) for n, c in self.moving.items()
        }
        self.full = {n: tidy(term(draft.step[n])) for n in draft.state_names}
        self.nominal = {n: tidy(replace(f, middle)) for n, f in self.full.items()}
        start = {n: Interval(*ends) for n, ends in draft.box().items()}
        self._check_domain(start)
        self.box = trajectories(self.full, dt, start)
        """Holds all trajectories of one step from the ranges; inputs, disturbances, gaps."""
        self._check_domain(self.box)
        self.gap: dict[str, Term] = {}
        """What a moving disturbance adds: a term affine in it, or a name with bounds in ``box``."""
        self.slopes: dict[str, dict[str, Term]] = {}
        """Of coordinates that are affine in the disturbance, the factors of its deviations."""
        for n, f in self.full.items():
            self._split(n, f)

    def _check_domain(self, box: Mapping[str, Interval]) -> None:
        for f in self.full.values():
            check_domain(f, box, frozenset([*self.full, *self.moving]))

    def _split(self, n: str, f: Term) -> None:
        """Find what a moving disturbance adds to one coordinate."""
        moving = self.moving
        slopes = {w: smooth(f, w) for w in moving if w in variables(f)}
        gap: Term = ZERO
        if not any(variables(s) & moving.keys() for s in slopes.values()):
            self.slopes[n] = slopes
            for w, s in slopes.items():
                gap = plus(gap, times(s, deviation(moving[w])))
        else:
            reach = Fraction(0)
            for w, s in slopes.items():
                reach += Fraction(self.bound(s).magnitude) * (moving[w].high - moving[w].low) / 2
            gap = Var(f"gap:{n}")
            self.box[gap.name] = Interval(-reach, reach)
        self.gap[n] = gap

    def bound(self, t: Term) -> Interval:
        """A bound of a term over all trajectories.

        Raises:
            FlowError: where there is none.
        """
        return bound(t, self.box)

    def gradient(self, t: Term) -> dict[str, Term]:
        """The partial derivatives by the state's coordinates."""
        return {n: smooth(t, n) if n in variables(t) else ZERO for n in self.full}

    def step(self, order: int) -> tuple[dict[str, Term], dict[str, Interval]]:
        """The next state without its remainders, and these; both for each coordinate."""
        terms, rests = {}, {}
        for n in self.full:
            terms[n], rests[n] = self._coordinate(n, order)
        return terms, rests

    def _coordinate(self, n: str, order: int) -> tuple[Term, Interval]:
        total: Term = Var(n)
        p, rest = total, _ZERO
        for j in range(order + 1):  # p is p_j, factor h^j/j!
            slopes = self.gradient(p)
            factor = self.dt ** (j + 1) / factorial(j + 1)
            if j or n not in self.slopes:
                rest = _plus(rest, _times(factor, self.bound(lie(p, self.gap, slopes))))
            else:
                first, second = self._first(n)
                total, rest = plus(total, first), _plus(rest, second)
            p = lie(p, self.nominal, slopes)
            if j < order:
                total = plus(total, times(Num(factor), p))
        return tidy(total), shorten(_plus(rest, _times(factor, self.bound(p))), DIGITS)

    def _first(self, n: str) -> tuple[Term, Interval]:
        """``I[g_i]`` where f_i is affine in the disturbance: a term, and a rest of order two.

        The slope at time r is multiplied by the disturbance at another time s, so both are bounded
        apart.
        """
        total: Term = ZERO
        rest = _ZERO
        for w, slope in self.slopes[n].items():
            total = plus(total, times(slope, deviation(self.moving[w])))
            drift = self.bound(lie(slope, self.full, self.gradient(slope)))
            half = (self.moving[w].high - self.moving[w].low) / 2
            rest = enclose(A + B * C, {"a": rest, "b": drift, "c": Interval(-half, half)})
        return times(Num(self.dt), total), _times(self.dt**2 / 2, rest)


def _plus(a: Interval, b: Interval) -> Interval:
    return enclose(A + B, {"a": a, "b": b})


def _times(factor: Fraction, x: Interval) -> Interval:
    return enclose(A * B, {"a": factor, "b": x})


def deviation(c: Coordinate) -> Term:
    """A disturbance less the centre of its interval."""
    return plus(Var(c.name), Num(-(c.low + c.high) / 2))


def smooth(t: Term, name: str) -> Term:
    """The partial derivative.

    Raises:
        FlowError: where the term jumps, or has a kink and is differentiated twice.
    """
    try:
        return tidy(derivative(t, name))
    except DomainError:
        raise FlowError(
            f"{str(t)[:80]}: no derivative by {name}: a `where` in the state may jump, and min, max, abs and "
            "clip of the state have no second derivative: they need order=1"
        ) from None


def excursion(flow: Flow, q: Term) -> Interval:
    """How much ``q`` can change within one step, at most: 0 lies in it."""
    rate = flow.bound(lie(q, flow.full, flow.gradient(q)))
    return Interval(min(Fraction(0), rate.lo * flow.dt), max(Fraction(0), rate.hi * flow.dt))


def sag(flow: Flow, q: Term) -> Fraction:
    """How far ``q`` can fall within one step below the lesser of its values at both ends.

    A function with second derivative at most M lies above its chord less ``M h^2/8``; what a moving
    disturbance adds to its rate, within [a, b], takes it ``(b - a) h/4`` below at most.
    """
    slopes = flow.gradient(q)
    speed = lie(q, flow.nominal, slopes)
    bend = flow.bound(lie(speed, flow.full, flow.gradient(speed))).hi
    shake = width(flow.bound(lie(q, flow.gap, slopes)))
    return max(Fraction(0), Fraction(bend)) * flow.dt**2 / 8 + Fraction(shake) * flow.dt / 4
