"""A program in the place of the backup: what it computes of the state, how far its floats are off.

The plant's observation is a term over the state and an error within declared and derived bounds;
the program reads that, its value is clipped to the action's bounds, and scaled there and back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from nprl.lang.bounds import analyse
from nprl.lang.floats import compile_batch
from nprl.lang.ranges import DomainError, Interval
from nprl.lang.terms import Num, Term, Var
from nprl.model import Model
from nprl.program import Program
from nprl.shields.certificate import Certificate
from nprl.shields.goals import TINY_STEP, test_terms, tolerant
from nprl.shields.sampling import Floats
from nprl.shields.sequent import Conclusion, Sequent, assign, disjunctive, expanded

__all__ = ["ClosedLoop", "DomainError", "check_fits"]


def check_fits(program: Program, model: Model) -> None:
    """Refuse a program that is not made for this model.

    Raises:
        ValueError: what differs, in one line.
    """
    seen, sees = [i.name for i in program.inputs], [o.name for o in model.observation]
    if seen != sees:
        raise ValueError(f"the program reads {seen}; {model.name} shows {sees}")
    wants = [(c.name, c.low, c.high) for c in model.action]
    gives = [(c.name, c.low, c.high) for c in program.outputs]
    if wants != gives:
        raise ValueError(
            f"the program's outputs are {_ranges(gives)}; the actions of {model.name} are "
            f"{_ranges(wants)}: bounds and order must agree exactly"
        )
    if program.choices != model.choices or program.scaled != model.arithmetic.scaled:
        raise ValueError(
            f"the program's scaling or its list of choices is not that of {model.name}; "
            "make the program for this model"
        )


def _ranges(ends: list[tuple[str, Fraction, Fraction]]) -> str:
    return ", ".join(f"{n} in [{low}, {high}]" for n, low, high in ends)


@dataclass(frozen=True)
class ClosedLoop:
    """A model under a program; ``policy`` are its actions as terms over the state, clipped.

    ``errors`` bound, for each action, how far the applied float is from the term's real value;
    ``guard`` how far off the float comparisons inside the program are.
    """

    model: Model
    program: Program
    policy: tuple[Term, ...]
    errors: tuple[Fraction, ...]
    guard: Fraction

    @classmethod
    def of(cls, model: Model, program: Program) -> ClosedLoop:
        """The closed loop, with its rounding analysed over the model's ranges.

        Raises:
            ValueError: for a program that does not fit the model, or has registers.
            DomainError: where an operator meets the edge of its domain.
        """
        check_fits(program, model)
        if program.registers:
            raise ValueError(
                f"{program.name} has registers: nprl.shields.memory makes them state of the model"
            )
        box = {n: Interval(low, high) for n, (low, high) in model.box().items()}
        ulps = model.arithmetic.ulps
        seen = {o.name: analyse(o.value, box, ulps) for o in model.observation}
        slack = {o.name: o.rounding + seen[o.name].error for o in model.observation}
        inputs = {n: b.range for n, b in seen.items()}
        bounds = [analyse(t, inputs, ulps, slack) for t in program.clipped]
        return cls(
            model,
            program,
            tuple(assign(t, {o.name: o.value for o in model.observation}) for t in program.clipped),
            tuple(
                b.error + TINY_STEP * (abs(c.low) + abs(c.high))
                for b, c in zip(bounds, model.action, strict=True)
            ),
            max((b.guards for b in (*bounds, *seen.values())), default=Fraction(0)),
        )

    def observe(self, x: Floats) -> Floats:
        """Observations (N, inputs) of states (N, n), without the plant's own rounding of them."""
        names = self.model.state_names
        terms = [o.value for o in self.model.observation]
        return np.stack(compile_batch(terms, [names])(x), axis=1)

    def act(self, x: Floats) -> Floats:
        """The actions in units (N, m) that the program applies in states (N, n)."""
        units = self.program.batch(self.observe(x))
        if self.model.choices is None:
            return units
        table = np.array([[float(v) for v in c] for c in self.model.choices])
        return np.asarray(table[np.asarray(self.program.to_action(units))])

    def passing_goals(
        self, certificate: Certificate, parts: tuple[tuple[Term, ...], ...]
    ) -> dict[str, Sequent]:
        """Sequents: in each of ``parts`` the program's action passes the shield's float test.

        With them and the certificate's own goals, a shielded run is the program's own run.
        """
        model = self.model
        policy, tolerances = tolerant(self.policy, "program", self.guard)
        near = [
            s
            for c, b, e in zip(model.action, policy, self.errors, strict=True)
            for s in (Num(e) - (Var(c.name) - b), Num(e) + (Var(c.name) - b))
        ]
        actions = [s for c in model.action for s in (Var(c.name) - c.low, c.high - Var(c.name))]
        states = [s for c in model.state for s in (Var(c.name) - c.low, c.high - Var(c.name))]
        result: dict[str, Sequent] = {}
        for q, part in enumerate(parts):
            for k, alternative in enumerate(disjunctive(model.terminal, positive=False)):
                for c, (chosen, at) in enumerate(self._applied()):
                    alternatives, guards = _passing(certificate, at)
                    premises = (
                        *(expanded(g) for g in part), *states, *actions, *near,
                        *(t for t, _ in alternative), *chosen, *tolerances, *guards,
                    )  # fmt: skip
                    name = f"policy/{q}/{k}" + (f"/{c}" if model.choices is not None else "")
                    result[name] = Sequent(premises, alternatives)
        return result

    def _applied(self) -> list[tuple[list[Term], Mapping[str, Term]]]:
        """What is applied, the program's value under the action's names: premises, and terms."""
        model = self.model
        if model.choices is None:
            return [([], {})]
        size = sum(((abs(c.low) + abs(c.high)) ** 2 for c in model.action), Fraction(0))
        slack = Num(16 * TINY_STEP * size)  # of the float distances
        names = model.action_names
        result: list[tuple[list[Term], Mapping[str, Term]]] = []
        for mine in model.choices:
            premises: list[Term] = []
            for other in model.choices:
                if other == mine:
                    continue
                gap: Term = slack
                for n, v, w in zip(names, mine, other, strict=True):
                    gap = gap + (Var(n) - w) ** 2 - (Var(n) - v) ** 2
                premises.append(gap)
            result.append((premises, {n: Num(v) for n, v in zip(names, mine, strict=True)}))
        return result


def _passing(
    certificate: Certificate, at: Mapping[str, Term]
) -> tuple[tuple[tuple[Conclusion, ...], ...], list[Term]]:
    """For each part ``T_i - (margin_i + rounding_i) >= 0``, and the test's guard tolerances."""
    shield, rounding = certificate.shield, certificate.rounding
    alternatives, guards = [], list[Term]()
    for p, rows in enumerate(shield.invariant):
        tests, own = tolerant(
            [assign(t, at) for t in test_terms(certificate.model, rows, certificate.model.steps)],
            "test",
            rounding.guard,
        )
        guards = max(guards, own, key=len)
        alternatives.append(
            tuple(
                Conclusion(t - Num(m + e))
                for t, m, e in zip(tests, shield.margins[p], rounding.test[p], strict=True)
            )
        )
    return tuple(alternatives), guards
