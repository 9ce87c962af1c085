"""What runs is what was proved: records of proofs, by the bytes of certificate and kernel.

A certificate is loaded to run only if a record says that exactly these bytes were proved by exactly
this kernel (the source of the checker and of all of this package that it imports), or if the proof
succeeds now, which is then recorded. Records for the certificates of this package are shipped
beside them; others are kept in ``$NPRL_CACHE``, or ``nprl/proved`` in the user's cache folder. A
record is as trustworthy as the code beside it: who can write the one can write the other.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Iterable
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from nprl.files import write_atomic
from nprl.shields.certificate import Certificate, CertificateError
from nprl.shields.load import claim_from_bytes, shield_from_bytes
from nprl.shields.losing import Impossible

CHECKER = "nprl.shields.checker"
PACKAGES = ("nprl", "nprl.lang", "nprl.shields")
"""Where the kernel's modules lie; the layers of this package keep it from importing others."""
SHIPPED = "records.json"


@functools.cache
def kernel_modules() -> tuple[str, ...]:
    """The modules of this package that a verdict depends on: the checker's imports, and theirs."""
    found: set[str] = set()
    todo = [CHECKER]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo.extend(_imports(name))
    return tuple(sorted(found))


@functools.cache
def kernel_digest() -> str:
    """SHA-256 over the names and sources of the kernel's modules."""
    digest = hashlib.sha256()
    for name in kernel_modules():
        source = _source(name)
        digest.update(f"{name} {len(source)}\n".encode() + source)
    return digest.hexdigest()


def load_proved(path: str | Path) -> Certificate:
    """The certificate in a file, proved: by a record for its bytes, or now.

    Raises:
        CertificateError: for a file that is not there, is no certificate, or is not proved.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise CertificateError(f"{path}: {error.strerror or error}") from None
    certificate = shield_from_bytes(data, str(path))
    _require(certificate, data, str(path))
    return certificate


def require_proof(certificate: Certificate) -> None:
    """Refuse a certificate for which there is neither a record nor, now, a proof.

    Raises:
        CertificateError: where it is not proved.
    """
    data = json.dumps(certificate.to_json(), separators=(",", ":")) + "\n"
    _require(certificate, data.encode("utf-8"), certificate.model.name)


def cache_folder() -> Path:
    """Where records of proofs are kept."""
    given = os.environ.get("NPRL_CACHE")
    if given:
        return Path(given) / "proved"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "nprl" / "proved"


def ship(certificates: Iterable[str | Path], target: str | Path) -> Path:
    """Prove the files and write their records to ``target``; for those who make the package.

    Raises:
        CertificateError: for one that is not proved; nothing is written then.
    """
    records: dict[str, str] = {}
    for path in certificates:
        data = Path(path).read_bytes()
        _prove(claim_from_bytes(data, str(path)), str(path))
        records[Path(path).name] = hashlib.sha256(data).hexdigest()
    content = {"kernel": kernel_digest(), "proved": dict(sorted(records.items()))}
    return write_atomic(target, json.dumps(content, indent=1) + "\n")


def record_of(data: bytes) -> tuple[Path, dict[str, str]]:
    """Where the record is for a certificate's bytes, proved by this kernel, and what it says."""
    sha, kernel = hashlib.sha256(data).hexdigest(), kernel_digest()
    key = hashlib.sha256(f"{sha} {kernel}".encode()).hexdigest()
    content = {"certificate": sha, "kernel": kernel, "verdict": "verified"}
    return cache_folder() / f"{key}.json", content


def _require(certificate: Certificate, data: bytes, name: str) -> None:
    if hashlib.sha256(data).hexdigest() in _shipped():
        return
    record, content = record_of(data)
    if _read(record) == content:
        return
    _prove(certificate, name)
    with contextlib.suppress(OSError):  # without a record it is proved again the next time
        write_atomic(record, json.dumps(content) + "\n")


def _prove(certificate: Certificate | Impossible, name: str) -> None:
    from nprl.shields.checker import Verdict, check  # Z3 is imported only where it is needed

    report = check(certificate)
    if report.verdict is not Verdict.VERIFIED:
        open_goals = [r for r in report.results if not r.proved]
        reason = f"{open_goals[0].goal}: {open_goals[0].reason}" if open_goals else "no goals"
        raise CertificateError(
            f"{name}: not proved ({reason}); `shield-check` says more, and without a proof nothing "
            "runs"
        )


@functools.cache
def _shipped() -> frozenset[str]:
    """Digests of the certificates that this kernel proved before it was shipped."""
    try:
        data = (resources.files("nprl.shields.proved") / SHIPPED).read_bytes()
    except OSError:
        return frozenset()
    content = json.loads(data)
    if content.get("kernel") != kernel_digest():
        return frozenset()
    return frozenset(content["proved"].values())


def _read(path: Path) -> object:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def _file(name: str) -> Traversable | None:
    """The source of a module in one of the kernel's packages, found without importing it."""
    package, _, last = name.rpartition(".")
    if package not in PACKAGES:
        return None
    file = resources.files(package) / f"{last}.py"
    return file if file.is_file() else None


def _source(name: str) -> bytes:
    file = _file(name)
    if file is None:
        raise CertificateError(
            f"the kernel's module {name} has no source; install the package anew"
        )
    return file.read_bytes()


def _imports(name: str) -> list[str]:
    """The modules of this package that a module imports, wherever in it, by its source."""
    result = []
    for node in ast.walk(ast.parse(_source(name))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        result += [n for n in names if n.partition(".")[0] == "nprl" and _file(n) is not None]
    return result
