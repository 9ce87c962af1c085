"""The model: one definition of a system, from which the environment, the proof and the pictures come.

A `Model` is data: coordinates with units and closed bounds, the next state, the initial box, what
is safe, what ends an episode, observation and reward, and the arithmetic of the plant that runs. It
says nothing about policies or shields. The format is that of ``docs/certificate.md``, section 2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from nprl.lang import schema
from nprl.lang.schema import NUMBER, TERM, TEXT, WHOLE, many, record
from nprl.lang.serial import canonical
from nprl.lang.terms import NAME, Formula, Num, Operand, Term, Truth, Var, exact, term, variables

FORMAT = "nprl-model/1"
SEMANTICS = "1"
NEXT = "next_"
"""Prefix of the next state's names in the reward; no coordinate's own name may begin with it."""


class ModelError(ValueError):
    """A model that is not well formed: one line that says what, where, and what is accepted."""


@dataclass(frozen=True, slots=True)
class Coordinate:
    """A named real number with its unit and closed bounds."""

    name: str
    unit: str
    low: Fraction
    high: Fraction

    def __post_init__(self) -> None:
        _check_name(self.name)
        for side in ("low", "high"):
            object.__setattr__(self, side, _number(getattr(self, side), f"{self.name}.{side}"))


@dataclass(frozen=True, slots=True)
class Observation:
    """What a policy sees: a term over the state, and a bound on how far the plant's value is off."""

    name: str
    value: Term
    rounding: Fraction = Fraction(0)

    def __post_init__(self) -> None:
        _check_name(self.name)
        object.__setattr__(self, "value", term(self.value))
        object.__setattr__(self, "rounding", _number(self.rounding, f"{self.name}.rounding"))
        if self.rounding < 0:
            raise ModelError(f"observation {self.name}: its rounding is at least 0")


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How the plant that runs computes: from it the checker derives the rounding of each coordinate."""

    state: str = "float64"
    """The type that the next state is stored in; everything before is float64."""
    scaled: bool = True
    """Whether the learner's action lies in [-1, 1] and is scaled to units by the plant."""
    ulps: int = 4
    """Bound on the error of each library function (sin, ...), in units of 2^-52 of its value."""

    def __post_init__(self) -> None:
        if self.state not in ("float64", "float32"):
            raise ModelError(f"arithmetic.state is float64 or float32; got {self.state!r}")
        if type(self.scaled) is not bool or type(self.ulps) is not int or not 1 <= self.ulps <= 64:
            raise ModelError("arithmetic.scaled is true or false, arithmetic.ulps is 1 to 64")


Box = dict[str, tuple[Fraction, Fraction]]


