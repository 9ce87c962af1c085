"""Certificates broken on purpose, and exact witnesses of their faults, found without the checker.

A mutant is a certificate's JSON with one thing changed and its digest made anew. A fault is a point at
which the claim is false: evaluated with rational intervals, by brute force over sampled points.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np

from nprl.lang import exact
from nprl.lang.floats import compile_batch
from nprl.lang.terms import Clip, Num, Term
from nprl.model import Model, model_from_json
from nprl.shields.certificate import Certificate, certificate_from_json
from nprl.shields.goals import test_terms as nominal_rows

Json = dict[str, Any]


@dataclass(frozen=True)
class Mutant:
    """A broken certificate and what was done to it."""

    kind: str
    name: str
    data: Json

    def certificate(self) -> Certificate:
        return certificate_from_json(self.data)


def redigested(data: Json) -> Json:
    data["model_digest"] = model_from_json(data["model"]).digest()
    return data


def _scaled(number: str, factor: Fraction) -> str:
    value = Fraction(number) * factor
    return str(value)


def mutants(source: Json, label: str) -> Iterator[Mutant]:
    """Every mutant of one certificate."""

    def changed(kind: str, name: str) -> tuple[Json, Mutant]:
        data = copy.deepcopy(source)
        return data, Mutant(kind, f"{label}: {name}", data)

    shield = source["shield"]
    rows = len(shield["invariant"][0])
    step = max(1, rows // 8)
    if rows > 1:
        for i in range(0, rows, step):
            data, mutant = changed("dropped facet", f"row {i} dropped")
            for block in (data["shield"]["invariant"], data["shield"]["margins"]):
                del block[0][i]
            del data["rounding"]["test"][0][i]
            yield mutant
    for factor in ("21/20", "5/4", "2"):
        data, mutant = changed("scaled set", f"set scaled by {factor}")
        for g in range(rows):
            row = data["shield"]["invariant"][0][g]
            grown = ["+", row, str(Fraction(factor) - 1)]
            data["shield"]["invariant"][0][g] = grown
        yield mutant
    for factor in ("0", "-1", "1/4", "6"):
        data, mutant = changed("perturbed gain", f"backup times {factor}")
        data["shield"]["backup"] = [["*", factor, b] for b in data["shield"]["backup"]]
        yield mutant
    for i in range(0, rows, step):
        data, mutant = changed("flipped sign", f"row {i} negated")
        data["shield"]["invariant"][0][i] = ["neg", data["shield"]["invariant"][0][i]]
        yield mutant
    data, mutant = changed("widened disturbance", "a disturbance larger than any input")
    first = data["model"]["state"][0]["name"]
    width = Fraction(data["model"]["state"][0]["high"])
    data["model"]["disturbance"].append(
        {"name": "gust", "unit": "", "low": str(-width), "high": str(width)}
    )
    data["model"]["step"][first] = ["+", data["model"]["step"][first], "gust"]
    data["witness"]["disturbance"]["gust"] = "0"
    redigested(data)
    yield mutant
    for name in source["model"]["init"]:
        data, mutant = changed("widened start", f"init as wide as the range in {name}")
        c = next(c for c in data["model"]["state"] if c["name"] == name)
        data["model"]["init"][name] = [c["low"], c["high"]]
        redigested(data)
        yield mutant
        data, mutant = changed("shrunk domain", f"range of {name} halved, start with it")
        c = next(c for c in data["model"]["state"] if c["name"] == name)
        c["low"], c["high"] = _scaled(c["low"], Fraction(1, 4)), _scaled(c["high"], Fraction(1, 4))
        low, high = data["model"]["init"][name]
        data["model"]["init"][name] = [
            str(max(Fraction(low), Fraction(c["low"]))),
            str(min(Fraction(high), Fraction(c["high"]))),
        ]
        redigested(data)
        yield mutant
    for i in range(0, rows, step):
        data, mutant = changed("margin too small", f"margin of row {i} far below zero")
        data["shield"]["margins"][0][i] = "-1024"
        yield mutant
    data, mutant = changed("empty set", "a row that nothing meets")
    data["shield"]["invariant"][0][0] = "-1"
    yield mutant
    for name in source["rounding"]["plant"]:
        data, mutant = changed("rounding denied", f"no rounding claimed in {name}")
        data["rounding"]["plant"][name] = "0"
        yield mutant
    for name in source["model"]["step"]:
        data, mutant = changed("another plant", f"next {name} grows by half")
        data["model"]["step"][name] = ["*", "3/2", data["model"]["step"][name]]
        redigested(data)
        yield mutant


# --- exact witnesses ---------------------------------------------------------------------------------


def _points(certificate: Certificate, rng: np.random.Generator, n: int) -> np.ndarray:
    """States: in the ranges, near the boundary of I along rays, and corners of the initial box."""
    model, part = certificate.model, certificate.shield.invariant[0]
    box = model.box()
    low = np.array([float(box[s][0]) for s in model.state_names])
    high = np.array([float(box[s][1]) for s in model.state_names])
    inside = compile_batch(part, [model.state_names])
    centre = np.array([float(certificate.witness["init"][s]) for s in model.state_names])
    ways = rng.normal(size=(n, len(low))) * (high - low)
    near, far = np.zeros(n), np.full(n, 1.0)
    for _ in range(50):
        middle = (near + far) / 2
        ok = np.min(np.broadcast_arrays(*inside(centre + middle[:, None] * ways)), axis=0) >= 0
        near, far = np.where(ok, middle, near), np.where(ok, far, middle)
    edge = centre + (near * (1 - 1e-9))[:, None] * ways
    anywhere = low + (high - low) * rng.random((n, len(low)))
    corners = np.array(
        list(product(*([float(e) for e in model.init[s]] for s in model.state_names)))
    )
    return np.vstack([corners, edge, anywhere])


def _at(names: tuple[str, ...], values: Any) -> dict[str, Fraction]:
    return {n: Fraction(float(v)) for n, v in zip(names, values, strict=True)}


def _sure(terms: tuple[Term, ...] | list[Term], at: dict[str, Fraction]) -> list[int]:
    """For each term 1 if surely >= 0, -1 if surely < 0, 0 if the interval does not tell."""
    values = [exact.enclose(t, at) for t in terms]
    return [1 if v.lo >= 0 else -1 if v.hi < 0 else 0 for v in values]


def fault(certificate: Certificate, seed: int = 0, n: int = 150) -> str:
    """An exact witness that the claim is false, in words; "" if none was found."""
    model, shield = certificate.model, certificate.shield
    part = list(shield.invariant[0])
    rng = np.random.default_rng(seed)
    x0 = {s: certificate.witness["invariant"][s] for s in model.state_names}
    if min(_sure(part, x0)) < 0:
        return f"the witness {x0} is not in I"
    for corner in product(*(model.init[s] for s in model.state_names)):
        at = dict(zip(model.state_names, corner, strict=True))
        if min(_sure(part, at)) < 0:
            return f"the initial state {at} is not in I"
    wcorners = list(product(*((c.low, c.high) for c in model.disturbance)))[:16] or [()]
    tests = nominal_rows(model, part)
    box = model.box()
    states = _points(certificate, rng, n)
    us = rng.random((len(states), len(model.action)))
    for row, u_share in zip(states, us, strict=True):
        x = _at(model.state_names, row)
        if min(_sure(part, x)) < 1:
            continue
        if not all(box[s][0] <= v <= box[s][1] for s, v in x.items()):
            return f"the state {x} of I is outside the ranges"
        if exact.holds(model.safe, x) is False:
            return f"the state {x} of I is unsafe"
        found = _step_fault(certificate, part, tests, x, u_share, wcorners)
        if found:
            return found
    return _rounding_fault(certificate, states)


def _step_fault(
    certificate: Certificate,
    part: list[Term],
    tests: list[Term],
    x: dict[str, Fraction],
    u_share: Any,
    wcorners: list[tuple[Fraction, ...]],
) -> str:
    model, shield = certificate.model, certificate.shield
    u: dict[str, Fraction] = {}
    for c, b in zip(model.action, shield.backup, strict=True):
        value = exact.enclose(b, x)
        if value.hi < c.low or value.lo > c.high:
            return f"the backup leaves U at {x}"
        v = exact.enclose(Clip(b, Num(c.low), Num(c.high)), x)
        u[c.name] = (v.lo + v.hi) / 2
    if _leaves(model, part, x, u, wcorners):
        return f"the backup leaves I from {x}"
    for share in (u_share, np.zeros(len(u)), np.ones(len(u))):
        free = {
            c.name: c.low + (c.high - c.low) * Fraction(float(s))
            for c, s in zip(model.action, share, strict=True)
        }
        values = [exact.enclose(t, x | free) for t in tests]
        passed = all(v.lo >= m for v, m in zip(values, shield.margins[0], strict=True))
        if passed and _leaves(model, part, x, free, wcorners):
            return f"the test admits {free} at {x}, which leaves I"
    return ""


def _leaves(
    model: Model,
    part: list[Term],
    x: dict[str, Fraction],
    u: dict[str, Fraction],
    wcorners: list[tuple[Fraction, ...]],
) -> bool:
    for w in wcorners:
        at = x | u | dict(zip(model.disturbance_names, w, strict=True))
        following: dict[str, Any] = {
            s: exact.enclose(t, at) for s, t in zip(model.state_names, model.steps, strict=True)
        }
        if any(exact.enclose(g, following).hi < 0 for g in part):
            return True
    return False


def _rounding_fault(certificate: Certificate, states: np.ndarray) -> str:
    """A step whose float64 result is further from the exact one than was claimed."""
    model = certificate.model
    names = (*model.state_names, *model.action_names, *model.disturbance_names)
    box = model.box()
    rng = np.random.default_rng(1)
    low = np.array([float(box[s][0]) for s in names])
    high = np.array([float(box[s][1]) for s in names])
    points = low + (high - low) * rng.random((100, len(names)))
    results = compile_batch(list(model.steps), [names])(points)
    for s, t, column in zip(model.state_names, model.steps, results, strict=True):
        for row, value in zip(points, np.broadcast_to(column, len(points)), strict=True):
            true = exact.enclose(t, _at(names, row))
            off = max(true.lo - Fraction(float(value)), Fraction(float(value)) - true.hi)
            if off > certificate.rounding.plant[s]:
                return f"rounding of {s} exceeds the claim"
    return ""
