"""Pictures as text: a matplotlib figure becomes an SVG that stands inside a page.

Drawn with the object interface on the Agg canvas, so that no window system and no global state is
touched. The same figure gives the same bytes.
"""

from __future__ import annotations

import io
import re

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INK, GREY, PALE = "#262a33", "#8c929e", "#e4e7ed"
BLUE, GREEN, RED, ORANGE = "#2b63be", "#2e8b57", "#c83636", "#e28021"


def figure(width: float, height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of this size in inches, and its axes side by side; no upper or right spines."""
    drawn = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(drawn)
    axes = [drawn.add_subplot(1, columns, k + 1) for k in range(columns)]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(colors=INK, labelsize=9)
    return drawn, axes


def svg(drawn: Figure, title: str) -> str:
    """The figure as an ``<svg>`` element with a title, for a page; the same bytes every time."""
    buffer = io.StringIO()
    with mpl.rc_context(
        {"svg.hashsalt": title, "svg.fonttype": "none", "font.family": "sans-serif"}
    ):
        drawn.savefig(buffer, format="svg", metadata={"Date": None, "Title": title})
    text = buffer.getvalue()
    start = text.index("<svg")
    salt = re.sub(r"\W+", "-", title.lower())
    text = re.sub(r'id="([^"]+)"', rf'id="{salt}-\1"', text[start:])
    text = re.sub(r'href="#([^"]+)"', rf'href="#{salt}-\1"', text)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#{salt}-\1)", text)


def png(drawn: Figure) -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
