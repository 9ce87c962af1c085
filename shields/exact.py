"""The stand-alone exact checker of certificates: rational arithmetic, standard library only.

``python shields/exact.py FILE...``; ``docs/certificate.md`` is the specification. It shares no code
with the checker that uses Z3: both must be wrong alike before a broken file passes. Over a bound
(size, depth, digits, work; never time) nothing is proved. At most 513 lines: hence ``fmt: off``.
"""

# fmt: off
import json
import math
import re
import sys
from contextlib import suppress
from fractions import Fraction
from functools import cache, partial, reduce
from hashlib import sha256
from itertools import accumulate, chain, product
from pathlib import Path
from reprlib import repr as short
from threading import Lock
from types import SimpleNamespace
from typing import Any

Interval = tuple[Fraction, Fraction]  # closed
Polynomial = tuple[dict[tuple[str, ...], int], int]  # by monomial (sorted names); denominator
Terms = list["_Term"]
Sequent = tuple[Terms, list[Terms], int]  # premises, alternatives, how many names rules gave
MAX_BYTES, MAX_DEPTH, MAX_RECURSION, MAX_CLAUSES, MAX_WORK = 1 << 26, 500, 5_000, 1000, 20_000_000
MAX_MONOMIALS, MAX_DEGREE, MAX_BITS = 20_000, 100, 100_000
NUMBER = re.compile(r"-?[0-9]{1,400}(/[1-9][0-9]{0,399})?")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
KINDS = {"t": "pi", "tt": "neg abs sin cos tan tanh exp log sqrt", "ttt": "+ - * / min max"}
KINDS |= {"tttt": "clip", "tftt": "where", "ttn": "**", "f": "true false", "ff": "not and or"}
KINDS |= {"ftt": "<= < >= >"}  # the result, then the arguments: t term, f formula, n exponent
OPERATIONS = {op: kinds for kinds, ops in KINDS.items() for op in ops.split()}
ZERO, ONE, U, TINY = Fraction(0), Fraction(1), Fraction(1, 2**53), Fraction(1, 2**1074)
PI = Fraction(314159265358979323846, 10**20), Fraction(314159265358979323847, 10**20)
LOCK, WORK = Lock(), SimpleNamespace()  # one check at a time: it owns the terms and the caches
def _require(truth: object, what: str, *got: object) -> None:
    if not truth:
        raise ValueError(f"{what}; got {short(got[0])}" if got else what)
def _operator(op: str) -> Any:
    return lambda *args: _node(op, *args)
def _spend(work: int, digits: int = 0, monomials: int = 0) -> None:
    WORK.done += work
    small = digits <= MAX_BITS and monomials <= MAX_MONOMIALS
    _require(small and WORK.done <= MAX_WORK, "too much work")
class _Term:  # of a term or formula; made by _node, so that equal ones are one object
    __add__, __sub__, __mul__, __truediv__, __neg__ = map(_operator, ("+", "-", "*", "/", "neg"))
    def __init__(self, op: str, args: tuple[Any, ...]) -> None:
        self.op, self.args = op, args
@cache
def _node(op: str, *args: Any) -> _Term:  # a - b is a + neg b, and a - 0 is a
    if op == "-":
        return _node("+", args[0], -args[1])
    nothing = op == "+" and args[1].op == "neg" and args[1].args[0] is _leaf(0)
    return args[0] if nothing else _Term(op, args)
def _leaf(value: str | int | Fraction) -> _Term:
    return _node("var", value) if isinstance(value, str) else _node("num", Fraction(value))
def _number(value: Any) -> Fraction:
    ok = isinstance(value, str) and NUMBER.fullmatch(value) and str(Fraction(value)) == value
    _require(ok, "neither a name nor an exact number, '-12' or '3/40'", value)
    return Fraction(value)
