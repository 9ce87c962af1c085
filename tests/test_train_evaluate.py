"""Evaluation: episodes that begin where the environment's own do, and what is said of them."""

from dataclasses import replace

import numpy as np
import pytest

from nprl.env.task import load_task
from nprl.evaluate import ci95, evaluate, paired_ci95, us_per_step
from nprl.lang.text import parse
from nprl.program import program_for

PENDULUM = load_task("nprl/Pendulum-v0")
BALANCE = program_for(PENDULUM.model, [parse("-8 * theta - 1.5 * omega")])
WEAK = program_for(PENDULUM.model, [parse("0 * theta")])
SEEDS = [1_000_000, 7, 12_345_678_901, 3]


class Recorder:
    """A policy that remembers the states and starts it was given."""

    def __init__(self):
        self.calls = []

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        self.calls.append((state, episode_start.tolist()))
        return np.zeros((len(observation), 1)), len(self.calls)


class HalfShield:
    """Replaces every action above zero by zero; what it sees is kept."""

    def __init__(self):
        self.states = []

    def filter_batch(self, states, units):
        self.states.append(states.copy())
        overridden = ~(units[:, 0] <= 0.0)
        return np.where(overridden[:, None], 0.0, units), overridden


def single(task, policy, seed):
    """The same episode, step by step in the task's own environment."""
    env = task.make()
    obs, _ = env.reset(seed=seed)
    total, length, unsafe, done = 0.0, 0, 0, False
    while not done:
        obs, reward, terminated, truncated, info = env.step(policy.predict(obs)[0])
        total, length, unsafe = total + reward, length + 1, unsafe + int(info.get("cost", 0.0) > 0)
        done = terminated or truncated
    env.close()
    return total, length, unsafe


@pytest.mark.parametrize("policy", [BALANCE, WEAK], ids=["balances", "falls"])
def test_an_episode_in_the_batch_is_the_one_of_the_environment(policy):
    result = evaluate(PENDULUM, policy, SEEDS)
    alone = [single(PENDULUM, policy, seed) for seed in SEEDS]
    np.testing.assert_allclose(result.returns, [a[0] for a in alone], rtol=1e-9)
    assert result.lengths.tolist() == [a[1] for a in alone]
    assert result.violations == sum(a[2] for a in alone)
    assert result.steps == sum(a[1] for a in alone)


def test_disturbances_are_those_of_the_environment_after_others_have_ended():
    task = load_task("nprl/SelfDriving-v0")
    policy = program_for(task.model, [parse("0")] * len(task.model.action))
    result = evaluate(task, policy, [5, 6, 7])
    alone = [single(task, policy, seed) for seed in [5, 6, 7]]
    np.testing.assert_allclose(result.returns, [a[0] for a in alone], rtol=1e-9)
    assert result.lengths.tolist() == [a[1] for a in alone]


def test_a_foreign_environment_runs_one_by_one_and_tells_no_violations_without_a_model():
    bound = load_task("CartPole-v1")
    task = replace(bound, model=None, binding=None)

    class Lean:
        def predict(self, observation, state=None, episode_start=None, deterministic=True):
            return (np.asarray(observation)[..., 2] > 0).astype(np.int64), state

    result = evaluate(task, Lean(), [1, 2, 3])
    assert result.returns.tolist() == [single(task, Lean(), seed)[0] for seed in [1, 2, 3]]
    assert result.violations is None
    assert evaluate(bound, Lean(), [1, 2, 3]).violations == 3
    assert result.returns_without_penalty.tolist() == result.returns.tolist()


def test_the_return_without_penalty_keeps_the_ordinary_reward_of_the_last_step():
    result = evaluate(PENDULUM, WEAK, range(100, 110))
    assert result.violations == 10
    assert (result.returns < -200).all()
    assert (result.returns_without_penalty > -20).all()
    assert result.mean_without_penalty > result.mean
    assert result.ci95_without_penalty[0] > result.ci95[1]


