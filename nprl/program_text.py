"""Programs as text, which a person reads and edits: written, and read back.

One line for the name, each input, each output with its bounds, each choice (with its score) and
each memory; then a line ``X = term`` for each output. Nothing of a text is executed.
"""

from __future__ import annotations

import re
from fractions import Fraction

from nprl import memory
from nprl.lang import text
from nprl.lang.terms import Num, Term
from nprl.lang.text import parse
from nprl.memory import Register, literal
from nprl.model import Coordinate
from nprl.program import Input, Program, ProgramError, shown


def to_text(program: Program) -> str:
    """The program as a person reads it; `program_from_text` reads it back."""
    lines = ["nprl-program 1", f"name {program.name}"]
    lines += [f"input {i.name} [{i.unit}]" for i in program.inputs]
    for c in program.outputs:
        ends = f"{text.to_text(Num(c.low))} .. {text.to_text(Num(c.high))}"
        lines.append(f"output {c.name} [{c.unit}] in {ends}")
    if not program.scaled:
        lines.append("action in units")
    lines += memory.to_lines(program.registers)
    if program.scores:
        scored = zip(program.choices or (), program.output, strict=True)
        lines += [f"choice {shown(c)} scores {t}" for c, t in scored]
    else:
        lines += [f"choice {shown(c)}" for c in program.choices or ()]
        lines += [f"{n} = {t}" for n, t in zip(program.labels, program.output, strict=True)]
    return "\n".join(lines) + "\n"


_LINES = {
    "name": re.compile(r"name (.*)"),
    "input": re.compile(r"input (\w+) \[(.*)\]"),
    "output": re.compile(r"output (\w+) \[(.*)\] in (\S+) \.\. (\S+)"),
    "memory": re.compile(r"memory \w+ \[.*"),
    "choice": re.compile(r"choice (.*?)(?: scores (.*))?"),
    "assignment": re.compile(r"(\w+) = (.*)"),
}


def program_from_text(source: str) -> Program:
    """The program whose text this is (see `to_text`); lines with ``#`` in front are comments.

    Raises:
        ProgramError: with the line, for anything else; nothing of the text is executed.
    """
    lines = [s.strip() for s in source.splitlines() if s.strip() and not s.strip().startswith("#")]
    if not lines or lines[0] != "nprl-program 1":
        raise ProgramError("a program's text begins with the line 'nprl-program 1'")
    name, scaled = "", True
    inputs: list[Input] = []
    outputs: list[Coordinate] = []
    terms: dict[str, Term] = {}
    choices: list[tuple[Fraction, ...]] = []
    scores: list[Term] = []
    registers: list[Register] = []
    try:
        for line in lines[1:]:
            kind, match = next(
                ((k, m) for k, p in _LINES.items() if (m := p.fullmatch(line))), ("", None)
            )
            if line == "action in units":
                scaled = False
            elif match is None:
                raise ValueError(
                    "accepted are: name, input, output, memory, choice, action in units, X = term"
                )
            elif kind == "name":
                name = match[1]
            elif kind == "input":
                inputs.append(Input(match[1], match[2]))
            elif kind == "output":
                bounds = [literal(match[3]), literal(match[4])]
                outputs.append(Coordinate(match[1], match[2], bounds[0], bounds[1]))
            elif kind == "choice":
                choices.append(tuple(literal(v) for v in match[1].split(",")))
                scores += [] if match[2] is None else [parse(match[2])]
            elif kind == "memory":
                registers += memory.from_line(line)
            elif match[1] in terms:
                raise ValueError(f"{match[1]} is assigned twice")
            else:
                terms[match[1]] = parse(match[2])
        line = "the outputs"
        known = tuple(choices) or None
        if scores and (terms or len(scores) != len(choices)):
            raise ValueError("scores stand at every choice, and no line 'X = term' beside them")
        if not scores and set(terms) != {c.name for c in outputs}:
            raise ValueError(f"one line 'X = term' for each output; got {sorted(terms)}")
        output = tuple(scores) or tuple(terms[c.name] for c in outputs)
        return Program(
            name=name,
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            output=output,
            scaled=scaled,
            choices=known,
            registers=tuple(registers),
            scores=bool(scores),
        )
    except ValueError as error:
        shown = line if len(line) <= 80 else f"{line[:77]}..."
        raise ProgramError(f"program, line {shown!r}: {error}") from None
