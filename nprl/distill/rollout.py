"""Whole episodes from listed seeds: what imitation learns from, and what decides between programs.

With a model, one NumPy call steps all episodes; seed ``s`` starts the episode, and draws the
disturbances, that ``task.make().reset(seed=s)`` does, so two policies meet the same ones (common
random numbers). Without a model the environments are stepped one by one. No shield acts here. For a
foreign environment with a model it is the model that is rolled out, which serves to choose and is
no evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding
from numpy.typing import NDArray

from nprl.distill.machine import Machine, machine_module
from nprl.distill.simulated import SimulatedMachine, simulated_machine
from nprl.distill.workers import play_all
from nprl.env.plant import Plant
from nprl.env.policy import Policy as Policy
from nprl.env.sampling import Uniform
from nprl.env.spaces import observation_space
from nprl.env.task import Task
from nprl.lang.floats import compile_batch
from nprl.lang.terms import Term
from nprl.model import Coordinate
from nprl.program import Input, Program, program_for
from nprl.search.constants import ZERO, fill, hole, simplify

Floats = NDArray[np.float64]
Act = Callable[[Floats], NDArray[Any]]
"""From observations (n, d) to the environment's actions: (n, m), or (n,) indices."""
BEYOND = Fraction(1, 20)
"""How far outside the initial box an episode begins that is at its worst, in units of its half.

A proof needs room: what is only just safe has none.
"""
LANDER = (
    *(("x", ""), ("y", ""), ("vx", ""), ("vy", ""), ("angle", "rad")),
    *(("angular_velocity", ""), ("left_leg", ""), ("right_leg", "")),
)
NAMES: dict[str, tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]] = {
    "InvertedPendulum": (
        (("position", "m"), ("angle", "rad"), ("velocity", "m/s"), ("angular_velocity", "rad/s")),
        (("force", "100 N"),),
    ),
    "InvertedDoublePendulum": (
        (
            ("position", "m"),
            ("sin1", ""),
            ("sin2", ""),
            ("cos1", ""),
            ("cos2", ""),
            ("velocity", "m/s"),
            ("angular_velocity1", "rad/s"),
            ("angular_velocity2", "rad/s"),
            ("push", "N"),
        ),
        (("force", "500 N"),),
    ),
    "CartPole": (
        (("position", "m"), ("velocity", "m/s"), ("angle", "rad"), ("angular_velocity", "rad/s")),
        (("push", ""),),
    ),
    "MountainCar": ((("position", ""), ("velocity", "")), (("push", ""),)),
    "MountainCarContinuous": ((("position", ""), ("velocity", "")), (("force", ""),)),
    "Pendulum": ((("x", ""), ("y", ""), ("omega", "rad/s")), (("torque", "N m"),)),
    "LunarLander": (LANDER, (("engine", ""),)),
    "LunarLanderContinuous": (LANDER, (("main", ""), ("side", ""))),
}
"""Names and units of observations and actions where there is no model, by id without version."""


def act_of(policy: Policy) -> Act:
    """The deterministic actions of a policy without memory.

    Raises:
        ValueError: for a program with registers, which `Rollouts.run_many` plays.
    """
    if isinstance(policy, Program) and policy.registers:
        raise ValueError(f"{policy.name} has memory: play it by Rollouts.run_many")
    return lambda observations: np.asarray(policy.predict(observations, deterministic=True)[0])


def blank(task: Task, scores: bool = False) -> Program:
    """The program of ``task`` whose terms are all 0: names, units and bounds, for `with_terms`.

    With ``scores`` it has a term for each of finitely many actions; else one for each output.

    Raises:
        ValueError: for observations that are no vector, or actions that are neither a bounded box
            nor an index; for ``scores`` where the actions are no index.
    """
    program = _blank(task)
    if not scores:
        return program
    if program.choices is None:
        raise ValueError(f"{task.name}: scores are of finitely many actions; these are a box")
    return replace(program, output=(ZERO,) * len(program.choices), scores=True)


