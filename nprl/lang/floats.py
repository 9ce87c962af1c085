"""The float meaning: generated Python for one point, generated NumPy for a batch.

`nprl.lang.writer` writes the source, which is run here, reaching nothing but what it is given.

Total: ``x / 0``, log and sqrt outside their domain are 0, and what overflows saturates at the
largest float, so finite inputs never give NaN or infinity. These checks are generated only where
`nprl.lang.interval` cannot exclude the case for inputs within ``bounds``; outside of its bounds,
bounded code may raise or return what is not finite.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nprl.lang.terms import Formula, Term
from nprl.lang.writer import MAX, Bounds, Writer, decided, source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def compile_scalar(
    terms: Sequence[Term | Formula], groups: Sequence[Sequence[str]], bounds: Bounds | None = None
) -> Callable[..., tuple[Any, ...]]:
    """A function of one sequence of floats per group; it returns a float or bool per term.

    Give it Python floats (``array.tolist()``): NumPy's scalars are slow and warn. A sequence of
    another length than its group is a ValueError at the call. ``bounds`` holds for every variable
    the closed interval that the caller promises.

    Raises:
        ValueError: a term reads a name that is in no group, a name occurs twice, or bounds miss it.
    """
    return _load(source(terms, groups, bounds, batch=False), _scalar_namespace())


def compile_guard(
    test: Formula,
    groups: Sequence[Sequence[str]],
    bounds: Bounds | None,
    then: str,
    names: Mapping[str, object],
    decide: Callable[..., tuple[tuple[float, ...], ...] | None] | None = None,
) -> Callable[..., Any]:
    """A function of one sequence per group: where ``test`` holds it goes on with ``then``.

    Else it returns None. The numbers may be of any kind: each is made a float first. ``then`` is
    the caller's fixed source, lines indented by one that end with a return, over ``names``, in
    which ``{0}``, ``{1}``, ... stand for the tuples of floats: one call instead of the several that
    conversion, test and result would be. ``decide`` may be the test in machine code, of
    `nprl.lang.native.native_guard`.

    Raises:
        ValueError: as `compile_scalar`.
    """
    if decide is not None:
        return _load(decided(len(groups), then), {"decide": decide, **names})
    text = Writer([test], groups, bounds, False).guard(then)
    return _load(text, {**_scalar_namespace(), "float": float, **names})


def compile_batch(
    terms: Sequence[Term | Formula], groups: Sequence[Sequence[str]], bounds: Bounds | None = None
) -> Callable[..., list[NDArray[Any]]]:
    """A function of one float64 array of shape (n, len(group)) per group; see `compile_scalar`.

    It returns a new array of shape (n,) per term, float64, or bool for a formula. It never warns.

    Raises:
        ValueError: as `compile_scalar`, or there is no group.
    """
    if not groups:
        raise ValueError("a batch function needs at least one group, whose length is the batch")
    return _load(source(terms, groups, bounds, batch=True), _numpy_namespace())


def _load(text: str, namespace: dict[str, Any]) -> Callable[..., Any]:
    """Run the one place of generated code; it reaches nothing but ``namespace``."""
    namespace["__builtins__"] = {}
    exec(compile(text, "<nprl.lang.floats>", "exec"), namespace)
    run: Callable[..., Any] = namespace["run"]
    return run


def _scalar_namespace() -> dict[str, Any]:
    """What generated scalar code may call."""
    return {
        "sin": math.sin, "cos": math.cos, "tan": math.tan, "tanh": math.tanh, "exp": math.exp,
        "log": math.log, "sqrt": math.sqrt, "abs": abs, "saturate": _saturate, "divide": _divide,
        "total_exp": _exp, "total_log": _log, "total_sqrt": _sqrt,
    }  # fmt: skip


def _saturate(value: float) -> float:
    return MAX if value > MAX else -MAX if value < -MAX else value


def _divide(a: float, b: float) -> float:
    return _saturate(a / b) if b else 0.0


def _exp(a: float) -> float:
    try:
        return math.exp(a)
    except OverflowError:
        return MAX


def _log(a: float) -> float:
    return math.log(a) if a > 0 else 0.0


def _sqrt(a: float) -> float:
    return math.sqrt(a) if a > 0 else 0.0


def _numpy_namespace() -> dict[str, Any]:
    """What generated NumPy code may call."""
    import numpy as np

    def saturate(value: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.minimum(np.maximum(value, -MAX), MAX)

    def divide(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        zero = np.equal(b, 0)
        return np.where(zero, 0.0, saturate(np.divide(a, np.where(zero, 1.0, b))))

    def unequal(*arrays: NDArray[np.float64]) -> None:
        raise ValueError(f"batches have one length; got {[len(a) for a in arrays]}")

    return {
        "sin": np.sin, "cos": np.cos, "tan": np.tan, "tanh": np.tanh, "exp": np.exp,
        "log": np.log, "sqrt": np.sqrt, "abs": np.abs, "saturate": saturate, "divide": divide,
        "total_exp": lambda a: np.minimum(np.exp(a), MAX),
        "total_log": lambda a: np.log(np.where(np.greater(a, 0), a, 1.0)),
        "total_sqrt": lambda a: np.sqrt(np.maximum(a, 0.0)),
        "minimum": np.minimum, "maximum": np.maximum, "where": np.where,
        "logical_and": np.logical_and, "logical_or": np.logical_or,
        "logical_not": np.logical_not, "errstate": np.errstate, "asarray": np.asarray,
        "float64": np.float64, "len": len, "unequal": unequal, "array": np.array,
        "add": np.add, "subtract": np.subtract, "multiply": np.multiply,
        "quotient": np.true_divide,
    }  # fmt: skip
