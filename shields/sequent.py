"""Sequents, and the rules that take one apart: what both the checker and the provers work with.

A sequent says: for all reals, if every premise is >= 0, then all conclusions of one of the
alternatives hold. A rule replaces a sequent by others that together imply it; `expand` is the one
place that does so. The leaves are left to the checker. See ``docs/certificate.md``, sections 5 and
6.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from itertools import chain, islice, product
from typing import Any, assert_never

from nprl.lang import functions
from nprl.lang import terms as tm
from nprl.lang.serial import number_from_json, term_from_json
from nprl.lang.terms import Formula, Node, Num, Term, Var, rebuilt, subterms, variables
from nprl.lang.terms import replace as substitute

MAX_ORDER, BITS = 12, 96
ORDERS = range(1, MAX_ORDER + 1)
MAX_NODES = 100_000
MAX_CLAUSES = 1_000
PI_LOW = Fraction(314159265358979323846, 10**20)
PI_HIGH = Fraction(314159265358979323847, 10**20)
ZERO, ONE = Num(Fraction(0)), Num(Fraction(1))
RULES = dict.fromkeys(("split", "cut", "pieces", "divide", "root", "exp"), 2)
RULES |= {"part": 1, "function": 1, "name": 1}
"""The inner nodes, with the number of their subtrees."""


class ProofError(ValueError):
    """A proof object that does not fit its sequent."""


@dataclass(frozen=True, slots=True)
class Conclusion:
    """``term >= 0``, or ``term > 0`` if strict."""

    term: Term
    strict: bool = False


class Memory:
    """What the sequents of one proof share, so that it is worked out once; it changes no result."""

    def __init__(self) -> None:
        self._one: dict[Any, Any] = {}
        self._parts: dict[Term, frozenset[Term | Formula]] = {}
        self._read: dict[str, tuple[Term, frozenset[str]]] = {}
        self.refuted = set[str]()
        """The texts that Z3 has refuted."""

    def one(self, t: Any) -> Any:
        """The one object for all that equal ``t``, parts too: to be compared, not looked into."""
        found = self._one.get(t)
        if found is None:
            found = rebuilt(t, self.one)
            self._one[found] = found
        return found

    def read(self, value: Any) -> tuple[Term, frozenset[str]]:
        """The term that a proof's node holds, expanded; the names in it."""
        key = repr(value)
        if key not in self._read:
            t = self.one(expanded(term_from_json(value)))
            self._read[key] = t, variables(t)
        return self._read[key]

    def replaced(self, t: Term, old: Term, new: Term) -> Term:
        """``t`` with ``new`` for ``old``."""
        if t not in self._parts:
            self._parts[t] = frozenset(subterms(t))
        result: Term = self.one(substitute(t, {old: new})) if old in self._parts[t] else t
        return result


@dataclass(frozen=True, slots=True)
class Sequent:
    """Premises (each >= 0) imply all conclusions of one alternative; ``names`` counts given names."""

    premises: tuple[Term, ...]
    alternatives: tuple[tuple[Conclusion, ...], ...]
    names: int = 0
    memory: Memory = field(default_factory=Memory, compare=False, repr=False)

    def given(self, *terms: Term) -> Sequent:
        """The same with further premises."""
        return replace(self, premises=(*self.premises, *map(self.memory.one, terms)))

    def concluding(self, term: Term, strict: bool = False) -> Sequent:
        """The same premises, this one conclusion."""
        return replace(self, alternatives=((Conclusion(term, strict),),))

    def replacing(self, old: Term, new: Term) -> Sequent:
        """``new`` for ``old`` everywhere."""
        return self.changed(partial(self.memory.replaced, old=old, new=new))

    def changed(self, change: Callable[[Term], Term]) -> Sequent:
        """The same with each term changed so."""
        premises = tuple(map(change, self.premises))
        changed = [[Conclusion(change(c.term), c.strict) for c in a] for a in self.alternatives]
        return replace(self, premises=premises, alternatives=tuple(map(tuple, changed)))

    def naming(self, old: Term) -> tuple[Var, Sequent]:
        """A fresh variable, and the sequent with it for ``old`` everywhere."""
        fresh = Var(f"a:{self.names}")
        return fresh, replace(self.replacing(old, fresh), names=self.names + 1)


