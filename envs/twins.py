"""Twins: Gymnasium's classic-control environments, with all their resets, as models.

A twin steps thousands of episodes at once, which is what a search for programs needs. It is a model
to search on and nothing else: no statement is proved about it, and what a program returns is
reported of the environment itself. Each is compared with its environment, step by step
(``tests/test_env_twins.py``); the observation is what the environment gives before it is rounded to
float32.

Source: Gymnasium, ``classic_control``.
"""

from __future__ import annotations

import math
from fractions import Fraction as F

from nprl.envs import cartpole
from nprl.lang.build import clip, cos, sin, where
from nprl.lang.terms import Term, Truth, Var
from nprl.model import Arithmetic, Coordinate, Model, Observation

ANYWHERE = Truth(True)
FLOAT64, FLOAT32 = Arithmetic(scaled=False), Arithmetic(state="float32", scaled=False)
PI = F(math.pi)


def _wrapped(angle: Term) -> Term:
    """An angle of at most three half turns, in [-pi, pi]."""
    return where(angle > PI, angle - 2 * PI, where(angle < -PI, angle + 2 * PI, angle))


def _pendulum() -> Model:
    theta, omega, torque = Var("theta"), Var("omega"), Var("torque")
    speed = clip(omega + (15 * sin(theta) + 3 * torque) * F(0.05), -8, 8)
    return Model(
        name="Pendulum-v1",
        state=(Coordinate("theta", "rad", -PI, PI), Coordinate("omega", "rad/s", F(-8), F(8))),
        action=(Coordinate("torque", "N m", F(-2), F(2)),),
        step={theta: _wrapped(theta + speed * F(0.05)), omega: speed},
        init={theta: (-PI, PI), omega: (F(-1), F(1))},
        safe=ANYWHERE,
        observation=(
            Observation("x", cos(theta)),
            Observation("y", sin(theta)),
            Observation("omega", omega),
        ),
        reward=-(theta**2 + F(0.1) * omega**2 + F(0.001) * torque**2),
        horizon=200,
        integrator="semi-implicit Euler",
        arithmetic=FLOAT64,
    )


def _cartpole() -> Model:
    model = cartpole.MODEL
    position, angle = Var("x"), Var("theta")
    bent = (angle < -cartpole.MAX_ANGLE) | (angle > cartpole.MAX_ANGLE)
    return Model(
        name="CartPole-v1",
        state=model.state,
        action=model.action,
        step=model.step,
        init=dict.fromkeys(model.state_names, (F(-0.05), F(0.05))),
        safe=ANYWHERE,
        choices=((-cartpole.MAX_FORCE,), (cartpole.MAX_FORCE,)),
        terminal=(position < -cartpole.MAX_X) | (position > cartpole.MAX_X) | bent,
        reward=1,
        horizon=500,
        integrator="Euler",
        arithmetic=FLOAT64,
    )


def _car(power: F, action: Coordinate, choices: tuple[tuple[F, ...], ...] | None, goal: F) -> Model:
    """Both cars on the hill: with a force, or one of three pushes."""
    position, velocity, force = Var("position"), Var("velocity"), Var(action.name)
    fast = clip(velocity + force * power - F(0.0025) * cos(3 * position), F(-0.07), F(0.07))
    moved = clip(position + fast, F(-1.2), F(0.6))
    stopped = where((moved <= F(-1.2)) & (fast < 0), 0, fast)
    return Model(
        name="MountainCar-v0" if choices else "MountainCarContinuous-v0",
        state=(
            Coordinate("position", "", F(-1.2), F(0.6)),
            Coordinate("velocity", "", F(-0.07), F(0.07)),
        ),
        action=(action,),
        step={position: moved, velocity: stopped},
        init={position: (F(-0.6), F(-0.4)), velocity: (F(0), F(0))},
        safe=ANYWHERE,
        choices=choices,
        terminal=(position >= goal) & (velocity >= 0),
        reward=-1
        if choices
        else where((Var("next_position") >= goal) & (Var("next_velocity") >= 0), 100, 0)
        - F(0.1) * force**2,
        horizon=200 if choices else 999,
        arithmetic=FLOAT64 if choices else FLOAT32,
    )


