"""The learners, by name."""

from __future__ import annotations

from nprl.distill.imitation import IMITATIONS
from nprl.search.ars import ars
from nprl.search.direct import AFFINE, CUBIC, forms
from nprl.search.evolve import evolve
from nprl.search.gradient import policy_gradient
from nprl.search.learner import Learner
from nprl.search.near import near
from nprl.search.relaxed import relaxed

FROM_RETURN: dict[str, Learner] = {
    "evolution": evolve,
    "ars": ars,
    "affine": forms(AFFINE),
    "cubic": forms(CUBIC),
    "gradient": policy_gradient,
}
"""They need a task only."""
FROM_TEACHER: dict[str, Learner] = {"near": near, "relaxation": relaxed} | IMITATIONS
"""They need a teacher or demonstrations."""
METHODS = FROM_RETURN | FROM_TEACHER
