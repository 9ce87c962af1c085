"""Loops: one term for each member of a group, so that a program for four cars drives eight.

A loop names its group by patterns, ``gap = x{2*car - 1}``: member 1 reads x1, member 2 reads x3, as
long as the program has such inputs and outputs. Its body is one term over the member's own fields,
its neighbours' (``gap:before``, ``gap:after``), the inputs outside of the group, and folds over all
members. What a pattern names where there is no such input, output or member is 0. The body may read
the output of the member before it, as it is before it is clipped; then the loop is a scan.

`Loop.unroll` makes a program of it; that is what runs and what is proved. Its size is the loop's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from nprl.lang import terms as tm
from nprl.lang.build import maximum, minimum
from nprl.lang.terms import Num, Term, Var, nodes, variables
from nprl.lang.text import parse
from nprl.program import Program, ProgramError, program_from_json

BEFORE, AFTER = ":before", ":after"
FOLDS = ("sum", "mean", "min", "max")
ZERO = Num(Fraction(0))


@dataclass(frozen=True, slots=True)
class Pattern:
    """The name of a field, and what it is called for member i: stem, then ``scale * i + offset``."""

    name: str
    stem: str
    scale: int
    offset: int

    def of(self, member: int) -> str:
        """What it is called there."""
        return f"{self.stem}{self.scale * member + self.offset}"


@dataclass(frozen=True, slots=True)
class Fold:
    """The sum, mean, least or greatest of a term over all members."""

    name: str
    kind: str
    of: Term

    def over(self, values: Sequence[Term]) -> Term:
        """The fold of these."""
        if self.kind in ("min", "max"):
            return (minimum if self.kind == "min" else maximum)(values[0], *values[1:])
        total = sum(values[1:], values[0])
        return total if self.kind == "sum" else total / len(values)


@dataclass(frozen=True, slots=True)
class Loop:
    """A program over a group: ``alone`` are the outputs outside of it, ``body`` is each member's.

    Raises:
        ProgramError: for names that are given twice.
    """

    name: str
    member: str
    """What a member is called, in the patterns."""
    fields: tuple[Pattern, ...]
    output: Pattern
    body: Term
    folds: tuple[Fold, ...] = ()
    alone: tuple[tuple[str, Term], ...] = ()

    def __post_init__(self) -> None:
        """Refuse names that mean two things."""
        names = [p.name for p in (*self.fields, self.output)] + [f.name for f in self.folds]
        if len(set(names)) != len(names):
            raise ProgramError(f"loop {self.name}: names differ from each other; got {names}")

    @property
    def terms(self) -> tuple[Term, ...]:
        """The terms that are written: of the outputs outside, the folds, the body."""
        return (*(t for _, t in self.alone), *(f.of for f in self.folds), self.body)

    def with_terms(self, terms: Sequence[Term]) -> Loop:
        """The loop with other terms, in that order."""
        one, two = len(self.alone), len(self.alone) + len(self.folds)
        return replace(
            self,
            alone=tuple((n, t) for (n, _), t in zip(self.alone, terms[:one], strict=True)),
            folds=tuple(replace(f, of=t) for f, t in zip(self.folds, terms[one:two], strict=True)),
            body=terms[two],
        )

    @property
    def nodes(self) -> int:
        """The size: the terms', one node for the loop, and one for each fold."""
        return sum(map(nodes, self.terms)) + 1 + len(self.folds)

    @property
    def constants(self) -> int:
        """How many numbers are written."""
        return sum(map(tm.constants, self.terms))

    def readable(self, template: Program) -> tuple[tuple[str, ...], ...]:
        """The names that each of `terms` may read, in a program like ``template``."""
        inputs = [i.name for i in template.inputs]
        inside = {p.of(i) for p in self.fields for i in self.members(template)}
        outside = tuple(n for n in inputs if n not in inside)
        fields = tuple(p.name for p in self.fields)
        folds = tuple(f.name for f in self.folds)
        near = tuple(n + end for n in fields for end in (BEFORE, AFTER))
        body = (*fields, *outside, *folds, self.output.name + BEFORE, *near)
        return (
            *[(*outside, *folds)] * len(self.alone),
            *[(*fields, *outside)] * len(self.folds),
            body,
        )

    def members(self, template: Program) -> range:
        """The members that a program like ``template`` has, from 1."""
        known = {i.name for i in template.inputs}, {c.name for c in template.outputs}
        last = 0
        while self.output.of(last + 1) in known[1] and all(
            p.of(last + 1) in known[0] for p in self.fields
        ):
            last += 1
        return range(1, last + 1)

    def unrolled(self, template: Program) -> tuple[Term, ...]:
        """The terms of the outputs of ``template``.

        Raises:
            ProgramError: where it has no member, an output that is neither a member's nor outside,
                or a name that a term may not read.
        """
        group, inputs = self.members(template), {i.name for i in template.inputs}
        if not group:
            raise ProgramError(
                f"loop {self.name}: {template.name} has no {self.member} 1 with "
                f"{', '.join(p.of(1) for p in (*self.fields, self.output))}"
            )
        for t, names in zip(self.terms, self.readable(template), strict=True):
            for name in sorted(variables(t) - set(names)):
                if not name.startswith(("place:", "c:")):
                    raise ProgramError(
                        f"loop {self.name}, {t}: unknown name {name!r}; there are {', '.join(names)}"
                    )

        def at(member: int) -> dict[Term, Term]:
            """The fields of one member and of its neighbours."""
            found: dict[Term, Term] = {}
            for p in self.fields:
                for end, k in (("", member), (BEFORE, member - 1), (AFTER, member + 1)):
                    found[Var(p.name + end)] = Var(p.of(k)) if p.of(k) in inputs else ZERO
            return found

        totals: dict[Term, Term] = {
            Var(f.name): f.over([tm.replace(f.of, at(k)) for k in group]) for f in self.folds
        }
        found = {name: tm.replace(t, totals) for name, t in self.alone}
        for k in group:
            before = found.get(self.output.of(k - 1), ZERO)
            own = {**at(k), **totals, Var(self.output.name + BEFORE): before}
            found[self.output.of(k)] = tm.replace(self.body, own)
        wanted = [c.name for c in template.outputs]
        if set(found) != set(wanted):
            raise ProgramError(
                f"loop {self.name}: it gives {', '.join(sorted(found))}; "
                f"the outputs of {template.name} are {', '.join(wanted)}"
            )
        return tuple(found[name] for name in wanted)

    def unroll(self, template: Program) -> Unrolled:
        """The program for the inputs and outputs of ``template``.

        Raises:
            ProgramError: as `unrolled`; for scores or registers.
        """
        if template.scores or template.registers:
            raise ProgramError("a loop is over outputs without scores and registers")
        known: dict[str, Any] = {
            name: getattr(template, name) for name in ("inputs", "outputs", "scaled", "choices")
        }
        output = self.unrolled(template)
        return Unrolled(name=template.name, output=output, loop=self, **known)

    def __str__(self) -> str:
        """The loop as text; `loop_from_text` reads it back."""
        lines = ["nprl-loop 1", f"name {self.name}"]
        lines += [f"each {self.member}: {_shown(p, self.member)}" for p in self.fields]
        lines.append(f"output {self.member}: {_shown(self.output, self.member)}")
        lines += [f"fold {f.name} = {f.kind} {f.of}" for f in self.folds]
        lines += [f"{name} = {t}" for name, t in self.alone]
        lines.append(f"{self.output.name} = {self.body}")
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Unrolled(Program):
    """A loop's program: it runs and is proved as any other; its size is that of the loop.

    Raises:
        ProgramError: where its terms are not the loop's.
    """

    loop: Loop | None = None

    def __post_init__(self) -> None:
        """Refuse terms that are not the loop's."""
        super().__post_init__()
        if self.loop is None or self.loop.unrolled(self) != self.output:
            raise ProgramError(f"{self.name}: the terms are not those of its loop")

    @property
    def nodes(self) -> int:
        """The size of the loop."""
        assert self.loop is not None
        return self.loop.nodes

    @property
    def constants(self) -> int:
        """The numbers in the loop."""
        assert self.loop is not None
        return self.loop.constants

    @property
    def formula(self) -> str:
        """The loop on one line."""
        return "; ".join(str(self.loop).splitlines()[2:])


