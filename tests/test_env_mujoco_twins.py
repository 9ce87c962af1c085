"""Episodes of MuJoCo's environments in machine code are those that Gymnasium's own code plays."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import ClipAction

import nprl.distill.simulated as simulated_module
from nprl.distill.rollout import Rollouts, act_of, blank, with_terms
from nprl.distill.simulated import SimulatedMachine, simulated_machine
from nprl.distill.workers import play
from nprl.env.task import Task, load_task
from nprl.envs.mujoco_twins import simulated
from nprl.lang.native import compiler
from nprl.lang.terms import Num, Var
from nprl.lang.text import parse
from nprl.program import Program
from nprl.search.constants import decimal, hole, linear

ENVS = ("Swimmer", "HalfCheetah", "Hopper", "Walker2d", "InvertedPendulum")
OTHERS = ("InvertedDoublePendulum", "Reacher", pytest.param("Ant", marks=pytest.mark.slow))
"""With functions that NumPy computes its own way, or sums of many terms."""
STANDING = "1.4 * position + 9 * angle + 0.8 * velocity + 1.8 * angular_velocity"
needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C compiler")


def short(name: str, horizon: int = 120) -> Task:
    """The task, with episodes of so many steps at most."""
    task = load_task(f"{name}-v5").unbound()
    return Task(task.name, task.env_id, horizon, None, None, {"max_episode_steps": horizon})


def affine(task: Task, scale: float, seed: int) -> Program:
    """A random affine program."""
    template, rng = blank(task), np.random.default_rng(seed)
    features = [*(Var(i.name) for i in template.inputs), Num(decimal(1, 1))]
    return with_terms(
        template,
        [
            linear([decimal(v, 4) for v in scale * rng.normal(size=len(features))], features)
            for _ in template.outputs
        ],
    )


def programs(task: Task) -> list[Program]:
    """From still to wild."""
    return [affine(task, scale, k) for k, scale in enumerate((0.001, 0.05, 0.3, 2.0))]


@needs_compiler
@pytest.mark.parametrize("name", [*ENVS, *OTHERS])
def test_compiled_episodes_return_what_the_environment_returns(name: str) -> None:
    task, seeds = short(name), [3, 1_000_007]
    rollouts, some = Rollouts(task, seeds), programs(short(name))
    assert isinstance(rollouts._machine, SimulatedMachine)
    played = rollouts.run_many(some)
    for program, episodes in zip(some, played, strict=True):
        expected = play(task, program, seeds)
        assert episodes.lengths.tolist() == [length for _, length in expected]
        returns = [total for total, _ in expected]
        if name in ENVS:
            assert episodes.returns.tolist() == returns
        else:
            assert episodes.returns == pytest.approx(returns, rel=1e-9)
    ended = any((e.lengths < task.horizon).any() for e in played)
    assert ended or name in ("Swimmer", "HalfCheetah", "Reacher")
    assert rollouts.steps == sum(int(e.lengths.sum()) for e in played)


@needs_compiler
def test_an_episode_that_stands_is_truncated_at_the_horizon() -> None:
    task = load_task("InvertedPendulum-v5").unbound()
    program = with_terms(blank(task), [parse(STANDING)])
    episodes = Rollouts(task, [5]).run_many([program])[0]
    assert episodes.returns.tolist() == [1000.0]
    assert play(task, program, [5]) == [(1000.0, 1000)]


@needs_compiler
def test_settings_of_holes_and_threads_make_no_difference() -> None:
    task = short("Hopper")
    template, rng = blank(task), np.random.default_rng(0)
    first = Var(template.inputs[0].name)
    skeletons = [hole(2 * k) * first + hole(2 * k + 1) for k in range(len(template.outputs))]
    table = rng.normal(size=(5, 6))
    one, three = (Rollouts(task, range(4), jobs) for jobs in (1, 3))
    alone, spread = (r.settings(template, skeletons, table) for r in (one, three))
    assert [a.tobytes() for a in alone] == [a.tobytes() for a in spread]
    few, many = (r.run_many(programs(task)[:1]) for r in (one, three))
    assert few[0].returns.tobytes() == many[0].returns.tobytes()
    assert one.steps == three.steps > 0


@needs_compiler
def test_the_numbers_are_those_of_the_environment_that_is_given() -> None:
    kwargs = {"ctrl_cost_weight": 3.0, "healthy_reward": 0.25, "frame_skip": 2}
    plain = short("Hopper")
    task = Task(plain.name, plain.env_id, 120, None, None, {"max_episode_steps": 120, **kwargs})
    program = affine(plain, 0.3, 2)
    returns = [Rollouts(t, [0, 1]).run_many([program])[0].returns.tolist() for t in (plain, task)]
    assert returns[0] != returns[1]
    for t, found in zip((plain, task), returns, strict=True):
        assert found == [total for total, _ in play(t, program, [0, 1])]


@needs_compiler
def test_a_policy_object_plays_the_environment_and_returns_the_same() -> None:
    rollouts, program = Rollouts(short("Swimmer"), [0]), affine(short("Swimmer"), 0.3, 1)
    assert rollouts.batched
    played = rollouts.run(act_of(program), record=True)
    assert played.returns == pytest.approx(rollouts.run_many([program])[0].returns, rel=1e-6)
    assert played.observations is not None
    assert played.observations.shape == (120, 8)
    rollouts.close()


def test_without_a_compiler_the_environments_are_played(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated_module, "compiler", lambda: None)
    task = short("HalfCheetah", 20)
    rollouts, program = Rollouts(task, [0]), affine(task, 0.3, 1)
    assert not rollouts.batched
    episodes = rollouts.run_many([program])[0]
    assert episodes.returns.tolist() == [total for total, _ in play(task, program, [0])]


@needs_compiler
def test_a_machine_that_differs_from_its_environment_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    simulated_module._module.cache_clear()
    monkeypatch.setattr(simulated_module, "STEPS", simulated_module.STEPS.replace("k < ", "k <= "))
    assert simulated_machine(short("Swimmer"), [0], 1) is None
    simulated_module._module.cache_clear()


def test_a_wrapped_or_unknown_environment_has_no_twin() -> None:
    env = gym.make("Swimmer-v5")
    assert simulated(env) is not None
    assert simulated(ClipAction(env)) is None
    assert simulated(gym.make("CartPole-v1")) is None


def test_names_and_units_are_those_of_the_joints() -> None:
    program = blank(load_task("HalfCheetah-v5"))
    assert [(i.name, i.unit) for i in program.inputs[:2]] == [("rootz", "m"), ("rooty", "rad")]
    assert program.inputs[-1].name == "ffoot_velocity"
    assert (program.outputs[0].name, program.outputs[0].unit) == ("bthigh_torque", "120 N m")
