"""The pictures of a run: the learning curve, and the invariant with trajectories in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from nprl.env.plant import Plant
from nprl.env.sampling import Uniform
from nprl.lang.floats import compile_batch
from nprl.model import Model
from nprl.report.picture import BLUE, GREEN, GREY, INK, ORANGE, PALE, RED, figure
from nprl.report.shadow import shadow
from nprl.shields.certificate import Certificate

Floats = NDArray[np.float64]
Act = Callable[[Floats], Floats]
"""From observations (n, d) to actions in units (n, m)."""
Filter = Callable[[Floats, Floats], Floats]
"""From states (n, d) and actions in units to the actions that are applied."""
GRID = 241
"""Points on each side of a slice."""
MOST_PANELS = 2
STEPS, SCORE, VIOLATIONS = "time/total_timesteps", "eval/mean_reward", "safety/violations"


def draw_learning(rows: Sequence[Mapping[str, str]]) -> Figure | None:
    """The evaluation's return and the violations of training, by steps; None without rows."""
    steps = [float(r[STEPS]) / 1000 for r in rows if r.get(SCORE)]
    if not steps:
        return None
    drawn, axes = figure(9.5, 2.9, 2)
    scores = [float(r[SCORE]) for r in rows if r.get(SCORE)]
    best = int(np.argmax(scores))
    axes[0].plot(steps, scores, color=BLUE, lw=1.8, marker="o", ms=3.5)
    axes[0].plot(steps[best], scores[best], "o", ms=9, mfc="none", mec=ORANGE, mew=1.8)
    axes[0].set_title("mean return of the evaluation (circle: the teacher)", fontsize=10)
    counted = [float(r.get(VIOLATIONS) or 0.0) for r in rows if r.get(SCORE)]
    axes[1].bar(steps, counted, width=0.6 * steps[-1] / len(steps), color=RED)
    axes[1].set_ylim(bottom=0, top=max(1.0, 1.08 * max(counted)))
    axes[1].set_title("steps outside the safe set, in each stage of training", fontsize=10)
    if min(scores) < 20 * max(scores) < 0:  # what dying costs would hide what is learned
        axes[0].set_yscale("symlog", linthresh=abs(max(scores)))
        axes[0].set_ylabel("logarithmic", fontsize=9)
    for ax in axes:
        ax.set_xlabel("thousands of environment steps", fontsize=9)
        ax.set_axisbelow(True)
        ax.grid(color=PALE, lw=0.8)
    return drawn


def rollout(
    model: Model,
    act: Act,
    shield: Filter | None = None,
    episodes: int = 12,
    steps: int = 200,
    seed: int = 0,
) -> Floats:
    """Trajectories (steps + 1, episodes, d) of the model; NaN from the step on that is not safe."""
    plant, draw = Plant(model), np.random.default_rng(seed)
    start = Uniform([model.init[n] for n in model.state_names], model.arithmetic.state)
    noise = Uniform([(c.low, c.high) for c in model.disturbance])
    x = start.place(draw.random((episodes, start.dim)))
    path, alive = [x], np.ones(episodes, dtype=np.bool_)
    for _ in range(steps):
        units = act(plant.observe_batch(x))
        if shield is not None:
            units = shield(x, units)
        x = plant.step_batch(x, units, noise.place(draw.random((episodes, noise.dim))))
        path.append(np.where(alive[:, None], x, np.nan))  # the first state outside is still drawn
        safe, terminal = plant.verdict_batch(x)
        alive &= safe & ~terminal
        x = np.where(alive[:, None], x, path[0])
    return np.stack(path)


def draw_invariant(certificate: Certificate, paths: Mapping[str, Floats]) -> Figure:
    """Slices of the invariant and the safe set through the middle of the initial box.

    ``paths`` are trajectories by name, projected onto each slice; the first are drawn blue, the
    second orange.
    """
    model = certificate.model
    pairs = _pairs(model)
    drawn, axes = figure(5.6 * len(pairs) + 0.4, 4.5, len(pairs))
    colours = [BLUE, ORANGE, GREY]
    shadowed = False
    for ax, (i, j) in zip(axes, pairs, strict=True):
        outline = shadow(certificate, i, j) if len(model.state) > 2 else None
        view = _slice(ax, certificate, i, j, outline)
        if outline is not None:
            closed = np.concatenate([outline, outline[:1]])
            ax.plot(closed[:, 0], closed[:, 1], color=GREEN, lw=1.1, ls=":", zorder=3)
            shadowed = True
        for (_, path), colour in zip(paths.items(), colours, strict=False):
            ax.plot(path[:, :, i], path[:, :, j], color=colour, lw=0.9, alpha=0.75)
            ax.plot(path[0, :, i], path[0, :, j], ".", color=colour, ms=4)
        ax.set_xlim(*view[0])
        ax.set_ylim(*view[1])
    handles: list[Patch | Line2D] = [
        Patch(
            facecolor="#d6ecdd",
            edgecolor=GREEN,
            label="proved invariant (slice)" if len(model.state) > 2 else "proved invariant",
        ),
        Patch(facecolor="#f6d9d9", label="not safe"),
        Patch(facecolor="none", edgecolor=INK, linestyle="--", label="initial set"),
    ]
    if shadowed:
        handles.append(Line2D([], [], color=GREEN, ls=":", label="its projection"))
    handles += [
        Line2D([], [], color=c, label=name) for name, c in zip(paths, colours, strict=False)
    ]
    drawn.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    return drawn


