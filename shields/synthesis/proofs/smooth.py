"""Functions of one argument in a sequent: a polynomial near them, proved slice by slice, and a name.

Exp, log, tanh, the root, and quotients in one variable. Two cuts say how far the function is from
the polynomial; each is proved on slices of the argument, by the rule that knows the function.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np

from nprl.lang import functions
from nprl.lang.floats import compile_batch
from nprl.lang.serial import number_to_json, to_json
from nprl.lang.terms import Binary, Num, Term, Unary, UnaryOp, Var, replace, variables
from nprl.shields.polynomial import NotPolynomial, Polynomial, add, polynomial
from nprl.shields.sequent import Sequent, expand
from nprl.shields.synthesis.proofs import bernstein
from nprl.shields.synthesis.proofs.cleared import clear_name
from nprl.shields.synthesis.proofs.search import (
    NotProved,
    Search,
    Tree,
    box_of,
    hint,
    outward,
    polynomials,
)

SMOOTH = (UnaryOp.EXP, UnaryOp.LOG, UnaryOp.TANH, UnaryOp.SQRT)
DEGREES = (2, 3, 4, 5)
ORDER = 4
"""Of the sums for exp: higher ones cost more than the slices that they spare."""
MAX_PIECES = 5
"""How often the argument's range is halved for better polynomials."""
MAX_SLICES = 12
"""How often it is halved further to prove them."""
Ends = tuple[Fraction, Fraction]
LemmaProof = Callable[[Term, Var, Ends, Fraction, Sequent, Search], Tree]


def argument(t: Term) -> Term | None:
    """What a function of one argument is applied to; of a quotient in one variable, the variable."""
    match t:
        case Unary(op, a) if op in SMOOTH:
            return a
        case Binary() if len(variables(t)) == 1:
            return Var(next(iter(variables(t))))
        case _:
            return None


def eliminate_smooth(t: Term, a: Term, s: Sequent, search: Search, depth: int) -> Tree:
    """Name the function ``t`` of ``a``, with a polynomial of ``a`` near it.

    Raises:
        NotProved: where ``a`` has no bounds, or they meet the edge of the function's domain.
    """
    if search.near == math.inf:  # what is said of it need not be known where it cancels
        node = ["name", to_json(t)]
        return [*node, search.close(expand([*node, None], s)[0], search, depth)]
    box = box_of(s, search)
    try:
        p = polynomial(a)
    except NotPolynomial as error:
        raise NotProved(str(error)) from None
    if not variables(a) <= box.keys():
        raise NotProved(f"{a}: no bounds for {min(variables(a) - box.keys())}")
    low = bernstein.bound(p, box)
    minus = bernstein.bound({m: -c for m, c in p.items()}, box)
    if low is None or minus is None:
        raise NotProved(f"{str(a)[:60]} is too large a polynomial")
    high = -minus
    domain = isinstance(t, Unary) and t.op in (UnaryOp.LOG, UnaryOp.SQRT)
    if domain and low <= 0:
        raise NotProved(f"the argument of {str(t)[:60]} is not proved positive")
    if not isinstance(a, Var):
        slack = max(high - low, Fraction(1, 2**20)) / 2**10
        low = outward(low, False, min(slack, low / 4) if domain else slack)
        high = outward(high, True, slack)
    return _pieces(t, a, (low, high), s, search, depth, 0)


def _pieces(
    t: Term, a: Term, ends: Ends, s: Sequent, search: Search, depth: int, halved: int
) -> Tree:
    """Halve the argument's range until the polynomial is near enough."""
    form, radius, size = _fit(t, a, ends, search.near)
    if radius <= search.near * size or halved == MAX_PIECES:
        return named(t, a, ends, (form, Num(radius)), s, search, depth, _by_rule)
    middle = outward(sum(ends, Fraction(0)) / 2, False, (ends[1] - ends[0]) / 2**8)
    head = ["split", to_json(a - Num(middle))]
    above, below = expand([*head, None, None], s)
    return [
        *head,
        _pieces(t, a, (middle, ends[1]), above, search, depth, halved + 1),
        _pieces(t, a, (ends[0], middle), below, search, depth, halved + 1),
    ]


