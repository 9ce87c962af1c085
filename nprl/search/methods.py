"""The learners, by name."""

from __future__ import annotations

from nprl.distill.fitters import FITTERS, STUDENTS
from nprl.distill.imitation import Imitation
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
IMITATIONS: dict[str, Learner] = {
    f"dagger-{name}": Imitation(f"dagger-{name}", fitter, STUDENTS.get(name))
    for name, fitter in FITTERS.items()
}
"""They fit whole programs to a teacher's answers."""
FROM_TEACHER: dict[str, Learner] = {"near": near, "relaxation": relaxed} | IMITATIONS
"""They need a teacher or demonstrations."""
METHODS = FROM_RETURN | FROM_TEACHER
