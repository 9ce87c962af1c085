"""Proofs of invariants with rows of degree three and more: the step as polynomials, the states by cells.

What the backup does is put into the step; functions are named and enclosed by polynomials; so each
next coordinate is a polynomial of the state (and the disturbance) within a small radius. What the
rows lose by that radius is proved once, and the rest is a question about polynomials of the state
alone, which `nprl.shields.synthesis.proofs.cells` answers. Nothing here is trusted.
"""

from __future__ import annotations

import time
from fractions import Fraction

from nprl.lang import exact
from nprl.lang.ranges import Interval
from nprl.lang.serial import number_to_json, to_json
from nprl.lang.terms import Binary, Num, Term, Unary, Var, variables
from nprl.shields.certificate import Certificate
from nprl.shields.goals import tolerant
from nprl.shields.polynomial import Polynomial, add, constant, names, polynomial
from nprl.shields.sequent import Sequent, expand, expanded
from nprl.shields.synthesis.proofs.bernstein import bound, from_polynomial, lower_bound
from nprl.shields.synthesis.proofs.cells import Cells, Target
from nprl.shields.synthesis.proofs.curved_functions import (
    BITS,
    State,
    Then,
    bounded,
    cut_all,
    own_search,
    short,
    sliced,
)
from nprl.shields.synthesis.proofs.functions import innermost_functions
from nprl.shields.synthesis.proofs.near import Move, move
from nprl.shields.synthesis.proofs.nonlinear import undisturbed
from nprl.shields.synthesis.proofs.prove import outermost, prove
from nprl.shields.synthesis.proofs.search import (
    NotProved,
    Search,
    Tree,
    box_of,
    hint,
    outward,
    polynomials,
    seconds_left,
)

MAX_LEAVES = 20_000


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
    left = seconds_left(end)
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
        return sliced(state, draft, search, named, 0)

    return _pieces(State(s, (*after, *inputs), {}), functions)


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
        centre = {m: short(float(c), BITS) for m, c in above.moved.items()}
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
        s, found_ends = bounded(one, s, search)
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
    tree = cut_all(after, Cells(targets, split, search).prove(s))
    for head in reversed(heads):
        tree = [*head, tree]
    return cut_all(cuts, tree)


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
                cuts.append((lemma, prove(now.concluding(lemma), own_search(search))))
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
        return cut_all(cuts, tree)

    return _pieces(State(s, steps, {}), close)


__all__ = ["prove_curved"]
