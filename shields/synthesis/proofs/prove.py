"""Find proof trees: from a sequent to the JSON that the checkers verify.

The search is generic: min, max, abs and where are taken apart where they occur; functions are named
and bounded; what is left is polynomial, and closed by a combination of premises, splitting the box
where the true dynamics are too curved for one. Nothing here is trusted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from typing import Any

from nprl.lang.serial import number_to_json, to_json
from nprl.lang.terms import (
    Binary,
    BinaryOp,
    Num,
    Term,
    Unary,
    UnaryOp,
    Var,
    Where,
    children,
    subterms,
)
from nprl.shields.polynomial import (
    NotPolynomial,
    Polynomial,
    Range,
    add,
    names,
    polynomial,
)
from nprl.shields.sequent import Sequent, expand
from nprl.shields.synthesis.proofs.bernstein import from_polynomial
from nprl.shields.synthesis.proofs.cleared import near_names, substituted
from nprl.shields.synthesis.proofs.combine import (
    Proposal,
    closes,
    combine,
    nonlinear_variables,
    remainder_bound,
    variables_to_split,
)
from nprl.shields.synthesis.proofs.functions import eliminate, innermost_functions
from nprl.shields.synthesis.proofs.search import (
    NotProved,
    Search,
    Tree,
    box_of,
    hint,
    outward,
    place,
    polynomials,
)
from nprl.shields.synthesis.proofs.smooth import argument
from nprl.shields.synthesis.proofs.squares import square_combination
from nprl.shields.synthesis.views.quadratic import degree

MANY = 8
"""Variables of a goal of degree two beyond which only squares are looked for."""
LEVELS = {math.inf: 3, 2.0**-4: 4, 2.0**-7: 6}
"""How far polynomials may be from functions, as a part of their range, and how often a box is halved then."""
MAX_BLIND = 8
"""How often a box is halved where nothing says which variable it should be."""
MINUS_ONE: Polynomial = {(): Fraction(-1)}


def prove(sequent: Sequent, search: Search | None = None) -> Tree:
    """A proof tree of the sequent.

    Raises:
        NotProved: with the conclusion at which the search ended.
    """
    search = search or Search()
    search.original, search.close = len(sequent.premises), _close
    terms = (*(c.term for a in sequent.alternatives for c in a), *sequent.premises)
    if any(argument(s) is not None for t in terms for s in subterms(t) if isinstance(s, Term)):
        finest, deepest = search.near, search.max_depth
        for search.near, depth in LEVELS.items():
            search.max_depth, search.leaves = min(deepest, depth), 0
            with suppress(NotProved):
                return _close(sequent, search, 0)
        search.near, search.max_depth, search.leaves = finest, deepest, 0
    return _close(sequent, search, 0)


def _close(s: Sequent, search: Search, depth: int) -> Tree:
    search.step("proof")
    if len(s.alternatives) > 1:
        piece = _shared_piece(s)
        if piece is not None:
            head = ["pieces", to_json(piece)]
            return [*head, *(_branch(c, search, depth) for c in expand([*head, None, None], s))]
        problem = ""
        for k in range(len(s.alternatives)):
            node: Tree = ["part", k, None]
            try:
                return ["part", k, _close(expand(node, s)[0], search, depth)]
            except NotProved as error:
                problem = str(error)
        raise NotProved(problem)
    piece = first_piece(s, search.original)
    if piece is not None:
        head = ["pieces", to_json(piece)]
        return [*head, *(_branch(c, search, depth) for c in expand([*head, None, None], s))]
    function = _first_function(s, search)
    if function is not None:
        return eliminate(function, s, search, depth)
    return _polynomial_stage(s, search, depth)


def _shared_piece(s: Sequent) -> Term | None:
    """A ``where`` that is itself bounded in every alternative: which one holds depends on its branch."""
    found = [
        {p for c in a for p in children(c.term) if isinstance(p, Where)} for a in s.alternatives
    ]
    shared = set.intersection(*found)
    inner = (p for c in s.alternatives[0] for p in children(c.term))
    return next((p for p in inner if isinstance(p, Where) and p in shared), None)


def _branch(s: Sequent, search: Search, depth: int) -> Tree:
    absurd = contradiction(s, search)
    return absurd if absurd is not None else _close(s, search, depth)


def first_piece(s: Sequent, original: int) -> Term | None:
    """The first outermost min, max, abs or where of the conclusions, then of the first premises."""
    for t in (*(c.term for c in s.alternatives[0]), *s.premises[:original]):
        found = outermost(t)
        if found is not None:
            return found
    return None


def outermost(t: Any) -> Term | None:
    """The first min, max, abs or where of a term, from outside."""
    match t:
        case Binary(BinaryOp.MIN | BinaryOp.MAX) | Unary(UnaryOp.ABS) | Where():
            return t
        case _:
            return next((f for c in children(t) if (f := outermost(c)) is not None), None)


def has_pieces(t: Term) -> bool:
    """Whether a term holds min, max, abs or where."""
    return outermost(t) is not None


def _first_function(s: Sequent, search: Search) -> Term | None:
    for t in (*(c.term for c in s.alternatives[0]), *(s.premises if search.scan else ())):
        if outermost(t) is None:
            for f in innermost_functions(t):
                return f
    return None


def contradiction(s: Sequent, search: Search) -> Tree | None:
    """A proof that the premises contradict each other, by their affine combination; None if none is found."""
    premises, box = polynomials(s, search), box_of(s, search)
    proposal = combine(MINUS_ONE, premises, box)
    if not closes(proposal, False):
        return None
    assert proposal is not None
    search.leaves += 1
    return ["absurd", hint(proposal.remainder, proposal.multipliers, s, premises, box)]


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


def _close_near(
    goal: Polynomial,
    strict: bool,
    s: Sequent,
    premises: dict[int, Polynomial],
    box: dict[str, Range],
    search: Search,
) -> tuple[dict[str, Any] | None, Proposal | None]:
    """`_close_one`; then again, with polynomials put for the names that are near them."""
    found, proposal = _close_one(goal, strict, s, premises, box, search)
    near = substituted(goal, premises, box) if found is None else None
    if near is None:
        return found, proposal
    found, proposal = _close_one(near[0], strict, s, premises, box, search)
    if found is not None:
        found = found | {"products": [*found.get("products", []), *near[1]]}
    return found, proposal


def _close_one(
    goal: Polynomial,
    strict: bool,
    s: Sequent,
    premises: dict[int, Polynomial],
    box: dict[str, Range],
    search: Search,
) -> tuple[dict[str, Any] | None, Proposal | None]:
    """The combination that closes one conclusion, or the nearest proposal.

    First by one premise of the same curvature, then with the affine premises and the facts about
    names alone, then by squares, then with every premise.
    """
    original = search.original

    def enough(p: Polynomial) -> bool:
        least = remainder_bound(p, box)
        return least is not None and (least > 0 or (least == 0 and not strict))

    if enough(goal):
        return hint(goal, {}, s, premises, box), None
    curved = {k: p for k, p in premises.items() if degree(p) > 1}
    for k, p in premises.items():
        if k not in curved and (len(p) != len(goal) or p != goal):
            continue
        rest = add(goal, p, Fraction(-1))
        if (p == goal or degree(rest) < degree(p)) and enough(rest):
            return hint(rest, {k: Fraction(1)}, s, premises, box), None
    if degree(goal) > 1:
        for k, p in premises.items():
            if k < original and len(p) > 2 and _has_slopes_of(goal, p):
                rest = add(goal, p, Fraction(-1))
                if enough(rest):
                    return hint(rest, {k: Fraction(1)}, s, premises, box), None
    quadratic = bool(curved) and _is_quadratic(goal, premises, box, original)
    first = {k: p for k, p in premises.items() if k >= original or k not in curved}
    tries = [first, premises] if len(first) < len(premises) else [premises]
    if quadratic and degree(goal) > 1 and len(names(goal)) > MANY:
        tries = [premises]  # affine premises leave it as curved as it is
    nearest: Proposal | None = None
    for usable in tries:
        if quadratic and usable is premises:
            squares = square_combination(
                goal, premises, _opposite(premises), box, strict, search.end - time.monotonic()
            )
            if squares is not None:
                return {
                    "products": [[number_to_json(c), list(i)] for c, i in squares.products],
                    "squares": [[number_to_json(d), to_json(q), []] for d, q in squares.squares],
                }, None
            if degree(goal) > 1:  # no split of the box would help
                raise NotProved(f"no sum of squares for {from_polynomial(goal)}"[:160])
        proposal = combine(goal, usable, box)
        if closes(proposal, strict):
            assert proposal is not None
            return hint(proposal.remainder, proposal.multipliers, s, premises, box), None
        nearest = nearest or proposal
    return None, nearest


def _has_slopes_of(goal: Polynomial, p: Polynomial) -> bool:
    """Whether p is affine, and the goal has each of its slopes: what a test says of a nominal row."""
    return degree(p) == 1 and all(goal.get(m) == c for m, c in p.items() if m)


def _is_quadratic(
    goal: Polynomial, premises: dict[int, Polynomial], box: dict[str, Range], original: int
) -> bool:
    """Whether a quadratic row of the goal's own premises bears on it, and no bounded name does."""
    if degree(goal) > 2 or any(v.startswith("a:") and v in box for v in names(goal)):
        return False
    rows = [p for k, p in premises.items() if k < original and degree(p) == 2]
    about = names(goal)
    if degree(goal) == 2:  # names of the steps are tied to the state by affine bounds
        tied = [names(p) for p in premises.values() if degree(p) == 1]
        about = about.union(*(n for n in tied if n & about - box.keys()))
    return any(names(p) & about for p in rows)


