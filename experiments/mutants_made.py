"""Certificates broken on purpose: each mutant is a certificate's JSON with one thing changed.

Digests are made anew, so that a mutant is refused for what it claims and not for its bytes. Whether
what it claims is false is for `mutants_faults` to show; many a change does no harm.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from experiments.recheck import expanded
from nprl.model import model_from_json

Json = dict[str, Any]
ROWS = 8
"""At most so many rows of an invariant are changed in each way, evenly spread."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A broken certificate and what was done to it."""

    kind: str
    name: str
    data: Json


def mutants(source: Json) -> Iterator[Mutant]:
    """Every mutant of one certificate."""
    yield from _of_the_set(source)
    yield from _of_the_shield(source)
    yield from _of_the_model(source)
    yield from _of_the_proof(source)


def series_used(proofs: Any) -> dict[str, set[int]]:
    """How many summands the proofs take of each function's series, by its name."""
    found: dict[str, set[int]] = {}
    stack = [proofs]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            stack.extend(node.values())
        elif isinstance(node, list):
            match node:
                case ["function", [str(name), _], int(k), _]:
                    found.setdefault(name, set()).add(k)
            stack.extend(node)
    return found


def _of_the_set(source: Json) -> Iterator[Mutant]:
    names = [c["name"] for c in source["model"]["state"]]
    parts = source["shield"]["invariant"]
    for p, i in _some_rows(source):
        if len(parts[p]) == 1:
            continue
        data = copy.deepcopy(source)
        for block in (data["shield"]["invariant"], data["shield"]["margins"]):
            del block[p][i]
        del data["rounding"]["test"][p][i]
        data["proofs"] = {g: _without_row(t, g, p, i, source) for g, t in source["proofs"].items()}
        yield Mutant("dropped facet", f"row {i} of part {p} dropped", data)
    for p, i in _some_rows(source):
        data = copy.deepcopy(source)
        data["shield"]["invariant"][p][i] = ["neg", data["shield"]["invariant"][p][i]]
        yield Mutant("flipped sign", f"row {i} of part {p} negated", data)
    for factor in ("21/20", "5/4", "2"):
        data = copy.deepcopy(source)
        for rows in data["shield"]["invariant"]:
            for i, row in enumerate(rows):
                constant = expanded(row, names).get((0,) * len(names), Fraction(0))
                rows[i] = ["+", row, str(constant * (Fraction(factor) - 1))]
        yield Mutant("scaled set", f"scaled by {factor}", data)
    data = copy.deepcopy(source)
    for rows in data["shield"]["invariant"]:
        rows[0] = "-1"
    yield Mutant("empty set", "a row that nothing meets", data)


