"""Claims from files: certificates, and impossibility certificates, read and not proved."""

from __future__ import annotations

from pathlib import Path

from nprl.lang.serial import loads
from nprl.shields.certificate import Certificate, CertificateError, certificate_from_json, read
from nprl.shields.losing import FORMAT, IMPOSSIBLE, Impossible


def claim_from_json(data: object) -> Certificate | Impossible:
    """The claim in JSON data, of the kind that its format says.

    Raises:
        CertificateError: as `nprl.shields.certificate.read` says.
    """
    if isinstance(data, dict) and data.get("format") == FORMAT:
        return read(IMPOSSIBLE, data)
    return certificate_from_json(data)


def load_claim(path: str | Path) -> Certificate | Impossible:
    """The claim in a file, of either kind.

    Raises:
        CertificateError: for a file that is not there, or is no claim.
    """
    return claim_from_bytes(_bytes(path), str(path))


def load_certificate(path: str | Path) -> Certificate:
    """The certificate of a shield in a file.

    Raises:
        CertificateError: for a file that is not there, or is no certificate of a shield.
    """
    return shield_from_bytes(_bytes(path), str(path))


def claim_from_bytes(data: bytes, name: str) -> Certificate | Impossible:
    """The claim in a file's bytes; ``name`` is the file's, for errors.

    Raises:
        CertificateError: for what is no claim.
    """
    try:
        return claim_from_json(loads(data))
    except ValueError as error:
        raise CertificateError(f"{name}: {error}") from None


def shield_from_bytes(data: bytes, name: str) -> Certificate:
    """The certificate of a shield in a file's bytes; ``name`` is the file's, for errors.

    Raises:
        CertificateError: for what is no certificate of a shield.
    """
    found = claim_from_bytes(data, name)
    if isinstance(found, Impossible):
        raise CertificateError(
            f"{name}: proves that no shield can keep {found.model.name}; a certificate of a shield "
            "is needed here"
        )
    return found


def _bytes(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CertificateError(f"{path}: {error.strerror or error}") from None
