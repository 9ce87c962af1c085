"""Terms, formulas and numbers as JSON, read strictly: section 1 of docs/certificate.md.

Numbers are strings ``-?n(/d)?`` in lowest terms; a JSON number is never an exact number. The reader
refuses what `json` forgives: duplicate keys, NaN, infinities, deep nesting, huge numbers.
"""

from __future__ import annotations

import json
import math
import re
from fractions import Fraction
from typing import Any, NoReturn, assert_never

from nprl.lang.terms import (
    MAX_DEPTH,
    And,
    Binary,
    BinaryOp,
    Clip,
    Compare,
    Formula,
    Not,
    Num,
    Or,
    Pi,
    Power,
    Relation,
    Term,
    Truth,
    Unary,
    UnaryOp,
    Var,
    Where,
    check_depth,
)

MAX_BYTES = 64 * 2**20
MAX_NESTING = 500
MAX_DIGITS = 400
_NUMBER = re.compile(r"(?!-0)-?(0|[1-9][0-9]*)(/[1-9][0-9]*)?", re.ASCII)
_BRACKETS = re.compile(r'"(?:[^"\\]+|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_UNARY = {op.value: op for op in UnaryOp}
_BINARY = {op.value: op for op in BinaryOp}
_RELATION = {relation.value: relation for relation in Relation}

Path = tuple[Any, int] | str
"""Where a value stands: the name of the whole, and the index at each level below."""


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
    depth = 0
    for found in _BRACKETS.finditer(text):
        if found[0] in "[{":
            depth += 1
            if depth > MAX_NESTING:
                raise ValueError(f"JSON nested deeper than {MAX_NESTING} levels")
        elif found[0] in "]}":
            depth -= 1
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
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


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
            _refuse(path, value, f"a number of at most {MAX_DIGITS} digits")
        n, d = int(parts[0]), int(parts[1]) if len(parts) > 1 else 1
        if len(parts) == 1 or (d > 1 and math.gcd(n, d) == 1):
            return Fraction(-n if value[0] == "-" else n, d)
    _refuse(path, value, 'an exact number, a string like "3" or "-1/20" in lowest terms,')


def _refuse(path: Path, value: object, wanted: str) -> NoReturn:
    indices = ""
    while not isinstance(path, str):
        path, indices = path[0], f"[{path[1]}]{indices}"
    got = repr(value)
    got = got if len(got) <= 80 else f"{got[:77]}..."
    raise ValueError(f"{path}{indices}: {wanted} belongs here; got {type(value).__name__} {got}")


def term_to_json(t: Term) -> Any:
    """The term as JSON; sums and products nested in the left operand are flattened."""
    match t:
        case Num(value):
            return number_to_json(value)
        case Pi():
            return ["pi"]
        case Var(name):
            return name
        case Unary(op, arg):
            return [op.value, term_to_json(arg)]
        case Binary(BinaryOp.ADD | BinaryOp.MUL as op, left, right):
            head = term_to_json(left)
            nested = isinstance(left, Binary) and left.op is op
            return [*(head if nested else [op.value, head]), term_to_json(right)]
        case Binary(op, left, right):
            return [op.value, term_to_json(left), term_to_json(right)]
        case Power(base, exponent):
            return ["**", term_to_json(base), exponent]
        case Clip(arg, low, high):
            return ["clip", term_to_json(arg), term_to_json(low), term_to_json(high)]
        case Where(condition, then, other):
            return ["where", formula_to_json(condition), term_to_json(then), term_to_json(other)]
        case _:
            assert_never(t)


def formula_to_json(f: Formula) -> Any:
    """The formula as JSON."""
    match f:
        case Truth(value):
            return ["true"] if value else ["false"]
        case Compare(relation, left, right):
            return [relation.value, term_to_json(left), term_to_json(right)]
        case And(parts):
            return ["and", *map(formula_to_json, parts)]
        case Or(parts):
            return ["or", *map(formula_to_json, parts)]
        case Not(part):
            return ["not", formula_to_json(part)]
        case _:
            assert_never(f)


def term_from_json(value: object, path: str = "term") -> Term:
    """The term that ``value`` says; ``path`` names it in the error.

    Raises:
        ValueError: one line with the path, what stands there and what belongs there.
    """
    result = _term(value, path, 1)
    check_depth(result)
    return result


def formula_from_json(value: object, path: str = "formula") -> Formula:
    """The formula that ``value`` says; ``path`` names it in the error.

    Raises:
        ValueError: as `term_from_json`.
    """
    result = _read_formula(value, path, 1)
    check_depth(result)
    return result


def _term(value: object, path: Path, depth: int) -> Term:
    if isinstance(value, str):
        if value[:1] in set("-0123456789"):
            return Num(number_from_json(value, path))
        try:
            return Var(value)
        except ValueError as error:
            _refuse(path, value, f"{error}; a name")
    if not isinstance(value, list) or not value or not isinstance(value[0], str):
        _refuse(path, value, "a term (a string or a list that begins with an operator)")
    if depth > MAX_DEPTH:
        _refuse(path, "...", f"a term of at most {MAX_DEPTH} levels")
    op, parts = value[0], value[1:]
    if op == "**" and len(parts) == 2:
        try:
            return Power(_term(parts[0], (path, 1), depth + 1), parts[1])
        except TypeError as error:
            _refuse(path, parts[1], str(error))
    if op == "where" and len(parts) == 3:
        test = _read_formula(parts[0], (path, 1), depth + 1)
        then = _term(parts[1], (path, 2), depth + 1)
        return Where(test, then, _term(parts[2], (path, 3), depth + 1))
    count = len(parts)
    if not (
        (op == "pi" and count == 0)
        or (op in _UNARY and count == 1)
        or (op in _BINARY and (count == 2 or (op in ("+", "*") and count > 2)))
        or (op == "clip" and count == 3)
    ):
        _refuse(path, value, "an operator with its number of arguments")
    terms: list[Term] = []
    for k, part in enumerate(parts, 1):
        terms.append(_term(part, (path, k), depth + 1))
    if op == "pi":
        return Pi()
    if op == "clip":
        return Clip(*terms)
    if op in _UNARY:
        return Unary(_UNARY[op], terms[0])
    result = terms[0]
    for other in terms[1:]:
        result = Binary(_BINARY[op], result, other)
    return result


def _read_formula(value: object, path: Path, depth: int) -> Formula:
    if not isinstance(value, list) or not value or not isinstance(value[0], str):
        _refuse(path, value, "a formula (a list that begins with <=, and, not, true, ...)")
    if depth > MAX_DEPTH:
        _refuse(path, "...", f"a formula of at most {MAX_DEPTH} levels")
    op, parts = value[0], value[1:]
    if op in ("true", "false") and not parts:
        return Truth(op == "true")
    if op in _RELATION and len(parts) == 2:
        left = _term(parts[0], (path, 1), depth + 1)
        return Compare(_RELATION[op], left, _term(parts[1], (path, 2), depth + 1))
    if (op == "not" and len(parts) == 1) or (op in ("and", "or") and len(parts) >= 2):
        formulas: list[Formula] = []
        for k, part in enumerate(parts, 1):
            formulas.append(_read_formula(part, (path, k), depth + 1))
        if op == "not":
            return Not(formulas[0])
        return And(tuple(formulas)) if op == "and" else Or(tuple(formulas))
    _refuse(path, value, "a comparison, and, or, not, true or false with its number of parts")
