"""Pictures of results: images with their captions, attention over an image, alignments of words.

Every function returns a new PIL image and changes nothing else: no figure stays open, no global
setting of matplotlib is touched, and the images that come in are left as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest

import matplotlib
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont

from common.evaluation.lettering import (
    PAPER,
    fit_line,
    font_of,
    line_height,
    slanted,
    text_block,
    wrapped,
)

INK = (28, 30, 36)
FAINT = (118, 122, 132)
RULE = (222, 224, 230)
MARGIN = 16


def contact_sheet(
    images: Iterable[Image.Image],
    captions: Sequence[str],
    references: Sequence[str] | None = None,
    *,
    columns: int = 4,
    tile: int = 240,
    title: str = "",
) -> Image.Image:
    """Images in a grid, each with its caption below it.

    Args:
        images: of any size and 8-bit mode; a generator keeps memory low, each is made small first.
        captions: one for each image.
        references: a second, fainter text for each image, such as what people wrote.
        columns: images in a row.
        tile: width and greatest height of an image in pixels; small images are enlarged.
        title: a line above all.

    Raises:
        ValueError: there is no image, there are not as many captions or references as images, or
            `columns` or `tile` is too small.
    """
    if columns < 1 or tile < 16:
        raise ValueError(f"columns must be at least 1 and tile at least 16, not {columns}, {tile}")
    pictures, below = [], []
    caption_font, reference_font = (
        font_of(max(12, tile // 16 + 1)),
        font_of(max(11, tile // 20 + 1)),
    )
    others = captions if references is None else references
    for image, caption, reference in zip_longest(images, captions, others):
        if image is None or caption is None or reference is None:
            raise ValueError("there must be one caption, and one reference if any, for each image")
        pictures.append(_fitted(image, tile))
        texts = [(caption, caption_font, INK), (reference, reference_font, FAINT)]
        below.append(text_block(texts if references is not None else texts[:1], tile))
    if not pictures:
        raise ValueError("there are no images to show")
    cells = []
    for start in range(0, len(pictures), columns):
        row = slice(start, start + columns)
        # In a row the captions begin at one height, and the pictures stand on them.
        foot = max(picture.height for picture in pictures[row])
        for picture, text in zip(pictures[row], below[row], strict=True):
            cell = Image.new("RGB", (tile, foot + 8 + text.height), PAPER)
            cell.paste(picture, ((tile - picture.width) // 2, foot - picture.height))
            cell.paste(text, (0, foot + 8))
            cells.append(cell)
    return _grid(cells, columns, title)


def attention_overlay(
    image: Image.Image,
    words: Sequence[str],
    weights: ArrayLike,
    grid: tuple[int, int] = (7, 7),
    *,
    regions: slice = slice(None),
    columns: int = 5,
    tile: int = 200,
    title: str = "",
) -> Image.Image:
    """The image, and once more for each word, lit where the decoder looked when it said the word.

    A region is lit in proportion to its weight; the largest weight of a word is fully lit, unless
    the word looks nearly everywhere alike (then all of it is dim, not bright).

    Args:
        image: what the encoder saw (after cropping), of any size and mode.
        words: T words, as said.
        weights: (T, S), not negative: how much each word looks at each region, row by row.
        grid: (rows, columns) of the regions; their product is the number of regions.
        regions: which of the S positions are regions: slice(1, None) where the first is a token for
            the whole image, slice(0, 49) where others come last. The rest is not shown.
        columns: pictures in a row.
        tile: width and greatest height of one picture in pixels.
        title: a line above all.

    Raises:
        ValueError: the shapes do not fit together, a weight is negative or not finite, or `columns`
            or `tile` is too small.
    """
    if columns < 1 or tile < 16:
        raise ValueError(f"columns must be at least 1 and tile at least 16, not {columns}, {tile}")
    shown = np.asarray(weights)[..., regions]
    values = _checked(shown, len(words), grid[0] * grid[1], "rows and columns of the grid")
    picture = _fitted(image, tile)
    font = font_of(tile // 13 + 1, bold=True)
    cells = [_headed(picture, "", font, tile)]
    for word, row in zip(words, values, strict=True):
        full = max(row.max(), 3 / row.size)
        heat = Image.fromarray((row / full).reshape(grid).astype(np.float32))
        light = np.asarray(heat.resize(picture.size, Image.Resampling.BICUBIC)).clip(0, 1)
        cells.append(_headed(_lit(picture, light), word, font, tile))
    return _grid(cells, columns, title)


def heat_map(
    weights: ArrayLike,
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    title: str = "",
) -> Image.Image:
    """A table of weights as colours: which source token each target token looked at.

    Args:
        weights: (T, S), not negative and finite; the darkest colour is the largest of them.
        rows: T target tokens, written at the left.
        columns: S source tokens, written above.
        title: a line above all.

    Raises:
        ValueError: the shapes do not fit together, one is empty, or a weight is negative or not
            finite.
    """
    values = _checked(weights, len(rows), len(columns), "columns")
    cell = int(np.clip(1400 / max(values.shape), 4, 34))
    font = font_of(int(np.clip(cell * 0.55, 11, 17)))
    most = 12 * font.size
    every = -(-round(font.size * 1.15) // cell)  # labels that would touch each other are left out
    left = [fit_line(text, font, most) if k % every == 0 else "" for k, text in enumerate(rows)]
    above = [slanted(text, font, most) for text in columns]
    wide, high = cell * len(columns), cell * len(rows)
    x = MARGIN + round(max(font.getlength(text) for text in left)) + 8
    y = MARGIN + max(label.height for label in above[::every])
    right = max(k * cell + label.width for k, label in enumerate(above) if k % every == 0)
    width = x + max(right, wide + 28 + round(font.getlength("0.00"))) + MARGIN

    sheet = Image.new("RGB", (width, y + max(high, 5 * round(font.size)) + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    table = _colours("Blues", values / (values.max() or 1.0))
    sheet.paste(Image.fromarray(table).resize((wide, high), Image.Resampling.NEAREST), (x, y))
    if cell >= 8:
        for k in range(len(rows) + 1):
            draw.line((x, y + k * cell, x + wide, y + k * cell), fill=RULE)
        for k in range(len(columns) + 1):
            draw.line((x + k * cell, y, x + k * cell, y + high), fill=RULE)
    for k, text in enumerate(left):
        draw.text((x - 8, y + (k + 0.5) * cell), text, fill=INK, font=font, anchor="rm")
    for k, label in enumerate(above):
        if k % every == 0:
            place = (x + round((k + 0.5) * cell) - round(font.size * 0.4), y - label.height - 3)
            sheet.paste(INK, place, label)
    _scale(sheet, x + wide + 14, y, font, float(values.max()))
    return _titled(sheet, title)


# --- parts ----------------------------------------------------------------------------------------


def stacked(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures one below the other on white; at least one."""
    sheet = Image.new(
        "RGB", (max(p.width for p in pictures), sum(p.height for p in pictures)), PAPER
    )
    top = 0
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
    """The image as RGB, as large as it can be in a square, with transparency over white."""
    width, height = image.size
    scale = side / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if scale < 0.25:
        # A huge image is made small before anything else, in its own mode, to spare memory.
        smooth = (
            Image.Resampling.NEAREST if image.mode in ("1", "P", "PA") else Image.Resampling.BOX
        )
        image = image.resize((4 * size[0], 4 * size[1]), smooth)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, PAPER), image)
    return image.convert("RGB").resize(size, Image.Resampling.LANCZOS)