def to_data(program: Program) -> dict[str, Any]:
    """A program as JSON data: its terms, and the text of the loop that they were unrolled from."""
    loop = str(program.loop) if isinstance(program, Unrolled) else None
    return {"program": program.to_json(), "loop": loop}


def from_data(data: Mapping[str, Any]) -> Program:
    """The program that `to_data` wrote; other keys are not looked at.

    Raises:
        ProgramError: for anything else, and for terms that are not the loop's.
    """
    program = program_from_json(data["program"])
    if data.get("loop") is None:
        return program
    unrolled = loop_from_text(str(data["loop"])).unroll(program)
    if unrolled.output != program.output:
        raise ProgramError(f"{program.name}: the terms are not those of its loop")
    return unrolled


_PATTERN = re.compile(r"(\w+) = (\w+?)\{(?:([0-9]+) ?\* ?)?(\w+)(?: ?([+-]) ?([0-9]+))?\}")
_MEMBER = re.compile(r"(each|output) (\w+): (.*)")
_FOLD = re.compile(rf"fold (\w+) = ({'|'.join(FOLDS)}) (.*)")
_TERM = re.compile(r"(\w+) = (.*)")


def _shown(p: Pattern, member: str) -> str:
    scaled = member if p.scale == 1 else f"{p.scale}*{member}"
    moved = "" if not p.offset else f" {'+' if p.offset > 0 else '-'} {abs(p.offset)}"
    return f"{p.name} = {p.stem}{{{scaled}{moved}}}"


