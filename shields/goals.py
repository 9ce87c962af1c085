"""The goals: what must be proved of a certificate, built from its model and shield alone.

Fixed before any of them is tried. ``docs/certificate.md``, section 5, is the specification; the
stand-alone checker builds the same goals from the bytes of the file, without this code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from nprl.lang.ranges import DomainError, Interval, enclose
from nprl.lang.rounding import Bound, analyse
from nprl.lang.terms import Compare, Num, Term, Var, subterms
from nprl.model import Coordinate, Model
from nprl.shields.certificate import Certificate, Rounding
from nprl.shields.sequent import Conclusion, Sequent, assign, conjunctive, disjunctive, expanded

TINY_STEP = Fraction(1, 2**49)
Rows = Sequence[Term]


def tolerant(terms: Sequence[Term], prefix: str) -> tuple[tuple[Term, ...], int]:
    """The terms expanded, the k-th distinct guard ``q`` of a ``where`` read as ``q + t:<prefix>k``."""
    seen: dict[Term, Term] = {}

    def guard(q: Term) -> Term:
        return q + seen.setdefault(q, Var(f"t:{prefix}{len(seen)}"))

    return tuple(expanded(t, guard) for t in terms), len(seen)


def _between(name: str, low: Fraction, high: Fraction) -> list[Term]:
    return [Var(name) - low, high - Var(name)]


def _box(coordinates: Sequence[Coordinate]) -> list[Term]:
    return [s for c in coordinates for s in _between(c.name, c.low, c.high)]


def _at_most(bounds: Iterable[tuple[str, Fraction]]) -> list[Term]:
    """``|v| <= bound``, for each."""
    return [s for v, bound in bounds for s in (bound - Var(v), Var(v) + bound)]


@dataclass(frozen=True, slots=True)
class Pieces:
    """The terms that several goals share: the plant's next state, the test's values, the boxes."""

    certificate: Certificate
    plant: tuple[Term, ...]
    plant_guards: int
    test: tuple[Term, ...]
    test_guards: int

    @classmethod
    def of(cls, certificate: Certificate) -> Pieces:
        """The shared terms of a certificate."""
        steps = certificate.model.steps
        return cls(certificate, *tolerant(steps, "plant"), *tolerant(steps, "test"))

    def tolerances(self, prefix: str, count: int) -> list[Term]:
        """``|t| <= guard``, for each perturbed guard."""
        guard = self.certificate.rounding.guard
        return _at_most((f"t:{prefix}{k}", guard) for k in range(count))

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
        return _at_most((f"e:{n}", plant[n]) for n in self.certificate.model.state_names)


def test_terms(model: Model, part: Rows, steps: Rows) -> list[Term]:
    """``T_i(x, u)``: the rows of a part at the nominal next state; what the run-time shield computes.

    ``steps`` are the model's, or a copy of them.
    """
    centre = {n: Num(v) for n, v in model.nominal().items()}
    after = [assign(t, centre) for t in steps]
    return [assign(g, dict(zip(model.state_names, after, strict=True))) for g in part]


def goals(certificate: Certificate) -> dict[str, Sequent]:
    """Every goal that needs a proof object, by id, in order. `domain` and `witness/...` need none."""
    model, shield = certificate.model, certificate.shield
    shared = Pieces.of(certificate)
    rows = [[expanded(g) for g in part] for part in shield.invariant]
    xbox, ubox, wbox = _box(model.state), _box(model.action), _box(model.disturbance)
    result: dict[str, Sequent] = {}

    start = [s for n in model.state_names for s in _between(n, *model.init[n])]
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
            for s in (e - (Var(c.name) - b), e + (Var(c.name) - b))
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
        tests = test_terms(model, [expanded(g) for g in own], shared.test)
        passed = [
            t - m + e
            for t, m, e in zip(tests, shield.margins[p], certificate.rounding.test[p], strict=True)
        ]
        result[f"test/{p}"] = Sequent(
            (
                *xbox, *ubox, *wbox, *shared.errors(), *passed,
                *shared.tolerances("plant", shared.plant_guards),
                *shared.tolerances("test", shared.test_guards),
            ),
            (shared.next_in_invariant()[p],),
        )  # fmt: skip
    return result


def _in_actions(model: Model, backup: Sequence[Term]) -> tuple[tuple[Conclusion, ...], ...]:
    boxes = [[(c.low, c.high) for c in model.action]]
    if model.choices is not None:
        boxes = [[(v, v) for v in choice] for choice in model.choices]
    return tuple(
        tuple(
            Conclusion(s)
            for (low, high), b in zip(box, backup, strict=True)
            for s in (b - low, high - b)
        )
        for box in boxes
    )


def rounding_of(model: Model, rows: Sequence[Rows], backup: Rows) -> Rounding:
    """The bounds that a certificate's claims must meet.

    Raises:
        DomainError: where a denominator or root meets its edge, or a value may overflow.
    """
    box = {n: Interval(*ends) for n, ends in model.box().items()}

    def bounds(terms: Sequence[Term]) -> list[Bound]:
        return [analyse(t, box, model.arithmetic.ulps) for t in terms]

    steps, backups = bounds(model.steps), bounds(backup)
    tests = [bounds(test_terms(model, part, model.steps)) for part in rows]
    plant = {n: b.error for n, b in zip(model.state_names, steps, strict=True)}
    if model.arithmetic.state == "float32":
        for n, b in zip(model.state_names, steps, strict=True):
            size = Fraction(b.range.magnitude) + b.error
            if size >= 2**127:
                raise DomainError("a next state may overflow float32")
            plant[n] += size / 2**23 + Fraction(1, 2**149)
    for s in subterms(model.terminal):
        if isinstance(s, Compare) and any(b.error for b in bounds([s.left, s.right])):
            raise DomainError(f"terminal: {s} is not exact in floats")
    guards = [b.guards for b in (*steps, *backups, *(b for part in tests for b in part))]
    return Rounding(
        plant=plant,
        backup=tuple(
            b.error + TINY_STEP * (abs(c.low) + abs(c.high))
            for b, c in zip(backups, model.action, strict=True)
        ),
        test=tuple(tuple(b.error for b in part) for part in tests),
        guard=max(guards),
    )


def domain(certificate: Certificate) -> str:
    """The goal ``domain``: "" if every claim on rounding covers what is derived here, else the reason."""
    model, shield = certificate.model, certificate.shield
    try:
        derived = rounding_of(model, shield.invariant, shield.backup).named()
    except DomainError as error:
        return str(error)
    for place, claim in certificate.rounding.named().items():
        if claim < derived[place]:
            return (
                f"rounding.{place} claims {float(claim):.3g}; {float(derived[place]):.3g} is needed"
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
    part = any(all(enclose(g, x).lo >= 0 for g in rows) for rows in shield.invariant)
    chosen = tuple(u[n] for n in model.action_names)
    allowed = inside(u) and (model.choices is None or chosen in model.choices)

    def at_least(t: Term, margin: Fraction) -> bool:
        try:
            return enclose(t, {**x, **u}).lo >= margin
        except DomainError:
            return False

    passes = any(
        all(map(at_least, test_terms(model, rows, model.steps), margins))
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
