"""Pictures on pages: beside and below each other, on as many pages as they need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from PIL import Image

from common.files import atomic_write

PAPER = (255, 255, 255)
TALLEST = 4000  # pixels, of a page that every viewer opens
SLACK = 40  # pixels, by which a picture may be wider than the first of its pages


def stacked(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures one below the other on white; at least one."""
    size = max(p.width for p in pictures), sum(p.height for p in pictures)
    sheet, top = Image.new("RGB", size, PAPER), 0
    for picture in pictures:
        sheet.paste(picture, (0, top))
        top += picture.height
    return sheet


def pages(
    pictures: Iterable[Image.Image], *, column: int | None = None, tallest: int = TALLEST
) -> Iterator[Image.Image]:
    """Pictures of any sizes in two columns, on pages; one page is in memory at a time.

    Args:
        pictures: one that is wider than a column has a row of its own, one that is taller than a page
            a page of its own.
        column: width in pixels; by default it suits the first picture.
        tallest: a page in pixels.
    """
    rows: list[Image.Image] = []
    for row in _rows(pictures, column):
        if rows and sum(each.height for each in rows) + row.height > tallest:
            yield stacked(rows)
            rows = []
        rows.append(row)
    if rows:
        yield stacked(rows)


def _rows(pictures: Iterable[Image.Image], column: int | None) -> Iterator[Image.Image]:
    first: Image.Image | None = None
    for picture in pictures:
        column = column or picture.width + SLACK
        if first is None:
            first = picture
        elif max(first.width, picture.width) <= column:
            size = column + picture.width, max(first.height, picture.height)
            row = Image.new("RGB", size, PAPER)
            row.paste(first, (0, 0))
            row.paste(picture, (column, 0))
            yield row
            first = None
        else:
            yield first
            first = picture
    if first is not None:
        yield first


def write_pages(path: Path, pages: Iterable[Image.Image]) -> list[Path]:
    """Write pages as PNG files: one as `path`, more as `path` with -1, -2, ... before its ending.

    Args:
        path: as sheet.png; two pages are sheet-1.png and sheet-2.png.
        pages: each is written as soon as the next is there.

    Returns:
        The files, in their order; none where there are no pages.

    Raises:
        OSError: a file could not be written; those before it are complete.
    """
    files: list[Path] = []
    before: Image.Image | None = None
    for page in pages:
        if before is not None:
            files.append(_write(path.with_stem(f"{path.stem}-{len(files) + 1}"), before))
        before = page
    if before is not None:
        last = path.with_stem(f"{path.stem}-{len(files) + 1}") if files else path
        files.append(_write(last, before))
    return files


def _write(path: Path, page: Image.Image) -> Path:
    with atomic_write(path, "wb") as file:
        page.save(file, format="PNG", compress_level=4)  # as small, in half the time
    return path


def named(files: Sequence[Path]) -> str:
    """Files of pages in a line: all of a few, the first and the last of many."""
    if len(files) > 3:
        return f"{len(files)} pages: {files[0]} to {files[-1].name}"
    return ", ".join(map(str, files))
