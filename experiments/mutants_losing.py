"""Impossibility certificates broken on purpose, and exact witnesses of their faults.

As `mutants_made` and `mutants_faults` for certificates of shields. A fault is a step from a state
of L, in rational arithmetic, that breaks what the certificate says of it; no checker is asked.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np

from experiments.mutants_made import Json, Mutant, redigested
from nprl.lang import exact
from nprl.shields.load import claim_from_json
from nprl.shields.losing import Impossible
from nprl.shields.losing_replay import replay

STARTS = 8
"""States of L at which steps are looked at."""
DRAWN = 400


def mutants_losing(source: Json) -> Iterator[Mutant]:
    """Every mutant of one impossibility certificate."""
    yield from _of_the_claim(source)
    yield from _of_the_model(source)


def _of_the_claim(source: Json) -> Iterator[Mutant]:
    for q, part in enumerate(source["losing"]):
        for i in range(len(part["rows"])):
            data = copy.deepcopy(source)
            data["losing"][q]["rows"][i] = ["neg", part["rows"][i]]
            yield Mutant("flipped sign", f"row {i} of part {q} negated", data)
            data = copy.deepcopy(source)
            data["losing"][q]["rows"][i] = ["+", part["rows"][i], "100"]
            yield Mutant("scaled set", f"row {i} of part {q} moved out", data)
        for kind, rank in (("rank stands", "1"), ("rank grows", ["neg", part["rank"]])):
            data = copy.deepcopy(source)
            data["losing"][q]["rank"] = rank
            yield Mutant(kind, f"of part {q}", data)
        for name, answer in part["disturbance"].items():
            for factor in ("-1", "0", "3"):
                data = copy.deepcopy(source)
                data["losing"][q]["disturbance"][name] = ["*", factor, answer]
                yield Mutant("another answer", f"{name} of part {q} times {factor}", data)
    for factor in (10, 10**6):
        data = copy.deepcopy(source)
        data["decrease"] = str(Fraction(source["decrease"]) * factor)
        yield Mutant("greater decrease", f"{factor} times as much", data)
    for name, (low, high) in source["model"]["init"].items():
        for end in (low, high):
            if end != source["witness"]["init"][name]:
                data = copy.deepcopy(source)
                data["witness"]["init"][name] = end
                yield Mutant("another witness", f"{name} = {end}", data)


def _of_the_model(source: Json) -> Iterator[Mutant]:
    for k, c in enumerate(source["model"]["action"]):
        data = copy.deepcopy(source)
        data["model"]["action"][k] |= {e: str(50 * Fraction(c[e])) for e in ("low", "high")}
        yield redigested("stronger inputs", f"{c['name']} 50 times as strong", data)
    for k, c in enumerate(source["model"]["disturbance"]):
        data = copy.deepcopy(source)
        data["model"]["disturbance"][k] |= {e: str(Fraction(c[e]) / 50) for e in ("low", "high")}
        yield redigested("weaker disturbance", f"{c['name']} a fiftieth", data)
    for name in source["model"]["step"]:
        data = copy.deepcopy(source)
        data["model"]["step"][name] = name
        yield redigested("another plant", f"{name} stands still", data)
    data = copy.deepcopy(source)
    data["model"]["safe"] = ["true"]
    yield redigested("wider safe set", "all is safe", data)
    data = copy.deepcopy(source)
    data["model"]["terminal"] = ["true"]
    yield redigested("terminal states", "all states absorb", data)


def fault_losing(data: Json, seed: int = 0) -> str:
    """An exact witness that the claim of an impossibility certificate is false; "" if none."""
    claim = claim_from_json(data)
    assert isinstance(claim, Impossible)
    at = claim.witness["init"]
    if not all(low <= at[n] <= high for n, (low, high) in claim.model.init.items()):
        return "the witness is no initial state"
    if not any(all(exact.enclose(g, at).hi >= 0 for g in part.rows) for part in claim.losing):
        return "the witness is not in L"
    for start in [dict(at), *_states(claim, seed)]:
        for run in replay(replace(claim, witness={"init": start})):
            if run.fault is not None:
                return f"{run.fault.goal}: {run.fault.text}"
    return ""


def _states(claim: Impossible, seed: int) -> Iterator[dict[str, Fraction]]:
    """States of L, exactly: drawn from the ranges and from the initial box."""
    rng, model, found = np.random.default_rng(seed), claim.model, 0
    boxes = [model.box(), model.init]
    for k in range(DRAWN):
        box = boxes[k % 2]
        at = {
            n: box[n][0] + (box[n][1] - box[n][0]) * Fraction(int(rng.integers(1025)), 1024)
            for n in model.state_names
        }
        if any(all(exact.enclose(g, at).lo >= 0 for g in part.rows) for part in claim.losing):
            yield at
            found += 1
            if found == STARTS:
                return
