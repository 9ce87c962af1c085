"""What a theorem of a discrete model says of the continuous time that it was made from."""

from __future__ import annotations

from nprl.flow.enclosure import FlowError
from nprl.flow.sampled import recheck, statement
from nprl.lang.text import formula_to_text
from nprl.model import Model

OPEN = "what happens between sampling instants"


def continuous(model: Model) -> tuple[tuple[str, ...], str]:
    """Lines on the equation that the model states, computed anew now, and what stays open of time.

    No lines where it states none. A statement that is not confirmed claims nothing.
    """
    try:
        stated = statement(model)
        if stated is None:
            return (), OPEN
        differing = recheck(model)
    except (FlowError, RecursionError) as error:
        return (f"continuous time: NOTHING IS CLAIMED, the statement fails: {error}",), OPEN
    if differing:
        found = ", ".join(differing)
        return (f"continuous time: NOTHING IS CLAIMED, the equation gives other: {found}",), OPEN
    if stated.method != "flow":
        return ("computed anew from the equation that is stated, the step is the same",), OPEN
    parts = "step, remainders and safe set are" if stated.between else "step and remainders are"
    lines = (f"continuous time: computed anew from the equation that is stated, {parts} the same",)
    if not stated.between:
        return lines, OPEN
    safe = formula_to_text(stated.draft.safe)
    kept = f"a plant that follows the equation is also between samples, at all times, in: {safe}"
    return (*lines, kept), "samples that are late, early or not exact"
