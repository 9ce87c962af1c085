"""Symbolic regression by an existing engine, pyoperon: genetic programming with least squares inside.

Its expressions become terms of ours with the same values wherever no denominator is 0. The engine does
not know that actions are clipped, so the constants are fitted again by what is executed, and
shortened. One thread is used: with several, the same seed gives other programs.

Source: Burlacu, Kronberger, Kommenda, "Operon C++: an efficient genetic programming framework for symbolic
regression", GECCO 2020.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from nprl.distill.dataset import Dataset
from nprl.distill.fitter import Column, Fit, passed, per_output
from nprl.lang.terms import Binary, BinaryOp, Num, Term, Unary, UnaryOp, Var
from nprl.program import Program
from nprl.search.constants import ONE, lift, simplify
from nprl.search.grammar import Grammar
from nprl.search.holes import polish, with_decimals

UNARY = {"sin": UnaryOp.SIN, "cos": UnaryOp.COS, "tanh": UnaryOp.TANH, "abs": UnaryOp.ABS}
BINARY = {
    "add": BinaryOp.ADD,
    "sub": BinaryOp.SUB,
    "mul": BinaryOp.MUL,
    "div": BinaryOp.DIV,
    "fmin": BinaryOp.MIN,
    "fmax": BinaryOp.MAX,
}
"""The engine's symbols and our operators."""
WRITTEN = {"+": "add", "-": "sub", "*": "mul", "/": "div"}
"""How its trees write some of them."""
DECIMALS = 7
"""Digits of a float of 32 bits, which its constants are."""


class EngineError(ImportError):
    """pyoperon is not installed; one line."""


@dataclass(frozen=True, slots=True)
class SymbolicRegression:
    """Fits what the engine finds: its Pareto front of error and length.

    Of the grammar it obeys variables, operators and sizes; conditions it does not know. The work is
    counted in generations.
    """

    generations: int = 30
    population: int = 300
    rows: int = 1000
    """Observations that are looked at."""
    refined: int = 3
    """Steps of least squares for each new expression."""
    longest: int = 30
    """Of the expressions, beside the grammar's limit."""

    def __call__(
        self,
        template: Program,
        data: Dataset,
        grammar: Grammar,
        seed: int = 0,
        deadline: float | None = None,
    ) -> list[Program]:
        """See `Fitter`; the deadline cuts generations.

        Raises:
            EngineError: without pyoperon.
        """

        def fits(c: Column) -> list[Fit]:
            found = []
            for t in self.terms(c, grammar, seed, deadline):
                skeletons, values = lift([t])
                holes = np.asarray([float(v) for v in values])
                if len(holes) and not passed(deadline):
                    holes, _ = polish(skeletons[0], c.names, c.observations, c.goal, holes)
                found.append(
                    Fit(*with_decimals(skeletons[0], c.names, c.observations, c.goal, holes))
                )
            return found

        return per_output(template, data.sample(self.rows, seed), grammar, fits)

    def terms(
        self,
        c: Column,
        grammar: Grammar,
        seed: int = 0,
        deadline: float | None = None,
        evaluated: Callable[[int], None] | None = None,
    ) -> list[Term]:
        """The engine's expressions for one output, as it leaves them.

        ``evaluated`` is told how often it evaluated one.

        Raises:
            EngineError: without pyoperon.
        """
        try:
            from pyoperon.sklearn import SymbolicRegressor
        except ImportError:
            raise EngineError(
                'symbolic regression is done by pyoperon: pip install "nprl[search]"'
            ) from None
        known = [n for n, op in UNARY.items() if op in grammar.unary]
        known += [n for n, op in BINARY.items() if op in grammar.binary]
        left = None if deadline is None else max(1, int(deadline - time.monotonic()))
        engine = SymbolicRegressor(
            allowed_symbols=",".join([*known, "constant", "variable"]),
            objectives=["mse", "length"],
            max_length=max(3, min(grammar.max_nodes, self.longest)),
            population_size=self.population,
            generations=self.generations,
            max_evaluations=10**9,
            optimizer_iterations=self.refined,
            n_threads=1,
            max_time=left,
            random_state=seed,
        )
        engine.fit(c.observations, c.answers)
        if evaluated is not None:
            evaluated(sum(int(engine.stats_[f"{k}_evaluations"]) for k in ("residual", "jacobian")))
        names = {h: c.names[int(n[1:]) - 1] for h, n in engine.variables_.items()}
        return [simplify(gathered(to_term(f["tree"].Nodes, names))) for f in engine.pareto_front_]


def to_term(nodes: Any, names: Mapping[int, str]) -> Term:
    """The term of a tree in postfix order; ``names`` are its variables, by their hash values.

    Raises:
        ValueError: for a symbol that is not known here.
    """
    stack: list[Term] = []
    for node in nodes:
        name = WRITTEN.get(node.Name, node.Name)
        if node.HashValue in names and node.Arity == 0:
            variable = Var(names[node.HashValue])
            stack.append(variable if node.Value == 1 else _number(node.Value) * variable)
        elif name == "constant":
            stack.append(_number(node.Value))
        elif name in UNARY and node.Arity == 1:
            stack.append(Unary(UNARY[name], stack.pop()))
        elif name in BINARY and node.Arity == 2:
            left, right = stack.pop(), stack.pop()
            stack.append(Binary(BINARY[name], left, right))
        else:
            raise ValueError(
                f"pyoperon: the symbol {node.Name!r} of {node.Arity} is not known here"
            )
    (result,) = stack
    return result


def gathered(t: Term) -> Term:
    """``t`` with one number in front of each product, where there were several inside it."""
    match t:
        case Unary(op, arg):
            return Unary(op, gathered(arg))
        case Binary(BinaryOp.MUL, _, _):
            number, rest = Fraction(1), []
            for factor in _factors(t):
                if isinstance(factor, Num):
                    number *= factor.value
                else:
                    rest.append(factor)
            product: Term = Num(number)
            for factor in rest:
                product = factor if product == ONE else product * factor
            return product
        case Binary(op, left, right):
            a, b = gathered(left), gathered(right)
            match op, b:
                case (BinaryOp.SUB, Binary(BinaryOp.MUL, Num(v), f)) if v < 0:
                    return a + Num(-v) * f
                case (BinaryOp.ADD, Binary(BinaryOp.MUL, Num(v), f)) if v < 0:
                    return a - Num(-v) * f
                case _:
                    return Binary(op, a, b)
        case _:
            return t


def _factors(t: Term) -> list[Term]:
    if isinstance(t, Binary) and t.op is BinaryOp.MUL:
        return _factors(t.left) + _factors(t.right)
    whole = gathered(t)
    return _factors(whole) if isinstance(whole, Binary) and whole.op is BinaryOp.MUL else [whole]


def _number(value: float) -> Num:
    """The decimal that a 32-bit float means."""
    return Num(Fraction(f"{value:.{DECIMALS}e}"))
