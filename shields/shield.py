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
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nprl.lang.floats import compile_batch, compile_scalar
from nprl.shields.certificate import Certificate
from nprl.shields.nearest import Action, Floats, Nearest
from nprl.shields.rows import exactly_inside, tests_of

Through = Callable[[Action], Action]
QUICK = """
def quick(x, u):
    {x} = x
    {u} = u
    x = {float_x}
    u = {float_u}
    if both(x, u)[0]{choices}:
        return new(Decision, (u, False, False, True))
"""
"""One call that decides nearly always; unrolled, for a loop would cost more than the test."""


class ShieldError(RuntimeError):
    """There is no action that is safe to apply: the state or the backup is not finite."""


class Decision(NamedTuple):
    """What to apply, and what became of the proposed action."""

    action: Action
    """The action in units, float64."""
    overridden: bool
    """Whether it is another one than was proposed."""
    fallback: bool
    """Whether it is the backup, applied without a test."""
    inside: bool
    """Whether the state lies in the invariant, exactly; where it does not, nothing is promised."""


class Filter:
    """A proved shield, as a function of state and proposed action.

    States and actions are in the units and the order of ``model``. Nothing is kept between calls.
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
        self.choices: list[Action] | None = None
        if model.choices is not None:
            self.choices = [self._clip(map(float, c)) for c in model.choices]
        part_rows = [g for part in certificate.shield.invariant for g in part]
        self._parts = [len(part) for part in certificate.shield.invariant]
        self._quick = _quick(
            compile_scalar([tests.both], (x, u), tests.box), len(x), len(u), self.choices
        )
        self._passes = compile_scalar([tests.passes], (x, u), tests.box)
        self._surely = compile_scalar([tests.surely], (x,), tests.box)
        self._rows = compile_scalar(part_rows, (x,))
        self._backup = compile_scalar(certificate.shield.backup, (x,))
        self._ranges = compile_scalar([tests.ranges], (x,))
        self._passes_batch = compile_batch([tests.passes], (x, u), tests.box)
        self._inside_batch = compile_batch([tests.surely, tests.perhaps], (x,), tests.box)
        self._backup_batch = compile_batch(certificate.shield.backup, (x,))
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
            return self._quick(state, action) or self._carefully(state, action, through)
        except (
            TypeError,
            ValueError,
            ArithmeticError,
        ):  # no numbers, or the code's bounds exceeded
            return self._carefully(state, action, through)

    def passes(self, state: Sequence[float], action: Sequence[float]) -> bool:
        """The proved test: from a state in the model's ranges the next one is in the invariant."""
        x, u = tuple(map(float, state)), tuple(map(float, action))
        if not self._ranges(x)[0] or not _finite(u):
            return False
        try:
            return bool(self._passes(x, u)[0]) and (self.choices is None or u in self.choices)
        except (ValueError, ArithmeticError):  # the code is made for actions in their bounds
            return False

    def inside(self, state: Sequence[float]) -> bool:
        """Whether the state is in the invariant, exactly: with fractions where floats are near."""
        x = tuple(map(float, state))
        if len(x) != len(self.model.state) or not _finite(x) or not self._ranges(x)[0]:
            return False
        return bool(self._surely(x)[0]) or exactly_inside(self.certificate, x)

    def margin(self, state: Sequence[float]) -> float:
        """The least row of the invariant's best part: ``>= 0`` exactly when inside."""
        x = tuple(map(float, state))
        rows, least, first = self._rows(x), -math.inf, 0
        for size in self._parts:
            least = max(least, min(rows[first : first + size]))
            first += size
        return max(least, 0.0) if self.inside(x) else min(least, -math.ulp(0.0))

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
        x = self._state(state)
        inside = self.inside(x)
        u = _action(action, len(self.bounds))
        if u is not None:
            if self.passes(x, u):
                return Decision(u, False, False, inside)
            if self._ranges(x)[0]:

                def arrives(candidate: Action) -> bool:
                    return self.passes(x, candidate if through is None else through(candidate))

                for candidate in self._nearest.one(x, u, self.backup(x), arrives):
                    if arrives(candidate):
                        return Decision(candidate, True, False, inside)
        return Decision(self.backup(x), True, True, inside)

    def _state(self, state: Sequence[float]) -> Action:
        x = _action(state, len(self.model.state))
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
        result[rows] = self._replace(x[rows], u[rows], through)
        return result, overridden

    def passes_batch(self, states: Floats, units: Floats) -> NDArray[np.bool_]:
        """`passes` for each row, shape (n,)."""
        with np.errstate(all="ignore"):
            ok: NDArray[np.bool_] = self._passes_batch(states, units)[0]
        if self.choices is not None:
            ok = ok & (units[:, None] == np.array(self.choices)[None]).all(axis=2).any(axis=1)
        return ok

    def inside_batch(self, states: Floats) -> NDArray[np.bool_]:
        """`inside` for each row, shape (n,): exact."""
        with np.errstate(all="ignore"):
            surely, perhaps = self._inside_batch(states)
        for row in np.flatnonzero(perhaps & ~surely).tolist():
            surely[row] = exactly_inside(self.certificate, states[row].tolist())
        return surely

    def backup_batch(self, states: Floats) -> Floats:
        """`backup` for each row, shape (n, m)."""
        value: Floats = np.stack(self._backup_batch(states), axis=1)
        if not np.isfinite(value).all():
            raise ShieldError("the backup is not finite; stop the plant")
        low, high = np.array(self.bounds).T
        value = np.clip(value, low, high)
        if self.choices is not None:
            table: Floats = np.array(self.choices)
            nearest = abs(value[:, None] - table[None]).max(axis=2).argmin(axis=1)
            value = np.take(table, nearest, axis=0)
        return value

    def _replace(self, x: Floats, u: Floats, through: Callable[[Floats], Floats] | None) -> Floats:
        """What to apply instead of actions that do not pass."""
        backup = self.backup_batch(x)
        result = backup.copy()
        open_rows: NDArray[np.bool_] = np.asarray(np.isfinite(u).all(axis=1))
        u = np.where(open_rows[:, None], u, backup)

        def arrives(candidates: Floats) -> NDArray[np.bool_]:
            return self.passes_batch(x, candidates if through is None else through(candidates))

        for candidates in self._nearest.batch(x, u, backup, arrives):
            taken = open_rows & arrives(candidates)
            result[taken] = candidates[taken]
            open_rows &= ~taken
            if not open_rows.any():
                break
        return result


