"""What a policy is, to every room: anything with Stable-Baselines3's ``predict``."""

from __future__ import annotations

from typing import Any, Protocol


class Policy(Protocol):
    """A network, a program, a shielded policy, or any object of a user's."""

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        """The environment's actions for one observation or a batch, and the policy's next state."""
        ...
