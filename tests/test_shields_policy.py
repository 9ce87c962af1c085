"""Programs alone: certified by proofs that the kernel checks, or refuted by replayed runs."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction as F
from itertools import pairwise

import numpy as np
import pytest
from checked_examples import X, cart, proved
from runtime_examples import box_certificate

from nprl.lang import exact
from nprl.lang.bounds import analyse
from nprl.lang.build import clip, cos, exp, sin, tan, where
from nprl.lang.ranges import Interval
from nprl.lang.terms import Term, Var, variables
from nprl.model import Arithmetic, Coordinate, Observation
from nprl.program import Input, Program, program_for
from nprl.shields.certify_policy import PolicyOutcome, PolicyReport, check_policy
from nprl.shields.checker import Verdict, check
from nprl.shields.counterexample import outside
from nprl.shields.overrides import Overrides, Share
from nprl.shields.program_loop import ClosedLoop, check_fits


def report(output: Term, timeout: float = 30.0) -> PolicyReport:
    """The report of a program for the cart whose shield is |x| <= 1."""
    return check_policy(proved(), program_for(proved().model, [output]), timeout)


def test_a_program_that_passes_the_test_everywhere_is_certified() -> None:
    found = report(-2 * X)
    assert found.outcome is PolicyOutcome.CERTIFIED
    assert "the shield never acts" in found.sense
    assert [r.goal for r in found.results] == ["policy/0/0"]
    assert all(r.proved and r.leaves for r in found.results)
    assert found.share is not None
    assert found.share.acted == 0
    assert found.own is None


def test_a_program_with_an_invariant_of_its_own_is_certified_by_a_second_certificate() -> None:
    found = report(X**3 - X)  # at x = 1 it does nothing, and the wind carries it out
    assert found.outcome is PolicyOutcome.CERTIFIED
    assert found.share is not None
    assert found.share.acted > 0
    own = found.own
    assert own is not None
    assert check(own).verdict is Verdict.VERIFIED
    (b,) = own.shield.backup
    assert b == X**3 - X  # the goal `action` shows that its clip does nothing there
    assert outside(own, {"x": F(1)}) is True
    assert outside(own, {"x": F(1, 2)}) is False


def test_a_program_that_leaves_the_safe_set_needs_the_shield() -> None:
    found = report(2 * X)
    assert found.outcome is PolicyOutcome.NEEDS_SHIELD
    trace = found.counterexample
    assert trace is not None
    assert trace.kind == "trace"
    assert abs(trace.rows[0].state["x"]) <= F(1, 2)
    for now, after in pairwise(trace.rows):
        assert now.action["u"] == F(float(min(max(2 * now.state["x"], F(-1)), F(1))))
        x = now.state["x"] + now.action["u"] / 10 + now.disturbance["w"]
        assert abs(x - after.state["x"]) < F(1, 10**15)
    assert abs(trace.rows[-1].state["x"]) > 1
    assert found.share is not None
    low, high = found.share.interval
    assert 0 < low < found.share.acted / found.share.samples < high < 1


def test_a_state_of_the_invariant_that_the_program_leaves_is_shown() -> None:
    shield = Overrides(proved(), ClosedLoop.of(cart(), program_for(cart(), [X**3 - X])))
    acted = shield.acted()
    assert (np.abs(acted) > 0.9).all()
    found = shield.refuted(acted)
    assert found is not None
    first, second = found.rows[0], found.rows[1]
    assert outside(proved(), first.state) is False
    x = first.state["x"] + first.action["u"] / 10 + first.disturbance["w"]
    assert abs(x - second.state["x"]) < F(1, 10**15)
    assert abs(found.rows[-1].state["x"]) > 1


def test_a_program_with_exp_is_certified() -> None:
    found = report(-(exp(X) - 1) / 2)
    assert found.outcome is PolicyOutcome.CERTIFIED
    assert all(r.proved for r in found.results)


def test_a_program_without_a_sure_value_is_unknown() -> None:
    found = report(-tan(X))
    assert found.outcome is PolicyOutcome.UNKNOWN
    assert "no sure value" in found.sense


def test_an_outcome_has_no_truth_value() -> None:
    with pytest.raises(TypeError, match="three values"):
        bool(PolicyOutcome.CERTIFIED)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": (Input("y", "m"),), "output": (Var("y"),)}, "reads"),
        ({"outputs": (Coordinate("u", "m/s", F(-2), F(1)),)}, "bounds and order"),
        ({"scaled": False}, "scaling"),
        ({"choices": ((F(0),),)}, "choices"),
    ],
)
def test_a_program_for_another_model_is_refused(change: dict[str, object], message: str) -> None:
    program: Program = replace(program_for(cart(), [-X]), **change)
    with pytest.raises(ValueError, match=message):
        check_fits(program, cart())


def test_the_applied_float_is_within_the_bound_of_the_real_action() -> None:
    model = cart(observation=(Observation("c", cos(X)), Observation("s", sin(X) * 3)))
    program = program_for(model, [-(Var("s") * Var("c")) / 7 + F(1, 3) * Var("s") ** 3])
    loop = ClosedLoop.of(model, program)
    x = np.random.default_rng(0).uniform(-2, 2, (200, 1))
    for state, u in zip(x[:, 0], loop.act(x)[:, 0], strict=True):
        real = exact.enclose(loop.policy[0], {"x": F(state)})
        assert abs(F(u) - F(real.lo)) <= loop.errors[0] + F(1, 2**100)


def test_the_rounding_of_an_observation_reaches_the_action() -> None:
    coarse = cart(observation=(Observation("x", X, F(1, 100)),))
    fine = cart()
    program = program_for(fine, [-5 * X])
    errors = [ClosedLoop.of(m, program).errors[0] for m in (fine, coarse)]
    assert errors[0] < F(1, 10**14)
    assert F(5, 100) <= errors[1] <= F(5, 100) + F(1, 10**14)


def test_a_coarse_observation_can_cost_the_certificate() -> None:
    fine = check_policy(proved(), program_for(proved().model, [-2 * X]))
    coarse_model = replace(proved().model, observation=(Observation("x", X, F(1)),))
    certificate = replace(proved(), model=coarse_model)
    loop = ClosedLoop.of(coarse_model, program_for(coarse_model, [-2 * X]))
    goal, sequent = next(iter(loop.passing_goals(certificate, proved().shield.invariant).items()))
    at = {"x": F(1), "u": F(1), "a": F(0)}
    assert fine.outcome is PolicyOutcome.CERTIFIED
    assert goal == "policy/0/0"
    assert all(exact.enclose(t, at).lo >= 0 for t in sequent.premises)
    assert not all(exact.enclose(c.term, at).lo >= 0 for c in sequent.alternatives[0])


def test_errors_of_inputs_are_carried_through_the_rounding_analysis() -> None:
    box = {"x": Interval(F(-1), F(1))}
    exactly = analyse(3 * X, box, 4, {"x": F(0)})
    assert exactly == analyse(3 * X, box, 4)
    off = analyse(3 * X, box, 4, {"x": F(1, 8)})
    assert F(3, 8) <= off.error <= F(3, 8) + F(1, 2**40)
    guarded = analyse(where(X > 0, X, -X), box, 4, {"x": F(1, 8)})
    assert guarded.guards >= F(1, 8)


def test_a_program_among_choices_has_a_goal_for_each() -> None:
    certificate = box_certificate(choices=True)
    model = certificate.model
    loop = ClosedLoop.of(model, program_for(model, [clip(-X, -1, 1)]))
    goals = loop.passing_goals(certificate, certificate.shield.invariant)
    assert list(goals) == [f"policy/0/0/{c}" for c in range(5)]
    x = np.array([[0.9, 0.0], [0.1, 0.0], [-0.9, 0.0]])
    assert loop.act(x)[:, 0].tolist() == [-1.0, 0.0, 1.0]
    for u, nearest in ((F(-3), 0), (F(-9, 10), 1), (F(1, 10), 2), (F(1), 3)):
        at = {"x": -u / 4, "y": F(0), "u": u, "w": F(0)}
        chosen = []
        for c, goal in enumerate(goals.values()):
            own = [t for t in goal.premises if not variables(t) - {"u"}]
            if all(exact.evaluate(t, at) >= 0 for t in own):
                chosen.append(c)
        assert chosen == [nearest]


def test_the_interval_of_a_share_is_wilson_s() -> None:
    low, high = Share(acted=10, samples=100).interval
    assert low == pytest.approx(0.05522914, abs=1e-6)
    assert high == pytest.approx(0.17436566, abs=1e-6)
    assert Share(0, 1000).interval[0] == pytest.approx(0, abs=1e-12)


def test_a_plant_in_float32_is_simulated_in_float32() -> None:
    model = cart(arithmetic=Arithmetic(state="float32"))
    from nprl.shields.traces import Plant

    plant = Plant.of(model, lambda x: np.zeros(len(x)))
    after = plant.next(np.array([[0.1]]), np.array([[0.3]]), np.array([[0.0]]))
    assert after[0, 0] == np.float64(np.float32(after[0, 0]))
