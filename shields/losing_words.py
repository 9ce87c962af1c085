"""What an impossibility certificate says, in words: its theorem, its goals, what they rest on."""

from __future__ import annotations

from nprl.lang.terms import Truth
from nprl.lang.text import formula_to_text, to_text
from nprl.shields.counterexample import Moment, point_text
from nprl.shields.losing import Impossible
from nprl.shields.losing_replay import LONGEST, SHORT, Run, bound
from nprl.shields.words import (
    ALONE,
    actions_in_words,
    disturbance_in_words,
    number,
    openness,
    plain,
    trusted,
)

GOALS = {
    "witness/init": "the point given is an initial state, and in L",
    "live": "no state of L is terminal: terminal states absorb and count as safe",
    "rank": "in the states of L that are safe the rank is at least 0",
    "strategy": "the disturbance that answers an action is within its bounds",
    "losing": "from a state of L, whatever the action, the state or the next one is not safe, or the next "
    "one is in L and its rank has fallen",
}
SHOWN = 3
"""Rows of a trace that are printed at either end."""


def theorem(claim: Impossible) -> str:
    """What is proved, for the model at hand."""
    model, most = claim.model, bound(claim)
    steps = "finitely many steps" if most is None else f"{most:,} step{'s' * (most != 1)}"
    ending = f"it has left S after at most {steps}"
    if most == 0:
        ending = "that state is not in S"
    elif model.disturbance:
        ending = f"a disturbance ({disturbance_in_words(model)})\n  makes it leave S within {steps}"
    rows = sum(len(part.rows) for part in claim.losing)
    lines = [
        f"Theorem for {plain(model.name)} (model {model.digest()[:16]}), in real arithmetic, without rounding:",
        f"  from the initial state {point_text(claim.witness['init'])}",
        f"  no controller, whatever it has seen and remembers, with actions {actions_in_words(model)},",
        f"  keeps the state in S: {ending}.",
        f"  S, {openness(model)}: {formula_to_text(model.safe)}",
        f"  L, the states that are lost: parts: {len(claim.losing)}, rows: {rows}; the rank falls by "
        f"{number(claim.decrease)} at least in each step.",
    ]
    if not isinstance(model.terminal, Truth):
        lines.append(f"  terminal, absorbing, not in L: {formula_to_text(model.terminal)}")
    lines += [
        "Not proved: anything of other initial states; that the plant is this model; that disturbances",
        "  are the worst in practice; what the plant's rounding does.",
    ]
    if model.notes:
        lines.append(f"Notes of the model: {plain(model.notes)}")
    return "\n".join(lines)


def goal_in_words(goal: str) -> str:
    """The goal's sentence."""
    return GOALS.get(goal) or GOALS.get(
        goal.split("/")[0], "a goal that this version does not know"
    )


def explain(claim: Impossible, solver: str, alone: str = ALONE) -> str:
    """L in full, the goals in words, and the trusted base."""
    lines = ["The states that are lost:"]
    for p, part in enumerate(claim.losing):
        lines.append(f"  L, part {p}: all of")
        lines += [f"    {to_text(g)} >= 0" for g in part.rows]
        lines.append(f"    rank: {to_text(part.rank)}")
        lines += [f"    {n} = {to_text(t)}" for n, t in part.disturbance.items()]
    lines.append("Goals:")
    lines += [f"  {kind}: {text}" for kind, text in GOALS.items()]
    terms = [t for p in claim.losing for t in (*p.rows, p.rank, *p.disturbance.values())]
    return "\n".join([*lines, trusted(claim.model, terms, solver, claim.proofs, alone)])


def replayed(claim: Impossible, runs: tuple[Run, ...]) -> str:
    """The replayed runs: a line for each, and the last of them as a table."""
    most = bound(claim)
    lines = [f"Replayed exactly from {point_text(claim.witness['init'])}; inputs:"]
    for run in runs:
        there = point_text(run.moments[-1].state)
        what = "outside S" if run.left else "not decided further"
        if not run.left and most is not None and most > LONGEST and run.steps == SHORT:
            what = f"still in L, as {most:,} steps are allowed"
        lines.append(f"  {run.inputs}: {what} at step {run.steps}: {there}")
    if runs:
        lines += _table(claim, runs[-1].moments)
    return "\n".join(lines)


def _table(claim: Impossible, moments: tuple[Moment, ...]) -> list[str]:
    model = claim.model
    names = (*model.state_names, *model.action_names, *model.disturbance_names)
    shown = [*moments]
    if len(moments) > 2 * SHOWN + 1:
        shown = [*moments[:SHOWN], *moments[-SHOWN:]]
    rows = [["step", *names]]
    for moment in shown:
        values = {**moment.state, **moment.action, **moment.disturbance}
        cells = [number(values[n]) if n in values else "" for n in names]
        short = [
            c if len(c) <= 12 else f"{float(values[n]):.6g}"
            for c, n in zip(cells, names, strict=True)
        ]
        rows.append([str(moment.time), *short])
    if len(shown) < len(moments):
        rows.insert(SHOWN + 1, ["..."] + [""] * len(names))
    widths = [max(len(row[i]) for row in rows) for i in range(len(names) + 1)]
    return [
        "    " + "  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
