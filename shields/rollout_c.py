"""Rollouts in machine code: the C of a loop around generated statements, as an extension module.

Its functions: ``run(x, u or None, first)`` is None or (policy, last, bytes of the states and the
actions), ``reach(states, lengths, first, count)`` fills an int32 array with the lengths of plans of
``count`` programs from ``first`` on, -1 for none.
`nprl.shields.rollout` says what they mean, has the same in Python, and compares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nprl.lang.c import PRELUDE, literal, statements
from nprl.lang.native import MODULE, READING, build, compiler
from nprl.lang.terms import Formula, Term
from nprl.shields.rollout_text import TEXT
from nprl.shields.tube import Tube


@dataclass(frozen=True, slots=True)
class Code:
    """The terms of one certificate's rollouts."""

    states: tuple[str, ...]
    actions: tuple[str, ...]
    margins: tuple[str, ...]
    step: tuple[Term, ...]
    """The nominal next state, over states and actions."""
    policies: tuple[tuple[Term, ...], ...]
    """The actions that are applied, over the states."""
    truths: tuple[Formula, ...]
    """Over states and margins: what S asks; and of each part of I, its rows that are not affine."""
    bounds: Mapping[str, tuple[float, float]]


LANES = 4
"""States, or programs, that are rolled out at once: a vector of AVX2, two of SSE2."""
FLAGS = ("-O3", "-fno-math-errno", "-fno-trapping-math")
"""More than the C meaning's own: loops become vectors. Of no influence on any number."""
HERE = ("-march=native",)
"""With the wider vectors of this processor, if the compiler knows the flag; nothing is fused."""


def native_rollouts(code: Code, tube: Tube, box: Sequence[tuple[float, float]]) -> Any:
    """The extension module, ready; None where nothing can be compiled."""
    command, text, module = compiler(), source(code, tube, box), None
    for flags in ((*FLAGS, *HERE), FLAGS):
        if module is None and command is not None:
            module = build((*command, *flags), text)
    if module is not None:
        affine = np.concatenate([p.affine for p in tube.parts])
        rows = np.concatenate([p.margins for p in tube.parts], axis=1)
        tables = (
            tube.low,
            tube.high,
            np.pad(np.column_stack((affine, rows.min(axis=0))), ((0, 1), (0, 0))),
            np.pad(rows, ((0, 0), (0, 1))),
            np.pad(tube.margins, ((0, 0), (0, 1))),
        )
        module.setup(*(np.ascontiguousarray(t, dtype=np.float64).tobytes() for t in tables))
    return module


def source(code: Code, tube: Tube, box: Sequence[tuple[float, float]]) -> str:
    """The extension module's text."""
    names = {n: f"x[{i}][l]" for i, n in enumerate(code.states)}
    moved = names | {n: f"v[{j}][l]" for j, n in enumerate(code.actions)}
    tested = names | {n: f"m[{k}]" for k, n in enumerate(code.margins)}
    begins = np.cumsum([0, *(len(p.affine) for p in tube.parts)]).tolist()
    lines, results = statements(code.step, moved, code.bounds)
    policies, truths = [], []
    for p, terms in enumerate(code.policies):
        body, values = statements(terms, names, code.bounds)
        body += [f"v[{j}][l] = {value};" for j, value in enumerate(values)]
        loop = f"EACH_LANE(from, to) {{ {' '.join(body)} }}"
        policies.append(f"case {p}: {loop} break;")
    for k, formula in enumerate(code.truths):
        body, (value,) = statements([formula], tested, code.bounds)
        truths.append(f"case {k}: {{ {' '.join(body)} return {value}; }}")
    return TEXT % {
        "prelude": PRELUDE, "reading": READING, "module": MODULE, "lanes": LANES,
        "states": len(code.states), "actions": len(code.actions), "margins": len(code.margins),
        "tested": int(bool(tube.clauses)),
        "policies": len(code.policies), "parts": len(tube.parts), "rows": begins[-1],
        "steps": tube.steps, "begins": ", ".join(map(str, begins)),
        "ends": ", ".join(f"{{{literal(a)}, {literal(b)}}}" for a, b in box),
        "step": "\n".join(lines + [f"next[{i}][l] = {r};" for i, r in enumerate(results)]),
        "policy": "\n".join(policies), "truth": "\n".join(truths),
    }  # fmt: skip