@dataclass(frozen=True)
class Model:
    """A discrete-time system ``next = step(state, action, disturbance)``, exactly.

    ``step`` and ``init`` are mappings from each state coordinate (a name or a `Var`) to its next
    value, and to the closed interval in which episodes start, uniformly. The state's bounds are the
    box of analysis: the invariant lies inside it; leaving it is not by itself unsafe. ``reward``
    may read state, action, and the next state under ``next_`` names; ``unsafe_reward`` replaces it
    on the step that leaves ``safe``, which ends the episode. ``terminal`` states absorb and are not
    unsafe. With ``choices`` the action is one of finitely many, in the order of the learner's
    index.

    Raises:
        ModelError: with one line, for whatever is not well formed.
    """

    name: str
    state: tuple[Coordinate, ...]
    action: tuple[Coordinate, ...]
    step: Mapping[Any, Operand]
    init: Mapping[Any, tuple[Fraction, Fraction]]
    safe: Formula
    disturbance: tuple[Coordinate, ...] = ()
    choices: tuple[tuple[Fraction, ...], ...] | None = None
    terminal: Formula = Truth(False)
    observation: tuple[Observation, ...] = ()
    reward: Operand = Num(Fraction(0))
    unsafe_reward: Fraction | None = None
    horizon: int = 1000
    dt: Fraction | None = None
    integrator: str = "map"
    arithmetic: Arithmetic = field(default_factory=Arithmetic)
    provenance: str = "exact"
    notes: str = ""

    def __post_init__(self) -> None:
        """Normalise the mappings and refuse what is not well formed."""

        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        names = [c.name for c in (*self.state, *self.action, *self.disturbance)]
        for name in names:
            if names.count(name) > 1:
                raise ModelError(f"the name {name!r} is used twice; all coordinates' names differ")
            if name.startswith(NEXT):
                raise ModelError(f"{name!r}: the prefix {NEXT!r} is kept for the next state")
        if not self.state:
            raise ModelError("a model has at least one state coordinate")
        for c in (*self.state, *self.action, *self.disturbance):
            sign = "<=" if c in self.disturbance else "<"
            if c.low > c.high or (c.low == c.high and sign == "<"):
                raise ModelError(f"{c.name}: low {sign} high is needed; got {c.low} and {c.high}")
        try:
            put("step", _by_state("step", self.step, self.state, term))
            put("init", _by_state("init", self.init, self.state, _interval))
            put("reward", term(self.reward))
        except TypeError as error:
            raise ModelError(str(error)) from None
        if not self.observation:
            put("observation", tuple(Observation(c.name, Var(c.name)) for c in self.state))
        xs, us = set(self.state_names), set(self.action_names)
        everything = xs | us | set(self.disturbance_names)
        for c in self.state:
            _known(f"step[{c.name}]", term(self.step[c.name]), everything)
        _known("safe", self.safe, xs)
        _known("terminal", self.terminal, xs)
        for o in self.observation:
            _known(f"observation {o.name}", o.value, xs)
        seen = [o.name for o in self.observation]
        if len(set(seen)) != len(seen):
            raise ModelError(f"observation names differ from each other; got {seen}")
        _known("reward", self.reward_term, xs | us | {NEXT + n for n in xs})
        if self.choices is not None:
            put("choices", tuple(tuple(_number(v, "choices") for v in c) for c in self.choices))
            _check_choices(self.choices, self.action)
        if self.unsafe_reward is not None:
            put("unsafe_reward", _number(self.unsafe_reward, "unsafe_reward"))
        if self.dt is not None:
            put("dt", _number(self.dt, "dt"))
        if type(self.horizon) is not int or self.horizon < 1:
            raise ModelError(f"horizon is a positive integer; got {self.horizon!r}")

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the state, in order."""
        return tuple(c.name for c in self.state)

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the action, in order."""
        return tuple(c.name for c in self.action)

    @property
    def disturbance_names(self) -> tuple[str, ...]:
        """Names of the disturbance, in order."""
        return tuple(c.name for c in self.disturbance)

    @property
    def steps(self) -> tuple[Term, ...]:
        """The next state, in the order of the state."""
        return tuple(self.step[c.name] for c in self.state)  # type: ignore[misc]

    @property
    def reward_term(self) -> Term:
        """The reward as a term."""
        return term(self.reward)

    def nominal(self) -> dict[str, Fraction]:
        """The centre of the disturbance box: what the run-time test assumes."""
        return {c.name: (c.low + c.high) / 2 for c in self.disturbance}

    def box(self) -> Box:
        """The closed bounds of every coordinate: state, action and disturbance."""
        return {c.name: (c.low, c.high) for c in (*self.state, *self.action, *self.disturbance)}

    def digest(self) -> str:
        """SHA-256 of the canonical JSON, with the version of the semantics in front."""
        text = f"nprl-semantics/{SEMANTICS}\n" + canonical(self.to_json())
        return hashlib.sha256(text.encode("ascii")).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The model as JSON data; every number a string."""
        data: dict[str, Any] = MODEL.write(self)
        return data


COORDINATE = record(Coordinate, {"name": TEXT, "unit": TEXT, "low": NUMBER, "high": NUMBER})
CHOICES = schema.optional(many(many(NUMBER)))
OBSERVATION = schema.row(Observation, {"name": TEXT, "value": TERM, "rounding": NUMBER})
ARITHMETIC = record(Arithmetic, {"state": TEXT, "scaled": schema.FLAG, "ulps": schema.WHOLE})
MODEL = record(
    Model,
    {
        "name": TEXT,
        "state": many(COORDINATE),
        "action": many(COORDINATE),
        "choices": CHOICES,
        "disturbance": many(COORDINATE),
        "step": schema.table(TERM),
        "init": schema.table(many(NUMBER)),
        "safe": schema.FORMULA,
        "terminal": schema.FORMULA,
        "observation": many(OBSERVATION),
        "reward": TERM,
        "unsafe_reward": schema.optional(NUMBER),
        "horizon": WHOLE,
        "dt": schema.optional(NUMBER),
        "integrator": TEXT,
        "arithmetic": ARITHMETIC,
        "provenance": TEXT,
        "notes": TEXT,
    },
    {"format": FORMAT},
)
"""How a model stands in a file: section 2 of docs/certificate.md."""


def model_from_json(data: object) -> Model:
    """The model that `Model.to_json` wrote.

    Raises:
        ModelError: for another format, a missing or unknown key, or anything a `Model` refuses.
    """
    try:
        return MODEL.read(data, "model")
    except (ValueError, TypeError, RecursionError) as error:
        raise ModelError(str(error)) from None


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name) or len(name) > 64:
        what = "at most 64 letters, digits and underscores, no digit first"
        raise ModelError(f"a name is {what}; got {name!r}")


def _number(value: Any, what: str) -> Fraction:
    if value is None:
        raise ModelError(f"{what}: a finite bound is needed; got none")
    try:
        return exact(value)
    except TypeError as error:
        raise ModelError(f"{what}: {error}") from None


def _check_choices(choices: Sequence[Sequence[Fraction]], box: Sequence[Coordinate]) -> None:
    if not choices or len(set(choices)) != len(choices):
        raise ModelError("choices: at least one action, each once")
    for choice in choices:
        inside = [c.low <= v <= c.high for c, v in zip(box, choice, strict=False)]
        if len(choice) != len(box) or not all(inside):
            raise ModelError(f"choices: {[*map(str, choice)]} is no point of the action box")


def _interval(value: Any) -> tuple[Fraction, Fraction]:
    if len(value) != 2:
        raise ModelError(f"init: two ends are needed, low and high; got {len(value)}")
    low, high = (_number(v, "init") for v in value)
    if not low <= high:
        raise ModelError(f"init: low <= high is needed; got {low} and {high}")
    return low, high


def _by_state(what: str, given: Mapping[Any, Any], state: Sequence[Coordinate], read: Any) -> Any:
    named = {key.name if isinstance(key, Var) else key: value for key, value in given.items()}
    names = [c.name for c in state]
    for name in (*names, *named):
        if name not in named:
            raise ModelError(f"{what} misses the state coordinate {name!r}")
        if name not in names:
            known = ", ".join(names)
            raise ModelError(f"{what} has {name!r}, which is no state coordinate; they are {known}")
    return {name: read(named[name]) for name in names}


def _known(what: str, t: Term | Formula, names: set[str]) -> None:
    for name in sorted(variables(t) - names):
        known = ", ".join(sorted(names))
        raise ModelError(f"{what} has the unknown name {name!r}; known here: {known}")
