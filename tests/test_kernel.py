"""What a reader must trust: what the checker imports, and how large it is."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import tokenize
from pathlib import Path
from typing import Any

HEAVY = (
    "torch",
    "gymnasium",
    "stable_baselines3",
    "sklearn",
    "cvxpy",
    "scipy",
    "cma",
    "matplotlib",
)
MOST_LINES = 1978
"""The code lines of the kernel, which may shrink and not grow; the aim is well under 2,000."""
LAYOUT = (
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
)


def imported() -> dict[str, str]:
    """The modules that a new process holds after ``import nprl.shields.checker``: name to file."""
    script = (
        "import sys, nprl.shields.checker\n"
        "for n, m in sorted(sys.modules.items()): print(n, getattr(m, '__file__', None))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


def code_lines(path: str) -> int:
    """Lines that hold code: no comments, docstrings, blank lines."""
    source = Path(path).read_text()
    documentation: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            documentation |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in LAYOUT:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - documentation)


def test_the_checker_imports_nothing_that_learns_samples_or_simulates() -> None:
    modules = imported()
    assert "nprl.shields.goals" in modules
    assert not [name for name in modules if name.split(".")[0] in HEAVY]


def test_the_kernel_does_not_grow(capsys: Any) -> None:
    sizes = {n: code_lines(f) for n, f in imported().items() if n.split(".")[0] == "nprl"}
    total = sum(sizes.values())
    with capsys.disabled():
        print(f"\nkernel: {total} lines of code in {len(sizes)} modules")
    assert 1000 < total <= MOST_LINES
