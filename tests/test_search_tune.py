import itertools
import time
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import nprl.distill.dagger as dagger_module
import nprl.distill.fitter as fitter_module
import nprl.search.enumerate as enumerate_module
import nprl.search.tune as tune_module
import nprl.search.work as work_module
from nprl.distill import learn
from nprl.distill.budget import Budget
from nprl.distill.dagger import dagger
from nprl.distill.dataset import Dataset, imitation_loss
from nprl.distill.learn import fit_student, learn_program
from nprl.distill.rollout import Rollouts, act_of, blank, units_of, with_terms
from nprl.env.task import load_task
from nprl.lang.terms import Num, subterms
from nprl.lang.text import parse
from nprl.program import Program, program_from_json
from nprl.program_text import program_from_text
from nprl.search.constants import hole, map_leaves
from nprl.search.enumerate import Effort
from nprl.search.tune import Returns, enough, search_constants, shorten, tune

PENDULUM = load_task("nprl/Pendulum-v0")
FRESH = range(1_000_000, 1_000_300)


class Gains:
    """A teacher: clipped linear gains and a ripple, float32 actions in [-1, 1]."""

    def __init__(self, theta: float, omega: float, ripple: float = 0.0) -> None:
        self.theta, self.omega, self.ripple = theta, omega, ripple

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        x = np.asarray(observation)
        u = -self.theta * x[:, 0] - self.omega * x[:, 1] + self.ripple * np.sin(9 * x[:, 0])
        return np.clip(u / 2, -1, 1)[:, None].astype(np.float32), state


def pendulum(text: str) -> Program:
    return with_terms(blank(PENDULUM), [parse(text)])


def fresh_return(program: Program) -> float:
    return Rollouts(PENDULUM, FRESH).run(act_of(program)).mean


def test_rollouts_play_what_the_environment_plays() -> None:
    program = pendulum("-9 * theta - 2 * omega")
    played = Rollouts(PENDULUM, [3, 4]).run(act_of(program), record=True)
    for i, seed in enumerate((3, 4)):
        env = PENDULUM.make()
        obs, total, done = env.reset(seed=seed)[0], 0.0, False
        while not done:
            obs, reward, terminated, truncated, _ = env.step(program.predict(obs)[0])
            total, done = total + float(reward), terminated or truncated
        env.close()
        assert played.returns[i] == pytest.approx(total, rel=1e-9)
    assert played.lengths.tolist() == [200, 200]
    assert played.observations is not None
    assert played.observations.shape == (400, 2)


def test_an_episode_that_leaves_the_safe_set_ends_with_the_penalty() -> None:
    played = Rollouts(PENDULUM, range(8)).run(act_of(pendulum("2")))
    assert (played.lengths < 200).all()
    assert (played.returns < -199).all()


def test_copies_of_the_same_seeds_meet_the_same_episodes() -> None:
    rollouts, act = Rollouts(PENDULUM, range(5)), act_of(pendulum("-9 * theta - 2 * omega"))
    once, thrice = rollouts.run(act), rollouts.run(act, copies=3)
    np.testing.assert_array_equal(thrice.returns.reshape(3, 5), np.tile(once.returns, (3, 1)))


def test_tuning_improves_the_return_on_fresh_seeds() -> None:
    rollouts = Rollouts(PENDULUM, range(500_000, 500_032))
    weak = pendulum("-8 * theta - 1.6 * omega")
    tuned = tune(weak, rollouts, seed=1, evaluations=72)
    after = fresh_return(tuned.program)
    assert after > fresh_return(weak) + 0.015
    assert after > -0.12
    assert tuned.program.constants <= 2
    again = tune(weak, rollouts, seed=1, evaluations=72)
    assert again.program == tuned.program


def test_shortened_constants_print_as_the_decimals_that_run() -> None:
    rollouts = Rollouts(PENDULUM, range(500_000, 500_064))
    long = with_terms(
        blank(PENDULUM),
        [
            Num(Fraction(-19.67555723)) * parse("theta")
            - Num(Fraction(5.2593639)) * parse("omega")
            + Num(Fraction(0.00001234))
        ],
    )
    short = shorten(long, rollouts)
    assert short.constants == 2
    for s in subterms(short.output[0]):
        if isinstance(s, Num):
            assert len(str(s).replace("-", "").replace(".", "").strip("0")) <= 3
            assert Fraction(str(s)) == s.value
    again = program_from_text(str(short))
    assert again == short == program_from_json(short.to_json())
    x = np.random.default_rng(0).uniform(-0.2, 0.2, (50, 2))
    np.testing.assert_array_equal(again.batch(x), short.batch(x))
    before, after = rollouts.run(act_of(long)), rollouts.run(act_of(short))
    assert after.mean >= before.mean - 0.1 * before.error


