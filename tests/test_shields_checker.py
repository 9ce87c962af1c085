"""Proofs that must not be believed, by either checker: each was thought of by an attacker."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from checked_examples import proved

from nprl.shields import Verdict, check, exact
from nprl.shields.certificate import certificate_from_json
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
