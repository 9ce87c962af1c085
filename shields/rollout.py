"""Rollouts: whether some program of a certificate leads a state into I, within its tube.

``Rollouts(certificate).plan(x, u)`` is the list of actions that does it after the action u. All is
float64 along the nominal trajectory; the tests and their margins are those of `nprl.shields.tube`,
so what is found holds of the plant. In machine code (`nprl.shields.rollout_c`) where that can be
compiled, and then compared with the generated Python here on trial; else in that Python: the same
decisions, bit for bit, a few hundred times slower.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nprl.lang.build import all_of, any_of, clip, minimum, where
from nprl.lang.floats import compile_scalar
from nprl.lang.terms import Formula, Num, Term, Var, Where
from nprl.shields.certificate import Certificate
from nprl.shields.hurried import hurried
from nprl.shields.nearest import Action, Floats
from nprl.shields.rollout_c import Code, native_rollouts
from nprl.shields.rows import tests_of
from nprl.shields.tube import Tube, tube_of

TRIALS = 60


@dataclass(frozen=True, slots=True)
class Plan:
    """A list of actions with the nominal trajectory that they were chosen on.

    ``states`` are y_k for k = ``first``, ..., ``last``; ``actions[k - first]`` is applied at y_k,
    but for the last one: y_last is in I, and so is all of its tube.
    """

    policy: int
    first: int
    last: int
    dims: tuple[int, int]
    data: bytes
    """The states and then the actions, float64, in a row."""

    def state(self, k: int) -> Action:
        """The nominal state y_k."""
        d, _ = self.dims
        return struct.unpack_from(f"{d}d", self.data, 8 * d * (k - self.first))

    def action(self, k: int) -> Action:
        """The action to apply at y_k."""
        d, m = self.dims
        states = d * (self.last - self.first + 1)
        return struct.unpack_from(f"{m}d", self.data, 8 * (states + m * (k - self.first)))


class Rollouts:
    """The compiled rollouts of one certificate that has plans."""

    def __init__(self, certificate: Certificate, native: bool = True) -> None:
        """Derive the tube and compile; without ``native``, Python alone.

        Raises:
            CertificateError: for a model that plans cannot speak of (see `tube_of`).
        """
        model, tests = certificate.model, tests_of(certificate)
        self.tube = tube_of(certificate)
        self.dims = len(model.state), len(model.action)
        self._box = [tests.box[n] for n in (*model.state_names, *model.action_names)]
        code = code_of(certificate, self.tube, tests.box)
        self.programs = len(code.policies)
        self._python = _Python(code, self.tube, self._box)
        self._run: Any = self._python.run
        self._reach: Any = self._python.reach
        module = native_rollouts(code, self.tube, self._box) if native else None
        if module is not None and self._agree(module):
            self._run, self._reach = module.run, module.reach
        self.native = self._run != self._python.run

    def plan(self, x: Sequence[float], u: Sequence[float] | None, first: int = 0) -> Plan | None:
        """A plan from ``x`` whose first action is ``u``, or the program's own; None if none is found.

        The programs are tried from number ``first`` on, cyclically. The plan begins at y_1 after
        an action u, else at y_0 = x. What is not finite or out of bounds has no plan.
        """
        found = self._run(x, u, first)
        if found is None:
            return None
        policy, last, data = found
        return Plan(policy, 0 if u is None else 1, last, self.dims, data)

    def holds(self, x: Sequence[float], y: Sequence[float], k: int) -> bool:
        """Whether the state ``x`` is in the tube about y_k."""
        return all(
            abs(a - b) <= r for a, b, r in zip(x, y, self.tube.radii[k].tolist(), strict=True)
        )

    def reach_batch(self, states: Floats, program: int | None = None) -> NDArray[np.int32]:
        """The length of a plan from each state (n, d), 0 in I; -1 where none is found; (n,).

        Of all programs, or of the one with the number ``program``.

        Raises:
            ValueError: where there is no such program.
        """
        x = np.ascontiguousarray(states, dtype=np.float64)
        result = np.empty(len(x), dtype=np.int32)
        self._reach(x, result, *((0, self.programs) if program is None else (program, 1)))
        return result

    def _agree(self, module: Any) -> bool:
        """Whether machine code and Python find the same plans, on trial."""
        rng, states = random.Random(0), []
        for _ in range(TRIALS):
            share = rng.random()
            at = [(a + b) / 2 + share * (rng.random() - 0.5) * (b - a) for a, b in self._box]
            x, u = at[: self.dims[0]], at[self.dims[0] :]
            states.append(x)
            for action in (None, u):
                if module.run(x, action, 0) != self._python.run(x, action, 0):
                    return False
        found, expected = np.full((2, TRIALS), -2, dtype=np.int32)
        for reach, lengths in ((module.reach, found), (self._python.reach, expected)):
            reach(np.array(states), lengths, 0, self.programs)
        return bool((found == expected).all())


def code_of(certificate: Certificate, tube: Tube, box: dict[str, tuple[float, float]]) -> Code:
    """What is compiled: terms over the state, the action, and the margins ``m:0``, ``m:1``, ..."""
    model, plans = certificate.model, certificate.shield.plans
    assert plans is not None
    margin = [Var(f"m:{k}") for k in range(tube.margins.shape[1])]

    def reached(rows: Sequence[tuple[Term, int]]) -> list[Formula]:
        return [q >= margin[k] for q, k in rows]

    safe = all_of(*(any_of(*reached(c)) for c in tube.clauses))
    return Code(
        states=model.state_names,
        actions=model.action_names,
        margins=tuple(m.name for m in margin),
        step=tube.step,
        policies=tuple(_applied(certificate, p, box) for p in plans.policies),
        truths=(safe, *(all_of(*reached(part.others)) for part in tube.parts)),
        bounds=box | {m.name: (0.0, 1e300) for m in margin},
    )


def _applied(
    certificate: Certificate, policy: Sequence[Term], box: dict[str, tuple[float, float]]
) -> tuple[Term, ...]:
    """What is applied of a program's answer: clipped, or the first of the nearest choices."""
    model = certificate.model
    ends = [(Fraction(a), Fraction(b)) for a, b in (box[n] for n in model.action_names)]
    wanted = tuple(hurried(t) for t in policy)
    if model.choices is None:
        return tuple(clip(t, low, high) for t, (low, high) in zip(wanted, ends, strict=True))
    table = [
        tuple(Fraction(float(min(max(v, a), b))) for v, (a, b) in zip(choice, ends, strict=True))
        for choice in model.choices
    ]
    return _nearest(wanted, ends, table)


