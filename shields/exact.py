"""The stand-alone exact checker: each goal of a certificate, decided in rational arithmetic.

``python shields/exact.py CERTIFICATE...``. The specification is ``docs/certificate.md``, its sections
are the numbers below. Only the standard library is imported and no code shared with the checker that
uses Z3: two programs must be wrong alike before a broken certificate passes. What exceeds a bound
(size, depth, digits, monomials, work; never time) is refused or not proved. tan, tanh, exp and log
have no enclosure here: ``domain`` fails where they occur. What no goal reads is held by the digest.
"""

import json
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import lru_cache, reduce
from hashlib import sha256
from itertools import product
from pathlib import Path
from reprlib import repr as short
from threading import Lock
from types import SimpleNamespace
from typing import Any, NamedTuple

Json = Any  # what json.loads returns
Interval = tuple[Fraction, Fraction]  # closed
Polynomial = dict[tuple[str, ...], Fraction]  # sorted names, one for each power

MAX_BYTES, MAX_DEPTH, MAX_RECURSION, MAX_CLAUSES, MAX_WORK = 1 << 26, 500, 20_000, 1000, 10_000_000
MAX_MONOMIALS, MAX_DEGREE, MAX_BITS, MAX_BERNSTEIN = 20_000, 100, 100_000, 5_000
NUMBER = re.compile(r"-?[0-9]{1,400}(/[1-9][0-9]{0,399})?")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
TERMS = {"pi": "", "+": "tt", "*": "tt", "where": "ftt", "clip": "ttt", "**": "tn", "neg": "t"}
TERMS |= dict.fromkeys(("-", "/", "min", "max"), "tt")  # kinds: t term, f formula, n exponent
TERMS |= dict.fromkeys(("abs", "sin", "cos", "tan", "tanh", "exp", "log", "sqrt"), "t")
FORMULAS = {"true": "", "false": "", "not": "f", "and": "f", "or": "f"}
FORMULAS |= dict.fromkeys(("<=", "<", ">=", ">"), "tt")
ZERO, ONE, U, TINY = Fraction(0), Fraction(1), Fraction(1, 2**53), Fraction(1, 2**1074)
PI_BOX = Fraction(314159265358979323846, 10**20), Fraction(314159265358979323847, 10**20)
LOCK = Lock()  # one check at a time: it owns the table of terms


class NotProved(ValueError):
    """The goal does not follow, or not in this way; one line."""


def _require(truth: object, what: str, kind: type[ValueError] = ValueError) -> None:
    if not truth:
        raise kind(what)


class Term:
    """A node of a term or formula, made by ``_node``: equal ones are one object."""

    def __init__(self, op: str, args: tuple[Any, ...]) -> None:
        """Arguments are terms; an exponent; a number; a name."""
        self.op, self.args = op, args


@lru_cache(maxsize=None)
def _node(op: str, *args: Any) -> Term:  # a - b is a + neg b, and a - 0 is a
    if op == "-":
        return _node("+", args[0], _node("neg", args[1]))
    nothing = op == "+" and args[1].op == "neg" and args[1].args[0] is _leaf(0)
    return args[0] if nothing else Term(op, args)  # type: ignore[no-any-return]


def _leaf(value: str | int | Fraction) -> Term:
    return _node("var", value) if isinstance(value, str) else _node("num", Fraction(value))


def _number(value: Json) -> Fraction:
    ok = isinstance(value, str) and NUMBER.fullmatch(value) and str(Fraction(value)) == value
    _require(ok, f"{short(value)} is no exact number in lowest terms; write '-12' or '3/40'")
    return Fraction(value)


def _parse(value: Json, names: Iterable[str], kind: str = "t") -> Any:
    # sums and products nest to the left, clip is min of max, comparisons are "ge" and "gt" of
    # (l, r), where is nested nodes "if ge" and "if gt" of (l, r, a, b)
    if kind == "n" and type(value) is int and 0 <= value <= 16:
        return value
    if kind == "t" and isinstance(value, str):
        _require(value in names or not NAME.match(value), f"no name {short(value)}", NotProved)
        return _leaf(value if value in names else _number(value))
    ok = isinstance(value, list) and value and isinstance(value[0], str) and kind != "n"
    op, args = (value[0], value[1:]) if ok else ("", [])
    kinds = (TERMS if kind == "t" else FORMULAS).get(op, "-")
    kinds += kinds[0] * (len(args) - len(kinds)) if op in ("+", "*", "and", "or") else ""
    _require(ok and len(args) == len(kinds), f"no term or formula: {short(value)}")
    new = [_parse(a, names, k) for a, k in zip(args, kinds, strict=True)]
    if op in ("+", "*"):
        return reduce(lambda a, b: _node(op, a, b), new)
    if op[0] in "<>":
        return _node("ge" if "=" in op else "gt", *(new if ">" in op else reversed(new)))
    if op == "clip":
        return _node("min", _node("max", *new[:2]), new[2])
    return _branch(*new) if op == "where" else _node(op, *new)


