"""The stand-alone exact checker: proved by hand, and refused when broken."""

from __future__ import annotations

import hashlib
import json
from fractions import Fraction
from typing import Any

from nprl.shields import exact

Json = Any
SMALL = str(Fraction(1, 2**30))


def coordinate(name: str, low: str, high: str) -> Json:
    return {"name": name, "unit": "1", "low": low, "high": high}


def flat(value: Json) -> Json:
    if isinstance(value, dict):
        return {k: flat(v) for k, v in value.items()}
    if not isinstance(value, list):
        return value
    items = [flat(v) for v in value]
    if items and items[0] in ("+", "*") and isinstance(items[1], list) and items[1][0] == items[0]:
        return [*items[1], *items[2:]]
    return items


def digested(c: Json) -> bytes:
    """The bytes of the certificate, with the digest of its model made new."""
    text = json.dumps(flat(c["model"]), sort_keys=True, separators=(",", ":"))
    c["model_digest"] = hashlib.sha256(b"nprl-semantics/1\n" + text.encode()).hexdigest()
    return json.dumps(c).encode()


def model(**changes: Json) -> Json:
    base = {
        "format": "nprl-model/1",
        "name": "test",
        "state": [coordinate("x", "-1", "1")],
        "action": [coordinate("u", "-1", "1")],
        "choices": None,
        "disturbance": [coordinate("w", "-1/32", "1/32")],
        "step": {"x": ["+", "x", ["*", "1/8", "u"], "w"]},
        "init": {"x": ["-1/2", "1/2"]},
        "safe": ["and", ["<=", "x", "1"], [">=", "x", "-1"]],
        "terminal": ["false"],
        "observation": [["x", "x", "0"]],
        "reward": ["neg", ["*", "x", "next_x"]],
        "unsafe_reward": None,
        "horizon": 100,
        "dt": None,
        "integrator": "exact",
        "arithmetic": {"state": "float64", "scaled": True, "ulps": 4},
        "provenance": "made up",
        "notes": "",
    }
    return base | changes


def certificate(model: Json, invariant: Json, margins: Json, backup: Json, proofs: Json) -> Json:
    names = [c["name"] for c in model["state"]]
    return {
        "format": "nprl-certificate/1",
        "semantics": "1",
        "model": model,
        "model_digest": "",
        "shield": {
            "family": "polytope",
            "invariant": invariant,
            "margins": margins,
            "backup": backup,
        },
        "rounding": {
            "plant": dict.fromkeys(names, SMALL),
            "backup": [SMALL for _ in backup],
            "test": [[SMALL for _ in part] for part in invariant],
            "guard": SMALL,
        },
        "witness": {
            "init": dict.fromkeys(names, "0"),
            "invariant": dict.fromkeys(names, "0"),
            "action": {c["name"]: "0" for c in model["action"]},
            "disturbance": {c["name"]: "0" for c in model["disturbance"]},
        },
        "proofs": proofs,
        "info": {"seconds": 0.5},
    }


def by(*weights: tuple[str, int]) -> Json:
    """A combination of single premises."""
    return {"products": [[c, [k]] for c, k in weights]}


def leaf(*combinations: Json) -> Json:
    return ["leaf", list(combinations)]


def line() -> Json:
    """X' = x + u/8 + w on |x| <= 1, with the backup -x."""
    rows = [["-", "1", "x"], ["+", "1", "x"]]
    # premises: rows 0 1; x 2 3; u 4 5; w 6 7; e 8 9; backup 10 11
    keep = leaf(by(("7/8", 0), ("1/8", 10)), by(("7/8", 1), ("1/8", 11)))
    # premises: x 0 1; u 2 3; w 4 5; e 6 7; T 8 9
    proofs = {
        "init": leaf({}, {}),
        "safe/0/0": leaf(by(("1", 0))),
        "safe/0/1": leaf(by(("1", 1))),
        "ranges/0": leaf({}, {}),
        "action/0": leaf({}, {}),
        "backup/0/0": keep,
        "test/0": leaf(by(("1", 8)), by(("1", 9))),
    }
    return certificate(model(), [rows], [["1/16", "1/16"]], [["neg", "x"]], proofs)


def failures(c: Json) -> dict[str, str]:
    return {goal: why for goal, why in exact.check(digested(c)).items() if why}


def test_a_linear_system_is_proved() -> None:
    assert failures(line()) == {}