def _pattern(text: str, member: str) -> Pattern:
    match = _PATTERN.fullmatch(text.strip())
    if match is None or match[4] != member:
        raise ValueError(f"a pattern such as gap = x{{2*{member} - 1}} is accepted; got {text!r}")
    offset = int(match[6] or 0) * (-1 if match[5] == "-" else 1)
    return Pattern(match[1], match[2], int(match[3] or 1), offset)


def loop_from_text(source: str) -> Loop:
    """The loop whose text this is; lines with ``#`` in front are comments.

    Raises:
        ProgramError: with the line, for anything else; nothing of the text is executed.
    """
    lines = [s.strip() for s in source.splitlines() if s.strip() and not s.strip().startswith("#")]
    if not lines or lines[0] != "nprl-loop 1":
        raise ProgramError("a loop's text begins with the line 'nprl-loop 1'")
    name, member = "", ""
    fields: list[Pattern] = []
    outputs: list[Pattern] = []
    folds: list[Fold] = []
    found: dict[str, Term] = {}
    try:
        for line in lines[1:]:
            if line.startswith("name "):
                name = line[5:].strip()
            elif match := _MEMBER.fullmatch(line):
                if member not in ("", match[2]):
                    raise ValueError(f"one group is accepted; got {member} and {match[2]}")
                member = match[2]
                (fields if match[1] == "each" else outputs).append(_pattern(match[3], member))
            elif match := _FOLD.fullmatch(line):
                folds.append(Fold(match[1], match[2], parse(match[3])))
            elif (match := _TERM.fullmatch(line)) and match[1] not in found:
                found[match[1]] = parse(match[2])
            else:
                raise ValueError("accepted, once each: name, each, output, fold, X = term")
        line = "the outputs"
        if len(outputs) != 1 or outputs[0].name not in found:
            raise ValueError("one line 'output MEMBER: NAME = PATTERN' and one 'NAME = term'")
        body = found.pop(outputs[0].name)
        return Loop(
            name, member, tuple(fields), outputs[0], body, tuple(folds), tuple(found.items())
        )
    except ValueError as error:
        raise ProgramError(f"loop, line {line!r}: {error}") from None
