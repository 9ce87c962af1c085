"""Skeletons in bulk: what the enumeration stores of each, and when two are the same.

Most skeletons are *affine in their holes*: over the observations such a one is an offset plus the
span of one vector per hole. Two of them are the same family exactly when span and offset modulo
span agree, whatever their text (``c * x + c * y`` and ``c * (x - y) + c * x``). The rest, *general*
ones and conditions, are compared by their values at fixed random holes, a different draw for each
observation. Values are rounded before they are hashed, so two that differ in the seventh digit only
count as one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nprl.lang.terms import Formula, Term

Floats = NDArray[np.float64]
ROUNDING = 1e6
LARGEST = 1e8


@dataclass(slots=True)
class Linear:
    """Skeletons affine in their holes: ``offset`` (n, m) and ``basis`` (n, holes, m).

    Every hole is named ``c:0`` here.
    """

    holes: int
    terms: list[Term]
    offset: Floats
    basis: Floats
    rank: Floats
    """The loss by which better ones come first."""

    def __len__(self) -> int:
        """How many there are."""
        return len(self.terms)

    def at(self, table: Floats, shift: int, rows: int) -> Floats:
        """The values (rows, s m) of the first rows, for each of s settings in ``table`` (k, s, m).

        Hole k is ``table[shift + k]``, which may differ from observation to observation.
        """
        drawn = table[shift : shift + self.holes]
        result = np.einsum("nhm,hsm->nsm", self.basis[:rows], drawn)
        return np.asarray(result + self.offset[:rows, None, :]).reshape(rows, -1)


@dataclass(slots=True)
class General:
    """Other skeletons: ``shifted[i]`` (n, s m) are their values with hole k at ``table[i + k]``."""

    holes: int
    terms: list[Term]
    shifted: Floats
    rank: Floats

    def __len__(self) -> int:
        """How many there are."""
        return len(self.terms)

    def at(self, table: Floats, shift: int, rows: int) -> Floats:
        """As `Linear.at`."""
        return np.asarray(self.shifted[min(shift, len(self.shifted) - 1), :rows])


@dataclass(slots=True)
class Conditions:
    """Comparisons, stored as `General` ones are."""

    holes: int
    terms: list[Formula]
    shifted: NDArray[np.bool_]
    rank: Floats

    def __len__(self) -> int:
        """How many there are."""
        return len(self.terms)

    def at(self, table: Floats, shift: int, rows: int) -> NDArray[np.bool_]:
        """As `Linear.at`."""
        return np.asarray(self.shifted[min(shift, len(self.shifted) - 1), :rows])


@dataclass(slots=True)
class Candidates:
    """Families not yet known to be new; ``make(i)`` is the term of row i."""

    offset: Floats
    basis: Floats
    make: Callable[[int], Term]


class Seen:
    """Which functions have been met; `new` tells and remembers."""

    def __init__(self, columns: int, seed: int) -> None:
        """For vectors over ``columns`` observations."""
        rng = np.random.default_rng(seed)
        self._probe = rng.standard_normal(columns)
        self._factors = rng.integers(1, 2**63, 2 * columns + 2, dtype=np.uint64) | np.uint64(1)
        self._keys: set[tuple[tuple[str, int], int]] = set()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._keys)

    def new(
        self, kind: tuple[str, int], keys: NDArray[np.uint64], valid: NDArray[np.bool_]
    ) -> list[int]:
        """The valid rows whose key was not met among those of their kind, the first of equals."""
        result = []
        for i, (key, good) in enumerate(zip(keys.tolist(), valid.tolist(), strict=True)):
            if good and (kind, key) not in self._keys:
                self._keys.add((kind, key))
                result.append(i)
        return result

    def values_key(self, v: Floats) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
        """Keys of value vectors (n, m), and which are finite, not huge and not constant."""
        valid: NDArray[np.bool_] = np.asarray(np.isfinite(v).all(axis=1))
        v = np.where(valid[:, None], v, 0.0)
        most = np.abs(v).max(axis=1)
        valid &= (most < LARGEST) & (np.ptp(v, axis=1) > 1e-9 * most)
        return self._hash(self._rounded(v)), valid

    def family_key(
        self, offset: Floats, basis: Floats
    ) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
        """Keys of affine families, and which are finite and have a dimension for each hole."""
        if basis.shape[1] == 0:
            return self.values_key(offset)
        valid: NDArray[np.bool_] = np.asarray(
            np.isfinite(offset).all(axis=1) & np.isfinite(basis).all(axis=(1, 2))
        )
        offset = np.where(valid[:, None], offset, 0.0)
        basis = np.where(valid[:, None, None], basis, 0.0)
        valid &= (np.abs(offset).max(axis=1) < LARGEST) & (np.abs(basis).max(axis=(1, 2)) < LARGEST)
        directions: list[Floats] = []
        for k in range(basis.shape[1]):
            b = basis[:, k]
            before = np.linalg.norm(b, axis=1)
            for _ in range(2):
                for q in directions:
                    b = b - (b * q).sum(axis=1, keepdims=True) * q
            norm = np.linalg.norm(b, axis=1)
            valid &= norm > 1e-6 * before
            directions.append(b / np.where(norm > 0, norm, 1.0)[:, None])
        projected = np.zeros_like(offset)
        rest = offset
        for q in directions:
            projected = projected + (q @ self._probe)[:, None] * q
            rest = rest - (rest * q).sum(axis=1, keepdims=True) * q
        small = np.linalg.norm(rest, axis=1) <= 1e-9 * np.linalg.norm(offset, axis=1)
        rest = np.where(small[:, None], 0.0, rest)
        whole = np.rint(projected * ROUNDING).astype(np.int64)
        return self._hash(np.concatenate([whole, self._rounded(rest)], axis=1)), valid

    @staticmethod
    def _rounded(v: Floats) -> NDArray[np.int64]:
        scale = np.abs(v).max(axis=1, keepdims=True)
        scale = np.where(scale > 1e-300, scale, 1.0)
        parts = [np.rint(v / scale * ROUNDING), np.rint(np.log(scale) * ROUNDING)]
        return np.concatenate(parts, axis=1).astype(np.int64)

    def bits_key(self, v: NDArray[np.bool_]) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
        """Keys of truth vectors (n, m), and which are neither always true nor always false."""
        mixed: NDArray[np.bool_] = np.asarray(v.any(axis=1) & ~v.all(axis=1))
        return self._hash(v.astype(np.int64)), mixed

    def _hash(self, whole: NDArray[np.int64]) -> NDArray[np.uint64]:
        mixed = whole.astype(np.uint64) * self._factors[: whole.shape[1]]
        mixed ^= mixed >> np.uint64(29)
        return np.asarray((mixed * np.uint64(0x9E3779B97F4A7C15)).sum(axis=1, dtype=np.uint64))