def _lit(picture: Image.Image, light: np.ndarray) -> Image.Image:
    """The picture, warm where there is light, dim and grey elsewhere; light: (H, W) in 0..1."""
    pixels = np.asarray(picture, np.float32)
    grey = pixels.mean(axis=2, keepdims=True)
    amount = light[:, :, None]
    dim = 0.42 * (0.75 * grey + 0.25 * pixels)
    warm = pixels + 0.32 * (np.array((255, 140, 0), np.float32) - pixels)
    return Image.fromarray((dim + amount * (warm - dim)).clip(0, 255).astype(np.uint8))


def _headed(
    picture: Image.Image, word: str, font: ImageFont.FreeTypeFont, tile: int
) -> Image.Image:
    """The picture with a word above it."""
    head = line_height(font) + 4
    cell = Image.new("RGB", (tile, head + picture.height), PAPER)
    cell.paste(picture, ((tile - picture.width) // 2, head))
    text = fit_line(word, font, tile)
    ImageDraw.Draw(cell).text((tile / 2, head / 2), text, fill=INK, font=font, anchor="mm")
    return cell


def _grid(cells: Sequence[Image.Image], columns: int, title: str) -> Image.Image:
    """Cells of one width in rows, each row as high as its highest cell."""
    columns = min(columns, len(cells))
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    heights = [max(cell.height for cell in row) for row in rows]
    width = columns * (cells[0].width + MARGIN) + MARGIN
    sheet = Image.new("RGB", (width, sum(heights) + (len(rows) + 1) * MARGIN), PAPER)
    y = MARGIN
    for row, height in zip(rows, heights, strict=True):
        for k, cell in enumerate(row):
            sheet.paste(cell, (MARGIN + k * (cell.width + MARGIN), y))
        y += height + MARGIN
    return _titled(sheet, title)


def _titled(sheet: Image.Image, title: str) -> Image.Image:
    if not title:
        return sheet
    font = font_of(18, bold=True)
    lines = wrapped(title, font, sheet.width - 2 * MARGIN)
    head = MARGIN + len(lines) * line_height(font)
    result = Image.new("RGB", (sheet.width, head + sheet.height), PAPER)
    draw = ImageDraw.Draw(result)
    for k, line in enumerate(lines):
        draw.text((MARGIN, MARGIN + k * line_height(font)), line, fill=INK, font=font)
    result.paste(sheet, (0, head))
    return result


def _colours(name: str, values: np.ndarray) -> np.ndarray:
    """Values in 0..1 as colours of one of matplotlib's maps: (..., 3), uint8."""
    return matplotlib.colormaps[name](values, bytes=True)[..., :3]


def _scale(sheet: Image.Image, x: int, y: int, font: ImageFont.FreeTypeFont, most: float) -> None:
    """A strip of the colours from 0 at its foot to the largest weight at its top."""
    high = 5 * round(font.size)
    strip = _colours("Blues", np.linspace(1, 0, high)[:, None])
    sheet.paste(Image.fromarray(strip).resize((10, high)), (x, y))
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((x, y, x + 9, y + high - 1), outline=RULE)
    draw.text((x + 14, y), f"{most:.2g}", fill=FAINT, font=font, anchor="lt")
    draw.text((x + 14, y + high), "0", fill=FAINT, font=font, anchor="lb")
