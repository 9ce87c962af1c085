"""Bounds of a name that a rule gave, from what the rule states: its factor is multiplied away."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from nprl.lang.serial import number_to_json, to_json
from nprl.lang.terms import Var
from nprl.shields.polynomial import NotPolynomial, Polynomial, add, names, polynomial, times
from nprl.shields.sequent import Sequent
from nprl.shields.synthesis.proofs.bernstein import form_on, from_polynomial, numbered
from nprl.shields.synthesis.proofs.combine import remainder_bound
from nprl.shields.synthesis.proofs.search import Search, Tree, box_of, hint, outward, polynomials

ONE = Fraction(1)


def linear(p: Polynomial, name: str) -> tuple[Polynomial, Polynomial] | None:
    """``p = d name + rest`` as (d, rest), d not zero; None where p is not of that form."""
    d: Polynomial = {}
    rest: Polynomial = {}
    for m, c in p.items():
        power = dict(m).get(name, 0)
        if power > 1:
            return None
        (d if power else rest)[tuple(part for part in m if part[0] != name)] = c
    return (d, rest) if d else None


def clear_name(goal: Sequent, name: Var, search: Search) -> Tree | None:
    """A proof of ``q >= 0``, with q linear in the name, from one premise ``d name + m >= 0``.

    Where d has the sign of the name's slope s in q, ``|d| q - |s| (d name + m)`` is free of the
    name; if it is positive on the box, so is q.
    """
    q = goal.alternatives[0][0].term
    box, premises = box_of(goal, search), polynomials(goal, search)
    try:
        parts = linear(polynomial(q), name.name)
    except NotPolynomial:
        return None
    if parts is None or parts[0].keys() != {()}:
        return None
    slope, rest = parts[0][()], parts[1]
    sign = ONE if slope > 0 else -ONE
    for k, h in premises.items():
        stated = linear(h, name.name)
        if stated is None or not names(stated[0]) | names(stated[1]) <= box.keys():
            continue
        size = add({}, stated[0], sign)
        least = remainder_bound(size, box)
        if least is None or not least > 0:
            continue
        cleared = add(times(size, rest), stated[1], -abs(slope))
        spare = remainder_bound(cleared, box)
        if spare is None or not spare > 0:
            continue

        def leaf(p: Polynomial, s: Sequent) -> Tree:
            return ["leaf", [hint(p, {}, s, polynomials(s, search), box_of(s, search))]]

        search.leaves += 4
        return absurd(goal, (k, abs(slope)), ((size, least), (cleared, spare)), leaf)
    return None


def absurd(
    goal: Sequent,
    used: tuple[int, Fraction],
    positive: tuple[tuple[Polynomial, Fraction], tuple[Polynomial, Fraction]],
    leaf: Callable[[Polynomial, Sequent], Tree],
) -> Tree:
    """A proof of the goal ``q >= 0`` from ``size q = factor h + cleared``; ``used`` are the number of h and the factor.

    Size and cleared are ``positive``, given with lower bounds; ``leaf`` closes what is a little
    less. If ``-q >= 0``: ``(-q)(size - floor) + floor (-q) + factor h + cleared = 0``, and cleared > 0.
    """
    q = goal.alternatives[0][0].term
    s = goal
    cuts: list[Tree] = []
    lowered: list[Fraction] = []
    for p, least in positive:
        shift = outward(least / 2, False, least / 8)
        p = add(p, {(): -shift})
        cuts.append(["cut", to_json(from_polynomial(p)), leaf(p, s)])
        s, lowered = s.given(from_polynomial(p)), [*lowered, shift]
    k, scale = len(s.premises), 1 / lowered[1]
    products = [
        [number_to_json(scale), [k, k - 2]],
        [number_to_json(scale * lowered[0]), [k]],
        [number_to_json(scale), [k - 1]],
        [number_to_json(scale * used[1]), [used[0]]],
    ]
    trivial = ["leaf", [{"products": [["1", [k]]]}]]
    tree: Tree = ["split", to_json(q), trivial, ["absurd", {"products": products}]]
    for cut in reversed(cuts):
        tree = [*cut, tree]
    return tree


def substituted(
    goal: Polynomial, premises: dict[int, Polynomial], box: dict[str, tuple[Fraction, Fraction]]
) -> tuple[Polynomial, list[list[object]]] | None:
    """``goal`` with names replaced by polynomials near them, and the products that pay for it.

    A name v with the premises ``v - P + R >= 0`` and ``P + R - v >= 0`` stands for P, up to R times
    its factor. The difference is a sum of products of those premises with bounds of the box. None:
    there is no such name, or a form is too large.
    """
    near = near_names(premises)
    used = [n for n in sorted(near, key=lambda n: -int(n[2:])) if n in names(goal)]
    if not used:
        return None
    products: list[list[object]] = []
    for name in sorted(near, key=lambda n: -int(n[2:])):
        centre, radius, below, above = near[name]
        while name in names(goal):
            factor = {_lowered(m, name): c for m, c in goal.items() if name in dict(m)}
            rest = {m: c for m, c in goal.items() if name not in dict(m)}
            form = form_on(factor, box) if names(factor) <= box.keys() else None
            if form is None:
                return None
            side = below if form.least > 0 else above
            products.append([number_to_json(abs(form.least)), [side]])
            for c, numbers in numbered(form.products, box, premises):
                products.append([number_to_json(c), [*numbers, below]])
            loss = add(factor, {(): abs(form.least) - form.least})
            goal = add(add(rest, times(factor, centre)), loss, -radius)
    return goal, products


def _lowered(m: tuple[tuple[str, int], ...], name: str) -> tuple[tuple[str, int], ...]:
    return tuple((n, k - (n == name)) for n, k in m if n != name or k > 1)


def near_names(premises: dict[int, Polynomial]) -> dict[str, tuple[Polynomial, Fraction, int, int]]:
    """For each name between two polynomials a constant apart: their mean, half that constant, and the two premises."""
    below: dict[str, list[tuple[int, Polynomial]]] = {}
    result: dict[str, tuple[Polynomial, Fraction, int, int]] = {}
    for k, p in premises.items():
        if max((sum(j for _, j in m) for m in p), default=0) < 2:
            continue
        name = max(
            (n for n in names(p) if n.startswith("a:")), key=lambda n: int(n[2:]), default=""
        )
        parts = linear(p, name) if name else None
        if parts is None or parts[0] not in ({(): ONE}, {(): -ONE}):
            continue
        if parts[0] == {(): ONE}:
            below.setdefault(name, []).append((k, parts[1]))
            continue
        for j, rest in below.get(name, []):
            twice = add(rest, parts[1])
            if twice.keys() <= {()} and name not in result:
                radius = twice.get((), Fraction(0)) / 2
                result[name] = add(parts[1], {(): -radius}), radius, j, k
    return result


__all__ = ["absurd", "clear_name", "substituted"]