class _Reader:  # of terms and formulas over the names
    def __init__(self, names: Any, tag: str = "") -> None:
        self.names, self.tag, self.seen = set(names), tag, dict[_Term, _Term]()
    def term(self, value: Any, kind: str = "t") -> Any:
        if kind == "n" and type(value) is int and 0 <= value <= 16:
            return value
        if kind == "t" and isinstance(value, str):
            return _leaf(value if value in self.names else _number(value))
        ok = isinstance(value, list) and value and isinstance(value[0], str)
        op, *args = value if ok else [""]
        kinds = OPERATIONS.get(op, "-")
        kinds += kinds[1] * (len(value) - len(kinds)) if op in ("+", "*", "and", "or") else ""
        _require(kinds[0] == kind and len(value) == len(kinds), "no term or formula", value)
        new = [self.term(a, k) for a, k in zip(args, kinds[1:], strict=True)]
        if op == "**":  # powers are products; sums and products nest to the left
            op, new = "*", [new[0]] * new[1] or [_leaf(1)]
        if op in ("+", "*"):
            return reduce(partial(_node, op), new)
        if op[0] in "<>":  # ge: left >= right, gt: left > right
            return _node("ge" if "=" in op else "gt", *(new if ">" in op else reversed(new)))
        if op == "clip":
            return _node("min", _node("max", *new[:2]), new[2])
        if op == "tan":
            return _node("sin", *new) / _node("cos", *new)
        return self.where(*new) if op == "where" else _node(op, *new)
    def where(self, f: _Term, a: _Term, b: _Term) -> _Term:
        # Nodes (l, r, a, b): l >= r; unless raw, q = l - r and 0, t:TAGk added to the k-th q.
        if f.op in ("ge", "gt"):
            q = f.args[0] - f.args[1]
            if self.tag and self.tag != "raw":
                q = q + self.seen.setdefault(q, _leaf(f"t:{self.tag}{len(self.seen)}"))
            return _node("if " + f.op, *(f.args if self.tag == "raw" else (q, _leaf(0))), a, b)
        if f.op == "not":
            return self.where(f.args[0], b, a)
        result = a if f.op in ("and", "true") else b
        for g in reversed(f.args):
            result = self.where(g, result, b) if f.op == "and" else self.where(g, a, result)
        return result
def _replace(t: _Term, known: dict[_Term, _Term]) -> _Term:  # known is filled as a cache
    if t not in known:
        _spend(1)
        args = (_replace(a, known) if isinstance(a, _Term) else a for a in t.args)
        known[t] = _node(t.op, *args)
    return known[t]
def _clauses(f: _Term, positive: bool = True) -> list[list[tuple[_Term, _Term]]]:
    # The conjunctive normal form of f, or of not f; each literal with its negation, closed.
    if f.op == "not":
        return _clauses(f.args[0], not positive)
    if f.op in ("ge", "gt"):
        q = _node("-", *(f.args if positive else reversed(f.args)))
        return [[(_node(">0", q) if (f.op == "gt") == positive else q, -q)]]
    forms = [_clauses(g, positive) for g in f.args]
    if (f.op in ("and", "true")) == positive:
        return [*chain(*forms)]
    _require(math.prod(map(len, forms)) <= MAX_CLAUSES, "a normal form has too many clauses")
    return [[*chain(*choice)] for choice in product(*forms)]
def _canonical(value: Any, n: int = 0) -> Any:  # sums and products flattened on the left
    ok = n < MAX_DEPTH if isinstance(value, dict | list) else value not in (math.inf, -math.inf)
    _require(ok and value == value, "NaN, Infinity, or nested too deeply")
    if not isinstance(value, list):
        return {k: _canonical(v, n + 1) for k, v in value.items()} if type(value) is dict else value
    items = [_canonical(v, n + 1) for v in value]
    sums = len(items) > 2 and items[0] in ("+", "*") and isinstance(items[1], list)
    return items[1] + items[2:] if sums and items[1][:1] == items[:1] else items
def _read(value: Any, shape: Any) -> Any:
    # A dict has its keys ("a b": two), a list its items, a tuple (shape,) any number of them.
    if isinstance(shape, dict):
        shape = {k: inner for keys, inner in shape.items() for k in keys.split()}
        _require(type(value) is dict and value.keys() == shape.keys(), f"keys: {[*shape]}", value)
        return {k: _read(value[k], shape[k]) for k in shape}
    if isinstance(shape, list | tuple):
        ok = isinstance(value, list) and (isinstance(shape, tuple) or len(value) == len(shape))
        _require(ok, "a list of the right length is accepted", value)
        shapes = shape if isinstance(shape, list) else shape * len(value)
        return [_read(v, s) for v, s in zip(value, shapes, strict=True)]
    _require(not isinstance(shape, type) or shape in (object, type(value)), f"no {shape}", value)
    return value if isinstance(shape, type) else shape(value)