def test_a_program_without_constants_is_left_alone() -> None:
    program = pendulum("-theta - omega")
    assert tune(program, Rollouts(PENDULUM, range(4))).program == program


def test_dagger_recovers_the_gains_of_its_teacher() -> None:
    result = dagger(PENDULUM, Gains(8, 1.75), fit_student, rounds=3, episodes=8, seed=2)
    assert result.program.output[0] == parse("-8 * theta - 1.75 * omega")
    assert result.rounds[result.best].loss < 1e-9
    again = dagger(PENDULUM, Gains(8, 1.75), fit_student, rounds=3, episodes=8, seed=2)
    assert again.rounds == result.rounds
    np.testing.assert_array_equal(again.data.observations, result.data.observations)


def test_dagger_keeps_the_best_round_and_not_the_last() -> None:
    programs = [pendulum(t) for t in ("-8 * theta - 2 * omega", "-20 * theta - 5 * omega", "2")]
    students = iter(programs)
    result = dagger(PENDULUM, Gains(8, 1.75), lambda blank, data: next(students), 3, 4)
    assert result.best == 1
    assert result.program == programs[1]
    assert len(result.data) > 2 * 4 * 200


def test_after_round_0_the_student_drives() -> None:
    still = pendulum("2")
    result = dagger(PENDULUM, Gains(20, 5), lambda blank, data: still, 2, 4)
    later = result.data.observations[4 * 200 :]
    assert later[:, 0].max() > 0.3
    assert len(later) < 4 * 60


def test_labels_are_in_units() -> None:
    program = blank(PENDULUM)
    np.testing.assert_allclose(units_of(program, np.array([[-1], [0.5], [3]])), [[-2], [1], [2]])
    cart = blank(load_task("CartPole-v1"))
    np.testing.assert_array_equal(units_of(cart, np.array([1, 0])), [[10], [-10]])
    acrobot = blank(load_task("Acrobot-v1"))
    np.testing.assert_array_equal(units_of(acrobot, np.array([2, 0])), [[2], [0]])
    assert [i.name for i in cart.inputs] == ["x", "v", "theta", "omega"]
    foreign = blank(replace(load_task("InvertedPendulum-v5"), model=None, binding=None))
    assert not foreign.scaled
    assert (foreign.outputs[0].low, foreign.outputs[0].high) == (-3, 3)


def test_the_imitation_loss_is_of_what_is_executed() -> None:
    x = np.array([[0.2, 0.0], [-0.2, 0.0]])
    data = Dataset(x, np.array([[-2.0], [2.0]]))
    assert imitation_loss(pendulum("-100 * theta"), data) == 0
    assert imitation_loss(pendulum("0 * theta"), data) == 1
    with pytest.raises(ValueError, match="finite"):
        Dataset(x, np.array([[np.nan], [0.0]]))


def test_learning_needs_seeds_and_work() -> None:
    with pytest.raises(ValueError, match="four selection seeds"):
        learn_program(PENDULUM, Gains(8, 2), selection_seeds=[1])
    with pytest.raises(ValueError, match="rounds is 1 or more; got 0"):
        Budget(rounds=0)
    with pytest.raises(ValueError, match="positive guard_s"):
        Budget(guard_s=0.0)


SMALL = Budget(2, 4, 8, 300, Effort(100, 10), 5, 3, 2, 6, 2, 24, 200_000)


def test_the_same_seed_gives_the_same_program_however_slow_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    teacher = Gains(8, 1.6, 0.1)
    quick = learn_program(PENDULUM, teacher, SMALL, seed=3, max_nodes=5)
    clock = itertools.count()
    slow = SimpleNamespace(monotonic=lambda: 0.05 * next(clock), perf_counter=time.perf_counter)
    for module in (
        *(work_module, dagger_module, fitter_module, enumerate_module, learn, tune_module),
    ):
        monkeypatch.setattr(module, "time", slow)
    slowly = learn_program(PENDULUM, teacher, SMALL, seed=3, max_nodes=5)
    assert next(clock) > 50  # the clock was looked at, and said that seconds went by
    assert quick.cut == slowly.cut == ()
    assert str(quick.program) == str(slowly.program)
    assert quick.candidates == slowly.candidates


