"""Committed plans: a shield that may leave its invariant, where a plan is known that leads back.

An action that does not pass the proved test is allowed where a program of the certificate leads
the state after it into I, whatever the disturbance (`nprl.shields.rollout`). That plan is then
committed: where no action that is proposed later passes or has a plan of its own, the next action
of the plan is applied, without a test. So the state is in I, or in the tube of the committed plan,
which lies in S and ends in I: section 8 of docs/certificate.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nprl.lang.terms import Term
from nprl.shields.certificate import Certificate, Plans
from nprl.shields.nearest import Action, Floats
from nprl.shields.rollout import Plan, Rollouts
from nprl.shields.shield import Decision, Filter, ShieldError, Through, numbers_of

HALVINGS = 8
"""Bisections between an action that is refused and one that has a plan."""


def with_plans(
    certificate: Certificate, policies: Sequence[Sequence[Term]], steps: int
) -> Certificate:
    """The certificate, with plans of up to ``steps`` steps of these programs (a term per action).

    The proofs stay as they are: plans need none.

    Raises:
        CertificateError: for programs of other names or sizes, or steps outside of 1 to 200.
    """
    plans = Plans(tuple(map(tuple, policies)), steps)
    return replace(certificate, shield=replace(certificate.shield, plans=plans))


class Coverage:
    """Where a shield with plans holds: in I, and where a plan leads into I. Nothing is kept."""

    def __init__(self, shield: Filter, native: bool = True) -> None:
        """Compile the plans of a shield's certificate; without ``native``, in Python alone.

        Raises:
            CertificateError: for a model that plans cannot speak of.
        """
        self.shield = shield
        self.rollouts = Rollouts(shield.certificate, native)

    def inside(self, state: Sequence[float]) -> bool:
        """Whether the state is in I, or has a plan."""
        if self.shield.inside(state):
            return True
        x = numbers_of(state, len(self.shield.model.state))
        return x is not None and self.rollouts.plan(x, None) is not None

    def inside_batch(self, states: Floats) -> NDArray[np.bool_]:
        """`inside` for each row, shape (n,)."""
        found = self.shield.inside_batch(states)
        rest = np.flatnonzero(~found)
        if rest.size:
            found[rest] = self.rollouts.reach_batch(states[rest]) >= 0
        return found


class Known:
    """A judge of one state, that was judged before."""

    def __init__(self, answer: bool) -> None:
        self.answer = answer

    def inside(self, state: Sequence[float]) -> bool:
        """The answer."""
        return self.answer


YES, NO = Known(True), Known(False)


class Planner:
    """A shield with plans for one plant: `Filter.filter`, with the committed plan as its memory.

    Call `reset` at the start of each episode.
    """

    def __init__(self, coverage: Coverage) -> None:
        self.coverage = coverage
        self.shield, self._rollouts = coverage.shield, coverage.rollouts
        self._kept = coverage.shield.kept
        self._plan: Plan | None = None
        self._at = 0
        """The number of the plan's state where the plant is now, or will be after its step."""
        self._policy = 0

    @property
    def steps_left(self) -> int:
        """How many actions of the committed plan are still to come; 0 where the state is in I."""
        return 0 if self._plan is None else self._plan.last - self._at

    def reset(self, state: Sequence[float] | None = None) -> bool:
        """Forget the plan; whether the shield holds from ``state`` on, if that is given."""
        self._plan = None
        return state is None or self.coverage.inside(state)

    def holds(self, state: Sequence[float]) -> bool:
        """Whether the observed state is where it must be: in the committed plan's tube, else in I."""
        x = numbers_of(state, len(self.shield.model.state))
        if x is None:
            return False
        if self._plan is None:
            return self.shield.inside(x)
        return self._rollouts.holds(x, self._plan.state(self._at), self._at)

    def filter(
        self, state: Sequence[float], action: Sequence[float], through: Through | None = None
    ) -> Decision:
        """The action to apply in ``state`` where ``action`` is proposed, both in units.

        As `Filter.filter`, but for the plans. ``inside`` of the decision says whether the state is
        in I, in the tube of the committed plan, or has a plan. A state that is in none of these ends
        the guarantee: a new plan is sought, and the backup is applied where there is none.

        Raises:
            ShieldError: as `Filter.filter`.
        """
        plan, self._plan = self._plan, None
        x: Action | None = None
        judge = YES
        if plan is not None:
            x = self.shield.state_of(state)
            if not self._rollouts.holds(x, plan.state(self._at), self._at):
                plan, judge = None, NO
        try:
            kept = self._kept(state, action)
        except (TypeError, ValueError, ArithmeticError):  # no numbers, or out of the code's bounds
            kept = None
        if kept is not None:
            kept.shield = self.coverage if x is None else judge
            return kept
        return self._decide(x or self.shield.state_of(state), action, through, plan, judge)

    def _decide(
        self,
        x: Action,
        action: Sequence[float],
        through: Through | None,
        plan: Plan | None,
        judge: Known,
    ) -> Decision:
        shield, at = self.shield, self._at
        u = numbers_of(action, len(shield.bounds))
        if u is not None:
            found, passes = self._planned(x, u)
            if passes:  # whether x itself is in I or has a plan is looked at when asked
                asked = self.coverage if plan is None and judge is YES else judge
                return self._committed(Decision(u, False, False, x, asked), found, 1)
        if plan is None and not shield.inside(x):
            plan, at = self._rollouts.plan(x, None, self._policy), 0
            judge = judge if plan is not None else NO
        if u is not None:
            nearest = self._nearest(x, u, through, None if plan is None else plan.action(at))
            if nearest is not None:
                found, candidate = nearest
                return self._committed(Decision(candidate, True, False, x, judge), found, 1)
        if plan is None:
            return Decision(shield.backup(x), True, True, x, judge)
        return self._committed(Decision(plan.action(at), True, True, x, judge), plan, at + 1)

    def _committed(self, decision: Decision, plan: Plan | None, at: int) -> Decision:
        """The decision, after which the plant will be at state ``at`` of the plan."""
        if plan is not None:
            self._policy = plan.policy
            if at < plan.last:
                self._plan, self._at = plan, at
        return decision

    def _planned(self, x: Action, u: Action) -> tuple[Plan | None, bool]:
        """The plan that allows ``u``, None where the proved test does; and whether it is allowed."""
        if self.shield.passes(x, u):
            return None, True
        choices = self.shield.choices
        if choices is not None and u not in choices:
            return None, False
        found = self._rollouts.plan(x, u, self._policy)
        return found, found is not None

    def _nearest(
        self, x: Action, u: Action, through: Through | None, planned: Action | None
    ) -> tuple[Plan | None, Action] | None:
        """The nearest action to ``u`` that is found to be allowed, with its plan."""
        best: tuple[Plan | None, Action] | None = None

        def allowed(candidate: Action) -> bool:
            nonlocal best
            sent = candidate if through is None else through(candidate)
            found, passes = self._planned(x, sent)
            if passes and (best is None or _away(candidate, u) < _away(best[1], u)):
                best = found, candidate
            return passes

        for candidate in self._proposals(x, u, through, planned, allowed):
            allowed(candidate)
        return best

    def _proposals(
        self,
        x: Action,
        u: Action,
        through: Through | None,
        planned: Action | None,
        allowed: Callable[[Action], bool],
    ) -> Iterator[Action]:
        """Heuristics, trusted in nothing: choices, or points between ``u`` and what is allowed."""
        shield = self.shield
        if shield.choices is not None:
            yield from shield.choices
            return
        bad = tuple(min(max(v, a), b) for v, (a, b) in zip(u, shield.bounds, strict=True))
        if bad != u and allowed(bad):
            return
        passing = shield.nearest(x, u, through)
        for good in (passing, planned, *self._first_actions(x)):
            if good is not None and allowed(good):
                for _ in range(HALVINGS):
                    middle = tuple((a + b) / 2 for a, b in zip(good, bad, strict=True))
                    good, bad = (middle, bad) if allowed(middle) else (good, middle)
                return

    def _first_actions(self, x: Action) -> Iterator[Action]:
        """Where a plan begins, if it is not in I that it begins."""
        plan = self._rollouts.plan(x, None, self._policy)
        if plan is not None and plan.last > 0:
            yield plan.action(0)


