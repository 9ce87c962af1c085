"""The stand-alone exact checker: proved by hand, and refused when broken."""

from __future__ import annotations

import ast
import copy
import hashlib
import json
import math
import random
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

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
    """The system x' = x - sin(x)/2 + u/8 + w; only the second Taylor sum withstands such a w."""
    step = ["+", ["-", "x", ["*", "1/2", ["sin", "x"]]], ["*", "1/8", "u"], "w"]
    c = line()
    c["model"] |= {"step": {"x": step}, "disturbance": [coordinate("w", "-3/8", "3/8")]}
    c["shield"] |= {"margins": [["7/16", "7/16"]], "backup": ["0"]}
    # premises of the rule function: 12 lower, 13 upper, 14, 15
    up, down = by(("1/2", 12), ("1/8", 10)), by(("1/2", 13), ("1/8", 11))
    # of -+x^3/12 - x^4/48 the Bernstein forms, in the rows 1 - x and 1 + x
    up["products"] += [["1/48", [0, 0, 0]], ["1/16", [1, 1, 0]]]
    down["products"] += [["1/16", [1, 0, 0]], ["1/48", [1, 1, 1]]]
    for combination in (up, down):
        combination["products"] += [["1/96", [1, 0, 0, 0]], ["1/96", [1, 1, 1, 0]]]
    keep = leaf(up, down)
    same = ["function", ["sin", "x"], 1, leaf(by(("1", 8)), by(("1", 9)))]
    again = ["split", "x", leaf({}, {}), leaf({}, {})]
    c["proofs"] |= {
        "init": ["cut", ["-", "3/4", "x"], leaf({}), again],
        "backup/0/0": ["function", ["sin", "x"], 2, keep],
        "test/0": same,
    }
    return c


def clipped() -> Json:
    """The system x' = clip(x + u/8, -3/4, 3/4) + w, taken to pieces."""
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
    """The system x' = x/(3 + x) + u/8 + w; the quotient's bounds come from two contradictions."""
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
    """The system x' = sqrt(x + 2)/4 + u/8 + w."""
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
    """The system x' = x + 1/4 + u/8 + w, which ends where x >= 1/2; strictly safe below 2."""
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
    """The system x' = x/2 + u/8 + w on two parts, left and right of 0."""
    step = ["+", ["*", "1/2", "x"], ["*", "1/8", "u"], "w"]
    parts = [[["neg", "x"], ["+", "1", "x"]], ["x", ["-", "1", "x"]]]
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
    """The system x' = x/2 + 1/8 or -1/8, by a guard; two choices of action, one for each side."""

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


def refusals(c: Json) -> list[str]:
    """Why the file, or which of its goals, is refused; each in one line."""
    try:
        found = exact.check(digested(c))
    except ValueError as error:
        found = {"file": str(error)}
    reasons = [why for why in found.values() if why]
    assert not [why for why in reasons if "\n" in why]
    return reasons


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_certificate_made_by_hand_is_proved(system: str) -> None:
    assert failures(SYSTEMS[system]()) == {}


Change = Callable[[Json], None]


def put(*path: Any) -> Change:
    """Set the value at the path; the last item is the value."""

    def change(c: Json) -> None:
        for key in path[:-2]:
            c = c[key]
        c[path[-2]] = path[-1]

    return change


def drop_row(c: Json) -> None:
    for rows in (c["shield"]["invariant"], c["shield"]["margins"], c["rounding"]["test"]):
        del rows[0][0]


def scale(c: Json) -> None:
    c["shield"]["invariant"][0][0] = ["+", "1/2", c["shield"]["invariant"][0][0]]


def scale_weights(factor: Fraction) -> Change:
    def change(c: Json) -> None:
        def walk(value: Json) -> None:
            if isinstance(value, dict):
                for item in value.get("products", []):
                    item[0] = str(Fraction(item[0]) * factor)
            for inner in value.values() if isinstance(value, dict) else value:
                if isinstance(inner, dict | list):
                    walk(inner)

        walk(c["proofs"])

    return change


def rename(old: str, new: str) -> Change:
    def change(c: Json) -> None:
        c["proofs"][new] = c["proofs"].pop(old)

    return change


def forget(goal: str) -> Change:
    def change(c: Json) -> None:
        del c["proofs"][goal]

    return change