def expand(node: list[Any], s: Sequent) -> list[Sequent]:
    """The sequents that the subtrees of an inner node must prove, in the order of the subtrees.

    Raises:
        ProofError: for a node that does not fit.
    """
    match node:
        case ["part", int(k), _] if type(k) is int and 0 <= k < len(s.alternatives):
            return [replace(s, alternatives=(s.alternatives[k],))]
        case [str(rule), _, *rest] if rule in RULES:
            t, names = s.memory.read(node[1])
            early = names - {f"a:{k}" for k in range(s.names)}
            if any(name.startswith("a:") for name in early):
                raise ProofError(f"a proof may speak of a:n only where a rule has given it: {t}")
        case _:
            raise ProofError(f"no rule fits the node {str(node[:1])[:40]}")
    match node[0], t, rest:
        case "split", _, [_, _]:
            return [s.given(t), s.given(-t)]
        case "cut", _, [_, _]:
            return [s.concluding(t), s.given(t)]
        case "pieces", tm.Binary(tm.BinaryOp.MIN, a, b), [_, _]:
            return [s.replacing(t, a).given(b - a), s.replacing(t, b).given(a - b)]
        case "pieces", tm.Binary(tm.BinaryOp.MAX, a, b), [_, _]:
            return [s.replacing(t, a).given(a - b), s.replacing(t, b).given(b - a)]
        case "pieces", tm.Unary(tm.UnaryOp.ABS, a), [_, _]:
            return [s.replacing(t, a).given(a), s.replacing(t, -a).given(-a)]
        case "pieces", tm.Where(tm.Compare(tm.Relation.GE | tm.Relation.GT, q, _), a, b), [_, _]:
            return [s.replacing(t, a).given(q), s.replacing(t, b).given(-q)]
    v, after = s.naming(t)
    match node[0], t, rest:
        case "name", _, [_]:
            return [after]
        case "function", tm.Pi(), [int(), _]:
            return [after.given(v - PI_LOW, PI_HIGH - v)]
        case "function", tm.Unary(tm.UnaryOp.SIN | tm.UnaryOp.COS as op, a), [int(k), _] if (
            type(k) is int and k in ORDERS
        ):
            low, high = taylor(op, a, k)
            return [after.given(v - low, high - v, 1 - v, 1 + v)]
        case "divide", tm.Binary(tm.BinaryOp.DIV, n, d), ["+" | "-" as sign, _, _]:
            positive = s.concluding(d if sign == "+" else -d, strict=True)
            return [positive, after.given(v * d - n, n - v * d)]
        case "root", tm.Unary(tm.UnaryOp.SQRT, a), [_, _]:
            return [s.concluding(a), after.given(v * v - a, a - v * v, v)]
        case "exp", tm.Unary(op, a), [int(k), *ends, _, _] if type(k) is int and k in ORDERS:
            side = (Conclusion(a, strict=True),) if op is tm.UnaryOp.LOG else ()
            return [replace(s, alternatives=(side,)), after.given(*growth(op, a, v, k, *ends))]
        case _:
            raise ProofError(f"the rule {node[0]} with {len(rest)} more does not fit {str(t)[:60]}")


def subtrees(node: list[Any]) -> list[Any]:
    """The subtrees of an inner node, in order."""
    return node[-RULES[node[0]] :]


def taylor(op: tm.UnaryOp, a: Term, k: int) -> tuple[Term, Term]:
    """Polynomials below and above sin(a) or cos(a), for all real a (Taylor, Lagrange's remainder)."""
    first = 1 if op is tm.UnaryOp.SIN else 0
    total = _series(-(a * a), [n * (n - 1) for n in range(2 + first, 2 * k + first, 2)])
    total = a * total if first else total
    rest = (a * a) ** k / math.factorial(2 * k)
    return total - rest, total + rest


def growth(op: tm.UnaryOp, a: Term, v: Term, k: int, *ends: Any) -> tuple[Term, ...]:
    """What ``n = d exp(x)`` with n, d >= 0 implies: exp is at least its Taylor sum of odd degree.

    ``ends`` are c and numbers that must bound exp(c): about c the sum has ``2 k`` terms.
    """
    forms = {"exp": (v, ONE, a), "tanh": (1 + v, 1 - v, 2 * a), "log": (a, ONE, v)}
    c, low, high = map(number_from_json, ends)
    least, most = functions.exp(c, BITS)
    if op.value not in forms or not 0 <= low <= least or high < most:
        raise ProofError(f"exp, tanh or log, and c, low <= exp(c) <= high; got {op.value}, {ends}")
    n, d, x = forms[op.value]
    above, below = (_series(y, range(1, 2 * k)) for y in (x - c, c - x))
    return n - low * above * d, high * d - below * n, n, d


def _series(y: Term, divisors: Sequence[int]) -> Term:
    """``1 + y/d (1 + y/d' (1 + ...))``."""
    total: Term = ONE
    for d in reversed(divisors):
        total = 1 + y * total / d
    return total


