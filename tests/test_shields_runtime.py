"""The run-time shield alone: decisions, batches, and that everything unusual fails closed."""

from __future__ import annotations

import math
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runtime_examples import (
    F,
    X,
    Y,
    box_certificate,
    box_model,
    by_hand,
    ellipse_certificate,
    floats_near,
    union_certificate,
)

from nprl.lang.build import cos, where
from nprl.lang.exact import evaluate
from nprl.lang.floats import compile_scalar
from nprl.lang.terms import Num
from nprl.shields.forms import slab
from nprl.shields.goals import test_terms as terms_of_test
from nprl.shields.rows import tests_of as formulas_of
from nprl.shields.rows import threshold
from nprl.shields.shield import Decision, Filter, ShieldError

EXAMPLES = {
    "box": box_certificate(),
    "ellipse": ellipse_certificate(),
    "union": union_certificate(),
    "two inputs": box_certificate(inputs=2),
    "choices": box_certificate(choices=True),
}
FILTERS = {name: Filter(c, trusted=True) for name, c in EXAMPLES.items()}
BOX = FILTERS["box"]
every_example = pytest.mark.parametrize("name", list(EXAMPLES))


def exact_inside(certificate, x) -> bool:
    at = {n: Fraction(v) for n, v in zip(certificate.model.state_names, x, strict=True)}
    box = certificate.model.box()
    return all(box[n][0] <= v <= box[n][1] for n, v in at.items()) and any(
        all(evaluate(g, at) >= 0 for g in part) for part in certificate.shield.invariant
    )


def exact_next(certificate, x, u, w) -> dict[str, Fraction]:
    model = certificate.model
    at = dict(zip((*model.state_names, *model.action_names, *model.disturbance_names),
                  map(Fraction, (*x, *u, *w)), strict=True))  # fmt: skip
    return {n: evaluate(t, at) for n, t in zip(model.state_names, model.steps, strict=True)}


def random_inside(filter_: Filter, rng, n: int) -> np.ndarray:
    x = rng.uniform(-1, 1, (n, 2))
    return x[filter_.inside_batch(x)]


def test_an_allowed_action_is_kept() -> None:
    decision = BOX.filter([0.5, 0.5], [1.0])
    assert decision == Decision((1.0,), False, False, (0.5, 0.5), BOX)
    assert decision.inside


def test_an_action_that_would_leave_is_replaced_by_the_nearest_allowed_one() -> None:
    # x' = 0.25 + 0.3 u + w <= 1 for all |w| <= 0.1 as long as u <= 0.65 / 0.3
    decision = BOX.filter([0.5, 0.5], [4.0])
    assert decision.overridden
    assert not decision.fallback
    assert decision.action[0] == pytest.approx(0.65 / 0.3, rel=1e-9)


def test_the_nearest_choice_that_passes_is_taken() -> None:
    assert FILTERS["choices"].filter([0.9, 0.0], [4.0]).action == (1.0,)
    assert FILTERS["choices"].filter([0.9, 0.0], [0.5]).overridden  # no choice at all


def test_with_several_inputs_a_point_towards_the_backup_is_taken() -> None:
    decision = FILTERS["two inputs"].filter([0.5, 0.5], [4.0, 3.0])
    assert decision.overridden
    assert not decision.fallback
    assert FILTERS["two inputs"].passes([0.5, 0.5], decision.action)


@pytest.mark.parametrize(
    "action",
    [(math.nan,), (math.inf,), (-math.inf,), (), (1.0, 1.0), None, "abc", (None,), (1j,), 3.0],
)
def test_what_is_no_action_means_the_backup(action) -> None:
    decision = BOX.filter([0.3, 0.0], action)
    assert decision.overridden
    assert decision.fallback
    assert decision.action == BOX.backup([0.3, 0.0]) == (pytest.approx(-0.1),)


def test_an_action_out_of_bounds_is_replaced_by_one_in_bounds() -> None:
    decision = BOX.filter([-1.0, 0.0], [1e300])
    assert decision.overridden
    assert decision.action[0] <= 4.0


@pytest.mark.parametrize("state", [(math.nan, 0.0), (math.inf, 0.0), (0.0,), (0.0, 0.0, 0.0), None])
def test_a_state_that_is_none_raises(state) -> None:
    with pytest.raises(ShieldError, match="a state is 2 finite numbers"):
        BOX.filter(state, [0.0])


def test_a_state_outside_the_invariant_is_reported_and_a_way_back_is_kept() -> None:
    decision = BOX.filter([1.5, 0.0], [0.0])  # x' = 0.75 + w: back inside, whatever w
    assert decision == Decision((0.0,), False, False, (1.5, 0.0), BOX)
    assert not decision.inside


def test_outside_the_box_of_analysis_only_the_backup_is_applied() -> None:
    decision = BOX.filter([3.0, 0.0], [0.0])
    assert decision.fallback
    assert not decision.inside


