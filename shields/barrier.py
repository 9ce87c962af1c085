"""Barriers and programs that others made: each obligation proved, or refuted by a run, or left open.

A barrier is a set of states, given as polynomial inequalities; the program is what shall keep it.
Falsify first: runs from the set's boundary, corners and inside, then points that break a goal. What
is not refuted is proved goal by goal, with the program in the place of the backup, and becomes a
certificate like any other, which both checkers verify.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from nprl.lang.floats import compile_batch
from nprl.lang.terms import Term
from nprl.model import Model
from nprl.program import Program
from nprl.shields.counterexample import point_text, values_at
from nprl.shields.escape import escape, steps_of
from nprl.shields.obligations import BarrierReport, Finding, Parts, prove_obligations
from nprl.shields.polynomial import polynomial
from nprl.shields.program_loop import ClosedLoop
from nprl.shields.sampling import Floats, part_of
from nprl.shields.synthesis.proofs.bernstein import from_polynomial

SHORT_BITS = 30
DIGITS = 6
SAMPLES = 3_000


def check_barrier(
    model: Model,
    parts: Parts,
    program: Program,
    seconds: float = 60.0,
    progress: Callable[[str], None] | None = None,
) -> BarrierReport:
    """Prove or refute that ``program`` keeps the union of ``parts`` (rows meant ``>= 0``).

    ``seconds`` bound the searches for proofs; they can only turn an answer into "not proved".

    Raises:
        ValueError: for a program or rows that do not fit the model.
        DomainError: for a program without a sure value.
    """
    start = time.monotonic()
    tell = progress or (lambda _: None)
    found = BarrierReport(model, parts)
    loop = ClosedLoop.of(model, program)
    _inputs(found, loop)
    tell("runs from inside the set")
    run = escape(model, parts, loop.act)
    if run is not None:
        found.counterexamples.append(run)
        _rests_on_bound(found, loop)
    short = tuple(tuple(_short(g) for g in part) for part in parts)
    if short != parts:
        found.notes.append(
            f"proofs are about the set with coefficients rounded to {DIGITS} digits; "
            "what is refuted is refuted of the set as given"
        )
    prove_obligations(found, loop, short, start + seconds, tell)
    found.seconds = time.monotonic() - start
    return found


def _short(g: Term) -> Term:
    p = polynomial(g)
    if all(_bits(c) <= SHORT_BITS for c in p.values()):
        return g
    return from_polynomial({m: _rounded(c) for m, c in p.items()})


def _bits(c: Fraction) -> int:
    return max(c.numerator.bit_length(), c.denominator.bit_length())


def _rounded(c: Fraction) -> Fraction:
    return c if _bits(c) <= SHORT_BITS else Fraction(f"{float(c):.{DIGITS - 1}e}")


def _inside(model: Model, parts: Parts) -> Floats:
    """Points of the set within the model's ranges."""
    rng = np.random.default_rng(0)
    middle = np.array([float(a + b) / 2 for a, b in model.init.values()])
    regions = [part_of(model, list(p), middle) for p in parts]
    every = [r.points(SAMPLES, rng) for r in regions if r is not None]
    if not every:
        return np.zeros((0, len(model.state)))
    x = np.vstack(every)
    low, high = np.array([[float(c.low), float(c.high)] for c in model.state]).T
    return np.asarray(x[((x >= low) & (x <= high)).all(axis=1)])


def _inputs(found: BarrierReport, loop: ClosedLoop) -> None:
    """Note whether the program asks for more than the bounds of the inputs, and where."""
    model = found.model
    x = _inside(model, found.parts)
    if not len(x) or not model.action:
        return
    raw = _unclipped(loop)(x)
    for j, c in enumerate(model.action):
        beyond = np.maximum(raw[:, j] - float(c.high), float(c.low) - raw[:, j])
        k = int(beyond.argmax())
        if beyond[k] > 1e-9 * max(abs(float(c.low)), abs(float(c.high))):
            found.notes.append(
                f"the program breaks the bounds of {c.name} in the set: at "
                f"{point_text(values_at(model.state_names, x[k]))} it asks for {raw[k, j]:.6g}, "
                f"the bounds are {float(c.low):g} and {float(c.high):g}; what runs, and what is "
                "examined here, is clipped"
            )


def _unclipped(loop: ClosedLoop) -> Callable[[Floats], Floats]:
    program = loop.program
    terms = program.clipped if program.scores else program.output
    f = compile_batch(terms, [[i.name for i in program.inputs]])

    def act(x: Floats) -> Floats:
        return np.stack([np.broadcast_to(v, (len(x),)) for v in f(loop.observe(x))], axis=1)

    return act


def _rests_on_bound(found: BarrierReport, loop: ClosedLoop) -> None:
    """Where the clipped program leaves the set, and the unclipped one does not: say so."""
    if not found.notes:
        return
    if escape(found.model, found.parts, _unclipped(loop)) is None:
        found.notes.append(
            "without the clip no run was found that leaves the set: the barrier rests on an input "
            "bound that its program breaks"
        )


def in_words(found: BarrierReport) -> str:
    """The report of a barrier, several lines."""
    width = max((len(o.text) for o in found.obligations), default=0)
    lines = []
    for o in found.obligations:
        detail = f"{o.leaves:>5} leaves {o.seconds:7.2f} s" if o.seconds else ""
        lines.append(f"  {o.text:<{width}}  {o.finding.value:<10} {detail}".rstrip())
        if o.reason:
            lines.append(f"      {o.reason}")
    lines += [f"  note: {n}" for n in found.notes]
    if found.finding is Finding.OPEN:
        looked = steps_of(found.model)
        lines.append(
            f"  no run out of the set was found either, in {looked} steps from many points"
        )
    return "\n".join(lines)
