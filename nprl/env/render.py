"""Pictures of a model's environment: the pendulum and the cart-pole drawn, others as a plot.

The safe limits, where `safe` bounds single coordinates by numbers, are red lines.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from nprl.env.canvas import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALE,
    RED,
    WHITE,
    WIDTH,
    Canvas,
    Image,
    Point,
)
from nprl.env.spaces import Limits, limits
from nprl.model import Coordinate, Model


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
            at, align = tip(angle, length + 38), "right" if angle > 0 else "left"
            canvas.text(f"{angle:+.2f} rad", (at[0], at[1] - 8), 17, RED, align)
    canvas.line(GREY, (pivot[0] - 60, pivot[1]), (pivot[0] + 60, pivot[1]), 3)
    canvas.line(BLUE, pivot, tip(theta, length), 14)
    canvas.circle(BLUE, tip(theta, length), 17)
    canvas.circle(INK, pivot, 7)
    if units is not None:
        reach = abs(units[0]) / float(model.action[0].high) * 1.9
        sign = 1.0 if units[0] > 0 else -1.0
        bend = [tip(sign * reach * (k / 20 - 0.5), 44) for k in range(21)]
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


def _with_unit(value: float, form: str, c: Coordinate) -> str:
    return f"{value:{form}}" + ("" if c.unit == "1" else f" {c.unit}")


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

        canvas.text(f"{c.name} {_with_unit(value, '+.2f', c)}", (left, y - 26), 17)
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
        bounds = [v for v in (low, high) if v is not None]
        bounds = bounds or [float(c.low) / 10, float(c.high) / 10]
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
        if low is None and high is None:
            for end in (min(*values, *bounds), max(*values, *bounds)):
                canvas.text(f"{end:.2g}", (left - 8, down(end) - 7), 17, GREY, "right")
        points = [(left + (right - left) * i / steps, down(v)) for i, v in enumerate(values)]
        canvas.path(BLUE, points, 2)
        canvas.circle(BLUE, points[-1], 4)
        canvas.text(c.name, (12, (y0 + y1) / 2 - 18), 22)
        canvas.text(_with_unit(values[-1], "+.3g", c), (12, (y0 + y1) / 2 + 2), 17, GREY)
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