def _nearest(
    wanted: tuple[Term, ...],
    ends: Sequence[tuple[Fraction, Fraction]],
    table: Sequence[tuple[Fraction, ...]],
) -> tuple[Term, ...]:
    """The first of the nearest choices: of each branch by itself where the program branches."""
    first = wanted[0]
    if isinstance(first, Where):
        branches = [
            (t.then, t.other)
            for t in wanted
            if isinstance(t, Where) and t.condition == first.condition
        ]
        if len(branches) == len(wanted):
            sides = [_nearest(side, ends, table) for side in zip(*branches, strict=True)]
            return tuple(where(first.condition, a, b) for a, b in zip(*sides, strict=True))
    values = [t.value for t in wanted if isinstance(t, Num)]
    if len(values) == len(wanted):
        held = [min(max(v, a), b) for v, (a, b) in zip(values, ends, strict=True)]
        best = min(table, key=lambda c: max(abs(p - q) for p, q in zip(c, held, strict=True)))
        return tuple(map(Num, best))
    held_terms = [clip(t, low, high) for t, (low, high) in zip(wanted, ends, strict=True)]
    away = [
        -minimum(*(-abs(Num(v) - w) for v, w in zip(choice, held_terms, strict=True)))
        for choice in table
    ]
    result: list[Term] = [Num(v) for v in table[0]]
    least = away[0]
    for choice, distance in zip(table[1:], away[1:], strict=True):
        result = [
            where(distance < least, Num(v), old) for v, old in zip(choice, result, strict=True)
        ]
        least = minimum(distance, least)
    return tuple(result)


class _Python:
    """The rollouts in generated Python."""

    def __init__(self, code: Code, tube: Tube, box: Sequence[tuple[float, float]]) -> None:
        x, u = code.states, code.actions
        self.tube, self.box, self.dim = tube, box, len(x)
        self.step = compile_scalar(code.step, (x, u), code.bounds)
        self.policies = [compile_scalar(p, (x,), code.bounds) for p in code.policies]
        self.truths = [compile_scalar([t], (x, code.margins), code.bounds) for t in code.truths]
        self.low, self.high, self.margins = (
            a.tolist() for a in (tube.low, tube.high, tube.margins)
        )
        self.rows = [(p.affine.tolist(), p.margins.tolist()) for p in tube.parts]

    def run(self, x: Any, u: Any, first: int) -> tuple[int, int, bytes] | None:
        """As `nprl.shields.rollout_c` has it."""
        count = len(self.policies)
        return self._first_of(x, u, [(first + n) % count for n in range(count)])

    def _first_of(self, x: Any, u: Any, policies: Sequence[int]) -> tuple[int, int, bytes] | None:
        """The plan of the first of these programs that has one."""
        x = tuple(map(float, x))
        given = () if u is None else tuple(map(float, u))
        size = len(self.box) if u is not None else self.dim
        if len(x) != self.dim or len(x + given) != size:
            raise ValueError("a state and an action have as many numbers as coordinates")
        if not all(a <= v <= b for v, (a, b) in zip(x + given, self.box, strict=False)):
            return None
        y, k = (x, 0) if u is None else (self.step(x, given), 1)
        for policy in policies:
            found = self._roll(y, k, policy)
            if found is not None:
                last, numbers = found
                return policy, last, struct.pack(f"{len(numbers)}d", *numbers)
        return None

    def reach(self, states: Any, lengths: Any, first: int, count: int) -> None:
        """As `nprl.shields.rollout_c` has it."""
        if first < 0 or not 0 <= count <= len(self.policies) - first:
            raise ValueError("there are no such programs")
        for k, x in enumerate(states.tolist()):
            found = self._first_of(x, None, range(first, first + count))
            lengths[k] = -1 if found is None else found[1]

    def _roll(self, y: Action, k: int, policy: int) -> tuple[int, list[float]] | None:
        states, actions = list(y), list[float]()
        while self._allowed(y, k):
            if self._core(y, k):
                return k, states + actions
            if k == self.tube.steps:
                return None
            u = self.policies[policy](y)
            y = self.step(y, u)
            states += y
            actions += u
            k += 1
        return None

    def _allowed(self, y: Action, k: int) -> bool:
        ends = zip(y, self.low[k], self.high[k], strict=True)
        inside = all(a <= v <= b for v, a, b in ends)
        return inside and bool(self.truths[0](y, self.margins[k])[0])

    def _core(self, y: Action, k: int) -> bool:
        for (affine, margins), truth in zip(self.rows, self.truths[1:], strict=True):
            if (
                all(map(_reaches, affine, margins[k], [y] * len(affine)))
                and truth(y, self.margins[k])[0]
            ):
                return True
        return False


def _reaches(row: Sequence[float], margin: float, y: Action) -> bool:
    total = row[0]
    for h, v in zip(row[1:], y, strict=True):
        total += h * v
    return total >= margin