def expanded(t: Term, guard: Callable[[Term], Term] = lambda q: q) -> Term:
    """``t`` with clip as min of max, tan as sin/cos, each ``where`` on one comparison ``q >= 0`` or ``q > 0``.

    ``guard`` may change each q; it meets those of a condition's parts and of the branches first.

    Raises:
        ProofError: where the result, written out, would be too large.
    """

    def visit(node: Any) -> Any:
        match node:
            case tm.Clip(arg, low, high):
                inner = tm.Binary(tm.BinaryOp.MAX, visit(arg), visit(low))
                return tm.Binary(tm.BinaryOp.MIN, inner, visit(high))
            case tm.Where(condition, then, other):
                return _where(visit(condition), visit(then), visit(other), guard)
            case tm.Unary(tm.UnaryOp.TAN, arg):
                inner = visit(arg)
                return tm.Unary(tm.UnaryOp.SIN, inner) / tm.Unary(tm.UnaryOp.COS, inner)
            case _:
                return rebuilt(node, visit)

    result: Term = visit(t)
    if sum(1 for _ in islice(subterms(result), MAX_NODES)) == MAX_NODES:
        raise ProofError(f"a term has {MAX_NODES} nodes or more when it is expanded")
    return result


def _where(f: Formula, then: Term, other: Term, guard: Callable[[Term], Term]) -> Term:
    match f:
        case tm.Truth(value):
            return then if value else other
        case tm.Not(part):
            return _where(part, other, then, guard)
        case tm.And(parts) | tm.Or(parts):
            result = then if isinstance(f, tm.And) else other
            for part in reversed(parts):
                ends = (result, other) if isinstance(f, tm.And) else (then, result)
                result = _where(part, *ends, guard)
            return result
        case tm.Compare():
            q, strict = _difference(f)
            kind = tm.Relation.GT if strict else tm.Relation.GE
            guarded = guard(q.left if q.right == ZERO else q)
            return tm.Where(tm.Compare(kind, guarded, ZERO), then, other)
        case _:
            assert_never(f)


def _difference(f: tm.Compare, positive: bool = True) -> tuple[tm.Binary, bool]:
    """A comparison, or its negation, as (q, strict): ``q >= 0``, or ``q > 0``, with q = l - r."""
    less = f.relation in (tm.Relation.LE, tm.Relation.LT)
    strict = f.relation in (tm.Relation.GT, tm.Relation.LT)
    sides = (f.right, f.left) if less is positive else (f.left, f.right)
    return tm.Binary(tm.BinaryOp.SUB, *sides), strict is positive


Literals = tuple[tuple[Term, bool], ...]
"""Comparisons as (q, strict), their terms expanded."""


def conjunctive(f: Formula, positive: bool = True) -> tuple[Literals, ...]:
    """Conjunctive normal form of ``f`` (of its negation, if not ``positive``): clauses of literals."""
    return _normal(f, positive, tm.And)


def disjunctive(f: Formula, positive: bool = True) -> tuple[Literals, ...]:
    """Disjunctive normal form, in the same way: alternatives of literals."""
    return _normal(f, positive, tm.Or)


def _normal(f: Formula, positive: bool, outer: type[tm.And | tm.Or]) -> tuple[Literals, ...]:
    match f:
        case tm.Truth(value):
            return () if (value is positive) is (outer is tm.And) else ((),)
        case tm.Not(part):
            return _normal(part, not positive, outer)
        case tm.Compare():
            return ((_difference(rebuilt(f, expanded), positive),),)
        case tm.And(parts) | tm.Or(parts):
            forms = [_normal(p, positive, outer) for p in parts]
            if isinstance(f, outer) is positive:
                return tuple(chain(*forms))
            if math.prod(map(len, forms)) > MAX_CLAUSES:
                raise ProofError(f"a normal form has more than {MAX_CLAUSES} clauses")
            return tuple(tuple(chain(*choice)) for choice in product(*forms))
        case _:
            assert_never(f)


def conclusions(terms: Iterable[Term]) -> tuple[Conclusion, ...]:
    """That each is >= 0."""
    return tuple(map(Conclusion, terms))


def one_of(clause: Literals, *premises: Term) -> Sequent:
    """One of the literals holds where the premises do: the first, where the others fail, too."""
    first = Conclusion(*clause[0]) if clause else Conclusion(Num(Fraction(-1)))
    return Sequent((*premises, *(-t for t, _ in clause[1:])), ((first,),))


def assign(t: Node, at: Mapping[str, Term]) -> Node:
    """``t`` with the named variables replaced, all at once."""
    return substitute(t, {Var(name): value for name, value in at.items()})
