"""The goals: what must be proved of a certificate, built from its model and shield alone.

Fixed before any of them is tried. ``docs/certificate.md``, section 5, is the specification; the
stand-alone checker builds the same goals from the bytes of the file, without this code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from nprl.lang import exact
from nprl.lang.rounding import Bound, DomainError, analyse
from nprl.lang.terms import (
    Binary,
    BinaryOp,
    Compare,
    Num,
    Term,
    Var,
    Where,
    subterms,
)
from nprl.lang.terms import replace as substitute
from nprl.model import Coordinate, Model
from nprl.shields.certificate import Certificate
from nprl.shields.sequent import Conclusion, Sequent, assign, conjunctive, disjunctive, expanded

TINY_STEP = Fraction(1, 2**49)
Rows = Sequence[Term]


def tolerant(terms: Sequence[Term], prefix: str) -> tuple[list[Term], int]:
    """The terms expanded, the k-th distinct guard ``q`` of a ``where`` read as ``q + t:<prefix>k``."""
    result = [expanded(t) for t in terms]
    seen: list[Term] = []
    k = 0
    while True:
        guard = next(
            (g for t in result for g in _guards(t) if g not in seen and not _rewritten(g, prefix)),
            None,
        )
        if guard is None:
            return result, k
        new = guard + Var(f"t:{prefix}{k}")
        seen.append(new)
        result = [_reguard(t, guard, new) for t in result]
        k += 1


def _guards(t: Term) -> Iterator[Term]:
    """The guards, in the order in which they are numbered: children before parents."""
    for s in subterms(t):
        if isinstance(s, Where):
            assert isinstance(s.condition, Compare)
            yield s.condition.left


def _rewritten(q: Term, prefix: str) -> bool:
    match q:
        case Binary(BinaryOp.ADD, _, Var(name)):
            return name.startswith(f"t:{prefix}")
        case _:
            return False


def _reguard(t: Term, guard: Term, new: Term) -> Term:
    at: dict[Term, Term] = {}
    for s in subterms(t):
        if isinstance(s, Where) and isinstance(s.condition, Compare):
            c = s.condition
            if c.left == guard:
                at[s] = Where(
                    Compare(c.relation, new, c.right),
                    _reguard(s.then, guard, new),
                    _reguard(s.other, guard, new),
                )
    return substitute(t, at) if at else t


def _box(coordinates: Sequence[Coordinate]) -> list[Term]:
    return [s for c in coordinates for s in (Var(c.name) - Num(c.low), Num(c.high) - Var(c.name))]


@dataclass(frozen=True, slots=True)
class Pieces:
    """The terms that several goals share: the plant's next state, the test's values, the boxes."""

    certificate: Certificate
    plant: tuple[Term, ...]
    plant_guards: int

    @classmethod
    def of(cls, certificate: Certificate) -> Pieces:
        """The shared terms of a certificate."""
        plant, guards = tolerant(certificate.model.steps, "plant")
        return cls(certificate, tuple(plant), guards)

    def tolerances(self, prefix: str, count: int) -> list[Term]:
        """``|t| <= guard``, for each perturbed guard."""
        bound = Num(self.certificate.rounding.guard)
        ts = [Var(f"t:{prefix}{k}") for k in range(count)]
        return [s for t in ts for s in (bound - t, t + bound)]

    def next_in_invariant(self) -> tuple[tuple[Conclusion, ...], ...]:
        """``g(step + e) >= 0``: for each part, for each row."""
        names = self.certificate.model.state_names
        at = {n: t + Var(f"e:{n}") for n, t in zip(names, self.plant, strict=True)}
        return tuple(
            tuple(Conclusion(assign(expanded(g), at)) for g in part)
            for part in self.certificate.shield.invariant
        )

    def errors(self) -> list[Term]:
        """``|e_i| <= plant_i``."""
        plant = self.certificate.rounding.plant
        return [
            s
            for n in self.certificate.model.state_names
            for s in (Num(plant[n]) - Var(f"e:{n}"), Var(f"e:{n}") + Num(plant[n]))
        ]


def test_terms(model: Model, part: Rows) -> list[Term]:
    """``T_i(x, u)``: the rows of a part at the nominal next state; what the run-time shield computes."""
    centre = {n: Num(v) for n, v in model.nominal().items()}
    at = {n: assign(t, centre) for n, t in zip(model.state_names, model.steps, strict=True)}
    return [assign(g, at) for g in part]


def goals(certificate: Certificate) -> dict[str, Sequent]:
    """Every goal that needs a proof object, by id, in order. `domain` and `witness/...` need none."""
    model, shield = certificate.model, certificate.shield
    shared = Pieces.of(certificate)
    rows = [[expanded(g) for g in part] for part in shield.invariant]
    xbox, ubox, wbox = _box(model.state), _box(model.action), _box(model.disturbance)
    result: dict[str, Sequent] = {}

    start = [s for n in model.state_names for s in _between(n, model.init[n])]
    alternatives = tuple(tuple(Conclusion(g) for g in part) for part in rows)
    result["init"] = Sequent(tuple(start), alternatives)

    for q, part in enumerate(rows):
        for c, clause in enumerate(conjunctive(model.safe)):
            extra = [-t for t, _ in clause[1:]]
            conclusion = Conclusion(*clause[0]) if clause else Conclusion(Num(Fraction(-1)))
            result[f"safe/{q}/{c}"] = Sequent((*part, *xbox, *extra), ((conclusion,),))
        result[f"ranges/{q}"] = Sequent(tuple(part), (tuple(Conclusion(t) for t in xbox),))

    backup, guards = tolerant(shield.backup, "backup")
    for q, part in enumerate(rows):
        result[f"action/{q}"] = Sequent(
            (*part, *xbox, *shared.tolerances("backup", guards)), _in_actions(model, backup)
        )
    for q, part in enumerate(rows):
        near = [
            s
            for c, b, e in zip(model.action, backup, certificate.rounding.backup, strict=True)
            for s in (Num(e) - (Var(c.name) - b), Num(e) + (Var(c.name) - b))
        ]
        for k, alternative in enumerate(disjunctive(model.terminal, positive=False)):
            result[f"backup/{q}/{k}"] = Sequent(
                (
                    *part, *xbox, *ubox, *wbox, *shared.errors(), *near,
                    *(t for t, _ in alternative),
                    *shared.tolerances("plant", shared.plant_guards),
                    *shared.tolerances("backup", guards),
                ),
                shared.next_in_invariant(),
            )  # fmt: skip
    for p, own in enumerate(shield.invariant):
        tests, test_guards = tolerant(test_terms(model, own), "test")
        passed = [
            (t - Num(m)) + Num(e)
            for t, m, e in zip(tests, shield.margins[p], certificate.rounding.test[p], strict=True)
        ]
        result[f"test/{p}"] = Sequent(
            (
                *xbox, *ubox, *wbox, *shared.errors(), *passed,
                *shared.tolerances("plant", shared.plant_guards),
                *shared.tolerances("test", test_guards),
            ),
            (shared.next_in_invariant()[p],),
        )  # fmt: skip
    return result


def _between(name: str, ends: tuple[Fraction, Fraction]) -> tuple[Term, Term]:
    return Var(name) - Num(ends[0]), Num(ends[1]) - Var(name)


def _in_actions(model: Model, backup: Sequence[Term]) -> tuple[tuple[Conclusion, ...], ...]:
    if model.choices is None:
        return (
            tuple(
                Conclusion(s)
                for c, b in zip(model.action, backup, strict=True)
                for s in (b - Num(c.low), Num(c.high) - b)
            ),
        )
    return tuple(
        tuple(
            Conclusion(s)
            for v, b in zip(choice, backup, strict=True)
            for s in (b - Num(v), Num(v) - b)
        )
        for choice in model.choices
    )


def rounding_of(model: Model, rows: Sequence[Rows], backup: Rows) -> dict[str, list[Fraction]]:
    """The bounds that the claims ``plant``, ``backup``, ``test`` (parts one after another), ``guard`` must meet.

    Raises:
        DomainError: where a denominator, root or logarithm meets its edge, or a value may overflow.
    """
    box = {n: exact.Interval(low, high) for n, (low, high) in model.box().items()}
    ulps = model.arithmetic.ulps

    def bounds(terms: Sequence[Term]) -> list[Bound]:
        return [analyse(t, box, ulps) for t in terms]

    steps, backups = bounds(model.steps), bounds(backup)
    tests = [b for part in rows for b in bounds(test_terms(model, part))]
    plant = []
    for b in steps:
        ends: list[Any] = [abs(b.range.lo), abs(b.range.hi)]
        size = max(ends) + b.error
        if model.arithmetic.state == "float64":
            plant.append(b.error)
        elif size < 2**127:
            plant.append(b.error + size / 2**23 + Fraction(1, 2**149))
        else:
            raise DomainError("a next state may overflow float32")
    for s in subterms(model.terminal):
        if isinstance(s, Compare) and any(b.error for b in bounds([s.left, s.right])):
            raise DomainError(f"terminal: {s} is not exact in floats")
    return {
        "plant": plant,
        "backup": [
            b.error + TINY_STEP * (abs(c.low) + abs(c.high))
            for b, c in zip(backups, model.action, strict=True)
        ],
        "test": [b.error for b in tests],
        "guard": [max((b.guards for b in (*steps, *backups, *tests)), default=Fraction(0))],
    }


def domain(certificate: Certificate) -> str:
    """The goal ``domain``: "" if every claim on rounding covers what is derived here, else the reason."""
    rounding = certificate.rounding
    try:
        derived = rounding_of(
            certificate.model, certificate.shield.invariant, certificate.shield.backup
        )
    except DomainError as error:
        return str(error)
    claimed = {
        "plant": [rounding.plant[n] for n in certificate.model.state_names],
        "backup": list(rounding.backup),
        "test": [r for part in rounding.test for r in part],
        "guard": [rounding.guard],
    }
    for what, values in derived.items():
        for k, (claim, need) in enumerate(zip(claimed[what], values, strict=True)):
            if claim < need:
                return (
                    f"rounding.{what}[{k}] claims {float(claim):.3g}; {float(need):.3g} is needed"
                )
    return ""


def witnesses(certificate: Certificate) -> dict[str, str]:
    """The goals ``witness/...``: "" if the point is what it is said to be, else the reason."""
    model, shield, points = certificate.model, certificate.shield, certificate.witness
    x, u = points["invariant"], points["action"]
    box = model.box()

    def inside(point: Mapping[str, Fraction]) -> bool:
        return all(box[n][0] <= v <= box[n][1] for n, v in point.items())

    starts = all(model.init[n][0] <= v <= model.init[n][1] for n, v in points["init"].items())
    part = any(all(exact.evaluate(g, x) >= 0 for g in rows) for rows in shield.invariant)
    chosen = tuple(u[n] for n in model.action_names)
    allowed = inside(u) and (model.choices is None or chosen in model.choices)
    at = {n: exact.Interval(v, v) for n, v in (*x.items(), *u.items())}
    passes = any(
        all(
            exact.enclose(t, at).lo >= m
            for t, m in zip(test_terms(model, rows), margins, strict=True)
        )
        for rows, margins in zip(shield.invariant, shield.margins, strict=True)
    )
    found = {
        "init": starts,
        "invariant": part and inside(x),
        "action": allowed,
        "disturbance": inside(points["disturbance"]),
        "test": passes,
    }
    return {
        f"witness/{k}": "" if holds else "the point given is no witness"
        for k, holds in found.items()
    }
