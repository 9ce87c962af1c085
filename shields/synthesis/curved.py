"""Proofs of invariants with rows of degree three and more: the step as polynomials, the states by cells.

What the backup does is put into the step; functions are named and enclosed by polynomials; so each
next coordinate is a polynomial of the state (and the disturbance) within a small radius. What the
rows lose by that radius is proved once, and the rest is a question about polynomials of the state
alone, which `nprl.shields.synthesis.cells` answers. Nothing here is trusted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product

import numpy as np

from nprl.lang import exact
from nprl.lang.floats import compile_batch
from nprl.lang.ranges import Interval
from nprl.lang.serial import number_to_json, to_json
from nprl.lang.terms import Binary, BinaryOp, Num, Pi, Term, Unary, UnaryOp, Var, variables
from nprl.lang.terms import replace as substitute
from nprl.shields.certificate import Certificate
from nprl.shields.goals import tolerant
from nprl.shields.polynomial import Polynomial, add, constant, names, polynomial
from nprl.shields.sequent import Sequent, expand, expanded
from nprl.shields.synthesis.bernstein import bound, from_polynomial, lower_bound
from nprl.shields.synthesis.cells import Cells, Target, TooFar
from nprl.shields.synthesis.cleared import clear_name
from nprl.shields.synthesis.combine import values
from nprl.shields.synthesis.functions import innermost_functions, taylor_order
from nprl.shields.synthesis.near import Move, move
from nprl.shields.synthesis.nonlinear import undisturbed
from nprl.shields.synthesis.prove import outermost, prove
from nprl.shields.synthesis.search import (
    NotProved,
    Search,
    Tree,
    box_of,
    hint,
    outward,
    polynomials,
)

DEGREE = 3
"""Of the polynomials that stand for functions."""
SLICES = 5
"""How often the range of what a function depends on is halved, where its polynomial is too far off."""
SAMPLES = 2_000
BITS = 26
"""Of the coefficients of polynomials that stand for a step."""
MAX_LEAVES = 20_000
Then = Callable[["State"], Tree]


@dataclass(frozen=True, slots=True)
class State:
    """A sequent, the terms that are watched in it, and the names given to functions.

    ``atoms`` maps a function's name to it as a term of the model's own coordinates; ``moves`` says
    which polynomial it is near to.
    """

    s: Sequent
    watched: tuple[Term, ...]
    atoms: Mapping[str, Term]
    moves: tuple[Move, ...] = ()

    def replacing(self, s: Sequent, old: Term, new: Term) -> State:
        """The same with another sequent, in which ``new`` stands for ``old``."""
        watched = tuple(substitute(t, {old: new}) for t in self.watched)
        return replace(self, s=s, watched=watched)

    def watching(self, t: Term) -> State:
        """The same with one more term in which pieces are looked for."""
        return replace(self, watched=(*self.watched, t))


def prove_curved(goal: str, sequent: Sequent, draft: Certificate, seconds: float) -> Tree:
    """A tree of any goal of a certificate whose rows are polynomials.

    Raises:
        NotProved: with what stopped the search.
    """
    kind = goal.split("/")[0]
    end = time.monotonic() + seconds
    if kind == "test":
        return _tested(sequent, draft, end)
    if kind != "backup":
        return _static(sequent, draft, _search(end))
    return _kept(sequent, draft, _search(end))


def _search(end: float) -> Search:
    left = end - time.monotonic()
    if left <= 0:
        raise NotProved("the time is over")
    return Search(seconds=left, max_leaves=MAX_LEAVES, max_depth=60)


def _static(s: Sequent, draft: Certificate, search: Search) -> Tree:
    """A goal about states alone: pieces, then cells."""
    terms = tuple(c.term for a in s.alternatives for c in a)

    def close(state: State) -> Tree:
        now = state.s
        targets = [[Target(polynomial(c.term), c.strict) for c in a] for a in now.alternatives]
        if any(_has_functions(c.term) for a in now.alternatives for c in a):
            return prove(now, search)
        split = [n for n in draft.model.state_names if n in box_of(now, search)]
        return Cells(targets, split, search).prove(now)

    if any(_has_functions(t) for t in terms):
        return prove(s, search)
    return _pieces(State(s, terms, {}), close)


def _has_functions(t: Term) -> bool:
    return next(innermost_functions(t), None) is not None


def _pieces(state: State, then: Then) -> Tree:
    """Take min, max, abs and where apart in what is watched."""
    for t in state.watched:
        piece = outermost(t)
        if piece is None:
            continue
        head: Tree = ["pieces", to_json(piece)]
        parts = [s for s in expand([*head, None, None], state.s)]
        return [
            *head,
            *(
                _pieces(state.replacing(s, piece, new).watching(s.premises[-1]), then)
                for s, new in zip(parts, branches(piece), strict=True)
            ),
        ]
    for k, t in enumerate(state.s.premises):
        if isinstance(t, Binary) and not variables(t) and polynomial(t).get((), 0) < 0:
            c = -1 / polynomial(t)[()]
            return ["absurd", {"products": [[number_to_json(c), [k]]]}]
    return then(state)


def branches(piece: Term) -> tuple[Term, Term]:
    """What stands for a min, max, abs or where in each of its two cases."""
    match piece:
        case Binary(_, a, b):
            return a, b
        case Unary(_, a):
            return a, -a
        case _:
            return piece.then, piece.other  # type: ignore[union-attr]


def _kept(s: Sequent, draft: Certificate, search: Search) -> Tree:
    """The backup leads into the invariant."""
    model, rounding = draft.model, draft.rounding
    steps = tolerant(model.steps, "plant", rounding.guard)[0]
    inputs = tolerant(draft.shield.backup, "backup", rounding.guard)[0]
    after = [t + Var(f"e:{n}") for n, t in zip(model.state_names, steps, strict=True)]

    def named(state: State) -> Tree:
        return _steps(state, draft, search)

    def functions(state: State) -> Tree:
        return _sliced(state, draft, search, named, 0)

    return _pieces(State(s, (*after, *inputs), {}), functions)


def _sliced(state: State, draft: Certificate, search: Search, then: Then, depth: int) -> Tree:
    """The rest, on slices of the ranges where functions are too curved for their polynomials."""
    try:
        return _functions(state, draft, search, then)
    except TooFar:
        used = {v for t in state.watched for f in innermost_functions(t) for v in variables(f)}
        box = box_of(state.s, search)
        width = {c.name: c.high - c.low for c in draft.model.state if c.name in used}
        if not width or depth == SLICES:
            raise
        v = max(width, key=lambda n: (box[n][1] - box[n][0]) / width[n])
        head: Tree = ["split", to_json(Var(v) - Num((box[v][0] + box[v][1]) / 2))]
        sides = expand([*head, None, None], state.s)
        return [
            *head,
            *(_sliced(replace(state, s=s), draft, search, then, depth + 1) for s in sides),
        ]


def _functions(state: State, draft: Certificate, search: Search, then: Then) -> Tree:
    """Name each function in what is watched, with the cuts that enclose it by a polynomial."""
    t = next((f for w in state.watched for f in innermost_functions(w)), None)
    if t is None:
        return then(state)
    s = state.s
    box = {v: Interval(*ends) for v, ends in box_of(s, search).items()}
    name = Var(f"a:{s.names}")
    match t:
        case Pi():
            head: Tree = ["function", to_json(t), 1]
        case Unary(UnaryOp.SIN | UnaryOp.COS, a):
            head = ["function", to_json(t), taylor_order(a, box)]
        case Unary(UnaryOp.SQRT, _):
            head = ["root", to_json(t)]
        case Binary(BinaryOp.DIV, _, d):
            head = ["divide", to_json(t), "+" if exact.enclose(d, box).hi > 0 else "-"]
        case _:
            raise NotProved(f"no rule for {str(t)[:60]}")
    sides = expand([*head, *([None] * (2 if head[0] in ("root", "divide") else 1))], s)
    inner = [prove(side, _part(search)) for side in sides[:-1]]
    original = substitute(t, {Var(n): f for n, f in state.atoms.items()})
    centre, radius = _fit(original, box, DEGREE)
    now, cuts = sides[-1], list[tuple[Term, Tree]]()
    away = name - from_polynomial(centre)
    for lemma in (Num(radius) + away, Num(radius) - away):
        try:
            cuts.append((lemma, _near(now, lemma, t, name, search)))
        except NotProved as error:
            raise NotProved(f"the enclosures of {str(t)[:40]}: {error}") from None
        now = now.given(lemma)
    moved = Move(name.name, centre, radius, len(now.premises) - 2, len(now.premises) - 1)
    now, ends = _bounded(moved, now, search)
    further = replace(
        state.replacing(now, t, name),
        atoms={**state.atoms, name.name: original},
        moves=(moved, *state.moves),
    )
    return [*head, *inner, _cut(cuts + ends, _functions(further, draft, search, then))]


def _near(s: Sequent, lemma: Term, t: Term, name: Var, search: Search) -> Tree:
    """A proof of ``lemma``, which says on one side how near a function's name is to a polynomial."""
    goal = s.concluding(lemma)
    if isinstance(t, Binary):
        found = clear_name(goal, name, _lemmas(search))
        if found is None:
            raise NotProved("its quotient is not enclosed")
        return found
    box = box_of(s, search)
    for k, premise in polynomials(s, search).items():  # Taylor's polynomial, on the same side
        rest = add(polynomial(lemma), premise, Fraction(-1))
        known = not any(v not in box or ":" in v for v in names(rest))
        if known and name.name in names(premise) and len(names(premise)) > 1:
            return Cells([[Target(rest, lemma=k)]], sorted(names(rest)), search).prove(goal)
    return prove(goal, _part(search))


