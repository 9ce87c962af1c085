"""Functions in a curved step: each named, and within a small radius of a polynomial.

Where a polynomial is too far off, the range of what the function depends on is sliced. Nothing here is
trusted.
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
from nprl.lang.serial import to_json
from nprl.lang.terms import Binary, BinaryOp, Num, Pi, Term, Unary, UnaryOp, Var, variables
from nprl.lang.terms import replace as substitute
from nprl.shields.certificate import Certificate
from nprl.shields.polynomial import Polynomial, add, constant, names, polynomial
from nprl.shields.sequent import Sequent, expand
from nprl.shields.synthesis.proofs.bernstein import from_polynomial, lower_bound
from nprl.shields.synthesis.proofs.cells import Cells, Target, TooFar
from nprl.shields.synthesis.proofs.cleared import clear_name
from nprl.shields.synthesis.proofs.combine import values
from nprl.shields.synthesis.proofs.functions import innermost_functions, taylor_order
from nprl.shields.synthesis.proofs.near import Move
from nprl.shields.synthesis.proofs.prove import prove
from nprl.shields.synthesis.proofs.search import (
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


def sliced(state: State, draft: Certificate, search: Search, then: Then, depth: int) -> Tree:
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
            *(sliced(replace(state, s=s), draft, search, then, depth + 1) for s in sides),
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
    inner = [prove(side, own_search(search)) for side in sides[:-1]]
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
    now, ends = bounded(moved, now, search)
    further = replace(
        state.replacing(now, t, name),
        atoms={**state.atoms, name.name: original},
        moves=(moved, *state.moves),
    )
    return [*head, *inner, cut_all(cuts + ends, _functions(further, draft, search, then))]


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
    return prove(goal, own_search(search))


def _lemmas(search: Search) -> Search:
    """A search that can be asked for lemmas."""
    found = own_search(search)
    found.close = lambda s, own, depth: prove(s, own)
    return found


def own_search(search: Search) -> Search:
    """A search of its own with the time that is left."""
    return Search(seconds=max(0.1, search.end - time.monotonic()), max_depth=20, scan=False)


def cut_all(cuts: Sequence[tuple[Term, Tree]], tree: Tree) -> Tree:
    """The tree below cuts, each a lemma with its proof, in their order."""
    for lemma, proof in reversed(cuts):
        tree = ["cut", to_json(lemma), proof, tree]
    return tree


def bounded(one: Move, s: Sequent, search: Search) -> tuple[Sequent, list[tuple[Term, Tree]]]:
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
        coefficient = short(float(c) / float(np.prod(reach ** np.array(k))), BITS)
        if abs(c) > 2**-40:
            centre[tuple((v, p) for v, p in zip(used, k, strict=True) if p)] = coefficient
    rest = float(np.abs(y - values(centre, used, x)).max())
    return centre, Fraction(math.ceil((1.2 * rest + 1e-6) * 2**40), 2**40)


def short(value: float, bits: int) -> Fraction:
    """A nearby number of so many bits."""
    mantissa, exponent = math.frexp(value)
    return Fraction(round(mantissa * 2**bits)) * Fraction(2) ** (exponent - bits)


__all__ = ["BITS", "State", "Then", "bounded", "cut_all", "own_search", "short", "sliced"]
