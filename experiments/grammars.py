"""What the command line says of a grammar: a sketch, and what every program must keep."""

from __future__ import annotations

import argparse
import shlex
from fractions import Fraction
from pathlib import Path

import numpy as np
from gymnasium import spaces

from nprl.env.task import Task
from nprl.lang.ranges import Interval
from nprl.memory import from_line
from nprl.program import Program
from nprl.search.constraints import Constraint, Monotone, Steady, Symmetric, Within
from nprl.search.grammar import Grammar
from nprl.search.sketch import AnySketch, loop_sketch, sketch

LARGE = 1e6
"""A bound of an observation that is no bound."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that `grammar_of` reads."""
    group = parser.add_argument_group(
        "the grammar", "what programs may be, and what they must keep"
    )
    group.add_argument("--nodes", type=int, help="of the largest program, over all outputs")
    group.add_argument(
        "--scores", action="store_true", help="a score for each of finitely many actions"
    )
    group.add_argument(
        "--memory",
        nargs="+",
        metavar="LINE",
        help="registers: 'last [rad] in -1 .. 1 from 0: previous theta', as in a program's text",
    )
    group.add_argument("--constants", type=int, help="at most: ars, fits to a teacher")
    group.add_argument("--only", nargs="+", metavar="INPUT", help="the inputs that are used")
    group.add_argument(
        "--sketch",
        nargs="+",
        metavar="TERM",
        help="a term for each output, with ?? for terms and ? for numbers to be found",
    )
    group.add_argument(
        "--loop", type=Path, metavar="FILE", help="a loop's text, with such places in its terms"
    )
    group.add_argument(
        "--rising", nargs="+", default=[], metavar="INPUT", help="outputs rise with it"
    )
    group.add_argument(
        "--falling", nargs="+", default=[], metavar="INPUT", help="outputs fall with it"
    )
    group.add_argument("--odd", nargs="+", metavar="INPUT", help="outputs change sign with these")
    group.add_argument(
        "--even", nargs="+", metavar="INPUT", help="outputs stay if these change sign"
    )
    group.add_argument("--within", nargs=2, type=Fraction, metavar=("LOW", "HIGH"), help="outputs")
    group.add_argument(
        "--steady",
        nargs="+",
        metavar=("CHANGE", "INPUT=NOISE"),
        help="outputs change by at most so much where inputs are off by so much",
    )


def grammar_of(
    args: argparse.Namespace,
    task: Task,
    template: Program,
    nodes: int,
    constants: int | None = None,
) -> Grammar:
    """The grammar of programs like ``template``, so large if the command line does not say it.

    Raises:
        ValueError: for names that are no inputs, or what is no sketch.
    """
    registers = tuple(r for line in args.memory or () for r in from_line(line))
    names = [i.name for i in template.inputs] + [r.name for r in registers]
    held = [(r.name, Interval(r.low, r.high)) for r in registers]
    steady = dict(_noise(text) for text in (args.steady or [""])[1:])
    lists = (args.only, args.rising, args.falling, args.odd, args.even, steady)
    for name in (n for some in lists for n in some or ()):
        if name not in names:
            raise ValueError(f"{name!r} is no input; the inputs are {', '.join(names)}")
    kept: list[Constraint] = [Monotone(n) for n in args.rising]
    kept += [Monotone(n, rising=False) for n in args.falling]
    if args.odd:
        kept.append(Symmetric(tuple(args.odd)))
    if args.even:
        kept.append(Symmetric(tuple(args.even), odd=False))
    if args.within:
        kept.append(Within(*args.within))
    if steady:
        kept.append(Steady(tuple(steady.items()), Fraction(args.steady[0])))
    return Grammar(
        tuple(args.only or names),
        max_nodes=args.nodes or nodes,
        max_constants=args.constants or constants,
        scores=args.scores,
        registers=registers,
        sketch=_sketch(args),
        constraints=tuple(kept),
        ranges=(*ranges(task, [i.name for i in template.inputs]), *held) if kept else (),
    )


def _sketch(args: argparse.Namespace) -> AnySketch | None:
    if args.loop is not None:
        if args.sketch:
            raise ValueError("--sketch and --loop: one of them is accepted")
        try:
            return loop_sketch(args.loop.read_text(encoding="utf-8"))
        except OSError as error:
            raise ValueError(f"{args.loop}: {error.strerror or error}") from None
    return sketch(*args.sketch) if args.sketch else None


def said(args: argparse.Namespace, grammar: Grammar) -> str:
    """The options that say this grammar again."""
    words = ["--nodes", str(grammar.max_nodes), *(["--scores"] if grammar.scores else [])]
    if grammar.max_constants is not None:
        words += ["--constants", str(grammar.max_constants)]
    for option in (
        "memory",
        "only",
        "sketch",
        "loop",
        "rising",
        "falling",
        "odd",
        "even",
        "within",
        "steady",
    ):
        value = getattr(args, option)
        if value:
            some = value if isinstance(value, list) else [value]
            words += [f"--{option}", *map(str, some)]
    return shlex.join(words)


def _noise(text: str) -> tuple[str, Fraction]:
    name, _, size = text.partition("=")
    return name, Fraction(size)


def ranges(task: Task, names: list[str]) -> tuple[tuple[str, Interval], ...]:
    """The bounds of the observations of ``task``, those that have any."""
    env = task.make()
    space = env.observation_space
    env.close()
    assert isinstance(space, spaces.Box)
    found = zip(names, space.low.astype(np.float64), space.high.astype(np.float64), strict=True)
    return tuple(
        (name, Interval(Fraction(float(low)), Fraction(float(high))))
        for name, low, high in found
        if max(abs(low), abs(high)) < LARGE
    )
