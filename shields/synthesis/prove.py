"""Find proof trees: from a sequent to the JSON that the checkers verify.

The search is generic: min, max, abs and where are taken apart where they occur; functions are named
and bounded; what is left is polynomial, and closed by a combination of premises, splitting the box
where the true dynamics are too curved for one. Nothing here is trusted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from nprl.lang import exact
from nprl.lang.floats import compile_batch
from nprl.lang.ranges import Interval
from nprl.lang.serial import number_to_json, to_json
from nprl.lang.terms import (
    Binary,
    BinaryOp,
    Num,
    Pi,
    Power,
    Term,
    Unary,
    UnaryOp,
    Var,
    Where,
    children,
    subterms,
    variables,
)
from nprl.shields.leaf import Premises
from nprl.shields.polynomial import (
    NotPolynomial,
    Polynomial,
    Range,
    add,
    bound_of,
    names,
    polynomial,
    times,
)
from nprl.shields.sequent import MAX_ORDER, Sequent, expand
from nprl.shields.synthesis import bernstein
from nprl.shields.synthesis.combine import (
    Proposal,
    closes,
    combine,
    nonlinear_variables,
    remainder_bound,
    variables_to_split,
)
from nprl.shields.synthesis.squares import degree, square_combination

Tree = list[Any]
FUNCTIONS = (UnaryOp.SIN, UnaryOp.COS, UnaryOp.SQRT)
SAMPLES = 10_000
TAYLOR_ERROR = Fraction(1, 10**7)
MINUS_ONE: Polynomial = {(): Fraction(-1)}


class NotProved(Exception):
    """The search ended without a proof; says where."""


@dataclass(slots=True)
class Search:
    """Limits of one search, and what it counts."""

    seconds: float = 60.0
    max_leaves: int = 4000
    max_depth: int = 40
    scan: bool = True
    """Whether functions are named that occur in premises only; lemmas do without."""
    original: int = 0
    leaves: int = 0
    end: float = field(init=False)
    cache: dict[Term, Polynomial | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.end = time.monotonic() + self.seconds

    def step(self, where: str) -> None:
        """Count; stop where a limit is met."""
        if time.monotonic() > self.end:
            raise NotProved(f"{where}: {self.seconds:g} s are over, after {self.leaves} leaves")
        if self.leaves > self.max_leaves:
            raise NotProved(f"{where}: more than {self.max_leaves} leaves")


def prove(sequent: Sequent, search: Search | None = None) -> Tree:
    """A proof tree of the sequent.

    Raises:
        NotProved: with the conclusion at which the search ended.
    """
    search = search or Search()
    search.original = len(sequent.premises)
    return _close(sequent, search, 0)


def _close(s: Sequent, search: Search, depth: int) -> Tree:
    search.step("proof")
    if len(s.alternatives) > 1:
        problem = ""
        for k in range(len(s.alternatives)):
            node: Tree = ["part", k, None]
            try:
                return ["part", k, _close(expand(node, s)[0], search, depth)]
            except NotProved as error:
                problem = str(error)
        raise NotProved(problem)
    piece = _first_piece(s, search)
    if piece is not None:
        head = ["pieces", to_json(piece)]
        return [*head, *(_branch(c, search, depth) for c in expand([*head, None, None], s))]
    function = _first_function(s, search)
    if function is not None:
        return _eliminate(function, s, search, depth)
    return _polynomial_stage(s, search, depth)


def _branch(s: Sequent, search: Search, depth: int) -> Tree:
    absurd = _absurd(s, search)
    return absurd if absurd is not None else _close(s, search, depth)


def _first_piece(s: Sequent, search: Search) -> Term | None:
    """The first outermost min, max, abs or where of the conclusions, then of the goal's premises."""
    for t in (*(c.term for c in s.alternatives[0]), *s.premises[: search.original]):
        found = _outermost(t)
        if found is not None:
            return found
    return None


def _outermost(t: Any) -> Term | None:
    match t:
        case Binary(BinaryOp.MIN | BinaryOp.MAX) | Unary(UnaryOp.ABS) | Where():
            return t
        case _:
            return next((f for c in children(t) if (f := _outermost(c)) is not None), None)


def _innermost_functions(t: Term) -> Iterator[Term]:
    for s in subterms(t):
        match s:
            case Pi():
                yield s
            case Unary(op, a) if op in FUNCTIONS and not _has_functions(a):
                yield s
            case Binary(BinaryOp.DIV, n, d) if not isinstance(d, Num):
                if not _has_functions(n) and not _has_functions(d):
                    yield s
            case _:
                pass


