"""A learner for one kind of program: DAgger with its fitter, then play, tune and judge."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nprl.distill.budget import Budget
from nprl.distill.dagger import Student
from nprl.distill.fitter import Fitter
from nprl.distill.fitters import FITTERS, STUDENTS
from nprl.distill.imitate import Imitating, nearest
from nprl.distill.learn import STUDENT_ROWS, fit_student
from nprl.distill.rollout import Rollouts, blank
from nprl.env.task import Task
from nprl.search.enumerate import Effort
from nprl.search.front import Front
from nprl.search.grammar import Grammar
from nprl.search.judge import judged
from nprl.search.learner import Progress, Source, taught
from nprl.search.work import INTERRUPTED, Clock, Work, rate


@dataclass(frozen=True, slots=True)
class Imitation:
    """The learner of what ``fitter`` fits, with DAgger's students of ``student``.

    Without one the students are affine forms or small trees (`fit_student`).
    """

    method: str
    fitter: Fitter
    student: Fitter | None = None

    def __call__(
        self,
        source: Source,
        grammar: Grammar,
        work: Work,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Front:
        """The front of programs that imitate the teacher, as they are and tuned on the return.

        Raises:
            ValueError: for a source without a teacher and without data, a grammar with a sketch or
                memory, or spaces that programs do not know (see `blank`).
        """
        source = taught(source, self.method)
        grammar.refuse(self.method, scores=True)
        say = progress or (lambda text: None)
        task = source.task
        template = blank(task, grammar.scores)
        budget = of_work(work, task)
        clock = Clock(work, say)
        tuning = Rollouts(task, work.tuning_seeds(seed), work.jobs)
        refining = Rollouts(task, work.refining_seeds(seed), work.jobs)
        run = Imitating(source, template, grammar, budget, tuning, seed, clock, say, refining)
        student: Student = fit_student
        if self.student is not None:
            student = nearest(self.student, grammar, fit_student, STUDENT_ROWS)
        try:
            run.gather(student, work.jobs)
            run.fit({self.method: self.fitter})
            run.tune(run.play())
        except KeyboardInterrupt:
            clock.tell(INTERRUPTED)
        finally:
            tuning.close()
            refining.close()
        return judged(task, run.best, self.method, grammar, work, clock)


def of_work(work: Work, task: Task) -> Budget:
    """The budget of an imitation that may do so much."""
    minutes = work.search_steps / (0.6 * rate(task))
    some = Budget.of(task.rolled is not None)
    return replace(
        some,
        rounds=min(20, 3 + round(minutes)),
        enumeration=Effort().times(minutes / 3),
        evaluations=work.evaluations,
        steps=max(1, work.tuning_steps),
        guard_s=work.guard_s,
    )


IMITATIONS = {
    f"dagger-{name}": Imitation(f"dagger-{name}", fitter, STUDENTS.get(name))
    for name, fitter in FITTERS.items()
}
"""They fit whole programs to a teacher's answers."""
