"""The certificate: a model, a shield, and the proof objects, all numbers exact, in one JSON file.

This file holds the data and the reader, which refuses whatever ``docs/certificate.md`` does not
allow. It proves nothing: a `Certificate` that was read is a claim, and `nprl.shields.checker`
decides it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from nprl.lang.schema import NUMBER, OBJECT, TERM, TEXT, many, record, table
from nprl.lang.serial import loads
from nprl.lang.terms import Term, variables
from nprl.model import MODEL, SEMANTICS, Model
from nprl.shields.polynomial import NotPolynomial, polynomial

FORMAT = "nprl-certificate/1"
Point = Mapping[str, Fraction]
WITNESSES = ("init", "invariant", "action", "disturbance")


class CertificateError(ValueError):
    """A certificate that is not well formed: one line; nothing of it was used."""


@dataclass(frozen=True, slots=True)
class ShieldData:
    """What runs: the parts of I (each a list of terms, meant >= 0), the test's margins, the backup."""

    family: str
    invariant: tuple[tuple[Term, ...], ...]
    margins: tuple[tuple[Fraction, ...], ...]
    backup: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Rounding:
    """Claimed bounds on the rounding of plant, backup, test and guards; the checker derives its own."""

    plant: Mapping[str, Fraction]
    backup: tuple[Fraction, ...]
    test: tuple[tuple[Fraction, ...], ...]
    guard: Fraction

    def named(self) -> dict[str, Fraction]:
        """Every bound, by its place."""
        return {
            **{f"plant.{n}": v for n, v in self.plant.items()},
            **{f"backup[{j}]": v for j, v in enumerate(self.backup)},
            **{
                f"test[{p}][{k}]": v for p, part in enumerate(self.test) for k, v in enumerate(part)
            },
            "guard": self.guard,
        }


@dataclass(frozen=True, slots=True)
class Certificate:
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
        shape = [len(part) for part in shield.invariant]
        if not shape or not all(shape):
            raise CertificateError("invariant: at least one part, each with at least one term")
        if [len(p) for p in shield.margins] != shape or [len(p) for p in rounding.test] != shape:
            raise CertificateError("margins, rounding.test: one number for each term of invariant")
        if len(shield.backup) != len(model.action) or len(rounding.backup) != len(model.action):
            raise CertificateError("backup and rounding.backup: one entry for each action")
        if set(rounding.plant) != set(model.state_names):
            raise CertificateError("rounding.plant: one number for each state coordinate")
        known = set(model.state_names)
        rows = [g for part in shield.invariant for g in part]
        for name in sorted({n for t in (*shield.backup, *rows) for n in variables(t)} - known):
            raise CertificateError(f"shield: {name!r} is no state coordinate")
        try:
            list(map(polynomial, rows))
        except NotPolynomial as error:
            raise CertificateError(f"invariant: {error}") from None
        for m in (m for part in shield.margins for m in part):
            if abs(m) > 10**300 or Fraction(float(m)) != m:
                raise CertificateError(f"margins: {m} is no float64; round it first")
        if any(v < 0 for v in rounding.named().values()):
            raise CertificateError("rounding: a bound is at least 0")
        names = {
            "init": model.state_names,
            "invariant": model.state_names,
            "action": model.action_names,
            "disturbance": model.disturbance_names,
        }
        if set(self.witness) != set(WITNESSES) or any(
            set(self.witness[k]) != set(names[k]) for k in WITNESSES
        ):
            raise CertificateError("witness: points init, invariant, action, disturbance by name")

    @property
    def model_digest(self) -> str:
        """What binds the proofs to the model."""
        return self.model.digest()

    def to_json(self) -> dict[str, Any]:
        """The certificate as JSON data."""
        data: dict[str, Any] = CERTIFICATE.write(self)
        return data

    def save(self, path: str | Path) -> Path:
        """Write the certificate, atomically."""
        from nprl.files import write_atomic

        return write_atomic(path, json.dumps(self.to_json(), separators=(",", ":")) + "\n")


def _bound(model_digest: str, model: Model, **parts: Any) -> Certificate:
    if model_digest != model.digest():
        raise CertificateError("model_digest does not fit the model: the file was changed")
    return Certificate(model, **parts)


_ROWS, _NUMBERS = many(many(TERM)), many(many(NUMBER))
CERTIFICATE = record(
    _bound,
    {
        "model": MODEL,
        "model_digest": TEXT,
        "shield": record(
            ShieldData,
            {"family": TEXT, "invariant": _ROWS, "margins": _NUMBERS, "backup": many(TERM)},
        ),
        "rounding": record(
            Rounding,
            {"plant": table(NUMBER), "backup": many(NUMBER), "test": _NUMBERS, "guard": NUMBER},
        ),
        "witness": table(table(NUMBER)),
        "proofs": OBJECT,
        "info": OBJECT,
    },
    {"format": FORMAT, "semantics": SEMANTICS},
    remedy=": prove it again with this version",
)
"""How a certificate stands in a file: section 3 of docs/certificate.md."""


def certificate_from_json(data: object) -> Certificate:
    """The certificate in JSON data.

    Raises:
        CertificateError: for another format or version, another model's digest, or anything
        malformed.
    """
    try:
        return CERTIFICATE.read(data, "certificate")
    except CertificateError:
        raise
    except (ValueError, TypeError, RecursionError) as error:
        raise CertificateError(str(error)) from None


def load_certificate(path: str | Path) -> Certificate:
    """The certificate in a file: read, not proved.

    Raises:
        CertificateError: for a file that is not there, or is no certificate.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise CertificateError(f"{path}: {error.strerror or error}") from None
    try:
        return certificate_from_json(loads(data))
    except ValueError as error:
        raise CertificateError(f"{path}: {error}") from None
