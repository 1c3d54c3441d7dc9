"""Pictures of results: images with their captions, attention over an image, alignments of words.

Every function returns a new PIL image: no figure stays open, no global setting of matplotlib is
changed, and the images that come in are left as they are.
"""

from __future__ import annotations

import functools
import math
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont

from common.evaluation.charts import drawn

PAPER, INK = (255, 255, 255), (28, 30, 36)
MARGIN = 16
FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


def contact_sheet(
    images: Iterable[Image.Image], captions: Sequence[str], *, columns: int = 4, tile: int = 240
) -> Image.Image:
    """Images in a grid, each with its caption below it.

    Args:
        images: of any size and 8-bit mode; a generator keeps memory low.
        captions: one for each image.
        columns: images in a row.
        tile: width and greatest height of an image in pixels; small images are enlarged.

    Raises:
        ValueError: there is no image, there are not as many captions as images, or `columns` or
            `tile` is too small.
    """
    if columns < 1 or tile < 16:
        raise ValueError(f"columns must be at least 1 and tile at least 16, not {columns}, {tile}")
    font = ImageFont.truetype(str(FONT), max(12, tile // 16 + 1))
    cells = [
        (_fitted(image, tile), wrapped(caption, font, tile))
        for image, caption in zip(images, captions, strict=True)
    ]
    if not cells:
        raise ValueError("there are no images to show")
    width = MARGIN + min(columns, len(cells)) * (tile + MARGIN)
    strips, leading = [], round(1.3 * font.size)
    for start in range(0, len(cells), columns):
        row = cells[start : start + columns]
        # In a row, the images end and the captions begin at one height.
        foot = MARGIN + max(picture.height for picture, _ in row)
        height = foot + 8 + leading * max(len(lines) for _, lines in row)
        strip = Image.new("RGB", (width, height), PAPER)
        draw = ImageDraw.Draw(strip)
        for column, (picture, lines) in enumerate(row):
            left = MARGIN + column * (tile + MARGIN)
            strip.paste(picture, (left + (tile - picture.width) // 2, foot - picture.height))
            for number, line in enumerate(lines):
                draw.text((left, foot + 8 + number * leading), line, fill=INK, font=font)
        strips.append(strip)
    return stacked([*strips, Image.new("RGB", (width, MARGIN), PAPER)])


def film_strip(
    frames: Sequence[Image.Image], texts: Sequence[str], title: str, *, tile: int = 84
) -> Image.Image:
    """The frames of a clip in a row, each with its text below it, after the text of the whole clip.

    Args:
        frames: of any size and 8-bit mode; at least one.
        texts: one for each frame.
        title: of the clip.
        tile: width and greatest height of a frame in pixels.
    """
    first = Image.new("RGB", (tile, 1), PAPER)
    return contact_sheet([first, *frames], [title, *texts], columns=len(frames) + 1, tile=tile)


def attention_overlay(
    image: Image.Image,
    words: Sequence[str],
    weights: ArrayLike,
    grid: tuple[int, int] = (7, 7),
    *,
    regions: slice = slice(None),
    columns: int = 5,
    tile: int = 200,
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
        columns: pictures in a row.
        tile: width and greatest height of one picture in pixels.

    Raises:
        ValueError: the shapes do not fit together, a weight is negative or not finite, or `columns`
            or `tile` is too small.
    """
    shown = np.asarray(weights)[..., regions]
    values = _checked(shown, len(words), grid[0] * grid[1], "rows and columns of the grid")
    picture = _fitted(image, tile)
    pixels = np.asarray(picture, np.float32)
    dim = 0.42 * (0.75 * pixels.mean(axis=2, keepdims=True) + 0.25 * pixels)  # nearly grey
    warm = pixels + 0.32 * (np.array((255, 140, 0), np.float32) - pixels)
    pictures = [picture]
    for row in values:
        heat = Image.fromarray((row / max(row.max(), 3 / row.size)).reshape(grid).astype("f4"))
        light = np.asarray(heat.resize(picture.size, Image.Resampling.BICUBIC)).clip(0, 1)
        lit = dim + light[:, :, None] * (warm - dim)
        pictures.append(Image.fromarray(lit.clip(0, 255).astype(np.uint8)))
    return contact_sheet(pictures, ["", *words], columns=columns, tile=tile)


def heat_map(weights: ArrayLike, rows: Sequence[str], columns: Sequence[str]) -> Image.Image:
    """A table of weights as colours: to which source token each target token attended.

    Args:
        weights: (T, S), not negative and finite; the darkest colour is the largest of them.
        rows: T target tokens, written at the left.
        columns: S source tokens, written above.

    Raises:
        ValueError: the shapes do not fit together, one is empty, or a weight is negative or not
            finite.
    """
    values = _checked(weights, len(rows), len(columns), "columns")
    cell = min(max(14 / max(values.shape), 0.04), 0.34)  # inches of 100 pixels
    width, height = cell * len(columns), cell * len(rows)
    figure = Figure((width, height), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    table = axes.pcolormesh(
        values, cmap="Blues", vmin=0, vmax=values.max() or 1,
        edgecolors="#dee0e6" if cell >= 0.08 else "none", linewidth=0.7,
    )  # fmt: skip
    axes.invert_yaxis()
    axes.xaxis.tick_top()
    every = math.ceil(0.17 / cell)  # labels that would overlap are left out
    style: dict[str, Any] = {"fontfamily": "DejaVu Sans", "fontsize": min(max(40 * cell, 8), 12)}
    slant: dict[str, Any] = {"rotation": 50, "rotation_mode": "anchor", "ha": "left"}
    for axis, texts, more in ((axes.xaxis, columns, slant), (axes.yaxis, rows, {})):
        labels = [_label(text) for text in texts[::every]]
        places = np.arange(0, len(texts), every) + 0.5
        axis.set_ticks(places, labels, parse_math=False, **style, **more)
    axes.tick_params(length=0)
    scale = figure.add_axes((1 + 0.14 / width, 1 - 0.7 / height, 0.1 / width, 0.7 / height))
    figure.colorbar(table, cax=scale, ticks=[0, table.norm.vmax], format="%.2g")
    return drawn(figure, bbox_inches="tight", pad_inches=MARGIN / 100)


def stacked(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures one below the other on white; at least one."""
    size = max(p.width for p in pictures), sum(p.height for p in pictures)
    sheet, top = Image.new("RGB", size, PAPER), 0
    for picture in pictures:
        sheet.paste(picture, (0, top))
        top += picture.height
    return sheet


def _checked(weights: ArrayLike, rows: int, columns: int, what: str) -> np.ndarray:
    values = np.asarray(weights, dtype=np.float64)
    if not rows or not columns or values.shape != (rows, columns):
        raise ValueError(
            f"weights of shape {values.shape} for {rows} words and {columns} {what}: "
            "they must be (words, regions), and not empty"
        )
    if not np.isfinite(values).all() or values.min() < 0:
        raise ValueError("weights must be finite and not negative")
    return values


def _fitted(image: Image.Image, side: int) -> Image.Image:
    """The image in RGB, as large as it can be in a square, with transparency over white."""
    scale = side / max(image.size)
    width, height = (max(1, round(scale * each)) for each in image.size)
    layer = image.convert("RGBA")
    picture = Image.new("RGB", image.size, PAPER)
    picture.paste(layer, mask=layer)
    return picture.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)


# --- text


def wrapped(text: str, font: ImageFont.FreeTypeFont, width: int, most: int = 8) -> list[str]:
    """The text in lines that fit into so many pixels; "…" ends the last if there are too many."""
    text = drawable(text[: width * most])
    lines: list[str] = []
    for characters in range(3 * width // round(font.size), 0, -1):
        lines = textwrap.wrap(text, characters, max_lines=most, placeholder="…")
        if all(font.getlength(line) <= width for line in lines):
            break
    return lines


def _label(text: str) -> str:
    text = " ".join(drawable(text).split())
    return text if len(text) <= 20 else text[:19] + "…"


def drawable(text: str) -> str:
    """The text in letters of DejaVu Sans; one that it lacks by the sound in its Unicode name.

        개를 -> gaereul

    A sign without such a name becomes an empty box.
    """
    text = unicodedata.normalize("NFC", text)
    return "".join(c if ord(c) in _glyphs() or c.isspace() else _sound(c) for c in text)


@functools.cache
def _glyphs() -> frozenset[int]:
    return frozenset(FT2Font(str(FONT)).get_charmap())


def _sound(character: str) -> str:
    name = unicodedata.name(character, "")
    spelt = " SYLLABLE " in name or " LETTER " in name
    return name.rsplit(" ", 1)[1].lower() if spelt else "\u25a1"