W, STATE = ("model", "disturbance", 0), ("model", "state", 0)
EVERYWHERE: dict[str, Change] = {
    "a row is dropped": drop_row,
    "a row is moved outwards": scale,
    "the disturbance is widened": put(*W, "high", "1"),
    "the claim for the plant is too small": put("rounding", "plant", "x", "0"),
    "the claim for the backup is too small": put("rounding", "backup", 0, "1/1" + "0" * 15),
    "the claim for the test is too small": put("rounding", "test", 0, 0, "0"),
    "the claim for the guards is negative": put("rounding", "guard", "-1"),
    "the weights are negative": scale_weights(Fraction(-1)),
    "the weights are thrice as large": scale_weights(Fraction(3)),
    "a goal has a wrong name": rename("init", "start"),
    "a proof is missing": forget("backup/0/0"),
    "the initial set is wider": put("model", "init", "x", ["-2", "2"]),
    "safe is smaller": put("model", "safe", ["<=", "x", "1/8"]),
    "safe is never true": put("model", "safe", ["false"]),
    "the range is smaller": put(*STATE, "high", "1/4"),
    "the witness of I is outside": put("witness", "invariant", "x", "5/4"),
    "the witness of init is outside": put("witness", "init", "x", "7/8"),
    "the witness of the disturbance is outside": put("witness", "disturbance", "w", "1"),
    "the witness of the action is outside": put("witness", "action", "u", "2"),
    "there is no part": put("shield", "invariant", []),
    "the semantics are others": put("semantics", "2"),
    "the backup is another": put("shield", "backup", 0, "5/4"),
    "the system is unstable": put("model", "step", "x", ["*", "2", "x"]),
    "a margin is no float": put("shield", "margins", 0, 0, "1/3"),
    "a margin is missing": put("shield", "margins", 0, ["1/16"]),
    "an unknown key is there": put("more", 1),
    "a number is a float": put("model", "init", "x", [-0.25, 0.25]),
    "a number is not in lowest terms": put("model", "init", "x", ["-2/4", "1/2"]),
    "the range is empty": put(*STATE, "high", "-1"),
    "two names are the same": put(*W, "name", "u"),
    "the prover's name is used": put(*W, "name", "a:0"),
    "a formula stands for a term": put("model", "step", "x", ["and", ["true"]]),
    "a row holds a where": put(
        "shield", "invariant", 0, 0, ["where", ["true"], ["-", "1", "x"], "1"]
    ),
}


STILL_TRUE = {("union", "a row is moved outwards")}  # the parts then overlap


@pytest.mark.parametrize(
    ("system", "mutation"),
    [(s, m) for s in SYSTEMS for m in EVERYWHERE if (s, m) not in STILL_TRUE],
)
def test_a_broken_certificate_is_refused(system: str, mutation: str) -> None:
    c = SYSTEMS[system]()
    EVERYWHERE[mutation](c)
    assert refusals(c)


ONCE: dict[str, tuple[str, Change]] = {
    "margin too small": ("line", put("shield", "margins", [["1/64", "1/64"]])),
    "Taylor order too small": ("sine", put("proofs", "backup/0/0", 2, 1)),
    "Taylor order 0": ("sine", put("proofs", "backup/0/0", 2, 0)),
    "lower for upper sum": ("sine", put("proofs", "backup/0/0", 3, 1, 0, by(("1/2", 13)))),
    "cos for sin": ("sine", put("proofs", "backup/0/0", 1, ["cos", "x"])),
    "cut of something false": ("sine", put("proofs", "init", 1, ["-", "1/4", "x"])),
    "pieces of another term": ("clipped", put("proofs", "backup/0/0", 1, ["abs", "x"])),
    "pieces in the wrong order": (
        "clipped",
        lambda c: c["proofs"]["backup/0/0"].__setitem__(
            slice(2, 4), c["proofs"]["backup/0/0"][:1:-1]
        ),
    ),
    "a clip beyond the set": (
        "clipped",
        put("model", "step", "x", ["+", ["clip", "x", "-2", "2"], "w"]),
    ),
    "denominator of the other sign": ("quotient", put("proofs", "backup/0/0", 2, "-")),
    "denominator across 0": (
        "quotient",
        put("model", "step", "x", ["+", ["/", "x", ["+", "1/2", "x"]], "w"]),
    ),
    "a name before it is given": ("quotient", put("proofs", "backup/0/0", leaf({}, {}, {}))),
    "split before the rule": (
        "quotient",
        lambda c: put("proofs", "backup/0/0", c["proofs"]["backup/0/0"][4])(c),
    ),
    "a root of what may be negative": (
        "root",
        put("model", "step", "x", ["*", "1/4", ["sqrt", ["+", "x", "1/2"]]]),
    ),
    "a root without its side": ("root", put("proofs", "backup/0/0", 2, leaf())),
    "safe is strict at the boundary": (
        "ending",
        put("model", "safe", ["and", ["<", "x", "1"], ["<=", "x", "2"]]),
    ),
    "it does not end": ("ending", put("model", "terminal", ["false"])),
    "it ends too late": ("ending", put("model", "terminal", [">=", "x", "7/8"])),
    "terminal is not exact in floats": ("ending", put("model", "terminal", [">=", "x", "1/3"])),
    "the wrong part": ("union", put("proofs", "init", 2, 1, 0)),
    "no such part": ("union", put("proofs", "init", 2, 1, 2)),
    "no part is chosen": ("union", put("proofs", "init", leaf({}, {}))),
    "a part too far": (
        "union",
        put("shield", "invariant", 1, [["-", "x", "1/4"], ["-", "1", "x"]]),
    ),
    "the guard is not perturbed": (
        "switch",
        put("proofs", "backup/0/0", 1, ["where", [">=", "x", "0"], "1/8", "-1/8"]),
    ),
    "a choice that is none": ("switch", put("model", "choices", [["-1"], ["7/8"]])),
    "a choice outside the box": ("switch", put("model", "choices", [["-1"], ["1"], ["2"]])),
    "the witness is no choice": ("switch", put("witness", "action", "u", "0")),
    "a claim for float64 only": ("plane", put("rounding", "plant", "x", "1/100000000")),
    "a coupling": ("plane", put("model", "step", "y", ["+", "x", ["*", "1/8", "u"]])),
}


