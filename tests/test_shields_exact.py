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


def sine() -> Json:
    """x' = x - sin(x)/2 + u/8 + w with a disturbance that only the second Taylor sum withstands."""
    step = ["+", ["-", "x", ["*", "1/2", ["sin", "x"]]], ["*", "1/8", "u"], "w"]
    c = line()
    c["model"] |= {"step": {"x": step}, "disturbance": [coordinate("w", "-3/8", "3/8")]}
    c["shield"] |= {"margins": [["7/16", "7/16"]], "backup": ["0"]}
    # premises of the rule function: 12 lower, 13 upper, 14, 15
    keep = leaf(by(("1/2", 12), ("1/8", 10)), by(("1/2", 13), ("1/8", 11)))
    same = ["function", ["sin", "x"], 1, leaf(by(("1", 8)), by(("1", 9)))]
    again = ["split", "x", leaf({}, {}), leaf({}, {})]
    c["proofs"] |= {
        "init": ["cut", ["-", "3/4", "x"], leaf({}), again],
        "backup/0/0": ["function", ["sin", "x"], 2, keep],
        "test/0": same,
    }
    return c


def clipped() -> Json:
    """x' = clip(x + u/8, -3/4, 3/4) + w, taken to pieces."""
    inner = ["+", "x", ["*", "1/8", "u"]]
    clip = ["clip", inner, "-3/4", "3/4"]
    c = line()
    c["model"]["step"] = {"x": ["+", clip, "w"]}
    low = ["pieces", ["max", inner, "-3/4"], leaf(by(("1", 12)), by(("1", 13))), leaf({}, {})]
    c["proofs"] |= {
        "backup/0/0": ["pieces", clip, low, leaf({}, {})],
        "test/0": ["name", clip, leaf(by(("1", 8)), by(("1", 9)))],
    }
    return c


def quotient() -> Json:
    """x' = x/(3 + x) + u/8 + w; the quotient's bounds come from two contradictions."""
    ratio = ["/", "x", ["+", "3", "x"]]
    c = line()
    c["model"]["step"] = {"x": ["+", ratio, ["*", "1/8", "u"], "w"]}
    c["shield"]["backup"] = ["0"]
    high = ["absurd", {"products": [["1", [13]], ["1", [14, 1]], ["2", [14]]]}]
    low = ["absurd", {"products": [["2", [12]], ["2", [15, 1]], ["4", [15]]]}]
    keep = leaf(by(("1/8", 10)), by(("1/8", 11)))
    inside = ["split", ["+", "a:0", "3/4"], keep, low]
    split = ["split", ["-", "a:0", "1/2"], high, inside]
    c["proofs"] |= {
        "backup/0/0": ["divide", ratio, "+", leaf({}), split],
        "test/0": ["divide", ratio, "+", leaf({}), leaf(by(("1", 8)), by(("1", 9)))],
    }
    return c


def root() -> Json:
    """x' = sqrt(x + 2)/4 + u/8 + w."""
    value = ["sqrt", ["+", "x", "2"]]
    c = line()
    c["model"]["step"] = {"x": ["+", ["*", "1/4", value], ["*", "1/8", "u"], "w"]}
    c["shield"]["backup"] = ["0"]
    high = ["absurd", {"products": [["1/6", [13]], ["1/6", [15, 15]], ["1", [15]]]}]
    keep = leaf(by(("1/8", 10)), by(("1/8", 11)))
    c["proofs"] |= {
        "backup/0/0": ["root", value, leaf({}), ["split", ["-", "a:0", "3"], high, keep]],
        "test/0": ["root", value, leaf({}), leaf(by(("1", 8)), by(("1", 9)))],
    }
    return c


def ending() -> Json:
    """x' = x + 1/4 + u/8 + w, which ends where x >= 1/2; strictly safe below 2."""
    c = line()
    c["model"] |= {
        "step": {"x": ["+", "x", "1/4", ["*", "1/8", "u"], "w"]},
        "terminal": [">=", "x", "1/2"],
        "safe": ["and", ["<", "x", "2"], ["not", ["or", ["false"], ["<=", "x", "-2"]]]],
    }
    c["shield"]["backup"] = ["0"]
    keep = leaf(by(("1", 12), ("1/8", 10)), by(("1", 1), ("1/8", 11)))
    c["proofs"]["backup/0/0"] = keep
    return c


