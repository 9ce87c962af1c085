"""Terms, formulas and numbers as JSON, read strictly: section 1 of docs/certificate.md.

Numbers are strings ``-?n(/d)?`` in lowest terms; a JSON number is never an exact number. The reader
refuses what `json` forgives: duplicate keys, NaN, infinities, deep nesting, huge numbers.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from fractions import Fraction
from functools import partial, reduce
from itertools import accumulate
from typing import Any, NoReturn

from nprl.lang import terms as tm
from nprl.lang.terms import MAX_DEPTH, Formula, Num, Term, Var, check_depth, children

MAX_BYTES = 64 * 2**20
MAX_NESTING = 500
MAX_DIGITS = 400
_NUMBER = re.compile(r"(?!-0)-?(0|[1-9][0-9]*)(/[1-9][0-9]*)?", re.ASCII)
_BRACKETS = re.compile(r'"(?:[^"\\]+|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)

Path = tuple[Any, int | str] | str
"""Where a value stands: the name of the whole, and the index or key at each level below."""


def loads(text: str | bytes) -> Any:
    """The JSON value in ``text``.

    Raises:
        ValueError: one line; not JSON in UTF-8, above 64 MiB, more than 500 levels deep, a key
            twice in an object, NaN or an infinity, an integer of more than 400 digits.
    """
    if len(text) > MAX_BYTES:
        raise ValueError(f"JSON of {len(text)} bytes; at most {MAX_BYTES} are read")
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"not JSON: not UTF-8 at byte {error.start}") from None
    opened = ((found[0] in "[{") - (found[0] in "]}") for found in _BRACKETS.finditer(text))
    if any(depth > MAX_NESTING for depth in accumulate(opened)):
        raise ValueError(f"JSON nested deeper than {MAX_NESTING} levels")
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_int,
        )
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None


def canonical(value: object) -> str:
    """The one JSON text of ``value``: keys sorted, no spaces, ASCII.

    Raises:
        ValueError: for NaN or an infinity.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice[:80]!r} stands twice in an object")
    return result


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number here")


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text[:80]} is too large")
    return value


def _int(text: str) -> int:
    if len(text.lstrip("-")) > MAX_DIGITS:
        raise ValueError(f"an integer has at most {MAX_DIGITS} digits; got {len(text)}")
    return int(text)


def number_to_json(value: Fraction) -> str:
    """``n`` or ``n/d``, in lowest terms.

    Raises:
        ValueError: a part has more than 400 digits.
    """
    if max(abs(value.numerator), value.denominator) >= 10**MAX_DIGITS:
        raise ValueError(f"a number has at most {MAX_DIGITS} digits in each part")
    return str(value)


def number_from_json(value: object, path: Path = "number") -> Fraction:
    """The exact number that a string says; ``path`` is where it stands, for the error.

    Raises:
        ValueError: it is no string, or not in the one form.
    """
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        parts = value.removeprefix("-").split("/")
        if max(map(len, parts)) > MAX_DIGITS:
            refuse(path, value, f"a number of at most {MAX_DIGITS} digits")
        n, d = int(parts[0]), int(parts[1]) if len(parts) > 1 else 1
        if len(parts) == 1 or (d > 1 and math.gcd(n, d) == 1):
            return Fraction(-n if value[0] == "-" else n, d)
    refuse(path, value, 'an exact number, a string like "3" or "-1/20" in lowest terms,')


def place(path: Path) -> str:
    """The path as text: ``model.state[0].low``."""
    if isinstance(path, str):
        return path
    return place(path[0]) + (f"[{path[1]}]" if isinstance(path[1], int) else f".{path[1]}")


def refuse(path: Path, value: object, wanted: str) -> NoReturn:
    """Raise the error that says what belongs at ``path``, and what stands there."""
    got = repr(value)
    got = got if len(got) <= 80 else f"{got[:77]}..."
    raise ValueError(f"{place(path)}: {wanted} belongs here; got {type(value).__name__} {got}")


