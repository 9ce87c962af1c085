"""Enumerated terms as fits: the nearest of each size and number of constants (`nprl.search.enumerate`)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from nprl.distill.dataset import Dataset
from nprl.distill.fitter import Fit, columns, joined
from nprl.program import Program
from nprl.search.enumerate import Effort, enumerate_terms
from nprl.search.grammar import Grammar


@dataclass(frozen=True, slots=True)
class Enumerated:
    """Fits what the grammar generates.

    ``nodes`` bounds the terms of one output, beside the grammar's own limits: what is larger costs
    exponentially more.
    """

    effort: Effort = field(default_factory=Effort)
    nodes: int = 11
    rows: int = 3000
    """Observations that are looked at."""

    def __call__(
        self,
        template: Program,
        data: Dataset,
        grammar: Grammar,
        seed: int = 0,
        deadline: float | None = None,
    ) -> list[Program]:
        """See `Fitter`; the deadline cuts the larger terms."""
        small = replace(
            grammar,
            max_nodes=min(grammar.max_nodes, self.nodes),
        )

        some = columns(template, data.sample(self.rows, seed), grammar)
        goals = [c.goal for c in some]
        found = enumerate_terms(
            small, some[0].observations, goals, seed, self.effort, deadline
        ).found
        return joined(template, grammar, [[Fit(f.term, f.loss) for f in one] for one in found])
