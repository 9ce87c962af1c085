"""JSON shapes: what stands in a file, said once, for reading and for writing.

A `Shape` reads a JSON value strictly, and names the place in its errors; it writes what it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Generic, TypeVar

from nprl.lang.serial import (
    Path,
    formula_from_json,
    number_from_json,
    number_to_json,
    place,
    refuse,
    term_from_json,
    to_json,
)
from nprl.lang.terms import Formula, Term

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shape(Generic[T]):
    """``read(value, path)`` raises ValueError for what does not fit; ``write`` is its inverse."""

    read: Callable[[Any, Path], T]
    write: Callable[[T], Any] = lambda value: value


def plain(kind: type[T], what: str) -> Shape[T]:
    """A value that is of this JSON type already; true is no number."""

    def read(value: Any, path: Path) -> T:
        if type(value) is not kind:
            refuse(path, value, what)
        result: T = value
        return result

    return Shape(read)


NUMBER: Shape[Fraction] = Shape(number_from_json, number_to_json)
TERM: Shape[Term] = Shape(term_from_json, to_json)
FORMULA: Shape[Formula] = Shape(formula_from_json, to_json)
TEXT, WHOLE = plain(str, "a text"), plain(int, "a whole number")
FLAG, LIST = plain(bool, "true or false"), plain(list, "a list")
OBJECT: Shape[dict[str, Any]] = plain(dict, "an object")


def many(item: Shape[T]) -> Shape[tuple[T, ...]]:
    """A list of any length."""
    return Shape(
        lambda v, path: tuple(item.read(x, (path, k)) for k, x in enumerate(LIST.read(v, path))),
        lambda values: [item.write(x) for x in values],
    )


def table(item: Shape[T]) -> Shape[dict[str, T]]:
    """An object with any keys."""
    return Shape(
        lambda v, path: {k: item.read(x, (path, k)) for k, x in OBJECT.read(v, path).items()},
        lambda values: {k: item.write(x) for k, x in values.items()},
    )


def optional(item: Shape[T]) -> Shape[T | None]:
    """The item, or null."""
    return Shape(
        lambda v, path: None if v is None else item.read(v, path),
        lambda value: None if value is None else item.write(value),
    )


def record(
    make: Callable[..., T],
    parts: Mapping[str, Shape[Any]],
    versions: Mapping[str, str] | None = None,
    remedy: str = "",
    spare: tuple[str, ...] = (),
) -> Shape[T]:
    """An object with exactly these keys: the arguments of ``make``, the attributes of what it makes.

    ``versions`` are further keys and the only texts that are accepted there; ``remedy`` says what
    to do with another one. A key of ``parts`` that is ``spare`` is absent where its value is None.
    """
    fixed = dict(versions or {})
    keys = [*fixed, *parts]

    def read(value: Any, path: Path) -> T:
        data = OBJECT.read(value, path)
        missing = [k for k in keys if k not in data and k not in spare]
        for key in missing + [k for k in data if k not in keys]:
            problem = "misses" if key in keys else "has the unknown key"
            raise ValueError(f"{place(path)} {problem} {key!r}; the keys are {', '.join(keys)}")
        for key, text in fixed.items():
            if data[key] != text:
                got = f"{place((path, key))}: got {data[key]!r}"
                raise ValueError(f"{got}; accepted is {text!r}{remedy}")
        return make(**{k: s.read(data[k], (path, k)) for k, s in parts.items() if k in data})

    def write(value: T) -> Any:
        kept = {k: s for k, s in parts.items() if k not in spare or getattr(value, k) is not None}
        return fixed | {k: s.write(getattr(value, k)) for k, s in kept.items()}

    return Shape(read, write)


def row(make: Callable[..., T], parts: Mapping[str, Shape[Any]]) -> Shape[T]:
    """A list of exactly these: the arguments of ``make``, the attributes of what it makes."""

    def read(value: Any, path: Path) -> T:
        if len(LIST.read(value, path)) != len(parts):
            refuse(path, value, f"[{', '.join(parts)}]")
        read = zip(value, parts.values(), strict=True)
        return make(*(shape.read(x, (path, k)) for k, (x, shape) in enumerate(read)))

    return Shape(read, lambda v: [shape.write(getattr(v, k)) for k, shape in parts.items()])