def _blank(task: Task) -> Program:
    if task.rolled is not None:
        return program_for(task.rolled, [ZERO] * len(task.rolled.action), task.name)
    env = task.make()
    try:
        seen, acted = env.observation_space, env.action_space
    finally:
        env.close()
    if not isinstance(seen, spaces.Box) or len(seen.shape) != 1:
        raise ValueError(f"{task.name}: programs read a vector; got observations {seen}")
    d = seen.shape[0]
    known = NAMES.get(task.name.split(":")[-1].rpartition("-v")[0])
    choices: tuple[tuple[Fraction, ...], ...] | None = None
    if isinstance(acted, spaces.Discrete) and acted.n > 1:
        first = int(acted.start)
        if first != 0:
            raise ValueError(f"{task.name}: indices of actions start at 0; got {first}")
        ends = [(Fraction(0), Fraction(int(acted.n) - 1))]
        choices = tuple((Fraction(k),) for k in range(int(acted.n)))
    elif isinstance(acted, spaces.Box) and len(acted.shape) == 1 and acted.is_bounded():
        low, high = acted.low.astype(np.float64).tolist(), acted.high.astype(np.float64).tolist()
        ends = [(Fraction(a), Fraction(b)) for a, b in zip(low, high, strict=True)]
    else:
        raise ValueError(
            f"{task.name}: programs answer a bounded vector or an index; got actions {acted}"
        )
    around = task.simulated()
    if known is None and around is not None:
        seen_names = zip((o.name for o in around.observation), around.units, strict=True)
        known = tuple(seen_names), tuple((c.name, c.unit) for c in around.action)
    inputs, outputs = known or ((), ())
    if len(inputs) != d:
        inputs = tuple((f"o{k}", "") for k in range(d))
    if len(outputs) != len(ends):
        outputs = tuple((f"u{k}", "") for k in range(len(ends)))
    return Program(
        name=task.name,
        inputs=tuple(Input(*i) for i in inputs),
        outputs=tuple(Coordinate(*o, *e) for o, e in zip(outputs, ends, strict=True)),
        output=(ZERO,) * len(ends),
        scaled=False,
        choices=choices,
    )


def with_terms(program: Program, terms: Sequence[Term]) -> Program:
    """``program`` with other `Program.terms`."""
    split = len(program.output)
    updates = zip(program.registers, terms[split:], strict=True)
    held = tuple(replace(r, update=t) for r, t in updates)
    return replace(program, output=tuple(terms[:split]), registers=held)


def _for_machine(program: Program, terms: Sequence[Term]) -> Sequence[Term]:
    """What machine code computes of them: it clips outputs, and chooses the nearest, itself."""
    return program.applied(terms) if program.scores or program.registers else terms


def units_of(program: Program, actions: NDArray[Any]) -> Floats:
    """Actions of the environment that ``program`` is for, in units, shape (n, outputs)."""
    if program.choices is not None:
        table = np.asarray([[float(v) for v in c] for c in program.choices])
        return np.asarray(table[np.asarray(actions, dtype=np.int64).reshape(len(actions))])
    low = np.asarray([float(c.low) for c in program.outputs])
    high = np.asarray([float(c.high) for c in program.outputs])
    a = np.asarray(actions, dtype=np.float64).reshape(len(actions), len(low))
    if program.scaled:
        a = (low + high) / 2 + (high - low) / 2 * np.clip(a, -1.0, 1.0)
    return np.clip(a, low, high)


@dataclass(frozen=True, slots=True)
class Episodes:
    """Returns (n,), lengths (n,) and, if recorded, the observations met, (steps, d)."""

    returns: Floats
    lengths: NDArray[np.int64]
    observations: Floats | None

    @property
    def mean(self) -> float:
        """The mean return."""
        return float(self.returns.mean())

    @property
    def error(self) -> float:
        """The standard error of the mean return; 0 for one episode."""
        n = len(self.returns)
        return float(self.returns.std(ddof=1) / np.sqrt(n)) if n > 1 else 0.0


def _wider(ends: tuple[Fraction, Fraction]) -> tuple[Fraction, Fraction]:
    low, high = ends
    more = (high - low) / 2 * BEYOND
    return low - more, high + more


