"""Impossibility: the claim that no controller keeps S from one initial state, its reader, its goals.

The data is a set L of losing states with a rank that falls while the disturbance plays as the parts
of L say. ``docs/certificate.md``, section 7, is the specification; the stand-alone checker builds
the same goals from the bytes of the file, without this code. It proves nothing:
`nprl.shields.checker` decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from nprl.lang.schema import NUMBER, TERM, Shape, many, record, table
from nprl.lang.terms import Formula, Num, Term
from nprl.model import Model
from nprl.shields import sequent
from nprl.shields.certificate import CertificateError, Claim, Point, check_known, claim
from nprl.shields.goals import at_least, between, box, starts
from nprl.shields.sequent import Conclusion, Sequent, assign, conclusions, expanded, one_of

FORMAT = "nprl-impossible/1"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of L: its rows (each meant >= 0), the rank there, the disturbance's answer to x and u."""

    rows: tuple[Term, ...]
    rank: Term
    disturbance: Mapping[str, Term]


@dataclass(frozen=True, slots=True)
class Impossible(Claim):
    """The claim that from ``witness["init"]`` the disturbance leaves S, whatever the controller does."""

    model: Model
    losing: tuple[Part, ...]
    decrease: Fraction
    witness: Mapping[str, Point]
    proofs: Mapping[str, Any] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse shapes and names that do not fit the model."""
        model = self.model
        if not self.losing or self.decrease <= 0:
            raise CertificateError("losing: at least one part; decrease: above 0")
        for part in self.losing:
            if set(part.disturbance) != set(model.disturbance_names):
                raise CertificateError("losing: a part has one answer for each disturbance")
            check_known("rows and rank", (*part.rows, part.rank), model.state_names)
            known = (*model.state_names, *model.action_names)
            check_known("the disturbance's answer", part.disturbance.values(), known)
        if {k: set(point) for k, point in self.witness.items()} != {"init": set(model.state_names)}:
            raise CertificateError("witness: the point init, by name")


_PART = record(Part, {"rows": many(TERM), "rank": TERM, "disturbance": table(TERM)})
_PARTS: dict[str, Shape[Any]] = {"losing": many(_PART), "decrease": NUMBER}
Impossible.shape = IMPOSSIBLE = claim(Impossible, _PARTS, FORMAT)
"""How an impossibility certificate stands in a file: section 7 of docs/certificate.md."""


def outside(safe: Formula) -> list[tuple[Conclusion, ...]]:
    """The alternatives of being unsafe."""
    return [tuple(Conclusion(*q) for q in part) for part in sequent.disjunctive(safe, False)]


def losing_goals(given: Impossible) -> dict[str, Sequent]:
    """Every goal that needs a proof object, by id."""
    model, names = given.model, given.model.state_names
    steps = [expanded(t) for t in model.steps]
    rows = [[expanded(g) for g in part.rows] for part in given.losing]
    ranks = [expanded(part.rank) for part in given.losing]
    inputs: list[dict[str, Term]] = [{}]
    if model.choices is not None:
        inputs = [dict(zip(model.action_names, map(Num, u), strict=True)) for u in model.choices]
    result: dict[str, Sequent] = {}
    for q, (part, own, rank) in enumerate(zip(given.losing, rows, ranks, strict=True)):
        for c, clause in enumerate(sequent.conjunctive(model.terminal, False)):
            result[f"live/{q}/{c}"] = one_of(clause, *own)
        for k, alternative in enumerate(sequent.disjunctive(model.safe)):
            here = (*own, *(t for t, _ in alternative))
            result[f"rank/{q}/{k}"] = Sequent(here, (conclusions([rank]),))
            for a, u in enumerate(inputs):
                answer = {w: assign(expanded(t), u) for w, t in part.disturbance.items()}
                after = {n: assign(t, u | answer) for n, t in zip(names, steps, strict=True)}
                allowed = conclusions(
                    s for w in model.disturbance for s in between(answer[w.name], w.low, w.high)
                )
                alternatives = [
                    conclusions([*(assign(g, after) for g in there), rank - given.decrease - then])
                    for there, then in zip(rows, (assign(r, after) for r in ranks), strict=True)
                ]
                alternatives += outside(assign(model.safe, after)) + outside(model.safe)
                chosen = (*here, *box(model.action))
                result[f"strategy/{q}/{k}/{a}"] = Sequent(chosen, (allowed,))
                result[f"losing/{q}/{k}/{a}"] = Sequent(chosen, tuple(alternatives))
    return result


def losing_witness(given: Impossible) -> dict[str, str]:
    """The goal ``witness/init``: "" if the point is an initial state in L, else the reason."""
    x, model = given.witness["init"], given.model
    ok = starts(model, x) and any(all(at_least(g, x) for g in p.rows) for p in given.losing)
    return {"witness/init": "" if ok else "the point given is no initial state in L"}
