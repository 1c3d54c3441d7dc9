"""Pictures for tests: whose corners differ, saved as people save them."""

from __future__ import annotations

from pathlib import Path

from PIL import Image


def saved(path: Path, image: Image.Image, **options) -> Path:
    image.save(path, **options)
    return path


def scene(width: int = 60, height: int = 40) -> Image.Image:
    """A picture whose four corners differ: red, green, blue, white, and no symmetry."""
    image = Image.new("RGB", (width, height))
    half = (width // 2, height // 2)
    for colour, at in (
        ("red", (0, 0)),
        ("lime", (half[0], 0)),
        ("blue", (0, half[1])),
        ("white", half),
    ):
        image.paste(colour, (*at, at[0] + half[0], at[1] + half[1]))
    return image


def corners(image: Image.Image) -> list[tuple[int, ...]]:
    """Pixels of the four quarters: top left, top right, bottom left, bottom right."""
    width, height = image.size
    places = [(1, 1), (3, 1), (1, 3), (3, 3)]
    return [image.getpixel((x * width // 4, y * height // 4)) for x, y in places]  # type: ignore[misc]


RED, LIME, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
