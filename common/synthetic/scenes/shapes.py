"""Coloured shapes: their attributes and outlines."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink")
KINDS = ("circle", "square", "triangle", "star", "cross")
SIZES = ("small", "medium", "large")

# Corners as (distance from the centre in radii, angle in degrees).
_ARM = ((1.26, -13.0), (1.26, 13.0), (0.4, 45.0))
CORNERS: dict[str, list[tuple[float, float]]] = {
    "circle": [(1.0, 5.625 * k) for k in range(64)],
    "square": [(1.27, 45 + 90 * k) for k in range(4)],
    "triangle": [(1.3, 90 + 120 * k) for k in range(3)],
    "star": [((1.3, 0.54)[k % 2], 90 + 36 * k) for k in range(10)],
    "cross": [(reach, 90 * k + angle) for k in range(4) for reach, angle in _ARM],
}

RGB = tuple[int, int, int]


@dataclass(frozen=True)
class Shape:
    """One coloured shape.

    Args:
        colour, kind, size: of COLOURS, KINDS and SIZES.
        x, y: its centre, as fractions of the picture's side, from the top left corner.
        radius: fraction of the picture's side; of a circle as large as the shape looks.
        rotation: degrees.
        rgb: the colour as drawn.
    """

    colour: str
    kind: str
    size: str
    x: float
    y: float
    radius: float
    rotation: float
    rgb: RGB

    def outline(self) -> list[tuple[float, float]]:
        """The corners (x, y), as fractions of the picture's side; a circle has 64."""
        return [
            (
                self.x + self.radius * reach * math.cos(math.radians(angle + self.rotation)),
                self.y - self.radius * reach * math.sin(math.radians(angle + self.rotation)),
            )
            for reach, angle in CORNERS[self.kind]
        ]

    @cached_property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the outline."""
        columns, rows = zip(*self.outline(), strict=True)
        return min(columns), min(rows), max(columns), max(rows)


def rgb(channels: Iterable[float]) -> RGB:
    """Red, green and blue as integers, 0 to 255."""
    red, green, blue = (min(max(round(value), 0), 255) for value in channels)
    return red, green, blue
