"""Fonts: which of them has the letters of a text, and what is drawn where none has."""

from __future__ import annotations

import functools
import unicodedata
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

import matplotlib
from matplotlib.font_manager import findSystemFonts
from matplotlib.ft2font import FT2Font

FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
BOX = "\u25a1"

Face: TypeAlias = tuple[Path, "array[int]"]  # a file, and the code points that it has, sorted

# Fonts that are tried first, by the beginnings of their files' names: plain, and of many letters.
PREFERRED = (
    "notosanscjk", "notosanskr", "nanumgothic", "notosans", "sourcehansans", "applesdgothic", "pingfang",
    "hiragino", "malgun", "msyh", "yugoth", "wqy", "arialunicode", "droidsansfallback",
)  # fmt: skip
# Parts of names of fonts that are tried last, if at all.
UNUSUAL = (
    "bold", "black", "heavy", "italic", "oblique", "light", "thin", "condensed", "narrow", "mono",
    "coding", "serif", "myeongjo",
)  # fmt: skip
NAMELESS = ("Chinese characters", "some signs")  # whose Unicode names are no sounds
NO_LETTERS = ("lastresort", "adobeblank")  # they draw every letter as a box


class Fonts:
    """Draws text in any script: in DejaVu Sans, and what it lacks in other fonts.

    Args:
        files: of fonts, in the order in which they are tried; they are opened when a text needs them.
            One that cannot be read, or has bitmaps alone, is passed over.
    """

    def __init__(self, files: Iterable[Path | str] = ()) -> None:
        self._files = (Path(file) for file in files)
        self._opened: list[Face] = []
        self._base: Face = FONT, _code_points(FONT) or array("I")

    def runs(self, text: str) -> list[tuple[str, Path]]:
        """The text in parts, each with the file of the font that has its letters.

        All of it is in one font where there is one for all. A letter that no font has is spelt by the
        sound in its Unicode name (개를 -> gaereul), a sign without such a name is an empty box.
        """
        if text.isascii() and text.isprintable():  # nearly all, and quickly
            return [(text, FONT)] if text else []
        text = unicodedata.normalize("NFC", text)
        runs: list[tuple[str, Path]] = []
        faces = self._faces(text)
        last = faces[0]
        for character in text:
            if not _drawn(character):
                found = last
            else:
                having = [face for face in (last, *faces) if _has(face, character)]
                found = having[0] if having else self._base
                character = character if having else _sound(character)
            if runs and found == last:
                runs[-1] = runs[-1][0] + character, found[0]
            else:
                runs.append((character, found[0]))
            last = found
        return runs

    def drawable(self, text: str) -> str:
        """The text, with letters that no font has spelt by their sounds; see `runs`."""
        return "".join(part for part, _ in self.runs(text))

    def in_one(self, text: str) -> tuple[str, Path]:
        """The text in one font, where only one can be named: the one that has most of it, and its file.

        Letters that this font lacks are spelt, and control characters are left out.
        """
        text = unicodedata.normalize("NFC", text)
        face = self._faces(text)[0]
        seen = (c for c in text if c == "\n" or unicodedata.category(c) != "Cc")
        return "".join(c if not _drawn(c) or _has(face, c) else _sound(c) for c in seen), face[0]

    def lacking(self, text: str) -> set[str]:
        """The scripts of letters of a text that no font has, as "Hangul"."""
        text = unicodedata.normalize("NFC", text)
        faces = self._faces(text)
        return {
            _script(character)
            for character in set(text)
            if _drawn(character) and not any(_has(face, character) for face in faces)
        }

    def _faces(self, text: str) -> list[Face]:
        """As few fonts as have what can be drawn of a text, the one for most of it first."""
        lacking = {c for c in text if _drawn(c) and not _has(self._base, c)}
        if not lacking:
            return [self._base]
        chosen: list[Face] = []
        if (face := next((f for f in self._tried() if _all_in(f, lacking)), None)) is not None:
            return [face, self._base]
        while lacking and self._opened:
            face = max(self._opened, key=lambda face: sum(_has(face, c) for c in lacking))
            rest = {c for c in lacking if not _has(face, c)}
            if rest == lacking:
                break
            chosen.append(face)
            lacking = rest
        return [*chosen, self._base]

    def _tried(self) -> Iterator[Face]:
        """The fonts that are open already, then the others, which are opened one by one."""
        yield from self._opened
        for file in self._files:
            if (points := _code_points(file)) is not None:
                self._opened.append((file, points))
                yield self._opened[-1]


@functools.cache
def system_fonts() -> Fonts:
    """DejaVu Sans with the fonts that are installed, which are listed once in a process: when a text
    needs them."""
    return Fonts(_installed())


def _installed() -> Iterator[Path]:
    yield from in_order(findSystemFonts())


def in_order(files: Iterable[Path | str]) -> list[Path]:
    """Fonts with those first that are plain and have many letters, without those that have none."""

    def rank(file: Path) -> tuple[int, int, str]:
        name = file.stem.lower().replace("-", "").replace("_", "").replace(" ", "")
        first = next(
            (n for n, each in enumerate(PREFERRED) if name.startswith(each)), len(PREFERRED)
        )
        return sum(each in name for each in UNUSUAL), first, str(file)

    paths = (Path(file) for file in files)
    return sorted((p for p in paths if not p.stem.lower().startswith(NO_LETTERS)), key=rank)


def footnote(lacking: Iterable[str]) -> str:
    """What is written below a picture in which letters of these scripts have no font."""
    how = [
        f"{each} are boxes" if each in NAMELESS else f"{each} is transliterated"
        for each in sorted(lacking)
    ]
    which = "it" if len(how) == 1 and how[0].endswith("transliterated") else "them"
    return f"{', '.join(how)}: no font here has {which}. One of the Noto family does: install it."


def _code_points(file: Path) -> array[int] | None:
    """What a font has letters for, sorted; None where it cannot be used."""
    try:
        font = FT2Font(str(file))
        return array("I", sorted(font.get_charmap())) if font.scalable else None
    except (OSError, RuntimeError, ValueError):
        return None


def _has(face: Face, character: str) -> bool:
    points, point = face[1], ord(character)
    at = bisect_left(points, point)
    return at < len(points) and points[at] == point


def _all_in(face: Face, characters: Iterable[str]) -> bool:
    return all(_has(face, character) for character in characters)


def _drawn(character: str) -> bool:
    """Whether it is seen: no blank, no control, no sign that only changes its neighbours."""
    category = unicodedata.category(character)
    return not (
        character.isspace() or category in ("Cc", "Cf") or "\ufe00" <= character <= "\ufe0f"
    )


def _sound(character: str) -> str:
    name = unicodedata.name(character, "")
    return name.rsplit(" ", 1)[1].lower() if _has_sound(name) else BOX


def _script(character: str) -> str:
    name = unicodedata.name(character, "")
    if name.startswith("CJK "):
        return NAMELESS[0]
    return name.split(" ", 1)[0].capitalize() if _has_sound(name) else NAMELESS[1]


def _has_sound(name: str) -> bool:
    return any(kind in name for kind in (" SYLLABLE ", " LETTER ", " VOWEL SIGN "))