def union() -> Json:
    """x' = x/2 + u/8 + w on two parts, left and right of 0."""
    step = ["+", ["*", "1/2", "x"], ["*", "1/8", "u"], "w"]
    parts = [[["neg", "x"], ["+", "1", "x"]], ["x", ["-", "1", "x"]]]
    parts = [parts[0], list(parts[1])]
    there = ["part", 1, leaf(by(("1", 12)), {})]
    keep = ["split", ["+", step, "e:x"], there, ["part", 0, leaf(by(("1", 12)), {})]]
    start = ["split", "x", ["part", 1, leaf(by(("1", 2)), {})], ["part", 0, leaf(by(("1", 2)), {})]]
    proofs = {"init": start}
    for q in "01":
        proofs |= {
            f"safe/{q}/0": leaf({}),
            f"safe/{q}/1": leaf({}),
            f"ranges/{q}": leaf({}, {}),
            f"action/{q}": leaf({}, {}),
            f"backup/{q}/0": keep,
            f"test/{q}": leaf(by(("1", 8)), by(("1", 9))),
        }
    margins = [["1/16", "1/16"], ["1/16", "1/16"]]
    c = certificate(model(step={"x": step}), parts, margins, ["0"], proofs)
    c["witness"]["invariant"] = {"x": "-1/2"}
    return c


def switch() -> Json:
    """x' = x/2 + 1/8 or -1/8, by a guard; two choices of action, one for each side."""

    def where(tag: str, a: str, b: str) -> Json:
        return ["where", [">=", ["+", "x", tag], "0"], a, b]

    step = ["+", ["*", "1/2", "x"], ["where", [">=", "x", "0"], "1/8", "-1/8"], ["*", "1/8", "u"]]
    c = line()
    c["model"] |= {"step": {"x": [*step, "w"]}, "choices": [["-1"], ["1"]]}
    c["shield"]["backup"] = [["where", [">=", "x", "0"], "-1", "1"]]
    c["witness"]["action"] = {"u": "1"}
    done = leaf({}, {})
    c["proofs"] |= {
        "action/0": ["pieces", where("t:backup0", "-1", "1"), ["part", 0, done], ["part", 1, done]],
        "backup/0/0": ["pieces", where("t:plant0", "1/8", "-1/8"), done, done],
        "test/0": ["pieces", where("t:plant0", "1/8", "-1/8"), done, done],
    }
    return c


def plane() -> Json:
    """A diamond in the plane, kept by x' = x/2 + w, y' = y/2 + u/8, with float32 states."""
    rows = [["-", "1", ["+", "x", "y"]], ["+", "1", "x", "y"]]
    rows += [["-", "1", ["-", "x", "y"]], ["+", "1", ["-", "x", "y"]]]
    step = {"x": ["+", ["*", "1/2", "x"], "w"], "y": ["+", ["*", "1/2", "y"], ["*", "1/8", "u"]]}
    m = model(
        state=[coordinate("x", "-1", "1"), coordinate("y", "-1", "1")],
        step=step,
        init={"x": ["-1/4", "1/4"], "y": ["-1/4", "1/4"]},
        arithmetic={"state": "float32", "scaled": False, "ulps": 4},
    )
    half = [by(("1/2", k)) for k in range(4)]
    # the box of a state is half the sum of two rows
    ranges = leaf(
        by(("1/2", 1), ("1/2", 3)),
        by(("1/2", 0), ("1/2", 2)),
        by(("1/2", 1), ("1/2", 2)),
        by(("1/2", 0), ("1/2", 3)),
    )
    proofs = {
        "init": leaf({}, {}, {}, {}),
        "safe/0/0": leaf({}),
        "safe/0/1": leaf({}),
        "ranges/0": ranges,
        "action/0": leaf({}, {}),
        "backup/0/0": leaf(*half),
        "test/0": leaf(*[by(("1", k)) for k in range(12, 16)]),
    }
    c = certificate(m, [rows], [["1/16"] * 4], ["0"], proofs)
    c["rounding"]["plant"] = {"x": "1/1000000", "y": "1/1000000"}
    return c


SYSTEMS: dict[str, Callable[[], Json]] = {
    f.__name__: f for f in (line, sine, clipped, quotient, root, ending, union, switch, plane)
}


def failures(c: Json) -> dict[str, str]:
    return {goal: why for goal, why in exact.check(digested(c)).items() if why}


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_certificate_made_by_hand_is_proved(system: str) -> None:
    assert failures(SYSTEMS[system]()) == {}