def _quick(
    both: Callable[..., tuple[Any, ...]], n: int, m: int, choices: list[Action] | None
) -> Callable[[Any, Any], Decision | None]:
    """A function of ``n`` and ``m`` numbers of any kind: the decision, if the action is kept."""

    def row(name: str, form: str) -> str:
        return (
            "("
            + "".join(form.format(f"{name}{k}") + ", " for k in range(n if name == "x" else m))
            + ")"
        )

    source = QUICK.format(
        x=row("x", "{}"),
        u=row("u", "{}"),
        float_x=row("x", "float({})"),
        float_u=row("u", "float({})"),
        choices="" if choices is None else " and u in choices",
    )
    namespace: dict[str, Any] = {
        "__builtins__": {}, "float": float, "both": both, "new": tuple.__new__,
        "Decision": Decision, "choices": choices,
    }  # fmt: skip
    exec(compile(source, "<nprl.shields.shield>", "exec"), namespace)
    quick: Callable[[Any, Any], Decision | None] = namespace["quick"]
    return quick


def _finite(values: Sequence[float]) -> bool:
    return all(map(math.isfinite, values))


def _action(value: Any, size: int) -> Action | None:
    """``value`` as ``size`` finite floats, or None."""
    try:
        numbers = tuple(map(float, value))
    except (TypeError, ValueError, OverflowError):
        return None
    return numbers if len(numbers) == size and _finite(numbers) else None
