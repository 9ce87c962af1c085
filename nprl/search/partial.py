"""Partial programs: terms with places that are still open, and the productions that fill them.

An open place is a variable ``n:0``, ``n:1``, ... (a neural network stands there until it is
filled), a constant to be fitted a hole ``c:0``, ``c:1``, ..., both numbered from left to right. Only
the first open place is filled, so each program has one derivation; sums and products that differ in
the order of their parts only have one key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nprl.lang.terms import (
    Binary,
    BinaryOp,
    Compare,
    Formula,
    Relation,
    Term,
    Unary,
    UnaryOp,
    Var,
    Where,
    children,
    nodes,
    rebuilt,
    replace,
    variables,
)
from nprl.search.constants import HOLE, hole, is_hole, map_leaves
from nprl.search.grammar import Grammar

OPEN = "n:"
"""What the name of an open place begins with."""
COMMUTES = (BinaryOp.ADD, BinaryOp.MUL, BinaryOp.MIN, BinaryOp.MAX)
LINEAR = (BinaryOp.ADD, BinaryOp.SUB, BinaryOp.MIN, BinaryOp.MAX)


def open_place(index: int = 0) -> Var:
    """The open place with this number."""
    return Var(f"{OPEN}{index}")


def is_open(t: Term | Formula) -> bool:
    """Whether ``t`` is an open place."""
    return isinstance(t, Var) and t.name.startswith(OPEN)


def count(t: Term | Formula, prefix: str) -> int:
    """How many different open places (``n:``) or holes (``c:``) there are."""
    return sum(name.startswith(prefix) for name in variables(t))


def numbered(t: Term) -> Term:
    """``t`` with its open places and its holes numbered from left to right."""
    counts = {OPEN: 0, HOLE: 0}

    def change(leaf: Term) -> Term:
        prefix = OPEN if is_open(leaf) else HOLE if is_hole(leaf) else None
        if prefix is None:
            return leaf
        counts[prefix] += 1
        return Var(f"{prefix}{counts[prefix] - 1}")

    return map_leaves(t, change)


def expansions(t: Term, grammar: Grammar) -> Iterator[Term]:
    """``t`` with its first open place filled, in each way that the grammar has room for."""
    first, new = open_place(), Var(f"{OPEN}new")
    ways: list[Term] = [Var(name) for name in grammar.variables]
    if count(t, HOLE) < grammar.max_holes:
        constant = Var(f"{HOLE}new")
        ways.append(constant)
        if BinaryOp.MUL in grammar.binary:  # what two productions would do, at once
            ways += [constant * Var(name) for name in grammar.variables]
    ways += [Unary(op, new) for op in grammar.unary]
    ways += [Binary(op, new, new) for op in grammar.binary]
    if grammar.conditions:
        ways.append(Where(Compare(Relation.LE, new, new), new, new))
    for way in ways:
        found = numbered(replace(t, {first: way}))
        if nodes(found) <= grammar.max_nodes and not pointless(found):
            yield found


def pointless(t: Term | Formula) -> bool:
    """Whether a part of ``t`` is surely a smaller term: ``x - x``, ``-(-x)``, ``c + c``."""
    match t:
        case Unary(UnaryOp.NEG | UnaryOp.ABS as op, Unary(inner, _)) if op is inner or (
            op is UnaryOp.ABS and inner is UnaryOp.NEG
        ):
            return True
        case Unary(_, arg) if is_hole(arg):
            return True
        case Binary(op, left, right):
            if is_hole(left) and is_hole(right):
                return True
            if left == right and _is_closed(left) and op not in (BinaryOp.ADD, BinaryOp.MUL):
                return True
        case Where(Compare(_, low, high), then, other):
            if (low == high and _is_closed(low)) or (then == other and _is_closed(then)):
                return True
            if is_hole(low) and is_hole(high):
                return True
    return any(pointless(part) for part in children(t))


def _is_closed(t: Term) -> bool:
    """Whether neither networks nor constants are open in it."""
    return not count(t, OPEN) and not count(t, HOLE)


def key(t: Term) -> Term:
    """The same for terms that differ in the order of what commutes, and in numbers of places."""

    def anonymous(leaf: Term) -> Term:
        return open_place() if is_open(leaf) else hole() if is_hole(leaf) else leaf

    found = _sorted(map_leaves(t, anonymous))
    assert isinstance(found, Term)
    return found


def _sorted(t: Term | Formula) -> Term | Formula:
    found = rebuilt(t, _sorted)
    if isinstance(found, Binary) and found.op in COMMUTES:
        left, right = sorted((found.left, found.right), key=str)
        return Binary(found.op, left, right)
    return found


def scales(t: Term, scale: float) -> Mapping[str, float]:
    """How large the value at each open place and hole may be, where ``t`` is to be about ``scale``."""
    found: dict[str, float] = {}

    def visit(part: Term | Formula, size: float) -> None:
        match part:
            case Var(name):
                if is_open(part) or is_hole(part):
                    found[name] = size
            case Unary(UnaryOp.NEG | UnaryOp.ABS, arg):
                visit(arg, size)
            case Binary(op, left, right):
                visit(left, size)
                visit(right, size if op in LINEAR else 1.0)
            case Where(condition, then, other):
                visit(condition, 1.0)
                visit(then, size)
                visit(other, size)
            case _:
                for inner in children(part):
                    visit(inner, 1.0)

    visit(t, scale)
    return found