@pytest.mark.parametrize("mutation", ONCE)
def test_a_fault_of_one_system_is_refused(mutation: str) -> None:
    system, change = ONCE[mutation]
    c = SYSTEMS[system]()
    change(c)
    assert refusals(c)


def test_the_digest_is_that_of_the_model() -> None:
    data = json.loads(digested(line()))
    data["model"]["init"]["x"] = ["-1/4", "1/4"]
    with pytest.raises(ValueError, match="model_digest"):
        exact.check(json.dumps(data).encode())


def test_nested_sums_have_the_digest_of_the_flat_one() -> None:
    c = line()
    step = c["model"]["step"]["x"]
    c["model"]["step"]["x"] = ["+", ["+", *step[1:3]], *step[3:]]
    assert failures(c) == {}


def test_a_name_of_another_path_cannot_be_reused() -> None:
    """What is cut with a:0 free, and then named, would make every sequent true."""
    c = line()
    false = ["cut", ["-", "a:0", "5"], ["name", "x", leaf({})], ["name", "x", leaf({}, {})]]
    c["proofs"]["init"] = false
    assert "a:0" in failures(c)["init"]


def test_contradictory_bounds_prove_only_by_absurd() -> None:
    c = line()
    c["proofs"]["init"] = ["split", ["-", "x", "3"], leaf({}, {}), leaf({}, {})]
    assert "empty" in failures(c)["init"]
    c["proofs"]["init"][2] = ["absurd", by(("1", 1), ("1", 2))]
    assert failures(c) == {}


def test_a_part_without_rows_is_not_proved() -> None:
    c = line()
    c["shield"] |= {"invariant": [[]], "margins": [[]]}
    c["rounding"]["test"] = [[]]
    c["proofs"] |= {"init": leaf(), "backup/0/0": leaf(), "test/0": leaf()}
    assert "ranges/0" in failures(c)


def test_products_and_squares_prove_a_disc() -> None:
    """1 - x^2/2 = 1/2 + (1 - x)(1 + x)/2 > 0 on the box; (x - 1)^2 is a square."""
    c = line()
    c["model"]["safe"] = ["and", [">", ["-", "1", ["*", "1/2", "x", "x"]], "0"]]
    c["model"]["safe"].append([">=", ["+", ["-", ["**", "x", 2], ["*", "2", "x"]], "1"], "0"])
    square = {"squares": [["1", ["-", "x", "1"], []]]}
    c["proofs"] |= {"safe/0/0": leaf({}), "safe/0/1": leaf(square)}
    assert failures(c) == {"safe/0/0": "the remainder is not affine"}
    c["proofs"]["safe/0/0"] = leaf({"products": [["1/2", [0, 1]]]})
    assert failures(c) == {}
    square["squares"][0][0] = "2"
    assert list(failures(c)) == ["safe/0/1"]


