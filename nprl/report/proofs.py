"""What is said of a proof beside its verdict: what it assumes, and how permissive the set is."""

from __future__ import annotations

from dataclasses import dataclass

from nprl.flow.words import continuous
from nprl.model import Model
from nprl.shields.certificate import Certificate
from nprl.shields.synthesis.proposal import Candidate
from nprl.shields.synthesis.views.kernel import viability_bracket
from nprl.shields.synthesis.views.volume import safe_volume, volume

THEOREM = (
    "For every initial state, every disturbance within its bounds (chosen after the action), every "
    "policy, and for ever: with the shield, the state is in the safe set at each sampling instant."
)
MOST_CELLS = 1_500_000
"""Of the grid that bounds the viability kernel: what the README's figure was taken with."""


@dataclass(frozen=True, slots=True)
class Shares:
    """How much an invariant holds: of S, and of the outer bound of the viability kernel.

    None where S is not bounded by itself, or has too many dimensions for a grid (more than 3).
    """

    of_safe: float | None
    of_kernel: float | None


def volumes(certificate: Certificate, max_cells: int = MOST_CELLS) -> Shares:
    """The shares of a certificate's invariant; numbers for a report, computed in floats."""
    model, shield = certificate.model, certificate.shield
    whole = safe_volume(model)
    if whole is None:
        return Shares(None, None)
    own = volume(model, Candidate(shield.family, shield.invariant, shield.backup)).value
    try:
        outer = viability_bracket(model, max_cells=max_cells).outer
    except ValueError:
        return Shares(own / whole, None)
    return Shares(own / whole, own / outer if outer > 0 else None)


def assumptions(model: Model) -> list[str]:
    """What the theorem takes for granted, one line each."""
    kind = "float32" if model.arithmetic.state == "float32" else "float64"
    lines = [
        f"the plant is the model {model.name} (digest {model.digest()[:16]}), {model.provenance}",
        f"sampling instants only; integrator: {model.integrator}",
        *continuous(model)[0],
        f"the plant computes in float64 and stores {kind}; each of its library functions errs by "
        f"at most {model.arithmetic.ulps} ulp; the bound on its rounding is derived by the checker",
    ]
    if model.disturbance:
        lines.append(
            "disturbances stay within "
            + ", ".join(
                f"{c.name} {float(c.low):g} .. {float(c.high):g}" for c in model.disturbance
            )
        )
    return lines