class Rollouts:
    """Episodes of ``task`` from ``seeds``; each call of `run` plays the same ones.

    The reward is the environment's, penalties included: a program that leaves the safe set is not
    chosen for it.
    """

    def __init__(self, task: Task, seeds: Sequence[int], jobs: int = 1) -> None:
        """Draw every start and disturbance once; without a model, ``jobs`` workers play programs.

        Raises:
            ValueError: without seeds.
        """
        self.task, self._jobs = task, jobs
        model = task.rolled
        self._plant: Plant | None = None
        self._machine: Machine | SimulatedMachine | None = None
        self._module: Any = None
        if model is None:
            self._machine = simulated_machine(task, seeds, jobs)
        else:
            self._plant = Plant(model, native=True)
            box = observation_space(model)
            self._low, self._high = box.low, box.high
            self._module = machine_module(model, own=task.is_own, rounded=task.twin is not None)
        self._draw(seeds)

    def seeded(self, seeds: Sequence[int]) -> Rollouts:
        """Episodes of the same task from other seeds; steps are counted anew.

        Raises:
            ValueError: without seeds.
        """
        other = copy(self)
        if isinstance(self._machine, SimulatedMachine):
            other._machine = self._machine.seeded(seeds)
        other._draw(seeds)
        return other

    def _draw(self, seeds: Sequence[int]) -> None:
        if not seeds:
            raise ValueError("at least one seed is needed")
        self.seeds = tuple(int(s) for s in seeds)
        self.steps = 0
        """Environment steps so far."""
        self._envs: list[Any] = []
        if self._plant is None:
            return
        model, horizon = self._plant.model, self.task.horizon
        start = Uniform([model.init[n] for n in model.state_names], model.arithmetic.state)
        beyond = Uniform([_wider(model.init[n]) for n in model.state_names], model.arithmetic.state)
        noise = Uniform([(c.low, c.high) for c in model.disturbance])
        begun, drawn = [], []
        for k, seed in enumerate(self.seeds):
            g = seeding.np_random(seed)[0]
            first, rest = g.random(start.dim), g.random((horizon, noise.dim))
            if self.task.stressed and k % 2:
                held = int(horizon ** g.random())  # steps for which a disturbance stays
                rest = np.round(rest)[np.arange(horizon) // held * held]
                begun.append(beyond.place(np.round(first)))
            else:
                begun.append(start.place(first))
            drawn.append(noise.place(rest))
        self._starts, self._noise = np.stack(begun), np.stack(drawn, axis=1)
        if self._module is not None:
            self._machine = Machine(self._module, self._starts, self._noise, horizon)

    def run(
        self, act: Act, copies: int = 1, record: bool = False, in_units: bool = False
    ) -> Episodes:
        """Play each seed ``copies`` times: row ``k * len(seeds) + i`` is seed i for the k-th time.

        With a model ``act`` gets all rows at every step, also of episodes that ended; else those
        that go on. ``in_units``, with a model only, says that it answers in units, inside the
        bounds.

        Raises:
            ValueError: for copies of, or units in, a task without a model.
        """
        if self._plant is not None:
            return self._batched(self._plant, act, copies, record, in_units)
        if copies != 1 or in_units:
            raise ValueError("a task without a model plays one copy at a time, by its own actions")
        return self._single(act, record)

    def run_many(self, programs: Sequence[Program]) -> list[Episodes]:
        """`run` for each of several programs; with a model in one batch, on the same episodes."""
        if not self.batched:
            rows = play_all(self.task, programs, self.seeds, self._jobs)
            found = [np.asarray(row, dtype=np.float64).T for row in rows]
            self.steps += int(sum(lengths.sum() for _, lengths in found))
            return [Episodes(r, lengths.astype(np.int64), None) for r, lengths in found]
        none = np.empty((1, 0))
        if isinstance(self._machine, SimulatedMachine):
            plays = [
                (_for_machine(p, p.terms), [i.name for i in p.inputs], none, p.registers)
                for p in programs
            ]
            many = self._machine.play_all(plays)
            self.steps += int(sum(lengths.sum() for _, lengths in many))
            return [Episodes(returns[0], lengths[0], None) for returns, lengths in many]
        return [
            Episodes(returns[0], lengths[0], None)
            for returns, lengths in (self.settings(p, p.terms, none) for p in programs)
        ]

    def settings(
        self, program: Program, skeletons: Sequence[Term], table: Floats
    ) -> tuple[Floats, NDArray[np.int64]]:
        """Returns and lengths (s, n) with ``skeletons`` as the `Program.terms` of ``program``.

        The rows of ``table`` (s, h) are the values of their holes ``c:0`` to ``c:h-1``.
        """
        if self._machine is not None:
            terms, names = _for_machine(program, skeletons), [i.name for i in program.inputs]
            returns, lengths = self._machine.play(terms, names, table, program.registers)
            self.steps += int(lengths.sum())
            return returns, lengths
        s, n = len(table), len(self.seeds)
        if not self.batched:
            filled = [[Fraction(v) for v in row] for row in table.tolist()]
            programs = [
                with_terms(program, [simplify(fill(t, row)) for t in skeletons]) for row in filled
            ]
            played = self.run_many(programs)
            return np.stack([e.returns for e in played]), np.stack([e.lengths for e in played])
        holes = [hole(k).name for k in range(table.shape[1])]
        names = [i.name for i in program.inputs]
        held, split = [r.name for r in program.registers], len(program.outputs)
        run = compile_batch(program.applied(skeletons), [names, held, holes])
        rows, plain = np.repeat(table, n, axis=0), program.choices is None
        memory = np.tile(np.asarray(program.initial), (s * n, 1))

        def act(observations: Floats) -> NDArray[Any]:
            nonlocal memory
            found = run(observations, memory, rows)
            values = np.stack([np.broadcast_to(v, len(observations)) for v in found], axis=1)
            units, memory = values[:, :split], values[:, split:]
            return units if plain else program.to_action(units)

        whole = self.run(act, copies=s, in_units=plain)
        return whole.returns.reshape(s, n), whole.lengths.reshape(s, n)

    @property
    def batched(self) -> bool:
        """Whether programs are played many at once, in machine code or in batches."""
        return self._plant is not None or self._machine is not None

    @property
    def compiled(self) -> bool:
        """Whether programs are played in machine code."""
        return self._machine is not None

    def _batched(
        self, plant: Plant, act: Act, copies: int, record: bool, in_units: bool
    ) -> Episodes:
        model, own = plant.model, self.task.is_own
        x = np.tile(self._starts, (copies, 1))
        n = len(x)
        returns, lengths = np.zeros(n), np.zeros(n, dtype=np.int64)
        alive = np.ones(n, dtype=np.bool_)
        seen: list[Floats] = []
        penalty = None if model.unsafe_reward is None else float(model.unsafe_reward)
        for t in range(self.task.horizon):
            obs = np.minimum(np.maximum(plant.observe_batch(x), self._low), self._high)
            if self.task.twin is not None:  # as Gymnasium's own environments round them
                obs = obs.astype(np.float32).astype(np.float64)
            if record:
                seen.append(obs[alive])
            actions = act(obs)
            units = actions if in_units else plant.actions.to_units_batch(actions)
            noise = np.tile(self._noise[t], (copies, 1))
            after, reward, safe, terminal = plant.advance_batch(x, units, noise)
            if own and penalty is not None:
                reward = np.where(safe, reward, penalty)
            returns += np.where(alive, reward, 0.0)
            lengths += alive
            ended = ~safe if own else np.zeros(n, dtype=np.bool_)
            if terminal is not None:
                ended = ended | terminal
            if ended.any():
                alive &= ~ended
                if not alive.any():
                    break
            x = after if alive.all() else np.where(alive[:, None], after, x)
        self.steps += int(lengths.sum())
        return Episodes(returns, lengths, np.concatenate(seen) if record else None)

    def _single(self, act: Act, record: bool) -> Episodes:
        if not self._envs:
            self._envs = [self.task.make() for _ in self.seeds]
        n = len(self.seeds)
        returns, lengths = np.zeros(n), np.zeros(n, dtype=np.int64)
        obs = [e.reset(seed=s)[0] for e, s in zip(self._envs, self.seeds, strict=True)]
        alive, seen = list(range(n)), []
        while alive:
            now = np.asarray([obs[i] for i in alive], dtype=np.float64)
            if record:
                seen.append(now)
            actions, going = act(now), []
            for i, action in zip(alive, actions, strict=True):
                obs[i], reward, terminated, truncated, _ = self._envs[i].step(action)
                returns[i] += float(reward)
                lengths[i] += 1
                if not terminated and not truncated:
                    going.append(i)
            alive = going
        self.steps += int(lengths.sum())
        return Episodes(returns, lengths, np.concatenate(seen) if record else None)

    def close(self) -> None:
        """Close the environments of a task without a model."""
        for env in self._envs:
            env.close()
        self._envs = []
