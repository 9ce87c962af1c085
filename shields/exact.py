"""The stand-alone exact checker: each goal of a certificate, decided in rational arithmetic.

Run ``python shields/exact.py CERTIFICATE...``. The specification is ``docs/certificate.md``, whose
sections are the numbers below. Only the standard library is imported and no code is shared with
the checker that uses Z3: two programs must be wrong alike before a broken certificate passes. What
exceeds a bound (size, depth, digits, monomials, work; never time) is refused or not proved. The
functions tan, tanh, exp and log have no enclosure here: ``domain`` is not proved where they occur.
"""

import hashlib
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from itertools import product
from pathlib import Path
from reprlib import repr as short
from threading import Lock
from types import SimpleNamespace
from typing import Any

Json = Any  # what json.loads returns
Interval = tuple[Fraction, Fraction]  # closed
Polynomial = dict[tuple[str, ...], Fraction]  # sorted names, one per power

MAX_BYTES, MAX_DEPTH, MAX_RECURSION, MAX_CLAUSES, MAX_WORK = 1 << 26, 500, 20_000, 1000, 20_000_000
MAX_MONOMIALS, MAX_DEGREE, MAX_BITS, MAX_BERNSTEIN = 20_000, 100, 20_000, 5_000
NUMBER = re.compile(r"-?[0-9]{1,400}(/[0-9]{1,400})?")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
TERMS = {"+": "tt", "*": "tt", "pi": "", "where": "ftt", "clip": "ttt", "**": "tn", "neg": "t"}
TERMS |= dict.fromkeys(("-", "/", "min", "max"), "tt")  # kinds: t term, f formula, n exponent
TERMS |= dict.fromkeys(("abs", "sin", "cos", "tan", "tanh", "exp", "log", "sqrt"), "t")
FORMULAS = dict.fromkeys(("<=", "<", ">=", ">"), "tt") | {"true": "", "false": "", "not": "f"}
FORMULAS |= {"and": "f", "or": "f"}
ZERO, ONE, U, TINY = Fraction(0), Fraction(1), Fraction(1, 2**53), Fraction(1, 2**1074)
PI_BOX = Fraction(314159265358979323846, 10**20), Fraction(314159265358979323847, 10**20)
LOCK = Lock()


class NotProved(ValueError):
    """The goal does not follow, or not in this way; one line."""


def require(truth: object, what: str, kind: type[ValueError] = ValueError) -> None:
    """Refuse the file, or with NotProved the proof, unless this holds."""
    if not truth:
        raise kind(what)


# 1. Numbers and terms


@dataclass(frozen=True, eq=False, slots=True)
class Term:
    """A node of a term or formula, made by ``node``: equal ones are one object."""

    op: str
    args: tuple[Any, ...]


@lru_cache(maxsize=None)
def node(op: str, *args: Any) -> Term:
    """The node of this shape; ``a - 0`` is ``a``, so that ``q >= 0`` can be written for any q."""
    if op == "-" and args[1] is num(0):
        return args[0]  # type: ignore[no-any-return]
    return Term(op, args)


def num(value: int | Fraction) -> Term:
    """A number as a term."""
    return node("num", Fraction(value))


def var(name: str) -> Term:
    """A variable as a term."""
    return node("var", name)


def number(value: Json) -> Fraction:
    """The exact number of a string in lowest terms."""
    ok = isinstance(value, str) and NUMBER.fullmatch(value)
    require(ok, f"{short(value)} is no exact number; write '-12' or '3/40'")
    above, _, below = value.partition("/")
    result = Fraction(int(above), int(below or 1) or 1)
    require(str(result) == value, f"{short(value)} is not in lowest terms")
    return result


def parse(value: Json, names: Iterable[str], kind: str = "t") -> Any:
    """A term (kind t), formula (f) or exponent (n) over the names; see ``TERMS``, ``FORMULAS``.

    Sums and products nest to the left, comparisons become ``ge`` and ``gt`` (l >= r, l > r), clip
    is min of max, where is nested nodes ``if ge`` and ``if gt`` of (l, r, a, b).
    """
    if kind == "n" and type(value) is int and 0 <= value <= 16:
        return value
    if kind == "t" and isinstance(value, str):
        require(value in names or not NAME.match(value), f"no name {short(value)}", NotProved)
        return var(value) if value in names else num(number(value))
    require(type(value) is list and value and type(value[0]) is str, f"no term: {short(value)}")
    op, args = value[0], value[1:]
    kinds = (TERMS if kind == "t" else FORMULAS if kind == "f" else {}).get(op)
    if kinds is not None and op in ("+", "*", "and", "or"):
        kinds += kinds[0] * (len(args) - len(kinds))
    require(kinds is not None and len(args) == len(kinds), f"no term or formula: {short(value)}")
    new = [parse(a, names, k) for a, k in zip(args, kinds or "", strict=True)]
    if op in ("+", "*"):
        for right in new[1:]:
            new[0] = node(op, new[0], right)
        return new[0]
    if op[0] in "<>":
        return node("ge" if "=" in op else "gt", *(new if ">" in op else reversed(new)))
    if op == "clip":
        return node("min", node("max", *new[:2]), new[2])
    return branch(*new) if op == "where" else node(op, *new)


