"""A run's folder: stages that leave their result and files, so that an interrupted run goes on.

A stage counts as done when ``stages/NAME.json`` is there, with its result and the SHA-256 of each
file it left, and the digest of the stage before it. Everything is written atomically; what was changed
since is refused, not guessed at; where a record was deleted, that stage and all after it are done
again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from nprl.files import write_atomic

RESULTS = (
    *("summary.json", "report.html", "certificate.json", "program_certificate.json"),
    *("learning.png", "tree.png", "invariant.png"),
)
"""What an earlier run left that another one would not always replace."""


class RunError(ValueError):
    """A folder that cannot be used or resumed: one line with the remedy."""


class RunFolder:
    """A folder, its settings, and the stages that are done."""

    def __init__(self, path: Path, config: Mapping[str, Any], resume: bool) -> None:
        """Make the folder, or open it to resume.

        Raises:
            RunError: for a folder that cannot be written, or one to resume that is damaged or was
                made with other settings.
        """
        self.path, self.resume, self._last = path, resume, ""
        try:
            path.mkdir(parents=True, exist_ok=True)
            if resume and (path / "config.json").exists():
                self._same(config)
            else:
                self._is_ours()
                for old in [*(path / "stages").glob("*.json"), *(path / name for name in RESULTS)]:
                    old.unlink(missing_ok=True)
                self.write_json("config.json", config)
        except OSError as error:
            raise RunError(
                f"{path}: {error.strerror or error}; give --out a folder that can be written"
            ) from None

    def write_json(self, name: str, data: Any) -> Path:
        """Write JSON data to a file of the folder."""
        return write_atomic(self.path / name, json.dumps(data, indent=1) + "\n")

    def stage(
        self, name: str, work: Callable[[], dict[str, Any]], files: Iterable[str] = ()
    ) -> dict[str, Any]:
        """The result of a stage: read, when it is done and the run is resumed; else worked for.

        ``files`` are what it leaves; those that are not there are left out. The result gains
        ``wall_s``.

        Raises:
            RunError: for a stage whose record or files were damaged.
        """
        record = self.path / "stages" / f"{name}.json"
        if self.resume and record.exists():
            had = self._read(name, record)
            if had is not None:
                return had
        began = time.monotonic()
        result = work()
        result["wall_s"] = round(time.monotonic() - began, 3)
        kept = {f: _sha256(self.path / f) for f in files if (self.path / f).exists()}
        digest = self._digest(name, result, kept)
        data = {"result": result, "files": kept, "after": self._last, "digest": digest}
        self.write_json(f"stages/{name}.json", data)
        self._last = digest
        return result

    def _is_ours(self) -> None:
        """Refuse to clear a folder that holds such files, but was not made by a run."""
        there = [name for name in RESULTS if (self.path / name).exists()]
        if there and not (self.path / "config.json").exists():
            raise RunError(
                f"{self.path}: holds {there[0]}, and no config.json of a run; it would be "
                "replaced: give --out another folder"
            )

    def _same(self, config: Mapping[str, Any]) -> None:
        had = self._json(self.path / "config.json")
        for key in sorted(had.keys() | config.keys()):
            if had.get(key) != config.get(key):
                raise RunError(
                    f"{self.path}: made with {key} {had.get(key)!r}, now {config.get(key)!r}; "
                    "resume with the same settings, or start again without --resume"
                )

    def _digest(self, name: str, result: object, files: object) -> str:
        text = json.dumps([self._last, name, result, files], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _read(self, name: str, record: Path) -> dict[str, Any] | None:
        """The result in a record; None where a stage before it was done again since."""
        data = self._json(record)
        result, files = data.get("result"), data.get("files")
        if not isinstance(result, dict) or not isinstance(files, dict):
            raise self._damaged(f"{record.name} is no record of a stage")
        if not isinstance(result.get("wall_s"), int | float):
            raise self._damaged(f"{record.name} has no wall_s")
        if data.get("after") != self._last:
            return None
        if data.get("digest") != self._digest(name, result, files):
            raise self._damaged(f"{record.name} was changed")
        for file, digest in files.items():
            path = self.path / file
            if not path.exists():
                raise self._damaged(f"{file} of stage {name} is missing")
            if _sha256(path) != digest:
                raise self._damaged(f"{file} was changed after stage {name}")
        self._last = data["digest"]
        return result

    def _json(self, path: Path) -> dict[str, Any]:
        try:
            data = json.loads(path.read_bytes())
        except ValueError as error:
            raise self._damaged(f"{path.name} is no JSON ({error})") from None
        if not isinstance(data, dict):
            raise self._damaged(f"{path.name} is no JSON object")
        return data

    def _damaged(self, what: str) -> RunError:
        return RunError(
            f"{self.path}: cannot resume: {what}; delete that stage's file in {self.path}/stages to "
            "do it and what follows again, or start again without --resume"
        )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
