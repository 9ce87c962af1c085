"""The stand-alone exact checker: each goal of a certificate, decided in rational arithmetic.

``python shields/exact.py CERTIFICATE...``; the specification is ``docs/certificate.md``. It imports
the standard library only and shares no code with the checker that uses Z3: two programs must be
wrong alike before a broken certificate passes. What exceeds a bound (size, depth, digits, monomials,
work; never time) is refused or not proved, and so is a malformed proof. tan, tanh, exp and log have
no enclosure here: ``domain`` fails where they occur. What no goal reads is held by the digest alone.
"""

import json
import math
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import cache, partial, reduce
from hashlib import sha256
from itertools import chain, product
from pathlib import Path
from reprlib import repr as short
from threading import Lock
from types import SimpleNamespace
from typing import Any

Interval = tuple[Fraction, Fraction]  # closed
Polynomial = dict[tuple[str, ...], Fraction]  # sorted names, one for each power
Sequent = tuple[list["_Term"], list[list["_Term"]], int]  # premises, alternatives, names given

MAX_BYTES, MAX_DEPTH, MAX_RECURSION, MAX_CLAUSES, MAX_WORK = 1 << 26, 500, 20_000, 1000, 10_000_000
MAX_MONOMIALS, MAX_DEGREE, MAX_BITS, MAX_BERNSTEIN = 20_000, 100, 100_000, 5_000
NUMBER = re.compile(r"-?[0-9]{1,400}(/[1-9][0-9]{0,399})?")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
TERMS = {"pi": "", "+": "tt", "*": "tt", "where": "ftt", "clip": "ttt", "**": "tn", "neg": "t"}
TERMS |= dict.fromkeys(("-", "/", "min", "max"), "tt")  # kinds: t term, f formula, n exponent
TERMS |= dict.fromkeys(("abs", "sin", "cos", "tan", "tanh", "exp", "log", "sqrt"), "t")
FORMULAS = {"true": "", "false": "", "not": "f", "and": "f", "or": "f"}
FORMULAS |= dict.fromkeys(("<=", "<", ">=", ">"), "tt")
CERTIFICATE = "format semantics model model_digest shield rounding witness proofs info".split()
MODEL = """format name state action choices disturbance step init safe terminal observation reward
    unsafe_reward horizon dt integrator arithmetic provenance notes""".split()
ZERO, ONE, U, TINY = Fraction(0), Fraction(1), Fraction(1, 2**53), Fraction(1, 2**1074)
PI = Fraction(314159265358979323846, 10**20), Fraction(314159265358979323847, 10**20)
LOCK, WORK = Lock(), SimpleNamespace()  # one check at a time: it owns the terms and the caches


def _require(truth: object, what: str, *got: object) -> None:
    if not truth:
        raise ValueError(f"{what}; got {short(got[0])}" if got else what)


class _Term:  # of a term or formula; made by _node, so that equal ones are one object
    def __init__(self, op: str, args: tuple[Any, ...]) -> None:
        self.op, self.args = op, args


@cache
def _node(op: str, *args: Any) -> _Term:  # a - b is a + neg b, and a - 0 is a
    if op == "-":
        return _node("+", args[0], _node("neg", args[1]))
    nothing = op == "+" and args[1].op == "neg" and args[1].args[0] is _leaf(0)
    return args[0] if nothing else _Term(op, args)


def _leaf(value: str | int | Fraction) -> _Term:
    return _node("var", value) if isinstance(value, str) else _node("num", Fraction(value))


def _number(value: Any) -> Fraction:
    ok = isinstance(value, str) and NUMBER.fullmatch(value) and str(Fraction(value)) == value
    _require(ok, "an exact number is '-12' or '3/40', in lowest terms", value)
    return Fraction(value)


