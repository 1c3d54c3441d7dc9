"""Text in pictures: whole, in lines that fit, in letters that there are."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from common.evaluation.fonts import Fonts
from common.evaluation.lettering import Letters

TEXTS = [
    "",
    "a dog",
    "a brown dog runs along the beach with a red ball in its mouth",
    "Donaudampfschifffahrtsgesellschaftskapitänsmütze " * 2,
    "a" * 300,
    "\n a\tb \n",
    "собака бежит по пляжу, ο σκύλος τρέχει",
]
LETTERS = Letters(13, Fonts())


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("width", [60, 150])
def test_wrapped_text_is_whole_and_no_line_is_too_wide(text: str, width: int):
    lines = LETTERS.wrapped(text, width, most=1000)
    assert all(LETTERS.length(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())
    if text == TEXTS[2]:
        assert " ".join(lines) == text  # words are kept whole where they fit


@pytest.mark.parametrize("text", ["word " * 500, "w" * 5000])
def test_text_without_end_is_cut_with_a_mark(text: str):
    lines = LETTERS.wrapped(text, 100, most=3)
    assert len(lines) == 3 and lines[-1].endswith("…")
    assert all(LETTERS.length(line) <= 100 for line in lines)


def test_text_without_blanks_is_broken_anywhere_but_before_an_accent():
    accents = "q\u0301" * 40
    for line in LETTERS.wrapped(accents, 60):
        assert line.startswith("q") and line.endswith("\u0301")


def drawn(text: str, width: int = 300) -> np.ndarray:
    """Which columns of a picture have ink, once a text is drawn in it. (width,), bool."""
    image = Image.new("RGB", (width, 30), (255, 255, 255))
    LETTERS.paragraph(text, width).draw(image, (0, 0))
    return (np.asarray(image) < 128).any(axis=(0, 2))


def test_what_is_read_from_the_right_begins_at_the_right():
    latin, hebrew, arabic = (drawn(text) for text in ("a dog", "כלב חום", "كلب بني"))
    assert latin[:60].any() and not latin[150:].any()
    for each in (hebrew, arabic):
        assert each[-60:].any() and not each[:150].any()
    assert drawn("a dog כלב")[:60].any()  # the first letter counts


def test_a_number_of_lines_is_as_high_as_it_says():
    words = LETTERS.paragraph("a dog runs " * 5, 100)
    assert words.height == len(words.lines) * LETTERS.leading > 2 * LETTERS.leading
    assert LETTERS.paragraph("", 100).height == 0
