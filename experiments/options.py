"""The command line of the scripts: what is wrong is said in one line."""

from __future__ import annotations

import argparse
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, after the script's own name, and exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and exit."""
        script = self.prog.rpartition(".")[2]
        self.exit(2, f"{script}: {message}; --help lists what is accepted\n")
