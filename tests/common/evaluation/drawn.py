"""Plain pictures, and what can be found in drawn ones."""

from __future__ import annotations

import numpy as np
from PIL import Image

GREEN = (40, 160, 60)


def plain(width: int = 64, height: int = 64, colour: tuple = GREEN) -> Image.Image:
    return Image.new("RGB", (width, height), colour)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, np.int16)


def where(image: Image.Image, colour: tuple) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the pixels that are nearly of a colour."""
    near = np.abs(pixels(image) - colour).max(axis=2) <= 3
    columns, rows = np.flatnonzero(near.any(axis=0)), np.flatnonzero(near.any(axis=1))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