def _branch(f: Term, a: Term, b: Term) -> Term:  # a where f holds, else b
    if f.op in ("ge", "gt", "true", "false"):
        return _node("if " + f.op, *f.args, a, b) if f.args else a if f.op == "true" else b
    if f.op == "not":
        return _branch(f.args[0], b, a)
    result = a if f.op == "and" else b
    for g in reversed(f.args):
        result = _branch(g, result, b) if f.op == "and" else _branch(g, a, result)
    return result


def _rewrite(t: Term, known: dict[Term, Term], change: Callable[[Term], Term] | None = None) -> Term:
    if t not in known:  # known: what to replace; filled as a cache
        args = [_rewrite(a, known, change) if isinstance(a, Term) else a for a in t.args]
        new = t if args == list(t.args) else _node(t.op, *args)
        known[t] = change(new) if change and new.op == t.op else new
    return known[t]


def _normal(terms: Iterable[Term], tag: str = "") -> tuple[list[Term], list[Term]]:
    # each guard as q >= 0; with a tag, t:TAGk is added to the k-th distinct q, and returned
    def change(n: Term) -> Term:
        if n.op not in ("if ge", "if gt"):
            return n
        q = _node("-", *n.args[:2])
        q = _node("+", q, seen.setdefault(q, _leaf(f"t:{tag}{len(seen)}"))) if tag else q
        return _node(n.op, q, _leaf(0), *n.args[2:])

    known: dict[Term, Term] = {}
    seen: dict[Term, Term] = {}
    return [_rewrite(t, known, change) for t in terms], list(seen.values())


def _clauses(f: Term, positive: bool, outer: str) -> list[list[tuple[Term, bool]]]:
    # normal form of f, or of not f: conjunctive if outer is "and", disjunctive if "or"
    if f.op == "not":
        return _clauses(f.args[0], not positive, outer)
    if f.op in ("true", "false"):
        return [] if ((f.op == "true") == positive) == (outer == "and") else [[]]
    if f.op in ("ge", "gt"):
        q = _node("-", *(f.args if positive else reversed(f.args)))
        return [[(_normal([q])[0][0], (f.op == "gt") == positive)]]
    forms = [_clauses(g, positive, outer) for g in f.args]
    if (f.op == outer) == positive:
        return [clause for form in forms for clause in form]
    _require(math.prod(map(len, forms)) <= MAX_CLAUSES, "a normal form has too many clauses")
    return [[literal for clause in choice for literal in clause] for choice in product(*forms)]


def _canonical(value: Json, depth: int = 1) -> Json:  # sums and products flattened on the left
    _require(depth <= MAX_DEPTH + 1, f"nested more than {MAX_DEPTH} levels deep")
    _require(type(value) is not float or math.isfinite(value), "NaN or Infinity")
    if isinstance(value, dict):
        return {k: _canonical(v, depth + 1) for k, v in value.items()}
    items = [_canonical(v, depth + 1) for v in value] if isinstance(value, list) else value
    sums = isinstance(value, list) and len(items) > 2 and items[0] in ("+", "*")
    left = sums and isinstance(items[1], list) and items[1][:1] == items[:1]
    return items[1] + items[2:] if left else items


def _read(value: Json, shape: Any, what: str) -> Any:
    # a dict has its keys, a list its items, a tuple (shape,) any number of them
    if isinstance(shape, dict):
        ok = isinstance(value, dict) and value.keys() == shape.keys()
        _require(ok, f"{what}: got {short(value)}, accepted: exactly the keys {' '.join(shape)}")
        return {k: _read(value[k], shape[k], k) for k in shape}
    if isinstance(shape, list | tuple):
        ok = isinstance(value, list) and (isinstance(shape, tuple) or len(value) == len(shape))
        _require(ok, f"{what}: got {short(value)}, accepted: a list of the right length")
        shapes = shape if isinstance(shape, list) else shape * len(value)
        return [_read(v, s, what) for v, s in zip(value, shapes, strict=True)]
    _require(shape not in (str, int, bool, dict) or type(value) is shape, f"{what}: {short(value)}")
    return value if isinstance(shape, type) else shape(value)