def test_a_where_is_rounded_by_both_branches() -> None:
    c = switch()
    c["model"]["step"]["x"][2] = ["where", ["<", "x", "1/3"], "1/8", ["/", "1", "x"]]
    assert "denominator" in failures(c)["domain"]


@pytest.mark.parametrize(
    ("op", "low", "high"),
    [("sin", "-3/5", "3/5"), ("sin", "1", "3"), ("cos", "-1/4", "5"), ("cos", "9", "10")],
)
def test_the_range_of_a_wave_holds_its_values_and_little_more(op: str, low: str, high: str) -> None:
    a, b = Fraction(low), Fraction(high)
    least, most = exact._wave(int(op == "sin"), a, b)
    values = [getattr(math, op)(float(a + (b - a) * k / 10_000)) for k in range(10_001)]
    assert float(least) == pytest.approx(min(values), abs=1e-7)
    assert float(most) == pytest.approx(max(values), abs=1e-7)
    assert least <= min(values) + 1e-15
    assert most >= max(values) - 1e-15


BAD = {
    "nothing": b"",
    "no JSON": b"{",
    "no UTF-8": b"\xff{}",
    "a list": b"[]",
    "null": b"null",
    "NaN": b'{"format": NaN}',
    "a huge float": b'{"format": 1e999}',
    "a huge integer": b"9" * 5000,
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "a key twice": b'{"format": "nprl-certificate/1", "format": "nprl-certificate/1"}',
}


@pytest.mark.parametrize("case", BAD)
def test_bad_bytes_are_one_line_errors(case: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        exact.check(BAD[case])


def test_a_bomb_of_powers_is_refused() -> None:
    for base in ("x", "1/3", "999"):
        c, t = line(), json.loads(json.dumps(base))
        for _ in range(8):
            t = ["**", t, 16]
        c["model"]["step"]["x"] = t
        assert failures(c)["backup/0/0"]


def test_a_long_sum_is_decided_and_a_longer_one_refused() -> None:
    c = line()
    c["shield"]["invariant"][0][0] = ["-", "1", ["+", "x", *["0"] * 500]]
    assert failures(c) == {}
    c["shield"]["invariant"][0][0] = ["-", "1", ["+", "x", *["0"] * 20_000]]
    with pytest.raises(ValueError, match="too deeply"):
        exact.check(digested(c))


def test_no_small_change_makes_it_crash() -> None:
    """Values anywhere in the file are replaced: only ValueError, and answers in one line."""
    rng = random.Random(1)
    news: list[Json] = [
        None,
        True,
        -1,
        3,
        0.5,
        "x",
        "1/2",
        "",
        [],
        {},
        ["+", "x", "1"],
        ["sin", "x"],
        "a:0",
    ]
    for _ in range(600):
        c = copy.deepcopy(rng.choice(list(SYSTEMS.values()))())
        place = c
        while True:
            key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if not isinstance(place[key], dict | list) or not place[key] or rng.random() < 0.15:
                break
            place = place[key]
        place[key] = copy.deepcopy(rng.choice(news))
        if isinstance(c["model"], dict):
            refusals(c)
        else:
            with pytest.raises(ValueError, match="keys"):
                exact.check(json.dumps(c).encode())


def test_the_command_says_what_is_proved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, broken, bad = (tmp_path / name for name in ("good", "broken", "bad"))
    good.write_bytes(digested(line()))
    c = line()
    del c["proofs"]["test/0"]
    broken.write_bytes(digested(c))
    bad.write_bytes(b"no")
    assert exact.main([str(good)]) == 0
    assert exact.main([str(good), str(broken)]) == 1
    assert exact.main([str(bad), str(broken)]) == 2
    assert exact.main([str(tmp_path / "absent")]) == 2
    assert exact.main([]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert lines[0] == f"{good}: proved"
    assert lines[2].startswith(f"{broken}: not proved: test/0: ")
    assert lines[3].startswith(f"{bad}: bad input: ")


def test_it_stands_alone_in_at_most_513_lines(tmp_path: Path) -> None:
    path = Path(exact.__file__)
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 513
    assert max(map(len, text.splitlines())) <= 100
    imported = set()
    for n in ast.walk(ast.parse(text)):
        if isinstance(n, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in n.names}
        elif isinstance(n, ast.ImportFrom):
            assert n.level == 0
            imported.add(str(n.module).split(".")[0])
    assert imported <= sys.stdlib_module_names
    alone, good = tmp_path / "alone.py", tmp_path / "good.json"
    alone.write_text(text, encoding="utf-8")
    good.write_bytes(digested(line()))
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(alone), str(good)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"{good}: proved\n")