def test_the_same_seeds_give_the_same_bytes_whatever_else_is_drawn():
    first = evaluate(PENDULUM, "random", range(20))
    np.random.default_rng().random(10)
    again = evaluate(PENDULUM, "random", range(20))
    assert first.returns.tobytes() == again.returns.tobytes()


def test_a_random_lane_does_not_depend_on_the_others():
    together = evaluate(PENDULUM, "random", [3, 4, 5])
    apart = evaluate(PENDULUM, "random", [5, 4])
    assert together.returns[2] == apart.returns[0]


def test_a_shield_filters_every_action_in_units_and_is_counted():
    shield = HalfShield()
    result = evaluate(PENDULUM, BALANCE, range(10), shield)
    assert result.overrides > 0
    assert result.overrides_per_1000 == pytest.approx(1000 * result.overrides / result.steps)
    assert result.violations == 10
    assert sum(len(states) for states in shield.states) == result.steps


def test_a_shield_filters_a_bound_foreign_environment():
    task = load_task("Pendulum-v1")
    shield = HalfShield()
    result = evaluate(task, "random", [1, 2], shield)
    assert 0 < result.overrides < result.steps
    assert result.violations is not None


def test_a_nan_action_reaches_the_shield_and_is_an_error_without_one():
    class Broken:
        def predict(self, observation, state=None, episode_start=None, deterministic=True):
            return np.full((*np.shape(observation)[:-1], 1), np.nan), state

    assert evaluate(PENDULUM, Broken(), [1, 2], HalfShield()).overrides > 0
    with pytest.raises(ValueError, match="not finite, and no shield replaces them"):
        evaluate(PENDULUM, Broken(), [1, 2])


def test_a_policy_with_memory_gets_its_state_back_and_is_told_the_starts():
    policy = Recorder()
    evaluate(PENDULUM, policy, [1, 2], timed=False)
    assert policy.calls[0] == (None, [True, True])
    assert policy.calls[1] == (1, [False, False])


def test_a_constant_sample_has_an_interval_of_no_width_and_a_known_one_is_students():
    assert ci95(np.full(5, 2.0)) == (2.0, 2.0)
    low, high = ci95(np.array([0.0, 2.0]))
    assert (low, high) == (
        pytest.approx(1 - 12.7062, abs=1e-3),
        pytest.approx(1 + 12.7062, abs=1e-3),
    )


def test_paired_differences_are_narrower_than_the_policies_apart():
    seeds = range(1_000_000, 1_000_050)
    other = program_for(PENDULUM.model, [parse("-7.9 * theta - 1.5 * omega")])
    a, b = evaluate(PENDULUM, BALANCE, seeds), evaluate(PENDULUM, other, seeds)
    low, high = paired_ci95(a, b)
    assert low <= a.mean - b.mean <= high
    assert high - low < a.ci95[1] - a.ci95[0]
    with pytest.raises(ValueError, match=r"got \(50,\) and \(2,\)"):
        paired_ci95(a, np.zeros(2))


def test_a_program_is_timed_as_it_is_deployed():
    observations = np.zeros((50, 2))
    assert 0 < us_per_step(BALANCE, observations) < us_per_step(Slow(), observations)
    assert us_per_step("random", observations) == 0.0


class Slow:
    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return np.array([sum(range(20_000))]), state


@pytest.mark.parametrize(
    ("name", "policy", "seeds", "shield", "message"),
    [
        ("nprl/Pendulum-v0", "random", [1], None, "at least 2 episodes; got 1"),
        ("nprl/Pendulum-v0", "rnadom", [1, 2], None, "is 'random'; got 'rnadom'"),
        ("Acrobot-v1", "random", [1, 2], HalfShield(), "has no model, so it cannot be shielded"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(name, policy, seeds, shield, message):
    with pytest.raises(ValueError, match=message):
        evaluate(load_task(name), policy, seeds, shield)
