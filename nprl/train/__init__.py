"""Training a teacher: PPO of Stable-Baselines3 on the batched environment, resumable."""

from nprl.train.config import TrainConfig, TrainError
from nprl.train.normaliser import Normaliser, NormaliserError, load_normaliser
from nprl.train.ppo import train
from nprl.train.teacher import Teacher, load_teacher

__all__ = [
    "Normaliser",
    "NormaliserError",
    "Teacher",
    "TrainConfig",
    "TrainError",
    "load_normaliser",
    "load_teacher",
    "train",
]
