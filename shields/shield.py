"""The run-time shield alone: ``Filter(certificate).filter(state, action)``, and for batches.

What is trusted at run time is one test, `passes` (see `nprl.shields.rows`), and the backup's
float64 value, clipped into the action's bounds. Everything else proposes: `nprl.shields.nearest`
looks for the nearest allowed action, and what it finds is applied only if it passes. There is no
solver here, and a filter holds none: a certificate is proved before, once for its bytes
(`nprl.shields.records`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nprl.lang.floats import compile_batch, compile_guard, compile_scalar
from nprl.lang.native import Batch, batch_tables, native_guard, native_scalar
from nprl.lang.terms import Formula, Term, subterms
from nprl.lang.writer import Bounds
from nprl.shields.certificate import Certificate
from nprl.shields.nearest import Action, Floats, Nearest
from nprl.shields.rows import Exactly, tests_of

Through = Callable[[Action], Action]
LONG = 60
"""Subterms of a test that are worth a compiler's time, for one state at a time."""
KEPT = """
 d = new(Decision)
 d.action = {1}
 d.overridden = d.fallback = False
 d.state = {0}
 d.shield = shield
 return d
"""
"""What nearly every call ends with; written out, for a call would cost as much as the test."""
KEPT_CHOICE = "\n if {1} not in choices: return None" + KEPT


class ShieldError(RuntimeError):
    """There is no action that is safe to apply: the state or the backup is not finite."""


class Judge(Protocol):
    """What knows where the shield holds: a `Filter`, of its invariant."""

    def inside(self, state: Sequence[float]) -> bool:
        """Whether it holds in the state."""
        ...


@dataclass(slots=True)  # not frozen: that would double the time of the whole decision
class Decision:
    """What to apply, and what became of the proposed action."""

    action: Action
    """The action in units, float64."""
    overridden: bool
    """Whether it is another one than was proposed."""
    fallback: bool
    """Whether it is the backup, applied without a test."""
    state: Action
    """Where it was decided, float64."""
    shield: Judge = field(repr=False, compare=False)

    @property
    def inside(self) -> bool:
        """Whether the state is in the invariant, exactly; where not, nothing is promised of it.

        With plans (`nprl.shields.plans`) also whether it is on one, or one leads from it into the
        invariant.
        Looked at when asked: what was decided does not depend on it.
        """
        return self.shield.inside(self.state)


