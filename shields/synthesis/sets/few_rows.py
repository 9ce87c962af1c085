"""A control-invariant polytope of few rows: the one for weaker inputs, with the rows that full inputs can spare.

Where a braking curve is a row for each step that braking takes, most of these are close to their
neighbours. The set for a part of the inputs lies inside; without a row it is larger, and may still
be kept by all of the inputs. Rows go as long as it is.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nprl.shields.synthesis.budget import Budget
from nprl.shields.synthesis.sets.control_invariant import control_invariant, predecessor
from nprl.shields.synthesis.views.linearise import Inclusion
from nprl.shields.synthesis.views.numeric import Array
from nprl.shields.synthesis.views.polytope import vertices

PART = 0.6
"""Of the inputs."""
CONTRACTION, SLACK = 0.9999, 0.25


def few_rows(maps: Inclusion, budget: Budget | None = None) -> Array | None:
    """Rows ``h z <= 1`` of a control-invariant polytope, or None.

    Raises:
        OutOfTime: where the budget's time is over.
    """
    weak = replace(maps, lows=PART * maps.lows, highs=PART * maps.highs)
    h = control_invariant(weak, budget)
    if h is None:
        return None
    while (shorter := _spared(maps, h)) is not None:
        h = shorter
    return h


def _spared(maps: Inclusion, h: Array) -> Array | None:
    """The polytope without rows that can go, none next to another; None if there are none.

    A row is asked for in the order of what is missed least; its neighbours wait for the next round,
    for they miss more without it.
    """
    corners = vertices(h)
    assert corners is not None
    on = np.abs(h @ corners.T - 1) < 1e-7
    reach = []
    for i in range(len(h)):
        wider = vertices(np.delete(h, i, axis=0))
        reach.append(np.inf if wider is None else float((wider @ h[i]).max()))
    keep = np.ones(len(h), dtype=bool)
    waits = np.isinf(reach)
    for i in np.argsort(reach):
        if waits[i]:
            continue
        keep[i] = False
        if _kept(maps, h[keep]):
            waits |= (on & on[i]).any(axis=1)
        else:
            keep[i] = True
    return None if keep.all() else h[keep]


def _kept(maps: Inclusion, h: Array) -> bool:
    corners = vertices(h)
    if corners is None or (maps.h @ corners.T).max() > 1 + 1e-9:
        return False
    before = predecessor(maps, h, CONTRACTION)
    return before is not None and bool((before @ corners.T).max() <= 1 + SLACK * (1 - CONTRACTION))