class _Reader:  # of terms and formulas over the names
    def __init__(self, names: Iterable[str], tag: str = "", raw: bool = False) -> None:
        self.names, self.tag, self.raw, self.guards = set(names), tag, raw, dict[_Term, _Term]()

    def term(self, value: Any, kind: str = "t") -> Any:
        if kind == "n" and type(value) is int and 0 <= value <= 16:
            return value
        if kind == "t" and isinstance(value, str):
            known = value in self.names
            _require(known or not NAME.match(value), "an unknown name", value)
            return _leaf(value if known else _number(value))
        ok = isinstance(value, list) and value and isinstance(value[0], str) and kind != "n"
        op, args = (value[0], value[1:]) if ok else ("", [])
        kinds = (TERMS if kind == "t" else FORMULAS).get(op, "-")
        kinds += kinds[0] * (len(args) - len(kinds)) if op in ("+", "*", "and", "or") else ""
        _require(ok and len(args) == len(kinds), "no term or formula", value)
        new = [self.term(a, k) for a, k in zip(args, kinds, strict=True)]
        if op == "**":  # powers are products; sums and products nest to the left
            op, new = "*", [new[0]] * new[1] or [_leaf(1)]
        if op in ("+", "*"):
            return reduce(partial(_node, op), new)
        if op[0] in "<>":  # ge: left >= right, gt: left > right
            return _node("ge" if "=" in op else "gt", *(new if ">" in op else reversed(new)))
        if op == "clip":
            return _node("min", _node("max", *new[:2]), new[2])
        return self.where(*new) if op == "where" else _node(op, *new)

    def where(self, f: _Term, a: _Term, b: _Term) -> _Term:
        # Nodes (l, r, a, b) that compare l with r: the guard q = l - r with 0, unless raw. With a
        # tag, t:TAGk is added to the k-th distinct q.
        if f.op in ("ge", "gt"):
            q = _node("-", *f.args)
            if self.tag:
                t = self.guards.setdefault(q, _leaf(f"t:{self.tag}{len(self.guards)}"))
                q = _node("+", q, t)
            return _node("if " + f.op, *(f.args if self.raw else (q, _leaf(0))), a, b)
        if f.op == "not":
            return self.where(f.args[0], b, a)
        result = a if f.op in ("and", "true") else b
        for g in reversed(f.args):
            result = self.where(g, result, b) if f.op == "and" else self.where(g, a, result)
        return result


def _replace(t: _Term, known: dict[_Term, _Term]) -> _Term:  # known is filled as a cache
    if t not in known:
        args = [_replace(a, known) if isinstance(a, _Term) else a for a in t.args]
        known[t] = t if args == list(t.args) else _node(t.op, *args)
    return known[t]


def _clauses(f: _Term, positive: bool = True) -> list[list[tuple[_Term, _Term]]]:
    # The conjunctive normal form of f, or of not f; each literal with its negation, closed.
    if f.op == "not":
        return _clauses(f.args[0], not positive)
    if f.op in ("ge", "gt"):
        q = _node("-", *(f.args if positive else reversed(f.args)))
        return [[(_node(">0", q) if (f.op == "gt") == positive else q, _node("neg", q))]]
    forms = [_clauses(g, positive) for g in f.args]
    if (f.op in ("and", "true")) == positive:
        return [*chain(*forms)]
    _require(math.prod(map(len, forms)) <= MAX_CLAUSES, "a normal form has too many clauses")
    return [[*chain(*choice)] for choice in product(*forms)]


def _canonical(value: Any, depth: int = 0) -> Any:  # sums and products flattened on the left
    _require(depth <= MAX_DEPTH, "nested too deeply")
    _require(type(value) is not float or math.isfinite(value), "NaN or Infinity")
    if isinstance(value, dict):
        return {k: _canonical(v, depth + 1) for k, v in value.items()}
    if not isinstance(value, list):
        return value
    items = [_canonical(v, depth + 1) for v in value]
    sums = len(items) > 2 and items[0] in ("+", "*") and isinstance(items[1], list)
    return items[1] + items[2:] if sums and items[1][:1] == items[:1] else items


def _read(value: Any, shape: Any) -> Any:
    # A dict has its keys, a list its items, a tuple (shape,) any number of them.
    if isinstance(shape, dict):
        ok = isinstance(value, dict) and value.keys() == shape.keys()
        _require(ok, f"an object with the keys {' '.join(shape)} is accepted", value)
        return {k: _read(value[k], shape[k]) for k in shape}
    if isinstance(shape, list | tuple):
        ok = isinstance(value, list) and (isinstance(shape, tuple) or len(value) == len(shape))
        _require(ok, "a list of the right length is accepted", value)
        shapes = shape if isinstance(shape, list) else shape * len(value)
        return [_read(v, s) for v, s in zip(value, shapes, strict=True)]
    if isinstance(shape, type):
        _require(shape is object or type(value) is shape, f"{shape.__name__} is accepted", value)
    return value if isinstance(shape, type) else shape(value)


