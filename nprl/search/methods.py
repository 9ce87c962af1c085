"""The learners, by name."""

from __future__ import annotations

from nprl.distill.fitters import FITTERS, STUDENTS
from nprl.distill.imitation import Imitation
from nprl.search.ars import ars
from nprl.search.direct import AFFINE, CUBIC, forms
from nprl.search.evolve import evolve
from nprl.search.learner import Learner

FROM_RETURN: dict[str, Learner] = {
    "evolution": evolve,
    "ars": ars,
    "affine": forms(AFFINE),
    "cubic": forms(CUBIC),
}
"""They need a task only."""
FROM_TEACHER: dict[str, Learner] = {
    f"dagger-{name}": Imitation(f"dagger-{name}", fitter, STUDENTS.get(name))
    for name, fitter in FITTERS.items()
}
"""They need a teacher or demonstrations."""
METHODS = FROM_RETURN | FROM_TEACHER
