"""States judged in exact arithmetic, from a certificate's file alone: the referee of `adversary`.

Nothing of the shield, the checker or the language is imported. Terms are read from the JSON and
multiplied out to polynomials with rational coefficients. Floats come with a bound of their rounding
(many states at once, one matrix product); what they leave open is decided with whole numbers, for
each float is one over a power of two. Only polynomials are judged, and what is not finite is
neither inside nor safe.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Whole = NDArray[np.object_]
"""Python's whole numbers, of any size."""
Polynomial = dict[tuple[int, ...], Fraction]
"""Coefficients by the exponents of the names; no coefficient is 0."""
PLAIN = 2.0**16
"""Floats are relied on only where every coordinate is at most this; beyond, all is exact."""
LARGEST = 2.0**200
PI = Fraction(314159265358979323846264338327950288419716939937510582097494459, 10**62)
"""Nearer to pi than any number that a row of a few floats can tell from it."""
TINY = 2.0**-500
"""More than all that underflow can add, with coefficients up to `LARGEST` and degrees up to 16."""


class Rows:
    """Polynomials over the same names: bounds of their values, and their exact values."""

    def __init__(self, terms: Sequence[Any], names: Sequence[str]) -> None:
        """Multiply out ``terms``; ValueError for what is no polynomial, or one of huge numbers."""
        self.polynomials = [expanded(t, names) for t in terms]
        self.monomials = sorted({m for p in self.polynomials for m in p} | {(0,) * len(names)})
        rows = [[p.get(m, Fraction(0)) for m in self.monomials] for p in self.polynomials]
        degree = max(map(sum, self.monomials))
        if degree > 16 or any(abs(c) > LARGEST for row in rows for c in row):
            raise ValueError("a row has a degree above 16 or a coefficient above 2^200")
        shape = (len(rows), len(self.monomials))
        self.matrix: Floats = np.array([float(c) for row in rows for c in row]).reshape(shape)
        self.sizes: Floats = abs(self.matrix)
        # Every summand is rounded at most degree + 1 times, and then in at most as many sums as
        # there are monomials, by at most 2^-53 of all the summands' sizes: 2^-51 is four times as
        # much, for the roundings of this very bound and of adding it.
        self.unit = (degree + len(self.monomials) + 2) * 2.0**-51
        self.degree = degree
        self.denominator = math.lcm(*(c.denominator for row in rows for c in row))

    def values(self, states: Floats) -> Floats:
        """About the values, (polynomials, n), for ``states`` (n, names)."""
        with np.errstate(all="ignore"):
            return np.asarray(self.matrix @ self._powers(states))

    def bounds(self, states: Floats) -> tuple[Floats, Floats]:
        """Lower and upper bounds of the real values, each (polynomials, n)."""
        with np.errstate(all="ignore"):
            powers = self._powers(states)
            value = self.matrix @ powers
            error = (self.sizes @ abs(powers)) * self.unit + TINY
            plain = (abs(states) <= PLAIN).all(axis=1)
            error = np.where(plain, error, np.inf)
            value = np.where(plain, value, 0.0)
        return value - error, value + error

    def exactly(self, states: Floats, needed: Bools) -> tuple[Whole, int]:
        """The exact values at finite states: whole numbers, and what divides them all.

        Only what is ``needed`` (polynomials, n) is computed; the rest is `None`.
        """
        mantissa, exponent = np.frexp(states.T)
        exponent = exponent.astype(np.int64) - 53
        shift = max(0, -int(exponent.min(initial=0)))
        at = (mantissa * 2.0**53).astype(np.int64).astype(object)
        at = at << (exponent + shift).astype(object)  # in units of 2^-shift
        result = np.full(needed.shape, None, dtype=object)
        for i, p in enumerate(self.polynomials):
            columns = np.flatnonzero(needed[i])
            if not len(columns):
                continue
            total = np.zeros(len(columns), dtype=object)
            for m, c in p.items():
                product: Any = int(c * self.denominator) << shift * (self.degree - sum(m))
                for k, power in enumerate(m):
                    for _ in range(power):
                        product = product * at[k, columns]
                total = total + product
            result[i, columns] = total
        return result, self.denominator << shift * self.degree

    def _powers(self, states: Floats) -> Floats:
        columns = np.ones((len(self.monomials), len(states)))
        for column, monomial in zip(columns, self.monomials, strict=True):
            for k, power in enumerate(monomial):
                for _ in range(power):
                    column *= states[:, k]
        return columns


