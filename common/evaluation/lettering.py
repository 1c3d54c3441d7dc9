"""Text in pictures: measured, broken into lines and drawn, in any script."""

from __future__ import annotations

import functools
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, features

from common.evaluation.fonts import Fonts, system_fonts

INK, GREY = (28, 30, 36), (98, 103, 113)
Colour = tuple[int, int, int] | int


class Letters:
    """Letters of one size.

    Args:
        size: in pixels.
        fonts: those that the letters are looked for in; of the system by default.
    """

    def __init__(self, size: int, fonts: Fonts | None = None) -> None:
        self.size = size
        self.fonts = system_fonts() if fonts is None else fonts
        self.leading = round(1.35 * size)  # from one line to the next

    def length(self, text: str) -> float:
        """How wide a line is, in pixels."""
        return sum(_font(file, self.size).getlength(part) for part, file in self.fonts.runs(text))

    def draw(
        self, image: Image.Image, place: tuple[float, float], line: str, fill: Colour = INK
    ) -> None:
        """Draw a line; `place` is its left and its top, which is `leading` above that of the next."""
        pen, (left, top) = ImageDraw.Draw(image), place
        foot = round(top + (self.leading - self.size) / 2 + 0.84 * self.size)
        for part, file in self.fonts.runs(line):
            font = _font(file, self.size)
            pen.text((left, foot), part, fill=fill, font=font, anchor="ls")
            left += font.getlength(part)

    def wrapped(self, text: str, width: int, most: int = 8) -> list[str]:
        """A text in lines that are at most so wide; "…" ends the last if there are too many.

        Letters without a font are spelt, as `Fonts.drawable` does. A line is broken between words, and
        inside of one that is wider than a line.
        """
        lines, line = [], ""
        for word in self.fonts.drawable(text[: width * most]).split():
            longer = f"{line} {word}" if line else word
            if self.length(longer) <= width:
                line = longer
                continue
            lines += [line] if line else []
            while len(lines) <= most and self.length(word) > width:
                cut = self._fitting(word, width)
                lines.append(word[:cut])
                word = word[cut:]
            line = word
            if len(lines) > most:
                break
        lines += [line] if line else []
        if len(lines) > most:
            last = lines[most - 1]
            while last and self.length(last + "…") > width:
                last = last[:-1]
            lines[most - 1 :] = [last.rstrip() + "…"]
        return lines

    def paragraph(
        self, text: str, width: int, *, most: int = 8, fill: Colour = INK, centred: bool = False
    ) -> Paragraph:
        """A text in lines, to be drawn. `most` of them; those of a script that is read from the right
        begin at the right."""
        return Paragraph(
            self, self.wrapped(text, width, most), width, fill, centred,
            from_right(text), frozenset(self.fonts.lacking(text)),
        )  # fmt: skip

    def _fitting(self, word: str, width: int) -> int:
        """How many characters of a word fit into a line; at least one, with all that belongs to it."""
        few, many = 1, len(word)
        while few < many:
            middle = (few + many + 1) // 2
            few, many = (middle, many) if self.length(word[:middle]) <= width else (few, middle - 1)
        at = few
        while at > 0 and at < len(word) and unicodedata.combining(word[at]):
            at -= 1
        return at or few


@dataclass(frozen=True)
class Paragraph:
    """Lines of text of one width; `lacking` are the scripts of letters that no font has."""

    letters: Letters
    lines: list[str]
    width: int
    fill: Colour
    centred: bool
    from_right: bool
    lacking: frozenset[str]

    @property
    def height(self) -> int:
        """In pixels."""
        return self.letters.leading * len(self.lines)

    def draw(self, image: Image.Image, place: tuple[int, int]) -> None:
        """Draw it with its left and top at a place."""
        left, top = place
        for number, line in enumerate(self.lines):
            space = self.width - self.letters.length(line)
            indent = space / 2 if self.centred else space if self.from_right else 0
            where = left + round(indent), top + number * self.letters.leading
            self.letters.draw(image, where, line, self.fill)


def from_right(text: str) -> bool:
    """Whether a text is read from right to left: its first letter with a direction is."""
    directions = (unicodedata.bidirectional(character) for character in text)
    return next((each != "L" for each in directions if each in ("L", "R", "AL")), False)


@functools.lru_cache(maxsize=256)
def _font(file: Path, size: int) -> ImageFont.FreeTypeFont:
    """Without Pillow's raqm, letters that change with their neighbours are drawn one by one."""
    engine = ImageFont.Layout.RAQM if features.check("raqm") else ImageFont.Layout.BASIC
    font = ImageFont.truetype(str(file), size, layout_engine=engine)
    with suppress(
        OSError
    ):  # which it is unless the font has several weights; the first may be thin
        axes = font.get_variation_axes()
        weights = [400 if each["name"] == b"Weight" else each["default"] or 0 for each in axes]
        font.set_variation_by_axes([float(each) for each in weights])
    return font