def to_json(node: Term | Formula) -> Any:
    """The term or formula as JSON; sums and products nested in the left operand are flattened."""
    match node:
        case Num(value):
            return number_to_json(value)
        case Var(name):
            return name
        case tm.Truth(value):
            return ["true" if value else "false"]
        case tm.Power(base, exponent):
            return ["**", to_json(base), exponent]
        case tm.Binary(
            tm.BinaryOp.ADD | tm.BinaryOp.MUL as op, tm.Binary(inner) as left, right
        ) if inner is op:
            return [*to_json(left), to_json(right)]
        case tm.Unary(op) | tm.Binary(op) | tm.Compare(op):
            return [op.value, *map(to_json, children(node))]
        case _:
            return [type(node).__name__.lower(), *map(to_json, children(node))]


def term_from_json(value: object, path: Path = "term") -> Term:
    """The term that ``value`` says; ``path`` is where it stands, for the error.

    Raises:
        ValueError: one line with the path, what stands there and what belongs there.
    """
    result: Term = _node(value, path, "t", 1)
    check_depth(result)
    return result


def formula_from_json(value: object, path: Path = "formula") -> Formula:
    """The formula that ``value`` says; ``path`` is where it stands, for the error.

    Raises:
        ValueError: as `term_from_json`.
    """
    result: Formula = _node(value, path, "f", 1)
    check_depth(result)
    return result


def _fold(op: tm.BinaryOp) -> Callable[..., Term]:
    return lambda *parts: reduce(partial(tm.Binary, op), parts)


_FORMS: dict[str, dict[str, tuple[str, Callable[..., Any]]]] = {
    "t": {
        "pi": ("", tm.Pi),
        "**": ("tn", tm.Power),
        "clip": ("ttt", tm.Clip),
        "where": ("ftt", tm.Where),
        **{op.value: ("t", partial(tm.Unary, op)) for op in tm.UnaryOp},
        **{op.value: ("tt", partial(tm.Binary, op)) for op in tm.BinaryOp},
        **{op.value: ("tt*", _fold(op)) for op in (tm.BinaryOp.ADD, tm.BinaryOp.MUL)},
    },
    "f": {
        "true": ("", partial(tm.Truth, True)),
        "false": ("", partial(tm.Truth, False)),
        "not": ("f", tm.Not),
        "and": ("ff*", lambda *parts: tm.And(parts)),
        "or": ("ff*", lambda *parts: tm.Or(parts)),
        **{relation.value: ("tt", partial(tm.Compare, relation)) for relation in tm.Relation},
    },
}
"""What each list that begins with a word is: its parts (term, formula, exponent; * for more)."""
_KINDS = {
    "t": "a term (a string, or a list that begins with an operator)",
    "f": "a formula (a list that begins with <=, and, not, true, ...)",
}


def _node(value: Any, path: Path, kind: str, depth: int) -> Any:
    if kind == "n":
        return value
    if kind == "t" and isinstance(value, str):
        if value[:1] in set("-0123456789"):
            return Num(number_from_json(value, path))
        try:
            return Var(value)
        except ValueError as error:
            refuse(path, value, f"{error}; a name")
    if depth > MAX_DEPTH:
        refuse(path, "...", f"a term of at most {MAX_DEPTH} levels")
    if not isinstance(value, list) or not value or not isinstance(value[0], str):
        refuse(path, value, _KINDS[kind])
    kinds, make = _FORMS[kind].get(value[0], ("?", tm.Pi))
    if kinds.endswith("*"):
        kinds = kinds[:-1].ljust(len(value) - 1, kinds[0])
    if len(kinds) != len(value) - 1 or kinds == "?":
        refuse(path, value, "an operator with its number of arguments")
    below = zip(value[1:], kinds, strict=True)
    parts = [_node(part, (path, k), kind, depth + 1) for k, (part, kind) in enumerate(below, 1)]
    try:
        return make(*parts)
    except ValueError as error:  # an exponent
        refuse(path, value, str(error))