def branch(f: Term, a: Term, b: Term) -> Term:
    """Where f holds a, else b; each node tests one comparison."""
    match f.op:
        case "true" | "false":
            return a if f.op == "true" else b
        case "not":
            return branch(f.args[0], b, a)
        case "ge" | "gt":
            return node("if " + f.op, *f.args, a, b)
    result = a if f.op == "and" else b
    for g in reversed(f.args):
        result = branch(g, result, b) if f.op == "and" else branch(g, a, result)
    return result


def rewrite(t: Term, known: dict[Term, Term], change: Callable[[Term], Term] | None = None) -> Term:
    """Replace the keys of ``known`` (it is filled as a cache); ``change`` acts upwards."""
    if t not in known:
        args = [rewrite(a, known, change) if isinstance(a, Term) else a for a in t.args]
        new = t if args == list(t.args) else node(t.op, *args)
        known[t] = change(new) if change and new.op == t.op else new
    return known[t]


def normal(terms: Iterable[Term], tag: str = "") -> tuple[list[Term], list[Term]]:
    """Guards as ``q >= 0``; with a tag, ``t:TAGk`` is added to the k-th distinct q and listed."""
    known: dict[Term, Term] = {}
    seen: dict[Term, Term] = {}

    def change(n: Term) -> Term:
        if n.op not in ("if ge", "if gt"):
            return n
        q = node("-", *n.args[:2])
        if tag:
            q = node("+", q, seen.setdefault(q, var(f"t:{tag}{len(seen)}")))
        return node(n.op, q, num(0), *n.args[2:])

    return [rewrite(t, known, change) for t in terms], list(seen.values())


# 2, 3. The file


def load(data: bytes) -> Json:
    """The JSON of the bytes; duplicate keys are refused."""

    def pairs(items: list[tuple[str, Json]]) -> dict[str, Json]:
        require(len(dict(items)) == len(items), "a key occurs twice in an object")
        return dict(items)

    require(len(data) <= MAX_BYTES, f"more than {MAX_BYTES} bytes")
    return json.loads(data.decode("utf-8"), object_pairs_hook=pairs)


def canonical(value: Json, depth: int = 1) -> Json:
    """The same JSON, sums and products flattened on the left; NaN and too much depth refused."""
    require(depth <= MAX_DEPTH + 1, f"nested more than {MAX_DEPTH} levels deep")
    require(type(value) is not float or math.isfinite(value), "NaN or Infinity")
    if isinstance(value, dict):
        return {k: canonical(v, depth + 1) for k, v in value.items()}
    if not isinstance(value, list):
        return value
    items = [canonical(v, depth + 1) for v in value]
    sums = len(items) > 2 and items[0] in ("+", "*") and items[1][:1] == items[:1]
    return items[1] + items[2:] if sums else items


def read(value: Json, shape: Any, what: str) -> Any:
    """Parse by a shape: a dict has its keys, a list its items, a tuple (s,) is any number of s."""
    if isinstance(shape, dict):
        ok = isinstance(value, dict) and value.keys() == shape.keys()
        require(ok, f"{what}: got {short(value)}, accepted: exactly the keys {' '.join(shape)}")
        return {k: read(value[k], shape[k], k) for k in shape}
    if isinstance(shape, (list, tuple)):
        ok = isinstance(value, list) and (isinstance(shape, tuple) or len(value) == len(shape))
        require(ok, f"{what}: got {short(value)}, accepted: a list of the right length")
        shapes = shape if isinstance(shape, list) else shape * len(value)
        return [read(v, s, what) for v, s in zip(value, shapes, strict=True)]
    if isinstance(shape, type):
        require(type(value) is shape, f"{what}: got {short(value)}, accepted: {shape.__name__}")
    return value if isinstance(shape, type) else shape(value)


def certificate(data: Json) -> SimpleNamespace:
    """The parts of a certificate under their names; ValueError says what is wrong."""
    model = "init safe terminal reward choices dt unsafe_reward"
    keep = lambda value: value  # read later
    kinds = dict.fromkeys("format name integrator provenance notes".split(), str)
    coordinate = ({"name": str, "unit": str, "low": number, "high": number},)
    ...
