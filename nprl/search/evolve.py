"""Evolution of structure and constants on the return itself, the best few of each size.

Each size (in nodes) has a small population of its own, so that small programs do not have to beat
large ones. A child is a changed or crossed parent; its constants are tried at many settings near
the inherited ones in one batch, on a few episodes; one that gets into its population is refined
there by more. In the end the best of each size are tuned by CMA-ES on the tuning seeds, shortened,
and judged on other seeds. With a teacher the populations begin with affine programs, of ever fewer
constants, that were searched about an imitation of it (`nprl.search.direct`).

Source: Videau et al., "Multi-objective genetic programming for explainable reinforcement learning",
EuroGP 2022.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nprl.distill.rollout import Rollouts, blank
from nprl.env.task import Task
from nprl.lang.terms import Term, nodes
from nprl.memory import needed
from nprl.program import Program
from nprl.search.constants import decimal, fill, lift, simplify
from nprl.search.direct import AFFINE, forms
from nprl.search.front import Front
from nprl.search.grammar import Grammar
from nprl.search.islands import KEPT, Islands, Member, Parts, islands_from_json, member
from nprl.search.judge import judged
from nprl.search.learner import Progress, Source, Taught, task_of
from nprl.search.mutate import Mutator, computed, near
from nprl.search.saved import Saved
from nprl.search.sketch import LoopSketch, free
from nprl.search.tune import Returns, tune
from nprl.search.work import INTERRUPTED, Clock, Work

METHOD = "evolution"
SCREENS = (2, 8)
"""Episodes that a child is screened on, before it plays all of them."""
DIGITS = 5
"""Significant digits of constants while they are searched."""
AFFINES = 0.3
"""Of the work, what finds affine programs to begin with, where there is a teacher."""
FRESH, TWICE, CROSSED = 0.05, 0.3, 0.2
"""How often a child is new, changed twice, or made of two parents."""


def evolve(
    source: Source,
    grammar: Grammar,
    work: Work,
    seed: int = 0,
    progress: Progress | None = None,
) -> Front:
    """The front that evolution finds in the task of ``source``.

    ``grammar.max_nodes`` limits whole programs, over all outputs. The same seed gives the same
    front, whatever ``work.jobs`` is, unless the clock cut it short (``progress`` is told).
    Interrupted, it returns the front so far.

    Raises:
        ValueError: for spaces that programs do not know (see `blank`).
    """
    task, say = task_of(source), progress or (lambda text: None)
    clock = Clock(work, say)
    search = _Search(task, grammar, work, seed)
    try:
        if not search.born:
            search.begin(source, seed, say)
        while search.spent < work.search_steps and not clock.late("evolution"):
            search.step()
            if search.born % 1000 == 0:
                say(f"{search.born} structures, {search.spent} steps: best {search.best:.5g}")
                search.save()
        search.save(now=True)
        found = search.tuned(seed, clock, say)
    except KeyboardInterrupt:
        search.save(now=True)
        clock.tell(INTERRUPTED)
        found = search.programs
    finally:
        search.close()
    return judged(task, found, METHOD, grammar, work, clock)


class _Search:
    """One evolution: its populations, the episodes they play, and the next child."""

    def __init__(self, task: Task, grammar: Grammar, work: Work, seed: int) -> None:
        self._template = replace(blank(task, grammar.scores), registers=grammar.registers)
        self._sketch = grammar.sketch or free(len(self._template.output))
        self._grammar, self._work = grammar, work
        self._rng = np.random.default_rng(seed)
        self._mutators = [
            Mutator(replace(grammar, variables=names) if names else grammar, self._rng)
            for names in self._sketch.readable(self._template)
        ]
        self._tuning = Rollouts(task, work.tuning_seeds(seed), work.jobs)
        few = [Rollouts(task, self._tuning.seeds[:k], work.jobs) for k in SCREENS]
        self._screens = [*few, self._tuning]
        self._refining = Rollouts(task, work.refining_seeds(seed), work.jobs)
        self._islands = Islands()
        self._seen: set[int] = set()
        self.born = self._before = 0
        self._saved = Saved.of(work, METHOD, task, grammar, seed)
        self._resume()

    def _resume(self) -> None:
        state = self._saved.load()
        if state is None:
            return
        self._rng.bit_generator.state = state["rng"]
        self._islands = islands_from_json(state["islands"])
        self._seen = set(state["seen"])
        self.born, self._before = state["born"], state["before"]
        for rollouts, steps in zip(self._screens, state["steps"], strict=True):
            rollouts.steps = steps

    def save(self, now: bool = False) -> None:
        """Leave the state where the work says, from time to time or now."""
        self._saved.save(
            lambda: {
                "rng": self._rng.bit_generator.state,
                "islands": self._islands.to_json(),
                "seen": sorted(self._seen),
                "born": self.born,
                "before": self._before,
                "steps": [r.steps for r in self._screens],
            },
            now,
        )

    def begin(self, source: Source, seed: int, say: Progress) -> None:
        """Begin with what is found about an imitation of the teacher, if there is one.

        Raises:
            KeyboardInterrupt: where that was interrupted.
        """
        alone = self._grammar.sketch is None and not self._grammar.registers
        if not alone or not isinstance(source, Taught) or source.teacher is None:
            return
        some, part = self._work, AFFINES
        steps = round(part * some.search_steps), round(part * some.tuning_steps)
        work = replace(some, search_steps=steps[0], tuning_steps=steps[1], saved=None)
        front = forms(AFFINE)(source, self._grammar, work, seed, say)
        if INTERRUPTED in front.cut:
            raise KeyboardInterrupt
        self._before = sum(steps)
        for entry in front:
            found = tuple(map(simplify, entry.program.output))
            played = self._tuning.run_many([self._program(found)])[0]
            self._islands.add(member(found, entry.nodes, played.returns))

    @property
    def spent(self) -> int:
        """The work done so far, in environment steps."""
        played = sum(r.steps for r in self._screens)
        return self._before + played + self.born * self._work.structure

    @property
    def best(self) -> float:
        """The highest mean return so far."""
        return max((m.mean for m in self._islands.ranked()[:1]), default=-np.inf)

    @property
    def programs(self) -> list[Program]:
        """All populations, the smallest first."""
        return [self._program(m.parts) for m in self._islands.all()]

    def close(self) -> None:
        """Let go of the environments."""
        for rollouts in (*self._screens, self._refining):
            rollouts.close()

    def _program(self, parts: Sequence[Term]) -> Program:
        return self._sketch.program(self._template, parts)

    def _terms(self, parts: Sequence[Term]) -> tuple[Term, ...]:
        """The outputs, or scores, with these parts, and the updates of the registers they read."""
        output = self._sketch.plug(self._template, parts)
        return (*output, *(r.update for r in needed(output, self._template.registers)))

    def _plain(self, parts: Sequence[Term]) -> Program:
        """The program as terms, whatever it was made from."""
        output = self._sketch.plug(self._template, parts)
        held = needed(output, self._template.registers)
        return replace(self._template, output=output, registers=held)

    def step(self) -> None:
        """A child: its constants are tried on more and more episodes, as long as it is worth it."""
        found = tuple(simplify(computed(t)) for t in self._child())
        skeleton = lift(found)[0]
        self.born += 1
        program = self._program(found)
        if not self._grammar.is_small(program):
            return
        known = int.from_bytes(hashlib.sha256(repr(skeleton).encode()).digest()[:6])
        if known in self._seen and self._rng.random() < 0.9:
            return
        self._seen.add(known)
        for screen in self._screens:
            found, mean = self._best_constants(found, screen)
            if not self._islands.worth(found, program.nodes, mean, len(screen.seeds)):
                return
        program = self._program(found)
        if self._grammar.admits(program):
            played = self._tuning.run_many([program])[0]
            self._islands.add(member(found, program.nodes, played.returns))

    def tuned(self, seed: int, clock: Clock, say: Progress) -> list[Program]:
        """All populations, and the best two of each size, if no smaller is better, tuned by CMA-ES."""
        result, most = self.programs, self._work.tuning_steps
        for one in self._islands.promising():
            if self._refining.steps > most or clock.late("tuning"):
                break
            skeletons, values = lift(one.parts)
            found = tune(
                self._plain(one.parts),
                self._refining,
                seed,
                self._work.evaluations,
                clock.deadline,
                lifted=(self._terms(skeletons), values),
            )
            program = self._program([simplify(fill(t, found.constants)) for t in skeletons])
            say(f"tuned {program.nodes} nodes: {one.mean:.5g} -> {found.episodes.mean:.5g}")
            result.append(program)
        return result

    def _child(self) -> list[Term]:
        rng, places, numbers = self._rng, self._sketch.places, self._sketch.numbers
        members = self._islands.ranked()
        if len(members) < 2 * KEPT or rng.random() < FRESH:
            each = max(1, self._grammar.max_nodes // places)
            return [
                m.number() if k in numbers else m.term(int(rng.integers(1, each + 1)))
                for k, m in enumerate(self._mutators)
            ]
        parent = self._parent(members)
        result, size = list(parent.parts), parent.size
        for _ in range(1 + int(rng.random() < TWICE)):
            k = int(rng.integers(places))
            old = nodes(result[k])
            room = self._grammar.max_nodes - size + old
            mutator = self._mutators[k]
            if k in numbers:
                result[k] = mutator.number()
            elif rng.random() < CROSSED:
                donor = self._donor(members, k)
                result[k] = mutator.crossed(result[k], donor, room)
            else:
                result[k] = mutator.mutated(result[k], room)
            size += nodes(result[k]) - old
        return result

    def _donor(self, members: list[Member], place: int) -> Term:
        """A part of another program that may stand in this place."""
        parts = members[int(self._rng.integers(len(members)))].parts
        if isinstance(self._sketch, LoopSketch):  # its places may read different names
            return parts[place]
        return parts[int(self._rng.integers(len(parts)))]

    def _parent(self, members: list[Member]) -> Member:
        """A good one of all sizes, or anyone of any size; ``members`` begin with the best."""
        if self._rng.random() < 0.3:
            return members[int(self._rng.integers(len(members)))]
        return members[int(len(members) * self._rng.random() ** 2)]

    def _best_constants(self, parts: Parts, rollouts: Rollouts) -> tuple[Parts, float]:
        skeletons, values = lift(parts)
        if not values:
            return parts, rollouts.run_many([self._plain(parts)])[0].mean
        judge = Returns(self._plain(parts), self._terms(skeletons), rollouts)
        table = near(values, self._work.settings, self._rng)
        means = judge.means(table)
        top = int(np.argmax(means))
        found = [decimal(v, DIGITS) for v in table[top].tolist()]
        return tuple(simplify(fill(t, found)) for t in skeletons), float(means[top])
