"""Tables: as aligned text for a terminal, as Markdown for the docs, and as HTML for a page."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

Cell = str | int | float | None


def show(value: Cell) -> str:
    """A number with four significant digits, or all those before the point; a dash for None."""
    if value is None:
        return "-"
    if isinstance(value, float):
        if 1e4 <= abs(value) < 1e9:
            return f"{value:.0f}"
        return f"{value:.4g}" if math.isfinite(value) else str(value)
    return str(value)


def text_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Columns aligned by spaces: the first to the left, the others to the right.

    Raises:
        ValueError: for a row of another length.
    """
    cells = [list(columns), *([show(v) for v in row] for row in rows)]
    if any(len(row) != len(columns) for row in cells):
        raise ValueError(f"each row has {len(columns)} cells")
    widths = [max(len(row[k]) for row in cells) for k in range(len(columns))]
    lines = [
        "  ".join(
            v.ljust(w) if k == 0 else v.rjust(w)
            for k, (v, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    lines.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join(lines)


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A table as Markdown has it; a bar inside a cell is escaped.

    Raises:
        ValueError: for a row of another length.
    """
    if any(len(row) != len(columns) for row in rows):
        raise ValueError(f"each row has {len(columns)} cells")
    cells = [list(columns), ["---"] * len(columns), *([show(v) for v in row] for row in rows)]
    return "\n".join(
        f"| {' | '.join(c.replace('|', chr(92) + '|') for c in row)} |" for row in cells
    )


def html_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A ``<table>``; every cell is escaped.

    Raises:
        ValueError: for a row of another length.
    """
    if any(len(row) != len(columns) for row in rows):
        raise ValueError(f"each row has {len(columns)} cells")
    head = "".join(f"<th>{html.escape(c)}</th>" for c in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(show(v))}</td>" for v in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
