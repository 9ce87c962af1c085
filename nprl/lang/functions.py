"""Rational bounds of pi, sin, cos, exp, log and the root, at a rational point.

All is integer arithmetic in units of ``2**-p``: Taylor sums with a bound of their remainders and of
every truncation, after an exact reduction of the argument. ``bits`` asks for a width of about
``2**-bits``: absolute for pi, sin, cos and log, relative for exp and the root.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

End = Fraction | float
"""A rational number, or an infinity as a float."""
Bounds = tuple[Fraction, Fraction]
UNIT: Bounds = (Fraction(-1), Fraction(1))
GUARD = 16
MAX_SIZE = 4096
"""sin and cos of a number above ``2**MAX_SIZE`` are bounded by -1 and 1 only."""
MAX_EXP = 2**14
"""exp beyond this is bounded on one side only."""
LOG2 = Fraction(693147, 10**6)
"""Near the logarithm of 2; a first guess."""


def scale(units: int, power: int) -> Fraction:
    """``units * 2**power``."""
    return Fraction(units << power) if power >= 0 else Fraction(units, 1 << -power)


def fixed(value: Fraction, p: int) -> int:
    """``value`` in units of ``2**-p``, rounded down: off by less than one unit."""
    return (value.numerator << p) // value.denominator


def _arctangent(n: int, p: int) -> int:
    """``atan(1/n)``; off by at most ``p + 4`` units, n >= 3.

    A term is off by at most 2 units, and there are at most ``p/3 + 1``; what is left out after a
    term below one unit is less than 2 units.
    """
    total, power, k = 0, (1 << p) // n, 0
    while power:
        total += (-1) ** k * (power // (2 * k + 1))
        power, k = power // (n * n), k + 1
    return total


@lru_cache(maxsize=256)
def _pi(p: int) -> int:
    """Pi in units of ``2**-p``, off by at most 2. Machin: ``16 atan(1/5) - 4 atan(1/239)``."""
    extra = 8 + p.bit_length()
    q = p + extra
    return (16 * _arctangent(5, q) - 4 * _arctangent(239, q)) >> extra


def pi_bounds(bits: int) -> Bounds:
    """Rationals around pi, ``2**-bits`` apart."""
    p = bits + 2
    return scale(_pi(p) - 2, -p), scale(_pi(p) + 2, -p)


def size(x: Fraction) -> int:
    """An n >= 0 with ``|x| < 2**n``."""
    return max(0, x.numerator.bit_length() - x.denominator.bit_length() + 1)


def sin_cos(x: Fraction, bits: int) -> tuple[Bounds, Bounds]:
    """Bounds of sin(x) and cos(x).

    ``x = k pi/2 + r`` with ``|r| < 0.8`` known to 6 units; the Taylor terms of r are off by at most
    2 units each, and what follows the first term that vanishes is less than 4 units.
    """
    if x == 0:
        return (Fraction(0), Fraction(0)), (Fraction(1), Fraction(1))
    extra = size(x) + 1
    if extra > MAX_SIZE:
        return UNIT, UNIT
    p = bits + GUARD
    whole, pi = fixed(x, p + extra), _pi(p + extra)
    quarter = (4 * whole + pi) // (2 * pi)  # at most 2**extra
    rest = (2 * whole - quarter * pi) >> (extra + 1)
    sums, term, n = [0, 0], 1 << p, 0  # of the even powers, and of the odd ones
    while term:
        sums[n % 2] += term if n % 4 < 2 else -term
        n += 1
        term = term * abs(rest) // (n << p)
    cosine, sine = sums[0], sums[1] if rest >= 0 else -sums[1]
    off = 2 * n + 12
    turned = [(sine, cosine), (cosine, -sine), (-sine, -cosine), (-cosine, sine)][quarter % 4]
    low_sin, high_sin, low_cos, high_cos = (
        max(UNIT[0], min(UNIT[1], scale(units + error, -p)))
        for units in turned
        for error in (-off, off)
    )
    return (low_sin, high_sin), (low_cos, high_cos)


def sqrt(x: Fraction, bits: int) -> Bounds:
    """Bounds of the root of x >= 0; equal where the root is rational."""
    n, d = math.isqrt(x.numerator), math.isqrt(x.denominator)
    if n * n == x.numerator and d * d == x.denominator:
        return Fraction(n, d), Fraction(n, d)
    p = bits + 2 + max(0, x.denominator.bit_length() - x.numerator.bit_length())
    root = math.isqrt(fixed(x, 2 * p))
    return scale(root, -p), scale(root + 1, -p)


def exp(x: Fraction, bits: int) -> tuple[Fraction, End]:
    """Bounds of the exponential: that of ``x / 2**n`` in [0, 1), squared n times; of -x inverted.

    The argument is off by at most a unit, so its exponential by 6; each Taylor term by at most 2,
    and what follows the first that vanishes is less than 4. Squaring doubles what is relative.
    """
    if abs(x) > MAX_EXP:
        return (scale(1, MAX_EXP), math.inf) if x > 0 else (Fraction(0), scale(1, -MAX_EXP))
    if x < 0:
        low, high = exp(-x, bits)
        return 1 / Fraction(high), 1 / low
    n = size(x)
    p = bits + n + GUARD
    rest, least, term, k = fixed(x, p) >> n, 0, 1 << p, 0
    while term:
        least, k = least + term, k + 1
        term = term * rest // (k << p)
    most = least + (2 * k + 10 if x else 0)
    for _ in range(n):
        least, most = least * least >> p, (most * most >> p) + 1
    return scale(least, -p), scale(most, -p)


def log(x: Fraction, bits: int) -> Bounds:
    """Bounds of the natural logarithm of x > 0.

    With ``y = x exp(-g)``, for any g, ``log(x) = g + log(y)``, and ``1 - 1/y <= log(y) <= y - 1``;
    Newton's steps make g so good that y is all but 1.
    """
    p = bits + GUARD
    g = LOG2 * (x.numerator.bit_length() - x.denominator.bit_length()) if x != 1 else Fraction(0)
    for _ in range(p.bit_length()):
        low, high = (x * Fraction(end) for end in exp(-g, p))
        if high - low >= (high - 1) ** 2:
            break
        g = scale(fixed(g + high - 1, p), -p)
    return g + 1 - 1 / low, g + high - 1
