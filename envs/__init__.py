"""Our environments, a small file each, with its ``MODEL``; importing this package registers them.

Registration is by strings: nothing else is imported until an environment is made. With `gymnasium`:
``gym.make("nprl.envs:nprl/Pendulum-v0")``, or ``import nprl.envs`` and
``gym.make("nprl/Pendulum-v0")``. ``gym.make("nprl/Model-v0", model="my.json")`` is a user's own
model; it has no time limit of its own, so ``max_episode_steps`` is the caller's choice
(`nprl.env.task.load_task` takes the model's horizon).
"""

from typing import Any

from gymnasium.envs.registration import register

HORIZONS = {
    "nprl/Pendulum-v0": ("pendulum", 200),
    "nprl/CartPole-v0": ("cartpole", 500),
    "nprl/Satellite-v0": ("satellite", 100),
    "nprl/DCMotor-v0": ("dcmotor", 100),
    "nprl/Tape-v0": ("tape", 100),
    "nprl/MagneticPointer-v0": ("magnetic_pointer", 100),
    "nprl/Suspension-v0": ("suspension", 100),
    "nprl/DataCenterCooling-v0": ("cooling", 100),
    "nprl/Quadcopter-v0": ("quadcopter", 100),
    "nprl/PendulumDiscrete-v0": ("pendulum_discrete", 500),
    "nprl/PendulumLinear-v0": ("pendulum_linear", 500),
    "nprl/PendulumLonger-v0": ("pendulum_longer", 500),
    "nprl/PendulumHeavier-v0": ("pendulum_heavier", 500),
    "nprl/LinearCartPole-v0": ("linear_cartpole", 100),
    "nprl/CartPoleLonger-v0": ("cartpole_longer", 100),
    "nprl/Cruise-v0": ("cruise", 100),
    "nprl/Platoon4-v0": ("platoon4", 100),
    "nprl/Platoon8-v0": ("platoon8", 400),
    "nprl/SelfDrivingObstacle-v0": ("selfdriving_obstacle", 1000),
    "nprl/Biology-v0": ("biology", 100),
    "nprl/Oscillator-v0": ("oscillator", 100),
    "nprl/SelfDriving-v0": ("selfdriving", 100),
    "nprl/LaneKeeping-v0": ("lanekeeping", 1000),
    "nprl/Duffing-v0": ("duffing", 500),
    "nprl/AdaptiveCruise-v0": ("adaptive_cruise", 100),
    "nprl/Obstacle-v0": ("obstacle", 100),
    "nprl/MountainCar-v0": ("mountain_car", 100),
    "nprl/NoisyRoad-v0": ("noisy_road", 100),
    "nprl/SwingUp-v0": ("swing_up", 100),
    "nprl/Road-v0": ("road", 100),
    "nprl/PointMass-v0": ("point_mass", 200),
    "nprl/Unicycle-v0": ("unicycle", 200),
    "nprl/QuadcopterStated-v0": ("quadcopter:STATED", 100),
    "nprl/DataCenterCoolingStated-v0": ("cooling:STATED", 100),
    "nprl/AdaptiveCruiseStated-v0": ("adaptive_cruise:STATED", 100),
    "nprl/NoisyRoadStated-v0": ("noisy_road:STATED", 100),
}
"""Each id with the module of its model and the horizon that the model states (a test compares).

The model is the module's ``MODEL``, unless another is named. ``STATED`` is a benchmark as published
that no controller can keep: ``MODEL`` beside it is the nearest statement that can be kept.
"""

IDS = tuple(HORIZONS)
"""The ids of our environments."""

_MADE_BY: dict[str, Any] = {
    "entry_point": "nprl.env.environment:ModelEnv",
    "vector_entry_point": "nprl.env.gymnasium_vector:ModelVectorEnv",
}
for _id, (_module, _horizon) in HORIZONS.items():
    register(
        id=_id,
        **_MADE_BY,
        kwargs={"model": f"nprl.envs.{_module if ':' in _module else f'{_module}:MODEL'}"},
        max_episode_steps=_horizon,
    )
register(id="nprl/Model-v0", **_MADE_BY)
