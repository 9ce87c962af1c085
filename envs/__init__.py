"""Our environments, a small file each, with its ``MODEL``; importing this package registers them.

Registration is by strings: nothing else is imported until an environment is made. With `gymnasium`:
``gym.make("nprl.envs:nprl/Pendulum-v0")``, or ``import nprl.envs`` and
``gym.make("nprl/Pendulum-v0")``. ``gym.make("nprl/Model-v0", model="my.json")`` is a user's own
model; it has no time limit of its own, so ``max_episode_steps`` is the caller's choice
(`nprl.env.task.load_task` takes the model's horizon).
"""

from gymnasium.envs.registration import register

HORIZONS = {
    "nprl/Pendulum-v0": ("pendulum", 200),
    "nprl/CartPole-v0": ("cartpole", 500),
    "nprl/MagneticPointer-v0": ("magnetic_pointer", 100),
    "nprl/LinearCartPole-v0": ("linear_cartpole", 100),
    "nprl/SelfDriving-v0": ("selfdriving", 100),
    "nprl/LaneKeeping-v0": ("lanekeeping", 1000),
}
"""Each id with the module of its model and the horizon that the model states (a test compares)."""

IDS = tuple(HORIZONS)
"""The ids of our environments."""

for _id, (_module, _horizon) in HORIZONS.items():
    register(
        id=_id,
        entry_point="nprl.env.environment:ModelEnv",
        kwargs={"model": f"nprl.envs.{_module}:MODEL"},
        max_episode_steps=_horizon,
    )
register(id="nprl/Model-v0", entry_point="nprl.env.environment:ModelEnv")
