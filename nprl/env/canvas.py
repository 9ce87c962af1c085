"""A small picture to draw on: lines, arrows and words, in memory, with smooth edges.

Drawn with pygame on a surface twice as large as asked for, then scaled down; no window is opened.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
SCALE = 2
WIDTH, HEIGHT = 600, 400
WHITE, INK, GREY, PALE = (255, 255, 255), (38, 42, 51), (140, 146, 158), (228, 231, 237)
GREEN, RED, BLUE, ORANGE = (226, 243, 230), (200, 54, 54), (43, 99, 190), (226, 128, 33)


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
        data = np.frombuffer(pygame.image.tobytes(small, "RGB"), dtype=np.uint8)
        return data.reshape(HEIGHT, WIDTH, 3).copy()

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
