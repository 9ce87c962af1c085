"""Proofs that must not be believed, by either checker: each was thought of by an attacker."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from checked_examples import proved

from nprl.model import model_from_json
from nprl.shields import Verdict, check, exact
from nprl.shields.certificate import CertificateError, certificate_from_json
from nprl.shields.goals import goals
from nprl.shields.sequent import Sequent

Tree = list[Any]


def early_name(s: Sequent) -> Tree:
    """``a:0 >= 3`` is proved where a:0 is pi, and used where it is sin(0)."""
    n = len(s.premises)
    above = ["function", ["pi"], 1, ["leaf", [{"products": [["1", [n]]]}]]]
    below = ["function", ["sin", "0"], 1, ["absurd", {"products": [["1", [n]], ["1", [n + 3]]]}]]
    return ["cut", ["-", "a:0", "3"], above, below]


def early_split(s: Sequent) -> Tree:
    """The same with a split and a name of nothing."""
    named = ["name", "x", ["leaf", [{}]]]
    return ["split", "a:0", named, named]


@pytest.mark.parametrize("forged", [early_name, early_split])
def test_a_name_before_it_is_given_proves_nothing(forged: Callable[[Sequent], Tree]) -> None:
    certificate = proved()
    data = copy.deepcopy(certificate.to_json())
    data["proofs"] = {goal: forged(s) for goal, s in goals(certificate).items()}
    report = check(certificate_from_json(data))
    assert report.verdict is Verdict.UNKNOWN
    named = [r for r in report.results if r.goal in data["proofs"]]
    assert all("only where a rule has given it" in r.reason for r in named)
    failures = exact.check(json.dumps(data).encode())
    assert all(failures[goal] for goal in data["proofs"])


def many(kind: str, inner: str) -> Any:
    pairs = [[inner, ["<=", "x", str(k)], ["<=", "x", str(k + 1)]] for k in range(1, 41)]
    return [kind, *pairs]


def power(depth: int) -> Any:
    value: Any = "3/2"
    for _ in range(depth):
        value = ["**", value, 16]
    return value


@pytest.mark.parametrize(
    ("changes", "where", "reason"),
    [
        ({"safe": many("or", "and")}, "goals", "clauses"),
        ({"step": {"x": ["where", many("or", "and"), "x", ["neg", "x"]]}}, "goals", "nodes"),
        ({"step": {"x": ["*", "x", power(30)]}}, "domain", "overflow"),
    ],
)
def test_a_small_file_that_stands_for_a_huge_goal_ends_at_once(
    changes: dict[str, Any], where: str, reason: str
) -> None:
    data = copy.deepcopy(proved().to_json())
    data["model"] |= changes
    data["model_digest"] = model_from_json(data["model"]).digest()
    certificate = certificate_from_json(data)
    results = {r.goal: r for r in check(certificate).results}
    assert reason in results[where].reason
    try:
        failures = exact.check(json.dumps(certificate.to_json()).encode())
    except ValueError:  # to the exact checker, such a file is malformed
        return
    assert any(failures.values())


def test_a_row_with_a_number_of_a_million_digits_is_refused() -> None:
    data = copy.deepcopy(proved().to_json())
    data["shield"]["invariant"][0][0] = ["-", power(30), "x"]
    with pytest.raises(CertificateError, match="too long"):
        certificate_from_json(data)