def _multiply(a: Interval, b: Interval) -> Interval:
    ends = [x * y for x in a for y in b]
    return min(ends), max(ends)
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
def _exp(x: Fraction) -> Interval:
    _require(abs(x) <= 5000, "an exponent is too large")
    low, high, a, b, k = 0, 0, 1 << 256, 1 << 256, 0
    while b > 1 or k <= 2 * abs(x):  # a sum below and one above, in units of 2^-256
        low, high, k = low + a, high + b, k + 1
        a, b = math.floor(a * abs(x) / k), math.ceil(b * abs(x) / k)
    _spend(k)  # what is left is at most twice its first term
    ends = Fraction(low, 1 << 256), Fraction(high + 2, 1 << 256)
    return ends if x >= 0 else (1 / ends[1], 1 / ends[0])
def _image(op: str, low: Fraction, high: Fraction) -> Interval:  # of an interval by a function
    if op in ("sin", "cos"):
        return _wave(int(op == "sin"), low, high)
    if op in ("exp", "tanh"):  # tanh(x) = 1 - 2 / (exp(2 x) + 1)
        a, b = (_exp(x if op == "exp" else 2 * x) for x in (low, high))
        return (a[0], b[1]) if op == "exp" else (1 - 2 / (a[0] + 1), 1 - 2 / (b[1] + 1))
    if op == "sqrt":
        n, m = (math.isqrt(x * 4**1200 // 1) for x in (low, high))
        return Fraction(n, 2**1200), Fraction(m + 1, 2**1200)
    g, h = (Fraction(math.log(x)) for x in (low, high))  # 1 - 1/y <= log(y) <= y - 1
    return g + 1 - 1 / (low * _exp(-g)[0]), h + high * _exp(-h)[1] - 1
class _Rounding:  # section 4: R and E of terms; guard is the greatest error of a guard met
    def __init__(self, box: dict[str, Interval], ulps: int, exact: bool = False) -> None:
        self.box, self.ulps, self.exact, self.guard = box, ulps, exact, ZERO
        self.of = cache(self.bounded)
    def bounded(self, t: _Term) -> tuple[Fraction, Fraction, Fraction]:  # the ends of R, and E
        a, b, e = self.compute(t.op, t.args)
        digits = max(x.denominator.bit_length() for x in (a, b, e))
        _spend(digits >> 4, digits)
        _require(max(-a, b) + e <= 2**1000, "a float may overflow")
        return a, b, e
    def compute(self, op: str, args: Any) -> tuple[Fraction, Fraction, Fraction]:
        if op == "num":
            return args[0], args[0], abs(args[0] - Fraction(float(args[0])))
        if op in ("var", "pi"):
            return (*self.box[args[0]], ZERO) if op == "var" else (*PI, 4 * U)
        if op == "+":
            while args[0].op == "+":
                args = args[0].args + args[1:]
            parts = [self.of(t) for t in args]
            a, b, e = (sum(column, ZERO) for column in zip(*parts, strict=True))
            return a, b, e + len(parts) * U * sum(max(-a, b) + e for a, b, e in parts)
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
        ulps = 1  # from here: first E of exact arithmetic, then the operation's own
        if op == "*":
            e = max(-a, b) * f + max(-c, d) * e + e * f
            a, b = _multiply((a, b), (c, d))
            a = max(a, ZERO) if args[0] is args[1] else a
        elif op == "/":
            gap = max(c, -d) - f
            _require(gap > 0, "a denominator comes near 0")
            a, b = _multiply((a, b), (1 / d, 1 / c))
            e = (e + max(-a, b) * f) / gap
        else:
            _require(op not in ("log", "sqrt") or a - e >= TINY, f"{op} comes near its edge")
            (c, d), ulps = _image(op, a - e, b + e), 1 if op == "sqrt" else self.ulps
            e *= {"exp": d, "sqrt": 1 / max(c, TINY), "log": 1 / max(a - e, TINY)}.get(op, ONE)
            a, b = _image(op, a, b)
        return a, b, e + ulps * (2 * U * (max(-a, b) + e) + TINY)
def _within(t: _Term, low: Fraction, high: Fraction) -> Terms:
    return [t - _leaf(low), _leaf(high) - t]
def _around(t: _Term, size: Fraction) -> Terms:
    return _within(-t, -size, size)
def _box(box: dict[str, Interval]) -> Terms:
    return [g for x, (low, high) in box.items() for g in _within(_leaf(x), low, high)]
def _one_of(premises: Terms, clause: list[tuple[_Term, _Term]]) -> Sequent:
    return premises + [n for _, n in clause[1:]], [[clause[0][0] if clause else _leaf(-1)]], 0
MODEL: Any = {"format": ["nprl-model/1"].index, "choices step init safe terminal": object}
MODEL |= {"name observation reward unsafe_reward horizon dt integrator provenance notes": object}
MODEL |= {"state action disturbance": ({"name unit": str, "low high": _number},)}
MODEL |= {"arithmetic": {"state": ["float64", "float32"].index, "scaled": bool, "ulps": int}}
class _Model:  # section 2, and what both kinds of file hold beside it
    def __init__(self, data: Any, form: str, parts: str) -> None:
        shape = {"format": [form].index, "semantics": ["1"].index, "model": MODEL}
        shape |= {"model_digest witness " + parts: object, "proofs info": dict}
        self.file = c = SimpleNamespace(**_read(data, shape))
        self.model = m = SimpleNamespace(**c.model)
        s = "nprl-semantics/1\n" + json.dumps(data["model"], sort_keys=True, separators=(",", ":"))
        _require(c.model_digest == sha256(s.encode()).hexdigest(), "not the model_digest")
        lists = m.state, m.action, m.disturbance
        boxes = [{x["name"]: (x["low"], x["high"]) for x in coordinates} for coordinates in lists]
        self.state, self.action, self.disturbance = boxes
        self.box: dict[str, Interval] = self.state | self.action | self.disturbance
        ok = len(self.box) == sum(map(len, lists)) and all(map(NAME.fullmatch, self.box))
        _require(ok and self.state, "a name is bad, or there twice; or there is no state")
        self.points = xs, us, _ = *(dict.fromkeys(box, _number) for box in boxes),
        self.init = _read(m.init, {x: [_number, _number] for x in xs})
        ok = all(low < high for low, high in (self.state | self.action).values())
        ends = [*self.init.values(), *self.disturbance.values()]
        _require(ok and all(low <= high for low, high in ends), "a low end is not below the high")
        choices = [] if m.choices is None else _read(m.choices, ([*us.values()],))
        self.choices = [dict(zip(us, c, strict=True)) for c in choices]
        ok = all(a <= c[u] <= b for c in self.choices for u, (a, b) in self.action.items())
        _require(ok and m.choices != [], "a choice is outside its box, or there is none")
        self.targets = [{u: (v, v) for u, v in c.items()} for c in self.choices] or [self.action]
        self.single, _, self.ulps = m.arithmetic.values()
        _require(1 <= self.ulps <= 64, "ulps: 1 to 64 are accepted", self.ulps)
        self.plain = _Reader(xs)
        self.safe, self.terminal = (self.plain.term(f, "f") for f in (m.safe, m.terminal))
    def witnessed(self, point: Any, boxes: Any, parts: Any = ((),)) -> None:
        r = _Rounding({k: (v, v) for k, v in point.items()}, self.ulps, exact=True)
        ok = any(all(box[k][0] <= v <= box[k][1] for k, v in point.items()) for box in boxes)
        _require(ok and any(all(r.of(g)[0] >= 0 for g in part) for part in parts), "it is none")
class _Certificate(_Model):  # sections 3 to 5
    def __init__(self, data: Any) -> None:
        super().__init__(data, "nprl-certificate/1", "shield rounding")
        (xs, us, ws), c, m, plain = self.points, self.file, self.model, self.plain
        readers = raw, plant, again = *(_Reader(self.box, tag) for tag in ("raw", "plant", "test")),
        off, steps = _Reader(xs, "backup"), [dict.fromkeys(xs, r.term) for r in readers]
        self.raw_step, self.step, self.again = (_read(m.step, terms) for terms in steps)
        self.edge = raw.term(["where", m.terminal, "1", "0"])
        shape = {"family": str, "invariant": ((plain.term,),), "backup": (off.term,)}
        plans = {"policies": ([plain.term] * len(us),), "steps": int}  # may be absent
        shape |= {"margins": object} | {k: plans for k in _read(c.shield, dict) if k == "plans"}
        s = SimpleNamespace(**{"plans": {"policies": [us], "steps": 1}} | _read(c.shield, shape))
        _require(s.plans["policies"] and 1 <= s.plans["steps"] <= 200, "no policy, or its steps")
        self.rows, self.backup = s.invariant, s.backup
        self.raw_backup = [raw.term(b) for b in c.shield["backup"]]
        _require('"where"' not in json.dumps(c.shield["invariant"]), "a row holds a where")
        self.margins = _read(s.margins, [[_number] * len(part) for part in self.rows])
        _require(all(abs(v) < 2**1000 and float(v) == v for v in chain(*self.margins)), "a margin")
        shape = {"plant": xs, "backup": [*us.values()], "guard": _number}
        shape["test"] = [[_number] * len(part) for part in self.rows]
        self.rounding = SimpleNamespace(**_read(c.rounding, shape))
        shape = {"init": xs, "invariant": xs, "action": us, "disturbance": ws}
        start, x, u, w = _read(c.witness, shape).values()
        cases = {"init": (start, [self.init]), "invariant": (x, [self.box], self.rows),
            "action": (u, self.targets), "disturbance": (w, [self.box]),
            "test": (x | u, [self.box], self.tests(self.raw_step))}
        self.direct = {f"witness/{kind}": partial(self.witnessed, *c) for kind, c in cases.items()}
        self.direct["domain"] = partial(self.domain)
        self.guards = [[*reader.seen.values()] for reader in (plant, again, off)]
        self.names = {t.args[0] for t in chain(*self.guards)} | {"e:" + x for x in xs} | {*self.box}
    def tests(self, step: dict[str, _Term], scale: int = 1) -> list[Terms]:  # T - scale margin
        centre = {_leaf(w): _leaf(sum(ends) / 2) for w, ends in self.disturbance.items()}
        after = {_leaf(x): _replace(t, centre) for x, t in step.items()}
        parts = (zip(*pair, strict=True) for pair in zip(self.rows, self.margins, strict=True))
        return [[_replace(g, after) - _leaf(scale * m) for g, m in p] for p in parts]
    def domain(self) -> None:
        r, edge, own = *(_Rounding(self.box, self.ulps) for _ in range(2)), self.rounding
        claims = [*zip(chain(*own.test), chain(*self.tests(self.raw_step, 0)), strict=True)]
        near = zip(own.backup, self.raw_backup, self.action.values(), strict=True)
        claims += [(v - 16 * U * (abs(low) + abs(high)), t) for v, t, (low, high) in near]
        for x, t in self.raw_step.items():
            a, b, e = r.of(t)
            size = (max(-a, b) + e) * self.single
            _require(size < 2**127, "a float32 may overflow")
            claims.append((own.plant[x] - 2**30 * U * size - Fraction(self.single, 2**149), t))
        _require(all(v >= r.of(t)[2] for v, t in claims) and own.guard >= r.guard, "a claim is low")
        _require(edge.of(self.edge) and edge.guard == 0, "terminal is not exact in floats")
    def goals(self) -> dict[str, Sequent]:  # section 5
        r, goals = self.rounding, dict(init=(_box(self.init), self.rows, 0))
        plant, test, off = ([g for t in ts for g in _around(t, r.guard)] for ts in self.guards)
        after = {_leaf(x): t + _leaf("e:" + x) for x, t in self.step.items()}
        kept = [[_replace(g, after) for g in part] for part in self.rows]
        free = _box(self.box) + [g for x, e in r.plant.items() for g in _around(_leaf("e:" + x), e)]
        errors = zip(self.action, self.backup, r.backup, strict=True)
        near = [g for u, b, e in errors for g in _around(_leaf(u) - b, e)]
        pairs = [zip(self.backup, target.values(), strict=True) for target in self.targets]
        actions = [[g for b, ends in pair for g in _within(b, *ends)] for pair in pairs]
        for q, (part, tests) in enumerate(zip(self.rows, self.tests(self.again), strict=True)):
            xs, before = part + _box(self.state), part + free + near
            goals[f"ranges/{q}"] = part, [_box(self.state)], 0
            goals[f"action/{q}"] = xs + off, actions, 0
            goals |= {f"safe/{q}/{k}": _one_of(xs, c) for k, c in enumerate(_clauses(self.safe))}
            for k, c in enumerate(_clauses(self.terminal)):
                goals[f"backup/{q}/{k}"] = before + [n for _, n in c] + plant + off, kept, 0
            passed = [t + _leaf(e) for t, e in zip(tests, r.test[q], strict=True)]
            goals[f"test/{q}"] = free + passed + plant + test, [kept[q]], 0
        return goals
class _Impossible(_Model):  # section 7
    def __init__(self, data: Any) -> None:
        super().__init__(data, "nprl-impossible/1", "losing decrease")
        (xs, _, ws), plain, answer = self.points, self.plain.term, _Reader(self.state | self.action)
        shape = {"rows": (plain,), "rank": plain, "disturbance": dict.fromkeys(ws, answer.term)}
        self.parts = [SimpleNamespace(**p) for p in _read(self.file.losing, (shape,))]
        self.decrease, self.names = _read(self.file.decrease, _number), {*self.box}
        _require(self.parts and self.decrease > 0, "no part, or no decrease")
        self.step = _read(self.model.step, dict.fromkeys(xs, _Reader(self.box).term))
        start, rows = _read(self.file.witness, {"init": xs})["init"], [p.rows for p in self.parts]
        self.direct = {"witness/init": partial(self.witnessed, start, [self.init], rows)}
    def goals(self) -> dict[str, Sequent]:
        goals: dict[str, Sequent] = {}
        inputs = [{_leaf(u): _leaf(v) for u, v in c.items()} for c in self.choices] or [{}]
        out = [[n if g.op == ">0" else _node(">0", n) for g, n in c] for c in _clauses(self.safe)]
        for q, part in enumerate(self.parts):
            for k, c in enumerate(_clauses(self.terminal, False)):
                goals[f"live/{q}/{k}"] = _one_of(part.rows, c)
            for (k, c), (a, u) in product(enumerate(_clauses(self.safe, False)), enumerate(inputs)):
                here = part.rows + [n for _, n in c]
                answer = {_leaf(w): _replace(t, {**u}) for w, t in part.disturbance.items()}
                inside = [g for w in answer for g in _within(answer[w], *self.box[w.args[0]])]
                after = {_leaf(x): _replace(t, u | answer) for x, t in self.step.items()}
                limit, new = part.rank - _leaf(self.decrease), partial(_replace, known=after)
                then = [[*map(new, p.rows), limit - new(p.rank)] for p in self.parts]
                then += [[*map(new, literals)] for literals in out] + out
                goals[f"rank/{q}/{k}"] = here, [[part.rank]], 0
                goals[f"strategy/{q}/{k}/{a}"] = here + _box(self.action), [inside], 0
                goals[f"losing/{q}/{k}/{a}"] = here + _box(self.action), then, 0
        return goals
def _sum(*products: tuple[Polynomial, Polynomial]) -> Polynomial:
    total, bottom = dict[tuple[str, ...], int](), 1
    for (p, c), (q, d) in products:
        if (more := math.lcm(bottom, c * d) // bottom) > 1:
            total, bottom = {m: x * more for m, x in total.items()}, bottom * more
        _spend(len(p) * len(q) + 1 + len(total) * (more > 1), bottom.bit_length(), len(total))
        scale = bottom // (c * d)
        for (m, x), (n, y) in product(p.items(), q.items()):
            key = tuple(sorted(m + n)) if m and n else m or n
            total[key] = total.get(key, 0) + x * y * scale
    digits = max(map(int.bit_length, total.values()), default=0)
    _spend(len(total) * (digits >> 8), digits, len(total))
    _require(max(map(len, total), default=0) <= MAX_DEGREE, "a polynomial is of too high degree")
    common = math.gcd(bottom, *total.values())
    return {m: x // common for m, x in total.items() if x}, bottom // common
def _constant(value: Fraction) -> Polynomial:
    return {(): value.numerator} if value else {}, value.denominator
@cache
def _polynomial(t: _Term) -> Polynomial:
    if t.op in ("num", "var"):
        return _sum((_constant(t.args[0]), _constant(ONE))) if t.op == "num" else ({t.args: 1}, 1)
    _require(t.op in ("+", "neg", "*", "/"), f"{t.op} is no operation of polynomials")
    p, q, one = *map(_polynomial, (t.args[0], t.args[-1])), _constant(ONE)
    if t.op in ("+", "neg"):
        return _sum((p, one), (q, one)) if t.op == "+" else _sum((p, _constant(-ONE)))
    _require(t.op == "*" or q[0].keys() == {()}, "a quotient is no polynomial")
    return _sum((p, q if t.op == "*" else _constant(Fraction(q[1], q[0][()]))))
def _combine(premises: Terms, goal: _Term, value: Any, reader: _Reader) -> None:
    shape = {"products": ([_number, (int,)],), "squares": ([_number, reader.term, (int,)],)}
    parts = _read({k: [] for k in shape} | value if isinstance(value, dict) else value, shape)
    pairs = [(_polynomial(goal.args[0] if goal.op == ">0" else goal), _constant(ONE))]
    for weight, *square, indices in parts["products"] + parts["squares"]:
        _require(weight >= 0 and {*indices} <= {*range(len(premises))}, "a bad weight or index")
        factors = square + square + [premises[k] for k in indices] or [_leaf(1)]
        pairs.append((_polynomial(reduce(_Term.__mul__, factors)), _constant(-weight)))
    rest, _ = _sum(*pairs)
    ends: dict[tuple[str, bool], list[Any]] = {}  # of the box that the premises state
    for h in premises:
        with suppress(ValueError):
            p, _ = _polynomial(h)
            if len(p) <= 2 and [len(m) for m in p if m] == [1]:  # slope x + p[()]
                (x,) = max(p)
                ends.setdefault((x, p[x,] > 0), []).append(Fraction(-p.get((), 0), p[x,]))
    _require(max(map(len, rest), default=0) <= 1, "the remainder is not affine")
    box = {x: (max(ends.get((x, True), [math.inf])), min(ends.get((x, False), [-math.inf])))
        for m in rest for x in m}
    _require(all(low <= high for low, high in box.values()), "the box is empty, or has no end")
    bound = sum((v * box[m[0]][v < 0] if m else v for m, v in rest.items()), ZERO)
    _require(bound > 0 or (bound == 0 and goal.op != ">0"), "the remainder may be negative")
def _powers(x: _Term, n: int) -> Terms:  # x^k / k! for k = 0, ..., n
    return [*accumulate(range(1, n + 1), lambda p, k: p * x / _leaf(k), initial=_leaf(1))]
def _prove(premises: Terms, goals: list[Terms], given: int, names: set[str], tree: Any) -> None:
    _require(isinstance(tree, list) and len(tree) > 1, "there is no proof", tree)
    reader, v = _Reader(names | {f"a:{i}" for i in range(given)}), _leaf(f"a:{given}")
    t = v if tree[0] in ("part", "leaf", "absurd") else reader.term(tree[1])
    def swap(new: _Term, *more: _Term) -> Sequent:  # t by new; with t itself: only premises
        known = WORK.known.setdefault((t, new), {t: new})
        after = [[_replace(p, known) for p in alternative] for alternative in goals]
        return [*(_replace(h, known) for h in premises), *more], after, given + (new is v)
    todo: list[tuple[Sequent, Any]] = []
    match [tree[0], t.op, *tree[2:]]:
        case ["part", _, sub] if type(tree[1]) is int and 0 <= tree[1] < len(goals):
            todo = [((premises, [goals[tree[1]]], given), sub)]
        case ["split", _, first, second]:
            todo = [(swap(t, t), first), (swap(t, -t), second)]
        case ["cut", _, first, second]:
            todo = [((premises, [[t]], given), first), (swap(t, t), second)]
        case ["pieces", "min" | "max" | "abs" | "if ge" | "if gt" as op, first, second]:
            a, b = t.args[-2:] if len(t.args) > 1 else (t.args[0], -t.args[0])
            p = {"min": b - a, "max": a - b}.get(op, t.args[0])
            todo = [(swap(a, p), first), (swap(b, -p), second)]
        case ["function", "pi", int(), sub]:
            todo = [(swap(v, *_within(v, *PI)), sub)]
        case ["function", "sin" | "cos", int(k), sub] if k is not True and 1 <= k <= 12:
            *powers, q = _powers(t.args[0], 2 * k)
            signed = [-p if n & 2 else p for n, p in enumerate(powers)]
            p = reduce(_Term.__sub__, signed[t.op == "sin" :: 2], v)
            todo = [(swap(v, p + q, q - p, *_around(v, ONE)), sub)]
        case ["divide", "/", "+" | "-" as sign, first, sub]:
            p, side = v * t.args[1] - t.args[0], t.args[1] if sign == "+" else -t.args[1]
            todo = [((premises, [[_node(">0", side)]], given), first), (swap(v, p, -p), sub)]
        case ["root", "sqrt", first, sub]:
            p = v * v - t.args[0]
            todo = [((premises, [[*t.args]], given), first), (swap(v, p, -p, v), sub)]
        case ["exp", "exp" | "tanh" | "log", int(k), *ends, first, sub]:
            c, low, high = map(_number, ends)
            ok = k is not True and 1 <= k <= 12 and 0 <= low <= _exp(c)[0] and _exp(c)[1] <= high
            _require(ok, "an order 1 to 12, and numbers around exp(c)", ends)
            a, i, y = t.args[0], _leaf(1), _leaf(c)  # n = d exp(x), and n, d >= 0
            n, d, x = {"exp": (v, i, a), "log": (a, i, v), "tanh": (i + v, i - v, a + a)}[t.op]
            above, below = (reduce(_Term.__add__, _powers(z, 2 * k - 1)) for z in (x - y, y - x))
            p, q = n - _leaf(low) * above * d, _leaf(high) * d - below * n
            positive = [_node(">0", a)] * (t.op == "log")
            todo = [((premises, [positive], given), first), (swap(v, p, q, n, d), sub)]
        case ["name", _, sub]:
            todo = [(swap(v), sub)]
        case ["leaf", _] if len(goals) == 1 and isinstance(tree[1], list):
            for goal, value in zip(goals[0], tree[1], strict=True):
                _combine(premises, goal, value, reader)
        case ["absurd", _]:
            _combine(premises, _leaf(-1), tree[1], reader)
        case _:
            raise ValueError(f"no rule, or not one for this term: {short(tree)}")
    for sequent, sub in todo:
        _prove(*sequent, names, sub)
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
            known = isinstance(value, dict) and value.get("format") == "nprl-impossible/1"
            c = (_Impossible if known else _Certificate)(_canonical(value))
            goals, proofs = c.goals(), c.file.proofs
            _require(proofs.keys() <= goals.keys(), "an unknown goal", [*proofs])
            jobs = {g: partial(_prove, *s, c.names, proofs.get(g)) for g, s in goals.items()}
            for goal, job in (c.direct | jobs).items():
                try:
                    result[goal] = job() or ""
                except (ValueError, OverflowError) as error:
                    result[goal] = str(error)
        except (RecursionError, MemoryError) as error:
            raise ValueError("nested too deeply, or too large") from error
        finally:
            sys.setrecursionlimit(limit)
            for function in (_node, _polynomial):
                function.cache_clear()
    return result
def _report(path: str) -> int:
    try:
        failed = [f"{goal}: {why}" for goal, why in check(Path(path).read_bytes()).items() if why]
        said, status = (f"not proved: {'; '.join(failed)}", 1) if failed else ("proved", 0)
    except (OSError, ValueError) as error:
        said, status = f"bad input: {error}", 2
    print(f"{path}: {said}")
    return status
def main(argv: list[str]) -> int:
    """Print a line for each certificate; 0: all proved, 1: some goal is not, 2: bad input."""
    return max(map(_report, argv), default=2)
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
