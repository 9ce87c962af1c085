"""A discrete model of a differential equation, and the same again from what the model states.

The equation stands in the model's ``integrator``, so in its digest and in every certificate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from nprl.flow.between import tightened
from nprl.flow.enclosure import FlowError
from nprl.flow.formulas import Field, euler, runge_kutta, semi_implicit_euler
from nprl.flow.taylor import Flow
from nprl.lang.ranges import Interval
from nprl.lang.terms import Formula, Operand, Term, Var, nodes, term
from nprl.lang.text import formula_to_text, parse, parse_formula, to_text
from nprl.model import Coordinate, Model

METHODS: dict[str, tuple[str, Callable[[Field, Fraction], dict[str, Term]]]] = {
    "euler": ("Euler's method", euler),
    "semi-implicit euler": ("semi-implicit Euler method", semi_implicit_euler),
    "rk4": ("Runge-Kutta method of order 4", runge_kutta),
}
"""Integrators whose map is the model: in words, and as terms."""
EXACT = "exact flow by a Taylor polynomial of order "
HELD = "inputs held over each step"
REMAINDER = "remainder_"
"""Begins the names of the disturbances that stand for what the polynomial leaves out."""
BETWEEN = "safe between samples, too: "
STATED = "the model is the map of the stated integrator, not the solution of the equation"
ENCLOSED = (
    "the solution at each sample is enclosed by nprl.flow (rational interval arithmetic, outward), "
    "outside the checked kernel; what is shown impossible is so for the enclosure"
)
MAX_ORDER = 8
MAX_NODES = 20_000


@dataclass(frozen=True, slots=True)
class Statement:
    """What a model states of its equation."""

    draft: Model
    """The model with the right-hand side as its step, without remainders, with the safe set meant."""
    ode: Field
    """The right-hand side, in the order in which it is written."""
    method: str
    order: int
    held: bool
    between: bool


def sampled(
    ode: Mapping[Any, Operand],
    *,
    name: str,
    state: Sequence[Coordinate],
    action: Sequence[Coordinate],
    dt: Fraction,
    init: Mapping[Any, tuple[Fraction, Fraction]],
    safe: Formula,
    disturbance: Sequence[Coordinate] = (),
    method: str = "flow",
    order: int = 2,
    held: bool = False,
    between: bool | None = None,
    **others: Any,
) -> Model:
    """The model of ``x' = ode(x, u, w)``, sampled every ``dt`` seconds, the input held in between.

    Args:
        ode: the derivative of each state coordinate, per second, over state, action, disturbance.
        name: of the model; and so ``state``, ``action``, ``init``, ``safe``, ``disturbance``.
        state: closed, finite bounds; the flow is enclosed from all of them.
        action: held constant over each step.
        dt: seconds, an exact number above 0.
        init: as of a `Model`.
        safe: as of a `Model`; with ``between`` it is kept at all times, and the model's is smaller.
        disturbance: within its bounds; for a flow it may be any measurable function of time,
            unless ``held``; the integrators take it as constant over each step.
        method: ``flow`` encloses the exact solution: what the Taylor polynomial leaves out is a
            disturbance ``remainder_x`` of each coordinate. ``euler``, ``semi-implicit euler``
            (coordinates in the order of ``ode``, each with the new values of those before) and
            ``rk4`` are the stated maps, exactly.
        order: of the polynomial, 1 to 8.
        held: whether the disturbance of a flow is constant over each step.
        between: whether the safe set is to be kept between samples, too; for a flow it is, if None.
        **others: as of a `Model`: ``reward``, ``horizon``, ``choices``, ``notes``, ...

    Raises:
        FlowError: for what cannot be enclosed, or a method that is not there.
        ModelError: as a `Model`.
    """
    draft = Model(
        name=name,
        state=tuple(state),
        action=tuple(action),
        disturbance=tuple(disturbance),
        step=ode,
        init=init,
        safe=safe,
        dt=dt,
        **others,
    )
    if between is None:
        between = method == "flow"
    names = [k.name if isinstance(k, Var) else str(k) for k in ode]  # their order counts
    return build(
        Statement(draft, {n: term(draft.step[n]) for n in names}, method, order, held, between)
    )


def build(stated: Statement) -> Model:
    """The model of a statement.

    Raises:
        FlowError: as `sampled`.
    """
    draft, method = stated.draft, stated.method
    dt = draft.dt
    if dt is None or dt <= 0:
        raise FlowError(f"dt is a positive number of seconds; got {dt}")
    if method == "flow":
        return _enclosed(stated, dt)
    if method not in METHODS:
        raise FlowError(f"method is one of flow, {', '.join(METHODS)}; got {method!r}")
    if stated.between:
        raise FlowError(
            f"{method} says nothing of what is between samples; take method='flow', or between=False"
        )
    terms = METHODS[method][1](stated.ode, dt)
    size = max(map(nodes, terms.values()))
    if size > MAX_NODES:
        raise FlowError(
            f"the map of {method} has {size} nodes, at most {MAX_NODES} are accepted; take "
            "method='flow' or 'euler'"
        )
    return replace(draft, step=terms, integrator=_words(stated), provenance=STATED)


def _enclosed(stated: Statement, dt: Fraction) -> Model:
    draft, order = stated.draft, stated.order
    if type(order) is not int or not 1 <= order <= MAX_ORDER:
        raise FlowError(f"order is a whole number from 1 to {MAX_ORDER}; got {order!r}")
    for c in draft.disturbance:
        if c.name.startswith(REMAINDER):
            raise FlowError(f"{c.name}: the prefix {REMAINDER!r} is kept; take another name")
    flow = Flow(draft, dt, stated.held)
    terms, rests = flow.step(order)
    added = []
    for c in draft.state:
        rest = rests[c.name]
        if rest == Interval(Fraction(0), Fraction(0)):
            continue
        e = Coordinate(REMAINDER + c.name, c.unit, Fraction(rest.lo), Fraction(rest.hi))
        terms[c.name] = terms[c.name] + Var(e.name)
        added.append(e)
    return replace(
        draft,
        step=terms,
        disturbance=(*draft.disturbance, *added),
        safe=tightened(draft.safe, flow) if stated.between else draft.safe,
        integrator=_words(stated),
        provenance=ENCLOSED,
    )


def _words(stated: Statement) -> str:
    """The statement as text, which `statement` reads."""
    draft = stated.draft
    exactly = stated.method == "flow"
    what = f"{EXACT}{stated.order}" if exactly else METHODS[stated.method][0]
    parts = [what, *(f"{n}' = {to_text(f)}" for n, f in stated.ode.items()), HELD]
    if draft.disturbance:
        names = ", ".join(draft.disturbance_names)
        how = "constant over each step" if stated.held or not exactly else "any function of time"
        parts.append(f"{names}: {how}")
    if stated.between:
        parts.append(BETWEEN + formula_to_text(draft.safe))
    return "; ".join(parts)


def statement(model: Model) -> Statement | None:
    """What a model states of its equation in its ``integrator``; None where it states none.

    Raises:
        FlowError: where it begins as a statement does, and goes on otherwise.
    """
    what, *rest = model.integrator.split("; ")
    named = {words: method for method, (words, _) in METHODS.items()}
    if not rest or not (what in named or what.startswith(EXACT)):
        return None
    ode: dict[str, Term] = {}
    safe, held, between = model.safe, False, False
    try:
        for part in rest:
            if part.startswith(BETWEEN):
                safe, between = parse_formula(part.removeprefix(BETWEEN)), True
            elif "' = " in part:
                name, _, text = part.partition("' = ")
                ode[name] = parse(text)
            elif part.endswith(": constant over each step"):
                held = True
        method = named.get(what, "flow")
        order = int(what.removeprefix(EXACT)) if method == "flow" else 2
        own = tuple(c for c in model.disturbance if not c.name.startswith(REMAINDER))
        draft = replace(model, step=ode, disturbance=own, safe=safe)
    except ValueError as error:
        raise FlowError(f"the statement of the model's equation is not readable: {error}") from None
    return Statement(draft, ode, method, order, held and method == "flow", between)


def recheck(model: Model) -> tuple[str, ...]:
    """Compute the model anew from the equation that it states: what differs, nothing if all is the same.

    Raises:
        FlowError: where it states no equation, or one that cannot be enclosed.
    """
    stated = statement(model)
    if stated is None:
        raise FlowError(f"{model.name} states no differential equation: {model.integrator[:80]}")
    again = build(stated)
    pairs: list[tuple[str, object, object]] = [
        (f"the step of {n}", model.step[n], again.step[n]) for n in model.state_names
    ]
    pairs += [
        ("the disturbance", model.disturbance, again.disturbance),
        ("the safe set", model.safe, again.safe),
        ("the words of the integrator", model.integrator, again.integrator),
    ]
    return tuple(what for what, old, new in pairs if old != new)