def _fit(t: Term, a: Term, ends: Ends, near: float) -> tuple[Term, Fraction, float]:
    """A polynomial in ``a`` near ``t``, a number that the distance should stay below, the function's range."""
    low, high = map(float, ends)
    middle = outward(sum(ends, Fraction(0)) / 2, False, max(ends[1] - ends[0], Fraction(1, 2**20)))
    half = max(Fraction(2) ** math.frexp((high - low) / 2)[1], Fraction(1, 2**40))
    f = compile_batch([replace(t, {a: Var("x")})], [["x"]])
    y = np.cos(np.linspace(0.0, np.pi, 401))
    x = low + (high - low) * (y + 1) / 2
    values = np.asarray(f(x[:, None])[0])
    size = float(np.ptp(values)) + 1e-9 * float(np.abs(values).max()) + 1e-12
    z = (x - float(middle)) / float(half)
    for degree in DEGREES:
        found = np.polynomial.polynomial.polyfit(z, values, degree)
        unit = Fraction(2) ** math.frexp(near * size / 64)[1]
        numbers = [round(Fraction(float(c)) / unit) * unit for c in found]
        rest = values - np.polynomial.polynomial.polyval(z, [float(c) for c in numbers])
        away = 1.2 * float(np.abs(rest).max()) + near * size / 16
        if away <= near * size:
            break
    form: Term = Num(numbers[-1])
    for c in reversed(numbers[:-1]):
        form = form * (a - Num(middle)) / half + Num(c)
    return form, outward(Fraction(away), False, Fraction(near * size / 32)), size


def named(
    t: Term,
    a: Term,
    ends: Ends,
    near: tuple[Term, Num],
    s: Sequent,
    search: Search,
    depth: int,
    lemma_proof: LemmaProof,
) -> Tree:
    """Cuts that ``t`` is within a number of a form of ``a``, each with its proof; the name; the rest.

    ``lemma_proof`` is given the function of a variable, that variable, its ends, the number, and the
    sequent to be proved.
    """
    form, radius = near
    cuts: list[tuple[Term, Tree]] = []
    if not isinstance(a, Var):
        for edge in (a - Num(ends[0]), Num(ends[1]) - a):
            cuts.append((edge, search.lemma(s.concluding(edge), depth)))
            s = s.given(edge)
    for lemma, tree in near_cuts(t, a, ends, near, s, search, lemma_proof):
        cuts.append((lemma, tree))
        s = s.given(lemma)
    node = ["name", to_json(t)]
    v = Var(f"a:{s.names}")
    s = expand([*node, None], s)[0]
    tree = _boxed(v, polynomial(form), radius.value, s, search, depth)
    tree = [*node, tree]
    for lemma, proof in reversed(cuts):
        tree = ["cut", to_json(lemma), proof, tree]
    return tree


def near_cuts(
    t: Term,
    a: Term,
    ends: Ends,
    near: tuple[Term, Num],
    s: Sequent,
    search: Search,
    lemma_proof: LemmaProof | None = None,
) -> Iterator[tuple[Term, Tree]]:
    """The cuts that ``t`` is within a number of a form of ``a``, whose ends are premises; each with its proof."""
    form, radius = near
    for lemma in (radius + (t - form), radius + (form - t)):
        goal, head, b, f = s.concluding(lemma), [], a, t
        if not isinstance(a, Var):
            head = ["name", to_json(a)]
            b = Var(f"a:{goal.names}")
            goal, f = expand([*head, None], goal)[0], replace(t, {a: b})
        assert isinstance(b, Var)
        proof = (lemma_proof or _by_rule)(f, b, ends, radius.value, goal, search)
        yield lemma, [*head, proof] if head else proof
        s = s.given(lemma)


def near_form(t: Term, a: Term, ends: Ends, near: float) -> tuple[Term, Num]:
    """A polynomial in ``a`` near ``t``, and a number that the distance should stay below."""
    form, radius, _ = _fit(t, a, ends, near)
    return form, Num(radius)


def _boxed(
    v: Var, form: Polynomial, radius: Fraction, s: Sequent, search: Search, depth: int
) -> Tree:
    """Cuts that bound the name by numbers, from those that bound it by the polynomial; then the rest."""
    last = len(s.premises) - 1  # form + radius - v >= 0; before it v - form + radius >= 0
    cuts: list[tuple[Term, Tree]] = []
    for sign, k in ((1, last - 1), (-1, last)):
        signed = {m: sign * c for m, c in form.items()}
        least = bernstein.bound(signed, box_of(s, search))
        if least is None:
            continue
        least -= radius
        edge = Num(outward(sign * least, sign < 0, max(radius, abs(least) / 2**20)))
        lemma = v - edge if sign > 0 else edge - v
        rest = add(signed, {(): -radius - sign * edge.value})
        box, premises = box_of(s, search), polynomials(s, search)
        proof = ["leaf", [hint(rest, {k: Fraction(1)}, s, premises, box)]]
        cuts.append((lemma, proof))
        s = s.given(lemma)
    tree = search.close(s, search, depth)
    for lemma, proof in reversed(cuts):
        tree = ["cut", to_json(lemma), proof, tree]
    return tree