def test_numpy_scalars_are_read_as_float64() -> None:
    u = np.float32(0.1)
    assert BOX.filter(np.array([0.5, 0.5]), [u]).action == (float(u),)
    assert type(BOX.filter([0.5, 0.5], [u]).action[0]) is float


def test_the_boundary_is_decided_exactly() -> None:
    third = by_hand(
        box_model(), [[F(1, 3) - X, F(1, 3) + X, F(1) - Y, F(1) + Y]], [-(X / 3)], [[F(0)] * 4]
    )
    filter_ = Filter(third, trusted=True)
    for v in floats_near(1 / 3):
        assert filter_.inside([v, 1.0]) is (Fraction(v) <= F(1, 3))
        assert (filter_.margin([v, 1.0]) >= 0) is (Fraction(v) <= F(1, 3))
        assert filter_.inside_batch(np.array([[v, 1.0]]))[0] == (Fraction(v) <= F(1, 3))
    disc = FILTERS["ellipse"]
    for v in floats_near(math.sqrt(0.5), 8):
        assert disc.inside([v, v]) is (2 * Fraction(v) ** 2 <= 1)


@every_example
def test_the_test_compares_the_rows_with_their_margins(name: str) -> None:
    """Thresholds of ``h.x`` decide as ``c + h.x >= margin`` does, in the order as written."""
    certificate, filter_ = EXAMPLES[name], FILTERS[name]
    model = certificate.model
    parts = [
        compile_scalar(
            terms_of_test(model, part, model.steps), (model.state_names, model.action_names)
        )
        for part in certificate.shield.invariant
    ]
    rng = np.random.default_rng(0)
    low, high = np.array(filter_.bounds).T
    for _ in range(100):
        x = rng.uniform(-1, 1, 2).tolist()
        wish = rng.uniform(low, high).tolist()
        action = filter_.filter(x, wish).action
        for u in ([v, *action[1:]] for v in floats_near(action[0])):
            if (
                model.choices is not None
                or not filter_.bounds[0][0] <= u[0] <= filter_.bounds[0][1]
            ):
                continue
            values = [rows(x, u) for rows in parts]
            margins = certificate.shield.margins
            slack = max(
                min(v - float(m) for v, m in zip(vs, ms, strict=True))
                for vs, ms in zip(values, margins, strict=True)
            )
            if abs(slack) > 1e-14:  # nearer, another order of summation may decide otherwise
                assert filter_.passes(x, u) is (slack >= 0)


@given(
    st.fractions(F(-3), F(3)),
    st.floats(0.001953125, 4.0),
    st.floats(-4.0, 4.0),
    st.sampled_from([-1, 1]),
)
@settings(max_examples=200, deadline=None)
def test_a_threshold_is_where_the_rounded_sum_reaches_the_margin(c, margin, v, sign) -> None:
    parts = slab(Num(c) + sign * X)
    assert parts is not None
    _, side, least = threshold(parts, margin)
    assert side == sign
    for x in (v, *floats_near(sign * least)):
        assert (sign * x >= least) is (float(c) + sign * x >= margin)


@every_example
def test_every_decision_keeps_the_state_inside_whatever_the_disturbance(name: str) -> None:
    certificate, filter_ = EXAMPLES[name], FILTERS[name]
    rng = np.random.default_rng(1)
    states = random_inside(filter_, rng, 60)
    corners = np.array([[s, t] for s in (-1.0, 1.0) for t in (-1.0, 1.0)])
    states = np.concatenate([states, corners[filter_.inside_batch(corners)]])
    overrides = 0
    low, high = np.array(filter_.bounds).T
    for x in states.tolist():
        for u in (low, high, rng.uniform(low, high)):
            decision = filter_.filter(x, u.tolist())
            assert decision.inside
            overrides += decision.overridden
            assert all(lo <= a <= hi for a, lo, hi in zip(decision.action, low, high, strict=True))
            if certificate.model.choices is not None:
                assert decision.action in filter_.choices
            for w in (-0.1, 0.1):
                after = exact_next(certificate, x, decision.action, [w])
                rows = [[evaluate(g, after) for g in part] for part in certificate.shield.invariant]
                assert max(min(values) for values in rows) >= -Fraction(1, 10**15)
    assert overrides > 10


@every_example
def test_the_batch_decides_as_the_scalar_filter(name: str) -> None:
    filter_ = FILTERS[name]
    rng = np.random.default_rng(2)
    x = rng.uniform(-1.2, 1.2, (400, 2))
    low, high = np.array(filter_.bounds).T
    u = rng.uniform(1.5 * low, 1.5 * high, (400, len(low)))
    if filter_.choices is not None:
        u = np.array(filter_.choices)[rng.integers(len(filter_.choices), size=400)]
    u[::17] = math.nan
    u[1::17, 0] = math.inf
    actions, overridden = filter_.filter_batch(x, u)
    single = [filter_.filter(a, b) for a, b in zip(x.tolist(), u.tolist(), strict=True)]
    assert overridden.tolist() == [d.overridden for d in single]
    np.testing.assert_allclose(actions, [d.action for d in single], rtol=0, atol=1e-9)
    assert filter_.inside_batch(x).tolist() == [filter_.inside(a) for a in x.tolist()]


