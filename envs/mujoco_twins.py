"""Gymnasium's MuJoCo environments around their physics: what is seen, rewarded, and ends an episode.

The physics stays MuJoCo's. What an environment does with it is stated here once, as terms over the
quantities of MuJoCo's ``mjData``, named by field and index (``qpos0``, ``site_xpos2``); so whole
episodes run in machine code (`nprl.distill.simulated`). The numbers are those of the environment
that is given. As with the other twins (`nprl.envs.twins`) it serves to search and nothing else;
``tests/test_env_mujoco_twins.py`` compares each with its environment.

Source: Gymnasium, ``mujoco``, version 5 of each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction as F
from typing import Any, TypeVar

import gymnasium as gym
import mujoco
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit

from nprl.lang.build import absolute, all_of, clip, cos, sin, sqrt, where
from nprl.lang.terms import Formula, Not, Num, Term, Truth, Var, replace, variables
from nprl.lang.writer import MAX
from nprl.model import NEXT, Coordinate, Observation

PLAIN = (PassiveEnvChecker, OrderEnforcing, TimeLimit)
"""Wrappers that change no step."""
NEVER = Truth(False)
FASTEST = 10
"""Where several environments clip velocities and forces in what they show."""
QUANTITY = re.compile(r"([a-z_]+)([0-9]+)")
Either = TypeVar("Either", Term, Formula)
Shown = tuple[str, str, Term]
"""Name, unit and value of an observation."""


@dataclass(frozen=True, slots=True, eq=False)
class Simulated:
    """An environment of MuJoCo: its physics, and the terms around it.

    ``reward_term`` is over the quantities before a step, the actions, and the quantities after it
    (named ``next_...``); ``terminal`` and what is observed are over those of one moment. The names
    are those of `nprl.model.Model`; there are no disturbances and no choices.
    """

    env: gym.Env[Any, Any]
    """The environment itself, which draws the starts."""
    observation: tuple[Observation, ...]
    units: tuple[str, ...]
    """Of the observations."""
    action: tuple[Coordinate, ...]
    reward_term: Term
    terminal: Formula = NEVER

    @property
    def model(self) -> Any:
        """The ``mjModel``."""
        return self.env.unwrapped.model  # type: ignore[attr-defined]

    @property
    def frame_skip(self) -> int:
        """Steps of MuJoCo in one of the environment."""
        return int(self.env.unwrapped.frame_skip)  # type: ignore[attr-defined]

    @property
    def state_names(self) -> tuple[str, ...]:
        """The quantities that the terms read."""
        used = variables(self.reward_term) | variables(self.terminal)
        used = used.union(*(variables(o.value) for o in self.observation))
        return tuple(sorted({name.removeprefix(NEXT) for name in used - set(self.action_names)}))

    @property
    def action_names(self) -> tuple[str, ...]:
        """The names of the actions."""
        return tuple(c.name for c in self.action)

    def start(self, seed: int) -> tuple[list[float], list[float]]:
        """The positions and velocities that the environment's reset with this seed begins at."""
        self.env.reset(seed=seed)
        data = self.env.unwrapped.data  # type: ignore[attr-defined]
        return data.qpos.tolist(), data.qvel.tolist()


def place(quantity: str) -> tuple[str, int]:
    """The field of ``mjData`` and the index in it that a name means."""
    found = QUANTITY.fullmatch(quantity)
    assert found is not None, quantity
    return found[1], int(found[2])


def simulated(env: gym.Env[Any, Any]) -> Simulated | None:
    """The twin of an environment; None for one that is not known, or is wrapped in more."""
    inner: Any = env
    while type(inner) in PLAIN:
        inner = inner.env
    build = TWINS.get(f"{type(inner).__module__}.{type(inner).__qualname__}")
    return None if build is None else build(env, inner)


def _runner(env: gym.Env[Any, Any], u: Any) -> Simulated:
    shown = _joints(u, u.observation_structure["skipped_qpos"])
    return _stated(env, u, shown, _forward(u) - _effort(u))


def _hopper(env: gym.Env[Any, Any], u: Any) -> Simulated:
    low, high = u._healthy_state_range
    state = [*_qpos(u)[2:], *_qvel(u)]
    return _legged(env, u, [_between(v, low, high) for v in state])


def _walker(env: gym.Env[Any, Any], u: Any) -> Simulated:
    return _legged(env, u, [])


