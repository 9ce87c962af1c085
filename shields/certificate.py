"""The certificate: a model, a shield, and the proof objects, all numbers exact, in one JSON file.

This file holds the data and its form, which refuses whatever ``docs/certificate.md`` does not allow;
`nprl.shields.load` reads files. It proves nothing: a `Certificate` that was read is a claim, and
`nprl.shields.checker` decides it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from nprl.lang.schema import NUMBER, OBJECT, TERM, TEXT, WHOLE, Shape, many, record, table
from nprl.lang.terms import Term, variables
from nprl.model import MODEL, SEMANTICS, Model
from nprl.shields.polynomial import NotPolynomial, polynomial

FORMAT = "nprl-certificate/1"
Point = Mapping[str, Fraction]
WITNESSES = ("init", "invariant", "action", "disturbance")


class CertificateError(ValueError):
    """A certificate that is not well formed: one line; nothing of it was used."""


@dataclass(frozen=True, slots=True)
class Plans:
    """The programs from which plans of at most so many steps are made: section 8 of the page."""

    policies: tuple[tuple[Term, ...], ...]
    steps: int


@dataclass(frozen=True, slots=True)
class ShieldData:
    """What runs: the parts of I (each a list of terms, meant >= 0), the test's margins, the backup."""

    family: str
    invariant: tuple[tuple[Term, ...], ...]
    margins: tuple[tuple[Fraction, ...], ...]
    backup: tuple[Term, ...]
    plans: Plans | None = None


@dataclass(frozen=True, slots=True)
class Rounding:
    """Claimed bounds on the rounding of plant, backup, test and guards; the checker derives its own."""

    plant: Mapping[str, Fraction]
    backup: tuple[Fraction, ...]
    test: tuple[tuple[Fraction, ...], ...]
    guard: Fraction

    def named(self) -> dict[str, Fraction]:
        """Every bound, by its place."""
        result = {f"plant.{n}": v for n, v in self.plant.items()}
        result |= {f"backup[{j}]": v for j, v in enumerate(self.backup)}
        for p, part in enumerate(self.test):
            result |= {f"test[{p}][{k}]": v for k, v in enumerate(part)}
        return result | {"guard": self.guard}


class Claim:
    """What two kinds of file have in common: a model, bound by its digest, and how they are saved."""

    __slots__ = ()
    shape: ClassVar[Shape[Any]]
    model: Model

    @property
    def model_digest(self) -> str:
        """What binds the proofs to the model."""
        return self.model.digest()

    def to_json(self) -> dict[str, Any]:
        """The claim as JSON data."""
        data: dict[str, Any] = self.shape.write(self)
        return data

    def save(self, path: str | Path) -> Path:
        """Write the claim, atomically."""
        from nprl.files import write_atomic

        return write_atomic(path, json.dumps(self.to_json(), separators=(",", ":")) + "\n")


def check_known(what: str, terms: Iterable[Term], names: Iterable[str]) -> None:
    """Refuse terms that speak of anything else than ``names``.

    Raises:
        CertificateError: with the name that is not known.
    """
    known = list(names)
    for name in sorted({n for t in terms for n in variables(t)}.difference(known)):
        raise CertificateError(f"{what}: {name!r} is unknown; known here are {', '.join(known)}")


@dataclass(frozen=True, slots=True)
class Certificate(Claim):
    """A claim about a model and a shield, with the proof trees (JSON data, by goal) that shall show it."""

    model: Model
    shield: ShieldData
    rounding: Rounding
    witness: Mapping[str, Point]
    proofs: Mapping[str, Any] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse shapes and names that do not fit the model."""
        model, shield, rounding = self.model, self.shield, self.rounding
        xs, us, ws = map(set, (model.state_names, model.action_names, model.disturbance_names))
        rows = [g for part in shield.invariant for g in part]
        plans = shield.plans or Plans((shield.backup,), 1)
        programs = (shield.backup, *plans.policies)
        check_known("shield", (*(t for p in programs for t in p), *rows), model.state_names)
        try:
            list(map(polynomial, rows))
        except NotPolynomial as error:
            raise CertificateError(f"invariant: {error}") from None
        parts = (shield.invariant, shield.margins, rounding.test)
        shape, *others = ([len(part) for part in of] for of in parts)
        actions = {len(rounding.backup), *map(len, programs)}
        points = {k: set(point) for k, point in self.witness.items()}
        wanted = dict(zip(WITNESSES, (xs, xs, us, ws), strict=True))
        floats = (abs(m) <= 10**300 and float(m) == m for part in shield.margins for m in part)
        for fits, needed in (
            (shape and all(shape), "invariant: at least one part, each with at least one term"),
            (others == [shape] * 2, "margins, rounding.test: one number for each row of invariant"),
            (actions == {len(us)}, "backup, rounding.backup, policies: one entry for each action"),
            (plans.policies and 1 <= plans.steps <= 200, "plans: a policy, 1 to 200 steps"),
            (set(rounding.plant) == xs, "rounding.plant: one number for each state coordinate"),
            (all(floats), "margins: a number is exactly a float64; round it first"),
            (all(v >= 0 for v in rounding.named().values()), "rounding: a bound is at least 0"),
            (points == wanted, "witness: points init, invariant, action, disturbance by name"),
        ):
            if not fits:
                raise CertificateError(needed)


T = TypeVar("T")
Parts = dict[str, Shape[Any]]


def claim(kind: Callable[..., T], parts: Parts, form: str) -> Shape[T]:
    """How a claim of some kind stands in a file, with these parts between its model and its witness."""

    def bound(model_digest: str, model: Model, **parts: Any) -> T:
        if model_digest != model.digest():
            raise CertificateError("model_digest does not fit the model: the file was changed")
        return kind(model, **parts)

    return record(
        bound,
        {
            **{"model": MODEL, "model_digest": TEXT, **parts, "witness": table(table(NUMBER))},
            **{"proofs": OBJECT, "info": OBJECT},
        },
        {"format": form, "semantics": SEMANTICS},
        remedy=": prove it again with this version",
    )


_ROWS, _NUMBERS = many(many(TERM)), many(many(NUMBER))
_SHIELD: Parts = {"family": TEXT, "invariant": _ROWS, "margins": _NUMBERS, "backup": many(TERM)}
_PLANS = record(Plans, {"policies": _ROWS, "steps": WHOLE})
Certificate.shape = CERTIFICATE = claim(
    Certificate,
    {
        "shield": record(ShieldData, {**_SHIELD, "plans": _PLANS}, spare=("plans",)),
        "rounding": record(
            Rounding,
            {"plant": table(NUMBER), "backup": many(NUMBER), "test": _NUMBERS, "guard": NUMBER},
        ),
    },
    FORMAT,
)
"""How a certificate stands in a file: section 3 of docs/certificate.md."""


def read(shape: Shape[T], data: object) -> T:
    """The claim in JSON data.

    Raises:
        CertificateError: for another format or version, another model's digest, or anything
            malformed.
    """
    try:
        return shape.read(data, "certificate")
    except (ValueError, TypeError, RecursionError) as error:
        raise CertificateError(str(error)) from None


def certificate_from_json(data: object) -> Certificate:
    """The certificate in JSON data: `read` of its shape."""
    return read(CERTIFICATE, data)