def _polynomial_stage(s: Sequent, search: Search, depth: int) -> Tree:
    search.step(place(s))
    premises, box = polynomials(s, search), box_of(s, search)
    try:
        goals = [(polynomial(c.term), c.strict) for c in s.alternatives[0]]
    except NotPolynomial as error:
        raise NotProved(str(error)) from None
    tries = [_close_near(p, strict, s, premises, box, search) for p, strict in goals]
    if all(hint is not None for hint, _ in tries):
        search.leaves += 1
        return ["leaf", [hint for hint, _ in tries]]
    if depth:
        absurd = contradiction(s, search)
        if absurd is not None:
            return absurd
    piece = next((f for t in s.premises if (f := outermost(t)) is not None), None)
    if piece is not None:
        head = ["pieces", to_json(piece)]
        return [*head, *(_branch(c, search, depth) for c in expand([*head, None, None], s))]
    if depth >= search.max_depth:
        raise NotProved(f"{place(s)}: split {depth} times")
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
    if not order and near_names(premises):  # no use of them was found on so wide a box
        curved: Polynomial = {}
        for p in premises.values():
            curved |= {m: abs(c) for m, c in p.items() if abs(c) > curved.get(m, 0)}
        own = [v for v in allowed if not v.startswith("a:")]
        order = variables_to_split(curved, box, own) if depth < MAX_BLIND else []
    if not order:
        raise NotProved(f"{place(s, open_goals[0])}: no combination, and nothing to split")
    cuts = []
    now = s
    for i, (found, _) in enumerate(tries):
        if found:
            conclusion = s.alternatives[0][i]
            if conclusion.strict:
                continue
            cuts.append(["cut", to_json(conclusion.term), ["leaf", [found]]])
            search.leaves += 1
            now = now.given(conclusion.term)
    low, high = box[order[0]]
    middle = outward((low + high) / 2, False, (high - low) / 2**8)
    if not high - low > Fraction(1, 2**40):
        raise NotProved(f"{place(s, open_goals[0])}: the box is too small to split")
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
