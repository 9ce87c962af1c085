"""The goals: what must be proved of a certificate, built from its model and shield alone.

Fixed before any of them is tried. ``docs/certificate.md``, section 5, is the specification; the
stand-alone checker builds the same goals from the bytes of the file, without this code.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import repeat

from nprl.lang.ranges import DomainError, Interval, enclose
from nprl.lang.rounding import Analysis
from nprl.lang.terms import Compare, Num, Term, Var, subterms
from nprl.model import Coordinate, Model
from nprl.shields import sequent
from nprl.shields.certificate import Certificate, Point, Rounding
from nprl.shields.sequent import Sequent, assign, conclusions, expanded, one_of

TINY_STEP = Fraction(1, 2**49)
Rows = Sequence[Term]


def tolerant(
    terms: Sequence[Term], prefix: str, bound: Fraction
) -> tuple[tuple[Term, ...], list[Term]]:
    """The terms expanded, the k-th distinct guard ``q`` of a ``where`` read as ``q + t:<prefix>k``.

    With them the premises that each ``t`` is at most ``bound``.
    """
    seen: dict[Term, Var] = {}

    def guard(q: Term) -> Term:
        return q + seen.setdefault(q, Var(f"t:{prefix}{len(seen)}"))

    result = tuple(expanded(t, guard) for t in terms)
    return result, _at_most((t, bound) for t in seen.values())


def between(t: Term, low: Fraction, high: Fraction) -> list[Term]:
    """The terms that are >= 0 where ``low <= t <= high``."""
    return [t - low, high - t]


def box(coordinates: Sequence[Coordinate]) -> list[Term]:
    """The terms that are >= 0 where each coordinate is within its bounds."""
    return [s for c in coordinates for s in between(Var(c.name), c.low, c.high)]


def _at_most(bounds: Iterable[tuple[Var, Fraction]]) -> list[Term]:
    """``|v| <= bound``, for each."""
    return [s for v, bound in bounds for s in (bound - v, v + bound)]


def test_terms(model: Model, part: Rows, steps: Rows) -> list[Term]:
    """``T_i(x, u)``: the rows of a part at the nominal next state; what the run-time shield computes.

    ``steps`` are the model's, or a copy of them.
    """
    centre = {n: Num(v) for n, v in model.nominal().items()}
    after = [assign(t, centre) for t in steps]
    return [assign(g, dict(zip(model.state_names, after, strict=True))) for g in part]


def goals(certificate: Certificate) -> dict[str, Sequent]:
    """Every goal that needs a proof object, by id, in order. `domain` and `witness/...` need none."""
    model, shield, rounding = certificate.model, certificate.shield, certificate.rounding
    rows = [[expanded(g) for g in part] for part in shield.invariant]
    plant, plant_off = tolerant(model.steps, "plant", rounding.guard)
    again, test_off = tolerant(model.steps, "test", rounding.guard)
    backup, backup_off = tolerant(shield.backup, "backup", rounding.guard)
    errors = _at_most((Var(f"e:{n}"), rounding.plant[n]) for n in model.state_names)
    xbox = box(model.state)
    free = [*xbox, *box(model.action), *box(model.disturbance), *errors]
    near = [
        s
        for c, b, e in zip(model.action, backup, rounding.backup, strict=True)
        for s in (e - (Var(c.name) - b), e + (Var(c.name) - b))
    ]
    targets = [[(c.low, c.high) for c in model.action]]
    if model.choices is not None:
        targets = [[(v, v) for v in choice] for choice in model.choices]
    pairs = [zip(backup, target, strict=True) for target in targets]
    actions = tuple(conclusions(s for b, ends in p for s in between(b, *ends)) for p in pairs)
    after = {n: t + Var(f"e:{n}") for n, t in zip(model.state_names, plant, strict=True)}
    kept = tuple(conclusions(assign(g, after) for g in part) for part in rows)

    start = [s for n in model.state_names for s in between(Var(n), *model.init[n])]
    result = {"init": Sequent(tuple(start), tuple(map(conclusions, rows)))}
    for q, part in enumerate(rows):
        for c, clause in enumerate(sequent.conjunctive(model.safe)):
            result[f"safe/{q}/{c}"] = one_of(clause, *part, *xbox)
        result[f"ranges/{q}"] = Sequent(tuple(part), (conclusions(xbox),))
        result[f"action/{q}"] = Sequent((*part, *xbox, *backup_off), actions)
        for k, alternative in enumerate(sequent.disjunctive(model.terminal, positive=False)):
            going = [t for t, _ in alternative]
            before = (*part, *free, *near, *going, *plant_off, *backup_off)
            result[f"backup/{q}/{k}"] = Sequent(before, kept)
        tested = zip(
            test_terms(model, part, again), shield.margins[q], rounding.test[q], strict=True
        )
        passed = [t - m + e for t, m, e in tested]
        result[f"test/{q}"] = Sequent((*free, *passed, *plant_off, *test_off), (kept[q],))
    return result


def rounding_of(model: Model, rows: Sequence[Rows], backup: Rows) -> Rounding:
    """The bounds that a certificate's claims must meet.

    Raises:
        DomainError: where a denominator or root meets its edge, or a value may overflow.
    """
    seen = Analysis({n: Interval(*ends) for n, ends in model.box().items()}, model.arithmetic.ulps)
    plant = {}
    for n, (span, error) in zip(model.state_names, map(seen.of, model.steps), strict=True):
        plant[n] = error
        if model.arithmetic.state == "float32":
            size = Fraction(span.magnitude) + error
            if size >= 2**127:
                raise DomainError("a next state may overflow float32")
            plant[n] += size / 2**23 + Fraction(1, 2**149)
    claims = Rounding(
        plant=plant,
        backup=tuple(
            seen.of(b)[1] + TINY_STEP * (abs(c.low) + abs(c.high))
            for b, c in zip(backup, model.action, strict=True)
        ),
        test=tuple(
            tuple(seen.of(t)[1] for t in test_terms(model, part, model.steps)) for part in rows
        ),
        guard=seen.guards,
    )
    for s in subterms(model.terminal):
        if isinstance(s, Compare) and (seen.of(s.left)[1] or seen.of(s.right)[1]):
            raise DomainError(f"terminal: {s} is not exact in floats")
    return claims


def domain(certificate: Certificate) -> str:
    """The goal ``domain``: "" if every claim on rounding covers what is derived here, else the reason."""
    model, shield = certificate.model, certificate.shield
    try:
        derived = rounding_of(model, shield.invariant, shield.backup).named()
    except DomainError as error:
        return str(error)
    for place, claim in certificate.rounding.named().items():
        if claim < derived[place]:
            least = float(derived[place])
            return f"rounding.{place} claims {float(claim):.3g}; {least:.3g} is needed"
    return ""


def starts(model: Model, x: Point) -> bool:
    """Whether a point is an initial state."""
    return all(model.init[n][0] <= v <= model.init[n][1] for n, v in x.items())


def at_least(t: Term, at: Point, margin: Fraction = Fraction(0)) -> bool:
    """Whether the value at a point is certainly ``margin`` or more."""
    return enclose(t, at).lo >= margin


def witnesses(certificate: Certificate) -> dict[str, str]:
    """The goals ``witness/...``: "" if the point is what it is said to be, else the reason."""
    model, shield, points = certificate.model, certificate.shield, certificate.witness
    x, u = points["invariant"], points["action"]
    bounds, at = model.box(), {**x, **u}

    def inside(point: Point) -> bool:
        return all(bounds[n][0] <= v <= bounds[n][1] for n, v in point.items())

    allowed = model.choices is None or tuple(u[n] for n in model.action_names) in model.choices
    passes = any(
        all(map(at_least, test_terms(model, rows, model.steps), repeat(at), margins))
        for rows, margins in zip(shield.invariant, shield.margins, strict=True)
    )
    found = {
        "init": starts(model, points["init"]),
        "invariant": inside(x) and any(all(at_least(g, x) for g in p) for p in shield.invariant),
        "action": inside(u) and allowed,
        "disturbance": inside(points["disturbance"]),
        "test": passes,
    }
    return {
        f"witness/{k}": "" if holds else "the point given is no witness"
        for k, holds in found.items()
    }
