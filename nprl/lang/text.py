"""Terms and formulas as text, and back: ``parse(to_text(t)) == t``.

The syntax is Python's, with three differences. ``1/3`` without spaces is one number, ``1 / 3`` a
quotient; ``-3`` is a number, ``-(3)`` the negation of one; comparisons and powers do not chain.
What would mean another number than in Python is refused. Nothing is ever evaluated: a tokenizer of
one regular expression feeds a precedence parser.
"""

from __future__ import annotations

import difflib
import re
from fractions import Fraction
from typing import NoReturn, assert_never

from nprl.lang.build import maximum, minimum
from nprl.lang.terms import (
    FUNCTIONS,
    MAX_DEPTH,
    MAX_EXPONENT,
    WORDS,
    And,
    Binary,
    BinaryOp,
    Clip,
    Compare,
    Formula,
    Not,
    Num,
    Or,
    Pi,
    Power,
    Relation,
    Term,
    Truth,
    Unary,
    UnaryOp,
    Var,
    Where,
    check_depth,
)

MAX_CHARACTERS = 100_000
MAX_DIGITS = 400
MAX_DECIMALS = 20
MAX_FRAMES = 2 * MAX_DEPTH + 2
"""A level of a term takes at most two frames of Python's stack, as in ``1 - (1 - ...)``."""

# How tightly a form binds; an operand looser than its place asks for gets parentheses.
_OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _UNARY, _POWER, _ATOM = range(1, 10)
_INFIX = {"or": _OR, "and": _AND, "<=": _COMPARE, "<": _COMPARE, ">=": _COMPARE, ">": _COMPARE}
_INFIX |= {"+": _SUM, "-": _SUM, "*": _PRODUCT, "/": _PRODUCT, "**": _POWER}
_TOKEN = re.compile(
    r"\s*(?:(?P<number>[0-9]+(?:/[0-9]+(?![0-9.eE])|(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?))"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*(?::[A-Za-z0-9_]+)?)"
    r"|(?P<sign>\*\*|<=|>=|[-+*/(),<>])|(?P<end>$))",
    re.ASCII,
)
_ACCEPTED = "accepted: numbers, names, + - * / ** ( ) , < <= > >=, and or not"