class Filter:
    """A proved shield, as a function of state and proposed action.

    States and actions are in the units and the order of ``model``. Nothing is kept between calls;
    the certificate's plans, if any, are left to `nprl.shields.plans`.
    """

    def __init__(self, certificate: Certificate, *, trusted: bool = False) -> None:
        """Compile the shield of ``certificate``, once it is proved (from the record, or now).

        ``trusted`` leaves the proof out; it is for tests of this code.

        Raises:
            CertificateError: for a certificate that is not proved.
        """
        if not trusted:
            from nprl.shields.records import require_proof

            require_proof(certificate)
        self.certificate, self.model = certificate, certificate.model
        model, tests = certificate.model, tests_of(certificate)
        x, u = model.state_names, model.action_names
        self.bounds = [tests.box[n] for n in u]
        self._low, self._high = np.array(self.bounds).reshape(-1, 2).T
        self.choices: list[Action] | None = None
        if model.choices is not None:
            self.choices = [self._clip(map(float, c)) for c in model.choices]
        self._parts = [len(part) for part in certificate.shield.invariant]
        self.kept: Callable[..., Decision | None] = compile_guard(  # where the action passes
            tests.passes, (x, u), tests.box, KEPT if self.choices is None else KEPT_CHOICE,
            {"new": object.__new__, "Decision": Decision, "shield": self, "choices": self.choices},
            native_guard(tests.passes, (x, u), tests.box) if _long(tests.passes) else None,
        )  # fmt: skip
        self._passes = _scalar([tests.passes], (x, u), tests.box)
        self._membership = _scalar([tests.surely, tests.perhaps], (x,), tests.box)
        self._backup = compile_scalar(certificate.shield.backup, (x,))
        self._ranges = compile_scalar([tests.ranges], (x,))
        self._test = (tests.passes, (x, u), tests.box)
        self._surely_batch = compile_batch([tests.surely], (x,), tests.box)
        self._perhaps_batch = compile_batch([tests.perhaps], (x,), tests.box)
        self._backup_batch = compile_batch(certificate.shield.backup, (x,))
        self._exactly = Exactly(certificate)
        self._nearest = Nearest(model, tests, self.choices)

    @classmethod
    def from_file(cls, path: str | Path) -> Filter:
        """The shield in a certificate's file: exactly the bytes that were proved.

        Raises:
            CertificateError: for a file that is no certificate, or is not proved.
        """
        from nprl.shields.records import load_proved

        return cls(load_proved(path), trusted=True)

    def filter(
        self, state: Sequence[float], action: Sequence[float], through: Through | None = None
    ) -> Decision:
        """The action to apply in ``state`` where ``action`` is proposed, both in units.

        An action that passes is applied as it is. Else the nearest one that is found to pass, else
        the backup. A proposal that is NaN, infinite or misshapen means the backup. ``through`` says
        what the plant makes of an action that it is sent (the scaling there and back): its value is
        tested.

        Raises:
            ShieldError: for a state that is not finite or misshapen, or a backup that is not
            finite.
        """
        try:
            return self.kept(state, action) or self._carefully(state, action, through)
        except (TypeError, ValueError, ArithmeticError):  # no numbers, or out of the code's bounds
            return self._carefully(state, action, through)

    def passes(self, state: Sequence[float], action: Sequence[float]) -> bool:
        """The proved test: from a state in the model's ranges the next one is in the invariant."""
        return self._passes_floats(tuple(map(float, state)), tuple(map(float, action)))

    def _passes_floats(self, x: Action, u: Action) -> bool:
        try:
            return bool(self._passes(x, u)[0]) and (self.choices is None or u in self.choices)
        except (ValueError, ArithmeticError):  # the code is made for numbers in their bounds
            return False

    def inside(self, state: Sequence[float]) -> bool:
        """Whether the state is in the invariant, exactly: with fractions where floats are near."""
        x = tuple(map(float, state))
        if len(x) != len(self.model.state) or not self._ranges(x)[0]:
            return False
        surely, perhaps = self._membership(x)
        return bool(surely) or (bool(perhaps) and self._exactly.inside(x))

    def margin(self, state: Sequence[float]) -> float:
        """The least row of the invariant's best part: ``>= 0`` exactly when inside."""
        x = tuple(map(float, state))
        rows, least, first = self._rows(x), -math.inf, 0
        for size in self._parts:
            least = max(least, min(rows[first : first + size]))
            first += size
        return max(least, 0.0) if self.inside(x) else min(least, -math.ulp(0.0))

    @cached_property
    def _rows(self) -> Callable[..., tuple[float, ...]]:
        rows = [g for part in self.certificate.shield.invariant for g in part]
        return _scalar(rows, (self.model.state_names,))

    def backup(self, state: Sequence[float]) -> Action:
        """The action that needs no test in the invariant, in units: clipped, or the nearest choice.

        Raises:
            ShieldError: where it is not finite.
        """
        value = self._backup(tuple(map(float, state)))
        if not _finite(value):
            raise ShieldError(f"the backup is {value} at the state {tuple(state)}; stop the plant")
        action = self._clip(value)
        if self.choices is None:
            return action
        return min(self.choices, key=lambda c: max(map(abs, map(float.__sub__, c, action))))

    def _carefully(
        self, state: Sequence[float], action: Sequence[float], through: Through | None
    ) -> Decision:
        x = self.state_of(state)
        u = numbers_of(action, len(self.bounds))
        if u is not None:
            if self._passes_floats(x, u):
                return Decision(u, False, False, x, self)
            nearest = self.nearest(x, u, through)
            if nearest is not None:
                return Decision(nearest, True, False, x, self)
        return Decision(self.backup(x), True, True, x, self)

    def nearest(self, x: Action, u: Action, through: Through | None) -> Action | None:
        """The nearest action to ``u`` that is found to pass; None where none is."""
        if not self._ranges(x)[0]:
            return None
        backup = self.backup(x) if self._nearest.asks_backup else u

        def arrives(candidate: Action) -> bool:
            sent = candidate if through is None else through(candidate)
            return self._passes_floats(x, sent)

        return next(filter(arrives, self._nearest.one(x, u, backup, arrives)), None)

    def state_of(self, state: Sequence[float]) -> Action:
        """``state`` as a tuple of floats.

        Raises:
            ShieldError: where it is not finite, or misshapen.
        """
        x = numbers_of(state, len(self.model.state))
        if x is None:
            raise ShieldError(
                f"a state is {len(self.model.state)} finite numbers; got {state!r}: stop the plant"
            )
        return x

    def _clip(self, value: Iterable[float]) -> Action:
        return tuple(
            min(max(v, low), high) for v, (low, high) in zip(value, self.bounds, strict=True)
        )

    # Batches: the same decisions, row by row, up to the rounding that the margins cover.

    def filter_batch(
        self, states: Floats, units: Floats, through: Callable[[Floats], Floats] | None = None
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """`filter` for each row: the actions (n, m) to apply, and which were replaced (n,).

        Rows of NaN or infinity mean the backup. Whether the states are inside is `inside_batch`.

        Raises:
            ShieldError: for states that are not finite, or of another shape than (n, d).
            ValueError: for actions of another shape than (n, m).
        """
        x, u = np.asarray(states, dtype=np.float64), np.asarray(units, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != len(self.model.state) or not np.isfinite(x).all():
            raise ShieldError(f"states are finite, (n, {len(self.model.state)}); got {x.shape}")
        if u.shape != (len(x), len(self.bounds)):
            raise ValueError(f"actions are ({len(x)}, {len(self.bounds)}); got {u.shape}")
        overridden = ~self.passes_batch(x, u)
        if not overridden.any():
            return u.copy(), overridden
        result = u.copy()
        rows = np.flatnonzero(overridden)
        result[rows] = self._replace(x.take(rows, axis=0), u.take(rows, axis=0), through)
        return result, overridden

    def passes_batch(self, states: Floats, units: Floats) -> NDArray[np.bool_]:
        """`passes` for each row, shape (n,)."""
        with np.errstate(all="ignore"):
            ok: NDArray[np.bool_] = self._passes_batch(states, units)[1][0]
        if self.choices is not None:
            ok = ok & (units[:, None] == np.array(self.choices)[None]).all(axis=2).any(axis=1)
        return ok

    @cached_property
    def _passes_batch(self) -> Batch:
        test, groups, box = self._test
        return batch_tables([], [test], groups, box)

    def inside_batch(self, states: Floats) -> NDArray[np.bool_]:
        """`inside` for each row, shape (n,): exact."""
        with np.errstate(all="ignore"):
            surely: NDArray[np.bool_] = self._surely_batch(states)[0]
            if not surely.all():
                perhaps = self._perhaps_batch(states)[0]
                for row in np.flatnonzero(perhaps & ~surely).tolist():
                    surely[row] = self._exactly.inside(states[row].tolist())
        return surely

    def backup_batch(self, states: Floats) -> Floats:
        """`backup` for each row, shape (n, m)."""
        columns = self._backup_batch(states)
        value: Floats = np.array(columns).T
        if not np.isfinite(value).all():
            raise ShieldError("the backup is not finite; stop the plant")
        value = np.minimum(np.maximum(value, self._low), self._high)
        if self.choices is not None:
            table: Floats = np.array(self.choices)
            nearest = abs(value[:, None] - table[None]).max(axis=2).argmin(axis=1)
            value = np.take(table, nearest, axis=0)
        return value

    def _replace(self, x: Floats, u: Floats, through: Callable[[Floats], Floats] | None) -> Floats:
        """What to apply instead of actions that do not pass."""
        finite = np.isfinite(u).all(axis=1)
        if not finite.all():  # nothing is near to these
            result = self.backup_batch(x)
            result[finite] = self._replace(x[finite], u[finite], through)
            return result

        def arrives(candidates: Floats, at: Floats = x) -> NDArray[np.bool_]:
            return self.passes_batch(at, candidates if through is None else through(candidates))

        backup = self.backup_batch(x) if self._nearest.asks_backup else u
        result, left, open_rows = u, np.arange(len(x)), np.ones(len(x), dtype=np.bool_)
        for candidates in self._nearest.batch(x, u, backup, arrives):
            if len(left) == len(x):
                ok = arrives(candidates)
                if ok.all():
                    return candidates
                result = candidates.copy()
            else:
                left = left[np.isfinite(candidates[left]).all(axis=1)]
                if not left.size:
                    break
                ok = arrives(candidates[left], x[left])
                result[left[ok]] = candidates[left[ok]]
            open_rows[left[ok]] = False
            left = left[~ok]
            if not left.size:
                break
        if open_rows.any():
            result[open_rows] = self.backup_batch(x[open_rows])
        return result


def _long(*terms: Term | Formula) -> bool:
    """Whether machine code decides them sooner than Python, its call included."""
    return len({s for t in terms for s in subterms(t)}) > LONG


def _scalar(
    terms: Sequence[Term | Formula], groups: Sequence[Sequence[str]], box: Bounds | None = None
) -> Callable[..., tuple[Any, ...]]:
    """Terms, or formulas, at one point: in machine code where that is sooner and can be had."""
    native = native_scalar(terms, groups, box) if _long(*terms) else None
    return native or compile_scalar(terms, groups, box)


def _finite(values: Sequence[float]) -> bool:
    return all(map(math.isfinite, values))


def numbers_of(value: Any, size: int) -> Action | None:
    """``value`` as ``size`` finite floats, or None."""
    try:
        numbers = tuple(map(float, value))
    except (TypeError, ValueError, OverflowError):
        return None
    return numbers if len(numbers) == size and _finite(numbers) else None
