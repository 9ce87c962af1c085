from fractions import Fraction

import numpy as np
import pytest

from nprl.distill.affine import fit_affine, monomials
from nprl.distill.censored import fit, fit_families, target
from nprl.distill.tree import fit_tree
from nprl.lang.text import parse
from nprl.search.constants import decimal, digits_of, linear, shortest_between, shortest_decimals

RNG = np.random.default_rng(7)
X = RNG.uniform(-1, 1, (4000, 4))
WEIGHTS = np.array([-19.7, -5.3, 0.25, 3.0])
CLIPPED = np.clip(X @ WEIGHTS + 0.5, -2, 2)


def test_a_clipped_affine_teacher_is_recovered_to_the_last_decimal() -> None:
    full = fit_affine(["a", "b", "c", "d"], X, target(CLIPPED, -2, 2))[0]
    assert full.term == parse("-19.7 * a - 5.3 * b + 0.25 * c + 3 * d + 0.5")
    assert full.loss < 1e-25


def test_least_squares_that_ignores_the_clip_is_far_off_there() -> None:
    naive = np.linalg.lstsq(np.c_[X, np.ones(4000)], CLIPPED, rcond=None)[0]
    assert abs(naive[0]) < 4
    c, loss = fit(np.c_[X, np.ones(4000)], target(CLIPPED, -2, 2))
    np.testing.assert_allclose(c, [*WEIGHTS, 0.5], rtol=1e-6)
    assert loss < 1e-15


def test_the_one_sided_loss_has_no_gradient_at_its_minimum() -> None:
    noisy = np.clip(X @ WEIGHTS + RNG.normal(0, 1, 4000), -2, 2)
    goal = target(noisy, -2, 2)
    c, loss = fit(X, goal)
    r = goal.residuals(X @ c)
    np.testing.assert_allclose(X.T @ r / 4000, 0, atol=1e-7)
    for k in range(4):
        for step in (-1e-3, 1e-3):
            moved = c.copy()
            moved[k] += step
            assert np.mean(goal.residuals(X @ moved) ** 2) > loss


def test_a_batch_of_families_equals_one_fit_at_a_time() -> None:
    goal = target(CLIPPED[:200], -2, 2)
    basis = np.stack([X[:200, :2].T, X[:200, 2:].T])
    together, losses = fit_families(basis, np.zeros((2, 200)), goal, 40)
    for k in range(2):
        alone, loss = fit(basis[k].T, goal)
        np.testing.assert_allclose(together[k], alone, rtol=1e-9)
        assert losses[k] == pytest.approx(loss)


def test_elimination_drops_the_coefficient_that_matters_least_first() -> None:
    fits = fit_affine(["a", "b", "c", "d"], X, target(CLIPPED, -2, 2))
    assert [len(f.kept) for f in fits] == [5, 4, 3, 2, 1]
    assert 2 not in fits[1].kept
    assert fits[-1].kept == (0,)
    assert sorted(f.loss for f in fits) == [f.loss for f in fits]


def test_an_asymmetric_output_needs_its_centre() -> None:
    y = np.clip(1.5 + 2 * X[:, 0], 0, 4)
    assert fit_affine(["a"], X[:, :1], target(y, 0, 4))[0].term == parse("2 * a + 1.5")


def test_a_cubic_teacher_is_recovered_among_all_monomials() -> None:
    y = np.clip(-1.5 * X[:, 0] + 0.75 * X[:, 0] ** 2 * X[:, 1], -2, 2)
    fits = fit_affine(["a", "b"], X[:, :2], target(y, -2, 2), degree=3, sizes=[2])
    assert fits[0].term == parse("-1.5 * a + 0.75 * (a ** 2 * b)")


def test_monomials_count_as_combinatorics_says() -> None:
    assert len(monomials("abc", 3)) == 20
    assert len(set(monomials("abc", 3))) == 20


def test_a_tree_of_two_affine_leaves_is_recovered() -> None:
    y = np.clip(np.where(X[:, 0] <= 0.3, 2 * X[:, 0] - 0.5, 1 - 3 * X[:, 1]), -2, 2)
    fits = fit_tree(["a", "b"], X[:, :2], target(y, -2, 2), 2)
    assert parse("where(a <= 0.3, 2 * a - 0.5, -3 * b + 1)") in [f.term for f in fits]
    assert fits[0].loss < 1e-12


def test_a_tree_compares_two_inputs_where_that_is_the_question() -> None:
    y = np.where(X[:, 0] <= X[:, 1], 1.5 * X[:, 2], -X[:, 0])
    fits = fit_tree(["a", "b", "c"], X[:, :3], target(y, -2, 2), 2)
    assert str(fits[0].term).startswith("where(a - b <=") or "a <= b" in str(fits[0].term)
    assert fits[0].loss < 1e-4


def test_a_tree_has_two_leaves_or_more() -> None:
    with pytest.raises(ValueError, match="two leaves or more; got 1"):
        fit_tree(["a"], X[:, :1], target(CLIPPED, -2, 2), 1)


def test_the_same_data_and_seed_give_the_same_tree() -> None:
    goal = target(CLIPPED, -2, 2)
    assert fit_tree("abcd", X, goal, 3, seed=5) == fit_tree("abcd", X, goal, 3, seed=5)


def test_decimals_are_exact_numbers() -> None:
    assert decimal(-19.69999998, 3) == Fraction("-19.7")
    assert decimal(1e-9, 2) == Fraction(1, 10**9)
    assert [digits_of(Fraction(t)) for t in ("0", "-1", "2", "0.05", "19.7", "1200")] == [
        0, 0, 1, 1, 3, 2,
    ]  # fmt: skip
    with pytest.raises(ValueError, match="finite"):
        decimal(float("nan"), 3)


def test_the_shortest_decimal_between_two_numbers_lies_between_them() -> None:
    assert shortest_between(0.2991, 0.3004) == Fraction("0.3")
    assert shortest_between(-0.1, 0.2) == 0
    low, high = 0.123456, 0.123457
    assert low < shortest_between(low, high) < high


def test_shortening_takes_the_fewest_digits_that_serve() -> None:
    def losses(trials: object) -> list[float]:
        return [abs(float(t[0]) - 3.14159) + abs(float(t[1])) for t in trials]  # type: ignore[attr-defined]

    for at_once in (True, False):
        found = shortest_decimals([3.14159, 0.0004], losses, 0.01, at_once=at_once)
        assert found == (Fraction("3.14"), 0)


def test_a_linear_combination_is_written_without_superfluous_ones() -> None:
    features = [parse("x"), parse("y"), parse("z")]
    written = str(linear([Fraction(-1), Fraction(0), Fraction(5, 2)], features))
    assert written == "-x + 2.5 * z"