def _lemmas(search: Search) -> Search:
    """A search that can be asked for lemmas."""
    found = _part(search)
    found.close = lambda s, own, depth: prove(s, own)
    return found


def _part(search: Search) -> Search:
    """A search of its own with the time that is left."""
    return Search(seconds=max(0.1, search.end - time.monotonic()), max_depth=20, scan=False)


def _cut(cuts: Sequence[tuple[Term, Tree]], tree: Tree) -> Tree:
    for lemma, proof in reversed(cuts):
        tree = ["cut", to_json(lemma), proof, tree]
    return tree


def _bounded(one: Move, s: Sequent, search: Search) -> tuple[Sequent, list[tuple[Term, Tree]]]:
    """Bounds of a name that is near to a polynomial: two cuts."""
    box = box_of(s, search)
    minus = {m: -c for m, c in one.centre.items()}
    ends = lower_bound(one.centre, box) - one.radius, one.radius - lower_bound(minus, box)
    slack = (ends[1] - ends[0]) / 256 + Fraction(1, 2**40)
    low, high = outward(ends[0], False, slack), outward(ends[1], True, slack)
    cuts: list[tuple[Term, Tree]] = []
    for lemma, premise, rest in (
        (Var(one.name) - low, one.above, add(one.centre, constant(-one.radius - low))),
        (high - Var(one.name), one.below, add(minus, constant(high - one.radius))),
    ):
        leaf = hint(rest, {premise: Fraction(1)}, s, polynomials(s, search), box_of(s, search))
        cuts.append((lemma, ["leaf", [leaf]]))
        search.leaves += 1
        s = s.given(lemma)
    return s, cuts


