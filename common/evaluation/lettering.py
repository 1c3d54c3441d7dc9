"""Text in pictures: set in lines that fit, and cut with a mark where there is no room."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import matplotlib
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

RGB = tuple[int, int, int]
PAPER = (255, 255, 255)


def font_of(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib: Latin, Greek, Cyrillic, Arabic and many symbols."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name
    return ImageFont.truetype(str(path), size)


def drawable(text: str) -> str:
    """The text as DejaVu Sans can show it: a letter that it lacks by the sound in its Unicode name.

        개를 -> gaereul

    A sign without such a name stays, and is drawn as an empty box.
    """
    text = unicodedata.normalize("NFC", text)
    return "".join(c if ord(c) in _glyphs() else _sound(c) for c in text)


@functools.cache
def _glyphs() -> frozenset[int]:
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return frozenset(FT2Font(str(path)).get_charmap())


def _sound(character: str) -> str:
    name = unicodedata.name(character, "")
    spelt = " SYLLABLE " in name or " LETTER " in name
    return name.rsplit(" ", 1)[1].lower() if spelt else character


def text_block(texts: Iterable[tuple[str, ImageFont.FreeTypeFont, RGB]], width: int) -> Image.Image:
    """Texts below each other, each with its font and colour, in lines of this width."""
    blocks = [(wrapped(text, font, width), font, colour) for text, font, colour in texts]
    height = sum(len(lines) * line_height(font) + 4 for lines, font, _ in blocks)
    picture = Image.new("RGB", (width, height), PAPER)
    draw, y = ImageDraw.Draw(picture), 0
    for lines, font, colour in blocks:
        for line in lines:
            draw.text((0, y), line, fill=colour, font=font)
            y += line_height(font)
        y += 4
    return picture


def wrapped(text: str, font: ImageFont.FreeTypeFont, width: int, most: int = 8) -> list[str]:
    """The text in lines not wider than `width`, the last one cut with "…" if there are too many."""
    lines = [""]
    text = drawable(text[: width * most])
    for word in text.split():  # a letter is wider than a pixel
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if font.getlength(longer) <= width:
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        while font.getlength(word) > width:  # a word that is wider than a line goes over several
            end = len(fit_line(word, font, width, mark=""))
            lines[-1:] = [word[: max(end, 1)], ""]
            word = word[max(end, 1) :]
        lines[-1] = word
        if len(lines) > most:
            return [*lines[: most - 1], fit_line(f"{lines[most - 1]} …", font, width, mark="…")]
    return lines


def fit_line(text: str, font: ImageFont.FreeTypeFont, width: float, mark: str = "…") -> str:
    """The text, or as much of its beginning as fits with a mark after it."""
    text = drawable(" ".join(text[: round(width) + 1].split()))
    if font.getlength(text) <= width:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        fits = font.getlength(text[:middle] + mark) <= width
        low, high = (middle, high) if fits else (low, middle - 1)
    return text[:low] + mark


def line_height(font: ImageFont.FreeTypeFont) -> int:
    """Pixels from one line to the next."""
    return round(1.3 * font.size)


def slanted(text: str, font: ImageFont.FreeTypeFont, most: float) -> Image.Image:
    """A mask of the text rising to the right, its beginning in the lower left corner."""
    text = fit_line(text, font, most)
    flat = Image.new("L", (max(1, round(font.getlength(text))), round(1.25 * font.size)))
    ImageDraw.Draw(flat).text((0, flat.height / 2), text, fill=255, font=font, anchor="lm")
    return flat.rotate(50, Image.Resampling.BICUBIC, expand=True)
