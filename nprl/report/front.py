"""The picture of a front: what programs return against how large they are."""

from __future__ import annotations

from matplotlib.figure import Figure

from nprl.report.picture import BLUE, INK, PALE, figure
from nprl.search.front import Front

LONGEST = 46
"""Characters of a program that stand beside its point."""


def draw_front(front: Front, title: str) -> Figure:
    """Mean returns with their 95 % intervals, by nodes; the best few with their programs."""
    drawn, (ax,) = figure(9.5, 4.2)
    entries = list(front)
    sizes = [e.nodes for e in entries]
    means = [e.mean for e in entries]
    errors = [[e.mean - e.ci95[0] for e in entries], [e.ci95[1] - e.mean for e in entries]]
    ax.errorbar(sizes, means, yerr=errors, fmt="o", color=BLUE, ecolor=PALE, elinewidth=3, ms=5)
    best: list[float] = []
    for mean in means:
        best.append(max([mean, *best[-1:]]))
    ax.step(sizes, best, where="post", color=BLUE, lw=1.2, alpha=0.6)
    named = [e for e, top in zip(entries, best, strict=True) if e.mean == top][-3:]
    lines = [f"{e.nodes} nodes, {e.mean:.4g}:  {_short(e.program.formula)}" for e in named]
    ax.text(
        0.98, 0.04, "\n".join(lines), transform=ax.transAxes, ha="right", va="bottom", fontsize=9,
        color=INK, family="monospace", bbox={"facecolor": "white", "edgecolor": PALE},
    )  # fmt: skip
    ax.set_title(f"{title}: mean return by size of the program", fontsize=10)
    ax.set_xlabel("nodes", fontsize=9)
    ax.set_xlim(left=0)
    ax.set_axisbelow(True)
    ax.grid(color=PALE, lw=0.8)
    return drawn


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