def _acrobot() -> Model:
    names = ("theta1", "theta2", "omega1", "omega2")
    start: list[Term] = [Var(name) for name in names]
    torque = Var("torque")

    def slope(s: list[Term]) -> list[Term]:
        theta1, theta2, omega1, omega2 = s
        d1 = F(0.25) + (F(1.25) + cos(theta2)) + 2
        d2 = F(0.25) + F(0.5) * cos(theta2) + 1
        phi2 = F(4.9) * sin(theta1 + theta2)
        phi1 = (
            -F(0.5) * omega2**2 * sin(theta2)
            - omega2 * omega1 * sin(theta2)
            + F(14.7) * sin(theta1)
            + phi2
        )
        second = torque + d2 / d1 * phi1 - F(0.5) * omega1**2 * sin(theta2) - phi2
        second = second / (F(1.25) - d2**2 / d1)
        return [omega1, omega2, -(d2 * second + phi1) / d1, second]

    def ahead(dt: F, k: list[Term]) -> list[Term]:
        return [s + dt * v for s, v in zip(start, k, strict=True)]

    k1 = slope(start)
    k2 = slope(ahead(F(1, 10), k1))
    k3 = slope(ahead(F(1, 10), k2))
    k4 = slope(ahead(F(1, 5), k3))
    end = [
        s + F(1, 30) * (a + 2 * b + 2 * c + d)
        for s, a, b, c, d in zip(start, k1, k2, k3, k4, strict=True)
    ]
    theta1, theta2 = start[:2]
    return Model(
        name="Acrobot-v1",
        state=(
            *(Coordinate(name, "rad", -PI, PI) for name in names[:2]),
            *(
                Coordinate(n, "rad/s", -k * PI, k * PI)
                for n, k in zip(names[2:], (4, 9), strict=True)
            ),
        ),
        action=(Coordinate("torque", "N m", F(-1), F(1)),),
        step={
            "theta1": _wrapped(end[0]),
            "theta2": _wrapped(end[1]),
            "omega1": clip(end[2], -4 * PI, 4 * PI),
            "omega2": clip(end[3], -9 * PI, 9 * PI),
        },
        init=dict.fromkeys(names, (F(-0.1), F(0.1))),
        safe=ANYWHERE,
        choices=((F(-1),), (F(0),), (F(1),)),
        terminal=-cos(theta1) - cos(theta2 + theta1) > 1,
        observation=(
            Observation("cos1", cos(theta1)),
            Observation("sin1", sin(theta1)),
            Observation("cos2", cos(theta2)),
            Observation("sin2", sin(theta2)),
            Observation("omega1", start[2]),
            Observation("omega2", start[3]),
        ),
        reward=where(
            -cos(Var("next_theta1")) - cos(Var("next_theta2") + Var("next_theta1")) > 1, 0, -1
        ),
        horizon=500,
        integrator="RK4",
        arithmetic=FLOAT64,
    )


PENDULUM, CARTPOLE, ACROBOT = _pendulum(), _cartpole(), _acrobot()
MOUNTAIN_CAR = _car(
    F(0.001), Coordinate("push", "", F(-1), F(1)), ((F(-1),), (F(0),), (F(1),)), F(0.5)
)
MOUNTAIN_CAR_CONTINUOUS = _car(F(0.0015), Coordinate("force", "", F(-1), F(1)), None, F(0.45))
TWINS = {
    twin.name: twin for twin in (PENDULUM, CARTPOLE, ACROBOT, MOUNTAIN_CAR, MOUNTAIN_CAR_CONTINUOUS)
}
"""By the id of the environment."""
