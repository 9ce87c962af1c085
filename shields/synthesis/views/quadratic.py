"""The degree of a polynomial, and a quadratic one as matrices of floats: ``p = c + l.x - x'Mx``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nprl.shields.polynomial import Polynomial

Array = npt.NDArray[np.float64]


def degree(p: Polynomial) -> int:
    """The total degree."""
    most = 0
    for m in p:
        size = 0
        for _, k in m:
            size += k
        if size > most:
            most = size
    return most


def concave_form(p: Polynomial, names: Sequence[str]) -> tuple[Array, Array, float]:
    """M (symmetric, n by n), l (n) and c of a polynomial of degree two at most."""
    n = len(names)
    index = {name: i for i, name in enumerate(names)}
    quadratic, linear = np.zeros((n, n)), np.zeros(n)
    for monomial, value in p.items():
        used = [index[name] for name, k in monomial for _ in range(k)]
        if len(used) == 1:
            linear[used[0]] += float(value)
        elif len(used) == 2:
            quadratic[used[0], used[1]] -= float(value) / 2
            quadratic[used[1], used[0]] -= float(value) / 2
    return quadratic, linear, float(p.get((), 0))