def test_a_batch_refuses_states_that_are_not_finite_and_other_shapes() -> None:
    with pytest.raises(ShieldError, match="finite"):
        BOX.filter_batch(np.array([[math.nan, 0.0]]), np.zeros((1, 1)))
    with pytest.raises(ValueError, match="actions are"):
        BOX.filter_batch(np.zeros((2, 2)), np.zeros((2, 2)))


def test_a_batch_leaves_its_arguments_alone() -> None:
    x, u = np.full((3, 2), 0.9), np.full((3, 1), 4.0)
    actions, _ = BOX.filter_batch(x, u)
    assert (u == 4.0).all()
    assert actions is not u
    assert BOX.filter_batch(x, actions)[0] is not actions


def test_what_arrives_after_scaling_is_what_is_tested() -> None:
    """A plant that adds a little to whatever it is sent."""
    added = 0.05

    def through(units):
        return tuple(v + added for v in units)

    decision = BOX.filter([0.5, 0.5], [4.0], through)
    assert not decision.fallback
    assert BOX.passes([0.5, 0.5], through(decision.action))
    batch, _ = BOX.filter_batch(np.array([[0.5, 0.5]]), np.array([[4.0]]), lambda u: u + added)
    assert BOX.passes_batch(np.array([[0.5, 0.5]]), batch + added).all()


def test_a_step_that_is_not_polynomial_in_the_action_is_searched_by_bisection() -> None:
    from dataclasses import replace

    from nprl.lang.build import sin
    from nprl.lang.terms import Var

    model = box_model()
    u = Var("u")
    bent = replace(model, step={**model.step, "x": F(1, 2) * X + F(6, 5) * sin(u / 4) + Var("w")})
    filter_ = Filter(by_hand(bent, [[F(1) - X, F(1) + X, F(1) - Y, F(1) + Y]], [-(X / 3)],
                             [[F(1, 10), F(1, 10), F(0), F(0)]]), trusted=True)  # fmt: skip
    decision = filter_.filter([0.5, 0.0], [4.0])
    assert not decision.fallback
    assert decision.action[0] == pytest.approx(4 * math.asin(0.65 / 1.2), rel=1e-6)
    batch, _ = filter_.filter_batch(np.array([[0.5, 0.0]]), np.array([[4.0]]))
    assert batch[0, 0] == pytest.approx(decision.action[0], rel=1e-6)


def test_a_backup_that_is_not_finite_stops_the_plant(monkeypatch: pytest.MonkeyPatch) -> None:
    filter_ = Filter(box_certificate(), trusted=True)
    monkeypatch.setattr(filter_, "_backup", lambda x: (math.nan,))
    with pytest.raises(ShieldError, match="the backup is"):
        filter_.filter([0.0, 0.0], [math.nan])
    monkeypatch.setattr(filter_, "_backup_batch", lambda x: [np.full(len(x), math.nan)])
    with pytest.raises(ShieldError, match="the backup is not finite"):
        filter_.filter_batch(np.zeros((1, 2)), np.full((1, 1), math.nan))


def test_the_backup_is_clipped_into_the_bounds() -> None:
    rows = [[F(1) - X, F(1) + X, F(1) - Y, F(1) + Y]]
    filter_ = Filter(by_hand(box_model(), rows, [F(100) * X], [[F(0)] * 4]), trusted=True)
    assert filter_.backup([1.0, 0.0]) == (4.0,)
    assert filter_.backup_batch(np.array([[-1.0, 0.0]])).tolist() == [[-4.0]]


def test_rows_with_shared_products_are_made_once() -> None:
    formulas = formulas_of(EXAMPLES["box"])
    assert {f.left for f in formulas.surely.parts} == {X, Y}  # x <= 1, x >= -1, y <= 1, y >= -1
    assert len(formulas.surely.parts) == 4  # and the wider bounds of the model are implied


def test_a_backup_with_branches_runs() -> None:
    rows = [[F(1) - X, F(1) + X, F(1) - Y, F(1) + Y]]
    backup = [where(X > 0, F(-1, 2), F(1, 2)) * cos(Y)]
    filter_ = Filter(by_hand(box_model(), rows, backup, [[F(0)] * 4]), trusted=True)
    x = np.array([[0.5, 0.25], [-0.5, 0.25]])
    assert filter_.backup_batch(x)[:, 0] == pytest.approx(
        [filter_.backup(r)[0] for r in x.tolist()]
    )


def test_the_filter_needs_no_gymnasium_no_torch_and_no_solver() -> None:
    import subprocess

    code = (
        "import sys; from nprl.shields import Filter; import nprl.shields.records; "
        "heavy = {'gymnasium', 'torch', 'stable_baselines3', 'z3'} & set(sys.modules); "
        "sys.exit(f'imports {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
