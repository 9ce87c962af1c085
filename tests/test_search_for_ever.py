"""Programs safe alone: the episodes that a search plays at their worst, and what it then finds."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.certified import certified
from experiments.programs import main
from nprl.distill.rollout import BEYOND, Rollouts, act_of, blank, with_terms
from nprl.env.task import load_task
from nprl.lang.native import compiler
from nprl.lang.text import parse
from nprl.search.direct import AFFINE, forms
from nprl.search.grammar import Grammar
from nprl.search.work import Work

PENDULUM = load_task("nprl/PendulumLinear-v0")
LITTLE = Work(10_000_000, 3_000_000, 60, tuning=8, refining=16, choosing=10, guard_s=120.0)


def first_observations(env: str, seeds: range) -> tuple[np.ndarray, np.ndarray]:
    """Where the plain episodes of these seeds begin, and those that are played for ever."""
    task = load_task(env)
    zero = act_of(blank(task))
    found = []
    for one in (task, task.for_ever()):
        some = [Rollouts(one, [s, s + 1]).run(zero, record=True) for s in seeds]
        seen = [r.observations for r in some if r.observations is not None]
        found.append(np.stack([s[:2] for s in seen]))
    return found[0], found[1]


def test_every_other_episode_begins_in_a_corner_or_a_little_outside() -> None:
    plain, worst = first_observations("nprl/PendulumLinear-v0", range(0, 20, 2))
    assert (plain[:, 0] == worst[:, 0]).all()
    corner = 0.35 * (1 + float(BEYOND))
    assert np.abs(np.abs(worst[:, 1]) - corner).max() < 1e-12
    assert (np.abs(plain) <= 0.35).all()
    assert len(np.unique(np.sign(worst[:, 1]), axis=0)) > 2


def test_disturbances_stay_at_their_ends_and_episodes_are_longer() -> None:
    task = load_task("nprl/AdaptiveCruise-v0")
    late = with_terms(blank(task), [parse("-20 * x0 - 25 * x1 - 10")])
    plain, worst = Rollouts(task, range(40)), Rollouts(task.for_ever(), range(40))
    assert worst.run_many([late])[0].lengths.max() > plain.run_many([late])[0].lengths.max()
    noise = worst._noise[:, 1::2, 0]
    assert set(np.unique(noise)) <= {-3.0, 2.0}
    changes = (np.diff(noise, axis=0) != 0).sum(axis=0)
    assert changes.min() == 0
    assert changes.max() > 10
    assert (worst._noise[:100, ::2] == plain._noise[:, ::2]).all()


def test_compiled_episodes_at_their_worst_are_those_of_numpy() -> None:
    program = with_terms(blank(PENDULUM), [parse("-15 * eta - 6 * omega")])
    rollouts = Rollouts(PENDULUM.for_ever(), range(6))
    (fast,) = rollouts.run_many([program])
    slow = rollouts.run(act_of(program))
    assert fast.returns == pytest.approx(slow.returns, rel=1e-12)
    assert (fast.lengths == slow.lengths).all()


@pytest.mark.skipif(compiler() is None, reason="no C compiler")
def test_what_is_found_for_ever_is_proved_and_what_is_best_at_random_is_not() -> None:
    grammar = Grammar(("eta", "omega"), max_nodes=99)
    greedy = forms(AFFINE)(PENDULUM, grammar, LITTLE, 0).best()
    cautious = forms(AFFINE)(PENDULUM.for_ever(), grammar, LITTLE, 0).best()
    assert not certified(PENDULUM, greedy.program)
    assert certified(PENDULUM, cautious.program)


@pytest.mark.skipif(compiler() is None, reason="no C compiler")
def test_a_search_from_nowhere_tries_coefficients_of_all_sizes() -> None:
    task = load_task("nprl/DCMotor-v0")  # coefficients of the usual size all leave the safe set
    front = forms(AFFINE)(task, Grammar(("x0", "x1"), max_nodes=99), LITTLE, 0)
    assert front.best().mean > -1.0


def test_only_a_model_is_played_for_ever(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--env", "Pendulum-v1", "--for-ever"]) == 2
    told = capsys.readouterr().err
    assert told == "programs: Pendulum-v1: safe for ever is said of a model; there is none\n"
    with pytest.raises(ValueError, match="safe for ever is said of a model"):
        load_task("Hopper-v5").for_ever()
    assert PENDULUM.for_ever().key != PENDULUM.key
    assert replace(PENDULUM.for_ever(), stressed=False, horizon=500) == PENDULUM


def test_a_program_that_rests_nowhere_is_proved_until_the_terminal_states() -> None:
    road = load_task("nprl/Road-v0")
    assert certified(road, with_terms(blank(road), [parse("6.1")]))
    assert not certified(road, with_terms(blank(road), [parse("-2")]))