def _inside(point: Iterable[Fraction], box: Iterable[Interval]) -> bool:
    return all(low <= v <= high for v, (low, high) in zip(point, box, strict=True))


def _multiply(a: Interval, b: Interval) -> Interval:
    ends = [x * y for x in a for y in b]
    return min(ends), max(ends)


def _power(a: Interval, n: int) -> Interval:
    low, high = sorted((a[0] ** n, a[1] ** n))
    return (ZERO if n % 2 == 0 and a[0] < 0 < a[1] else low), high


def _wave(n: int, low: Fraction, high: Fraction) -> Interval:  # sin (n = 1) or cos (n = 0)
    ends = [-ONE, ONE] if max(-low, high) > 30 else []
    for x in () if ends else (Fraction(round(v * 2**256), 2**256) for v in (low, high)):
        total, last, k = ZERO, x**n, n
        while abs(last) > U**4:  # what is left of a Taylor sum is at most its next term
            total, last, k = total + last, -last * x * x / ((k + 1) * (k + 2)), k + 2
        ends += [Fraction(round(total * 2**256) + slack, 2**256) for slack in (-(2**60), 2**60)]
    for k in range(-11, 11):  # the extremes are at (k + n/2) pi
        first, last = _multiply(PI, (k + Fraction(n, 2), k + Fraction(n, 2)))
        ends += [ONE * (-1) ** k] if first <= high and last >= low else []
    return max(-ONE, min(ends)), min(ONE, max(ends))