def number_to_text(value: Fraction) -> str:
    """The decimal where it is finite and has at most 20 places, else ``n/d`` without spaces."""
    rest, places = value.denominator, 0
    while rest > 1 and places <= MAX_DECIMALS and 10**places % rest:
        places += 1
    if rest == 1 or places > MAX_DECIMALS:
        return str(value)
    digits = str(abs(value.numerator) * 10**places // rest).rjust(places + 1, "0")
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"


def to_text(t: Term) -> str:
    """The term as text that `parse` reads back to the same term."""
    return _print(t)[0]


def formula_to_text(f: Formula) -> str:
    """The formula as text that `parse_formula` reads back to the same formula."""
    return _print(f)[0]


def _print(t: Term | Formula) -> tuple[str, int]:
    """The text, and how tightly its outermost form binds."""

    def part(of: Term | Formula, least: int) -> str:
        text, level = _print(of)
        return text if level >= least else f"({text})"

    match t:
        case Num(value):
            text = number_to_text(value)
            return text, _PRODUCT if "/" in text else _UNARY if value < 0 else _ATOM
        case Pi():
            return "pi", _ATOM
        case Var(name):
            return name, _ATOM
        case Unary(UnaryOp.NEG, arg):
            return "-" + part(arg, _ATOM + 1 if isinstance(arg, Num) else _UNARY), _UNARY
        case Unary(op, arg):
            return f"{op.value}({part(arg, 0)})", _ATOM
        case Binary(BinaryOp.MIN | BinaryOp.MAX as op, left, right):
            return f"{op.value}({part(left, 0)}, {part(right, 0)})", _ATOM
        case Binary(op, left, right):
            level = _INFIX[op.value]
            return f"{part(left, level)} {op.value} {part(right, level + 1)}", level
        case Power(base, exponent):
            return f"{part(base, _ATOM)} ** {exponent}", _POWER
        case Clip(arg, low, high):
            return f"clip({part(arg, 0)}, {part(low, 0)}, {part(high, 0)})", _ATOM
        case Where(condition, then, other):
            return f"where({part(condition, 0)}, {part(then, 0)}, {part(other, 0)})", _ATOM
        case Truth(value):
            return ("true" if value else "false"), _ATOM
        case Compare(relation, left, right):
            return f"{part(left, _SUM)} {relation.value} {part(right, _SUM)}", _COMPARE
        case And(parts):
            return " and ".join(part(p, _NOT) for p in parts), _AND
        case Or(parts):
            return " or ".join(part(p, _AND) for p in parts), _OR
        case Not(inner):
            return f"not {part(inner, _NOT)}", _NOT
        case _:
            assert_never(t)


def parse(text: str) -> Term:
    """The term that ``text`` says.

    Raises:
        ValueError: one line with the position, what stands there and what is accepted. Limits:
            100,000 characters, 200 levels, 400 digits in a number.
    """
    parser = _Parser(text)
    result = parser.term(parser.whole(), 0)
    check_depth(result)
    return result


def parse_formula(text: str) -> Formula:
    """The formula that ``text`` says.

    Raises:
        ValueError: as `parse`.
    """
    parser = _Parser(text)
    result = parser.formula(parser.whole(), 0)
    check_depth(result)
    return result


class _Parser:
    """One token of lookahead over one text; `expression` is the whole grammar."""

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"a term is parsed from a str; got {type(text).__name__}")
        if len(text) > MAX_CHARACTERS:
            raise ValueError(f"text of {len(text)} characters; at most {MAX_CHARACTERS} are read")
        self.text, self.end, self.depth = text, 0, 0
        self.advance()

    def advance(self) -> None:
        """Read the next token; at the end of the text it is empty."""
        self.before = self.end
        found = _TOKEN.match(self.text, self.end)
        if found is None:
            rest = self.text[self.end :].lstrip()
            self.token, self.start = rest[0], len(self.text) - len(rest)
            self.fail("unknown character", "write ** for powers" if rest[0] == "^" else _ACCEPTED)
        self.kind = found.lastgroup or ""
        self.token, self.start, self.end = found[self.kind], found.start(self.kind), found.end()

    def fail(self, problem: str, hint: str = "") -> NoReturn:
        """Refuse, at the current token."""
        got = repr(self.token[:40]) if self.token else "the end"
        raise ValueError(
            f"at character {self.start + 1}: {problem}; got {got}; {hint}".rstrip("; ")
        )

    def term(self, value: Term | Formula, at: int) -> Term:
        """``value``, which must be a term; it was read from the character ``at`` on."""
        if isinstance(value, Term):
            return value
        raise ValueError(f"at character {at + 1}: a term belongs here; got a condition")

    def formula(self, value: Term | Formula, at: int) -> Formula:
        """``value``, which must be a formula; it was read from the character ``at`` on."""
        if isinstance(value, Formula):
            return value
        raise ValueError(
            f"at character {at + 1}: a condition (a comparison) belongs here; got a term"
        )

    def whole(self) -> Term | Formula:
        """Parse the text to its end."""
        result = self.expression(0)
        if self.token:
            self.fail("expected an operator or the end")
        return result

    def take(self, token: str) -> None:
        """Step over ``token``, which must stand here."""
        if self.token != token:
            self.fail(f"expected {token!r}")
        self.advance()

    def number(self) -> Fraction:
        """The value of the number that stands here."""
        mantissa, _, exponent = self.token.lower().partition("e")
        size = max(len(part) for part in mantissa.split("/"))
        if size > MAX_DIGITS or len(exponent) > 4 or size + abs(int(exponent or 0)) > MAX_DIGITS:
            self.fail(f"a number has at most {MAX_DIGITS} digits")
        if "/" in mantissa and not mantissa.split("/")[1].strip("0"):
            self.fail("a number's denominator is not zero", "write `1 / 0` for the quotient")
        return Fraction(self.token)

    def bare_fraction(self, value: Term | Formula, begin: int) -> bool:
        """Whether what was read from ``begin`` on is ``1/3`` or ``-1/3``, without parentheses."""
        source = self.text[begin : self.before]
        return isinstance(value, Num) and "/" in source and source[0] != "("

    def expression(self, least: int) -> Term | Formula:
        """Parse what binds at least as tightly as ``least``."""
        self.depth += 1
        if self.depth > MAX_FRAMES:
            self.fail(f"nested deeper than {MAX_DEPTH} levels")
        begin, token = self.start, self.token
        result: Term | Formula
        if token == "(":
            self.advance()
            result = self.expression(0)
            self.take(")")
        elif token == "not":
            self.advance()
            at = self.start
            result = Not(self.formula(self.expression(_NOT), at))
        elif token == "-" and not self.negative_number():
            self.advance()
            at = self.start
            result = Unary(UnaryOp.NEG, self.term(self.expression(_UNARY), at))
        else:
            result = self.leaf()
        while _INFIX.get(self.token, -1) >= least:
            sign, level = self.token, _INFIX[self.token]
            if sign in ("and", "or"):
                parts = [self.formula(result, begin)]
                while self.token == sign:
                    self.advance()
                    at = self.start
                    parts.append(self.formula(self.expression(level + 1), at))
                result = And(tuple(parts)) if sign == "and" else Or(tuple(parts))
                continue
            left = self.term(result, begin)
            if sign == "**":
                if self.bare_fraction(left, begin):
                    self.fail("a fraction is raised in parentheses, as in `(1/3) ** 2`")
                self.advance()
                result = Power(left, self.exponent())
                continue
            self.advance()
            at = self.start
            right = self.term(self.expression(level + 1), at)
            if level == _COMPARE:
                result = Compare(Relation(sign), left, right)
                if _INFIX.get(self.token) == _COMPARE:
                    self.fail("comparisons do not chain", "write `a < b and b < c`")
                continue
            if sign == "/" and self.bare_fraction(right, at):
                self.fail("a fraction divides in parentheses, as in `x / (2/3)`")
            result = Binary(BinaryOp(sign), left, right)
        self.depth -= 1
        return result

    def exponent(self) -> int:
        """Read a literal exponent; a second one is refused."""
        if not (self.token.isdigit() and len(self.token) < 4 and int(self.token) <= MAX_EXPONENT):
            self.fail(f"an exponent is an integer from 0 to {MAX_EXPONENT}")
        value = int(self.token)
        self.advance()
        if self.token == "**":
            self.fail("powers do not chain", "write `(x ** 2) ** 3`")
        return value

    def negative_number(self) -> bool:
        """Whether the sign that stands here belongs to a number: not so in ``-3 ** 2``."""
        number = _TOKEN.match(self.text, self.end)
        if not (number and number["number"]):
            return False
        ahead = _TOKEN.match(self.text, number.end())
        return not (ahead and ahead["sign"] == "**")

    def leaf(self) -> Term | Formula:
        """Parse what begins here: a number, a name or a call."""
        begin, token = self.start, self.token
        negative = token == "-"
        if negative:
            self.advance()
        if self.kind == "number":
            value = self.number()
            self.advance()
            return Num(-value if negative else value)
        if self.kind != "name" or token in ("and", "or"):
            self.fail("expected a number, a name, '-', 'not' or '('")
        self.advance()
        if token in WORDS:
            return Pi() if token == "pi" else Truth(token == "true")
        if self.token == "(":
            return self.call(token, begin)
        try:
            return Var(token)
        except ValueError as error:
            raise ValueError(f"at character {begin + 1}: {error}") from None

    def call(self, name: str, begin: int) -> Term:
        """Parse the arguments of the function ``name``, from the parenthesis on."""
        if name not in FUNCTIONS:
            near = difflib.get_close_matches(name, FUNCTIONS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"accepted: {', '.join(FUNCTIONS)}"
            raise ValueError(
                f"at character {begin + 1}: there is no function {name[:40]!r}; {hint}"
            )
        self.depth += 1
        starts, parts = [], []
        while self.token in ("(", ","):
            self.advance()
            starts.append(self.start)
            parts.append(self.expression(0))
            if self.token == "(":
                break
        self.take(")")
        self.depth -= 1
        count, wanted = len(parts), FUNCTIONS[name]
        if count != wanted and not (name in ("min", "max") and count > 2):
            raise ValueError(
                f"at character {begin + 1}: {name} takes {wanted} arguments; got {count}"
            )
        if name == "where":
            test = self.formula(parts[0], starts[0])
            return Where(test, self.term(parts[1], starts[1]), self.term(parts[2], starts[2]))
        terms = [self.term(p, at) for p, at in zip(parts, starts, strict=True)]
        match name:
            case "min":
                return minimum(*terms)
            case "max":
                return maximum(*terms)
            case "clip":
                return Clip(*terms)
            case _:
                return Unary(UnaryOp(name), terms[0])