def _certificate(data: Json) -> SimpleNamespace:
    keys = "model shield format semantics model_digest rounding witness proofs info"
    c = SimpleNamespace(**_read(data, dict.fromkeys(keys.split(), object), "certificate"))
    box = {"name": str, "unit": str, "low": _number, "high": _number}
    keys = "format name init step safe terminal choices observation reward unsafe_reward horizon dt"
    shape: dict[str, Any] = dict.fromkeys(keys.split(), object)
    shape |= dict.fromkeys(("integrator", "provenance", "notes"), str)
    shape |= dict.fromkeys(("state", "action", "disturbance"), (box,))
    shape["arithmetic"] = {"state": str, "scaled": bool, "ulps": int}
    m = SimpleNamespace(**_read(c.model, shape, "model"))
    formats = c.format, c.semantics, m.format
    _require(formats == ("nprl-certificate/1", "1", "nprl-model/1"), "unknown format or semantics")
    text = "nprl-semantics/1\n" + json.dumps(c.model, sort_keys=True, separators=(",", ":"))
    digest = sha256(text.encode()).hexdigest()
    _require(c.model_digest == digest, f"model_digest is not the model's, which is {digest}")
    boxes = m.state, m.action, m.disturbance
    c.state, c.action, c.disturbance = ({x["name"]: (x["low"], x["high"]) for x in b} for b in boxes)
    c.box = c.state | c.action | c.disturbance
    ok = len(c.box) == sum(map(len, boxes)) and c.state and all(map(NAME.fullmatch, c.box))
    _require(ok, "a name occurs twice or is none, or there is no state")
    xs, us, ws = (dict.fromkeys(b, _number) for b in (c.state, c.action, c.disturbance))
    c.init = _read(m.init, dict.fromkeys(c.state, [_number, _number]), "init")
    wide = all(low < high for low, high in [*c.state.values(), *c.action.values()])
    ok = wide and all(low <= high for low, high in [*c.init.values(), *c.disturbance.values()])
    _require(ok, "a box is empty, or that of a state or an action a point")
    c.choices = None if m.choices is None else _read(m.choices, ([*us.values()],), "choices")
    ok = all(_inside(choice, c.action.values()) for choice in c.choices or [])
    _require(ok, "a choice lies outside the box of actions")
    c.step = _read(m.step, dict.fromkeys(c.state, lambda t: _parse(t, c.box)), "step")
    c.safe, c.terminal = _parse(m.safe, c.state, "f"), _parse(m.terminal, c.state, "f")
    c.single, c.ulps = m.arithmetic["state"] == "float32", m.arithmetic["ulps"]
    ok = (c.single or m.arithmetic["state"] == "float64") and 0 <= c.ulps <= 10**6
    _require(ok, "arithmetic: float32 or float64, and 0 to 1000000 ulps are accepted")
    over = dict.fromkeys(c.action, lambda t: _parse(t, c.state)).values()
    shape = {"invariant": ((lambda t: _parse(t, c.state),),), "backup": [*over]}
    shield = _read(c.shield, shape | {"family": str, "margins": object}, "shield")
    c.rows, c.backup = shield["invariant"], shield["backup"]
    _require(not _normal((g for part in c.rows for g in part), "row")[1], "a row holds a where")
    per_row = [[_number] * len(part) for part in c.rows]
    c.margins = _read(shield["margins"], per_row, "margins")
    for v in (v for part in c.margins for v in part):
        _require(abs(v) < 2**1000 and Fraction(float(v)) == v, "a margin is not exactly a float64")
    shape = {"plant": xs, "backup": [*us.values()], "test": per_row, "guard": _number}
    c.rounding = SimpleNamespace(**_read(c.rounding, shape, "rounding"))
    shape = {"init": xs, "invariant": xs, "action": us, "disturbance": ws}
    c.witness = _read(c.witness, shape, "witness")
    _require(type(c.proofs) is dict and type(c.info) is dict, "proofs and info are objects")
    return c


def _inside(point: Iterable[Fraction], box: Iterable[Interval]) -> bool:
    return all(low <= v <= high for v, (low, high) in zip(point, box, strict=True))


def _multiply(a: Interval, b: Interval) -> Interval:
    ends = [x * y for x in a for y in b]
    return min(ends), max(ends)


def _power(a: Interval, n: int) -> Interval:
    low, high = sorted((a[0] ** n, a[1] ** n))
    return (ZERO if n and n % 2 == 0 and a[0] < 0 < a[1] else low), high


