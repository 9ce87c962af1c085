"""A process that is asked line by line and can be killed: so a limit holds whatever a solver does in it."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from contextlib import suppress
from typing import IO


class LineProcess:
    """A module of Python in a process of its own: text goes in, lines come back.

    It has its own session, so Ctrl-C is for us; who starts one closes it.
    """

    def __init__(self, module: str, *arguments: str) -> None:
        # the caller's path, so that it finds what the caller found, wherever that was started
        path = os.pathsep.join(os.path.abspath(p) for p in sys.path)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._input: IO[str] = self.process.stdin
        self._output: IO[str] = self.process.stdout
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with suppress(ValueError):  # closed while it was read
            for line in self._output:
                self._lines.put(line.strip())
        self._lines.put("")

    def write(self, text: str) -> None:
        """Send text.

        Raises:
            OSError: where the process is gone.
        """
        self._input.write(text)
        self._input.flush()

    def line(self, seconds: float) -> str:
        """The next line; "" where none comes in time, or ever."""
        try:
            return self._lines.get(timeout=max(seconds, 0.0))
        except queue.Empty:
            return ""

    def status(self) -> int | None:
        """How the process ended, as `subprocess.Popen.returncode`; None while it runs."""
        return self.process.poll()

    def close(self) -> None:
        """End the process, also where it hangs."""
        self.process.kill()
        self.process.wait()
        with suppress(OSError):  # what was not written yet
            self._input.close()
        self._reader.join()
        self._output.close()
