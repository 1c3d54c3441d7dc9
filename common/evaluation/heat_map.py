"""Tables of weights as colours: from which words a decoder read while it wrote each word."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

from common.evaluation.fonts import Fonts
from common.evaluation.lettering import GREY, INK, Letters
from common.evaluation.pages import PAPER
from common.evaluation.sheet import MARGIN, headed

SLANT = math.radians(50)  # of the words above a table
LINES = (222, 224, 230)
MOST = 1200  # pixels of a table's longer side, unless its cells were smaller than one


def heat_map(
    weights: ArrayLike,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    heading: Mapping[str, str] | None = None,
    fonts: Fonts | None = None,
) -> Image.Image:
    """A table of weights as colours: to which source token each target token attended.

    Args:
        weights: (T, S), not negative and finite; the darkest colour is the largest of them.
        rows: T target tokens, written at the left.
        columns: S source tokens, written above.
        heading: texts above the table by what they are, as "source".
        fonts: where the letters are looked for; those of the system by default.

    Raises:
        ValueError: the shapes do not fit together, one is empty, or a weight is negative or not
            finite.
    """
    values = checked_weights(weights, len(rows), len(columns), "columns")
    cell = min(max(MOST // max(values.shape), 1), 30)
    letters = Letters(max(11, round(0.58 * cell)), fonts)
    every = math.ceil(letters.leading / cell)  # labels that would overlap are left out
    beside = [_label(text, letters) for text in rows[::every]]
    above = [_slanted(text, letters) for text in columns[::every]]
    scale = _scale(float(values.max()), fonts)
    left = MARGIN + max(label.width for label in beside) + 8
    top = MARGIN // 2 + max(label.height for label, _ in above) + 4
    height, width = (cell * length + 1 for length in values.shape)
    ends = [left + (n * every + 0.5) * cell + label.width for n, (label, _) in enumerate(above)]
    size = (
        MARGIN + round(max(*ends, left + width + MARGIN + scale.width)),
        top + max(height, scale.height),
    )
    sheet = Image.new("RGB", size, PAPER)
    sheet.paste(_table(values, cell), (left, top))
    sheet.paste(scale, (left + width + MARGIN, top))
    for number, label in enumerate(beside):
        middle = top + round((number * every + 0.5) * cell)
        sheet.paste(INK, (left - 8 - label.width, middle - label.height // 2), label)
    for number, (label, (x, y)) in enumerate(above):
        foot = left + round((number * every + 0.5) * cell)
        sheet.paste(INK, (foot - x, top - 6 - y), label)
    lacking = letters.fonts.lacking(" ".join([*rows, *columns]))
    return headed(sheet, heading, lacking, fonts)


def checked_weights(weights: ArrayLike, rows: int, columns: int, what: str) -> np.ndarray:
    """Weights as an array, (rows, columns).

    Raises:
        ValueError: they are not of this shape, or there is none, or one is negative or not finite.
    """
    values = np.asarray(weights, dtype=np.float64)
    if not rows or not columns or values.shape != (rows, columns):
        raise ValueError(
            f"weights of shape {values.shape} for {rows} words and {columns} {what}: "
            "they must be (words, regions), and not empty"
        )
    if not np.isfinite(values).all() or values.min() < 0:
        raise ValueError("weights must be finite and not negative")
    return values


def _table(values: np.ndarray, cell: int) -> Image.Image:
    """The cells, with lines between them where they are large enough, in a frame."""
    colours = matplotlib.colormaps["Blues"](values / (values.max() or 1), bytes=True)[..., :3]
    pixels = np.kron(colours, np.ones((cell, cell, 1), np.uint8))
    table = Image.new("RGB", (pixels.shape[1] + 1, pixels.shape[0] + 1))
    table.paste(Image.fromarray(pixels), (0, 0))
    pen = ImageDraw.Draw(table)
    if cell >= 8:
        for x in range(0, table.width, cell):
            pen.line((x, 0, x, table.height), LINES)
        for y in range(0, table.height, cell):
            pen.line((0, y, table.width, y), LINES)
    pen.rectangle((0, 0, table.width - 1, table.height - 1), outline=INK)
    return table


def _scale(most: float, fonts: Fonts | None) -> Image.Image:
    """From the least to the most weight: a bar of colours, with both numbers."""
    letters, height = Letters(12, fonts), 64
    ramp = np.repeat(np.linspace(1, 0, height)[:, None], 10, axis=1)
    bar = Image.new("RGB", (70, height + letters.leading // 2), PAPER)
    bar.paste(_table(ramp, 1), (0, 0))
    letters.draw(bar, (16, 0), f"{most:.2g}", GREY)
    letters.draw(bar, (16, height - letters.leading + 2), "0", GREY)
    return bar


def _label(text: str, letters: Letters) -> Image.Image:
    """A word, cut if it is very long, as a mask."""
    text = " ".join(text.split())
    text = text if len(text) <= 20 else text[:19] + "…"
    mask = Image.new("L", (max(1, math.ceil(letters.length(text))), letters.leading))
    letters.draw(mask, (0, 0), text, 255)
    return mask


def _slanted(text: str, letters: Letters) -> tuple[Image.Image, tuple[int, int]]:
    """A word that rises to the right, as a mask, and the place of its foot in it."""
    level = _label(text, Letters(2 * letters.size, letters.fonts))  # smooth in half the size
    turned = level.rotate(math.degrees(SLANT), Image.Resampling.BICUBIC, expand=True)
    size = math.ceil(turned.width / 2), math.ceil(turned.height / 2)
    reach = level.width / 4
    foot = size[0] / 2 - reach * math.cos(SLANT), size[1] / 2 + reach * math.sin(SLANT)
    return turned.resize(size, Image.Resampling.LANCZOS), (round(foot[0]), round(foot[1]))