def _some_rows(source: Json) -> list[tuple[int, int]]:
    """The rows that are changed: their parts and places."""
    parts = source["shield"]["invariant"]
    every = [(p, i) for p, part in enumerate(parts) for i in range(len(part))]
    return every[:: -(-len(every) // ROWS)]


def _of_the_shield(source: Json) -> Iterator[Mutant]:
    for factor in ("0", "-1", "1/4", "6"):
        data = copy.deepcopy(source)
        data["shield"]["backup"] = [["*", factor, b] for b in data["shield"]["backup"]]
        yield Mutant("perturbed gain", f"backup times {factor}", data)
    for p, i in _some_rows(source):
        data = copy.deepcopy(source)
        data["shield"]["margins"][p][i] = "-1024"
        yield Mutant("margin too small", f"margin of row {i} of part {p} far below zero", data)
    for name in source["rounding"]["plant"]:
        data = copy.deepcopy(source)
        data["rounding"]["plant"][name] = "0"
        yield Mutant("rounding denied", f"no rounding claimed in {name}", data)


def _of_the_model(source: Json) -> Iterator[Mutant]:
    model = source["model"]
    for k, c in enumerate(model["disturbance"]):
        for factor in (2, 10):
            data = copy.deepcopy(source)
            wide = data["model"]["disturbance"][k]
            wide["low"], wide["high"] = (str(factor * Fraction(c[e])) for e in ("low", "high"))
            yield redigested("widened disturbance", f"{c['name']} {factor} times as wide", data)
    for c in model["state"]:
        data = copy.deepcopy(source)
        width = Fraction(c["high"]) / 4
        data["model"]["disturbance"].append(
            {"name": "gust", "unit": c["unit"], "low": str(-width), "high": str(width)}
        )
        data["model"]["step"][c["name"]] = ["+", data["model"]["step"][c["name"]], "gust"]
        data["witness"]["disturbance"]["gust"] = "0"
        yield redigested("widened disturbance", f"a gust on {c['name']}", data)
    for k, c in enumerate(model["state"]):
        name = c["name"]
        data = copy.deepcopy(source)
        data["model"]["init"][name] = [c["low"], c["high"]]
        yield redigested("widened start", f"init as wide as the range of {name}", data)
        data = copy.deepcopy(source)
        low, high = (Fraction(c[end]) / 4 for end in ("low", "high"))
        data["model"]["state"][k] |= {"low": str(low), "high": str(high)}
        first, last = map(Fraction, model["init"][name])
        data["model"]["init"][name] = [str(min(max(v, low), high)) for v in (first, last)]
        yield redigested("shrunk domain", f"range of {name} a quarter, its start cut", data)
        data = copy.deepcopy(source)
        data["model"]["step"][name] = ["*", "3/2", data["model"]["step"][name]]
        yield redigested("another plant", f"next {name} grows by half", data)


def _of_the_proof(source: Json) -> Iterator[Mutant]:
    for k in range(1, max(set().union(*series_used(source["proofs"]).values()), default=1)):
        data = copy.deepcopy(source)
        data["proofs"] = {goal: _coarser(tree, k) for goal, tree in data["proofs"].items()}
        yield Mutant("coarser enclosure", f"series of at most {k} summands", data)


def _coarser(node: Any, k: int) -> Any:
    match node:
        case ["function", term, int(old), tree]:
            return ["function", term, min(old, k), _coarser(tree, k)]
        case list():
            return [_coarser(part, k) for part in node]
    return node


def redigested(kind: str, name: str, data: Json) -> Mutant:
    """The mutant, its digest made anew."""
    data["model_digest"] = model_from_json(data["model"]).digest()
    return Mutant(kind, name, data)


def _without_row(tree: Any, goal: str, p: int, i: int, source: Json) -> Any:
    """The proof tree made to fit an invariant without row ``i`` of part ``p``.

    So that such a mutant is refused only where the row was needed.
    """
    kind, model = goal.partition("/")[0], source["model"]
    own = kind == "init" or goal.split("/")[1] == str(p)  # is the part among the premises, or all
    concluded = kind in ("init", "backup") or (kind == "test" and own)
    place = i if own and kind != "init" else sys.maxsize  # init has no row among its premises
    if kind == "test" and own:
        boxes = [*model["state"], *model["action"], *model["disturbance"], *model["state"]]
        place += 2 * len(boxes)

    def fitted(combination: Any) -> Any:
        result = dict(combination)
        for key in ("products", "squares"):
            if key in combination:
                result[key] = [
                    [*head, [n - (n > place) for n in indices]]
                    for *head, indices in combination[key]
                    if place not in indices
                ]
        return result

    def walk(node: Any, part: int) -> Any:
        match node:
            case ["part", int(k), below]:
                return ["part", k, walk(below, k)]
            case ["leaf", list(combinations)]:
                loses = concluded and part == p
                kept = [c for k, c in enumerate(combinations) if not (loses and k == i)]
                return ["leaf", [fitted(c) for c in kept]]
            case ["absurd", combination]:
                return ["absurd", fitted(combination)]
            case [str(), *_]:
                return [walk(child, part) if _is_tree(child) else child for child in node]
        return node

    return walk(copy.deepcopy(tree), p if kind == "test" else 0)


NODES = frozenset(
    ("part", "split", "cut", "pieces", "function", "divide", "root", "name", "leaf", "absurd")
)


def _is_tree(part: Any) -> bool:
    return isinstance(part, list) and bool(part) and part[0] in NODES