def _by_rule(t: Term, b: Var, ends: Ends, radius: Fraction, goal: Sequent, search: Search) -> Tree:
    return _slices(t, b, ends, radius, goal, search, 0)


def _slices(
    t: Term, b: Var, ends: Ends, radius: Fraction, goal: Sequent, search: Search, halved: int
) -> Tree:
    """A proof of a cut, for the argument ``b`` between the ends: by the function's rule, or by halves."""
    search.step(f"a bound of {str(t)[:40]}")
    name = Var(f"a:{goal.names}")
    node = _rule(t, ends, radius)
    after = expand([*node, None], goal)[-1]
    cuts = _tangents(name, b, ends, len(after.premises)) if node[0] == "root" else []
    tree = clear_name(after.given(*(lemma for lemma, _ in cuts)), name, search)
    if tree is not None:
        for lemma, leaf in reversed(cuts):
            tree = ["cut", to_json(lemma), ["leaf", [leaf]], tree]
        return [*node, tree]
    if halved == MAX_SLICES:
        raise NotProved(f"a bound of {str(t)[:60]}: its argument was halved {halved} times")
    middle = outward(sum(ends, Fraction(0)) / 2, False, (ends[1] - ends[0]) / 2**8)
    head = ["split", to_json(b - Num(middle))]
    above, below = expand([*head, None, None], goal)
    return [
        *head,
        _slices(t, b, (middle, ends[1]), radius, above, search, halved + 1),
        _slices(t, b, (ends[0], middle), radius, below, search, halved + 1),
    ]


def _rule(t: Term, ends: Ends, radius: Fraction) -> Tree:
    """The rule that knows ``t`` for an argument between the ends, with its side condition proved."""
    low, high = ends
    positive = ["leaf", [{}]]
    match t:
        case Unary(UnaryOp.SQRT):
            return ["root", to_json(t), positive]
        case Binary():
            return ["divide", to_json(t), "+" if low > 0 else "-", positive]
        case Unary(UnaryOp.LOG):
            centre = Fraction(round(math.log((low + high) / 2) * 2**20), 2**20)
            return ["exp", to_json(t), 1, *_about(centre), positive]
        case Unary(op):
            scale = 2 if op is UnaryOp.TANH else 1
            centre = outward(scale * (low + high) / 2, False, max(high - low, Fraction(1, 2**20)))
            reach = float(max(scale * high - centre, centre - scale * low))
            size = 1.0 if op is UnaryOp.TANH else math.exp(min(float(high), 700.0))
            k, rest = 0, math.exp(min(reach, 700.0)) * size
            while k < ORDER and (k == 0 or rest > float(radius) / 32):
                k += 1
                rest *= reach * reach / ((2 * k - 1) * (2 * k))
            return ["exp", to_json(t), k, *_about(centre), ["leaf", []]]
        case _:
            raise NotProved(f"no rule for {str(t)[:60]}")


def _about(centre: Fraction) -> list[str]:
    """A number and, of few digits, bounds of its exponential."""
    low, high = functions.exp(centre, 64)
    if not isinstance(high, Fraction):
        raise NotProved(f"exp({float(centre):.4g}) is too large")
    unit = Fraction(2) ** (math.frexp(low)[1] - 48)
    around = ((low // unit - 1) * unit, (high // unit + 2) * unit)
    return [number_to_json(v) for v in (centre, max(around[0], Fraction(0)), around[1])]


def _tangents(
    v: Var, b: Var, ends: Ends, count: int
) -> list[tuple[Term, dict[str, list[list[object]]]]]:
    """For ``v = sqrt(b)`` and a number m: ``b + m^2 - 2 m v >= 0`` and ``v (b + m^2) - 2 m b >= 0``, with proofs.

    They are ``(v - m)^2`` and ``v (v - m)^2``; ``count`` premises, the last of them ``v^2 - b``, ``b
    - v^2`` and ``v``.
    """
    m = max(round(Fraction(math.sqrt(sum(ends, Fraction(0)) / 2)) * 2**24), 1) * Fraction(1, 2**24)
    up, down, root = count - 3, count - 2, count - 1
    square = to_json(v - Num(m))
    above = b + Num(m * m) - 2 * m * v
    below = v * (b + Num(m * m)) - 2 * m * b
    return [
        (above, {"products": [["1", [down]]], "squares": [["1", square, []]]}),
        (
            below,
            {
                "products": [["1", [down, root]], [number_to_json(2 * m), [up]]],
                "squares": [["1", square, [root]]],
            },
        ),
    ]