def test_what_the_clock_cuts_is_said_loudly() -> None:
    said: list[str] = []
    hurried = replace(SMALL, guard_s=1e-6)
    learned = learn_program(PENDULUM, Gains(8, 1.6), hurried, max_nodes=5, progress=said.append)
    assert set(learned.cut) >= {"DAgger", "the fits", "tuning"}
    loud = [line for line in said if line.startswith("CUT SHORT")]
    assert len(loud) == len(learned.cut)
    assert "the same seed may give another program" in loud[0]


def test_programs_played_together_are_played_as_alone() -> None:
    rollouts = Rollouts(PENDULUM, [3, 4, 5])
    programs = [pendulum("-9 * theta - 2 * omega"), pendulum("-theta"), pendulum("sin(omega)")]
    for program, episodes in zip(programs, rollouts.run_many(programs), strict=True):
        alone = rollouts.run(act_of(program))
        assert episodes.returns == pytest.approx(alone.returns, rel=1e-9)
        assert episodes.lengths.tolist() == alone.lengths.tolist()


@pytest.mark.slow
def test_a_mediocre_teacher_gives_a_nearly_optimal_short_program() -> None:
    teacher = Gains(7.5, 1.6, ripple=0.3)
    driven = Rollouts(PENDULUM, range(1_000_000, 1_001_000))
    assert driven.run(act_of(teacher)).mean < -0.13
    learned = learn_program(PENDULUM, teacher, seed=0)
    assert driven.run(act_of(learned.program)).mean >= -0.115
    assert learned.best.constants <= 3
    assert learned.best in learned.candidates
    assert learned.front.best().mean >= learned.best.selection_return
    printed = program_from_text(str(learned.program))
    assert printed == learned.program


@pytest.mark.slow
def test_a_task_without_a_model_gets_a_program_with_real_names() -> None:
    class Balance:
        def predict(self, observation: Any, *rest: Any, **more: Any) -> tuple[Any, None]:
            u = np.asarray(observation) @ np.array([[1.0], [20.0], [1.5], [3.0]])
            return np.clip(u, -3, 3).astype(np.float32), None

    task = replace(load_task("InvertedPendulum-v5"), model=None, binding=None)
    learned = learn_program(
        task, Balance(), Budget.of(batched=False, quick=True), selection_seeds=range(8), max_nodes=5
    )
    names = {i.name for i in learned.program.inputs}
    assert names == {"position", "angle", "velocity", "angular_velocity"}
    assert learned.best.selection_return == 1000


def test_as_many_episodes_count_as_tell_programs_apart() -> None:
    rng = np.random.default_rng(0)
    merit, seeds = np.arange(12.0)[:, None], 100 * rng.standard_normal(64)
    assert enough(merit + seeds) == 1  # what a seed is worth to all of them is no luck
    some = enough(merit + seeds + 8 * rng.standard_normal((12, 64)))
    assert 8 < some < 40  # 4 * 64 / 13 = 20 in expectation
    assert enough(np.zeros((12, 1)) + rng.standard_normal((12, 64))) == 64
    assert enough(merit[:1] + seeds) == 64
    assert enough(np.full((3, 5), np.nan)) == 5


def test_the_search_plays_fewer_episodes_and_keeps_what_is_best_on_all_of_them() -> None:
    task = load_task("CartPole-v1").unbound()
    template = blank(task)
    rollouts = Rollouts(task, range(3_000_000, 3_000_032))
    skeleton = parse("c0 * theta + c1 * omega")
    names = {"c0": hole(0), "c1": hole(1)}
    judge = Returns(template, [map_leaves(skeleton, lambda v: names.get(str(v), v))], rollouts)
    first, scale = np.array([0.0, 0.1]), np.array([1.0, 1.0])
    z, mean = search_constants(judge, first, scale, 0, 120, None, 0.5, 1e-9)
    assert rollouts.steps == judge.steps > 0
    assert mean == judge.means((first + scale * z)[None])[0] > 50