def _has_functions(t: Term) -> bool:
    return any(
        isinstance(s, Pi)
        or (isinstance(s, Unary) and s.op is not UnaryOp.NEG)
        or (isinstance(s, Binary) and s.op in (BinaryOp.MIN, BinaryOp.MAX))
        or (isinstance(s, Binary) and s.op is BinaryOp.DIV and not isinstance(s.right, Num))
        or isinstance(s, Where)
        for s in subterms(t)
    )


def _lemma(s: Sequent, search: Search, depth: int) -> Tree:
    """A proof of an auxiliary conclusion, that does not look for functions in the premises."""
    before, search.scan = search.scan, False
    try:
        return _close(s, search, depth)
    finally:
        search.scan = before


def _first_function(s: Sequent, search: Search) -> Term | None:
    for t in (*(c.term for c in s.alternatives[0]), *(s.premises if search.scan else ())):
        if _outermost(t) is None:
            for f in _innermost_functions(t):
                return f
    return None


def _box(s: Sequent, search: Search) -> dict[str, Range]:
    return Premises(s.premises, search.cache).box()


def _eliminate(t: Term, s: Sequent, search: Search, depth: int) -> Tree:
    """Name a function, state what is known of it, and bound the name by cuts."""
    box = _box(s, search)
    at = {v: Interval(low, high) for v, (low, high) in box.items()}
    match t:
        case Pi():
            node: Tree = ["function", to_json(t), 1]
            return [*node, _close(expand([*node, None], s)[0], search, depth)]
        case Unary(UnaryOp.SIN | UnaryOp.COS, a):
            size = _magnitude(a, at)
            node = ["function", to_json(t), _order(size)]
            after = expand([*node, None], s)[0]
            return [*node, _bounded(t, at, s, after, search, depth)]
        case Unary(UnaryOp.SQRT, a):
            node = ["root", to_json(t)]
            inside, after = expand([*node, None, None], s)
            proof = _lemma(inside, search, depth)
            return [*node, proof, _bounded(t, at, s, after, search, depth)]
        case Binary(BinaryOp.DIV, _, d):
            sign = "+" if exact.enclose(d, at).hi > 0 else "-"
            node = ["divide", to_json(t), sign]
            positive, after = expand([*node, None, None], s)
            proof = _lemma(positive, search, depth)
            return [*node, proof, _bounded(t, at, s, after, search, depth)]
        case _:
            raise NotProved(f"no rule for {str(t)[:60]}")


def _order(size: Fraction) -> int:
    """The Taylor order that makes the remainder small for arguments up to ``size``."""
    rest, k = Fraction(1), 0
    while k < MAX_ORDER and (k == 0 or rest > TAYLOR_ERROR):
        k += 1
        rest *= size * size / ((2 * k - 1) * (2 * k))
    return k


def _magnitude(t: Term, at: dict[str, Interval]) -> Fraction:
    try:
        value = exact.enclose(t, at)
    except KeyError as error:
        raise NotProved(f"{t}: no bounds for {error}") from None
    ends: list[Any] = [abs(value.lo), abs(value.hi)]
    size = max(ends)
    if not isinstance(size, Fraction):
        raise NotProved(f"{t} is not bounded")
    return size


def _bounded(
    t: Term,
    at: dict[str, Interval],
    before: Sequent,
    after: Sequent,
    search: Search,
    depth: int,
) -> Tree:
    """Cuts that bound the fresh name, then the rest of the proof."""
    name = Var(f"a:{before.names}")
    cuts: list[tuple[Term, Tree]] = []
    s = after
    value = exact.enclose(t, at)
    if isinstance(t, Binary):
        fitted = _quotient_cuts(t, name, at, s, search, depth)
        if fitted is not None:
            form, radius, cuts = fitted
            s = s.given(*(lemma for lemma, _ in cuts))
            around = exact.enclose(form, at)
            value = Interval(around.lo - radius, around.hi + radius)
    slack = Fraction(min(1, value.width) + Fraction(1, 2**12)) / 2**10
    for bound, upper in ((value.lo, False), (value.hi, True)):
        if not isinstance(bound, Fraction):
            continue
        edge = Num(_outward(bound, upper, slack))
        lemma = edge - name if upper else name - edge
        try:
            cuts.append((lemma, _lemma(s.concluding(lemma), search, depth)))
        except NotProved:
            continue
        s = s.given(lemma)
    tree = _close(s, search, depth)
    for lemma, proof in reversed(cuts):
        tree = ["cut", to_json(lemma), proof, tree]
    return tree


