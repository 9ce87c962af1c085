"""Programs with memory, for the prover: the registers are state of the model, the program has none.

The model that comes out has a coordinate for each register: it starts at the initial value, also as
it is rounded, and its step is the clipped update, whose observations are terms over the state, off
by as much as the model says that they are rounded. So what is proved of that model and the program
without memory holds for the program with memory in the plant: its registers are computed in float64
by the terms that stand in the step, and the checker derives the rounding of these as it does the
plant's.

A register's coordinate has room beyond the bounds of the register. Its step is clipped, so that an
invariant need not say more of it than that.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from nprl.lang.terms import Num, Term, Var, variables
from nprl.memory import Register
from nprl.model import Coordinate, Model, Observation
from nprl.program import Input, Program
from nprl.shields.certificate import Certificate
from nprl.shields.goals import rounding_of
from nprl.shields.program_loop import check_fits
from nprl.shields.sequent import assign

ROOM = Fraction(1, 16)
"""Of a register's width, on each side."""


def with_memory(model: Model, program: Program) -> tuple[Model, Program]:
    """The model with the registers of ``program`` in its state, and the program without memory.

    Raises:
        ValueError: for a program that does not fit the model, or a register that is named as
            something of the model is.
    """
    check_fits(program, model)
    seen = {o.name: o for o in model.observation}
    for r in program.registers:
        if r.name in model.box():
            raise ValueError(
                f"register {r.name}: {model.name} has a coordinate of that name; give it another"
            )
    read = {n for t in program.updates for n in variables(t)}
    off = [o for o in model.observation if o.rounding and o.name in read]
    errors = tuple(Coordinate(_error(o), "", -o.rounding, o.rounding) for o in off)
    at = {n: o.value + Var(_error(o)) if o in off else o.value for n, o in seen.items()}
    updates = {
        r.name: assign(t, at) for r, t in zip(program.registers, program.updates, strict=True)
    }
    grown = replace(
        model,
        name=f"{model.name} with memory",
        state=(*model.state, *map(_coordinate, program.registers)),
        disturbance=(*model.disturbance, *errors),
        step={**model.step, **updates},
        init={**model.init, **{r.name: _start(r) for r in program.registers}},
        observation=(
            *model.observation,
            *(Observation(r.name, Var(r.name)) for r in program.registers),
        ),
    )
    inputs = (*program.inputs, *(Input(r.name, r.unit) for r in program.registers))
    return grown, replace(program, inputs=inputs, registers=())


def lifted(certificate: Certificate, program: Program) -> tuple[Certificate, Program]:
    """The shield of ``certificate`` in the model of `with_memory`, whatever the registers hold.

    It acts as the shield itself does. It carries no proofs: those of the file are about the file.

    Raises:
        ValueError: as `with_memory`.
        DomainError: where an update meets the edge of an operator's domain.
    """
    model, plain = with_memory(certificate.model, program)
    shield, held = certificate.shield, tuple(g for r in program.registers for g in _within(r))
    invariant = tuple((*part, *held) for part in shield.invariant)
    none = (Fraction(0),) * len(held)
    shield = replace(
        shield, invariant=invariant, margins=tuple((*m, *none) for m in shield.margins), plans=None
    )
    start = {r.name: r.initial for r in program.registers}
    added = {"init": start, "invariant": start}
    added["disturbance"] = {n: Fraction(0) for n in model.disturbance_names}
    witness = {k: {**added.get(k, {}), **at} for k, at in certificate.witness.items()}
    rounding = rounding_of(model, invariant, shield.backup)
    return Certificate(model, shield, rounding, witness, {}, certificate.info), plain


def _error(o: Observation) -> str:
    return f"{o.name}_rounding"


def _start(r: Register) -> tuple[Fraction, Fraction]:
    """The initial value as written and as the float that runs, which may differ by its rounding."""
    runs = Fraction(float(r.initial))
    return min(r.initial, runs), max(r.initial, runs)


def _room(r: Register) -> Fraction:
    return ROOM * (r.high - r.low)


def _coordinate(r: Register) -> Coordinate:
    return Coordinate(r.name, r.unit, r.low - _room(r), r.high + _room(r))


def _within(r: Register) -> tuple[Term, Term]:
    """Rows that hold where the register is within half of its room; its clip is well inside."""
    half = _room(r) / 2
    return Var(r.name) - Num(r.low - half), Num(r.high + half) - Var(r.name)
