"""Where a long search stands, in a JSON file: begun again, it goes on as if never interrupted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nprl.env.task import Task
from nprl.files import write_atomic
from nprl.search.grammar import Grammar
from nprl.search.work import Work

FORMAT = "nprl-search/1"
EVERY_S = 60.0
"""Seconds between two savings."""


class SavedError(ValueError):
    """A file that holds no state of this search; one line."""


class Saved:
    """The state of one search, if it has a file."""

    def __init__(self, path: Path | None, identity: dict[str, Any]) -> None:
        """``identity`` says which search it is: task, grammar, work, seed."""
        self._path, self._identity = path, json.loads(json.dumps(identity))
        self._last = time.monotonic()

    @classmethod
    def of(cls, work: Work, method: str, task: Task, grammar: Grammar, seed: int) -> Saved:
        """That of a search by ``method``, in the file that ``work`` names."""
        identity = {"method": method, "task": task.key, "grammar": repr(grammar)}
        return cls(work.saved, identity | {"work": work.identity, "seed": seed})

    def load(self) -> dict[str, Any] | None:
        """The state; None where nothing was saved.

        Raises:
            SavedError: for a file that is damaged, or of another search.
        """
        if self._path is None or not self._path.exists():
            return None
        try:
            data = json.loads(self._path.read_text(encoding="utf-8"))
            if set(data) != {"format", "identity", "state"} or data["format"] != FORMAT:
                raise ValueError(f"not the keys of {FORMAT}")
            found, state = data["identity"], data["state"]
        except (OSError, ValueError, TypeError) as error:
            raise SavedError(
                f"{self._path}: no state of a search ({error}); delete it to begin anew"
            ) from None
        if found != self._identity:
            other = [k for k, v in self._identity.items() if found.get(k) != v]
            raise SavedError(
                f"{self._path}: the state of a search with another {', '.join(other)}; "
                "delete it to begin anew"
            )
        return dict(state)

    def save(self, state: Callable[[], dict[str, Any]], now: bool = False) -> None:
        """Write the state, if it is time to."""
        if self._path is None or not (now or time.monotonic() - self._last > EVERY_S):
            return
        data = {"format": FORMAT, "identity": self._identity, "state": state()}
        write_atomic(self._path, json.dumps(data) + "\n")
        self._last = time.monotonic()