class _Rounding:  # section 4: R and E of terms; guard is the greatest error of a guard met
    def __init__(self, box: dict[str, Interval], ulps: int, exact: bool = False) -> None:
        self.box, self.ulps, self.exact, self.guard = box, ulps, exact, ZERO
        self.known: dict[_Term, tuple[Fraction, Fraction, Fraction]] = {}

    def of(self, t: _Term) -> tuple[Fraction, Fraction, Fraction]:  # the ends of R, and E
        if t not in self.known:
            a, b, e = self.known[t] = self.compute(t.op, t.args)
            _require(max(-a, b) + e <= 2**1000, "a float may overflow")
            digits = max(x.denominator.bit_length() for x in (a, b, e))
            _require(digits <= MAX_BITS, "a bound has too many digits")
        return self.known[t]

    def compute(self, op: str, args: Any) -> tuple[Fraction, Fraction, Fraction]:
        if op == "num":
            _require(abs(args[0]) <= 2**1000, "a float may overflow")
            return args[0], args[0], abs(args[0] - Fraction(float(args[0])))
        if op in ("var", "pi"):
            return (*self.box[args[0]], ZERO) if op == "var" else (*PI, 4 * U)
        if op == "+":
            parts = [self.of(args[1])]
            while args[0].op == "+":
                args = args[0].args
                parts.append(self.of(args[1]))
            a, b, e = (sum(x, ZERO) for x in zip(self.of(args[0]), *parts, strict=True))
            size = sum(max(-a, b) + e for a, b, e in [self.of(args[0]), *parts])
            return a, b, e + (len(parts) + 1) * U * size
        a, b, e = self.of(args[0])
        c, d, f = self.of(args[1]) if len(args) > 1 else (a, b, e)
        if op in ("neg", "abs"):
            return (-b, -a, e) if op == "neg" else (max(a, -b, ZERO), max(-a, b), e)
        if op in ("min", "max"):
            pick = min if op == "min" else max
            return pick(a, c), pick(b, d), max(e, f)
        if op in ("if ge", "if gt"):
            self.guard = max(self.guard, e + f)
            holds, fails = (a >= d, b < c) if op == "if ge" else (a > d, b <= c)
            if self.exact and (holds or fails):  # at a point: the branch that holds there
                return self.of(args[2 if holds else 3])
            (a, b, e), (c, d, f) = self.of(args[2]), self.of(args[3])
            return min(a, c), max(b, d), max(e, f)
        unit = 2 * U  # from here: first E of exact arithmetic, then the operation's own
        if op == "*":
            e = max(-a, b) * f + max(-c, d) * e + e * f
            a, b = _power((a, b), 2) if args[0] is args[1] else _multiply((a, b), (c, d))
        elif op == "/":
            gap = max(c, -d) - f
            _require(gap > 0, "a denominator comes near 0")
            a, b = _multiply((a, b), (1 / d, 1 / c))
            e = (e + max(-a, b) * f) / gap
        elif op == "sqrt":
            _require((a - e) * 4**1200 >= 1, "the argument of sqrt comes near 0")
            a, b, c = (Fraction(math.isqrt(x * 4**1200 // 1), 2**1200) for x in (a, b, a - e))
            b, e = b + Fraction(1, 2**1200), e / c
        else:
            _require(op in ("sin", "cos"), f"{op} has no enclosure in this checker")
            (a, b), unit = _wave(int(op == "sin"), a, b), 2 * U * self.ulps
        return a, b, e + unit * (max(-a, b) + e) + TINY


def _within(t: _Term, low: Fraction, high: Fraction) -> list[_Term]:
    return [_node("-", t, _leaf(low)), _node("-", _leaf(high), t)]


def _box(box: dict[str, Interval]) -> list[_Term]:
    return [g for x, (low, high) in box.items() for g in _within(_leaf(x), low, high)]


class _Certificate:  # sections 2 and 3
    def __init__(self, data: Any) -> None:
        c = SimpleNamespace(**_read(data, dict.fromkeys(CERTIFICATE, object)))
        m = SimpleNamespace(**_read(c.model, dict.fromkeys(MODEL, object)))
        formats = c.format, c.semantics, m.format
        _require(formats == ("nprl-certificate/1", "1", "nprl-model/1"), "unknown format", formats)
        text = "nprl-semantics/1\n" + json.dumps(c.model, sort_keys=True, separators=(",", ":"))
        digest = sha256(text.encode()).hexdigest()
        _require(c.model_digest == digest, f"model_digest is not the model's, {digest}")
        shape: Any = ({"name": str, "unit": str, "low": _number, "high": _number},)
        lists = [_read(coordinates, shape) for coordinates in (m.state, m.action, m.disturbance)]
        boxes = [{x["name"]: (x["low"], x["high"]) for x in coordinates} for coordinates in lists]
        self.state, self.action, self.disturbance = boxes
        self.box: dict[str, Interval] = self.state | self.action | self.disturbance
        ok = len(self.box) == sum(map(len, lists)) and all(map(NAME.fullmatch, self.box))
        _require(ok and self.state, "a name is bad, or there twice; or there is no state")
        xs, us, ws = (dict.fromkeys(box, _number) for box in boxes)
        self.init = _read(m.init, {x: [_number, _number] for x in xs})
        ok = all(low < high for low, high in (self.state | self.action).values())
        ends = [*self.init.values(), *self.disturbance.values()]
        _require(ok and all(low <= high for low, high in ends), "a low end is not below the high")
        self.choices = None if m.choices is None else _read(m.choices, ([*us.values()],))
        ok = all(_inside(choice, self.action.values()) for choice in self.choices or [])
        _require(ok, "a choice lies outside the box of actions")
        a = _read(m.arithmetic, {"state": str, "scaled": bool, "ulps": int})
        self.single, self.ulps = a["state"] == "float32", a["ulps"]
        ok = a["state"] in ("float32", "float64") and 0 <= self.ulps <= 10**6
        _require(ok, "arithmetic: float32 or float64 and 0 to 1000000 ulps are accepted", a)
        plain, raw, off = _Reader(xs), _Reader(self.box, raw=True), _Reader(xs, "backup")
        plant, again = _Reader(self.box, "plant"), _Reader(self.box, "test")
        steps = [_read(m.step, dict.fromkeys(xs, r.term)) for r in (raw, plant, again)]
        self.raw_step, self.step, self.again = steps
        self.safe, self.terminal = plain.term(m.safe, "f"), plain.term(m.terminal, "f")
        self.edge = raw.term(["where", m.terminal, "1", "0"])
        s = _read(c.shield, dict.fromkeys(("family", "invariant", "margins", "backup"), object))
        self.rows: list[list[_Term]] = _read(s["invariant"], ((plain.term,),))
        _require('"where"' not in json.dumps(s["invariant"]), "a row holds a where")
        self.backup, self.raw_backup = ([r.term(b) for b in s["backup"]] for r in (off, raw))
        self.margins = _read(s["margins"], [[_number] * len(part) for part in self.rows])
        ok = all(abs(v) < 2**1000 and Fraction(float(v)) == v for v in chain(*self.margins))
        _require(ok, "a margin is not exactly a float64")
        shape = {"plant": xs, "backup": [*us.values()], "test": ((_number,),), "guard": _number}
        self.rounding = SimpleNamespace(**_read(c.rounding, shape))
        shape = {"init": xs, "invariant": xs, "action": us, "disturbance": ws}
        self.witness: dict[str, dict[str, Fraction]] = _read(c.witness, shape)
        self.guards = [[*reader.guards.values()] for reader in (plant, again, off)]
        self.names = {t.args[0] for t in chain(*self.guards)} | {"e:" + x for x in xs} | {*self.box}
        self.proofs, _ = _read(c.proofs, dict), _read(c.info, dict)

    def tests(self, step: dict[str, _Term]) -> list[list[_Term]]:  # T of section 3
        box = self.disturbance.items()
        centre = {_leaf(w): _leaf((low + high) / 2) for w, (low, high) in box}
        after = {_leaf(x): _replace(t, centre) for x, t in step.items()}
        return [[_replace(g, after) for g in part] for part in self.rows]

    def domain(self) -> None:
        r, edge = _Rounding(self.box, self.ulps), _Rounding(self.box, self.ulps)
        claims = [*zip(chain(*self.rounding.test), chain(*self.tests(self.raw_step)), strict=True)]
        _require(
            all(v >= r.of(t)[2] for v, t in claims), "the rounding of a test is above its claim"
        )
        tops = [16 * U * (abs(low) + abs(high)) for low, high in self.action.values()]
        near = zip(self.rounding.backup, self.raw_backup, tops, strict=True)
        _require(all(v >= r.of(t)[2] + top for v, t, top in near), "rounding of the backup")
        for x, t in self.raw_step.items():
            a, b, e = r.of(t)
            size = (max(-a, b) + e) * self.single
            e += 2**30 * U * size + Fraction(self.single, 2**149)
            _require(size < 2**127, "a float32 may overflow")
            _require(self.rounding.plant[x] >= e, f"the plant's rounding of {x} may be {float(e)}")
        _require(self.rounding.guard >= r.guard, f"a guard's rounding may be {float(r.guard)}")
        _require(edge.of(self.edge) and edge.guard == 0, "terminal is not exact in floats")

    def witnessed(self, kind: str) -> None:
        w = self.witness
        boxes = {"init": self.init, "invariant": self.state, "action": self.action}
        point, box = w.get(kind, {}), boxes.get(kind, self.disturbance if w.get(kind) else {})
        ok = _inside(point.values(), box.values())
        if kind == "action" and self.choices is not None:
            ok = [*point.values()] in self.choices
        if kind in ("invariant", "test"):
            x = w["invariant"] | (w["action"] if kind == "test" else {})
            r = _Rounding({k: (v, v) for k, v in x.items()}, self.ulps, exact=True)
            zeros = [[ZERO] * len(part) for part in self.rows]
            cases = zip(self.rows, zeros, strict=True)
            if kind == "test":
                cases = zip(self.tests(self.raw_step), self.margins, strict=True)
            pairs = [zip(*case, strict=True) for case in cases]
            ok = ok and any(all(r.of(t)[0] >= v for t, v in pair) for pair in pairs)
        _require(ok, "the witness is none")

    def goals(self) -> dict[str, Sequent]:  # section 5
        guard, goals = self.rounding.guard, dict[str, Sequent]()
        plant, test, off = (
            [g for t in ts for g in _within(_node("neg", t), -guard, guard)] for ts in self.guards
        )
        after = {_leaf(x): _node("+", t, _leaf("e:" + x)) for x, t in self.step.items()}
        kept = [[_replace(g, after) for g in part] for part in self.rows]
        moved, near = _box(self.box), list[_Term]()
        for x, e in self.rounding.plant.items():
            moved += _within(_node("neg", _leaf("e:" + x)), -e, e)
        for u, b, e in zip(self.action, self.backup, self.rounding.backup, strict=True):
            near += _within(_node("-", b, _leaf(u)), -e, e)
        targets = [[*self.action.values()]]
        if self.choices is not None:
            targets = [[(v, v) for v in choice] for choice in self.choices]
        pairs = [zip(self.backup, target, strict=True) for target in targets]
        actions = [[g for b, ends in pair for g in _within(b, *ends)] for pair in pairs]
        goals["init"] = _box(self.init), self.rows, 0
        for q, (part, tests) in enumerate(zip(self.rows, self.tests(self.again), strict=True)):
            xs = part + _box(self.state)
            goals[f"ranges/{q}"] = part, [_box(self.state)], 0
            goals[f"action/{q}"] = xs + off, actions, 0
            for k, clause in enumerate(_clauses(self.safe)):
                others = [negation for _, negation in clause[1:]]
                goals[f"safe/{q}/{k}"] = xs + others, [[p] for p, _ in clause[:1]], 0
            for k, clause in enumerate(_clauses(self.terminal)):
                going = near + [negation for _, negation in clause]
                goals[f"backup/{q}/{k}"] = part + moved + going + plant + off, kept, 0
            bounds = zip(tests, self.margins[q], self.rounding.test[q], strict=True)
            passed = [_node("+", _node("-", t, _leaf(m)), _leaf(e)) for t, m, e in bounds]
            goals[f"test/{q}"] = moved + passed + plant + test, [kept[q]], 0
        return goals


def _sum(*products: tuple[Polynomial, Polynomial]) -> Polynomial:
    total: Polynomial = {}
    for p, q in products:
        WORK.done += len(p) * len(q) + 1
        _require(WORK.done <= MAX_WORK, "too much work")
        for (m, x), (n, y) in product(p.items(), q.items()):
            key = tuple(sorted(m + n)) if m and n else m or n
            total[key] = total.get(key, ZERO) + x * y
    digits = max((x.numerator * x.denominator).bit_length() for x in [ZERO, *total.values()])
    small = len(total) <= MAX_MONOMIALS and max(map(len, total), default=0) <= MAX_DEGREE
    _require(small and digits <= MAX_BITS, "a polynomial is too large")
    return {m: x for m, x in total.items() if x}


@cache
def _polynomial(t: _Term) -> Polynomial:
    one: Polynomial = {(): ONE}
    if t.op in ("num", "var"):
        return _sum(({(): t.args[0]}, one)) if t.op == "num" else {t.args: ONE}
    _require(t.op in ("+", "neg", "*", "/"), f"{t.op} is no operation of polynomials")
    p, q = _polynomial(t.args[0]), _polynomial(t.args[-1])
    if t.op == "/":
        _require(q.keys() == {()}, "a quotient is no polynomial")
        q = {(): 1 / q[()]}
    return (
        _sum((p, one), (q, one)) if t.op == "+" else _sum((p, {(): -ONE} if t.op == "neg" else q))
    )


@cache
def _bound(h: _Term) -> tuple[tuple[str, bool], Fraction] | None:  # of a variable, from below?
    try:
        p = _polynomial(h)
    except ValueError:
        return None
    if [len(m) for m in p if m] != [1]:
        return None
    (x,) = max(p)
    return (x, p[x,] > 0), -p.get((), ZERO) / p[x,]


def _nonnegative(r: Polynomial, strict: bool, premises: list[_Term]) -> None:
    ends = defaultdict[tuple[str, bool], list[Fraction]](list)
    for side, end in filter(None, map(_bound, premises)):
        ends[side].append(end)
    names = {x for m in r for x in m}
    _require(all(ends[x, True] and ends[x, False] for x in names), "a variable has no bounds")
    box = {x: (max(ends[x, True]), min(ends[x, False])) for x in names}
    _require(all(low <= high for low, high in box.values()), "the box is empty")
    curved = sorted({x for m in r for x in m if len(m) > 1})
    least = {
        m: reduce(_multiply, (_power(box[x], m.count(x)) for x in {*m}), (v, v))[0]
        for m, v in r.items()
    }
    bound, table = sum(least.values(), ZERO), {m: v for m, v in r.items() if {*m} & {*curved}}
    degrees = [max(m.count(x) for m in table) for x in curved]
    size = math.prod(n + 1 for n in degrees)
    if (bound < 0 or (strict and bound == 0)) and 0 < len(curved) <= 6 and size <= MAX_BERNSTEIN:
        bound -= sum(least[m] for m in table)
        grid = {tuple(m.count(x) for x in curved): v for m, v in table.items()}
        for i, (x, n) in enumerate(zip(curved, degrees, strict=True)):
            (low, high), new = box[x], defaultdict[tuple[int, ...], Fraction](Fraction)
            for m, v in grid.items():
                for k, j in product(range(n + 1), range(m[i] + 1)):
                    part = Fraction(math.comb(k, j) * math.comb(m[i], j), math.comb(n, j))
                    new[*m[:i], k, *m[i + 1 :]] += v * part * low ** (m[i] - j) * (high - low) ** j
            grid = new
        bound += min(grid.values())
    _require(bound > 0 or (bound == 0 and not strict), "the remainder may be negative")


def _combine(premises: list[_Term], goal: _Term, value: Any, reader: _Reader) -> None:
    _require(isinstance(value, dict), "no combination", value)
    shape = {"products": ([_number, (int,)],), "squares": ([_number, reader.term, (int,)],)}
    parts = _read({"products": [], "squares": []} | value, shape)
    rest = _polynomial(goal.args[0] if goal.op == ">0" else goal)
    for weight, *square, indices in parts["products"] + parts["squares"]:
        ok = weight >= 0 and all(0 <= k < len(premises) for k in indices)
        _require(ok, "a combination has a negative weight, or names no premise")
        used: Polynomial = {(): -weight}
        for t in square + square + [premises[k] for k in indices]:
            used = _sum((used, _polynomial(t)))
        rest = _sum((rest, {(): ONE}), (used, {(): ONE}))
    _nonnegative(rest, goal.op == ">0", premises)


def _taylor(t: _Term, v: _Term, k: int) -> list[_Term]:  # of v = sin(a) or cos(a)
    powers, total = [_leaf(1)], _leaf(0)
    for n in range(1, 2 * k + 1):
        powers.append(_node("/", _node("*", powers[-1], t.args[0]), _leaf(n)))
    for j in range(k):
        total = _node("-" if j % 2 else "+", total, powers[2 * j + (t.op == "sin")])
    low, high = _node("-", total, powers[2 * k]), _node("+", total, powers[2 * k])
    return [_node("-", v, low), _node("-", high, v), *_within(_node("neg", v), -ONE, ONE)]


def _prove(s: Sequent, tree: Any, names: set[str]) -> None:  # section 6
    _require(isinstance(tree, list) and len(tree) > 1, "there is no proof", tree)
    premises, alternatives, given = s
    WORK.done += len(premises)
    reader, v = _Reader(names | {f"a:{i}" for i in range(given)}), _leaf(f"a:{given}")
    t = v if tree[0] in ("part", "leaf", "absurd") else reader.term(tree[1])

    def swap(new: _Term, *more: _Term) -> Sequent:  # t by new; with t itself: only premises
        known = WORK.known.setdefault((t, new), {t: new})
        goals = [[_replace(p, known) for p in alternative] for alternative in alternatives]
        return [*(_replace(h, known) for h in premises), *more], goals, given + (new is v)

    def show(goal: _Term) -> Sequent:
        return premises, [[goal]], given

    todo: list[tuple[Sequent, Any]] = []
    match [tree[0], t.op, *tree[2:]]:
        case ["part", _, sub] if type(tree[1]) is int and 0 <= tree[1] < len(alternatives):
            todo = [((premises, [alternatives[tree[1]]], given), sub)]
        case ["split", _, first, second]:
            todo = [(swap(t, t), first), (swap(t, _node("neg", t)), second)]
        case ["cut", _, first, second]:
            todo = [(show(t), first), (swap(t, t), second)]
        case ["pieces", "min" | "max", first, second]:
            a, b = t.args
            p, q = _node("-", b, a), _node("-", a, b)
            p, q = (p, q) if t.op == "min" else (q, p)
            todo = [(swap(a, p), first), (swap(b, q), second)]
        case ["pieces", "abs" | "if ge" | "if gt", first, second]:
            p, q = t.args[0], _node("neg", t.args[0])
            a, b = t.args[2:] or (p, q)
            todo = [(swap(a, p), first), (swap(b, q), second)]
        case ["function", "pi", int(), sub]:
            todo = [(swap(v, *_within(v, *PI)), sub)]
        case ["function", "sin" | "cos", int(k), sub] if 1 <= k <= 12:
            todo = [(swap(v, *_taylor(t, v, k)), sub)]
        case ["divide", "/", "+" | "-" as sign, first, sub]:
            n, d = t.args
            p = _node("-", _node("*", v, d), n)
            side = _node(">0", d if sign == "+" else _node("neg", d))
            todo = [(show(side), first), (swap(v, p, _node("neg", p)), sub)]
        case ["root", "sqrt", first, sub]:
            p = _node("-", _node("*", v, v), t.args[0])
            todo = [(show(t.args[0]), first), (swap(v, p, _node("neg", p), v), sub)]
        case ["name", _, sub]:
            todo = [(swap(v), sub)]
        case ["leaf", _] if len(alternatives) == 1 and isinstance(tree[1], list):
            for goal, value in zip(alternatives[0], tree[1], strict=True):
                _combine(premises, goal, value, reader)
        case ["absurd", _]:
            _combine(premises, _leaf(-1), tree[1], reader)
        case _:
            raise ValueError(f"no rule, or not one for this term: {short(tree)}")
    for sequent, sub in todo:
        _prove(sequent, sub, names)


def check(data: bytes) -> dict[str, str]:
    """For each goal of the certificate "", or why it is not proved; ValueError: it is malformed."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        _require(len(dict(items)) == len(items), "a key occurs twice in an object")
        return dict(items)

    _require(len(data) <= MAX_BYTES, f"more than {MAX_BYTES} bytes")
    limit, result = sys.getrecursionlimit(), dict[str, str]()
    with LOCK:
        WORK.done, WORK.known = 0, {}
        try:
            value = json.loads(data.decode("utf-8"), object_pairs_hook=pairs)
            sys.setrecursionlimit(max(limit, MAX_RECURSION))
            c = _Certificate(_canonical(value))
            goals = c.goals()
            unknown = c.proofs.keys() - goals.keys()
            _require(not unknown, "a proof of an unknown goal", unknown)
            jobs = {"domain": c.domain}
            for kind in ("init", "invariant", "action", "disturbance", "test"):
                jobs[f"witness/{kind}"] = partial(c.witnessed, kind)
            for goal, sequent in goals.items():
                jobs[goal] = partial(_prove, sequent, c.proofs.get(goal), c.names)
            for goal, job in jobs.items():
                try:
                    result[goal] = job() or ""
                except ValueError as error:
                    result[goal] = str(error)
        except (RecursionError, MemoryError) as error:
            raise ValueError("nested too deeply, or too large") from error
        finally:
            sys.setrecursionlimit(limit)
            for function in (_node, _polynomial, _bound):
                function.cache_clear()
    return result


def main(argv: list[str]) -> int:
    """Print a line for each certificate; 0: all proved, 1: some goal is not, 2: bad input."""
    worst = 0 if argv else 2
    for path in argv:
        try:
            found = check(Path(path).read_bytes())
            failed = "; ".join(f"{goal}: {why}" for goal, why in found.items() if why)
            print(f"{path}: not proved: {failed}" if failed else f"{path}: {len(found)} proved")
            worst = max(worst, int(failed != ""))
        except (OSError, ValueError) as error:
            print(f"{path}: bad input: {error}")
            worst = 2
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
