"""The plant: a model compiled to floats, one state at a time or a batch, and the map from actions to units.

The environment and the shield both call `Actions.to_units`, so what is certified is the float64 vector that is
applied. Scalar and batch agree exactly in the map of actions, and within a few ulp in the dynamics (NumPy's
functions are not the C library's).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nprl.env.sampling import Floats, inward
from nprl.lang.floats import compile_batch, compile_scalar
from nprl.lang.interval import above, below
from nprl.lang.terms import (
    And,
    Compare,
    Formula,
    Not,
    Num,
    Or,
    Relation,
    Var,
    replace,
    replace_in,
)
from nprl.model import NEXT, Model

Bools = NDArray[np.bool_]
NEAR = 1024
FLOAT32_MAX = float(np.finfo(np.float32).max)


class Actions:
    """The map between a learner's action and physical units, for one model.

    With a scaled model a learner's action lies in [-1, 1] and ``u = clip(centre + half clip(a, -1, 1), low, high)``,
    in float64 whatever type comes in, where low and high are the float64 bounds just inside the model's. Not
    scaled: ``u = clip(a, low, high)``. With choices the action is the index of one. What is not finite becomes NaN.
    """

    def __init__(self, model: Model) -> None:
        """The maps of ``model``; ValueError where a bound leaves no float64 inside."""
        ends = [inward(c.low, c.high) for c in model.action]
        self.dim = len(ends)
        self.scaled = model.arithmetic.scaled
        self.low: Floats = np.array([low for low, _ in ends], dtype=np.float64)
        self.high: Floats = np.array([high for _, high in ends], dtype=np.float64)
        self.centre: Floats = np.array([float((c.low + c.high) / 2) for c in model.action], dtype=np.float64)
        self.half: Floats = np.array([float((c.high - c.low) / 2) for c in model.action], dtype=np.float64)
        self._rows = list(
            zip(*(a.tolist() for a in (self.centre, self.half, self.low, self.high)), strict=True)
        )
        self._tight = self.scaled and bool(  # rounding is monotone: no clip after the scaling
            (self.centre - self.half >= self.low).all()
            and (self.centre + self.half <= self.high).all()
        )
        self.choices: Floats | None = None
        if model.choices is not None:
            self.choices = np.array([[float(v) for v in c] for c in model.choices], dtype=np.float64)
            self.choices = np.clip(self.choices, self.low, self.high)

    def units(self, action: Any) -> list[float]:
        """`to_units` as a list of floats: what the scalar functions take.

        Raises:
            ValueError: for an action of another shape or kind.
        """
        if self.choices is not None:
            result: list[float] = self.choices[self._index(action)].tolist()
            return result
        values = np.asarray(action, dtype=np.float64)
        if values.shape != (self.dim,):
            raise ValueError(f"an action has the shape ({self.dim},); got {values.shape}")
        units = []
        for a, (centre, half, low, high) in zip(values.tolist(), self._rows, strict=True):
            if not math.isfinite(a):
                units.append(math.nan)
                continue
            if self.scaled:
                a = centre + half * (-1.0 if a < -1.0 else 1.0 if a > 1.0 else a)
            else:
                a += 0.0  # no negative zero, here and in the batch
            units.append(low if a < low else high if a > high else a)
        return units

    def to_units(self, action: Any) -> Floats:
        """The float64 vector in units, shape (dim,), that the plant applies for a learner's action.

        Raises:
            ValueError: for an action of another shape or kind.
        """
        return np.array(self.units(action), dtype=np.float64)

    def to_units_batch(self, actions: Any) -> Floats:
        """`to_units` for each row: (n, dim), or (n,) indices, to (n, dim). Rows of NaN stay NaN."""
        if self.choices is not None:
            index = np.asarray(actions)
            if index.ndim != 1 or index.dtype.kind not in "iu":
                raise ValueError(f"actions are (n,) integers; got {index.dtype} of shape {index.shape}")
            if index.size and not 0 <= index.min() <= index.max() < len(self.choices):
                raise ValueError(f"an action is an index from 0 to {len(self.choices) - 1}")
            return self.choices[index]
        a = np.asarray(actions, dtype=np.float64)
        if a.ndim != 2 or a.shape[1] != self.dim:
            raise ValueError(f"actions have the shape (n, {self.dim}); got {a.shape}")
        finite = np.isfinite(a)
        if not finite.all():
            a = np.where(finite, a, math.nan)
        if self.scaled:
            u = np.maximum(a, -1.0)
            np.minimum(u, 1.0, out=u)
            u *= self.half
            u += self.centre
        else:
            u = a + 0.0
        if not self._tight:
            np.maximum(u, self.low, out=u)
            np.minimum(u, self.high, out=u)
        return u

    def from_units(self, units: Any) -> Any:
        """A learner's action for physical units, (dim,) or (n, dim), in float64; with choices the nearest one's index.

        ``to_units(from_units(u))`` is ``u`` up to ``2^-49 (|low| + |high|)``, exactly ``u`` when not scaled.
        """
        u = np.asarray(units, dtype=np.float64)
        if u.ndim not in (1, 2) or u.shape[-1] != self.dim:
            raise ValueError(f"units have the shape ({self.dim},) or (n, {self.dim}); got {u.shape}")
        if self.choices is not None:
            distance = np.abs(u[..., None, :] - self.choices).max(axis=-1)
            return np.argmin(distance, axis=-1)
        u = np.minimum(np.maximum(u, self.low), self.high)
        if self.scaled:
            u = np.minimum(np.maximum((u - self.centre) / self.half, -1.0), 1.0)
        return u

    def _index(self, action: Any) -> int:
        assert self.choices is not None
        index = np.asarray(action)
        if index.shape != () or index.dtype.kind not in "iu" or not 0 <= index < len(self.choices):
            raise ValueError(
                f"an action is an integer from 0 to {len(self.choices) - 1}; got {action!r}"
            )
        return int(index)


class Plant:
    """A compiled model. States, actions in units and disturbances are sequences of floats, or arrays (n, dim).

    The dynamics are compiled twice: without the checks that no state within `NEAR` times the box of analysis
    needs, and with all of them, for states that are further out.
    """

    def __init__(self, model: Model) -> None:
        """Compile every part of ``model``, once."""
        self.model = model
        self.actions = Actions(model)
        self.to_units, self.from_units = self.actions.to_units, self.actions.from_units
        x, u, w = model.state_names, model.action_names, model.disturbance_names
        self._single = model.arithmetic.state == "float32"
        self._identity = [o.value for o in model.observation] == [Var(name) for name in x]
        self._near = near = NEAR * max(float(max(abs(c.low), abs(c.high))) for c in model.state)
        self._near_squared = near * near / 2  # far more than the rounding of a sum of squares
        box = {name: (float(low), float(high)) for name, (low, high) in model.box().items()}
        box |= dict.fromkeys(x, (-near, near))
        then = {name: NEXT + name for name in x}
        to = {Var(then[name]): model.step[name] for name in x}
        at = {Var(name): model.step[name] for name in x}
        safe, terminal = sharp(model.safe), model.terminal
        step, verdict = (model.steps, (x, u, w)), ((safe, terminal), (x,))
        reward = ([model.reward_term], (x, u, tuple(then.values())))
        seen = ([o.value for o in model.observation], (x,))
        whole: list[Any] = [*model.steps, replace(model.reward_term, to)]
        whole += [replace_in(safe, at), replace_in(terminal, at)]
        self._step, self._step_batch = compile_scalar(*step), compile_batch(*step)
        self._reward, self._reward_batch = compile_scalar(*reward), compile_batch(*reward)
        self._observe, self._observe_batch = compile_scalar(*seen), compile_batch(*seen)
        self._verdict, self._verdict_batch = compile_scalar(*verdict), compile_batch(*verdict)
        self._near_step, self._near_step_batch = compile_scalar(*step, box), compile_batch(*step, box)
        self._whole = compile_scalar(whole, (x, u, w), box)
        self._whole_batch = compile_batch(whole, (x, u, w), box)

    def advance(
        self, x: Sequence[float], u: Sequence[float], w: Sequence[float]
    ) -> tuple[tuple[float, ...], float, bool, bool]:
        """One step: the next state, the reward, whether that state is safe, and whether it is terminal."""
        if self._single or not self._is_near(x):
            after = self.step(x, u, w)
            return (after, self.reward(x, u, after), *self.verdict(after))
        *state, reward, safe, terminal = self._whole(x, u, w)
        return tuple(state), float(reward), bool(safe), bool(terminal)

    def advance_batch(self, x: Floats, u: Floats, w: Floats) -> tuple[Floats, Floats, Bools, Bools]:
        """`advance` for each row, in fresh arrays."""
        if self._single or not self._are_near(x):
            after = self.step_batch(x, u, w)
            return (after, self.reward_batch(x, u, after), *self.verdict_batch(after))
        *columns, reward, safe, terminal = self._whole_batch(x, u, w)
        return np.array(columns).T, reward, safe, terminal

    def step(self, x: Sequence[float], u: Sequence[float], w: Sequence[float]) -> tuple[float, ...]:
        """The next state, in the model's order and units, rounded to the type that the plant stores."""
        after: tuple[float, ...] = (self._near_step if self._is_near(x) else self._step)(x, u, w)
        return self.store(after) if self._single else after

    def store(self, x: Sequence[float]) -> tuple[float, ...]:
        """A state as the plant stores it: rounded to float32 where the model says so."""
        if not self._single:
            return tuple(x)
        kept = np.clip(np.array(x, dtype=np.float64), -FLOAT32_MAX, FLOAT32_MAX)
        return tuple(kept.astype(np.float32).tolist())

    def observe(self, x: Sequence[float]) -> tuple[float, ...]:
        """The observation of a state."""
        result: tuple[float, ...] = tuple(x) if self._identity else self._observe(x)
        return result

    def reward(self, x: Sequence[float], u: Sequence[float], after: Sequence[float]) -> float:
        """The reward of a step to ``after = step(x, u, w)``, without regard to safety."""
        return float(self._reward(x, u, after)[0])

    def safe(self, x: Sequence[float]) -> bool:
        """Whether a state is safe; comparisons of a coordinate with a number are decided exactly."""
        return bool(self._verdict(x)[0])

    def terminal(self, x: Sequence[float]) -> bool:
        """Whether a state ends the episode without being unsafe."""
        return bool(self._verdict(x)[1])

    def verdict(self, x: Sequence[float]) -> tuple[bool, bool]:
        """`safe` and `terminal` at once."""
        safe, terminal = self._verdict(x)
        return bool(safe), bool(terminal)

    def step_batch(self, x: Floats, u: Floats, w: Floats) -> Floats:
        """`step` for each row; a fresh array (n, dim) whose columns are contiguous."""
        run = self._near_step_batch if self._are_near(x) else self._step_batch
        after = np.array(run(x, u, w)).T
        if self._single:
            after = np.clip(after, -FLOAT32_MAX, FLOAT32_MAX).astype(np.float32).astype(np.float64)
        return after

    def observe_batch(self, x: Floats, copy: bool = True) -> Floats:
        """`observe` for each row, in a fresh array; without ``copy`` perhaps ``x`` itself."""
        if self._identity:
            return x.copy() if copy else x
        return np.array(self._observe_batch(x)).T

    def reward_batch(self, x: Floats, u: Floats, after: Floats) -> Floats:
        """`reward` for each row, shape (n,), in a fresh array."""
        result: Floats = self._reward_batch(x, u, after)[0]
        return result

    def verdict_batch(self, x: Floats) -> tuple[Bools, Bools]:
        """`safe` and `terminal` for each row, each (n,)."""
        safe, terminal = self._verdict_batch(x)
        return safe, terminal

    def _is_near(self, x: Sequence[float]) -> bool:
        near = self._near
        return all(-near <= v <= near for v in x)

    def _are_near(self, x: Floats) -> bool:
        flat = x.ravel(order="K")
        return bool(flat.dot(flat) <= self._near_squared)  # then so is every coordinate


def sharp(f: Formula) -> Formula:
    """The same formula for float64 coordinates, each number that a coordinate is compared with made a float64.

    ``x <= 9/10`` holds for a float x exactly when x is at most the greatest float below 9/10; the nearest
    float to 9/10 lies above it, so comparing with that one would be wrong at one point.
    """
    match f:
        case Compare(relation, Var() as left, Num(value)):
            up = relation in (Relation.LT, Relation.GE)
            return Compare(relation, left, Num(Fraction(above(value) if up else below(value))))
        case Compare(relation, Num(value), Var() as right):
            up = relation in (Relation.GT, Relation.LE)
            return Compare(relation, Num(Fraction(above(value) if up else below(value))), right)
        case And(parts):
            return And(tuple(sharp(p) for p in parts))
        case Or(parts):
            return Or(tuple(sharp(p) for p in parts))
        case Not(part):
            return Not(sharp(part))
        case _:
            return f

