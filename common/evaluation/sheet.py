"""Contact sheets: pictures in a grid, each with its caption, and whether it is right."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypedDict

from PIL import Image

from common.evaluation.fonts import Fonts, footnote
from common.evaluation.lettering import GREY, Letters, Paragraph
from common.evaluation.pages import PAPER, TALLEST, stacked

MARGIN = 18
FRAME = 4
NARROWEST = 560  # pixels, of a picture with texts above it
GAP = 4  # between a caption and its reference
GREEN, RED = (26, 127, 55), (196, 30, 42)  # the words in the frames say the same


@dataclass(frozen=True)
class Cell:
    """A picture of a sheet, and what is written below it.

    Args:
        picture: of any size and 8-bit mode.
        caption: what a model wrote of it; any text.
        reference: its reference caption, which is shown unless the caption is true.
        true: whether the caption is true of the picture: a green frame with "right", a red one with
            "wrong". None where that is not known: no frame.
    """

    picture: Image.Image
    caption: str
    reference: str = ""
    true: bool | None = None


class Grid(TypedDict):
    """Pictures in a row, and the width and greatest height of one."""

    columns: int
    tile: int


def contact_sheet(
    cells: Iterable[Cell],
    *,
    columns: int = 4,
    tile: int = 240,
    size: int | None = None,
    heading: Mapping[str, str] | None = None,
    fonts: Fonts | None = None,
) -> Image.Image:
    """Pictures in a grid, each with its caption below it, as one picture; see `contact_sheets`.

    Raises:
        ValueError: there is no cell, or as `contact_sheets`.
    """
    for sheet in contact_sheets(
        cells, columns=columns, tile=tile, size=size, heading=heading, tallest=None, fonts=fonts
    ):
        return sheet
    raise ValueError("there are no pictures to show")


def contact_sheets(
    cells: Iterable[Cell],
    *,
    columns: int = 4,
    tile: int = 240,
    size: int | None = None,
    heading: Mapping[str, str] | None = None,
    tallest: int | None = TALLEST,
    fonts: Fonts | None = None,
) -> Iterator[Image.Image]:
    """Pictures in grids, each with its caption below it, on pages.

    Args:
        cells: a generator keeps memory low: one page is in it at a time.
        columns: pictures in a row.
        tile: width and greatest height of a picture in pixels; small ones are enlarged.
        size: of the letters in pixels; by default as it suits the tile.
        heading: texts above the first page by what they are, as "caption".
        tallest: a page in pixels, unless one row is taller; None: all is on one page.
        fonts: where the letters are looked for; those of the system by default.

    Raises:
        ValueError: `columns` or `tile` is too small.
    """
    if columns < 1 or tile < 16:
        raise ValueError(f"columns must be at least 1 and tile at least 16, not {columns}, {tile}")
    letters = Letters(size or max(12, tile // 16 + 1), fonts)
    strips: list[Image.Image] = []
    lacking: set[str] = set()
    width = 0
    for row in _in_rows(cells, columns):
        width = width or MARGIN + len(row) * (tile + MARGIN)
        texts = [_paragraphs(cell, letters, tile) for cell in row]
        strip = _strip([framed(cell, tile) for cell in row], texts, width, tile)
        height = sum(each.height for each in strips) + strip.height + 2 * MARGIN + letters.leading
        if tallest is not None and strips and height > tallest:
            yield headed(stacked(strips), heading, lacking, fonts)
            strips, lacking, heading = [], set(), None
        strips.append(strip)
        lacking |= {script for each in texts for text in each for script in text.lacking}
    if strips:
        yield headed(stacked(strips), heading, lacking, fonts)


def grid_for(count: int, width: int = 1000) -> Grid:
    """The columns and the tile of a sheet of so many pictures, about so wide: few are shown large."""
    columns = min(4, count, math.ceil(math.sqrt(1.6 * count)))
    return {"columns": columns, "tile": min(480, width // columns)}


def film_strip(
    frames: Sequence[Image.Image],
    texts: Sequence[str],
    title: str,
    *,
    tile: int = 84,
    fonts: Fonts | None = None,
) -> Image.Image:
    """The frames of a clip in a row, each with its text below it, after the text of the whole clip.

    Args:
        frames: of any size and 8-bit mode; at least one.
        texts: one for each frame.
        title: of the clip.
        tile: width and greatest height of a frame in pixels.
        fonts: as `contact_sheets` takes them.
    """
    cells = [Cell(Image.new("RGB", (tile, 1), PAPER), title)]
    cells += [Cell(frame, text) for frame, text in zip(frames, texts, strict=True)]
    return contact_sheet(cells, columns=len(cells), tile=tile, fonts=fonts)


def framed(cell: Cell, tile: int) -> Image.Image:
    """The picture of a cell, fitted, in the frame that says whether its caption is true."""
    picture = fitted(cell.picture, tile)
    if cell.true is None:
        return picture
    letters = Letters(min(max(15, tile // 14), 24))
    size = tile + 2 * FRAME, picture.height + FRAME + letters.leading
    frame = Image.new("RGB", size, GREEN if cell.true else RED)
    frame.paste(picture, (FRAME + (tile - picture.width) // 2, FRAME))
    word = "✓ right" if cell.true else "✗ wrong"
    letters.draw(frame, (2 * FRAME, FRAME + picture.height), word, PAPER)
    return frame


def fitted(image: Image.Image, side: int) -> Image.Image:
    """The image in RGB, as large as it can be in a square, with transparency over white."""
    scale = side / max(image.size)
    width, height = (max(1, round(scale * each)) for each in image.size)
    layer = image.convert("RGBA")
    picture = Image.new("RGB", image.size, PAPER)
    picture.paste(layer, mask=layer)
    return picture.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)


def headed(
    picture: Image.Image,
    heading: Mapping[str, str] | None,
    lacking: Iterable[str],
    fonts: Fonts | None = None,
) -> Image.Image:
    """A picture with texts above it, each beside what it is, and a note below it where letters of the
    scripts in `lacking`, or of the texts, have no font."""
    texts, missing = dict(heading or {}), set(lacking)
    wide = max(picture.width, NARROWEST if texts else 0)
    letters = Letters(min(max(wide // 26, 18), 28), fonts)
    left = MARGIN + round(max((letters.length(f"{name}  ") for name in texts), default=0))
    parts: list[Image.Image] = []
    for name, text in texts.items():
        told = letters.paragraph(text, wide - left - MARGIN, most=5)
        space = GAP if parts else MARGIN // 2
        parts.append(Image.new("RGB", (wide, space + max(told.height, letters.leading)), PAPER))
        letters.draw(parts[-1], (MARGIN, space), name, GREY)
        told.draw(parts[-1], (left, space))
        missing |= told.lacking
    parts.append(picture)
    if missing:
        note = Letters(13, fonts).paragraph(footnote(missing), wide - 2 * MARGIN, fill=GREY)
        parts.append(Image.new("RGB", (wide, MARGIN // 2 + note.height), PAPER))
        note.draw(parts[-1], (MARGIN, MARGIN // 2))
    return stacked([*parts, Image.new("RGB", (wide, MARGIN), PAPER)])


def _in_rows(cells: Iterable[Cell], columns: int) -> Iterator[list[Cell]]:
    left = iter(cells)
    while row := list(islice(left, columns)):
        yield row


def _paragraphs(cell: Cell, letters: Letters, width: int) -> list[Paragraph]:
    texts = [letters.paragraph(cell.caption, width)]
    if cell.reference and not cell.true:
        small = Letters(max(11, round(0.85 * letters.size)), letters.fonts)
        reference = small.paragraph(f"reference: {cell.reference}", width, most=4, fill=GREY)
        texts.append(reference)
    return texts


def _strip(
    pictures: Sequence[Image.Image], texts: Sequence[Sequence[Paragraph]], width: int, tile: int
) -> Image.Image:
    """A row: its pictures end, and its captions begin, at one height."""
    frame = FRAME if any(picture.width > tile for picture in pictures) else 0
    foot = MARGIN - frame + max(picture.height for picture in pictures)
    height = foot + 8 + max(sum(GAP + text.height for text in each) for each in texts)
    strip = Image.new("RGB", (width, height), PAPER)
    for column, (picture, below) in enumerate(zip(pictures, texts, strict=True)):
        left, top = MARGIN + column * (tile + MARGIN), foot + 8
        strip.paste(picture, (left + (tile - picture.width) // 2, foot - picture.height))
        for text in below:
            text.draw(strip, (left, top))
            top += text.height + GAP
    return strip
