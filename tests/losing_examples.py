"""A system that drifts away, a claim that nothing keeps it, and claims about it that are wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction as F
from typing import Any

from nprl.lang.terms import Num, Term, Var, term
from nprl.model import Coordinate, Model
from nprl.shields import exact as standalone
from nprl.shields.certificate import CertificateError
from nprl.shields.checker import check
from nprl.shields.load import claim_from_json
from nprl.shields.losing import Impossible, Part, losing_goals
from nprl.shields.synthesis.impossible.losing import proved
from nprl.shields.synthesis.proofs.prove import prove
from nprl.shields.synthesis.proofs.search import NotProved, Search

X, U, W = Var("x"), Var("u"), Var("w")


def drift(**changes: Any) -> Model:
    """A wind of up to 0.2 against an input of up to 0.1; x <= 1 is safe, x <= -1 the harbour."""
    model = Model(
        name="test/Drift-v0",
        state=(Coordinate("x", "m", F(-2), F(2)),),
        action=(Coordinate("u", "m", F(-1), F(1)),),
        disturbance=(Coordinate("w", "m", F(-1, 5), F(1, 5)),),
        step={X: X + U * F(1, 10) + W},
        init={X: (F(0), F(1, 2))},
        safe=X <= 1,
        terminal=X <= -1,
    )
    return replace(model, **changes) if changes else model


def claimed(
    model: Model,
    rows: tuple[Term, ...] = (X,),
    rank: Term = 1 - X,
    wind: Term | F = F(1, 5),
    decrease: F = F(1, 10),
    start: F = F(0),
) -> Impossible:
    """A claim without proofs, right as it stands."""
    part = Part(rows, term(rank), {"w": term(wind)} if model.disturbance else {})
    return Impossible(model, (part,), decrease, {"init": {"x": start}})


def lost() -> Impossible:
    """The claim that the wind drives every ship out, proved."""
    return proved(claimed(drift()))


def attempted(draft: Impossible) -> Impossible:
    """The claim with a proof of each goal that can be proved, and a leaf of nothing for the others."""
    proofs: dict[str, Any] = {}
    for goal, sequent in losing_goals(draft).items():
        for k in range(len(sequent.alternatives)):
            chosen = replace(sequent, alternatives=(sequent.alternatives[k],))
            try:
                tree: Any = prove(chosen, Search(seconds=20, max_depth=3))
            except NotProved:
                tree = ["leaf", [{} for _ in chosen.alternatives[0]]]
                proofs.setdefault(
                    goal, ["part", k, tree] if len(sequent.alternatives) > 1 else tree
                )
            else:
                proofs[goal] = ["part", k, tree] if len(sequent.alternatives) > 1 else tree
                break
    return replace(draft, proofs=proofs)


def refused(data: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    """The goals that Z3's checker does not prove, and those that the exact one does not.

    ``{"file"}`` where the file is refused.
    """
    text = json.dumps(data).encode()
    try:
        ours = {r.goal for r in check(claim_from_json(json.loads(text))).results if not r.proved}
    except CertificateError:
        ours = {"file"}
    try:
        theirs = {goal for goal, reason in standalone.check(text).items() if reason}
    except ValueError:
        theirs = {"file"}
    return ours, theirs


NOTHING = Num(F(0))
