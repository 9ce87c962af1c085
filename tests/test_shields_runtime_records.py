"""What runs is what was proved: by the bytes of the certificate and of the kernel."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from runtime_examples import box_certificate

import nprl.shields.checker
from nprl.shields import Filter, records
from nprl.shields.certificate import CertificateError
from nprl.shields.goals import goals
from nprl.shields.records import (
    kernel_digest,
    kernel_modules,
    load_proved,
    record_of,
    require_proof,
    ship,
)
from nprl.shields.synthesis.proofs.prove import prove


@pytest.fixture(scope="module")
def proved_bytes() -> bytes:
    """A certificate with its proofs, as a file's content."""
    certificate = box_certificate()
    proofs = {goal: prove(sequent) for goal, sequent in goals(certificate).items()}
    data = replace(certificate, proofs=proofs).to_json()
    return (json.dumps(data, separators=(",", ":")) + "\n").encode()


@pytest.fixture
def proved(proved_bytes: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That file, with an empty cache of records."""
    monkeypatch.setenv("NPRL_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "box.json"
    path.write_bytes(proved_bytes)
    return path


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the models that were proved anew."""
    seen: list[str] = []
    original = nprl.shields.checker.check

    def check(certificate, *args, **kwargs):
        seen.append(certificate.model.name)
        return original(certificate, *args, **kwargs)

    monkeypatch.setattr(nprl.shields.checker, "check", check)
    return seen


def test_a_certificate_is_proved_once_for_its_bytes(proved, checks) -> None:
    assert Filter.from_file(proved).filter([0.5, 0.5], [0.0]).inside
    assert checks == ["test/Box-v0"]
    load_proved(proved)
    assert len(checks) == 1
    require_proof(load_proved(proved))  # the same object in memory
    assert len(checks) == 1


def test_other_bytes_are_proved_again(proved, checks) -> None:
    load_proved(proved)
    data = json.loads(proved.read_text())
    data["info"] = {"note": "nothing that matters"}
    proved.write_text(json.dumps(data))
    load_proved(proved)
    assert len(checks) == 2


def test_another_kernel_proves_again(proved, checks, monkeypatch) -> None:
    load_proved(proved)
    monkeypatch.setattr(records, "kernel_digest", lambda: "0" * 64)
    load_proved(proved)
    assert len(checks) == 2


@pytest.mark.parametrize("content", ["", "{", "[]", '{"verdict": "verified"}', "\0"])
def test_a_damaged_record_is_no_record(content, proved, checks) -> None:
    load_proved(proved)
    record, _ = record_of(proved.read_bytes())
    record.write_text(content)
    load_proved(proved)
    assert len(checks) == 2


def test_a_record_at_the_place_of_another_is_no_record(proved, checks) -> None:
    load_proved(proved)
    record, _ = record_of(proved.read_bytes())
    broken = proved.with_name("broken.json")
    broken.write_bytes(proved.read_bytes().replace(b'"1/2"', b'"3/2"', 1))
    other, _ = record_of(broken.read_bytes())
    other.write_bytes(record.read_bytes())
    with pytest.raises(CertificateError):
        load_proved(broken)


def test_without_a_place_for_records_it_is_proved_each_time(proved, checks, monkeypatch) -> None:
    blocked = proved.with_name("file")
    blocked.write_text("")
    monkeypatch.setenv("NPRL_CACHE", str(blocked))
    load_proved(proved)
    load_proved(proved)
    assert len(checks) == 2


def test_a_certificate_without_proofs_does_not_run(proved, tmp_path) -> None:
    with pytest.raises(CertificateError, match=r"not proved \(.*no proof object"):
        Filter(box_certificate())
    path = box_certificate().save(tmp_path / "bare.json")
    with pytest.raises(CertificateError, match=r"^.*bare\.json: not proved"):
        Filter.from_file(path)
    assert not list((tmp_path / "cache").glob("**/*.json"))


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\xff", b'{"format": 1, "format": 2}', b"[" * 100_000]
)
def test_what_is_no_certificate_is_one_line(content, tmp_path) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(content)
    with pytest.raises(CertificateError) as caught:
        Filter.from_file(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(CertificateError, match="No such file"):
        Filter.from_file(tmp_path / "nowhere.json")


def test_shipped_records_spare_the_proof(proved, checks, tmp_path, monkeypatch) -> None:
    written = json.loads(ship([proved], tmp_path / "records.json").read_text())
    assert written["kernel"] == kernel_digest()
    assert written["proved"] == {"box.json": hashlib.sha256(proved.read_bytes()).hexdigest()}
    monkeypatch.setattr(records, "_shipped", lambda: frozenset(written["proved"].values()))
    load_proved(proved)
    assert len(checks) == 1  # by `ship` alone


def test_nothing_unproved_is_shipped(tmp_path, monkeypatch) -> None:
    path = box_certificate().save(tmp_path / "bare.json")
    with pytest.raises(CertificateError, match="not proved"):
        ship([path], tmp_path / "records.json")
    assert not (tmp_path / "records.json").exists()


def test_the_kernel_is_what_the_checker_imports() -> None:
    modules = set(kernel_modules())
    assert {
        "nprl.model",
        "nprl.lang.terms",
        "nprl.shields.goals",
        "nprl.shields.checker",
    } <= modules
    assert not [m for m in modules if m.startswith(("nprl.env", "nprl.shields.synthesis"))]
    assert "nprl.shields.nearest" not in modules
