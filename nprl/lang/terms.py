"""Terms and formulas: the one syntax in which dynamics, programs and invariants are written.

A term is data, not code: frozen, hashable, compared by structure. What it *means* (a float
function, an exact number, an interval, a Z3 expression, text) lives in one module per meaning
beside this one.

Every operator is total, over the reals: ``x / 0 = 0``, ``log(x) = 0`` for ``x <= 0``,
``sqrt(x) = 0`` for ``x < 0``, ``tan`` is the quotient ``sin / cos``, ``x ** 0 = 1``, and
``clip(x, low, high)`` is ``min(max(x, low), high)``. The float meaning rounds, and saturates at the
largest float instead of overflowing.
"""

from __future__ import annotations

import enum
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any, TypeVar

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
"""What a user may call a coordinate; `RESERVED` words are refused."""
PROVER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,15}:[A-Za-z0-9_]{1,64}", re.ASCII)
"""Names that the prover makes hold a colon, so they never meet a user's."""
WORDS = frozenset({"pi", "true", "false", "and", "or", "not"})
FUNCTIONS = dict.fromkeys(["abs", "sin", "cos", "tan", "tanh", "exp", "log", "sqrt"], 1)
FUNCTIONS |= {"min": 2, "max": 2, "clip": 3, "where": 3}
"""What is called in text, with the number of its arguments (``min`` and ``max`` take more, too)."""
RESERVED = WORDS | FUNCTIONS.keys()
MAX_EXPONENT = 16
MAX_DEPTH = 200
"""Terms that come from outside are at most this deep; a sum of n summands is n deep."""
Exact = Fraction | int


class UnaryOp(enum.Enum):
    """Operators of one argument; the value is the name in text and JSON."""

    NEG = "neg"
    ABS = "abs"
    SIN = "sin"
    COS = "cos"
    TAN = "tan"
    TANH = "tanh"
    EXP = "exp"
    LOG = "log"
    SQRT = "sqrt"


class BinaryOp(enum.Enum):
    """Operators of two arguments; the value is the name in text and JSON."""

    ADD = "+"
    SUB = "-"
    MUL = "*"
    DIV = "/"
    MIN = "min"
    MAX = "max"


class Relation(enum.Enum):
    """Comparisons of two terms."""

    LE = "<="
    LT = "<"
    GE = ">="
    GT = ">"


class _Structural:
    """Equality by structure, with the hash kept: terms are the keys of every meaning's memory."""

    __slots__ = ("_hash",)
    _hash: int

    def _parts(self) -> tuple[object, ...]:
        return tuple([getattr(self, name) for name in self.__slots__])

    def __hash__(self) -> int:
        try:
            return self._hash
        except AttributeError:
            object.__setattr__(self, "_hash", hash((type(self).__name__, *self._parts())))
            return self._hash

    def __eq__(self, other: Any) -> bool:
        if self is other or type(self) is not type(other) or hash(self) != hash(other):
            return self is other
        return bool(self._parts() == other._parts())


def _binary(op: BinaryOp) -> tuple[Callable[[Any, Operand], Term], Callable[[Any, Operand], Term]]:
    return (lambda a, b: Binary(op, a, term(b))), (lambda a, b: Binary(op, term(b), a))


def _compare(relation: Relation) -> Callable[[Any, Operand], Formula]:
    return lambda a, b: Compare(relation, a, term(b))


class _Arithmetic(_Structural):
    """Python's operators, on terms."""

    __slots__ = ()

    __add__, __radd__ = _binary(BinaryOp.ADD)
    __sub__, __rsub__ = _binary(BinaryOp.SUB)
    __mul__, __rmul__ = _binary(BinaryOp.MUL)
    __truediv__, __rtruediv__ = _binary(BinaryOp.DIV)
    __le__, __lt__ = _compare(Relation.LE), _compare(Relation.LT)
    __ge__, __gt__ = _compare(Relation.GE), _compare(Relation.GT)

    def __pow__(self: Any, exponent: int) -> Term:
        return Power(self, exponent)

    def __neg__(self: Any) -> Term:
        return Unary(UnaryOp.NEG, self)

    def __abs__(self: Any) -> Term:
        return Unary(UnaryOp.ABS, self)

    def __str__(self: Any) -> str:
        from nprl.lang.text import to_text

        return to_text(self)