def _away(a: Action, b: Action) -> float:
    return sum((p - q) ** 2 for p, q in zip(a, b, strict=True))


class Lanes:
    """A `Planner` for each lane of a batch: what `nprl.env.vector.ModelVecEnv` takes as its shield."""

    def __init__(self, coverage: Coverage, count: int) -> None:
        self.coverage = coverage
        self.planners = [Planner(coverage) for _ in range(count)]

    def filter_batch(
        self, states: Floats, units: Floats, through: Callable[[Floats], Floats] | None = None
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """`Planner.filter` for each lane: the actions (n, m), and which were replaced (n,).

        Raises:
            ShieldError, ValueError: as `decide`.
        """
        result = np.array(units, dtype=np.float64)
        overridden = np.zeros(len(result), dtype=np.bool_)
        for lane, decision in enumerate(self.decide(states, units, through)):
            if decision.overridden:
                result[lane], overridden[lane] = decision.action, True
        return result, overridden

    def decide(
        self, states: Floats, units: Floats, through: Callable[[Floats], Floats] | None = None
    ) -> list[Decision]:
        """The decision of each lane.

        Raises:
            ShieldError: for states that are not finite, or of another shape than (n, d).
            ValueError: for actions of another shape than (n, m).
        """
        units = np.asarray(units, dtype=np.float64)
        shield, n = self.coverage.shield, len(self.planners)
        if np.shape(states) != (n, len(shield.model.state)):
            raise ShieldError(
                f"states are ({n}, {len(shield.model.state)}); got {np.shape(states)}"
            )
        if units.shape != (n, len(shield.bounds)):
            raise ValueError(f"actions are ({n}, {len(shield.bounds)}); got {units.shape}")

        def one(u: Action) -> Action:
            assert through is not None
            return tuple(through(np.array([u]))[0].tolist())

        rows = zip(self.planners, states.tolist(), units.tolist(), strict=True)
        return [p.filter(x, u, None if through is None else one) for p, x, u in rows]

    def holds(self, states: Floats, begun: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether the shield holds in each lane, (n,): as `Planner.holds`.

        In lanes where an episode has ``begun`` the plan is forgotten first, and one that leads into
        I from the state is enough.
        """
        result = self.coverage.shield.inside_batch(states)
        for lane, planner in enumerate(self.planners):
            if begun[lane]:
                result[lane] = planner.reset(states[lane].tolist())
            elif planner.steps_left:
                result[lane] = planner.holds(states[lane].tolist())
        return result
