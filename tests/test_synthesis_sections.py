"""Chains of sections: sets of two coordinates that need not be convex, found by simulation and proved."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest

from nprl.lang.build import clip, cos, sin
from nprl.lang.terms import Num, Var
from nprl.model import Coordinate, Model
from nprl.shields.checker import Verdict, check, check_goal
from nprl.shields.exact import check as check_exactly
from nprl.shields.sequent import Conclusion, Sequent
from nprl.shields.synthesis.budget import Budget
from nprl.shields.synthesis.certify import certify
from nprl.shields.synthesis.nonlinear import curved_parts
from nprl.shields.synthesis.numeric import values
from nprl.shields.synthesis.problem import problem_of
from nprl.shields.synthesis.section_guess import Loop, loops, simulated
from nprl.shields.synthesis.section_proof import wave_cuts
from nprl.shields.synthesis.sections import FAMILY, chain_candidates

X, V, U, PUSH = Var("x"), Var("v"), Var("u"), Var("push")
DT = Fraction(1, 8)
SPEED = V + (2 * sin(X) + 3 * U + PUSH) * DT
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


def test_a_chain_is_proved_and_both_checkers_agree(loop: Loop) -> None:
    candidate = next(chain_candidates([loop], Budget(), (11,)))
    assert candidate.family == FAMILY
    certificate = certify(HILL, candidate, 120)
    assert len(certificate.shield.invariant) == 11
    report = check(certificate)
    assert report.verdict is Verdict.VERIFIED, [r for r in report.results if not r.proved]
    assert not any(check_exactly(json.dumps(certificate.to_json()).encode()).values())


def test_a_chain_follows_an_edge_that_is_not_convex(loop: Loop) -> None:
    candidate = next(chain_candidates([loop], Budget(), (11,)))
    x = np.random.default_rng(0).uniform([-3, -2], [3, 2], (4000, 2))

    def inside(points) -> np.ndarray:
        parts = [values(part, HILL.state_names, points) for part in candidate.invariant]
        return np.any([(rows >= 0).all(axis=1) for rows in parts], axis=0)

    held = x[inside(x)]
    first, second = held[: len(held) // 2], held[len(held) // 2 : 2 * (len(held) // 2)]
    assert not inside((first + second) / 2).all()


def test_a_grid_of_starts_that_stay_holds_those_of_the_chain(loop: Loop) -> None:
    for along in (0, 1):
        guess = loop.guess(along, 5)
        assert guess is not None
        at, low, high = guess
        assert (np.diff(at) > 0).all()
        assert (low < high).all()


def test_the_backups_tried_are_ordered_by_what_they_keep() -> None:
    found = loops(problem_of(HILL), 0, Budget())
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
