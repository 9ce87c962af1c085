"""Rational bounds of pi, sin, cos, exp, log, tanh and the root, at a rational point.

All is integer arithmetic in units of ``2**-p``: Taylor sums with a bound of their remainders and of
every truncation, after an exact reduction of the argument. ``bits`` asks for a width of about
``2**-bits``: absolute for pi, sin, cos, tanh, log, relative for exp and the root.
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


def _scale(units: int, power: int) -> Fraction:
    """``units * 2**power``."""
    return Fraction(units << power) if power >= 0 else Fraction(units, 1 << -power)


def _fixed(value: Fraction, p: int) -> int:
    """``value`` in units of ``2**-p``, rounded down: off by less than one unit."""
    return (value.numerator << p) // value.denominator


def _inverse_series(n: int, p: int, sign: int) -> int:
    """``atanh(1/n)`` for sign 1, ``atan(1/n)`` for -1; off by at most ``p + 4`` units, n >= 3.

    A term is off by at most 2 units, and there are at most ``p/3 + 1``; what is left out after a
    term below one unit is less than 2 units.
    """
    total, power, k = 0, (1 << p) // n, 0
    while power:
        total += sign**k * (power // (2 * k + 1))
        power, k = power // (n * n), k + 1
    return total


@lru_cache(maxsize=256)
def _pi(p: int) -> int:
    """Pi in units of ``2**-p``, off by at most 2. Machin: ``16 atan(1/5) - 4 atan(1/239)``."""
    extra = 8 + p.bit_length()
    q = p + extra
    return (16 * _inverse_series(5, q, -1) - 4 * _inverse_series(239, q, -1)) >> extra


@lru_cache(maxsize=256)
def _log2(p: int) -> int:
    """The logarithm of 2 in units of ``2**-p``, off by at most 2: ``2 atanh(1/3)``."""
    extra = 8 + p.bit_length()
    return 2 * _inverse_series(3, p + extra, 1) >> extra


def pi_bounds(bits: int) -> Bounds:
    """Rationals around pi, ``2**-bits`` apart."""
    p = bits + 2
    return _scale(_pi(p) - 2, -p), _scale(_pi(p) + 2, -p)


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
    whole, pi = _fixed(x, p + extra), _pi(p + extra)
    quarter = (4 * whole + pi) // (2 * pi)  # at most 2**extra
    rest = (2 * whole - quarter * pi) >> (extra + 1)
    sine, cosine, term, n = 0, 0, 1 << p, 0
    while term:
        if n % 2:
            sine += term if n % 4 == 1 else -term
        else:
            cosine += term if n % 4 == 0 else -term
        n += 1
        term = term * abs(rest) // (n << p)
    if rest < 0:
        sine = -sine
    off = 2 * n + 12
    turned = [(sine, cosine), (cosine, -sine), (-sine, -cosine), (-cosine, sine)][quarter % 4]
    low_sin, high_sin, low_cos, high_cos = (
        max(UNIT[0], min(UNIT[1], _scale(units + error, -p)))
        for units in turned
        for error in (-off, off)
    )
    return (low_sin, high_sin), (low_cos, high_cos)


def exp(x: Fraction, bits: int) -> tuple[Fraction, End]:
    """Bounds of the exponential.

    ``x = k log(2) + r``, r in [0, 0.7) known to 3 units, so exp(r) to 7 by it; the Taylor terms are
    off by at most 2 units each, and what follows the first that vanishes is less than 4 units.
    """
    if x == 0:
        return Fraction(1), Fraction(1)
    if x > MAX_EXP:
        return _scale(1, MAX_EXP), math.inf
    if x < -MAX_EXP:
        return Fraction(0), _scale(1, -MAX_EXP)
    p = bits + GUARD
    doublings, rest = divmod(_fixed(x, p + GUARD), _log2(p + GUARD))
    rest >>= GUARD
    total, term, n = 0, 1 << p, 0
    while term:
        total += term
        n += 1
        term = term * rest // (n << p)
    off = 2 * n + 12
    return _scale(total - off, doublings - p), _scale(total + off, doublings - p)


def log(x: Fraction, bits: int) -> Bounds:
    """Bounds of the natural logarithm of x > 0.

    ``x = m 2**e`` with m in [2/3, 4/3], and ``log m = 2 atanh((m - 1)/(m + 1))``: each term of the
    series is off by at most 3 units, what is left out by less than 4.
    """
    if x == 1:
        return Fraction(0), Fraction(0)
    power = x.numerator.bit_length() - x.denominator.bit_length()
    mantissa = x * _scale(1, -power)
    if mantissa > Fraction(4, 3):
        mantissa, power = mantissa / 2, power + 1
    elif mantissa < Fraction(2, 3):
        mantissa, power = mantissa * 2, power - 1
    p = bits + GUARD
    ratio = (mantissa - 1) / (mantissa + 1)
    root = _fixed(abs(ratio), p)
    total, term, n = 0, root, 0
    while term:
        total += term // (2 * n + 1)
        term, n = term * root * root >> 2 * p, n + 1
    extra = abs(power).bit_length()
    units = (2 * total if ratio > 0 else -2 * total) + (power * _log2(p + extra) >> extra)
    off = 6 * n + 16
    return _scale(units - off, -p), _scale(units + off, -p)


def sqrt(x: Fraction, bits: int) -> Bounds:
    """Bounds of the root of x >= 0; equal where the root is rational."""
    n, d = math.isqrt(x.numerator), math.isqrt(x.denominator)
    if n * n == x.numerator and d * d == x.denominator:
        return Fraction(n, d), Fraction(n, d)
    p = bits + 2 + max(0, x.denominator.bit_length() - x.numerator.bit_length())
    root = math.isqrt(_fixed(x, 2 * p))
    return _scale(root, -p), _scale(root + 1, -p)


def tanh(x: Fraction, bits: int) -> Bounds:
    """Bounds of the odd function ``1 - 2/(exp(2 x) + 1)``."""
    if x < 0:
        low, high = tanh(-x, bits)
        return -high, -low
    if x == 0:
        return Fraction(0), Fraction(0)
    least, most = exp(2 * x, bits + 2)
    high = Fraction(1) if isinstance(most, float) else 1 - 2 / (most + 1)
    return 1 - 2 / (least + 1), high
