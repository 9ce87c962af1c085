"""The picture of a run: its first two coordinates among the unsafe states, and each one over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nprl.env.plant import Plant
from nprl.files import write_atomic
from nprl.lang.floats import compile_batch
from nprl.lang.terms import Term
from nprl.model import Model
from nprl.report.picture import BLUE, GREEN, INK, ORANGE, PALE, RED, figure, png
from nprl.shields.counterexample import Counterexample, Moment

Floats = NDArray[np.float64]
GRID = 201


def draw_trace(
    model: Model, moments: Sequence[Moment], parts: Sequence[Sequence[Term]] = ()
) -> Figure:
    """A run (states by name) in its plane and over time; ``parts`` is a set whose edge is drawn."""
    x = np.array([[float(m.state[n]) for n in model.state_names] for m in moments])
    drawn, axes = figure(10.0, 4.2, 2)
    if len(model.state) > 1:
        _plane(axes[0], model, x, parts)
    else:
        axes[0].set_visible(False)
    time = np.array([m.time for m in moments]) * float(model.dt or 1)
    for k, c in enumerate(model.state):
        axes[1].plot(time, x[:, k], lw=1.5, label=f"{c.name} [{c.unit}]" if c.unit else c.name)
    axes[1].set_xlabel("time [s]" if model.dt else "step", fontsize=9)
    axes[1].grid(color=PALE, lw=0.8)
    axes[1].legend(fontsize=8, frameon=False)
    return drawn


def _plane(ax: Axes, model: Model, x: Floats, parts: Sequence[Sequence[Term]]) -> None:
    """The first two coordinates, the others held as they are at the end of the run."""
    ends = []
    for k, c in enumerate(model.state[:2]):
        low, high = min(float(c.low), x[:, k].min()), max(float(c.high), x[:, k].max())
        pad = 0.08 * (high - low)
        ends.append((low - pad, high + pad))
    xs, ys = (np.linspace(*e, GRID) for e in ends)
    grid = np.tile(x[-1], (GRID * GRID, 1))
    grid[:, 0], grid[:, 1] = (m.ravel() for m in np.meshgrid(xs, ys))
    unsafe = ~Plant(model).verdict_batch(grid)[0].reshape(GRID, GRID)
    ax.contourf(xs, ys, unsafe.astype(float), levels=[0.5, 1.5], colors=["#f6d9d9"])
    for part in parts:
        rows = compile_batch(list(part), [model.state_names])(grid)
        least = np.min([np.broadcast_to(r, (len(grid),)) for r in rows], axis=0)
        if least.min() < 0 < least.max():
            edge = least.reshape(GRID, GRID)
            ax.contour(xs, ys, edge, levels=[0], colors=[GREEN], linewidths=1.4)
    ax.plot(x[:, 0], x[:, 1], color=BLUE, lw=1.3)
    ax.plot(*x[0, :2], "o", color=ORANGE, ms=6, mec=INK, label="begins")
    ax.plot(*x[-1, :2], "X", color=RED, ms=8, mec=INK, label="ends")
    across, up = (f"{c.name} [{c.unit}]" if c.unit else c.name for c in model.state[:2])
    ax.set_xlabel(across, fontsize=9)
    ax.set_ylabel(up, fontsize=9)
    ax.legend(fontsize=8, frameon=False)


def save_trace(model: Model, run: Counterexample, stem: Path) -> list[Path]:
    """Write a run as ``STEM-counterexample.csv`` and ``.png``, atomically; the files."""
    table = run.save(stem.with_name(f"{stem.name}-counterexample.csv"), model)
    return [table, write_atomic(table.with_suffix(".png"), png(draw_trace(model, run.rows)))]


__all__ = ["draw_trace", "save_trace"]
