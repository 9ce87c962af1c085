"""Policy gradient through relaxations: advantages, likelihoods, and what is learned."""

from __future__ import annotations

from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
import torch

from nprl.distill.rollout import blank
from nprl.env.task import load_task
from nprl.search import gradient
from nprl.search.actor import BEYOND, Actors, advantages, lanes_of
from nprl.search.gradient import policy_gradient
from nprl.search.grammar import Grammar
from nprl.search.relaxation import Relaxation
from nprl.search.work import INTERRUPTED, Work

CART = load_task("CartPole-v1").unbound()
PENDULUM = load_task("Pendulum-v1").unbound()
NAMES = ("x", "y", "omega")
LITTLE = Work(1, 200_000, evaluations=10, tuning=4, choosing=5)


def actors(levels: int = 1, count: int = 2) -> Actors:
    soft = Relaxation(Grammar(NAMES), np.ones(3), np.full(count, 2.0), levels, 0)
    normal = (np.zeros(3), np.ones(3))
    return Actors(soft, blank(PENDULUM), [0, 1, 2], normal, count, 0)


def test_advantages_are_discounted_differences() -> None:
    rewards = np.array([[1.0], [2.0], [3.0]])
    values = np.array([[0.5], [0.5], [0.5], [10.0]])
    ended = np.array([[False], [True], [False]])
    last = 3 + 0.99 * 10 - 0.5
    middle = 2 - 0.5
    first = 1 + 0.99 * 0.5 - 0.5 + 0.99 * 0.95 * middle
    assert advantages(rewards, values, ended).ravel().tolist() == pytest.approx(
        [first, middle, last]
    )


def test_each_row_is_acted_on_by_its_policy() -> None:
    some, x = actors(), torch.randn(6, 3, dtype=torch.float64)
    policy = torch.tensor([0, 1, 0, 1, 1, 0])
    means = some.means(x, policy)
    for k in (0, 1):
        alone = some.means(x, torch.full((6,), k))
        assert torch.equal(means[policy == k], alone[policy == k])
    assert means.abs().max() < BEYOND + 0.1


def test_the_likelihood_is_that_of_the_normal_law() -> None:
    some = actors()
    means, actions = torch.zeros(4, 1), torch.tensor([[0.0], [0.5], [-1.0], [2.0]])
    policy = torch.zeros(4, dtype=torch.int64)
    law = torch.distributions.Normal(means.double(), torch.exp(some.noise[policy]))
    whole = law.log_prob(actions.double()).sum(dim=1)
    apart = whole - some.likelihood(means.double(), actions.double(), policy)
    torch.testing.assert_close(apart, torch.full_like(apart, -0.5 * np.log(2 * np.pi)))


def test_lanes_are_those_of_the_twin() -> None:
    env = lanes_of(PENDULUM, 4, 0)
    some = actors()
    batch, seen = some.collect(env, env.reset(), 5, 1.0)
    assert batch.observations.shape == (20, 3)
    assert batch.policy.tolist() == [0, 1, 0, 1] * 5
    assert seen.shape == (4, 3)
    assert float(batch.advantages.mean()) == pytest.approx(0, abs=1e-9)


@pytest.mark.slow
def test_a_pole_is_balanced_by_gradient_alone() -> None:
    grammar = Grammar(("x", "v", "theta", "omega"), max_nodes=15, max_holes=6)
    with mock.patch.multiple(gradient, LEVELS=(1,), LEAST=25):
        front = policy_gradient(CART, grammar, LITTLE, seed=0)
    assert front.best(max_size=15).mean > 150
    assert all(e.origin == "policy gradient" for e in front)


def test_the_same_seed_trains_the_same_front_and_the_grammar_is_obeyed() -> None:
    grammar = Grammar(("y", "omega"), unary=(), max_nodes=7, max_holes=2)
    with mock.patch.multiple(gradient, LEVELS=(1,), LEAST=3, STEPS={True: 16, False: 16}):
        one, other = (policy_gradient(PENDULUM, grammar, LITTLE, seed=5) for _ in range(2))
        late = policy_gradient(PENDULUM, grammar, replace(LITTLE, guard_s=0.0), seed=5)
    assert one.entries == other.entries
    assert len(one) > 0
    assert all(e.nodes <= 7 for e in one)
    assert all("x" not in str(e.program.output[0]).split() for e in one)
    assert len(late) > 0


def test_interrupted_it_returns_what_was_trained_so_far() -> None:
    collect, calls = Actors.collect, []

    def interrupted(self: Actors, *arguments: object) -> object:
        calls.append(1)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return collect(self, *arguments)  # type: ignore[arg-type]

    said: list[str] = []
    few = mock.patch.multiple(gradient, STEPS={True: 8, False: 8})
    with few, mock.patch.object(Actors, "collect", interrupted):
        front = policy_gradient(PENDULUM, Grammar(NAMES), LITTLE, 0, said.append)
    assert len(front) > 0
    assert len(calls) == 3
    assert INTERRUPTED in front.cut