def _fit(t: Term, box: Mapping[str, Interval], most: int) -> tuple[Polynomial, Fraction]:
    """A polynomial near ``t`` on the box, by least squares, and a guess of how near."""
    used = sorted(variables(t))
    if not used:
        value = exact.enclose(t, {})
        middle = Fraction(float((value.lo + value.hi) / 2))
        return constant(middle), Fraction(1, 2**48)
    missing = set(used) - box.keys()
    if missing:
        raise NotProved(f"{str(t)[:40]}: no bounds for {min(missing)}")
    low = np.array([float(box[v].lo) for v in used])
    high = np.array([float(box[v].hi) for v in used])
    reach = np.maximum(np.maximum(np.abs(low), np.abs(high)), 1e-12)
    unit = np.random.default_rng(0).random((SAMPLES, len(used)))
    unit = (1 - np.cos(np.pi * unit)) / 2  # denser at the ends
    ends = np.random.default_rng(1).integers(0, 2, (64, len(used))).astype(np.float64)
    x = low + (high - low) * np.vstack([unit, ends])
    y = np.asarray(compile_batch([t], [used])(x)[0])
    powers = [k for k in product(range(most + 1), repeat=len(used)) if sum(k) <= most]
    design = np.stack([np.prod((x / reach) ** np.array(k), axis=1) for k in powers], axis=1)
    found = np.linalg.lstsq(design, y, rcond=None)[0]
    centre: Polynomial = {}
    for k, c in zip(powers, found, strict=True):
        coefficient = _short(float(c) / float(np.prod(reach ** np.array(k))), BITS)
        if abs(c) > 2**-40:
            centre[tuple((v, p) for v, p in zip(used, k, strict=True) if p)] = coefficient
    rest = float(np.abs(y - values(centre, used, x)).max())
    return centre, Fraction(math.ceil((1.2 * rest + 1e-6) * 2**40), 2**40)


def _short(value: float, bits: int) -> Fraction:
    """A nearby number of so many bits."""
    mantissa, exponent = math.frexp(value)
    return Fraction(round(mantissa * 2**bits)) * Fraction(2) ** (exponent - bits)


