"""States judged in exact arithmetic, from a certificate's file alone: the referee of `adversary`.

Nothing of the shield, the checker or the language is imported: terms are read from the JSON, floats
come with a running bound of their rounding, and what they leave open is decided with fractions.
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
UNIT = 2.0**-52  # twice the unit of rounding: covers the rounding of the bound itself, too
TINY = 2.0**-1000


class Referee:
    """Decides exactly whether states lie in I and in S, and keeps the smallest exact margin seen.

    The margin of a state is the least value of the rows of the invariant's best part.
    """

    def __init__(self, path: str | Path) -> None:
        """Read of the certificate only the names of the states, the safe set and the invariant."""
        data = json.loads(Path(path).read_bytes())
        self.names = [c["name"] for c in data["model"]["state"]]
        names = frozenset(self.names)
        self.parts = [[parsed(g, names) for g in part] for part in data["shield"]["invariant"]]
        self.safe = parsed(data["model"]["safe"], names)
        self.smallest: Fraction | None = None
        self.decided_exactly = 0

    def inside(self, states: Floats) -> NDArray[np.bool_]:
        """Whether each row of ``states`` lies in I, exactly; updates ``smallest``."""
        columns = dict(zip(self.names, states.T, strict=True))
        lows, highs = [], []  # for each part: bounds of its rows, (rows, n)
        for part in self.parts:
            rows = [running(g, columns) for g in part]
            lows.append(np.array([v - e for v, e in rows]))
            highs.append(np.array([v + e for v, e in rows]))
        low = np.max([rows.min(axis=0) for rows in lows], axis=0)
        high = np.max([rows.min(axis=0) for rows in highs], axis=0)
        result = low >= 0
        unsure = set(np.flatnonzero(~(low >= 0) & ~(high < 0)).tolist())
        for k in np.argsort(low).tolist():
            known = k not in unsure and self.smallest is not None and low[k] >= self.smallest
            if known and not unsure:
                break
            if known:
                continue
            needed = [  # rows that cannot be the least of their part are left out
                np.flatnonzero(~(a[:, k] > b[:, k].min())).tolist()
                for a, b in zip(lows, highs, strict=True)
            ]
            margin = self.margin(states[k].tolist(), needed)
            result[k] = margin >= 0
            unsure.discard(k)
            if self.smallest is None or margin < self.smallest:
                self.smallest = margin
        return np.asarray(result)

    def margin(self, state: list[float], needed: list[list[int]] | None = None) -> Fraction:
        """The exact margin of one state; ``needed`` names the rows of each part that matter."""
        self.decided_exactly += 1
        at = {n: Fraction(v) for n, v in zip(self.names, state, strict=True)}
        parts = [
            part if needed is None else [part[i] for i in needed[p]]
            for p, part in enumerate(self.parts)
        ]
        return max(min(exact(g, at) for g in part) for part in parts)

    def safely(self, states: Floats) -> NDArray[np.bool_]:
        """Whether each row lies in S, exactly, open or closed as it is stated."""
        return self._holds(self.safe, states)

    def _holds(self, f: Any, states: Floats) -> NDArray[np.bool_]:
        match f:
            case ["true"]:
                return np.ones(len(states), dtype=np.bool_)
            case ["false"]:
                return np.zeros(len(states), dtype=np.bool_)
            case ["and", *parts]:
                return np.asarray(np.all([self._holds(p, states) for p in parts], axis=0))
            case ["or", *parts]:
                return np.asarray(np.any([self._holds(p, states) for p in parts], axis=0))
            case ["not", part]:
                return ~self._holds(part, states)
            case ["<=" | "<" | ">=" | ">" as relation, a, b]:
                difference = ["-", b, a] if relation[0] == "<" else ["-", a, b]
                value, error = running(difference, dict(zip(self.names, states.T, strict=True)))
                result: NDArray[np.bool_] = value > error
                for k in np.flatnonzero(~result & ~(value < -error)).tolist():
                    at = {
                        n: Fraction(v) for n, v in zip(self.names, states[k].tolist(), strict=True)
                    }
                    d = exact(difference, at)
                    result[k] = d > 0 or (d == 0 and relation.endswith("="))
                return result
        raise ValueError(f"not a formula: {str(f)[:60]}")


def parsed(t: Any, names: frozenset[str]) -> Any:
    """A term or formula from JSON, its numbers made fractions."""
    match t:
        case str():
            return t if t in names else Fraction(t)
        case ["**", a, int(n)]:
            return ["**", parsed(a, names), n]
        case [str(op), *parts]:
            return [op, *(parsed(p, names) for p in parts)]
    raise ValueError(f"not a term: {str(t)[:60]}")


def exact(t: Any, at: dict[str, Fraction]) -> Fraction:
    """The value of a polynomial term at a point."""
    match t:
        case Fraction():
            return t
        case str():
            return at[t]
        case ["neg", a]:
            return -exact(a, at)
        case ["+", first, *rest]:
            total = exact(first, at)
            for a in rest:
                total += exact(a, at)
            return total
        case ["-", a, b]:
            return exact(a, at) - exact(b, at)
        case ["*", first, *rest]:
            product = exact(first, at)
            for a in rest:
                product *= exact(a, at)
            return product
        case ["/", a, Fraction() as b]:
            return exact(a, at) / b
        case ["**", a, int(n)]:
            return exact(a, at) ** n
    raise ValueError(f"not a polynomial: {str(t)[:60]}")


def running(t: Any, at: dict[str, Floats]) -> tuple[Any, Any]:
    """Float values of a polynomial term, and bounds on how far they are from the real ones."""
    match t:
        case str():
            return at[t], 0.0
        case Fraction():
            v = float(t)
            return v, abs(v) * UNIT + TINY
        case ["neg", a]:
            v, e = running(a, at)
            return -v, e
        case ["-", a, b]:
            return _sum(running(a, at), running(["neg", b], at))
        case ["+", first, *rest]:
            result = running(first, at)
            for a in rest:
                result = _sum(result, running(a, at))
            return result
        case ["*", first, *rest]:
            result = running(first, at)
            for a in rest:
                result = _product(result, running(a, at))
            return result
        case ["/", a, Fraction() as b]:
            return _product(running(a, at), running(1 / b, at))
        case ["**", a, int(n)]:
            result = (1.0, 0.0)
            for _ in range(n):
                result = _product(result, running(a, at))
            return result
    raise ValueError(f"not a polynomial: {str(t)[:60]}")


def _sum(a: tuple[Any, Any], b: tuple[Any, Any]) -> tuple[Any, Any]:
    v = a[0] + b[0]
    return v, (a[1] + b[1]) * (1 + UNIT) + abs(v) * UNIT + TINY


def _product(a: tuple[Any, Any], b: tuple[Any, Any]) -> tuple[Any, Any]:
    v = a[0] * b[0]
    e = abs(a[0]) * b[1] + abs(b[0]) * a[1] + a[1] * b[1]
    return v, e * (1 + 4 * UNIT) + abs(v) * UNIT + TINY
