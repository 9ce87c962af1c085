"""The learners, by name."""

from __future__ import annotations

from nprl.distill.fitters import FITTERS, STUDENTS
from nprl.distill.imitation import Imitation
from nprl.search.ars import ars
from nprl.search.evolve import evolve
from nprl.search.learner import Learner

FROM_RETURN: dict[str, Learner] = {"evolution": evolve, "ars": ars}
"""They need a task only."""
FROM_TEACHER: dict[str, Learner] = {
    name: Imitation(name, fitter, STUDENTS.get(name)) for name, fitter in FITTERS.items()
}
"""They need a teacher or demonstrations."""
METHODS = FROM_RETURN | FROM_TEACHER