class Referee:
    """Decides exactly whether states lie in I and in S, and keeps the smallest exact margin judged.

    The margin of a state is the least value of the rows of the invariant's best part.
    """

    def __init__(self, source: str | Path | Mapping[str, Any]) -> None:
        """Read of a certificate's file, or of its JSON, the states' names, the safe set and I."""
        data = source
        if not isinstance(data, Mapping):
            data = json.loads(Path(data).read_bytes())
        self.names = [c["name"] for c in data["model"]["state"]]
        invariant = data["shield"]["invariant"]
        self.rows = Rows([g for part in invariant for g in part], self.names)
        ends = [0, *itertools.accumulate(map(len, invariant))]
        self.parts = [slice(a, b) for a, b in itertools.pairwise(ends)]
        self._comparisons: list[tuple[bool, Any]] = []  # may it be 0, what is to be positive
        self._safe = self._read(data["model"]["safe"])
        self._differences = Rows([t for _, t in self._comparisons], self.names)
        self.smallest: Fraction | None = None
        self.decided_exactly = 0

    def about(self, states: Floats) -> Floats:
        """About how far inside I each row of ``states`` lies: for attackers, not for judgement."""
        return self._best(self.rows.values(states))

    def _best(self, values: Floats) -> Floats:
        return np.asarray(np.max([values[part].min(axis=0) for part in self.parts], axis=0))

    def inside(self, states: Floats, keep: bool = False) -> Bools:
        """Whether each row of ``states`` lies in I, exactly.

        With ``keep`` the smallest of the margins goes into ``smallest``.
        """
        bounds = self.rows.bounds(states)
        low, high = self._best(bounds[0]), self._best(bounds[1])
        finite: Bools = np.asarray(np.isfinite(states).all(axis=1))
        result: Bools = np.asarray((low >= 0) & finite)
        open_ones = ~(low >= 0) & ~(high < 0)
        if keep:
            least = float(np.min(high[finite], initial=np.inf))
            if self.smallest is not None:
                least = min(least, math.nextafter(float(self.smallest), math.inf))
            open_ones |= low <= least
        rows = np.flatnonzero(open_ones & finite)
        if not len(rows):
            return result
        margins, unit = self.margins(states[rows], (bounds[0][:, rows], bounds[1][:, rows]))
        result[rows] = [m >= 0 for m in margins]
        if keep:
            smallest = Fraction(min(margins), unit)
            self.smallest = smallest if self.smallest is None else min(smallest, self.smallest)
        return result

    def margins(
        self, states: Floats, bounds: tuple[Floats, Floats] | None = None
    ) -> tuple[list[int], int]:
        """The exact margins of finite states: whole numbers, and what divides them all.

        ``bounds`` of the rows save work: a row that cannot be the least of its part is left out.
        """
        self.decided_exactly += len(states)
        needed = np.ones((len(self.rows.polynomials), len(states)), dtype=np.bool_)
        if bounds is not None:
            for part in self.parts:
                needed[part] = ~(bounds[0][part] > bounds[1][part].min(axis=0))
        values, unit = self.rows.exactly(states, needed)
        return [
            max(min(v for v in column[part] if v is not None) for part in self.parts)
            for column in values.T
        ], unit

    def safely(self, states: Floats) -> Bools:
        """Whether each row lies in S, exactly, open or closed as it is stated."""
        finite: Bools = np.asarray(np.isfinite(states).all(axis=1))
        low, high = self._differences.bounds(states)
        truths: Bools = np.asarray(low > 0)
        unclear = ~(low > 0) & ~(high < 0) & finite
        if unclear.any():
            values, _ = self._differences.exactly(np.where(finite[:, None], states, 0.0), unclear)
            for i, k in np.argwhere(unclear).tolist():
                truths[i, k] = values[i, k] > 0 or (values[i, k] == 0 and self._comparisons[i][0])
        return np.asarray(self._holds(self._safe, truths) & finite)

    def _read(self, f: Any) -> Any:
        """The formula, each comparison replaced by its number in ``_comparisons``."""
        match f:
            case ["true" | "false"]:
                return f
            case ["and" | "or" | "not" as word, *parts]:
                return [word, *map(self._read, parts)]
            case ["<=" | "<" | ">=" | ">" as relation, a, b]:
                difference = ["-", b, a] if relation[0] == "<" else ["-", a, b]
                self._comparisons.append((relation.endswith("="), difference))
                return len(self._comparisons) - 1
        raise ValueError(f"not a formula: {str(f)[:60]}")

    def _holds(self, f: Any, truths: Bools) -> Bools:
        match f:
            case int(i):
                return np.asarray(truths[i])
            case ["true" | "false" as word]:
                return np.full(truths.shape[1], word == "true")
            case ["and", *parts]:
                return np.asarray(np.all([self._holds(p, truths) for p in parts], axis=0))
            case ["or", *parts]:
                return np.asarray(np.any([self._holds(p, truths) for p in parts], axis=0))
            case ["not", part]:
                return ~self._holds(part, truths)
        raise ValueError(f"not a formula: {str(f)[:60]}")


def expanded(t: Any, names: Sequence[str]) -> Polynomial:
    """A term from JSON, multiplied out; ValueError for what is no polynomial over the names."""
    match t:
        case str() if t in names:
            return {tuple(int(t == n) for n in names): Fraction(1)}
        case str():
            value = Fraction(t)
            return {(0,) * len(names): value} if value else {}
        case ["pi"]:
            return {(0,) * len(names): PI}
        case ["neg", a]:
            return _added({}, expanded(a, names), -1)
        case ["+", first, *rest]:
            total = expanded(first, names)
            for a in rest:
                total = _added(total, expanded(a, names), 1)
            return total
        case ["-", a, b]:
            return _added(expanded(a, names), expanded(b, names), -1)
        case ["*", first, *rest]:
            product = expanded(first, names)
            for a in rest:
                product = _multiplied(product, expanded(a, names))
            return product
        case ["/", a, str() as b] if b not in names and Fraction(b):
            return {m: c / Fraction(b) for m, c in expanded(a, names).items()}
        case ["**", a, int(n)] if 0 <= n <= 16:
            base, product = expanded(a, names), {(0,) * len(names): Fraction(1)}
            for _ in range(n):
                product = _multiplied(product, base)
            return product
    raise ValueError(f"not a polynomial over {', '.join(names)}: {str(t)[:60]}")


def _added(p: Polynomial, q: Polynomial, sign: int) -> Polynomial:
    total = dict(p)
    for m, c in q.items():
        total[m] = total.get(m, Fraction(0)) + sign * c
    return {m: c for m, c in total.items() if c}


def _multiplied(p: Polynomial, q: Polynomial) -> Polynomial:
    product: Polynomial = {}
    for m, c in p.items():
        for n, d in q.items():
            both = tuple(map(int.__add__, m, n))
            product[both] = product.get(both, Fraction(0)) + c * d
    return {m: c for m, c in product.items() if c}
