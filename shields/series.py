"""Polynomials in place of sine, cosine and the exponential on an interval, with a proved remainder.

A Taylor polynomial at about the middle, one of so high a degree that Lagrange's remainder is of no
account; then its degree is lowered, power by power, by multiples of Chebyshev's polynomials (what is
known as economization); then its coefficients become floats. Each step's change is bounded exactly.

Source: C. Lanczos, Applied Analysis, 1956, section 7.7 (telescoping a power series).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from nprl.lang.ranges import Interval, enclose
from nprl.lang.terms import Num, Term, Unary, UnaryOp, Var

KNOWN = (UnaryOp.SIN, UnaryOp.COS, UnaryOp.EXP)
MOST = 14
"""The highest degree: beyond it the C library is as fast."""
DEGREE = 40
"""Of the Taylor polynomial that is the beginning."""
WIDEST = 4
"""Of an interval that is tried."""
NEAR = Fraction(1, 2**52)
"""How far off the polynomial may be, of the function's greatest value: some of the rounding of floats."""
X = Var("x")


@dataclass(frozen=True, slots=True)
class Series:
    """``sum of coefficients[k] (x - centre)^k``: exact floats."""

    centre: Fraction
    coefficients: tuple[Fraction, ...]

    def at(self, t: Term) -> Term:
        """The polynomial of ``t``; one of the square where every other coefficient is 0."""
        z = t - Num(self.centre) if self.centre else t
        c = self.coefficients
        if not any(c[0::2]):
            return _pairs(c[1::2], z * z) * z
        return _pairs(c[0::2], z * z) if not any(c[1::2]) else _pairs(c, z)


def _pairs(c: Sequence[Fraction], z: Term) -> Term:
    """Horner's rule in the square: ``c0 + c1 z + z^2 (c2 + c3 z + z^2 (...))``, half as deep."""
    pair = Num(c[0]) + Num(c[1]) * z if len(c) > 1 else Num(c[0])
    return pair + z * z * _pairs(c[2:], z) if len(c) > 2 else pair


@lru_cache(256)
def series(op: UnaryOp, x: Interval) -> tuple[Series, Fraction] | None:
    """A polynomial for ``op`` on ``x``, and at least how far it is off anywhere in ``x``.

    None where the interval is too wide for one of degree `MOST`.
    """
    if isinstance(x.lo, float) or isinstance(x.hi, float) or x.hi - x.lo > WIDEST:
        return None
    centre = Fraction(float((x.lo + x.hi) / 2))
    radius = max(x.hi - centre, centre - x.lo)
    values = [enclose(t, {"x": centre}) for t in _derivatives(op)]
    largest = enclose(Unary(op, X), {"x": x}).magnitude
    bound = max(Fraction(1), Fraction(largest))
    ends = [(Fraction(v.lo), Fraction(v.hi)) for v in values]
    taylor, factor = [], Fraction(1)
    off = Fraction(0)
    for k in range(DEGREE + 1):
        low, high = ends[k % len(ends)]
        taylor.append((low + high) / 2 * factor)
        off += (high - low) / 2 * factor * radius**k
        factor /= k + 1
    off += bound * factor * radius ** (DEGREE + 1)
    short, lost = economized(taylor, radius, NEAR * Fraction(largest) - off)
    if len(short) > MOST + 1:
        return None
    floats = [Fraction(float(c)) for c in short]
    moved = sum(
        (abs(a - b) * radius**k for k, (a, b) in enumerate(zip(short, floats, strict=True))),
        Fraction(0),
    )
    return Series(centre, tuple(floats)), off + lost + moved


def _derivatives(op: UnaryOp) -> tuple[Term, ...]:
    """The function and its derivatives, as far as they differ."""
    sin, cos = Unary(UnaryOp.SIN, X), Unary(UnaryOp.COS, X)
    found = {UnaryOp.SIN: (sin, cos, -sin, -cos), UnaryOp.COS: (cos, -sin, -cos, sin)}
    return found.get(op, (Unary(op, X),))


def economized(
    coefficients: Sequence[Fraction], radius: Fraction, room: Fraction
) -> tuple[list[Fraction], Fraction]:
    """A polynomial of a lower degree, and how far it is off on ``[-radius, radius]``: at most ``room``.

    ``c x^n`` is ``c radius^n 2^(1-n) T_n(x / radius)``, of which the size is 1 at most, and lower powers.
    """
    p, off = list(coefficients), Fraction(0)
    while len(p) > 1:
        n = len(p) - 1
        scale = p[n] * radius**n / 2 ** (n - 1)
        if off + abs(scale) > room:
            break
        off += abs(scale)
        p = [
            c - scale * t / radius**k for k, (c, t) in enumerate(zip(p, chebyshev(n), strict=True))
        ]
        p.pop()
    return p, off


@lru_cache(64)
def chebyshev(n: int) -> tuple[int, ...]:
    """The coefficients of T_n: ``T_0 = 1, T_1 = x, T_n = 2 x T_(n-1) - T_(n-2)``."""
    if n < 2:
        return (1,) if n == 0 else (0, 1)
    above = (0, *(2 * c for c in chebyshev(n - 1)))
    below = (*chebyshev(n - 2), 0, 0)
    return tuple(a - b for a, b in zip(above, below, strict=True))
