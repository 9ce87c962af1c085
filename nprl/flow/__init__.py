"""Continuous time: a discrete `Model` from a differential equation ``x' = f(x, u, w)``.

`sampled` writes the map of a stated integrator, or an enclosure of the exact flow;
`recheck` computes it anew from the equation that the model states. See docs/continuous_time.md.
"""

from nprl.flow.enclosure import FlowError
from nprl.flow.sampled import recheck, sampled, statement

__all__ = ["FlowError", "recheck", "sampled", "statement"]
