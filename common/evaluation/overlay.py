"""Where a decoder attended in an image while it wrote each word."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from common.evaluation.fonts import Fonts
from common.evaluation.heat_map import checked_weights
from common.evaluation.sheet import MARGIN, Cell, contact_sheet, fitted

CARD = 760  # pixels of width, by default: shown in half the size, its letters are still read


def attention_overlay(
    image: Image.Image,
    words: Sequence[str],
    weights: ArrayLike,
    grid: tuple[int, int] = (7, 7),
    *,
    regions: slice = slice(None),
    heading: Mapping[str, str] | None = None,
    true: bool | None = None,
    columns: int | None = None,
    tile: int | None = None,
    fonts: Fonts | None = None,
) -> Image.Image:
    """The image, and once more for each word, bright where the decoder attended for this word.

    The brightness of a region is proportional to its weight. The largest weight of a word is shown
    fully bright, unless the weights are nearly uniform (then the whole image is dim).

    Args:
        image: what the encoder saw (after cropping), of any size and mode.
        words: the T predicted words.
        weights: (T, S), not negative: attention of each word to each region, row by row.
        grid: (rows, columns) of the regions; their product is the number of regions.
        regions: which of the S positions are regions: slice(1, None) where the first is a token for
            the whole image, slice(0, 49) where others come last. The rest is not shown.
        heading: texts above the pictures by what they are, as "caption".
        true: whether the caption is true of the image; see `Cell`.
        columns: pictures in a row; by default as they make a picture that is wider than high.
        tile: width and greatest height of one picture in pixels; by default as it suits the columns.
        fonts: where the letters are looked for; those of the system by default.

    Raises:
        ValueError: the shapes do not fit together, a weight is negative or not finite, or `columns`
            or `tile` is too small.
    """
    shown = np.asarray(weights)[..., regions]
    values = checked_weights(shown, len(words), grid[0] * grid[1], "rows and columns of the grid")
    count = len(words) + 1
    if columns is None:
        wide, square = (math.ceil(math.sqrt(each * count)) for each in (2.6, 1.5))
        columns = min(count, max(3, min(wide, 7), square))
        columns = math.ceil(count / math.ceil(count / columns))  # rows of nearly equal length
    if tile is None:
        tile = min(max((CARD - MARGIN) // columns - MARGIN, 72), 240)
    picture = fitted(image, tile)
    pixels = np.asarray(picture, np.float32)
    dim = 0.42 * (0.75 * pixels.mean(axis=2, keepdims=True) + 0.25 * pixels)  # nearly grey
    warm = pixels + 0.32 * (np.array((255, 140, 0), np.float32) - pixels)
    cells = [Cell(picture, "", true=true)]
    for word, row in zip(words, values, strict=True):
        heat = Image.fromarray((row / max(row.max(), 3 / row.size)).reshape(grid).astype("f4"))
        light = np.asarray(heat.resize(picture.size, Image.Resampling.BICUBIC)).clip(0, 1)
        lit = dim + light[:, :, None] * (warm - dim)
        cells.append(Cell(Image.fromarray(lit.clip(0, 255).astype(np.uint8)), word))
    size = max(15, min(21, tile // 5))
    return contact_sheet(cells, columns=columns, tile=tile, size=size, heading=heading, fonts=fonts)
