"""Chains of sections: sets of two coordinates that need not be convex, found by simulation and proved."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from importlib import resources

import numpy as np
import pytest

from nprl.lang.build import clip, cos, sin
from nprl.lang.terms import Num, Var
from nprl.model import Coordinate, Model
from nprl.shields.certificate import certificate_from_json
from nprl.shields.checker import Verdict, check, check_goal
from nprl.shields.exact import check as check_exactly
from nprl.shields.goals import goals
from nprl.shields.sequent import Conclusion, Sequent
from nprl.shields.synthesis.budget import Budget
from nprl.shields.synthesis.certify import certify, claim
from nprl.shields.synthesis.proofs.nonlinear import curved_parts
from nprl.shields.synthesis.proofs.search import NotProved
from nprl.shields.synthesis.proofs.section_proof import SectionProof, wave_cuts
from nprl.shields.synthesis.proposal import Candidate
from nprl.shields.synthesis.sets.section_guess import Loop, loops, simulated
from nprl.shields.synthesis.sets.sections import FAMILY, chain_candidates
from nprl.shields.synthesis.views.kernel import viability_bracket
from nprl.shields.synthesis.views.numeric import values
from nprl.shields.synthesis.views.problem import problem_of
from nprl.shields.synthesis.views.volume import volume

FILE = resources.files("nprl.shields") / "proved" / "pendulum_v1_all.json"
SHIPPED = certificate_from_json(json.loads(FILE.read_text()))
X, V, U, PUSH = Var("x"), Var("v"), Var("u"), Var("push")
DT = Fraction(1, 8)
SPEED = V + (sin(X) + 2 * U + PUSH) * DT
HILL = Model(
    name="test/Hill",
    state=(Coordinate("x", "m", -3, 3), Coordinate("v", "m/s", -2, 2)),
    action=(Coordinate("u", "N", -1, 1),),
    disturbance=(Coordinate("push", "N", Fraction(-1, 8), Fraction(1, 8)),),
    step={X: X + SPEED * DT, V: SPEED},
    init={X: (-1, 1), V: (Fraction(-1, 4), Fraction(1, 4))},
    safe=(V <= 2) & (V >= -2),
    dt=DT,
    integrator="semi-implicit Euler",
)


@pytest.fixture(scope="module")
def loop() -> Loop:
    """The hill under a brake."""
    return simulated(problem_of(HILL), (clip(-2 * V - X, -1, 1),), 41, 100)


def test_from_a_part_the_backup_leads_into_its_neighbours(loop: Loop) -> None:
    draft = claim(HILL, next(chain_candidates([loop], Budget(), (9,))))
    sequent = goals(draft)["backup/3/0"]
    tree = SectionProof(draft).prove("backup/3/0", sequent, 60)
    assert check_goal("backup/3/0", sequent, tree).proved
    other = goals(draft)["backup/0/0"]
    assert not check_goal("backup/0/0", other, tree).proved


@pytest.mark.slow
def test_a_chain_is_proved_and_both_checkers_agree(loop: Loop) -> None:
    candidate = next(chain_candidates([loop], Budget(), (9,)))
    assert candidate.family == FAMILY
    certificate = certify(HILL, candidate, 120)
    assert len(certificate.shield.invariant) == 9
    report = check(certificate)
    assert report.verdict is Verdict.VERIFIED, [r for r in report.results if not r.proved]
    assert not any(check_exactly(json.dumps(certificate.to_json()).encode()).values())


def test_the_shipped_chain_of_stock_pendulum_is_not_convex() -> None:
    x = np.random.default_rng(0).uniform([-5, -6], [5, 6], (4000, 2))
    held = x[_inside(x)]
    half = len(held) // 2
    middles = (held[:half] + held[half : 2 * half]) / 2
    assert len(held) > 0.75 * len(x)
    assert not _inside(middles).all()


@pytest.mark.slow
def test_the_shipped_chain_holds_most_of_what_can_be_kept_within_its_angles() -> None:
    model, shield = SHIPPED.model, SHIPPED.shield
    theta = Var("theta")
    within = replace(model, safe=model.safe & (theta <= 5) & (theta >= -5))
    own = volume(model, Candidate(shield.family, shield.invariant, shield.backup)).value
    outer = viability_bracket(within, max_cells=160_000).outer
    assert 0.9 * outer < own < outer


def _inside(points) -> np.ndarray:
    parts = [values(p, SHIPPED.model.state_names, points) for p in SHIPPED.shield.invariant]
    return np.any([(rows >= 0).all(axis=1) for rows in parts], axis=0)


def test_a_proof_that_is_too_slow_for_its_time_gives_way(loop: Loop) -> None:
    draft = claim(HILL, next(chain_candidates([loop], Budget(), (9,))))
    slow = SectionProof(draft, spent=90.0, done=3)
    with pytest.raises(NotProved, match="too slow"):
        slow.prove("backup/3/0", goals(draft)["backup/3/0"], 60)


def test_chains_are_looked_for_one_by_one(loop: Loop) -> None:
    asked = []

    def given() -> Iterator[Loop]:
        for k in range(2):
            asked.append(k)
            yield loop

    chains = chain_candidates(given(), Budget(), (9, 13))
    assert asked == []
    first = next(chains)
    assert (first.notes["parts"], asked) == (9, [0])
    others = list(chains)
    assert asked == [0, 1]
    assert [c.notes["parts"] for c in others] == sorted(c.notes["parts"] for c in others)


def test_a_grid_of_starts_that_stay_holds_those_of_the_chain(loop: Loop) -> None:
    for along in (0, 1):
        guess = loop.guess(along, 5)
        assert guess is not None
        at, low, high = guess
        assert (np.diff(at) > 0).all()
        assert (low < high).all()


@pytest.mark.slow
def test_the_backups_tried_are_ordered_by_what_they_keep() -> None:
    found = list(loops(problem_of(HILL), 0, Budget()))
    assert found
    for one in found:
        assert one.sections(one.order[0]) is not None
        assert one.area(one.order[0]) >= one.area(one.order[1])


def test_a_backup_that_keeps_nothing_has_no_sections() -> None:
    push = simulated(problem_of(HILL), (Num(Fraction(1)),), 21, 100)
    assert push.sections(0) is None
    assert list(chain_candidates([push], Budget())) == []


@pytest.mark.parametrize("function", [sin, cos])
@pytest.mark.parametrize(("low", "high"), [(-5, "-9/2"), ("-1/4", "1/4"), ("3", "13/4"), (0, 2)])
def test_a_wave_lies_between_its_lines(function, low, high) -> None:
    s = Sequent((X - Num(Fraction(low)), Num(Fraction(high)) - X), ((Conclusion(X),),))
    cuts = wave_cuts(function(X), s)
    assert len(cuts) == 2
    for lemma, tree in cuts:
        result = check_goal("line", s.concluding(lemma), tree)
        assert result.proved, result.reason
        s = s.given(lemma)


def test_a_step_is_taken_apart_into_what_is_not_affine() -> None:
    assert curved_parts(SPEED) == [sin(X)]
    assert curved_parts(X + V / 2 - 3) == []
    assert curved_parts(-(X * V) + 2 * cos(X) * 3) == [X * V, cos(X)]