def _steps(state: State, draft: Certificate, search: Search) -> Tree:
    """Each next coordinate as a polynomial of the state within a radius, named; then the cells."""
    model = draft.model
    s, cuts = state.s, list[tuple[Term, Tree]]()
    n = len(model.state)
    moves = [*_inputs(state, draft), *state.moves]
    near: list[tuple[Polynomial, Fraction, int]] = []
    for t in state.watched[:n]:
        f = polynomial(t)
        above = move(f, moves, s, search)
        below = move({m: -c for m, c in f.items()}, moves, s, search)
        away = t - from_polynomial(above.moved)
        for lemma, found in ((away, above), (-away, below)):
            cuts.append((Num(found.loss) + lemma, found.proof))
            s = s.given(Num(found.loss) + lemma)
        centre = {m: _short(float(c), BITS) for m, c in above.moved.items()}
        rest = add(above.moved, centre, Fraction(-1))
        box = box_of(s, search)
        spare = [lower_bound(rest, box), lower_bound({m: -c for m, c in rest.items()}, box)]
        radius = max(above.loss, below.loss) - min(spare)
        radius = outward(radius, True, radius / 64)
        place = len(s.premises) - 2
        for k, sign in enumerate((1, -1)):
            lemma = Num(radius) + sign * (t - from_polynomial(centre))
            left = add(constant(radius - (above, below)[k].loss), rest, Fraction(sign))
            leaf = hint(left, {place + k: Fraction(1)}, s, polynomials(s, search), box)
            cuts.append((lemma, ["leaf", [leaf]]))
            s = s.given(lemma)
        near.append((centre, radius, len(s.premises) - 2))
    heads: list[Tree] = []
    named: list[Move] = []
    for t, (centre, radius, place) in zip(state.watched[:n], near, strict=True):
        name = f"a:{s.names}"
        heads.append(["name", to_json(t)])
        s = expand([*heads[-1], None], s)[0]
        named.append(Move(name, centre, radius, place, place + 1))
    after: list[tuple[Term, Tree]] = []
    for one in named:
        s, found_ends = _bounded(one, s, search)
        after += found_ends
    targets: list[list[Target]] = []
    for alternative in s.alternatives:
        targets.append([])
        for c in alternative:
            kept = move(polynomial(c.term), named, s, search)
            targets[-1].append(
                Target(add(kept.moved, constant(-kept.loss)), c.strict, len(s.premises))
            )
            after.append((kept.lemma, kept.proof))
            s = s.given(kept.lemma)
    used = {v for goals in targets for t in goals for v in names(t.p)}
    split = [v for v in (*model.state_names, *model.disturbance_names) if v in used]
    tree = _cut(after, Cells(targets, split, search).prove(s))
    for head in reversed(heads):
        tree = [*head, tree]
    return _cut(cuts, tree)


def _inputs(state: State, draft: Certificate) -> list[Move]:
    """The inputs, which are near to the backup, and the plant's rounding, which is near to nothing."""
    model, rounding = draft.model, draft.rounding
    part = next(
        len(p)
        for p in draft.shield.invariant
        if state.s.premises[: len(p)] == tuple(map(expanded, p))
    )
    states, inputs, noise = len(model.state), len(model.action), len(model.disturbance)
    first = part + 2 * (states + inputs + noise)
    found: list[Move] = []
    for j, (c, e) in enumerate(zip(model.action, rounding.backup, strict=True)):
        centre = polynomial(state.watched[states + j])
        place = first + 2 * states + 2 * j
        found.append(Move(c.name, centre, e, place + 1, place))
    for i, n in enumerate(model.state_names):
        found.append(Move(f"e:{n}", {}, rounding.plant[n], first + 2 * i + 1, first + 2 * i))
    return found


def _tested(s: Sequent, draft: Certificate, end: float) -> Tree:
    """What passes the test leads into the invariant: row by row the same polynomial, moved a little."""
    search = _search(end)
    model = draft.model
    steps = tolerant(model.steps, "plant", draft.rounding.guard)[0]
    first = 2 * (2 * len(model.state) + len(model.action) + len(model.disturbance))

    def close(state: State) -> Tree:
        now, cuts, heads = state.s, list[tuple[Term, Tree]](), list[Tree]()
        box = {v: Interval(*ends) for v, ends in box_of(now, search).items()}
        parts = [u for t in state.watched for u in undisturbed(t, set(model.disturbance_names))]
        for t in dict.fromkeys(parts):
            value = exact.enclose(t, box)
            slack = Fraction(value.hi - value.lo) / 64 + Fraction(1, 2**20)
            for lemma in (
                t - outward(Fraction(value.lo), False, slack),
                outward(Fraction(value.hi), True, slack) - t,
            ):
                cuts.append((lemma, prove(now.concluding(lemma), _part(search))))
                now = now.given(lemma)
        for t in dict.fromkeys(parts):
            heads.append(["name", to_json(t)])
            now = expand([*heads[-1], None], now)[0]
        premises, stated = polynomials(now, search), box_of(now, search)
        leaves = []
        for i, c in enumerate(now.alternatives[0]):
            rest = add(polynomial(c.term), premises[first + i], Fraction(-1))
            least = bound(rest, stated)
            if least is None or least <= 0:
                raise NotProved(f"row {i}: its margin is too small, or a bound is missing")
            leaves.append(hint(rest, {first + i: Fraction(1)}, now, premises, stated))
        search.leaves += 1
        tree: Tree = ["leaf", leaves]
        for head in reversed(heads):
            tree = [*head, tree]
        return _cut(cuts, tree)

    return _pieces(State(s, steps, {}), close)


__all__ = ["prove_curved"]
