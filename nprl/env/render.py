"""Pictures of a model's environment: the pendulum and the cart-pole drawn, others as a plot.

Drawn with pygame on surfaces in memory, twice as large as asked for and scaled down, so that edges
are smooth; no window is opened. The safe limits, where `safe` bounds single coordinates by numbers,
are red lines.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nprl.lang.terms import And, Compare, Formula, Num, Relation, Var
from nprl.model import Model

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")

try:
    import pygame
except ImportError as error:
    from gymnasium.error import DependencyNotInstalled

    raise DependencyNotInstalled(
        'pictures need pygame: pip install "gymnasium[classic-control]"'
    ) from error

Image = NDArray[np.uint8]
Point = tuple[float, float]
Limits = tuple[float | None, float | None]
SCALE = 2
WIDTH, HEIGHT = 600, 400
WHITE, INK, GREY, PALE = (255, 255, 255), (38, 42, 51), (140, 146, 158), (228, 231, 237)
GREEN, RED, BLUE, ORANGE = (226, 243, 230), (200, 54, 54), (43, 99, 190), (226, 128, 33)


def picture(
    model: Model, history: Sequence[Sequence[float]], units: Sequence[float] | None = None
) -> Image:
    """The state ``history[-1]`` as an array (400, 600, 3); the plot shows all of ``history``.

    ``units`` is the action that led there, in units, drawn as an arrow where there is a drawing.
    """
    canvas = Canvas()
    draw = DRAWINGS.get(model.name, _plot)
    draw(canvas, model, history, units)
    return canvas.image()


def limits(model: Model) -> dict[str, Limits]:
    """The numbers between which `safe` keeps each coordinate, where it says so directly."""
    found: dict[str, Limits] = {name: (None, None) for name in model.state_names}

    def visit(f: Formula) -> None:
        match f:
            case And(parts):
                for part in parts:
                    visit(part)
            case Compare(Relation.LE | Relation.LT, Var(name), Num(value)):
                found[name] = (found[name][0], float(value))
            case Compare(Relation.GE | Relation.GT, Var(name), Num(value)):
                found[name] = (float(value), found[name][1])
            case _:
                pass

    visit(model.safe)
    return found


@cache
def _font(size: int) -> pygame.font.Font:
    pygame.font.init()
    return pygame.font.Font(None, size * SCALE)


class Canvas:
    """A white picture in units of one final pixel."""

    def __init__(self) -> None:
        """An empty picture of `WIDTH` by `HEIGHT`."""
        self.surface = pygame.Surface((WIDTH * SCALE, HEIGHT * SCALE))
        self.surface.fill(WHITE)

    def image(self) -> Image:
        """The picture as an array (height, width, 3)."""
        small = pygame.transform.smoothscale(self.surface, (WIDTH, HEIGHT))
        return np.ascontiguousarray(pygame.surfarray.array3d(small).transpose(1, 0, 2))

    def line(self, color: Any, start: Point, end: Point, width: float = 1) -> None:
        """A straight line with round ends where it is wide."""
        first, last = self._at(start), self._at(end)
        w = max(1, round(width * SCALE))
        if w <= 4:
            pygame.draw.line(self.surface, color, first, last, w)
            return
        length = math.hypot(last[0] - first[0], last[1] - first[1]) or 1.0
        dx, dy = (last[0] - first[0]) / length * w / 2, (last[1] - first[1]) / length * w / 2
        corners = [
            (first[0] - dy, first[1] + dx),
            (first[0] + dy, first[1] - dx),
            (last[0] + dy, last[1] - dx),
            (last[0] - dy, last[1] + dx),
        ]
        pygame.draw.polygon(self.surface, color, corners)
        for end_point in (first, last):
            pygame.draw.circle(self.surface, color, end_point, w / 2)

    def dashed(self, color: Any, start: Point, end: Point, width: float = 1) -> None:
        """A dashed straight line."""
        length = math.hypot(end[0] - start[0], end[1] - start[1])
        pieces = max(1, int(length / 12))
        for k in range(pieces):
            a, b = k / pieces, (k + 0.55) / pieces
            self.line(
                color,
                (start[0] + (end[0] - start[0]) * a, start[1] + (end[1] - start[1]) * a),
                (start[0] + (end[0] - start[0]) * b, start[1] + (end[1] - start[1]) * b),
                width,
            )

    def path(self, color: Any, points: Sequence[Point], width: float = 1) -> None:
        """A line through points."""
        if len(points) > 1:
            at = [self._at(p) for p in points]
            pygame.draw.lines(self.surface, color, False, at, max(1, round(width * SCALE)))

    def arrow(self, color: Any, start: Point, end: Point, width: float = 4) -> None:
        """A straight arrow; nothing where it would be shorter than a pixel."""
        length = math.hypot(end[0] - start[0], end[1] - start[1])
        if length < 1:
            return
        dx, dy = (end[0] - start[0]) / length, (end[1] - start[1]) / length
        head = min(10.0, length)
        neck = (end[0] - dx * head, end[1] - dy * head)
        self.line(color, start, neck, width)
        self.polygon(
            color,
            [
                end,
                (neck[0] - dy * head * 0.6, neck[1] + dx * head * 0.6),
                (neck[0] + dy * head * 0.6, neck[1] - dx * head * 0.6),
            ],
        )

    def circle(self, color: Any, centre: Point, radius: float) -> None:
        """A filled circle."""
        pygame.draw.circle(self.surface, color, self._at(centre), radius * SCALE)

    def polygon(self, color: Any, points: Sequence[Point]) -> None:
        """A filled polygon."""
        pygame.draw.polygon(self.surface, color, [self._at(p) for p in points])

    def rect(self, color: Any, left: float, top: float, width: float, height: float) -> None:
        """A filled rectangle."""
        box = [round(v * SCALE) for v in (left, top, width, height)]
        pygame.draw.rect(self.surface, color, pygame.Rect(*box))

    def text(
        self, words: str, at: Point, size: int = 18, color: Any = INK, align: str = "left"
    ) -> None:
        """One line of text, its top at ``at``."""
        drawn = _font(size).render(words, True, color)
        shift = {"left": 0.0, "centre": drawn.get_width() / 2, "right": drawn.get_width()}[align]
        self.surface.blit(drawn, (at[0] * SCALE - shift, at[1] * SCALE))

    def _at(self, p: Point) -> Point:
        return (p[0] * SCALE, p[1] * SCALE)


def _pendulum(
    canvas: Canvas, model: Model, history: Sequence[Sequence[float]], units: Sequence[float] | None
) -> None:
    """The pendulum: theta = 0 is upright, positive angles lean left, as in Gymnasium."""
    theta = history[-1][0]
    pivot, length = (300.0, 270.0), 190.0

    def tip(angle: float, r: float) -> Point:
        return (pivot[0] - r * math.sin(angle), pivot[1] - r * math.cos(angle))

    low, high = limits(model)["theta"]
    if low is not None and high is not None:
        arc = [tip(low + (high - low) * k / 40, length + 32) for k in range(41)]
        canvas.polygon(GREEN, [pivot, *arc])
        for angle in (low, high):
            canvas.dashed(RED, pivot, tip(angle, length + 32), 1.5)
            name = tip(angle, length + 44)
            canvas.text(f"{angle:+.2f} rad", (name[0], name[1] - 8), 17, RED, "centre")
    canvas.line(GREY, (pivot[0] - 60, pivot[1]), (pivot[0] + 60, pivot[1]), 3)
    canvas.line(BLUE, pivot, tip(theta, length), 14)
    canvas.circle(BLUE, tip(theta, length), 17)
    canvas.circle(INK, pivot, 7)
    if units is not None:
        reach = abs(units[0]) / float(model.action[0].high) * 1.9
        sign = 1.0 if units[0] > 0 else -1.0
        bend = [
            tip(sign * (reach * k / 20) + math.pi * 0 - sign * reach / 2, 44) for k in range(21)
        ]
        if reach > 0.05:
            canvas.path(ORANGE, bend, 4)
            canvas.arrow(ORANGE, bend[-2], _beyond(bend[-2], bend[-1], 11), 4)
    _readings(canvas, model, history[-1], units)


def _cartpole(
    canvas: Canvas, model: Model, history: Sequence[Sequence[float]], units: Sequence[float] | None
) -> None:
    """The cart on its track: positive x is right, positive angles lean right, as in Gymnasium."""
    x, _, theta, _ = history[-1]
    floor, per_metre, length = 262.0, 100.0, 150.0
    known = limits(model)
    low, high = known["x"]
    if low is not None and high is not None:
        left, right = 300 + low * per_metre, 300 + high * per_metre
        canvas.rect(GREEN, left, floor - 4, right - left, 8)
        for at, value in ((left, low), (right, high)):
            canvas.dashed(RED, (at, floor - 215), (at, floor + 16), 1.5)
            canvas.text(f"{value:+.1f} m", (at, floor - 232), 17, RED, "centre")
    canvas.line(GREY, (20, floor), (580, floor), 1.5)
    hub = (300 + x * per_metre, floor - 34)
    canvas.rect(INK, hub[0] - 32, floor - 36, 64, 24)
    for wheel in (-18, 18):
        canvas.circle(INK, (hub[0] + wheel, floor - 8), 8)
        canvas.circle(GREY, (hub[0] + wheel, floor - 8), 3)

    def tip(angle: float, r: float) -> Point:
        return (hub[0] + r * math.sin(angle), hub[1] - r * math.cos(angle))

    low, high = known["theta"]
    if low is not None and high is not None:
        canvas.polygon(
            GREEN, [hub, *(tip(low + (high - low) * k / 20, length + 25) for k in range(21))]
        )
        for angle in (low, high):
            canvas.dashed(RED, hub, tip(angle, length + 25), 1.5)
    canvas.line(BLUE, hub, tip(theta, length), 10)
    canvas.circle(ORANGE, hub, 5)
    if units is not None:
        push = units[0] / float(model.action[0].high) * 90
        side = hub[0] + math.copysign(36, push)
        canvas.arrow(ORANGE, (side, floor - 24), (side + push, floor - 24), 5)
    _readings(canvas, model, history[-1], units)


def _beyond(start: Point, end: Point, length: float) -> Point:
    size = math.hypot(end[0] - start[0], end[1] - start[1]) or 1.0
    return (
        start[0] + (end[0] - start[0]) / size * length,
        start[1] + (end[1] - start[1]) / size * length,
    )


def _readings(
    canvas: Canvas, model: Model, state: Sequence[float], units: Sequence[float] | None
) -> None:
    """A gauge per coordinate and action along the bottom, with its safe limits."""
    safe = limits(model)
    rows = [(c, v, safe[c.name], BLUE) for c, v in zip(model.state, state, strict=True)]
    free: Limits = (None, None)
    for j, c in enumerate(model.action):
        rows.append((c, 0.0 if units is None else units[j], free, ORANGE))
    width = (WIDTH - 20) / len(rows)
    for k, (c, value, (low, high), color) in enumerate(rows):
        left, right, y = 20 + k * width, k * width + width, 372.0
        least, most = float(c.low) * 1.2, float(c.high) * 1.2

        def place(
            v: float, a: float = least, b: float = most, x: float = left, z: float = right
        ) -> float:
            return x + (min(max(v, a), b) - a) / (b - a) * (z - x)

        canvas.text(f"{c.name} {value:+.3f} {c.unit}", (left, y - 26), 18)
        canvas.rect(PALE, left, y, right - left, 8)
        for limit in (low, high):
            if limit is not None:
                canvas.rect(RED, place(limit) - 1, y - 4, 2, 16)
        canvas.rect(GREY, place(0.0) - 0.5, y - 2, 1, 12)
        canvas.circle(color, (place(value), y + 4), 6)


def _plot(
    canvas: Canvas, model: Model, history: Sequence[Sequence[float]], units: Sequence[float] | None
) -> None:
    """Each state coordinate over the steps of the episode, below the other."""
    del units
    safe = limits(model)
    steps = max(50, len(history) - 1)
    left, right, top, bottom = 110.0, 580.0, 34.0, 366.0
    height = (bottom - top) / len(model.state)
    canvas.text(f"{model.name}, step {len(history) - 1}", (left, 8), 20)
    for k, c in enumerate(model.state):
        values = [s[k] for s in history]
        low, high = safe[c.name]
        bounds = [v for v in (low, high) if v is not None] or [float(c.low), float(c.high)]
        least, most = min(*values, *bounds, 0.0), max(*values, *bounds, 0.0)
        room = (most - least) * 0.12
        least, most = least - room, most + room
        y0, y1 = top + k * height + 5, top + (k + 1) * height - 5

        def down(
            v: float, a: float = least, b: float = most, y: float = y0, z: float = y1
        ) -> float:
            return z - (v - a) / (b - a) * (z - y)

        canvas.rect(PALE, left, y0, right - left, y1 - y0)
        if low is not None and high is not None:
            canvas.rect(GREEN, left, down(high), right - left, down(low) - down(high))
        canvas.line(WHITE, (left, down(0.0)), (right, down(0.0)), 1)
        for limit in (low, high):
            if limit is not None:
                canvas.dashed(RED, (left, down(limit)), (right, down(limit)), 1.5)
                canvas.text(f"{limit:g}", (left - 8, down(limit) - 7), 17, RED, "right")
        points = [(left + (right - left) * i / steps, down(v)) for i, v in enumerate(values)]
        canvas.path(BLUE, points, 2)
        canvas.circle(BLUE, points[-1], 4)
        canvas.text(c.name, (12, (y0 + y1) / 2 - 18), 22)
        canvas.text(f"{values[-1]:+.3g} {c.unit}", (12, (y0 + y1) / 2 + 2), 17, GREY)
    for part in range(6):
        x = left + (right - left) * part / 5
        canvas.text(f"{steps * part // 5}", (x, bottom + 2), 17, GREY, "centre")
    canvas.text("steps", ((left + right) / 2, bottom + 16), 17, GREY, "centre")


Drawing = Callable[
    [Canvas, Model, Sequence[Sequence[float]], Sequence[float] | None],
    None,
]
DRAWINGS: dict[str, Drawing] = {
    "nprl/Pendulum-v0": _pendulum,
    "gymnasium/Pendulum-v1": _pendulum,
    "nprl/CartPole-v0": _cartpole,
}
"""The models, by name, that have a drawing of their own; the others get the plot."""