class _Logic(_Structural):
    """``&``, ``|`` and ``~`` on formulas, which have no truth value (``and`` is refused)."""

    __slots__ = ()

    def __and__(self: Any, other: Formula) -> Formula:
        return And((self, other))

    def __or__(self: Any, other: Formula) -> Formula:
        return Or((self, other))

    def __invert__(self: Any) -> Formula:
        return Not(self)

    def __bool__(self) -> bool:
        raise TypeError("a formula has no truth value; write `&`, `|`, `~` for `and`, `or`, `not`")

    def __str__(self: Any) -> str:
        from nprl.lang.text import formula_to_text

        return formula_to_text(self)


@dataclass(frozen=True, slots=True, eq=False)
class Num(_Arithmetic):
    """An exact rational number."""

    value: Fraction

    def __post_init__(self) -> None:
        """Refuse a float."""
        object.__setattr__(self, "value", exact(self.value))


@dataclass(frozen=True, slots=True, eq=False)
class Pi(_Arithmetic):
    """The circle's constant, a real number; the float meaning is ``math.pi``."""


@dataclass(frozen=True, slots=True, eq=False)
class Var(_Arithmetic):
    """A coordinate, by name."""

    name: str

    def __post_init__(self) -> None:
        """Refuse what is no name."""
        if self.name in RESERVED:
            raise ValueError(f"{self.name!r} is a word of the language; choose another name")
        if not (NAME.fullmatch(self.name) or PROVER_NAME.fullmatch(self.name)):
            raise ValueError(
                "a name is 1 to 64 letters, digits and underscores, no digit first; "
                f"got {self.name[:80]!r}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Unary(_Arithmetic):
    """An operator of one argument."""

    op: UnaryOp
    arg: Term


@dataclass(frozen=True, slots=True, eq=False)
class Binary(_Arithmetic):
    """An operator of two arguments."""

    op: BinaryOp
    left: Term
    right: Term


@dataclass(frozen=True, slots=True, eq=False)
class Power(_Arithmetic):
    """A power with a literal exponent, 0 to 16."""

    base: Term
    exponent: int

    def __post_init__(self) -> None:
        """Refuse another exponent."""
        if type(self.exponent) is not int or not 0 <= self.exponent <= MAX_EXPONENT:
            got = self.exponent
            raise ValueError(f"an exponent is an integer from 0 to {MAX_EXPONENT}; got {got!r}")


@dataclass(frozen=True, slots=True, eq=False)
class Clip(_Arithmetic):
    """``min(max(arg, low), high)``."""

    arg: Term
    low: Term
    high: Term


@dataclass(frozen=True, slots=True, eq=False)
class Where(_Arithmetic):
    """``then`` where the condition holds, else ``other``."""

    condition: Formula
    then: Term
    other: Term


@dataclass(frozen=True, slots=True, eq=False)
class Truth(_Logic):
    """The formula that always holds, or never."""

    value: bool


@dataclass(frozen=True, slots=True, eq=False)
class Compare(_Logic):
    """A comparison of two terms."""

    relation: Relation
    left: Term
    right: Term


@dataclass(frozen=True, slots=True, eq=False)
class And(_Logic):
    """All of the parts, two or more (`all_of` takes any number)."""

    parts: tuple[Formula, ...]

    def __post_init__(self) -> None:
        """Refuse fewer than two."""
        _two_or_more(self.parts)


@dataclass(frozen=True, slots=True, eq=False)
class Or(_Logic):
    """One at least of the parts, two or more (`any_of` takes any number)."""

    parts: tuple[Formula, ...]

    def __post_init__(self) -> None:
        """Refuse fewer than two."""
        _two_or_more(self.parts)


@dataclass(frozen=True, slots=True, eq=False)
class Not(_Logic):
    """The negation."""

    part: Formula


Term = Num | Pi | Var | Unary | Binary | Power | Clip | Where
Formula = Truth | Compare | And | Or | Not
Operand = Term | Fraction | int
Node = TypeVar("Node", bound=_Structural)


def exact(value: Exact) -> Fraction:
    """``value`` as a Fraction; a float is refused, for it is rarely the number that was meant.

    Raises:
        TypeError: for a float, with the two exact numbers it may stand for.
    """
    if isinstance(value, bool) or not isinstance(value, (int, Fraction)):
        hint = ""
        if isinstance(value, float) and value == value and abs(value) != float("inf"):
            hint = f": write Fraction({str(value)!r}), or Fraction.from_float(...) for each digit"
        kind = type(value).__name__
        raise TypeError(f"a constant is an int or a Fraction; got {kind} {value!r}{hint}")
    return Fraction(value)


def term(value: Operand) -> Term:
    """``value`` as a term; exact numbers become `Num`."""
    return value if isinstance(value, Term) else Num(exact(value))


def _two_or_more(parts: tuple[Formula, ...]) -> None:
    if len(parts) < 2:
        raise ValueError(f"`and` and `or` join two formulas or more; got {len(parts)}")


def children(t: Term | Formula) -> tuple[Term | Formula, ...]:
    """The direct parts of a term or formula, left to right."""
    found: list[Any] = []
    for part in t._parts():
        found += part if isinstance(part, tuple) else [part] * isinstance(part, _Structural)
    return tuple(found)


def subterms(t: Term | Formula) -> Iterator[Term | Formula]:
    """Every part, children before parents, left to right; a part that occurs twice comes twice."""
    for child in children(t):
        yield from subterms(child)
    yield t


def distinct(*roots: Term | Formula) -> tuple[Term | Formula, ...]:
    """Every different part once, children before parents."""
    seen: dict[Term | Formula, None] = {}

    def visit(part: Term | Formula) -> None:
        if part not in seen:
            for child in children(part):
                visit(child)
            seen[part] = None

    for root in roots:
        visit(root)
    return tuple(seen)


def check_depth(t: Term | Formula) -> None:
    """Refuse a term too deep for the recursion of the meanings.

    Raises:
        ValueError: where it is deeper than `MAX_DEPTH`.
    """
    level: list[Term | Formula] = [t]
    for _ in range(MAX_DEPTH):
        level = [child for parent in level for child in children(parent)]
        if not level:
            return
    raise ValueError(f"the term is deeper than {MAX_DEPTH} levels; split its sums with parentheses")


def variables(t: Term | Formula) -> frozenset[str]:
    """The names that occur."""
    return frozenset(s.name for s in distinct(t) if isinstance(s, Var))


def nodes(t: Term | Formula) -> int:
    """The size: each occurrence of an operator, a variable or a constant counts one."""
    return sum(1 for _ in subterms(t))


def constants(t: Term | Formula) -> int:
    """How many numeric literals occur."""
    return sum(1 for s in subterms(t) if isinstance(s, (Num, Pi)))


def rebuilt(node: Node, change: Callable[[Any], Any]) -> Node:
    """``node`` with each of its direct parts changed; itself, where none is another."""
    old = node._parts()
    new = tuple(
        tuple(map(change, p)) if isinstance(p, tuple) else change(p)
        if isinstance(p, _Structural) else p
        for p in old
    )  # fmt: skip
    return node if all(map(operator.is_, old, new)) else type(node)(*new)


def replace(node: Node, at: Mapping[Term, Term]) -> Node:
    """``node`` with each occurrence of a key replaced by its value, which is not searched again."""
    found: Any = at.get(node) if isinstance(node, Term) else None
    return rebuilt(node, partial(replace, at=at)) if found is None else found
