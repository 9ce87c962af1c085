"""The bound on the rounding of one term: `nprl.lang.rounding`, asked once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from nprl.lang.ranges import Interval
from nprl.lang.rounding import Analysis
from nprl.lang.terms import Term


@dataclass(frozen=True, slots=True)
class Bound:
    """What holds of a term over a box."""

    range: Interval
    """Holds the real value."""
    error: Fraction
    """At least |float - real|, on the branches that the float code takes."""
    guards: Fraction
    """At least |float - real| of ``l - r``, for every comparison ``l ~ r`` inside a `where`."""


def analyse(
    t: Term,
    box: Mapping[str, Interval],
    ulps: int = 4,
    errors: Mapping[str, Fraction] | None = None,
) -> Bound:
    """Bound the rounding of ``t``, evaluated in float64 at any float point of ``box``.

    With ``errors``: at any real point of which the evaluation sees each coordinate that far off.

    Raises:
        DomainError, KeyError: as `nprl.lang.rounding.Analysis`.
    """
    analysis = Analysis(box, ulps, errors)
    value, error = analysis.of(t)
    return Bound(value, error, analysis.guards)