def _pairs(model: Model) -> list[tuple[int, int]]:
    n = len(model.state)
    if n == 1:
        return [(0, 0)]
    found = list(pairwise(range(n)))[::2]
    return found[:MOST_PANELS]


def _slice(
    ax: Axes, certificate: Certificate, i: int, j: int, outline: Floats | None
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Draw I, the unsafe states and the initial box in the plane of coordinates i and j.

    The view that is returned also holds the ``outline`` (n, 2).
    """
    model = certificate.model
    init = [model.init[c.name] for c in model.state]
    centre = np.array([float(low + high) / 2 for low, high in init])
    ends = [(float(c.low), float(c.high)) for c in model.state]
    for _ in range(4):  # look again, nearer, where the invariant is small within its ranges
        xs, ys = (np.linspace(*ends[k], GRID) for k in (i, j))
        grid = np.tile(centre, (GRID * GRID, 1))
        grid[:, i], grid[:, j] = (m.ravel() for m in np.meshgrid(xs, ys))
        value = _margin(certificate, grid)
        inside = value >= 0
        if not inside.any():
            break
        tight = list(ends)
        for k in (i, j):
            low, high = grid[inside, k].min(), grid[inside, k].max()
            pad = 0.22 * max(high - low, 1e-9)
            tight[k] = (max(ends[k][0], low - pad), min(ends[k][1], high + pad))
        if all(b - a > 0.8 * (d - c) for (a, b), (c, d) in zip(tight, ends, strict=True)):
            break
        ends = tight
    view = []
    for k, column in ((i, 0), (j, 1)):
        low, high = ends[k]
        if outline is not None:
            low = min(low, float(outline[:, column].min()))
            high = max(high, float(outline[:, column].max()))
        pad = 0.06 * (high - low)
        view.append((low - pad, high + pad))
    xs, ys = (np.linspace(*v, GRID) for v in view)
    grid[:, i], grid[:, j] = (m.ravel() for m in np.meshgrid(xs, ys))
    value = _margin(certificate, grid).reshape(GRID, GRID)
    safe = Plant(model).verdict_batch(grid)[0].reshape(GRID, GRID)
    ax.contourf(xs, ys, (~safe).astype(float), levels=[0.5, 1.5], colors=["#f6d9d9"])
    if (value >= 0).any():
        ax.contourf(xs, ys, value, levels=[0, np.inf], colors=["#d6ecdd"])
        ax.contour(xs, ys, value, levels=[0], colors=[GREEN], linewidths=1.6)
    corner = float(init[i][0]), float(init[j][0])
    size = float(init[i][1] - init[i][0]), float(init[j][1] - init[j][0])
    ax.add_patch(Rectangle(corner, *size, fill=False, ec=INK, ls="--", lw=1.1, zorder=3))
    for k, label in ((i, ax.set_xlabel), (j, ax.set_ylabel)):
        c = model.state[k]
        label(f"{c.name} [{c.unit}]" if c.unit else c.name, fontsize=10)
    others = [f"{c.name} = {centre[k]:g}" for k, c in enumerate(model.state) if k not in (i, j)]
    if others:
        ax.set_title(
            f"slice at {', '.join(others)}; trajectories are projected", fontsize=9, color=GREY
        )
    return view[0], view[1]


def _margin(certificate: Certificate, x: Floats) -> Floats:
    """At each state the greatest, over the parts of I, of its least row; rows scaled alike."""
    names = certificate.model.state_names
    best = np.full(len(x), -np.inf)
    for part in certificate.shield.invariant:
        rows = [np.broadcast_to(v, (len(x),)) for v in compile_batch(list(part), [names])(x)]
        scaled = [row / max(float(np.abs(row).max()), 1e-300) for row in rows]
        best = np.maximum(best, np.minimum.reduce(scaled))
    return best
