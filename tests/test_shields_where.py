"""Steps and backups that branch: proved with every guard off by its rounding."""

from __future__ import annotations

import json
from fractions import Fraction as F

import pytest
from checked_examples import U, W, X, cart

from nprl.lang.build import where
from nprl.lang.terms import Formula, Term
from nprl.model import Model
from nprl.shields import Verdict, check, exact, synthesize
from nprl.shields.certificate import Certificate
from nprl.shields.goals import goals
from nprl.shields.synthesis.candidate import Candidate
from nprl.shields.synthesis.certify import certify
from nprl.shields.synthesis.proofs.search import NotProved

BRANCHING = X + where((X >= 0) & (U < 0), U * F(1, 20), U * F(1, 10)) + W


def proved(model: Model, backup: Term) -> Certificate:
    return certify(model, Candidate("polytope", ((1 - X, 1 + X),), (backup,), {}))


def holds_for_both(certificate: Certificate) -> bool:
    report = check(certificate)
    failures = exact.check(json.dumps(certificate.to_json()).encode())
    return report.verdict is Verdict.VERIFIED and not any(failures.values())


@pytest.mark.parametrize(
    "test", [X > 0, (F(1, 2) < X) | (F(-1, 2) > X), ~(X <= 0), (F(1, 3) < X) & (X < 2)]
)
def test_a_backup_that_branches_is_proved(test: Formula) -> None:
    assert holds_for_both(proved(cart(), where(test, -X, -X / 2)))


def test_a_step_that_branches_on_state_and_action_is_proved() -> None:
    certificate = proved(cart(step={X: BRANCHING}), -X)
    assert holds_for_both(certificate)
    assert "t:plant1" in str(goals(certificate)["backup/0/0"])


def test_a_branch_that_leaves_the_set_is_not_proved() -> None:
    with pytest.raises(NotProved, match="backup/0/0"):
        proved(cart(), where(F(9, 10) < X, F(1, 2), -X))


def test_a_step_that_branches_is_synthesised() -> None:
    found = synthesize(cart(step={X: BRANCHING}), seconds=60.0).certificate
    assert found is not None
    assert holds_for_both(found)