def _wave(n: int, low: Fraction, high: Fraction) -> Interval:  # of sin (n = 1) or cos (n = 0)
    if max(-low, high) > 30:
        return -ONE, ONE
    ends = []
    for x in (Fraction(round(v * 2**256), 2**256) for v in (low, high)):
        total, last, k = ZERO, x**n, n
        while abs(last) > U**4:  # what is left of a Taylor sum is at most its next term
            total, last, k = total + last, -last * x * x / ((k + 1) * (k + 2)), k + 2
        ends += [Fraction(round(total * 2**256) + slack, 2**256) for slack in (-(2**60), 2**60)]
    for k in range(-11, 11):  # the extremes are at (k + n/2) pi
        first, last = _multiply(PI_BOX, (k + Fraction(n, 2), k + Fraction(n, 2)))
        ends += [ONE * (-1) ** k] if first <= high and last >= low else []
    return max(-ONE, min(ends)), min(ONE, max(ends))


class Rounding:
    """Ranges R and errors E over a box; ``guard`` is the greatest error of a guard met."""

    def __init__(self, box: dict[str, Interval], ulps: int = 0, exact: bool = False) -> None:
        """Over a point, ``exact`` takes of a where the branch that holds."""
        self.box, self.ulps, self.exact, self.guard = box, ulps, exact, ZERO
        self.known: dict[Term, tuple[Fraction, Fraction, Fraction]] = {}

    def of(self, t: Term) -> tuple[Fraction, Fraction, Fraction]:
        """The ends of R, and E; refused where a float may overflow."""
        if t not in self.known:
            a, b, e = self.known[t] = self._compute(t)
            bits = max(x.denominator.bit_length() for x in (a, b, e))
            _require(max(-a, b) + e <= 2**1000, "a float may overflow", NotProved)
            _require(bits <= MAX_BITS, "a bound has too many digits", NotProved)
        return self.known[t]

    def _compute(self, t: Term) -> tuple[Fraction, Fraction, Fraction]:
        op, args = t.op, t.args
        if op == "num":
            _require(abs(args[0]) <= 2**1000, "a float may overflow", NotProved)
            return args[0], args[0], abs(args[0] - Fraction(float(args[0])))
        if op in ("var", "pi"):
            return (*self.box[args[0]], ZERO) if op == "var" else (*PI_BOX, 4 * U)
        if op == "+":
            chain = []
            while t.op == "+":
                chain.append(self.of(t.args[1]))
                t = t.args[0]
            chain.append(self.of(t))
            size = sum(max(-a, b) + e for a, b, e in chain)
            a, b, e = (sum(column, ZERO) for column in zip(*chain, strict=True))
            return a, b, e + len(chain) * U * size
        a, b, e = self.of(args[0])
        c, d, f = self.of(args[1]) if len(args) > 1 and op != "**" else (ONE, ONE, ZERO)
        if op in ("if ge", "if gt"):
            self.guard = max(self.guard, e + f)
            holds, fails = (a >= d, b < c) if op == "if ge" else (a > d, b <= c)
            if self.exact and (holds or fails):
                return self.of(args[2 if holds else 3])
            (a, b, e), (c, d, f) = self.of(args[2]), self.of(args[3])
            return min(a, c), max(b, d), max(e, f)
        if op in ("neg", "abs"):
            return (-b, -a, e) if op == "neg" else (max(a, -b, ZERO), max(-a, b), e)
        if op in ("min", "max"):
            pick = min if op == "min" else max
            return pick(a, c), pick(b, d), max(e, f)
        if op == "**":
            below = _node("**", args[0], args[1] - 1) if args[1] > 1 else None
            e = self.of(_node("*", below, args[0]))[2] if below else e * args[1]
            return *_power((a, b), args[1]), e
        unit = 2 * U
        if op == "*":
            e = max(-a, b) * f + max(-c, d) * e + e * f
            a, b = _multiply((a, b), (c, d))
        elif op == "/":
            gap = max(c, -d) - f
            _require(gap > 0, "a denominator comes near 0", NotProved)
            a, b = _multiply((a, b), (1 / d, 1 / c))
            e = (e + max(-a, b) * f) / gap
        elif op == "sqrt":
            _require(a > e, "the argument of sqrt comes near 0", NotProved)
            a, b, c = (Fraction(math.isqrt(x * 4**1200 // 1), 2**1200) for x in (a, b, a - e))
            b, e = b + Fraction(1, 2**1200), e / c
        else:
            _require(op in ("sin", "cos"), f"{op} has no enclosure in this checker", NotProved)
            (a, b), unit = _wave(int(op == "sin"), a, b), self.ulps * 2 * U
        return a, b, e + unit * (max(-a, b) + e) + TINY


def _domain(c: SimpleNamespace, tests: list[list[Term]]) -> None:
    r, edge = Rounding(c.box, c.ulps), Rounding(c.state, c.ulps)
    tops = [16 * U * (abs(low) + abs(high)) for low, high in c.action.values()]
    claims = [(v, r.of(t)[2], "test") for v, t in zip(sum(c.rounding.test, []), sum(tests, []), strict=True)]
    claims += [(v, r.of(t)[2] + top, "backup") for v, t, top in zip(c.rounding.backup, c.backup, tops, strict=True)]
    for x, t in c.step.items():
        a, b, e = r.of(t)
        size = max(-a, b) + e
        _require(not c.single or size < 2**127, "a float32 may overflow", NotProved)
        e += 2**30 * U * size + Fraction(1, 2**149) if c.single else 0
        claims.append((c.rounding.plant[x], e, f"plant {x}"))
    edge.of(_branch(c.terminal, _leaf(1), _leaf(0)))
    claims += [(c.rounding.guard, r.guard, "guard"), (ZERO, edge.guard, "terminal")]
    for claim, error, what in claims:
        _require(claim >= error, f"{what}: rounding {float(error)} > {float(claim)}", NotProved)


def _witnesses(c: SimpleNamespace, tests: list[list[Term]]) -> dict[str, bool]:
    def holds(terms: list[Term], bounds: Iterable[Fraction], *points: dict[str, Fraction]) -> bool:
        r = Rounding({k: (v, v) for p in points for k, v in p.items()}, exact=True)
        return all(r.of(t)[0] >= bound for t, bound in zip(terms, bounds, strict=True))

    x, u = c.witness["invariant"], c.witness["action"]
    kinds = {"init": c.init, "invariant": c.state, "action": c.action, "disturbance": c.disturbance}
    good = {k: _inside(c.witness[k].values(), box.values()) for k, box in kinds.items()}
    good["invariant"] &= any(holds(part, [ZERO] * len(part), x) for part in c.rows)
    good["action"] &= c.choices is None or list(u.values()) in c.choices
    good["test"] = any(holds(t, m, x, u) for t, m in zip(tests, c.margins, strict=True))
    return good


class Sequent(NamedTuple):
    """All premises >= 0 imply one alternative: each of its terms is >= 0, or > 0 where true."""

    premises: list[Term]
    alternatives: list[list[tuple[Term, bool]]]
    given: int = 0  # names a:0, a:1, ... in use


def _tests(c: SimpleNamespace, step: Iterable[Term]) -> list[list[Term]]:  # T
    centre = {_leaf(w): _leaf((low + high) / 2) for w, (low, high) in c.disturbance.items()}
    after = {_leaf(x): _rewrite(t, centre) for x, t in zip(c.state, step, strict=True)}
    return [[_rewrite(g, after) for g in part] for part in c.rows]


def _goals(c: SimpleNamespace) -> dict[str, Sequent]:
    def within(t: Term, low: Fraction, high: Fraction) -> list[Term]:
        return [_node("-", t, _leaf(low)), _node("-", _leaf(high), t)]

    def around(t: Term, size: Fraction) -> list[Term]:
        return [_node("-", _leaf(size), t), _node("+", t, _leaf(size))]

    def box(ranges: dict[str, Interval]) -> list[Term]:
        return [g for x, (low, high) in ranges.items() for g in within(_leaf(x), low, high)]

    def closed(terms: Iterable[Term]) -> list[tuple[Term, bool]]:
        return [(t, False) for t in terms]

    (step, plant), (again, test) = (_normal(c.step.values(), tag) for tag in ("plant", "test"))
    backup, off = _normal(c.backup, "backup")
    plant, test, off = ([g for t in ts for g in around(t, c.rounding.guard)] for ts in (plant, test, off))
    noisy = {_leaf(x): _node("+", t, _leaf("e:" + x)) for x, t in zip(c.state, step, strict=True)}
    after = [closed(_rewrite(g, noisy) for g in part) for part in c.rows]
    moved = box(c.box) + [g for x, e in c.rounding.plant.items() for g in around(_leaf("e:" + x), e)]
    errors = zip(c.action, backup, c.rounding.backup, strict=True)
    near = [g for u, b, e in errors for g in around(_node("-", _leaf(u), b), e)]
    ends = [[*c.action.values()]] if c.choices is None else [[(v, v) for v in k] for k in c.choices]
    actions = [[g for b, k in zip(backup, e, strict=True) for g in within(b, *k)] for e in ends]
    goals = {"init": Sequent(box(c.init), [closed(part) for part in c.rows])}
    for q, part in enumerate(c.rows):
        xs = part + box(c.state)
        goals[f"ranges/{q}"] = Sequent(part, [closed(box(c.state))])
        goals[f"action/{q}"] = Sequent(xs + off, [closed(a) for a in actions])
        for k, clause in enumerate(_clauses(c.safe, True, "and")):
            others = [_node("neg", t) for t, _ in clause[1:]]
            goals[f"safe/{q}/{k}"] = Sequent(xs + others, [clause[:1]] if clause else [])
        for k, clause in enumerate(_clauses(c.terminal, False, "or")):
            premises = part + moved + near + [t for t, _ in clause] + plant + off
            goals[f"backup/{q}/{k}"] = Sequent(premises, after)
    for p, (part, margins) in enumerate(zip(_tests(c, again), c.margins, strict=True)):
        bounds = zip(part, margins, c.rounding.test[p], strict=True)
        passed = [_node("+", _node("-", t, _leaf(m)), _leaf(e)) for t, m, e in bounds]
        goals[f"test/{p}"] = Sequent(moved + passed + plant + test, [after[p]])
    return goals


class Prover:
    """Follows proof trees within a bound on the work; NotProved says where one fails."""

    def __init__(self, names: Iterable[str]) -> None:
        """``names`` are those that a goal may hold; rules give more."""
        self.names, self.work = set(names), 0
        self.polynomials: dict[Term, Polynomial] = {}
        self.rewritten: dict[tuple[Term, Term], dict[Term, Term]] = {}

    def _sum(self, *products: tuple[Polynomial, Polynomial]) -> Polynomial:
        total: Polynomial = {}
        for p, q in products:
            self.work += len(p) * len(q) + 1
            _require(self.work <= MAX_WORK, "too much work", NotProved)
            for (m, x), (n, y) in product(p.items(), q.items()):
                key = tuple(sorted(m + n)) if m and n else m or n
                total[key] = total.get(key, ZERO) + x * y
        total = {m: x for m, x in total.items() if x}
        bits = max((x.denominator.bit_length() + x.numerator.bit_length() for x in total.values()), default=0)
        small = bits <= MAX_BITS and max(map(len, total), default=0) <= MAX_DEGREE
        _require(small and len(total) <= MAX_MONOMIALS, "a polynomial is too large", NotProved)
        return total

    def _polynomial(self, t: Term) -> Polynomial:
        if t not in self.polynomials:
            one: Polynomial = {(): ONE}
            if t.op in ("num", "var"):
                p = {(): t.args[0]} if t.op == "num" else {t.args: ONE}
            elif t.op == "**":
                p = one
                for _ in range(t.args[1]):
                    p = self._sum((p, self._polynomial(t.args[0])))
            else:
                _require(t.op in ("+", "neg", "*", "/"), f"{t.op} is no polynomial", NotProved)
                p, q = self._polynomial(t.args[0]), self._polynomial(t.args[-1])
                if t.op == "/":
                    _require(q.keys() == {()}, "a quotient is no polynomial", NotProved)
                    q = {(): 1 / q[()]}
                pairs = {"+": [(p, one), (q, one)], "neg": [(p, {(): -ONE})]}
                p = self._sum(*pairs.get(t.op, [(p, q)]))
            self.polynomials[t] = p
        return self.polynomials[t]

    def _box(self, premises: list[Term]) -> dict[str, Interval]:
        lows: dict[str, Fraction] = {}
        highs: dict[str, Fraction] = {}
        for h in premises:
            try:
                p = self._polynomial(h)
            except NotProved:
                continue
            names = [m for m in p if m]
            if len(names) == 1 and len(names[0]) == 1:
                (name,), slope = names[0], p[names[0]]
                end = -p.get((), ZERO) / slope
                if slope > 0:
                    lows[name] = max(end, lows.get(name, end))
                else:
                    highs[name] = min(end, highs.get(name, end))
        return {x: (lows[x], highs[x]) for x in lows if x in highs}

    def _nonnegative(self, r: Polynomial, strict: bool, premises: list[Term]) -> None:
        box = self._box(premises)
        names = sorted({x for m in r for x in m})
        _require(all(x in box and box[x][0] <= box[x][1] for x in names), "the remainder's variables have no box", NotProved)
        least = ZERO
        for m, x in r.items():
            ends = reduce(_multiply, [_power(box[n], k) for n, k in Counter(m).items()], (x, x))
            least += ends[0]
        if least > 0 or (least == 0 and not strict):
            return
        degrees = [max(m.count(x) for m in r) for x in names]
        size = math.prod(n + 1 for n in degrees)
        _require(len(names) <= 4 and size <= MAX_BERNSTEIN, f"the remainder can be {float(least):.3g}", NotProved)
        self.work += size * sum(degrees)
        table = {tuple(m.count(x) for x in names): v for m, v in r.items()}
        for i, (x, n) in enumerate(zip(names, degrees, strict=True)):
            low, width = box[x][0], box[x][1] - box[x][0]
            rows = [[sum((math.comb(k, j) * math.comb(e, j) * low ** (e - j) * width**j / math.comb(n, j) for j in range(min(k, e) + 1)), ZERO) for e in range(n + 1)] for k in range(n + 1)]
            new: dict[tuple[int, ...], Fraction] = {}
            for key, v in table.items():
                for k in range(n + 1):
                    place = (*key[:i], k, *key[i + 1 :])
                    new[place] = new.get(place, ZERO) + v * rows[k][key[i]]
            table = new
        least = min(table.values())
        _require(least > 0 or (least == 0 and not strict), f"the remainder can be {float(least):.3g}", NotProved)

    def _combine(self, s: Sequent, goal: Term, strict: bool, value: Json, term: Callable[[Json], Term]) -> None:
        item = {"products": [_number, (int,)], "squares": [_number, term, (int,)]}
        _require(isinstance(value, dict) and value.keys() <= item.keys(), f"no combination: {short(value)}")
        rest = self._polynomial(goal)
        for weight, *square, indices in (x for k, v in value.items() for x in _read(v, (item[k],), k)):
            ok = weight >= 0 and all(0 <= k < len(s.premises) for k in indices)
            _require(ok, "a combination has a negative weight, or names no premise", NotProved)
            product_ = {(): -weight}
            for t in square + square + [s.premises[k] for k in indices]:
                product_ = self._sum((product_, self._polynomial(t)))
            rest = self._sum((rest, {(): ONE}), (product_, {(): ONE}))
        self._nonnegative(rest, strict, s.premises)

    def prove(self, s: Sequent, tree: Json) -> None:
        """Return if the tree proves the sequent."""
        _require(isinstance(tree, list) and len(tree) > 1, f"no proof: {short(tree)}")
        names = self.names | {f"a:{i}" for i in range(s.given)}
        v = _leaf(f"a:{s.given}")

        def term(value: Json) -> Term:
            return _normal([_parse(value, names)])[0][0]

        def only(goal: Term, strict: bool = False) -> Sequent:
            return s._replace(alternatives=[[(goal, strict)]])

        def then(*premises: Term, old: Term = v, new: Term = v) -> Sequent:
            known = self.rewritten.setdefault((old, new), {old: new})
            self.work += len(s.premises)
            before = [_rewrite(h, known) for h in s.premises]
            goals = [[(_rewrite(p, known), strict) for p, strict in a] for a in s.alternatives]
            return Sequent([*before, *premises], goals, s.given + (new is v and old is not v))

        def minus(a: Term, b: Term) -> Term:
            return _node("-", a, b)

        t = None if tree[0] in ("part", "leaf", "absurd") else term(tree[1])
        todo: list[tuple[Sequent, Json]] = []
        match tree:
            case ["part", int(k), sub]:
                todo = [(s._replace(alternatives=s.alternatives[k : k + 1]), sub)]
            case ["split", _, first, second]:
                todo = [(then(t), first), (then(_node("neg", t)), second)]
            case ["cut", _, first, second]:
                todo = [(only(t), first), (then(t), second)]
            case ["pieces", _, first, second]:
                _require(t.op in ("min", "max", "abs", "if ge", "if gt"), "pieces: of what?")
                a, b = t.args[-2:] if len(t.args) > 1 else (t.args[0], _node("neg", t.args[0]))
                q, r = t.args[0], _node("neg", t.args[0])
                if t.op in ("min", "max"):
                    q, r = (minus(b, a), minus(a, b)) if t.op == "min" else (minus(a, b), minus(b, a))
                todo = [(then(q, old=t, new=a), first), (then(r, old=t, new=b), second)]
            case ["function", _, int(k), sub]:
                todo = [(then(*_enclosure(t, v, k), old=t), sub)]
            case ["divide", _, "+" | "-" as sign, first, sub] if t.op == "/":
                n, d = t.args
                vd = _node("*", v, d)
                todo = [(only(d if sign == "+" else _node("neg", d), True), first)]
                todo += [(then(minus(vd, n), minus(n, vd), old=t), sub)]
            case ["root", _, first, sub] if t.op == "sqrt":
                a, vv = t.args[0], _node("*", v, v)
                todo = [(only(a), first), (then(minus(vv, a), minus(a, vv), v, old=t), sub)]
            case ["name", _, sub]:
                todo = [(then(old=t), sub)]
            case ["leaf", list(combinations)]:
                _require(len(s.alternatives) == 1, "a leaf has one alternative", NotProved)
                _require(len(combinations) == len(s.alternatives[0]), "a leaf has one combination per term", NotProved)
                for (goal, strict), value in zip(s.alternatives[0], combinations, strict=True):
                    self._combine(s, goal, strict, value, term)
            case ["absurd", value]:
                self._combine(s, _leaf(-1), False, value, term)
            case _:
                raise ValueError(f"no proof: {short(tree)}")
        for sequent, sub in todo:
            self.prove(sequent, sub)


def _enclosure(t: Term, v: Term, k: int) -> list[Term]:  # the premises of the rule function
    if t.op == "pi":
        return [_node("-", v, _leaf(PI_BOX[0])), _node("-", _leaf(PI_BOX[1]), v)]
    _require(t.op in ("sin", "cos") and 1 <= k <= 12, "function: pi, sin or cos with 1 to 12 terms")

    def power(n: int) -> Term:
        return _node("*", _leaf(Fraction(1, math.factorial(n))), _node("**", t.args[0], n))

    start = int(t.op == "sin")
    total = _leaf(0)
    for j in range(k):
        total = _node("-" if j % 2 else "+", total, power(2 * j + start))
    low, high = _node("-", total, power(2 * k)), _node("+", total, power(2 * k))
    one = _leaf(1)
    return [_node("-", v, low), _node("-", high, v), _node("-", one, v), _node("+", one, v)]


def check(data: bytes) -> dict[str, str]:
    """Decide every goal of the certificate in these bytes.

    Returns:
        For each goal "" if it is proved, else why not, in one line.

    Raises:
        ValueError: the file is not a certificate; one line.
    """

    def pairs(items: list[tuple[str, Json]]) -> dict[str, Json]:
        _require(len(dict(items)) == len(items), "a key occurs twice in an object")
        return dict(items)

    limit = sys.getrecursionlimit()
    _require(len(data) <= MAX_BYTES, f"more than {MAX_BYTES} bytes")
    with LOCK:
        try:
            value = json.loads(data.decode("utf-8"), object_pairs_hook=pairs)
            sys.setrecursionlimit(max(limit, MAX_RECURSION))
            return _check(_certificate(_canonical(value)))
        except (RecursionError, MemoryError) as error:
            raise ValueError("nested too deeply, or too large") from error
        finally:
            sys.setrecursionlimit(limit)
            _node.cache_clear()


def _check(c: SimpleNamespace) -> dict[str, str]:
    goals, tests = _goals(c), _tests(c, c.step.values())
    unknown = c.proofs.keys() - goals.keys()
    _require(not unknown, f"proofs of unknown goals: {short(sorted(unknown))}")
    jobs: dict[str, Callable[[], object]] = {"domain": lambda: _domain(c, tests)}
    jobs |= _witnesses(c, tests)
    names = [*c.box, *("e:" + x for x in c.state)]
    for goal, sequent in goals.items():
        ...
    result = {}
    for goal, job in jobs.items():
        try:
            job()
            result[goal] = ""
        except NotProved as error:
            result[goal] = str(error)
    return result


def main(argv: list[str]) -> int:
    """Print a line for each certificate; 0: all proved, 1: some goal is not, 2: bad input."""
    worst = 0 if argv else 2
    for path in argv:
        try:
            found = check(Path(path).read_bytes())
        except (OSError, ValueError) as error:
            worst = 2
            print(f"{path}: bad input: {error}")
            continue
        failed = [f"{goal} ({why})" for goal, why in found.items() if why]
        worst = max(worst, int(bool(failed)))
        print(f"{path}: " + (f"not proved: {'; '.join(failed)}" if failed else f"{len(found)} goals proved"))
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
