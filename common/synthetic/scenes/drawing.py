"""A scene as a picture: shapes with soft edges on a textured background."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from common.synthetic.scenes.shapes import RGB, Shape

EDGE = 0.02  # width of the dark line around every shape, as a fraction of the picture's side
DARK = (24, 24, 28)


def draw(
    shapes: Sequence[Shape], background: tuple[RGB, RGB], angle: float, seed: int, size: int
) -> Image.Image:
    """The picture, RGB, `size` pixels wide and high; the arguments are those of a `Scene`."""
    image = Image.fromarray(_background(background, angle, seed, size))
    side = 4 * size  # for anti-aliasing: Pillow's polygons have hard edges
    for shape in shapes:
        corners = [(side * x - 0.5, side * y - 0.5) for x, y in shape.outline()]
        inside, line = Image.new("L", (side, side)), Image.new("L", (side, side))
        ImageDraw.Draw(inside).polygon(corners, fill=255)
        width = max(1, round(2 * EDGE * side))  # one half of it lies inside
        ImageDraw.Draw(line).line([*corners, *corners[:2]], fill=255, width=width)
        image.paste(shape.rgb, mask=inside.reduce(4))
        image.paste(DARK, mask=ImageChops.darker(inside, line).reduce(4))
    return image


def _background(colours: tuple[RGB, RGB], angle: float, seed: int, size: int) -> np.ndarray:
    """A gradient of two colours with low- and high-frequency noise: (size, size, 3), uint8."""
    ramp = np.linspace(-0.5, 0.5, size) / math.sqrt(2)
    angle = math.radians(angle)
    fraction = 0.5 + ramp * math.cos(angle) + ramp[:, None] * math.sin(angle)  # (size, size)
    first, second = (np.array(colour, np.float32) for colour in colours)
    source = random.Random(seed)
    blotches = Image.frombytes("L", (6, 6), source.randbytes(36))
    blotches = blotches.resize((size, size), Image.Resampling.BICUBIC)
    grain = np.frombuffer(source.randbytes(size * size), np.uint8).reshape(size, size)
    texture = (np.asarray(blotches, np.float32) - 128) * 0.12 + (grain - 128.0) * 0.04
    picture = first + fraction[:, :, None] * (second - first) + texture[:, :, None]
    return np.clip(picture, 0, 255).astype(np.uint8)
