"""Copies of a model's plant that step together: what both kinds of vector environment share.

Given the same states, actions and disturbances a lane does what `ModelEnv` does; seeded with ``s``,
lane ``i`` draws what ``ModelEnv.reset(seed=s + i)`` draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from nprl.env.plant import Bools, Plant
from nprl.env.sampling import Floats, Sampler
from nprl.env.source import read_model
from nprl.env.spaces import observation_space, stays_inside
from nprl.model import Model

Indices = NDArray[np.int64]


class BatchShield(Protocol):
    """What a batched shield offers to an environment."""

    def filter_batch(self, states: Floats, units: Floats) -> tuple[Floats, Bools]:
        """The actions to apply, (n, m) in units, and which rows were replaced; states (n, d)."""
        ...


class Outcome(NamedTuple):
    """What became of a step, lane by lane: each (n,)."""

    rewards: Floats
    unsafe: Bools
    over: Bools
    """Unsafe, or in a terminal state."""
    late: Bools | None
    """At the end of its horizon; None while no lane can be."""
    dones: Bools
    """Over or late."""
    ended: Indices
    """The lanes of ``dones``."""


class Lanes:
    """The states of ``num_envs`` lanes and how they go on; a base of vector environments.

    ``steps_total``, ``violations_total`` and ``overrides_total`` count since construction.
    """

    num_envs: int

    def _open(
        self,
        model: Model | str | Path,
        num_envs: int,
        shield: BatchShield | None,
        horizon: int | None,
    ) -> None:
        """Make the lanes; ``horizon`` steps per episode (the model's if None).

        Raises:
            ValueError: for what is no model, or fewer than one lane.
        """
        if num_envs < 1:
            raise ValueError(f"num_envs is at least 1; got {num_envs}")
        self.model = read_model(model)
        self.plant = Plant(self.model, native=True)
        self.horizon = self.model.horizon if horizon is None else horizon
        self.shield = shield
        self.steps_total = self.violations_total = self.overrides_total = 0
        self._x: Floats = np.zeros((num_envs, len(self.model.state)), dtype=np.float64)
        self._sampler = Sampler(self.model, num_envs)
        self._noise = self._sampler.noise.law
        self._lanes = np.arange(num_envs)
        space = observation_space(self.model)
        self._low: Floats = space.low.astype(np.float64)
        self._high: Floats = space.high.astype(np.float64)
        unsafe = self.model.unsafe_reward
        self._unsafe = None if unsafe is None else float(unsafe)
        self._no_noise = np.empty((num_envs, 0), dtype=np.float64)
        self._imposed: Floats | None = None
        self._clips = not stays_inside(self.model)
        self._now = 0
        self._begun = np.zeros(num_envs, dtype=np.int64)  # when each episode did, in steps
        self._oldest = 0  # of these, the least
        self._overrides = np.zeros(num_envs, dtype=np.int64)  # of each episode
        self.overridden: Bools = np.zeros(num_envs, dtype=np.bool_)  # by the shield, last
        self._units: Floats | None = None

    @property
    def states(self) -> Floats:
        """The states (num_envs, dim), float64, in units: a copy."""
        return np.array(self._x, order="C")

    def _put(self, states: Any, lanes: Sequence[int]) -> None:
        """Put ``lanes`` into ``states``.

        Raises:
            ValueError: for another shape, or numbers that are not finite.
        """
        values = np.asarray(states, dtype=np.float64)
        if values.shape != (len(lanes), self._x.shape[1]) or not np.isfinite(values).all():
            raise ValueError(
                f"states are finite, ({len(lanes)}, {self._x.shape[1]}); got {values.shape}"
            )
        self._clips = True  # a state may be anywhere now
        x = self._x.copy()
        x[list(lanes)] = [self.plant.store(row) for row in values.tolist()]
        self._x = x

    @property
    def next_disturbances(self) -> Floats | None:
        """What the next step applies instead of drawing, (num_envs, k); None after that."""
        return self._imposed

    @next_disturbances.setter
    def next_disturbances(self, value: Any) -> None:
        if value is not None:
            value = np.asarray(value, dtype=np.float64)
            expected = (self.num_envs, self._noise.dim)
            if value.shape != expected or not self._noise.contains(value):
                raise ValueError(
                    f"disturbances lie in their box, in the shape {expected}; got {value}"
                )
        self._imposed = value

    def _start(self, lanes: Indices) -> Floats:
        """Begin an episode in each of these lanes; their states (k, dim)."""
        self._begun[lanes] = self._now
        if self._now >= self._oldest + self.horizon:
            self._oldest = int(self._begun.min())
        self._overrides[lanes] = 0
        starts = self._sampler.starts.take(lanes)
        self._x[lanes] = starts
        return starts

    def _filtered(self, actions: Any, active: Bools | None = None) -> Floats:
        """Learners' actions in units (n, m), through the shield.

        The rows that are not ``active`` are not counted.

        Raises:
            ValueError: for an action that is not finite (without a shield), or of another shape.
        """
        units = self.plant.actions.to_units_batch(actions, finite=self.shield is None)
        if len(units) != self.num_envs:
            raise ValueError(f"one action per lane, {self.num_envs}; got {len(units)}")
        if self.shield is not None:
            units, overridden = self.shield.filter_batch(self._x, units)
            if active is not None:
                overridden = overridden & active
            self.overridden = overridden
            self._overrides += overridden
            self.overrides_total += int(np.count_nonzero(overridden))
            if not np.isfinite(units).all():
                raise ValueError("a shield gives finite numbers; got NaN or infinity")
        self._units = units
        return units

    def _advance(self, units: Floats, active: Bools | None = None) -> Outcome:
        """One step of every lane; of a lane that is not ``active`` nothing is drawn or counted."""
        noise = self._disturb(self._lanes if active is None else np.flatnonzero(active))
        after, rewards, safe, terminal = self.plant.advance_batch(self._x, units, noise)
        self._x = after
        self._now += 1
        unsafe = ~safe
        over = unsafe if terminal is None else terminal | unsafe
        late = None
        if self._now >= self._oldest + self.horizon:
            late = self._begun <= self._now - self.horizon
        if active is not None:
            unsafe, over = unsafe & active, over & active
            late = None if late is None else late & active
        dones = over if late is None else over | late
        ended = dones.nonzero()[0]
        if ended.size:
            self.violations_total += int(np.count_nonzero(unsafe))
            if self._unsafe is not None:
                np.putmask(rewards, unsafe, self._unsafe)
        self.steps_total += self.num_envs if active is None else int(np.count_nonzero(active))
        return Outcome(rewards, unsafe, over, late, dones, ended)

    def _observe(self, x: Floats) -> Floats:
        """The observations of states, in a fresh array."""
        if not self._clips:
            return x.copy(order="K")
        obs: Floats = np.maximum(self.plant.observe_batch(x, copy=False), self._low)
        return np.minimum(obs, self._high, out=obs)

    def _disturb(self, lanes: Indices) -> Floats:
        if not self._noise.dim:
            return self._no_noise
        if self._imposed is not None:
            imposed, self._imposed = self._imposed, None
            return imposed
        drawn = self._sampler.noise.take(lanes)
        assert self._noise.contains(drawn), "a disturbance left its box"
        if len(lanes) == self.num_envs:
            return drawn
        every = np.tile(self._noise.low, (self.num_envs, 1))
        every[lanes] = drawn
        return every

    def _pictures(self) -> list[NDArray[np.uint8]]:
        """A picture of each lane's state."""
        from nprl.env.render import picture

        units = [None] * self.num_envs if self._units is None else self._units.tolist()
        rows = zip(self._x.tolist(), units, strict=True)
        return [picture(self.model, [tuple(x)], u) for x, u in rows]
