"""Scenes for tests: built by hand, drawn at random, and what of them is seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from common.synthetic.scenes import Scene, Shape, generate
from common.synthetic.scenes.generation import RADII

RGB = {
    "red": (230, 20, 20),
    "blue": (20, 60, 230),
    "green": (20, 180, 40),
    "orange": (250, 130, 20),
}


def shape(size: str, colour: str, kind: str, x: float, y: float) -> Shape:
    return Shape(colour, kind, size, x, y, RADII[size], 0.0, RGB[colour])


def scene(*shapes: Shape) -> Scene:
    return Scene(shapes, ((90, 90, 90), (120, 120, 120)), 30.0, 7)


RED_STAR_AND_BLUE_SQUARE = scene(
    shape("small", "red", "star", 0.2, 0.2), shape("large", "blue", "square", 0.7, 0.7)
)
TWO_DISCS = scene(
    shape("small", "orange", "circle", 0.5, 0.2), shape("large", "orange", "circle", 0.5, 0.7)
)
THREE = scene(
    shape("small", "red", "star", 0.15, 0.5),
    shape("small", "red", "star", 0.45, 0.2),
    shape("medium", "green", "cross", 0.8, 0.55),
)


def scenes(count: int, split: str = "train", most: int = 3) -> list[Scene]:
    return [generate(5, index, split, most) for index in range(count)]


def pixels_of(picture: Scene, index: int, size: int = 64) -> np.ndarray:
    """Which pixels one shape covers: those that change when it goes. (size, size), bool."""
    gone = replace(picture.shapes[index], x=0.0, y=0.0, radius=0.0)
    others = tuple(gone if k == index else each for k, each in enumerate(picture.shapes))
    before = np.asarray(picture.draw(size), np.int16)
    after = np.asarray(replace(picture, shapes=others).draw(size), np.int16)
    changed = np.abs(after - before).max(axis=2) > 10
    changed[0, 0] = False  # where a shape without size leaves a dot
    return changed


def extent(pixels: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right, bottom: the first and the last coloured column and row."""
    columns, rows = np.flatnonzero(pixels.any(axis=0)), np.flatnonzero(pixels.any(axis=1))
    return columns[0], rows[0], columns[-1], rows[-1]