def _quotient_cuts(
    t: Binary, name: Var, at: dict[str, Interval], s: Sequent, search: Search, depth: int
) -> tuple[Term, Fraction, list[tuple[Term, Tree]]] | None:
    """An affine form near a quotient, its distance, and the two cuts that say so."""
    for spare in (1.2, 1.6, 2.5, 4.0):
        form, radius = affine_fit(t, at, spare)
        cuts: list[tuple[Term, Tree]] = []
        now = s
        for lemma in (radius - (name - form), radius + (name - form)):
            proof = clear_denominator(now.concluding(lemma), t, name, search, depth)
            if proof is None:
                break
            cuts.append((lemma, proof))
            now = now.given(lemma)
        else:
            return form, radius.value, cuts
    return None


def affine_fit(t: Term, at: dict[str, Interval], spare: float = 1.2) -> tuple[Term, Num]:
    """An affine form near ``t`` on a box, and a number that the distance should stay below.

    By least squares at random points and corners; the number is the distance found there, times
    ``spare``: a guess, to be proved.
    """
    used = sorted(v for v in variables(t) if v in at)
    rng = np.random.default_rng(0)
    low = np.array([float(at[v].lo) for v in used])
    high = np.array([float(at[v].hi) for v in used])
    inner = low + (high - low) * rng.random((SAMPLES, len(used)))
    corners = np.where(rng.integers(0, 2, (SAMPLES // 2, len(used))) == 1, high, low)
    x = np.vstack([inner, corners])
    y = np.asarray(compile_batch([t], [used])(x)[0])
    design = np.hstack([x, np.ones((len(x), 1))])
    slopes = np.linalg.lstsq(design, y, rcond=None)[0]
    reach = np.append(np.maximum(np.abs(low), np.abs(high)), 1.0)
    rest = y - design @ slopes
    step = max(float(rest.max() - rest.min()), 1e-6) / 64 / len(reach)
    slopes = np.array(
        [float(_short(v, step / max(r, 1e-9))) for v, r in zip(slopes, reach, strict=True)]
    )
    rest = y - design @ slopes
    form: Term = Num(_short(slopes[-1] + float(rest.max() + rest.min()) / 2, step))
    for v, slope in zip(used, slopes[:-1], strict=True):
        if slope:
            form = form + Num(Fraction(slope)) * Var(v)
    radius = spare * float(rest.max() - rest.min()) / 2 + step + 1e-6
    return form, Num(_short(radius, step))


def _short(value: float, error: float) -> Fraction:
    """A number of few binary digits, at most ``error`` away."""
    unit = Fraction(2) ** math.frexp(error)[1]
    return round(Fraction(value) / unit) * unit


def _outward(value: Fraction, up: bool, slack: Fraction) -> Fraction:
    """A number of few digits above (below) ``value``, by at least a half and at most all of slack."""
    unit = Fraction(2) ** (math.frexp(slack)[1] - 2)  # slack is 2 to 4 units
    steps = (value + unit if up else value - unit) / unit
    return (math.ceil(steps) if up else math.floor(steps)) * unit


def clear_denominator(
    goal: Sequent, t: Binary, name: Var, search: Search, depth: int
) -> Tree | None:
    """Prove a conclusion that is linear in the name of ``n / d`` by multiplying with d > 0."""
    q = goal.alternatives[0][0].term
    n, d = t.left, t.right
    box = _box(goal, search)
    at = {v: Interval(*r) for v, r in box.items()}
    try:
        denominator = exact.enclose(d, at)
        p, pn, pd = polynomial(q), polynomial(n), polynomial(d)
    except (KeyError, NotPolynomial):
        return None
    sign = 1 if denominator.lo > 0 else -1 if denominator.hi < 0 else 0
    key = ((name.name, 1),)
    slope = p.get(key)
    if not sign or slope is None or any(name.name in dict(m) and m != key for m in p):
        return None
    rest = {m: c for m, c in p.items() if m != key}
    cleared = add(times(rest, pd), pn, slope)
    cleared = {m: sign * c for m, c in cleared.items()}  # = |d| q where the equation holds
    ends: list[Any] = [abs(denominator.lo), abs(denominator.hi)]
    floor = Num(_outward(Fraction(min(ends)) / 2, False, Fraction(min(ends)) / 8))
    least = remainder_bound(cleared, box)
    if not floor.value > 0 or least is None or not least > 0:
        return None
    shift = _outward(least / 2, False, least / 8)
    lemma = (d if sign > 0 else -d) - floor
    try:
        positive = _lemma(goal.concluding(lemma), search, depth)
    except NotProved:
        return None
    # If -q >= 0, then (-q)(|d| - floor) + floor (-q) + |d| q - cleared = 0, and cleared > 0:
    # absurd.
    s = goal.given(lemma)
    bounded = from_polynomial(add(cleared, {(): -shift}))
    low = ["leaf", [_hint(add(cleared, {(): -shift}), {}, s, search)]]
    s = s.given(bounded)
    k = len(s.premises)
    negative = s.given(-q)
    trivial = ["leaf", [{"products": [["1", [k]]]}]]
    equation = _equation(negative, polynomial(name * d - n), search)
    if equation is None:
        return None
    up, down = equation
    scale = 1 / shift
    use = (up if sign * slope > 0 else down, abs(slope))
    products = [
        [number_to_json(scale), [k, k - 2]],
        [number_to_json(scale * floor.value), [k]],
        [number_to_json(scale), [k - 1]],
        [number_to_json(scale * use[1]), [use[0]]],
    ]
    absurd = ["absurd", {"products": products}]
    return [
        "cut", to_json(lemma), positive,
        ["cut", to_json(bounded), low, ["split", to_json(q), trivial, absurd]],
    ]  # fmt: skip


def _equation(s: Sequent, p: Polynomial, search: Search) -> tuple[int, int] | None:
    """The numbers of the premises p >= 0 and -p >= 0."""
    cache = Premises(s.premises, search.cache)
    minus = {m: -c for m, c in p.items()}
    found: dict[int, int] = {}
    for k in range(len(s.premises)):
        h = cache.polynomial(k)
        if h == p:
            found[1] = k
        elif h == minus:
            found[-1] = k
    return (found[1], found[-1]) if len(found) == 2 else None


def from_polynomial(p: Polynomial) -> Term:
    """A polynomial as a term: a balanced sum of products, constants in front."""
    parts: list[Term] = []
    for m, c in sorted(p.items()):
        part: Term = Num(c)
        for i, (n, k) in enumerate(m):
            factor: Term = Var(n) if k == 1 else Power(Var(n), k)
            part = factor if i == 0 and c == 1 else part * factor
        parts.append(part)
    while len(parts) > 1:
        parts = [
            parts[i] + parts[i + 1] if i + 1 < len(parts) else parts[i]
            for i in range(0, len(parts), 2)
        ]
    return parts[0] if parts else Num(Fraction(0))


def _polynomials(s: Sequent, search: Search) -> dict[int, Polynomial]:
    premises = Premises(s.premises, search.cache)
    found = ((k, premises.polynomial(k)) for k in range(len(s.premises)))
    return {k: p for k, p in found if p is not None}


def _absurd(s: Sequent, search: Search) -> Tree | None:
    premises = _polynomials(s, search)
    proposal = combine(MINUS_ONE, premises, _box(s, search))
    if not closes(proposal, False):
        return None
    assert proposal is not None
    search.leaves += 1
    return ["absurd", _hint(proposal.remainder, proposal.multipliers, s, search)]


def _hint(
    remainder: Polynomial, multipliers: Mapping[int, Fraction], s: Sequent, search: Search
) -> dict[str, Any]:
    """A leaf's combination: the multipliers, and what makes the remainder affine."""
    try:
        found = bernstein.entries(remainder, _box(s, search), _polynomials(s, search))
        chosen = [[number_to_json(c), [k]] for k, c in sorted(multipliers.items())]
    except ValueError as error:
        raise NotProved(f"{_where(s)}: {error}") from None
    return found | {"products": chosen + found.get("products", [])}


def _opposite(premises: dict[int, Polynomial]) -> list[tuple[int, int]]:
    """Pairs of affine premises that bound one form from both sides."""
    seen: dict[Any, int] = {}
    pairs = []
    for k, p in premises.items():
        if degree(p) != 1:
            continue
        key = tuple(sorted((m, c) for m, c in p.items() if m))
        minus = tuple(sorted((m, -c) for m, c in p.items() if m))
        if minus in seen:
            pairs.append((seen[minus], k))
        seen.setdefault(key, k)
    return pairs


def _close_one(
    goal: Polynomial, strict: bool, s: Sequent, search: Search
) -> tuple[dict[str, Any] | None, Proposal | None]:
    """The combination that closes one conclusion, or the nearest proposal.

    First with the affine premises and the facts about names alone, then with every premise.
    """
    premises, box, original = _polynomials(s, search), _box(s, search), search.original
    bound = remainder_bound(goal, box)
    if bound is not None and (bound > 0 or (bound == 0 and not strict)):
        return _hint(goal, {}, s, search), None
    for k, p in premises.items():
        if p == goal and not strict:
            return {"products": [["1", [k]]]}, None
    if _is_quadratic(goal, premises, box, original):
        squares = square_combination(goal, premises, _opposite(premises), box, strict)
        if squares is None:
            raise NotProved(f"no sum of squares for {from_polynomial(goal)}"[:160])
        return {
            "products": [[number_to_json(c), list(i)] for c, i in squares.products],
            "squares": [[number_to_json(d), to_json(q), []] for d, q in squares.squares],
        }, None
    first = {k: p for k, p in premises.items() if k >= original or degree(p) <= 1}
    nearest: Proposal | None = None
    for usable in (first, premises) if len(first) < len(premises) else (premises,):
        proposal = combine(goal, usable, box)
        if closes(proposal, strict):
            assert proposal is not None
            return _hint(proposal.remainder, proposal.multipliers, s, search), None
        nearest = nearest or proposal
    return None, nearest


def _is_quadratic(
    goal: Polynomial, premises: dict[int, Polynomial], box: dict[str, Range], original: int
) -> bool:
    """Whether a quadratic row of the goal's own premises bears on it, and no bounded name does."""
    if degree(goal) > 2 or any(v.startswith("a:") and v in box for v in names(goal)):
        return False
    rows = [p for k, p in premises.items() if k < original and degree(p) == 2]
    return any(names(p) & names(goal) for p in rows)


def _polynomial_stage(s: Sequent, search: Search, depth: int) -> Tree:
    search.step(_where(s))
    premises, box = _polynomials(s, search), _box(s, search)
    try:
        goals = [(polynomial(c.term), c.strict) for c in s.alternatives[0]]
    except NotPolynomial as error:
        raise NotProved(str(error)) from None
    tries = [_close_one(p, strict, s, search) for p, strict in goals]
    if all(hint is not None for hint, _ in tries):
        search.leaves += 1
        return ["leaf", [hint for hint, _ in tries]]
    if depth:
        absurd = _absurd(s, search)
        if absurd is not None:
            return absurd
    piece = next((f for t in s.premises if (f := _outermost(t)) is not None), None)
    if piece is not None:
        head = ["pieces", to_json(piece)]
        return [*head, *(_branch(c, search, depth) for c in expand([*head, None, None], s))]
    if depth >= search.max_depth:
        raise NotProved(f"{_where(s)}: split {depth} times")
    return _split(s, goals, tries, premises, box, search, depth)


def _split(
    s: Sequent,
    goals: Sequence[tuple[Polynomial, bool]],
    tries: Sequence[tuple[dict[str, Any] | None, Proposal | None]],
    premises: dict[int, Polynomial],
    box: dict[str, Range],
    search: Search,
    depth: int,
) -> Tree:
    """Cut what is closed already, then halve the box along the most curved variable."""
    open_goals = [i for i, (hint, _) in enumerate(tries) if hint is None]
    proposal = next((p for _, p in tries if p is not None), None)
    allowed = [
        v for v in nonlinear_variables([p for p, _ in goals] + list(premises.values())) if v in box
    ]
    basis = proposal.remainder if proposal is not None else goals[open_goals[0]][0]
    order = variables_to_split(basis, box, [v for v in allowed if v in names(basis)])
    order = [v for v in order if not v.startswith("a:")] or order
    if not order:
        raise NotProved(f"{_where(s, open_goals[0])}: no combination, and nothing to split")
    cuts = []
    now = s
    for i, (hint, _) in enumerate(tries):
        if hint:
            conclusion = s.alternatives[0][i]
            if conclusion.strict:
                continue
            cuts.append(["cut", to_json(conclusion.term), ["leaf", [hint]]])
            search.leaves += 1
            now = now.given(conclusion.term)
    low, high = box[order[0]]
    middle = _outward((low + high) / 2, False, (high - low) / 2**8)
    if not high - low > Fraction(1, 2**40):
        raise NotProved(f"{_where(s, open_goals[0])}: the box is too small to split")
    head = ["split", to_json(Var(order[0]) - Num(middle))]
    above, below = expand([*head, None, None], now)
    tree = [
        *head,
        _polynomial_stage(above, search, depth + 1),
        _polynomial_stage(below, search, depth + 1),
    ]
    for cut in reversed(cuts):
        tree = [*cut, tree]
    return tree


def _where(s: Sequent, i: int = 0) -> str:
    return f"conclusion {str(s.alternatives[0][i].term)[:80]}"


__all__ = ["NotProved", "Search", "Tree", "bound_of", "prove"]
