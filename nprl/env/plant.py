"""The plant: a model compiled to floats, for one state at a time or for a batch.

Scalar and batch agree within a few ulp (NumPy's functions are not the C library's). An environment
and a shield that share a plant share every number.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nprl.env.actions import Actions as Actions
from nprl.env.sampling import Floats
from nprl.lang.floats import compile_batch, compile_scalar
from nprl.lang.interval import above, below
from nprl.lang.native import batch_tables
from nprl.lang.terms import And, Compare, Formula, Not, Num, Or, Relation, Term, Truth, Var, replace
from nprl.model import NEXT, Model

Bools = NDArray[np.bool_]
NEAR = 1024
"""How many times the largest bound of analysis a state may be to be computed without checks."""
FLOAT32_MAX = float(np.finfo(np.float32).max)


class Plant:
    """A compiled model.

    States, actions in units and disturbances are sequences of floats, in the model's order and
    units, or for the batch functions float64 arrays of shape (n, dim). The dynamics are compiled
    twice: without the checks that no state within `NEAR` times the box of analysis needs, and with
    all of them, for states that are further out.
    """

    def __init__(self, model: Model, native: bool = False) -> None:
        """Compile every part of ``model``, once; ``native``: batches to machine code, if it can be.

        That takes a compiler and a fraction of a second (`nprl.lang.native`).
        """
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
        to: dict[Term, Term] = {Var(NEXT + n): t for n, t in zip(x, model.steps, strict=True)}
        at: dict[Term, Term] = {Var(n): t for n, t in zip(x, model.steps, strict=True)}
        safe, terminal = sharp(model.safe), model.terminal
        step, verdict = (model.steps, (x, u, w)), ((safe, terminal), (x,))
        reward = ([model.reward_term], (x, u, tuple(NEXT + n for n in x)))
        seen = ([o.value for o in model.observation], (x,))
        whole: list[Any] = [*model.steps, replace(model.reward_term, to)]
        whole += [replace(safe, at), replace(terminal, at)]
        self._step, self._step_batch = compile_scalar(*step), compile_batch(*step)
        self._reward, self._reward_batch = compile_scalar(*reward), compile_batch(*reward)
        self._observe, self._observe_batch = compile_scalar(*seen), compile_batch(*seen)
        self._verdict, self._verdict_batch = compile_scalar(*verdict), compile_batch(*verdict)
        self._near_step = compile_scalar(*step, box)
        self._near_step_batch = compile_batch(*step, box)
        self._whole = compile_scalar(whole, (x, u, w), box)
        self._absorbs = terminal != Truth(False)
        values, truths = whole[:-2], whole[-2 : None if self._absorbs else -1]
        self._whole_batch = batch_tables(values, truths, (x, u, w), box, native)

    def advance(
        self, x: Sequence[float], u: Sequence[float], w: Sequence[float]
    ) -> tuple[tuple[float, ...], float, bool, bool]:
        """One step: the next state, the reward, and whether that state is safe, and terminal."""
        if self._single or not self._is_near(x):
            after = self.step(x, u, w)
            return (after, self.reward(x, u, after), *self.verdict(after))
        *state, reward, safe, terminal = self._whole(x, u, w)
        return tuple(state), float(reward), bool(safe), bool(terminal)

    def advance_batch(
        self, x: Floats, u: Floats, w: Floats
    ) -> tuple[Floats, Floats, Bools, Bools | None]:
        """`advance` for each row, in fresh arrays; None where the model has no terminal states."""
        if self._single or not self._are_near(x):
            after = self.step_batch(x, u, w)
            safe, terminal = self.verdict_batch(after)
            return after, self.reward_batch(x, u, after), safe, terminal
        values, truths = self._whole_batch(x, u, w)
        return values[:-1].T, values[-1], truths[0], truths[1] if self._absorbs else None

    def step(self, x: Sequence[float], u: Sequence[float], w: Sequence[float]) -> tuple[float, ...]:
        """The next state, rounded to the type that the plant stores."""
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
        """Whether a state is safe; a coordinate's comparison with a number is decided exactly."""
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
        return bool(np.vdot(flat, flat) <= self._near_squared)  # then so is every coordinate


def sharp(f: Formula) -> Formula:
    """The same formula on float64 coordinates, whose comparisons with numbers are made exact.

    ``x <= 9/10`` holds for a float x exactly when x is at most the greatest float below 9/10; the
    nearest float to 9/10 lies above it, so comparing with that one would be wrong at one point.
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