def _legged(env: gym.Env[Any, Any], u: Any, more: Sequence[Formula]) -> Simulated:
    """A walker in a plane, which has to be at a height and an angle, and ``more``."""
    ranges = u._healthy_z_range, u._healthy_angle_range
    stands = [_between(v, *r) for v, r in zip(_qpos(u)[1:3], ranges, strict=True)]
    shown = _joints(u, u.observation_structure["skipped_qpos"], FASTEST)
    return _surviving(env, u, shown, all_of(*more, *stands), _forward(u), _effort(u))


def _ant(env: gym.Env[Any, Any], u: Any) -> Simulated:
    low, high = u._healthy_z_range
    height = _qpos(u)[2]
    stands = all_of(
        *map(_finite, [*_qpos(u), *_qvel(u)]), height >= _num(low), height <= _num(high)
    )
    ends = [_num(v) for v in u._contact_force_range]
    forces = [clip(Var(f"cfrc_ext{k}"), *ends) for k in range(u.data.cfrc_ext.size)]
    shown = _joints(u, u.observation_structure["skipped_qpos"])
    if u._include_cfrc_ext_in_observation:
        shown += [(f"force{k}", "", f) for k, f in enumerate(forces)][6:]
    contact = _num(u._contact_cost_weight) * _sum(_after(f) ** 2 for f in forces)
    body = u.model.body(u._main_body).id
    return _surviving(env, u, shown, stands, _forward(u, f"xpos{3 * body}"), _effort(u) + contact)


def _pendulum(env: gym.Env[Any, Any], u: Any) -> Simulated:
    angle = _qpos(u)[1]
    up = all_of(*map(_finite, [*_qpos(u), *_qvel(u)]), absolute(angle) <= _num(0.2))
    return _stated(env, u, _joints(u), where(_after(up), 1, 0), Not(up))


def _double_pendulum(env: gym.Env[Any, Any], u: Any) -> Simulated:
    x, y = Var("next_site_xpos0"), Var("next_site_xpos2")
    v1, v2 = (_after(v) for v in _qvel(u)[1:3])
    low = Var("site_xpos2") <= 1
    alive = _num(u._healthy_reward) * where(_after(low), 0, 1)
    away = _num(0.01) * x**2 + (y - 2) ** 2
    reward = alive - away - (_num(1e-3) * v1**2 + _num(5e-3) * v2**2)
    cart, *angles = _qpos(u)
    shown = [("position", "m", cart)]
    for name, of in (("sin", sin), ("cos", cos)):
        shown += [(f"{name}{k}", "", of(angle)) for k, angle in enumerate(angles, 1)]
    shown += _joints(u, u.model.nq, FASTEST)
    push = clip(Var("qfrc_constraint0"), -FASTEST, FASTEST)
    return _stated(env, u, [*shown, ("push", "N", push)], reward, low)


def _reacher(env: gym.Env[Any, Any], u: Any) -> Simulated:
    first, second = (3 * u.model.body(name).id for name in ("fingertip", "target"))
    apart = [Var(f"xpos{first + k}") - Var(f"xpos{second + k}") for k in range(3)]
    distance = sqrt(_sum(_after(a) ** 2 for a in apart))
    reward = -distance * _num(u._reward_dist_weight) - _num(u._reward_control_weight) * _squares(u)
    arm, goal = _qpos(u)[:2], _qpos(u)[2:]
    shown: list[Shown] = [(f"cos{k}", "", cos(a)) for k, a in enumerate(arm)]
    shown += [(f"sin{k}", "", sin(a)) for k, a in enumerate(arm)]
    shown += [(f"target_{n}", "m", g) for n, g in zip("xy", goal, strict=True)]
    shown += [(f"omega{k}", "rad/s", v) for k, v in enumerate(_qvel(u)[:2])]
    shown += [(f"away_{n}", "m", a) for n, a in zip("xy", apart[:2], strict=True)]
    return _stated(env, u, shown, reward)


_HERE = "gymnasium.envs.mujoco"
TWINS: dict[str, Callable[[gym.Env[Any, Any], Any], Simulated]] = {
    f"{_HERE}.swimmer_v5.SwimmerEnv": _runner,
    f"{_HERE}.half_cheetah_v5.HalfCheetahEnv": _runner,
    f"{_HERE}.hopper_v5.HopperEnv": _hopper,
    f"{_HERE}.walker2d_v5.Walker2dEnv": _walker,
    f"{_HERE}.ant_v5.AntEnv": _ant,
    f"{_HERE}.inverted_pendulum_v5.InvertedPendulumEnv": _pendulum,
    f"{_HERE}.inverted_double_pendulum_v5.InvertedDoublePendulumEnv": _double_pendulum,
    f"{_HERE}.reacher_v5.ReacherEnv": _reacher,
}
"""By the environment's class; its id and its arguments may be any."""


