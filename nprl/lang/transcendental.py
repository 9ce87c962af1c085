"""Rational bounds of exp, log and tanh at a rational point, in the manner of `nprl.lang.functions`.

The checker does not need them: there is no rule for these functions yet. ``bits`` asks for a width
of about ``2**-bits``: absolute for tanh and log, relative for exp.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

from nprl.lang.functions import GUARD, Bounds, End, fixed, inverse_series, scale

MAX_EXP = 2**14
"""exp beyond this is bounded on one side only."""


@lru_cache(maxsize=256)
def _log2(p: int) -> int:
    """The logarithm of 2 in units of ``2**-p``, off by at most 2: ``2 atanh(1/3)``."""
    extra = 8 + p.bit_length()
    return 2 * inverse_series(3, p + extra, 1) >> extra


def exp(x: Fraction, bits: int) -> tuple[Fraction, End]:
    """Bounds of the exponential.

    ``x = k log(2) + r``, r in [0, 0.7) known to 3 units, so exp(r) to 7 by it; the Taylor terms are
    off by at most 2 units each, and what follows the first that vanishes is less than 4 units.
    """
    if x == 0:
        return Fraction(1), Fraction(1)
    if x > MAX_EXP:
        return scale(1, MAX_EXP), math.inf
    if x < -MAX_EXP:
        return Fraction(0), scale(1, -MAX_EXP)
    p = bits + GUARD
    doublings, rest = divmod(fixed(x, p + GUARD), _log2(p + GUARD))
    rest >>= GUARD
    total, term, n = 0, 1 << p, 0
    while term:
        total += term
        n += 1
        term = term * rest // (n << p)
    off = 2 * n + 12
    return scale(total - off, doublings - p), scale(total + off, doublings - p)


def log(x: Fraction, bits: int) -> Bounds:
    """Bounds of the natural logarithm of x > 0.

    ``x = m 2**e`` with m in [2/3, 4/3], and ``log m = 2 atanh((m - 1)/(m + 1))``: each term of the
    series is off by at most 3 units, what is left out by less than 4.
    """
    if x == 1:
        return Fraction(0), Fraction(0)
    power = x.numerator.bit_length() - x.denominator.bit_length()
    mantissa = x * scale(1, -power)
    if mantissa > Fraction(4, 3):
        mantissa, power = mantissa / 2, power + 1
    elif mantissa < Fraction(2, 3):
        mantissa, power = mantissa * 2, power - 1
    p = bits + GUARD
    ratio = (mantissa - 1) / (mantissa + 1)
    root = fixed(abs(ratio), p)
    total, term, n = 0, root, 0
    while term:
        total += term // (2 * n + 1)
        term, n = term * root * root >> 2 * p, n + 1
    extra = abs(power).bit_length()
    units = (2 * total if ratio > 0 else -2 * total) + (power * _log2(p + extra) >> extra)
    off = 6 * n + 16
    return scale(units - off, -p), scale(units + off, -p)


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