def _stated(
    env: gym.Env[Any, Any],
    u: Any,
    shown: Sequence[Shown],
    reward: Term,
    terminal: Formula = NEVER,
) -> Simulated:
    low, high = u.action_space.low.tolist(), u.action_space.high.tolist()
    return Simulated(
        env=env,
        observation=tuple(Observation(name, value) for name, _, value in shown),
        units=tuple(unit for _, unit, _ in shown),
        action=tuple(
            Coordinate(*name, F(a), F(b)) for name, a, b in zip(_actions(u), low, high, strict=True)
        ),
        reward_term=reward,
        terminal=terminal,
    )


def _surviving(
    env: gym.Env[Any, Any],
    u: Any,
    shown: Sequence[Shown],
    healthy: Formula,
    forward: Term,
    costs: Term,
) -> Simulated:
    """What is rewarded for being healthy, and may end where it is not."""
    bonus = where(_after(healthy), _num(u._healthy_reward), 0)
    ends = Not(healthy) if u._terminate_when_unhealthy else NEVER
    return _stated(env, u, shown, forward + bonus - costs, ends)


def _joints(u: Any, skipped: int = 0, fastest: int | None = None) -> list[Shown]:
    """The positions, without the first ones, and the velocities, clipped, by the joints' names."""
    m, at, speeds = u.model, list[Shown](), list[Shown]()
    for j in range(m.njnt):
        name, kind = m.joint(j).name or f"joint{j}", mujoco.mjtJoint(m.jnt_type[j])
        coordinates, rates, unit = JOINTS[kind]
        at += [(f"{name}{c}", unit, Var(f"qpos{len(at) + k}")) for k, c in enumerate(coordinates)]
        for c in rates:
            v: Term = Var(f"qvel{len(speeds)}")
            v = v if fastest is None else clip(v, -fastest, fastest)
            speeds.append((f"{name}_velocity{c}", f"{unit}/s" if unit else "", v))
    return at[skipped:] + speeds


JOINTS = {
    mujoco.mjtJoint.mjJNT_HINGE: (("",), ("",), "rad"),
    mujoco.mjtJoint.mjJNT_SLIDE: (("",), ("",), "m"),
    mujoco.mjtJoint.mjJNT_BALL: (range(4), range(3), ""),
    mujoco.mjtJoint.mjJNT_FREE: (range(7), range(6), ""),
}
"""What is added to a joint's name for each of its coordinates and velocities, and the unit."""


def _actions(u: Any) -> list[tuple[str, str]]:
    """Name and unit of each actuator: what it drives a joint by."""
    m, result = u.model, list[tuple[str, str]]()
    for k in range(m.nu):
        joint, gear = int(m.actuator_trnid[k, 0]), float(m.actuator_gear[k, 0])
        kind = mujoco.mjtJoint(m.jnt_type[joint])
        drives, unit = ("force", "N") if kind == mujoco.mjtJoint.mjJNT_SLIDE else ("torque", "N m")
        result.append((f"{m.joint(joint).name or f'joint{joint}'}_{drives}", f"{gear:g} {unit}"))
    return result


def _qpos(u: Any) -> list[Term]:
    return [Var(f"qpos{k}") for k in range(u.model.nq)]


def _qvel(u: Any) -> list[Term]:
    return [Var(f"qvel{k}") for k in range(u.model.nv)]


def _forward(u: Any, along: str = "qpos0") -> Term:
    """What is rewarded for the mean velocity of a step."""
    x: Term = Var(along)
    return _num(u._forward_reward_weight) * ((_after(x) - x) / _num(u.dt))


def _effort(u: Any) -> Term:
    return _num(u._ctrl_cost_weight) * _squares(u)


def _squares(u: Any) -> Term:
    return _sum(Var(name) ** 2 for name, _ in _actions(u))


def _sum(terms: Iterable[Term]) -> Term:
    first, *others = terms
    return sum(others, first)


def _after(node: Either) -> Either:
    """The same of the quantities after a step."""
    return replace(node, {Var(name): Var(NEXT + name) for name in variables(node)})


def _between(v: Term, low: float, high: float) -> Formula:
    """Strictly between; a NaN is not."""
    return all_of(*([v > _num(low)] if low > -MAX else []), v < _num(min(high, MAX)))


def _finite(v: Term) -> Formula:
    return absolute(v) <= _num(MAX)


def _num(value: float) -> Num:
    """Exactly this float."""
    return Num(F(float(value)))
